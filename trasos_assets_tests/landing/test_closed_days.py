"""Files for days that retention closed, files that stand in bundles, and a lake that never took them."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from trasos_assets.contracts.engineering import RAW_EVENTS
from trasos_assets.contracts.storage import REMOVED, RETENTION
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing import archive
from trasos_assets.landing.ledger import (
    ACCEPTED,
    PENDING,
    REJECTED,
    LandingError,
    lost_deliveries,
    read_ledger,
    settle,
    take_stock,
    unsettled_days,
)
from trasos_assets.landing.parse import read_deliveries
from trasos_assets.settings import Settings
from trasos_assets_tests.conftest import MakeTable

FIRST = date(2026, 1, 1)
GONE = date(2026, 1, 10)
NOW = datetime(2026, 3, 1)


def land(settings: Settings, day: date, name: str = "a.jsonl", dataset: str = "events") -> Path:
    path = settings.landing_dir / dataset / f"dt={day}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{{"event_id": "{day}-{name}"}}\n')
    return path


def states(store: LakeStore) -> dict[str, str]:
    return {row["path"]: row["state"] for row in read_ledger(store)}


@pytest.fixture
def closed(store: LakeStore, table: MakeTable) -> LakeStore:
    row = {"kind": "table", "name": RAW_EVENTS.name, "day": GONE, "bytes": 1, "files": 1, "rows": 1}
    store.write(RETENTION, table(RETENTION, [row | {"state": REMOVED, "planned_at": NOW, "removed_at": NOW}]))
    return store


def test_events_for_a_closed_day_are_refused_with_the_remedy_and_stop_no_other(
    closed: LakeStore, settings: Settings
) -> None:
    last = GONE + timedelta(days=settings.dedup_days)
    late = [land(settings, day).relative_to(settings.landing_dir) for day in (FIRST, GONE, last)]
    land(settings, last + timedelta(days=1))
    land(settings, GONE, dataset="catalogue")
    for _ in range(2):
        stock = take_stock(closed, settings, first_day=FIRST)
        assert {row["path"] for row in stock.troubled} == {path.as_posix() for path in late}
        assert {row["received_day"] for row in stock.pending} == {GONE, last + timedelta(days=1)}
    reasons = {row["reason"] for row in stock.troubled}
    assert all(f"keeps no lines of days up to {last}" in reason and "a later day" in reason for reason in reasons)
    assert unsettled_days(closed, "events") == {last + timedelta(days=1)}


def test_a_file_that_was_taken_before_its_day_was_closed_is_still_accepted(
    store: LakeStore, settings: Settings, table: MakeTable, request: pytest.FixtureRequest
) -> None:
    path = land(settings, GONE)
    stock = take_stock(store, settings, first_day=FIRST)
    settle(store, [row["delivery"] for row in stock.pending], run_id="run")
    request.getfixturevalue("closed")
    path.touch()
    stock = take_stock(store, settings, first_day=FIRST)
    assert (stock.pending, stock.troubled) == ((), ())
    assert set(states(store).values()) == {ACCEPTED}


def test_other_content_for_a_closed_day_is_refused_and_settles_nothing(
    store: LakeStore, settings: Settings, table: MakeTable, request: pytest.FixtureRequest
) -> None:
    path = land(settings, GONE)
    stock = take_stock(store, settings, first_day=FIRST)
    settle(store, [row["delivery"] for row in stock.pending], run_id="run")
    request.getfixturevalue("closed")
    path.write_text("other\n")
    assert take_stock(store, settings, first_day=FIRST).pending == ()
    path.unlink()
    stock = take_stock(store, settings, first_day=FIRST)
    assert (stock.pending, stock.troubled) == ((), ())
    assert sorted(row["state"] for row in read_ledger(store)) == [ACCEPTED, "superseded"]


def test_without_retention_nothing_is_refused(store: LakeStore, settings: Settings) -> None:
    land(settings, FIRST)
    assert [row["state"] for row in take_stock(store, settings, first_day=FIRST).pending] == [PENDING]
    assert REJECTED not in states(store).values()


def taken(store: LakeStore, settings: Settings) -> dict[str, str]:
    stock = take_stock(store, settings, first_day=FIRST)
    settle(store, [row["delivery"] for row in stock.pending], run_id="run")
    return {Path(row["path"]).name: row["delivery"] for row in read_ledger(store)}


def test_lost_lines_are_read_from_the_bundle_of_their_file(store: LakeStore, settings: Settings) -> None:
    for name in ("a.jsonl", "b.jsonl", "c.jsonl"):
        land(settings, FIRST, name)
    known = taken(store, settings)
    archive.archive(settings.landing_dir, "events", FIRST, {name: known[name] for name in ("a.jsonl", "b.jsonl")})
    lost = lost_deliveries(store, settings, "events", FIRST, FIRST, held=[known["b.jsonl"]])
    assert {one.delivery for one in lost} == {known["a.jsonl"], known["c.jsonl"]}
    rows = read_deliveries(
        store.door, "events", lost, timezone="UTC", max_line_bytes=10_000, max_file_bytes=10**9
    ).to_pyarrow()
    assert set(zip(rows["file_hash"].to_pylist(), rows["event_id"].to_pylist(), strict=True)) == {
        (known[name], f"{FIRST}-{name}") for name in ("a.jsonl", "c.jsonl")
    }


def test_a_new_lake_is_not_built_of_what_is_left_beside_bundles(store: LakeStore, settings: Settings) -> None:
    land(settings, FIRST, "a.jsonl")
    land(settings, FIRST, "b.jsonl")
    known = taken(store, settings)
    archive.archive(settings.landing_dir, "events", FIRST, {"a.jsonl": known["a.jsonl"]})
    new = LakeStore(settings.data_dir / "another", store.engine)
    with pytest.raises(LandingError, match="trasos storage restore --all"):
        take_stock(new, settings, first_day=FIRST)
    archive.restore(settings.landing_dir, "events", FIRST)
    assert len(take_stock(new, settings, first_day=FIRST).pending) == 2
