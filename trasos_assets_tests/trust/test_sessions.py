"""Every event has a session: the source's where it can be true, else by pauses, whatever the order of rows."""

import functools
from collections import defaultdict
from datetime import date, datetime, timedelta
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from trasos_assets.contracts.engineering import CLEAN_EVENTS
from trasos_assets.contracts.schema import violations
from trasos_assets.trust.sessions import INFERRED, with_sessions
from trasos_assets_tests.conftest import make_table, new_backend
from trasos_assets_tests.trust.events import DAY, line

ENGINE = new_backend()  # property tests cannot have one each
SCHEMA = ibis.schema(CLEAN_EVENTS.types).to_pyarrow()
MIDNIGHT = datetime(DAY.year, DAY.month, DAY.day)
Row = dict[str, Any]


def event(
    number: int, minute: float, session: str | None = None, visitor: str | None = "v1", customer: str | None = None
) -> Row:
    """An event so many minutes after midnight of DAY; its day is that of the clock."""
    at = MIDNIGHT + timedelta(minutes=minute)
    row = line(number, received=at.date(), occurred_at=at, received_at=at + timedelta(seconds=1))
    row |= {"visitor_id": visitor, "customer_id": customer, "session_id": session}
    return {name: value for name, value in row.items() if name in CLEAN_EVENTS.column_names}


@functools.cache
def compiled(gap: int, hours: int) -> str:
    """The SQL over a table ``drawn``: to compile takes much longer than to run over a handful of rows."""
    ENGINE.con.register("drawn", SCHEMA.empty_table())
    drawn = ENGINE.table("drawn").drop("session_rule")
    return ENGINE.compile(with_sessions(drawn, gap_minutes=gap, max_hours=hours))


def sessions(rows: list[Row], *, gap: int = 30, hours: int = 12) -> list[Row]:
    """The events with their sessions, in order of their numbers."""
    sql = compiled(gap, hours)
    ENGINE.con.register("drawn", pa.Table.from_pylist(rows, schema=SCHEMA))
    made = ENGINE.con.sql(sql).to_arrow_table().to_pylist()
    assert len(made) == len(rows)
    return sorted(made, key=lambda row: int(row["event_id"][1:]))


def groups(rows: list[Row], **settings: Any) -> list[int]:
    """Sessions as small numbers, in order of appearance."""
    ids = [row["session_id"] for row in sessions(rows, **settings)]
    seen = list(dict.fromkeys(ids))
    return [seen.index(id_) for id_ in ids]


def rules(rows: list[Row], **settings: Any) -> list[str | None]:
    return [row["session_rule"] for row in sessions(rows, **settings)]


# --- the source's own


def test_a_plausible_session_of_the_source_stands() -> None:
    made = sessions([event(1, 600, "s1"), event(2, 700, "s1"), event(3, 700, "s2", "v2")])
    assert [(row["session_id"], row["session_rule"]) for row in made] == [("s1", None), ("s1", None), ("s2", None)]


def test_a_session_over_midnight_keeps_its_id_on_both_days() -> None:
    made = sessions([event(1, 1439, "s1"), event(2, 1441, "s1")])
    assert [row["session_id"] for row in made] == ["s1", "s1"]
    assert made[0]["day"] != made[1]["day"]


@pytest.mark.parametrize("blank", ["", "  "])
def test_blank_text_is_no_session(blank: str) -> None:
    (made,) = sessions([event(1, 600, blank)])
    assert made["session_id"].startswith(INFERRED)
    assert made["session_rule"] == "empty"


def test_a_session_that_two_visitors_carry_on_one_day_is_nobodys() -> None:
    rows = [event(1, 600, "s1", "v1"), event(2, 600, "s1", "v2"), event(3, 600, "s2", "v3")]
    assert rules(rows) == ["shared", "shared", None]
    assert groups(rows) == [0, 1, 2]


def test_an_id_that_comes_back_on_another_day_with_another_visitor_stands() -> None:
    assert rules([event(1, 600, "s1", "v1"), event(2, 600 + 1440, "s1", "v2")]) == [None, None]


