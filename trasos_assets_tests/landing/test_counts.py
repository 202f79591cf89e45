"""The ledger's counts: from the tables that decide, true after every ingest, and they add up."""

from collections import Counter
from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from trasos_assets.contracts.engineering import (
    EVENT_STATES,
    QUARANTINED_RECORDS,
    RAW_ASSIGNMENTS,
    RAW_CATALOGUE,
)
from trasos_assets.contracts.schema import violations
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing.counts import counted, imbalance_in_words, rows_out_of_balance
from trasos_assets.landing.ledger import (
    ACCEPTED,
    LANDING_LEDGER,
    Row,
    read_ledger,
    settle,
    take_stock,
)
from trasos_assets.settings import Settings
from trasos_assets_tests.conftest import MakeTable

FIRST = date(2026, 1, 1)
DAYS = [date(2026, 1, 2), date(2026, 1, 3)]


@pytest.fixture
def states(store: LakeStore, table: MakeTable) -> Any:
    """Publish event_states of a day from (file_hash, state) of its lines."""

    def publish(day: date, lines: list[tuple[str, str]]) -> None:
        rows = [
            {
                "day": day,
                "file_hash": file,
                "line": n,
                "state": state,
                "reasons": "x" if state == "quarantined" else None,
            }
            for n, (file, state) in enumerate(lines, 1)
        ]
        store.write(EVENT_STATES, table(EVENT_STATES, rows), [day])

    return publish


@pytest.fixture
def records(store: LakeStore, table: MakeTable) -> Any:
    """Publish a raw table of reference data and its quarantine from (file_hash, refused) of a day's lines."""

    def publish(contract: Any, day: date, lines: list[tuple[str, bool]]) -> None:
        numbered = list(enumerate(lines, 1))
        raw = [{"day": day, "file_hash": file, "line": n} for n, (file, _) in numbered]
        store.write(contract, table(contract, raw), [day])
        refused = [
            {
                "day": day,
                "dataset": contract.name.removeprefix("raw_"),
                "file_hash": f,
                "line": n,
                "reasons": "x",
                "raw": "{}",
            }
            for n, (f, bad) in numbered
            if bad
        ]
        store.write(QUARANTINED_RECORDS, table(QUARANTINED_RECORDS, refused), [day])

    return publish


def land(settings: Settings, path: str, lines: int) -> None:
    file = settings.landing_dir / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"".join(b'{"n": %d, "path": "%s"}\n' % (n, path.encode()) for n in range(lines)))


def taken(store: LakeStore, settings: Settings) -> dict[str, str]:
    """Path to delivery of what is pending, entered but not settled."""
    return {row["path"]: row["delivery"] for row in take_stock(store, settings, first_day=FIRST).pending}


def books(store: LakeStore) -> dict[str, tuple[int | None, ...]]:
    return {row["path"]: (row["accepted"], row["duplicate"], row["quarantined"]) for row in read_ledger(store)}


def test_the_lines_of_a_file_are_counted_by_what_became_of_them(
    store: LakeStore, settings: Settings, states: Any, records: Any
) -> None:
    land(settings, "events/dt=2026-01-02/a.jsonl", 4)
    land(settings, "events/dt=2026-01-02/empty.jsonl", 0)
    land(settings, "catalogue/dt=2026-01-02/c.jsonl", 3)
    keys = taken(store, settings)
    assert set(books(store).values()) == {(None, None, None)}
    event, item = keys["events/dt=2026-01-02/a.jsonl"], keys["catalogue/dt=2026-01-02/c.jsonl"]
    states(DAYS[0], [(event, "accepted"), (event, "accepted"), (event, "duplicate"), (event, "quarantined")])
    records(RAW_CATALOGUE, DAYS[0], [(item, False), (item, True), (item, False)])
    settle(store, keys.values(), run_id="run1")
    assert books(store) == {
        "events/dt=2026-01-02/a.jsonl": (2, 1, 1),
        "events/dt=2026-01-02/empty.jsonl": (0, 0, 0),
        "catalogue/dt=2026-01-02/c.jsonl": (2, 0, 1),
    }
    assert rows_out_of_balance(read_ledger(store)) == []
    assert violations(LANDING_LEDGER, store.read(LANDING_LEDGER)) == []


def test_counts_of_older_files_follow_when_a_later_ingest_changes_their_states(
    store: LakeStore, settings: Settings, states: Any
) -> None:
    land(settings, "events/dt=2026-01-02/a.jsonl", 1)
    land(settings, "events/dt=2026-01-03/other.jsonl", 1)
    keys = taken(store, settings)
    older, other = (keys[f"events/dt={day}/{name}.jsonl"] for day, name in zip(DAYS, ("a", "other"), strict=True))
    states(DAYS[0], [(older, "accepted")])
    states(DAYS[1], [(other, "accepted")])
    settle(store, keys.values(), run_id="run1")
    land(settings, "events/dt=2026-01-03/b.jsonl", 1)
    (newer,) = taken(store, settings).values()
    states(DAYS[0], [(older, "duplicate")])
    states(DAYS[1], [(newer, "accepted"), (other, "accepted")])
    settle(store, [newer], run_id="run2", days=DAYS)
    assert books(store) == {
        "events/dt=2026-01-02/a.jsonl": (0, 1, 0),
        "events/dt=2026-01-03/b.jsonl": (1, 0, 0),
        "events/dt=2026-01-03/other.jsonl": (1, 0, 0),
    }
    assert {row["path"]: row["run_id"] for row in read_ledger(store)}["events/dt=2026-01-02/a.jsonl"] == "run1"


