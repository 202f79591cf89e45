"""Raw tables: everything that landed, as it landed."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from collections.abc import Sequence
from datetime import date

import dagster as dg
import ibis

from trasos_assets.contracts.engineering import (
    LANDING_LEDGER,
    QUARANTINE_RELEASES,
    RAW_ASSIGNMENTS,
    RAW_CATALOGUE,
    RAW_EVENTS,
    RAW_MARKETING_SPEND,
)
from trasos_assets.contracts.model import Contract
from trasos_assets.lake.engine import Lake
from trasos_assets.lake.metadata import definition_metadata
from trasos_assets.lake.portions import Weigh
from trasos_assets.lake.store import LakeStore
from trasos_assets.lake.table import TableCheck, freshness_policy, table
from trasos_assets.landing.counts import imbalance_in_words
from trasos_assets.landing.ledger import (
    ACCEPTED,
    PENDING,
    lost_deliveries,
    pending_deliveries,
    read_ledger,
    rows_in_trouble,
)
from trasos_assets.landing.parse import read_deliveries
from trasos_assets.landing.releases import pending_releases, waiting_in_words
from trasos_assets.landing.reread import read_again
from trasos_assets.settings import get_settings

landing_ledger = dg.AssetSpec(
    LANDING_LEDGER.name,
    description=LANDING_LEDGER.description + " Kept by the landing sensor and `trasos run`.",
    metadata=definition_metadata(LANDING_LEDGER),
    freshness_policy=freshness_policy(LANDING_LEDGER),
    kinds=set(LANDING_LEDGER.kinds),
)


quarantine_releases = dg.AssetSpec(
    QUARANTINE_RELEASES.name,
    description=QUARANTINE_RELEASES.description + " Kept by `trasos quarantine replay` and the job replay_quarantine.",
    metadata=definition_metadata(QUARANTINE_RELEASES),
    kinds=set(QUARANTINE_RELEASES.kinds),
)


@dg.asset_check(
    asset=QUARANTINE_RELEASES.name,
    description="Every release was carried out: no line waits outside the quarantine and the tables.",
)
def no_release_waits(lake: Lake) -> dg.AssetCheckResult:
    """Releases that the next ingest has to carry out; a run that fails leaves one waiting."""
    waiting = waiting_in_words(lake.store)
    return dg.AssetCheckResult(passed=waiting is None, severity=dg.AssetCheckSeverity.WARN, description=waiting)


@dg.asset_check(
    asset=LANDING_LEDGER.name,
    description="No landed file was rejected, or waits to become readable for longer than landing_wait_hours.",
)
def no_file_in_trouble(lake: Lake) -> dg.AssetCheckResult:
    """Files that could not be taken, each with the reason and what to do."""
    rows = rows_in_trouble(read_ledger(lake.store), lake.settings)
    return dg.AssetCheckResult(
        passed=not rows,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(row["reason"] for row in rows)[:2000] or None,
        metadata={"files": len(rows), "reasons": dg.MetadataValue.json([row["reason"] for row in rows[:50]])},
    )


@dg.asset_check(
    asset=LANDING_LEDGER.name,
    description="Of every file that was taken: rows read = accepted + duplicate + quarantined.",
)
def every_file_adds_up(lake: Lake) -> dg.AssetCheckResult:
    """The ledger's own conservation: its counts come from the tables that decide, rows_read from the file."""
    unbalanced = imbalance_in_words(read_ledger(lake.store))
    return dg.AssetCheckResult(passed=unbalanced is None, severity=dg.AssetCheckSeverity.ERROR, description=unbalanced)


def every_line_is_stored(dataset: str) -> TableCheck:
    """The blocking check that a raw table holds whole what the ledger counted in its files."""

    def lines_lost(raw: ibis.Table, store: LakeStore, days: list[date]) -> ibis.Table:
        ledger = store.read(LANDING_LEDGER)
        of_days = (ledger.dataset == dataset) & ledger.received_day.between(days[0], days[-1])
        counted = ledger.filter(of_days & ledger.rows_read.notnull())
        stored = raw.group_by("file_hash").agg(stored=raw.count())
        joined = counted.left_join(stored, counted.delivery == stored.file_hash)
        # A delivery that is not settled may not have been there yet when this run began.
        found = joined.mutate(stored=ibis.ifelse(joined.state == ACCEPTED, joined.stored.fill_null(0), joined.stored))
        return found.filter(found.stored != found.rows_read).select("path", "rows_read", "stored")

    return TableCheck(
        "every_line_is_stored",
        lines_lost,
        "Every line that the ledger counted in a file stands in the raw table; deliver a lost file again.",
        blocking=True,
    )


def rows_to_store(contract: Contract, dataset: str) -> Weigh:
    """Rows that each of some days holds already, and those of its files that are still to be stored."""

    def weigh(store: LakeStore, days: Sequence[date]) -> dict[date, int]:
        rows = store.rows_by_day(contract, days)
        for row in read_ledger(store):
            if row["dataset"] == dataset and row["state"] == PENDING and row["received_day"] in rows:
                rows[row["received_day"]] += row["rows_read"] or 0
        return rows

    return weigh


def raw_table(contract: Contract, dataset: str) -> dg.AssetsDefinition:
    """The raw table of a landed data set: what it holds already, lines read again, and the ledger's new deliveries."""

    def raw(store: LakeStore, days: list[date]) -> ibis.Table:
        settings = get_settings()
        held = store.read(contract, first=days[0], last=days[-1])
        releases = pending_releases(store, dataset=dataset, first=days[0], last=days[-1])
        held = read_again(store, settings, contract, dataset, held, releases)
        deliveries = pending_deliveries(store, settings, dataset, days[0], days[-1])
        stored = set(held.select("file_hash").distinct().to_pyarrow()["file_hash"].to_pylist())
        deliveries += lost_deliveries(store, settings, dataset, days[0], days[-1], held=stored)
        if not deliveries:
            return held
        landed = store.taken(
            read_deliveries(
                store.door,
                dataset,
                deliveries,
                timezone=settings.timezone,
                max_line_bytes=settings.max_line_bytes,
                max_file_bytes=settings.max_file_bytes,
            )
        )
        if not stored:
            return landed
        kept = held.filter(held.file_hash.notin([delivery.delivery for delivery in deliveries]))
        return kept.union(landed)

    books = [LANDING_LEDGER.name, QUARANTINE_RELEASES.name]
    return table(contract, deps=books, checks=[every_line_is_stored(dataset)], weigh=rows_to_store(contract, dataset))(
        raw
    )


raw_events = raw_table(RAW_EVENTS, "events")
raw_catalogue = raw_table(RAW_CATALOGUE, "catalogue")
raw_marketing_spend = raw_table(RAW_MARKETING_SPEND, "marketing_spend")
raw_assignments = raw_table(RAW_ASSIGNMENTS, "assignments")