def test_a_visitor_and_its_customer_do_not_share_a_session_but_two_customers_do() -> None:
    server_side = event(3, 601, "s1", None, "c1")
    assert rules([event(1, 600, "s1", "v1"), event(2, 600, "s1", "v1", "c1"), server_side]) == [None] * 3
    assert rules([event(1, 600, "s1", "v1"), event(2, 600, "s1", "v1", "c2"), server_side]) == ["shared"] * 3
    assert rules([event(1, 600, "s1", None, "c1"), event(2, 600, "s1", None, "c2")]) == ["shared"] * 2
    switched = [event(1, 600, "s1", "v1", "c1"), event(2, 600, "s1", "v1", "c2")]
    assert rules(switched) == [None] * 2


def test_a_session_longer_than_allowed_is_inferred_anew() -> None:
    rows = [event(1, 0, "s1"), event(2, 400, "s1"), event(3, 410, "s1"), event(4, 720, "s1")]
    assert rules(rows) == [None] * 4
    late = [*rows[:3], event(4, 720.1, "s1")]
    assert rules(late) == ["too_long"] * 4
    assert groups(late) == [0, 1, 1, 2]


# --- inferred


def test_a_pause_longer_than_the_gap_begins_a_session_and_one_as_long_does_not() -> None:
    rows = [event(1, 600), event(2, 630), event(3, 660.1), event(4, 661)]
    assert groups(rows) == [0, 0, 1, 1]
    assert rules(rows) == ["missing"] * 4
    assert groups(rows, gap=10) == [0, 1, 2, 2]


def test_midnight_ends_what_is_inferred() -> None:
    assert groups([event(1, 1435), event(2, 1445)]) == [0, 1]


def test_visitors_are_apart_and_so_are_a_visitor_and_a_customer_of_one_id() -> None:
    rows = [event(1, 600), event(2, 601, None, "v2"), event(3, 602, None, None, "v1"), event(4, 603, None, None, "v1")]
    assert groups(rows) == [0, 1, 2, 2]


def test_an_event_without_a_session_belongs_to_the_one_its_visitor_is_in() -> None:
    before, within, after = event(1, 590), event(3, 605), event(5, 640)
    rows = [before, event(2, 600, "s1"), within, event(4, 615, "s1"), after, event(6, 671)]
    made = sessions(rows)
    assert [row["session_id"] for row in made][:5] == ["s1"] * 5
    assert made[5]["session_id"].startswith(INFERRED)
    assert [row["session_rule"] for row in made] == ["missing", None, "missing", None, "missing", "missing"]


def test_between_two_sessions_of_the_source_the_one_before_counts() -> None:
    made = sessions([event(1, 600, "s2"), event(2, 610), event(3, 620, "s1"), event(4, 620)])
    assert [row["session_id"] for row in made] == ["s2", "s2", "s1", "s1"]


def test_the_id_of_an_inferred_session_is_the_same_every_time_and_changes_with_day_and_visitor() -> None:
    first = sessions([event(1, 600), event(2, 610)])[0]["session_id"]
    assert sessions([event(7, 610), event(8, 600), event(9, 615)])[0]["session_id"] == first
    other_day = sessions([event(1, 600 + 1440)])[0]["session_id"]
    other_visitor = sessions([event(1, 600, None, "v2")])[0]["session_id"]
    assert len({first, other_day, other_visitor}) == 3


def test_every_event_with_its_session_keeps_the_contract() -> None:
    rows = [event(1, 600), event(2, 600, ""), event(3, 600, "s1"), event(4, 600, "s1", "v2"), event(5, 0, "s2")]
    events = make_table(ENGINE, CLEAN_EVENTS, [*rows, event(6, 800, "s2")]).drop("session_rule")
    found = with_sessions(events, gap_minutes=30, max_hours=12).select(*CLEAN_EVENTS.column_names)
    assert set(found.to_pyarrow()["session_rule"].to_pylist()) == {"missing", "empty", "shared", "too_long"}
    assert violations(CLEAN_EVENTS, found) == []


def test_an_event_of_nobody_has_a_session_of_its_own() -> None:
    events = make_table(ENGINE, CLEAN_EVENTS, [event(n, 600, None, None) for n in (1, 2)]).drop("session_rule")
    found = with_sessions(events, gap_minutes=30, max_hours=12).to_pyarrow()["session_id"].to_pylist()
    assert len(set(found)) == 2


