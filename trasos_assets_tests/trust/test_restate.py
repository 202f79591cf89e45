"""New deliveries ask for the days that they change, and for no others."""

from datetime import date, timedelta
from typing import Any

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from trasos_assets.contracts.engineering import RAW_EVENTS
from trasos_assets.trust.classify import accepted_events, event_keys, event_states
from trasos_assets.trust.restate import affected_days
from trasos_assets_tests.conftest import MakeTable, make_table, new_backend
from trasos_assets_tests.trust.events import DAY, line, unread

ENGINE = new_backend()
FIRST_DAY = DAY - timedelta(days=30)


def plus(days: int) -> date:
    return DAY + timedelta(days=days)


def happened(number: int, file: str, received: int, late: int = 0, **fields: Any) -> dict[str, Any]:
    """A line received on one day that happened ``late`` days before."""
    row = line(number, file=file, received=plus(received), **fields)
    before = timedelta(days=late)
    return row | {"occurred_at": row["occurred_at"] - before, "occurred_day": row["day"] - before}


def days_of(table: Any, new: list[str], **settings: Any) -> list[date]:
    given_or_default: dict[str, Any] = {"dedup_days": 7, "late_days": 3} | settings
    found = affected_days(table, new, **given_or_default)
    return found.to_pyarrow()["day"].to_pylist()


def test_new_lines_ask_for_the_days_they_were_received_and_happened(table: MakeTable) -> None:
    raw = table(RAW_EVENTS, [happened(1, "new", 0), happened(2, "new", 5, late=2), happened(3, "old", 9)])
    assert days_of(raw, ["new"]) == [plus(0), plus(3), plus(5)]


def test_too_late_or_too_early_lines_ask_for_no_day_on_which_they_happened(table: MakeTable) -> None:
    raw = table(
        RAW_EVENTS,
        [happened(1, "new", 5, late=4), happened(2, "new", 6, late=-1), unread(3, "malformed", "{", file="new")],
    )
    assert days_of(raw, ["new"]) == [plus(0), plus(5), plus(6)]
    assert days_of(raw, ["new"], late_days=4) == [plus(0), plus(1), plus(5), plus(6)]


def test_a_shared_id_asks_for_the_older_lines_days_within_the_horizon(table: MakeTable) -> None:
    rows = [
        happened(1, "new", 7, event_id="a"),
        happened(1, "old", 1, late=1, event_id="a"),
        happened(2, "old", 15, event_id="a"),
        happened(3, "old", 3, event_id="b"),
        happened(4, "old", 4, event_id=None),
        happened(2, "new", 7, event_id=None),
    ]
    raw = table(RAW_EVENTS, rows)
    assert days_of(raw, ["new"]) == [plus(0), plus(1), plus(7)]
    assert days_of(raw, ["new"], dedup_days=5) == [plus(7)]
    assert days_of(raw, ["new"], dedup_days=8) == [plus(0), plus(1), plus(7), plus(15)]


def test_nothing_new_asks_for_no_day(table: MakeTable) -> None:
    raw = table(RAW_EVENTS, [happened(1, "old", 0)])
    assert days_of(raw, ["new"]) == []
    assert days_of(raw, []) == []


LINES = st.lists(
    st.tuples(
        st.sampled_from(["old", "new"]),
        st.integers(0, 12),
        st.integers(-1, 4),
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["v1", "v2"]),
    ),
    max_size=12,
)


@given(given_lines=LINES, dedup_days=st.integers(0, 4), late_days=st.integers(0, 3))
@hypothesis_settings(max_examples=15, deadline=None)
def test_no_state_and_no_clean_event_changes_on_a_day_that_is_not_asked_for(
    given_lines: list[Any], dedup_days: int, late_days: int
) -> None:
    rows = [
        happened(n, f"{file}-{received}", received, late, event_id=event_id, visitor_id=visitor)
        for n, (file, received, late, event_id, visitor) in enumerate(given_lines)
    ]

    def built(landed: list[dict[str, Any]]) -> tuple[dict[date, Any], dict[date, Any]]:
        raw = make_table(ENGINE, RAW_EVENTS, landed)
        keys = event_keys(raw, late_days=late_days, currency="GBP", first_day=FIRST_DAY)
        states = event_states(keys, dedup_days=dedup_days)
        by_day: tuple[dict[date, Any], dict[date, Any]] = ({}, {})
        for kept, made in zip(by_day, (states, accepted_events(raw, states)), strict=True):
            for row in made.to_pyarrow().to_pylist():
                kept.setdefault(row["day"], set()).add(tuple(sorted(row.items(), key=str)))
        return by_day

    new = {row["file_hash"] for row in rows if row["file_hash"].startswith("new")}
    asked = set(days_of(make_table(ENGINE, RAW_EVENTS, rows), sorted(new), dedup_days=dedup_days, late_days=late_days))
    before = built([row for row in rows if row["file_hash"] not in new])
    after = built(rows)
    for old, now in zip(before, after, strict=True):
        changed = {day for day in old.keys() | now.keys() if old.get(day) != now.get(day)}
        assert changed <= asked
