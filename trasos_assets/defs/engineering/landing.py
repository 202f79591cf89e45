"""Raw tables: everything that landed, as it landed."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from datetime import UTC, date, datetime, timedelta

import dagster as dg
import ibis

from trasos_assets.contracts.engineering import (
    LANDING_LEDGER,
    RAW_ASSIGNMENTS,
    RAW_CATALOGUE,
    RAW_EVENTS,
    RAW_MARKETING_SPEND,
)
from trasos_assets.contracts.model import Contract
from trasos_assets.lake.engine import Lake
from trasos_assets.lake.metadata import definition_metadata
from trasos_assets.lake.store import LakeStore
from trasos_assets.lake.table import TableCheck, freshness_policy, table
from trasos_assets.landing.ledger import REJECTED, WAITING, pending_deliveries, read_ledger
from trasos_assets.landing.parse import read_deliveries
from trasos_assets.settings import get_settings

landing_ledger = dg.AssetSpec(
    LANDING_LEDGER.name,
    description=LANDING_LEDGER.description + " Kept by the landing sensor and `trasos run`.",
    metadata=definition_metadata(LANDING_LEDGER),
    freshness_policy=freshness_policy(LANDING_LEDGER),
    kinds=set(LANDING_LEDGER.kinds),
)


@dg.asset_check(
    asset=LANDING_LEDGER.name,
    description="No landed file was rejected, or waits to become readable for longer than landing_wait_hours.",
)
def no_file_in_trouble(lake: Lake) -> dg.AssetCheckResult:
    """Files that could not be taken, each with the reason and what to do."""
    patience = timedelta(hours=lake.settings.landing_wait_hours)
    now = datetime.now(UTC).replace(tzinfo=None)
    rows = [
        row
        for row in read_ledger(lake.store)
        if row["state"] == REJECTED or (row["state"] == WAITING and now - row["first_seen_at"] > patience)
    ]
    return dg.AssetCheckResult(
        passed=not rows,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(row["reason"] for row in rows)[:2000] or None,
        metadata={"files": len(rows), "reasons": dg.MetadataValue.json([row["reason"] for row in rows[:50]])},
    )


def _lines_lost(raw: ibis.Table, store: LakeStore) -> ibis.Table:
    """Deliveries of which not every line that the ledger counted stands in the raw table."""
    ledger = store.read(LANDING_LEDGER).filter(lambda t: t.rows_read.notnull())
    stored = raw.group_by("file_hash").agg(stored=raw.count())
    joined = stored.inner_join(ledger, stored.file_hash == ledger.delivery)
    return joined.filter(joined.stored != joined.rows_read).select("path", "rows_read", "stored")


EVERY_LINE_IS_STORED = TableCheck(
    "every_line_is_stored",
    _lines_lost,
    "Every line that the ledger counted in a file stands in the raw table.",
    blocking=True,
)


def raw_table(contract: Contract, dataset: str) -> dg.AssetsDefinition:
    """The raw table of a landed data set: what it holds already, and the ledger's new deliveries."""

    def raw(store: LakeStore, days: list[date]) -> ibis.Table:
        settings = get_settings()
        deliveries = pending_deliveries(store, settings, dataset, days[0], days[-1])
        held = store.read(contract, first=days[0], last=days[-1])
        if not deliveries:
            return held
        landed = read_deliveries(
            store.backend,
            dataset,
            deliveries,
            timezone=settings.timezone,
            max_line_bytes=settings.max_line_bytes,
            max_file_bytes=settings.max_file_bytes,
        )
        kept = held.filter(held.file_hash.notin([delivery.delivery for delivery in deliveries]))
        return kept.union(landed)

    return table(contract, deps=[LANDING_LEDGER.name], checks=[EVERY_LINE_IS_STORED])(raw)


raw_events = raw_table(RAW_EVENTS, "events")
raw_catalogue = raw_table(RAW_CATALOGUE, "catalogue")
raw_marketing_spend = raw_table(RAW_MARKETING_SPEND, "marketing_spend")
raw_assignments = raw_table(RAW_ASSIGNMENTS, "assignments")
