"""What has to run, and in which order: one ingest is three stages.

Raw tables over the received days that got new files, tables by day over the days these affect, tables without
partitions that lie behind anything they are made of. `trasos run` and the landing sensor carry out the same plan.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.engineering import (
    EVENT_KEYS,
    EVENT_STATES,
    RAW_ASSIGNMENTS,
    RAW_CATALOGUE,
    RAW_EVENTS,
    RAW_MARKETING_SPEND,
)
from trasos_assets.defs.operations.releases import days_to_read_again, event_days, record_days
from trasos_assets.lake.days import contiguous, every_day
from trasos_assets.lake.gone import Gone
from trasos_assets.lake.store import LakeStore
from trasos_assets.lake.warehouse import warehouse_serves
from trasos_assets.landing.ledger import Row, taken_days
from trasos_assets.landing.releases import lateness_waivers
from trasos_assets.publishing.files import POINTER
from trasos_assets.reports.leaderboard import PAGE as LEADERBOARD_PAGE
from trasos_assets.reports.model_card import FOLDER as MODEL_CARDS
from trasos_assets.reports.monitoring import PAGE as MONITORING_PAGE
from trasos_assets.settings import Settings
from trasos_assets.trust.releases import Release
from trasos_assets.trust.restate import affected_days

RAW = {c.name.removeprefix("raw_"): c for c in (RAW_EVENTS, RAW_CATALOGUE, RAW_MARKETING_SPEND, RAW_ASSIGNMENTS)}
RAW_NAMES = tuple(contract.name for contract in RAW.values())
BY_DAY_NAMES = tuple(c.name for c in CONTRACTS.values() if c.partitioned and c.name not in RAW_NAMES)
RECORDS_BY_DAY = "quarantined_records"
EVENTS_FIRST = ({EVENT_KEYS.name}, {EVENT_STATES.name})
"""Tables that those after them read on other days too: built over all ranges of days before the next."""

WEEKLY_TAG = ("trasos/cadence", "weekly")
OWN_SCHEDULE = "scheduled"
"""The cadence of assets that only their own schedule builds: an ingest, and the morning, leave them alone."""


_RANGE_START, _RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


@dataclass(frozen=True)
class PlannedRun:
    """One run: assets, the days where they have days, and why."""

    job: str
    assets: tuple[str, ...]
    why: str
    first: date | None = None
    last: date | None = None

    @property
    def tags(self) -> dict[str, str]:
        """Run tags that carry the range of days."""
        if self.first is None or self.last is None:
            return {}
        return {_RANGE_START: self.first.isoformat(), _RANGE_END: self.last.isoformat()}


def days_of(runs: Iterable[PlannedRun | dg.DagsterRun]) -> set[date]:
    """The days that some runs, planned or carried out, go over."""
    ranges = [(run.tags.get(_RANGE_START), run.tags.get(_RANGE_END)) for run in runs]
    return {
        day
        for first, last in ranges
        if first and last
        for day in every_day(date.fromisoformat(first), date.fromisoformat(last))
    }


def _ranges(needs: Mapping[str, set[date]], job: str, why: str, gone: Gone) -> list[PlannedRun]:
    """Runs over contiguous days; each takes the tables that need any of its days, over all of them.

    A table is in no run over a day that is barred for it: there the days are parted.
    """
    days = set().union(*needs.values()) if needs else set()
    refused = {name: gone.barred(name, days) for name in needs}

    def refusing(day: date) -> frozenset[str]:
        return frozenset(name for name, closed in refused.items() if day in closed)

    runs = []
    for first, last in contiguous(days):
        for names, group in itertools.groupby(every_day(first, last), refusing):
            span = list(group)
            assets = tuple(name for name, wanted in needs.items() if name not in names and wanted.intersection(span))
            if assets:
                runs.append(PlannedRun(job, assets, why, span[0], span[-1]))
    return runs


def kept_days(store: LakeStore, settings: Settings, days: Iterable[date]) -> list[date]:
    """Of the lake's days those that events can still be built on: retention has not removed what they are made of."""
    gone = Gone.of(store, dedup_days=settings.dedup_days)
    return [day for day in days if not gone.sealed(day)]


def lake_days(store: LakeStore, pending: Sequence[Row], first: date) -> list[date]:
    """Every day from the lake's first to its last, with what is pending."""
    known = [day for contract in RAW.values() for day in store.days(contract)[-1:]]
    known += [row["received_day"] for row in pending]
    return every_day(first, max(known)) if known else []


