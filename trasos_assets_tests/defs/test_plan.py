"""What a plan holds, and in which order, without running anything."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.engineering import EVENT_KEYS, EVENT_STATES, RAW_CATALOGUE, RAW_EVENTS
from trasos_assets.defs.engineering.events import _lines_out_of_balance, _refused_lines_lost
from trasos_assets.defs.operations.plan import BY_DAY_NAMES, PlannedRun, day_runs, raw_runs
from trasos_assets.lake.days import every_day
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing.releases import make_release
from trasos_assets.settings import Settings
from trasos_assets.trust.releases import Release
from trasos_assets_tests.conftest import MakeTable
from trasos_assets_tests.trust.events import DAY, line, unread

DAYS = every_day(DAY - timedelta(days=9), DAY)
Rows = list[dict[str, Any]]


def release(reason: str, *, waived: bool, dataset: str = "events") -> Release:
    return make_release(
        dataset=dataset,
        reason=reason,
        since=DAYS[0],
        until=None,
        file_hash=None,
        waived=waived,
        released_by="ana",
        note=None,
        timezone="UTC",
        now=datetime(2026, 3, 20, tzinfo=UTC),
    )


@pytest.fixture
def built(store: LakeStore, table: MakeTable) -> LakeStore:
    """A lake with every day of every table by day, all empty."""
    for name in (*BY_DAY_NAMES, RAW_EVENTS.name, RAW_CATALOGUE.name):
        store.write(CONTRACTS[name], table(CONTRACTS[name], []), DAYS)
    return store


def days_of(runs: list[PlannedRun], name: str) -> set[date]:
    return {
        day for run in runs if name in run.assets and run.first and run.last for day in every_day(run.first, run.last)
    }


def test_nothing_is_planned_where_nothing_is_asked(built: LakeStore, settings: Settings) -> None:
    assert raw_runs(built, settings, [], DAYS) == []
    assert day_runs(built, settings, [], DAYS) == []


def test_states_of_all_days_come_before_the_events_of_any(
    built: LakeStore, settings: Settings, table: MakeTable
) -> None:
    late = DAY - timedelta(days=2)
    rows = [line(1, file="new", occurred_at=datetime(late.year, late.month, late.day, 9))]
    built.write(RAW_EVENTS, table(RAW_EVENTS, rows), [DAY])
    pending = [{"delivery": "new", "dataset": "events", "received_day": DAY}]
    runs = day_runs(built, settings, pending, DAYS)
    assert days_of(runs, "clean_events") == {late, DAY}
    last_states = max(n for n, run in enumerate(runs) if "event_states" in run.assets)
    first_events = min(n for n, run in enumerate(runs) if "clean_events" in run.assets)
    last_keys = max(n for n, run in enumerate(runs) if "event_keys" in run.assets)
    assert last_keys < min(n for n, run in enumerate(runs) if "event_states" in run.assets)
    assert last_states < first_events


def test_days_without_gaps_are_one_run(built: LakeStore, settings: Settings) -> None:
    (run,) = day_runs(built, settings, [], DAYS, rebuild=DAYS[2:6])
    assert (run.first, run.last) == (DAYS[2], DAYS[5])


def test_a_lost_day_of_any_table_is_planned(built: LakeStore, settings: Settings) -> None:
    for name in BY_DAY_NAMES:
        built.file(CONTRACTS[name], DAYS[3]).unlink()
        assert days_of(day_runs(built, settings, [], DAYS), name) == {DAYS[3]}, name
        built.write(CONTRACTS[name], built.table_of(CONTRACTS[name], []), [DAYS[3]])


@pytest.mark.parametrize("built_with_it", [False, True])
def test_a_waiver_plans_where_its_lines_were_received_and_where_they_occurred(
    built: LakeStore, settings: Settings, table: MakeTable, built_with_it: bool
) -> None:
    said = {"waived": "too_late"} if built_with_it else {"reasons": "too_late"}
    key = {"day": DAY, "file_hash": "f", "line": 1, "event_id": "e", "occurred_day": DAYS[1]} | said
    rival = {"day": DAYS[6], "file_hash": "f", "line": 2, "event_id": "e", "occurred_day": DAYS[5]}
    other = {"day": DAYS[7], "file_hash": "f", "line": 3, "event_id": "x", "occurred_day": DAYS[2]}
    built.write(EVENT_KEYS, table(EVENT_KEYS, [key, rival, other]), DAYS)
    asked = [release("too_late", waived=True)]
    runs = day_runs(built, settings, [], DAYS, releases=asked)
    assert days_of(runs, "clean_events") == {DAYS[1], DAYS[5], DAYS[6], DAY}
    assert raw_runs(built, settings, [], DAYS, releases=asked) == []
    assert {run.why for run in runs} == {"1 release from the quarantine"}


def test_lines_to_read_again_plan_their_raw_days_and_afterwards_the_days_they_turn_out_to_be_of(
    built: LakeStore, settings: Settings, table: MakeTable
) -> None:
    asked = release("malformed", waived=False)
    built.write(RAW_EVENTS, table(RAW_EVENTS, [unread(1, "malformed", "{", received=DAYS[4])]), DAYS)
    runs = raw_runs(built, settings, [], DAYS, releases=[asked])
    assert [(run.assets, run.first, run.last) for run in runs] == [(("raw_events",), DAYS[4], DAYS[4])]
    read = line(1, received=DAYS[4], occurred_day=DAYS[2], raw="{}", release_id=asked.release_id)
    built.write(RAW_EVENTS, table(RAW_EVENTS, [read]), DAYS)
    assert raw_runs(built, settings, [], DAYS, releases=[asked]) == []
    assert days_of(day_runs(built, settings, [], DAYS, releases=[asked]), "clean_events") == {DAYS[2], DAYS[4]}


def test_reference_data_is_planned_by_its_own_days(built: LakeStore, settings: Settings, table: MakeTable) -> None:
    asked = release("malformed", waived=False, dataset="catalogue")
    built.write(RAW_CATALOGUE, table(RAW_CATALOGUE, [unread(1, "malformed", "{", received=DAYS[4])]), DAYS)
    (run,) = raw_runs(built, settings, [], DAYS, releases=[asked])
    assert (run.assets, run.first) == (("raw_catalogue",), DAYS[4])
    item = {"day": DAYS[4], "file_hash": "f", "line": 1, "item_id": "i", "release_id": asked.release_id}
    built.write(RAW_CATALOGUE, table(RAW_CATALOGUE, [item]), DAYS)
    (run,) = day_runs(built, settings, [], DAYS, releases=[asked])
    assert (run.assets, run.first, run.last) == (("quarantined_records",), DAYS[4], DAYS[4])


def state(number: int, file: str = "f1", **fields: Any) -> dict[str, Any]:
    return {"day": DAY, "file_hash": file, "line": number, "state": "accepted"} | fields


@pytest.mark.parametrize(
    ("found", "against"),
    [
        ([state(1), state(2), state(1, "f2")], []),
        ([state(1), state(1, "f2")], [("file_hash", 2, 1), ("day", 3, 2)]),
        ([], [("file_hash", 2, None), ("file_hash", 1, None), ("day", 3, None)]),
        ([state(1), state(2), state(3), state(1, "f2")], [("file_hash", 2, 3), ("day", 3, 4)]),
        ([state(1), state(1, "f2"), state(2, "f2")], [("file_hash", 2, 1), ("file_hash", 1, 2)]),
        ([state(1), state(2), state(1, "f2"), state(1, "f3")], [("file_hash", None, 1), ("day", 3, 4)]),
    ],
    ids=["whole", "lost", "all lost", "invented", "moved to another file", "of no file"],
)
def test_lines_lost_or_invented_show_in_the_books_of_their_file_and_of_their_day(
    store: LakeStore, table: MakeTable, found: Rows, against: list[tuple[str, Any, Any]]
) -> None:
    store.write(RAW_EVENTS, table(RAW_EVENTS, [line(1), line(2), line(1, file="f2")]), [DAY])
    wrong = _lines_out_of_balance(table(EVENT_STATES, found), store, [DAY]).to_pyarrow().to_pylist()
    assert sorted((row["per"], row["read"] or 0, row["accepted"] or 0) for row in wrong) == sorted(
        (per, read or 0, accepted or 0) for per, read, accepted in against
    )
    assert {row["day"] for row in wrong} <= {DAY}


def test_a_refused_line_that_the_quarantine_lacks_or_a_good_one_that_it_holds_is_found(table: MakeTable) -> None:
    contract = CONTRACTS["quarantined_events"]
    states = table(EVENT_STATES, [state(1), state(2, state="quarantined", reasons="x")])

    def lost(*numbers: int) -> list[int]:
        rows = [{"day": DAY, "file_hash": "f1", "line": n, "reasons": "x", "raw": ""} for n in numbers]
        return sorted(_refused_lines_lost(table(contract, rows), states).to_pyarrow()["line"].to_pylist())

    assert (lost(2), lost(), lost(1, 2)) == ([], [2], [1])