# --- any events


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 2 * 24 * 6),  # tenths of an hour over two days, so that ties and gaps of exactly 30 min occur
        st.sampled_from([None, None, "", "s1", "s2", "s3"]),
        st.sampled_from(["v1", "v2", None]),
        st.sampled_from([None, "c1", "c2"]),
    ).filter(lambda drawn: drawn[2] or drawn[3]),
    max_size=25,
)


def by_hand(rows: list[Row], gap: timedelta, longest: timedelta) -> dict[str, tuple[Any, str | None]]:
    """What `with_sessions` promises, one event after the other: event to (session, rule).

    A session is the source's id, or day, actor and beginning of a run.
    """
    claims: dict[tuple[date, str], list[Row]] = defaultdict(list)
    actions: dict[tuple[date, Any], list[Row]] = defaultdict(list)
    for row in rows:
        actions[row["day"], ("v", row["visitor_id"]) if row["visitor_id"] else ("c", row["customer_id"])].append(row)
        if row["session_id"]:
            claims[row["day"], row["session_id"]].append(row)

    def judged(row: Row) -> str | None:
        if not row["session_id"]:
            return "missing" if row["session_id"] is None else "empty"
        claimed = claims[row["day"], row["session_id"]]
        customers = {other["customer_id"] for other in claimed if other["customer_id"]}
        lone = any(not other["visitor_id"] for other in claimed)
        if len({other["visitor_id"] for other in claimed if other["visitor_id"]}) > 1 or (lone and len(customers) > 1):
            return "shared"
        times = [other["occurred_at"] for other in claimed]
        return "too_long" if max(times) - min(times) > longest else None

    found = {}
    for (day, actor), acts in actions.items():
        runs: list[list[Row]] = []
        for row in sorted(acts, key=lambda row: row["occurred_at"]):
            if not runs or row["occurred_at"] - runs[-1][-1]["occurred_at"] > gap:
                runs.append([])
            runs[-1].append(row)
        for run in runs:
            kept = sorted((row["occurred_at"], row["session_id"]) for row in run if judged(row) is None)
            for row in run:
                rule = judged(row)
                before = [id_ for at, id_ in kept if at <= row["occurred_at"]]
                after = [id_ for at, id_ in kept if at >= row["occurred_at"]]
                near = before[-1] if before else after[0] if after else (day, actor, run[0]["occurred_at"])
                found[row["event_id"]] = (row["session_id"] if rule is None else near, rule)
    return found


@given(drawn=EVENTS, gap=st.sampled_from([6, 30, 45]), hours=st.sampled_from([1, 12]), seed=st.randoms())
@hypothesis_settings(max_examples=80, deadline=None)
def test_sessions_are_those_of_a_plain_loop_whatever_the_order_of_rows(
    drawn: list[Any], gap: int, hours: int, seed: Any
) -> None:
    rows = [event(n, tenth * 6, *more) for n, (tenth, *more) in enumerate(drawn)]
    shuffled = rows.copy()
    seed.shuffle(shuffled)
    made = sessions(shuffled, gap=gap, hours=hours)
    assert [row["session_id"] for row in made] == [row["session_id"] for row in sessions(rows, gap=gap, hours=hours)]
    expected = by_hand(rows, timedelta(minutes=gap), timedelta(hours=hours))
    assert {row["event_id"]: row["session_rule"] for row in made} == {id_: rule for id_, (_, rule) in expected.items()}
    names: dict[Any, str] = {}
    for row in made:
        session, _ = expected[row["event_id"]]
        if isinstance(session, str):
            assert row["session_id"] == session
        else:
            assert names.setdefault(session, row["session_id"]) == row["session_id"]
            assert row["session_id"].startswith(INFERRED)
    assert len(set(names.values())) == len(names)


@given(drawn=EVENTS, late=EVENTS)
@hypothesis_settings(max_examples=25, deadline=None)
def test_a_late_event_changes_the_sessions_of_its_own_day_only(drawn: list[Any], late: list[Any]) -> None:
    rows = [event(n, tenth * 6, *more) for n, (tenth, *more) in enumerate(drawn)]
    new = [event(100 + n, tenth * 6 % 1440, *more) for n, (tenth, *more) in enumerate(late)]
    before, after = sessions(rows), {row["event_id"]: row for row in sessions([*rows, *new])}
    assert all(after[row["event_id"]] == row for row in before if row["day"] != DAY)