def raw_runs(
    store: LakeStore,
    settings: Settings,
    pending: Sequence[Row],
    days: Sequence[date],
    *,
    releases: Sequence[Release] = (),
) -> list[PlannedRun]:
    """Stage one: raw tables over the received days of new files, over days that were never published, and over days
    with lines that releases from the quarantine ask to read again.
    """
    needs = {}
    gone = Gone.of(store, dedup_days=settings.dedup_days)
    for dataset, contract in RAW.items():
        landed = {row["received_day"] for row in pending if row["dataset"] == dataset}
        # Every day has events, if only none; reference data has the days on which it came.
        expected = set(days) if contract is RAW_EVENTS else taken_days(store, dataset)
        again = days_to_read_again(store, contract, [r for r in releases if r.dataset == dataset])
        wanted = landed | again | (expected - set(store.days(contract)))
        wanted -= gone.barred(contract.name, wanted)
        if wanted:
            needs[contract.name] = wanted
    landed = f"{len(pending)} new file{'s' if len(pending) != 1 else ''}" if pending else ""
    return _ranges(needs, "ingest_raw", _why(landed, releases), gone)


def _why(landed: str, releases: Sequence[Release]) -> str:
    released = f"{len(releases)} release{'s' if len(releases) != 1 else ''} from the quarantine" if releases else ""
    return ", ".join(part for part in (landed, released) if part) or "days asked for, or not built yet"


def day_runs(
    store: LakeStore,
    settings: Settings,
    pending: Sequence[Row],
    days: Sequence[date],
    *,
    releases: Sequence[Release] = (),
    outdated: Iterable[str] = (),
    rebuild: Iterable[date] = (),
) -> list[PlannedRun]:
    """Stage two: tables by day over the days that new deliveries or releases affect, that are missing, or whose code
    changed.

    Args:
        store: the lake, with stage one done.
        settings: late days and dedup days.
        pending: the ledger's new deliveries.
        days: every day of the lake; those whose lines retention removed are left out here.
        releases: releases from the quarantine that wait.
        outdated: tables by day whose code changed: they and those after them are built over all days.
        rebuild: days to be built whatever happened.

    One run a contiguous range of days. Are there several ranges, then the states of all come before the events of any:
    the events of a day are read from later days' states too.
    """
    # A day whose lines retention removed stays as it is: built again it would come out empty.
    gone = Gone.of(store, dedup_days=settings.dedup_days)
    lake = {day for day in days if not gone.sealed(day)}
    by_events = set(rebuild) & lake
    records = set().union(*(store.days(contract) for name, contract in RAW.items() if name != "events"))
    by_records = set(rebuild) & records
    events = [row for row in pending if row["dataset"] == "events"]
    by_events |= event_days(store, releases, dedup_days=settings.dedup_days) & lake
    by_records |= record_days(store, releases)
    if events:
        around = timedelta(days=settings.dedup_days)
        received = [row["received_day"] for row in events]
        raw = store.read(RAW_EVENTS, first=min(received) - around, last=max(received) + around)
        found = affected_days(
            raw,
            [row["delivery"] for row in events],
            dedup_days=settings.dedup_days,
            late_days=settings.late_days,
            unbounded=[(release.since, release.until) for release in lateness_waivers(store)],
        )
        by_events |= set(found.to_pyarrow()["day"].to_pylist()) & lake
        by_events |= {day for day in received if not gone.sealed(day)}
    by_records |= {row["received_day"] for row in pending if row["dataset"] != "events"}
    if set(outdated):
        by_events, by_records = lake, records
    needs = {}
    for name in BY_DAY_NAMES:
        own, touched = (records, by_records) if name == RECORDS_BY_DAY else (lake, by_events)
        wanted = touched | (own - set(store.days(CONTRACTS[name])))
        wanted -= gone.barred(name, wanted)
        if wanted:
            needs[name] = wanted
    why = _why("code changed" if set(outdated) else "what landed" if pending else "", releases)
    runs = _ranges(needs, "ingest_days", why, gone)
    if len(runs) < 2:
        return runs
    return [
        run
        for layer in (*EVENTS_FIRST, set(needs).difference(*EVENTS_FIRST))
        for run in _ranges({name: wanted for name, wanted in needs.items() if name in layer}, "ingest_days", why, gone)
    ]


