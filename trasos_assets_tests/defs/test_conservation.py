"""The checks that nothing is lost between raw lines and clean events see every loss that is planted."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from trasos_assets.contracts.engineering import CLEAN_EVENTS, EVENT_KEYS, EVENT_STATES, RAW_EVENTS
from trasos_assets.defs.engineering import events
from trasos_assets.lake.store import LakeStore
from trasos_assets_tests.conftest import MakeTable

DAYS = [date(2026, 3, 1), date(2026, 3, 2)]
LINES = [{"day": day, "file_hash": file, "line": line} for day in DAYS for file in "ab" for line in (1, 2, 3)]


def counted(found: Any) -> int:
    return int(found.count().to_pyarrow().as_py())


def test_keys_of_exactly_the_raw_lines_pass(table: MakeTable) -> None:
    assert counted(events._lines_without_key(table(EVENT_KEYS, LINES), table(RAW_EVENTS, LINES))) == 0


@pytest.mark.parametrize("fault", ["lost", "invented", "another number", "whole file lost", "whole file invented"])
def test_a_line_without_its_key_or_a_key_without_its_line_is_found(fault: str, table: MakeTable) -> None:
    keys = [dict(line) for line in LINES]
    if fault == "lost":
        keys.pop()
    elif fault == "invented":
        keys.append(keys[-1] | {"line": 4})
    elif fault == "another number":
        keys[1]["line"] = 7
    elif fault == "whole file lost":
        keys = [key for key in keys if (key["day"], key["file_hash"]) != (DAYS[0], "a")]
    else:
        keys.append({"day": DAYS[0], "file_hash": "c", "line": 1})
    assert counted(events._lines_without_key(table(EVENT_KEYS, keys), table(RAW_EVENTS, LINES))) > 0


def states(*ids: tuple[str, date, str]) -> list[dict[str, Any]]:
    return [
        {"day": DAYS[-1], "file_hash": "a", "line": number, "event_id": event, "occurred_day": day, "state": state}
        for number, (event, day, state) in enumerate(ids)
    ]


STATES = states(
    ("e1", DAYS[0], "accepted"),
    ("e2", DAYS[0], "accepted"),
    ("e3", DAYS[1], "accepted"),
    ("e4", DAYS[1], "duplicate"),
    ("e5", date(2026, 2, 27), "accepted"),
)
CLEAN = [{"day": DAYS[0], "event_id": "e1"}, {"day": DAYS[0], "event_id": "e2"}, {"day": DAYS[1], "event_id": "e3"}]


def test_clean_events_that_are_the_accepted_ones_of_their_days_pass(table: MakeTable, store: LakeStore) -> None:
    found = events._lost_or_invented(table(CLEAN_EVENTS, CLEAN), table(EVENT_STATES, STATES), store, DAYS)
    assert counted(found) == 0


@pytest.mark.parametrize(
    ("clean", "against"),
    [
        (CLEAN[:2], {("e3", DAYS[1])}),
        ([*CLEAN, {"day": DAYS[1], "event_id": "e4"}], {("e4", DAYS[1])}),
        ([*CLEAN[:2], {"day": DAYS[1], "event_id": "e9"}], {("e3", DAYS[1]), ("e9", DAYS[1])}),
        ([CLEAN[0], {"day": DAYS[1], "event_id": "e2"}, CLEAN[2]], {("e2", DAYS[0]), ("e2", DAYS[1])}),
        ([], {("e1", DAYS[0]), ("e2", DAYS[0]), ("e3", DAYS[1])}),
    ],
    ids=["lost", "a duplicate let in", "another id", "on another day", "all lost"],
)
def test_an_event_lost_or_invented_is_named(
    clean: list[dict[str, Any]], against: set[tuple[str, date]], table: MakeTable, store: LakeStore
) -> None:
    found = events._lost_or_invented(table(CLEAN_EVENTS, clean), table(EVENT_STATES, STATES), store, DAYS)
    assert {(row["event_id"], row["day"]) for row in found.to_pyarrow().to_pylist()} == against
