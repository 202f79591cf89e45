"""What retention took: which days are sealed, and from which on events may land."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from trasos_assets.contracts.engineering import EVENT_KEYS, RAW_EVENTS
from trasos_assets.contracts.storage import RETENTION
from trasos_assets.lake.gone import Gone, read_book
from trasos_assets.lake.store import LakeError, LakeStore
from trasos_assets_tests.conftest import MakeTable

DAY = date(2026, 3, 1)
NOW = datetime(2026, 6, 1)


def entry(name: str, day: date, state: str = "removed", kind: str = "table") -> dict[str, Any]:
    removed_at = NOW if state == "removed" else None
    sizes = {"bytes": 10, "files": 1, "rows": 5}
    return {"kind": kind, "name": name, "day": day, "state": state, "planned_at": NOW, "removed_at": removed_at} | sizes


def test_a_lake_without_a_book_has_lost_nothing(store: LakeStore) -> None:
    gone = Gone.of(store, dedup_days=7)
    assert read_book(store) == []
    assert (gone.sealed_through, gone.closed_through(3), gone.sealed(DAY)) == (None, None, False)


def test_only_removed_days_of_tables_are_gone(store: LakeStore, table: MakeTable) -> None:
    rows = [
        entry(RAW_EVENTS.name, DAY),
        entry(RAW_EVENTS.name, DAY + timedelta(days=1), "planned"),
        entry("events", DAY + timedelta(days=2), kind="landing"),
    ]
    store.write(RETENTION, table(RETENTION, rows))
    gone = Gone.of(store, dedup_days=7)
    assert gone.of_table(RAW_EVENTS.name) == {DAY}
    assert gone.of_table("events") == frozenset()
    assert (gone.sealed(DAY), gone.sealed(DAY + timedelta(days=1))) == (True, False)


def test_days_are_sealed_whose_lines_are_gone_or_whose_ids_cannot_be_compared() -> None:
    later = DAY + timedelta(days=5)
    lines = Gone({RAW_EVENTS.name: frozenset({DAY, DAY - timedelta(days=1)})}, dedup_days=7)
    ids = Gone({RAW_EVENTS.name: frozenset({DAY}), EVENT_KEYS.name: frozenset({later})}, dedup_days=7)
    other = Gone({"quarantined_events": frozenset({later})}, dedup_days=7)
    assert (lines.sealed_through, ids.sealed_through, other.sealed_through) == (DAY, later + timedelta(days=7), None)


def test_events_may_land_only_where_they_touch_no_sealed_day() -> None:
    gone = Gone({RAW_EVENTS.name: frozenset({DAY})}, dedup_days=2)
    assert (gone.closed_through(1), gone.closed_through(5)) == (DAY + timedelta(days=2), DAY + timedelta(days=5))


def test_a_table_is_not_published_over_sealed_days_and_reference_data_are() -> None:
    gone = Gone({RAW_EVENTS.name: frozenset({DAY}), "raw_catalogue": frozenset({DAY})}, dedup_days=2)
    before, later = DAY - timedelta(days=1), DAY + timedelta(days=1)
    assert gone.barred("clean_events", [before, DAY, later]) == {before, DAY}
    assert gone.barred("quarantined_records", [before, DAY, later]) == set()
    assert gone.barred("raw_catalogue", [before, DAY, later]) == {DAY}
    with pytest.raises(LakeError, match=f"clean_events cannot be built on 2 days from {before} to {DAY}: retention"):
        gone.refuse("clean_events", [later, DAY, before])
    gone.refuse("clean_events", [later])