def unfinished_days(graph: AssetGraph, instance: dg.DagsterInstance) -> set[date]:
    """Days on which a table by day was built again, but not one that is made of it: a run ended between the two.

    Files that were not taken yet bring such days again by themselves; days that a change of code or a rebuild asked
    for would not. To be called before stage one, which itself runs ahead of the tables by day.
    """
    names = (*RAW_NAMES, *BY_DAY_NAMES)
    built = {
        name: instance.event_log_storage.get_latest_storage_id_by_partition(
            dg.AssetKey(name), dg.DagsterEventType.ASSET_MATERIALIZATION
        )
        for name in names
    }
    return {
        date.fromisoformat(day)
        for name in BY_DAY_NAMES
        for parent in graph.get(dg.AssetKey(name)).parent_keys
        for day, storage_id in built.get(parent.path[-1], {}).items()
        if storage_id > built[name].get(day, 0)
    }


def unchecked(graph: AssetGraph, instance: dg.DagsterInstance) -> set[str]:
    """Assets with a check whose result never came: the run that was to give it ended before."""
    keys = list(graph.asset_check_keys)
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    planned = AssetCheckExecutionRecordStatus.PLANNED
    return {key.asset_key.path[-1] for key, record in latest.items() if record.status == planned}


@dataclass(frozen=True)
class Standing:
    """Where one asset stands in the event log: its last materialisation and the code it was made with."""

    storage_id: int
    code_version: str | None


def standings(instance: dg.DagsterInstance, names: Iterable[str]) -> dict[str, Standing]:
    """The last materialisation of each asset that has one."""
    found = {}
    for name in names:
        records = instance.fetch_materializations(dg.AssetKey(name), limit=1).records
        if records:
            event = records[0].asset_materialization
            version = (event.tags or {}).get("dagster/code_version") if event else None
            found[name] = Standing(records[0].storage_id, version)
    return found


def products_present(settings: Settings) -> list[str]:
    """Assets that are no tables and whose product stands in the data folder."""
    present = ["kpi_dashboard"] if settings.dashboard_page.exists() else []
    present += ["leaderboard_page"] if (settings.reports_dir / LEADERBOARD_PAGE).exists() else []
    present += ["monitoring_page"] if (settings.reports_dir / MONITORING_PAGE).exists() else []
    present += ["model_card"] if (settings.reports_dir / MODEL_CARDS).exists() else []
    warehouse = settings.warehouse_path
    if warehouse.exists() and warehouse_serves(warehouse, settings.lake_dir, settings.warehouse):
        present.append("warehouse")
    if (settings.published_dir / POINTER).exists():
        present.append("published_recommendations")
    return present


def outdated_by_code(graph: AssetGraph, standing: Mapping[str, Standing], names: Iterable[str]) -> list[str]:
    """Assets that were built with other code than they have now."""
    return [
        name
        for name in names
        if name in standing and standing[name].code_version != graph.get(dg.AssetKey(name)).code_version
    ]


def table_run(
    graph: AssetGraph,
    store: LakeStore,
    standing: Mapping[str, Standing],
    *,
    present: Collection[str],
    retrain: bool,
    unchecked: Collection[str] = (),
    everything: bool = False,
) -> PlannedRun | None:
    """Stage three: every table without partitions that lies behind what it is made of, or was made by other code.

    Args:
        graph: the assets.
        store: the lake.
        standing: last materialisations, with the first two stages done.
        present: assets that are no tables and whose product is there.
        retrain: whether tables of the weekly cadence are refreshed too; those that never were are in any case.
        unchecked: assets that are built again because a check of theirs has no result.
        everything: take all of them.
    """
    behind: dict[str, str] = {}
    for key in graph.toposorted_asset_keys:
        name, node = key.path[-1], graph.get(key)
        if not node.is_materializable or node.partitions_def is not None:
            continue
        if node.tags.get(WEEKLY_TAG[0]) == OWN_SCHEDULE:
            continue
        own = standing.get(name)
        contract = CONTRACTS.get(name)
        published = store.exists(contract) if contract else name in present
        newer = [
            parent.path[-1]
            for parent in node.parent_keys
            if parent.path[-1] in behind
            or (own and parent.path[-1] in standing and standing[parent.path[-1]].storage_id > own.storage_id)
        ]
        if own is None or not published:
            behind[name] = "never built"
        elif node.tags.get(WEEKLY_TAG[0]) == WEEKLY_TAG[1] and not retrain:
            continue
        elif everything:
            behind[name] = "asked for"
        elif own.code_version != node.code_version:
            behind[name] = "code changed"
        elif name in unchecked:
            behind[name] = "unchecked"
        elif newer:
            behind[name] = f"newer {', '.join(sorted(newer))}"
    if not behind:
        return None
    reasons = sorted({reason.split(" ")[0] for reason in behind.values()})
    return PlannedRun("refresh_tables", tuple(behind), f"{len(behind)} tables behind ({', '.join(reasons)})")
