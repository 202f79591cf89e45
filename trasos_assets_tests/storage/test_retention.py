"""Retention: planned at first sight, removed after days of grace, by the watermark, and nothing else with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from trasos_assets.contracts.engineering import (
    CLEAN_EVENTS,
    EVENT_KEYS,
    LANDING_LEDGER,
    QUARANTINE_RELEASES,
    QUARANTINED_EVENTS,
    RAW_EVENTS,
    WATERMARK,
)
from trasos_assets.contracts.storage import PLANNED, REMOVED
from trasos_assets.lake.days import every_day
from trasos_assets.lake.gone import read_book
from trasos_assets.lake.store import LakeError, LakeStore
from trasos_assets.landing import archive
from trasos_assets.landing.entries import identity
from trasos_assets.landing.streams import file_signature
from trasos_assets.settings import Settings
from trasos_assets.storage.retention import Partition, meet, next_book, overdue
from trasos_assets_tests.conftest import MakeTable

THROUGH = date(2026, 6, 30)
KEEP = RAW_EVENTS.keep_days or 0
LAST_OLD = THROUGH - timedelta(days=KEEP)
DAYS = every_day(LAST_OLD - timedelta(days=2), LAST_OLD + timedelta(days=2))
NOW = datetime(2026, 7, 1, 4)
WEEK = timedelta(days=7)


@pytest.fixture
def lake(store: LakeStore, table: MakeTable) -> LakeStore:
    """Five days around the last one that raw events are not kept any more, one line each."""
    store.write(WATERMARK, table(WATERMARK, [{"first_day": DAYS[0], "data_through": THROUGH}]))
    for contract in (RAW_EVENTS, EVENT_KEYS, QUARANTINED_EVENTS):
        store.write(contract, table(contract, [{"day": day, "file_hash": "f", "line": 1} for day in DAYS]), DAYS)
    store.write(CLEAN_EVENTS, table(CLEAN_EVENTS, [{"day": day, "event_id": "e"} for day in DAYS]), DAYS)
    return store


def switched(settings: Settings, **changes: Any) -> Settings:
    return settings.model_copy(update={"retention": "on", **changes})


def states(store: LakeStore, name: str = RAW_EVENTS.name) -> dict[date, str]:
    return {row["day"]: row["state"] for row in read_book(store) if row["name"] == name}


def test_days_older_than_they_are_kept_are_met_and_no_others(lake: LakeStore, settings: Settings) -> None:
    found = overdue(lake, settings)
    assert {(p.kind, p.name, p.day) for p in found} == {
        ("table", name, day) for name in (RAW_EVENTS.name, QUARANTINED_EVENTS.name) for day in DAYS[:3]
    }
    assert {(p.files, p.rows) for p in found} == {(1, 1)}
    sizes = lake.bytes_by_day(RAW_EVENTS)
    assert [p.bytes for p in found if p.name == RAW_EVENTS.name] == [sizes[day] for day in DAYS[:3]]


def test_the_first_meeting_only_plans_and_a_later_one_removes(lake: LakeStore, settings: Settings) -> None:
    chosen = switched(settings)
    first = meet(lake, chosen, now=NOW)
    assert (len(first.planned), len(first.removed)) == (6, 0)
    assert lake.days(RAW_EVENTS) == DAYS
    early = meet(lake, chosen, now=NOW + WEEK - timedelta(seconds=1))
    assert (early.planned, early.removed) == ((), ())
    late = meet(lake, chosen, now=NOW + WEEK)
    assert {row["day"] for row in late.removed} == set(DAYS[:3])
    assert lake.days(RAW_EVENTS) == lake.days(QUARANTINED_EVENTS) == DAYS[3:]
    assert lake.days(CLEAN_EVENTS) == lake.days(EVENT_KEYS) == DAYS
    assert set(states(lake).values()) == {REMOVED}
    again = meet(lake, chosen, now=NOW + 2 * WEEK)
    assert (again.planned, again.removed, again.book) == ((), (), late.book)


@pytest.mark.parametrize(("mode", "planned"), [("off", 0), ("dry", 6)])
def test_nothing_is_removed_unless_it_is_switched_on(
    mode: str, planned: int, lake: LakeStore, settings: Settings
) -> None:
    for moment in (NOW, NOW + 2 * WEEK):
        meet(lake, switched(settings, retention=mode), now=moment)
    assert lake.days(RAW_EVENTS) == DAYS
    assert [row["state"] for row in read_book(lake)] == [PLANNED] * planned


def test_a_persons_word_removes_in_a_dry_installation_but_keeps_the_days_of_grace(
    lake: LakeStore, settings: Settings
) -> None:
    meet(lake, settings, now=NOW, remove=True)
    assert lake.days(RAW_EVENTS) == DAYS
    meet(lake, settings, now=NOW + WEEK, remove=True)
    assert lake.days(RAW_EVENTS) == DAYS[3:]


def test_age_counts_from_the_watermark_and_not_from_the_clock(
    lake: LakeStore, settings: Settings, table: MakeTable
) -> None:
    lake.write(WATERMARK, table(WATERMARK, [{"first_day": DAYS[0], "data_through": THROUGH - timedelta(days=9)}]))
    assert meet(lake, switched(settings), now=NOW + timedelta(days=3650)).book == ()
    lake.write(WATERMARK, table(WATERMARK, []))
    assert overdue(lake, settings) == []


def test_what_is_kept_longer_after_all_leaves_the_plan(
    lake: LakeStore, settings: Settings, monkeypatch: pytest.MonkeyPatch, table: MakeTable
) -> None:
    meet(lake, switched(settings), now=NOW)
    lake.write(WATERMARK, table(WATERMARK, [{"first_day": DAYS[0], "data_through": THROUGH - timedelta(days=1)}]))
    meet(lake, switched(settings), now=NOW + WEEK)
    assert states(lake) == dict.fromkeys(DAYS[:2], REMOVED)
    assert DAYS[2] in lake.days(RAW_EVENTS)


def test_a_crash_after_the_book_is_written_leaves_nothing_unknown(
    lake: LakeStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = switched(settings)
    meet(lake, chosen, now=NOW)

    def crash(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(LakeStore, "remove", crash)
        with pytest.raises(KeyboardInterrupt):
            meet(lake, chosen, now=NOW + WEEK)
    assert set(states(lake)) == set(DAYS[:3])
    assert lake.days(RAW_EVENTS) == DAYS
    meet(lake, chosen, now=NOW + WEEK + timedelta(days=1))
    assert set(states(lake).values()) == {PLANNED}, "what is there again is met anew"
    meet(lake, chosen, now=NOW + 3 * WEEK)
    assert lake.days(RAW_EVENTS) == DAYS[3:]


@pytest.mark.parametrize("waiting", ["a file", "a release"])
def test_a_day_on_which_something_waits_stays(
    waiting: str, lake: LakeStore, settings: Settings, table: MakeTable
) -> None:
    if waiting == "a file":
        row = {"delivery": "new", "dataset": "events", "path": "p", "received_day": DAYS[1], "state": "pending"}
        lake.write(LANDING_LEDGER, table(LANDING_LEDGER, [row]))
    else:
        release = {"dataset": "events", "reason": "malformed", "since": DAYS[1], "until": DAYS[1], "waived": False}
        told = {"released_by": "ana", "released_on": DAYS[1], "released_at": NOW, "applied": False, "release_id": "r"}
        lake.write(QUARANTINE_RELEASES, table(QUARANTINE_RELEASES, [release | told]))
    assert {p.day for p in overdue(lake, settings)} == {DAYS[0], DAYS[2]}


def test_a_contract_that_keeps_less_than_events_are_compared_over_is_refused(
    lake: LakeStore, settings: Settings
) -> None:
    with pytest.raises(LakeError, match=r"raw_events keeps 400 days, but events are compared over 500 \(TRASOS_LATE"):
        overdue(lake, settings.model_copy(update={"late_days": 440, "dedup_days": 60}))


def test_a_partition_that_vanished_by_itself_leaves_the_plan() -> None:
    partition = Partition("table", "t", THROUGH, 5, 1, 2)
    book = next_book([], [partition], now=NOW, grace_days=7, remove=True)
    assert next_book(book, [], now=NOW + WEEK, grace_days=7, remove=True) == []


def test_without_days_of_grace_a_partition_is_still_planned_first() -> None:
    partition = Partition("table", "t", THROUGH, 5, 1, 2)
    book = next_book([], [partition], now=NOW, grace_days=0, remove=True)
    assert [row["state"] for row in book] == [PLANNED]
    assert [row["state"] for row in next_book(book, [partition], now=NOW, grace_days=0, remove=True)] == [REMOVED]


@dataclass
class Landing:
    """Files of three states on an old and a young day, with the ledger that knows them."""

    folder: Path
    old: date
    rows: list[dict[str, Any]]


@pytest.fixture
def landing(lake: LakeStore, settings: Settings, table: MakeTable) -> Landing:
    old, young = THROUGH - timedelta(days=30), THROUGH - timedelta(days=29)
    rows = []
    for day in (old, young):
        for name, state in (("a", "accepted"), ("b", "accepted"), ("w", "waiting")):
            path = settings.landing_dir / "events" / f"dt={day}" / f"{name}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name * 10)
            relative = f"events/dt={day}/{name}.jsonl"
            delivery = identity(relative, 10, hashlib.sha256(path.read_bytes()).hexdigest())
            row = {"delivery": delivery, "dataset": "events", "path": relative, "received_day": day, "size": 10}
            rows.append(row | {"signature": file_signature(path), "state": state, "reason": "x", "first_seen_at": NOW})
    lake.write(LANDING_LEDGER, table(LANDING_LEDGER, rows))
    lake.write(RAW_EVENTS, table(RAW_EVENTS, []), [old, young])
    return Landing(settings.landing_dir, old, rows)


def lying(landing: Landing) -> set[str]:
    return {str(path.relative_to(landing.folder)) for path in landing.folder.rglob("*") if path.is_file()}


Act = Callable[..., Any]


def test_accepted_landing_files_go_where_that_is_set_and_the_ledger_keeps_their_rows(
    landing: Landing, lake: LakeStore, settings: Settings
) -> None:
    assert {p.kind for p in overdue(lake, settings)} == {"table"}
    chosen = switched(settings, landing_keep_days=30)
    (found,) = [p for p in overdue(lake, chosen) if p.kind == "landing"]
    assert (found.name, found.day, found.files, found.bytes, found.rows) == ("events", landing.old, 2, 20, None)
    before = lying(landing)
    meet(lake, chosen, now=NOW)
    assert lying(landing) == before
    meet(lake, chosen, now=NOW + WEEK)
    gone = {f"events/dt={landing.old}/{name}.jsonl" for name in "ab"}
    assert lying(landing) == before - gone
    assert len(lake.read(LANDING_LEDGER).to_pyarrow()) == len(landing.rows)


def test_bundled_files_go_with_their_bundle(landing: Landing, lake: LakeStore, settings: Settings) -> None:
    taken = {Path(row["path"]).name: row["delivery"] for row in landing.rows if row["received_day"] == landing.old}
    archive.archive(landing.folder, "events", landing.old, {name: taken[name] for name in ("a.jsonl", "b.jsonl")})
    chosen = switched(settings, landing_keep_days=30, retention_grace_days=0)
    for _ in range(2):
        meet(lake, chosen, now=NOW)
    assert archive.archived(landing.folder, "events") == []
    assert f"events/dt={landing.old}/w.jsonl" in lying(landing)


@pytest.mark.parametrize("fault", ["the raw day is lost", "the file is another by now"])
def test_the_only_copy_of_a_line_stays(fault: str, landing: Landing, lake: LakeStore, settings: Settings) -> None:
    chosen = switched(settings, landing_keep_days=30)
    if fault == "the raw day is lost":
        lake.remove(RAW_EVENTS, landing.old)
    else:
        for name in "ab":
            (landing.folder / f"events/dt={landing.old}/{name}.jsonl").write_text("delivered anew")
    assert [p for p in overdue(lake, chosen) if p.kind == "landing"] == []


def test_ids_are_kept_as_long_as_the_first_kept_lines_are_compared_with_them() -> None:
    widest = next(m.le for m in Settings.model_fields["dedup_days"].metadata if hasattr(m, "le"))
    assert (EVENT_KEYS.keep_days or 0) >= KEEP + widest
    assert (QUARANTINED_EVENTS.keep_days or 0) <= KEEP, "what is refused could not be released without its line"
