"""Days whose lines retention removed: nothing is built over them, planned for them or waived onto them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.engineering import EVENT_KEYS, QUARANTINED_EVENTS, RAW_CATALOGUE, RAW_EVENTS
from trasos_assets.contracts.storage import REMOVED, RETENTION
from trasos_assets.defs.operations.plan import BY_DAY_NAMES, PlannedRun, day_runs, kept_days, lake_days, raw_runs
from trasos_assets.lake.days import every_day
from trasos_assets.lake.store import LakeStore
from trasos_assets.settings import Settings
from trasos_assets.trust.classify import event_keys
from trasos_assets.trust.releases import Release
from trasos_assets_tests.conftest import MakeTable
from trasos_assets_tests.trust.events import DAY, line

DAYS = every_day(DAY - timedelta(days=14), DAY)
GONE, KEPT = DAYS[:5], DAYS[5:]
NOW = datetime(2026, 3, 20)


def removed(name: str, days: Collection[date]) -> list[dict[str, Any]]:
    told = {"kind": "table", "name": name, "state": REMOVED, "planned_at": NOW, "removed_at": NOW}
    return [told | {"day": day, "bytes": 1, "files": 1, "rows": 1} for day in days]


@pytest.fixture
def built(store: LakeStore, table: MakeTable) -> LakeStore:
    """A lake with every day of every table by day, all empty, of which retention removed lines and refused lines."""
    for name in (*BY_DAY_NAMES, RAW_EVENTS.name, RAW_CATALOGUE.name):
        store.write(CONTRACTS[name], table(CONTRACTS[name], []), DAYS)
    store.write(RETENTION, table(RETENTION, [*removed(RAW_EVENTS.name, GONE), *removed(QUARANTINED_EVENTS.name, GONE)]))
    for day in GONE:
        store.remove(RAW_EVENTS, day)
        store.remove(QUARANTINED_EVENTS, day)
    return store


def days_of(runs: list[PlannedRun], name: str) -> set[date]:
    return {
        day for run in runs if name in run.assets and run.first and run.last for day in every_day(run.first, run.last)
    }


def test_a_day_that_was_removed_is_not_missing(built: LakeStore, settings: Settings) -> None:
    assert lake_days(built, [], DAYS[0]) == DAYS
    assert raw_runs(built, settings, [], DAYS) == []
    assert day_runs(built, settings, [], DAYS) == []
    assert kept_days(built, settings, DAYS) == KEPT


def test_a_day_that_was_lost_is_missing_still(built: LakeStore, settings: Settings) -> None:
    built.remove(RAW_EVENTS, KEPT[2])
    built.remove(QUARANTINED_EVENTS, KEPT[3])
    assert days_of(raw_runs(built, settings, [], DAYS), RAW_EVENTS.name) == {KEPT[2]}
    assert days_of(day_runs(built, settings, [], DAYS), QUARANTINED_EVENTS.name) == {KEPT[3]}


def test_what_was_made_of_removed_lines_and_then_lost_is_not_made_of_nothing(
    built: LakeStore, settings: Settings
) -> None:
    built.remove(CONTRACTS["clean_events"], GONE[2])
    assert day_runs(built, settings, [], DAYS) == []


def test_changed_code_and_a_rebuild_stop_at_the_days_that_can_be_built(built: LakeStore, settings: Settings) -> None:
    asked = (
        day_runs(built, settings, [], DAYS, outdated=["clean_events"]),
        day_runs(built, settings, [], DAYS, rebuild=DAYS),
    )
    for runs in asked:
        for name in set(BY_DAY_NAMES) - {"quarantined_records"}:
            assert days_of(runs, name) == set(KEPT), name
        assert days_of(runs, "quarantined_records") == set(DAYS)


def test_tables_that_may_be_built_on_other_days_share_no_run_over_a_removed_one(
    built: LakeStore, settings: Settings
) -> None:
    pending = [
        {"delivery": "c", "dataset": "catalogue", "received_day": GONE[4]},
        {"delivery": "e", "dataset": "events", "received_day": KEPT[0]},
    ]
    runs = raw_runs(built, settings, pending, DAYS)
    assert days_of(runs, RAW_CATALOGUE.name) == {GONE[4]}
    assert days_of(runs, RAW_EVENTS.name) == {KEPT[0]}


def test_a_table_that_is_kept_for_a_shorter_time_bars_its_own_days_only(
    built: LakeStore, settings: Settings, table: MakeTable
) -> None:
    rows = [*removed(RAW_EVENTS.name, GONE), *removed(QUARANTINED_EVENTS.name, DAYS[:8])]
    built.write(RETENTION, table(RETENTION, rows))
    runs = day_runs(built, settings, [], DAYS, rebuild=DAYS)
    assert days_of(runs, QUARANTINED_EVENTS.name) == set(DAYS[8:])
    assert days_of(runs, "clean_events") == set(KEPT)


def test_ids_that_are_gone_seal_the_days_that_compare_with_them(
    built: LakeStore, settings: Settings, table: MakeTable
) -> None:
    built.write(RETENTION, table(RETENTION, removed(EVENT_KEYS.name, [DAYS[0]])))
    assert kept_days(built, settings, DAYS) == DAYS[1 + settings.dedup_days :]


def test_no_release_waives_lateness_for_a_sealed_day(table: MakeTable) -> None:
    at = datetime(GONE[-1].year, GONE[-1].month, GONE[-1].day, 9)
    rows = [line(1, occurred_at=at), line(2, occurred_at=at + timedelta(days=1))]
    waiver = Release(
        dataset="events",
        reason="too_late",
        since=DAY,
        until=DAY,
        waived=True,
        released_on=DAY,
        released_at=NOW,
        released_by="ana",
    )

    def reasons(sealed: date | None) -> list[str | None]:
        raw = table(RAW_EVENTS, rows)
        around: dict[str, Any] = {"late_days": 3, "currency": "GBP", "first_day": DAYS[0], "releases": [waiver]}
        keys = event_keys(raw, **around, sealed_through=sealed)
        return keys.order_by("line").to_pyarrow()["reasons"].to_pylist()

    assert reasons(None) == [None, None]
    assert reasons(GONE[-1]) == ["too_late", None]