def test_counts_are_made_anew_when_days_are_built_again_without_new_files(
    store: LakeStore, settings: Settings, states: Any
) -> None:
    land(settings, "events/dt=2026-01-02/a.jsonl", 1)
    (key,) = taken(store, settings).values()
    states(DAYS[0], [(key, "quarantined")])
    settle(store, [key], run_id="run1")
    states(DAYS[0], [(key, "accepted")])
    settle(store, [], run_id="run2", days=[DAYS[0]])
    assert books(store) == {"events/dt=2026-01-02/a.jsonl": (1, 0, 0)}


def test_files_that_were_taken_before_lines_were_counted_are_counted_at_the_next_look(
    store: LakeStore, settings: Settings, states: Any
) -> None:
    land(settings, "events/dt=2026-01-02/a.jsonl", 1)
    (key,) = taken(store, settings).values()
    settle(store, [key], run_id="run1")
    assert books(store) == {"events/dt=2026-01-02/a.jsonl": (None, None, None)}
    assert "1 files do not add up" in (imbalance_in_words(read_ledger(store)) or "")
    states(DAYS[0], [(key, "accepted")])
    take_stock(store, settings, first_day=FIRST)
    assert books(store) == {"events/dt=2026-01-02/a.jsonl": (1, 0, 0)}


def test_what_a_run_stored_of_a_replaced_file_is_counted_and_what_it_did_not_is_not(
    store: LakeStore, settings: Settings, states: Any
) -> None:
    land(settings, "events/dt=2026-01-02/a.jsonl", 1)
    land(settings, "events/dt=2026-01-02/b.jsonl", 1)
    old = taken(store, settings)
    (settings.landing_dir / "events/dt=2026-01-02/b.jsonl").write_bytes(b"other\n")
    (settings.landing_dir / "events/dt=2026-01-02/a.jsonl").write_bytes(b"other\n")
    new = taken(store, settings)
    stored = [*new.values(), old["events/dt=2026-01-02/a.jsonl"]]
    states(DAYS[0], [(key, "accepted") for key in stored])
    settle(store, {*old.values(), *new.values()}, run_id="run1")
    found = Counter((row["state"], row["accepted"]) for row in read_ledger(store))
    assert found == {(ACCEPTED, 1): 2, ("superseded", 1): 1, ("superseded", None): 1}
    assert rows_out_of_balance(read_ledger(store)) == []


def test_records_are_counted_by_their_own_data_set(store: LakeStore, records: Any) -> None:
    records(RAW_ASSIGNMENTS, DAYS[0], [("a1", True), ("a1", False)])
    records(RAW_CATALOGUE, DAYS[1], [("c1", True)])
    counts = counted(store, [*DAYS, date(2026, 1, 9)])
    assert counts.lines == {
        "a1": {"accepted": 1, "duplicate": 0, "quarantined": 1},
        "c1": {"accepted": 0, "duplicate": 0, "quarantined": 1},
    }
    assert counts.days == {("assignments", DAYS[0]), ("catalogue", DAYS[1])}


def test_only_the_days_asked_for_are_read(store: LakeStore, states: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in DAYS:
        states(day, [("f", "accepted")])
    read: list[str] = []
    really = store.table_of
    monkeypatch.setattr(store, "table_of", lambda c, files: read.extend(map(str, files)) or really(c, files))
    assert counted(store, [DAYS[1]]).days == {("events", DAYS[1])}
    assert len(read) == 1
    assert "2026-01-03" in read[0]


def row(**values: Any) -> Row:
    held = {"state": ACCEPTED, "path": "events/dt=2026-01-02/a.jsonl", "received_day": DAYS[0], "rows_read": 3}
    return held | {"accepted": 1, "duplicate": 1, "quarantined": 1} | values


@pytest.mark.parametrize(
    ("changes", "balanced"),
    [
        ({}, True),
        ({"rows_read": 4}, False),
        ({"accepted": 2}, False),
        ({"quarantined": None}, False),
        ({"state": "pending", "accepted": None}, True),
        ({"state": "superseded", "rows_read": 7}, True),
        ({"rows_read": 0, "accepted": 0, "duplicate": 0, "quarantined": 0}, True),
    ],
)
def test_a_taken_file_adds_up_or_is_named(changes: dict[str, Any], balanced: bool) -> None:
    assert (rows_out_of_balance([row(**changes)]) == []) == balanced
    assert (imbalance_in_words([row(**changes)]) is None) == balanced


def test_files_that_do_not_add_up_are_named_with_their_numbers_and_the_fix() -> None:
    bad = [row(path=f"events/dt=2026-01-0{n}/a.jsonl", received_day=date(2026, 1, n), accepted=0) for n in (2, 5)]
    assert imbalance_in_words([row(), *bad]) == (
        "2 files do not add up; `trasos run --from 2026-01-02 --to 2026-01-05` builds their days again and counts "
        "anew. "
        "events/dt=2026-01-02/a.jsonl: 3 rows read, but 0 accepted, 1 duplicate and 1 quarantined; "
        "events/dt=2026-01-05/a.jsonl: 3 rows read, but 0 accepted, 1 duplicate and 1 quarantined"
    )
    many = imbalance_in_words([row(accepted=0)] * 1000)
    assert many is not None
    assert len(many) < 4000


@given(
    lines=st.lists(
        st.tuples(st.sampled_from(["f1", "f2", "f3"]), st.sampled_from(["accepted", "duplicate", "quarantined"])),
        max_size=30,
    )
)
@hypothesis_settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_line_is_counted_once(store: LakeStore, states: Any, lines: list[tuple[str, str]]) -> None:
    states(DAYS[0], lines)
    found = counted(store, [DAYS[0]]).lines
    assert {(file, state): n for file, of in found.items() for state, n in of.items() if n} == Counter(lines)
