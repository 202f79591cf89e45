"""Late events say which day they changed, on which day, and what they did to its numbers: planted and counted."""

import functools
from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import ibis
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from trasos_assets.contracts.engineering import EVENT_STATES, IDENTITIES, RAW_EVENTS, RESTATEMENTS, WATERMARK
from trasos_assets.contracts.schema import violations
from trasos_assets.metrics.kpis import daily_kpis
from trasos_assets.metrics.orders import order_lines, orders
from trasos_assets.settings import Settings
from trasos_assets.trust.classify import accepted_events, event_keys, event_states
from trasos_assets.trust.identity import identities, with_person
from trasos_assets.trust.marks import marked_events
from trasos_assets.trust.releases import Release
from trasos_assets.trust.restatements import late_events, restatements
from trasos_assets_tests.conftest import make_table, new_backend
from trasos_assets_tests.trust.events import DAY, line

ENGINE = new_backend()
FIRST_DAY = DAY - timedelta(days=30)
RULES = Settings.model_validate({})
KPIS = ("visitors", "sessions", "buyers", "orders", "gross", "net")
Rows = list[dict[str, Any]]


def plus(days: int) -> date:
    return DAY + timedelta(days=days)


def landed(number: int, late: int = 0, *, on: int = 0, hour: float = 12, **fields: Any) -> dict[str, Any]:
    """A line of an event that happened on day ``on`` at ``hour`` and landed ``late`` days after."""
    day = plus(on)
    at = datetime(day.year, day.month, day.day) + timedelta(hours=hour)
    received = at + timedelta(days=late)
    row = line(number, received=plus(on + late), file=f"f{on + late}-{number}", occurred_at=at, received_at=received)
    return row | {"occurred_day": day} | fields


def bought(number: int, late: int, order: str, price: str, kind: str = "purchase", **fields: Any) -> dict[str, Any]:
    paid = {"order_id": order, "item_id": "shirt", "quantity": 1, "unit_price": Decimal(price), "currency": "GBP"}
    return landed(number, late, event_type=kind, **(paid | fields))


@functools.cache
def compiled(releases: tuple[Release, ...]) -> dict[str, str]:
    """The SQL of every step over the tables of those before: to compile takes longer than to run over a few rows."""
    texts: dict[str, str] = {}

    def held(name: str, made: ibis.Table) -> ibis.Table:
        texts[name] = ENGINE.compile(made)
        ENGINE.con.execute(f"CREATE OR REPLACE TABLE {name} AS {texts[name]}")
        return ENGINE.table(name)

    ENGINE.con.execute(f"CREATE OR REPLACE TABLE raw AS {ENGINE.compile(make_table(ENGINE, RAW_EVENTS, []))}")
    raw = ENGINE.table("raw")
    reach = make_table(ENGINE, WATERMARK, [{"first_day": plus(-9), "data_through": plus(40)}])
    keys = held("keys", event_keys(raw, late_days=3, currency="GBP", first_day=FIRST_DAY, releases=releases))
    states = held("states", event_states(keys, dedup_days=7))
    clean = held("clean", marked_events(accepted_events(raw, states), RULES))
    who = held("who", identities(clean))
    placed = held("placed", orders(with_person(order_lines(clean), who)))
    held("kpis", daily_kpis(with_person(clean, who), placed, reach))
    held("restated", restatements(clean, states, who).order_by("day", "restated_on"))
    held("late", late_events(states))
    return texts


def built(rows: Rows, releases: Sequence[Release] = ()) -> tuple[Rows, Rows, dict[date, int], Rows]:
    """Restatements and daily KPIs, the number of clean events by day, and the late events."""
    texts = compiled(tuple(releases))
    ENGINE.con.execute(f"CREATE OR REPLACE TABLE raw AS {ENGINE.compile(make_table(ENGINE, RAW_EVENTS, rows))}")
    for name, text in texts.items():
        ENGINE.con.execute(f"CREATE OR REPLACE TABLE {name} AS {text}")
    restated, kpis, clean, late = (
        ENGINE.table(name).to_pyarrow().to_pylist() for name in ("restated", "kpis", "clean", "late")
    )
    return restated, kpis, Counter(row["day"] for row in clean), late


def told(rows: Rows, releases: Sequence[Release] = ()) -> list[tuple[int, int, int]]:
    """Day, day of restatement and events added, days counted from DAY."""
    found, _, _, _ = built(rows, releases)
    return [((row["day"] - DAY).days, (row["restated_on"] - DAY).days, row["events_added"]) for row in found]


def steps(row: dict[str, Any], *names: str) -> list[tuple[Any, Any]]:
    return [(row[f"{name}_before"], row[f"{name}_after"]) for name in names]


def test_events_known_on_their_own_day_restate_nothing() -> None:
    assert told([landed(1), landed(2, on=1)]) == []
    assert told([]) == []


def test_each_later_day_that_brings_events_is_a_row_of_the_day_they_happened() -> None:
    rows = [landed(1), landed(2, 1), landed(3, 1), landed(4, 3), landed(5, 2, on=4), landed(6, on=9)]
    assert told(rows) == [(0, 1, 2), (0, 3, 1), (4, 6, 1)]


def test_the_folder_of_the_next_morning_is_late_though_only_by_a_minute() -> None:
    assert told([landed(1, 0, hour=23.99) | {"day": plus(1), "received_at": datetime(2026, 3, 11, 0, 0, 30)}]) == [
        (0, 1, 1)
    ]


def test_what_the_late_events_did_to_the_day_is_worked_out_by_hand() -> None:
    rows = [
        landed(1, visitor_id="v1", session_id="s1"),
        bought(2, 0, "o1", "10", visitor_id="v1", customer_id="ann", session_id="s1"),
        # A day later: one more look of v1 (nobody new), a new visitor with two sessions, and an order of 20.
        landed(3, 1, visitor_id="v1", session_id="s1"),
        landed(4, 1, visitor_id="v2", session_id="s2"),
        bought(5, 1, "o2", "20", visitor_id="v2", customer_id="bob", session_id="s3"),
        # Two days later: a second line of o1, the cancellation of o2, and a bot.
        bought(6, 2, "o1", "5", visitor_id="v1", customer_id="ann", session_id="s1"),
        bought(7, 2, "o2", "20", "cancellation", visitor_id="v2", customer_id="bob"),
        landed(8, 2, visitor_id="robot", user_agent="curl/8"),
    ]
    found, kpis, days, _ = built(rows)
    assert violations(RESTATEMENTS, ENGINE.table("restated")) == []
    assert [row["events_added"] for row in found] == [3, 3]
    first, second = found
    assert steps(first, *KPIS) == [(1, 2), (1, 3), (1, 2), (1, 2), (10, 30), (10, 30)]
    assert steps(second, *KPIS) == [(2, 2), (3, 3), (2, 1), (2, 1), (30, 35), (30, 15)]
    (day,) = [row for row in kpis if row["day"] == DAY]
    assert [after for _, after in steps(second, *KPIS)] == [day[name] for name in KPIS]
    assert days[DAY] == 8


def test_before_holds_only_what_the_days_own_late_events_changed() -> None:
    """A login and a cancellation on other days are known today, so no late event is blamed for them."""
    rows = [
        landed(1, visitor_id="v1"),
        landed(2, visitor_id="v2"),
        bought(3, 0, "o1", "10", visitor_id="v1", customer_id="ann"),
        landed(4, 1, visitor_id="v1"),
        landed(5, 0, on=2, event_type="login", visitor_id="v2", customer_id="ann"),
        bought(6, 0, "o1", "4", "cancellation", on=5, visitor_id="v1", customer_id="ann"),
    ]
    (row,), _, _, _ = built(rows)
    assert steps(row, *KPIS) == [(1, 1), (2, 2), (1, 1), (1, 1), (10, 10), (6, 6)]


def test_an_order_over_midnight_stays_on_the_day_of_its_first_line() -> None:
    rows = [
        bought(1, 1, "o1", "10", hour=23.9, customer_id="ann"),
        bought(2, 0, "o1", "5", on=1, hour=0.1, customer_id="ann"),
        landed(3, 0, hour=1, visitor_id="v2"),
        landed(4, 2, on=1, visitor_id="v3"),
    ]
    found, kpis, _, _ = built(rows)
    assert steps(found[0], "orders", "gross") == [(0, 1), (0, 15)]
    assert steps(found[1], "orders", "gross") == [(0, 0), (0, 0)]
    assert [row["gross"] for row in kpis if row["day"] in (plus(0), plus(1))] == [15, 0]


def test_a_copy_that_landed_before_dates_the_event_whichever_copy_counts() -> None:
    own_day, again = landed(1), landed(1, 2) | {"file_hash": "a-redelivery", "received_at": landed(1)["received_at"]}
    for files in (("a", "b"), ("b", "a")):
        one, other = own_day | {"file_hash": files[0]}, again | {"file_hash": files[1]}
        assert told([one, other]) == []
    assert told([landed(1, 1), landed(1, 3) | {"file_hash": "0", "received_at": landed(1, 1)["received_at"]}]) == [
        (0, 1, 1)
    ]


def test_a_conflicting_line_dates_nothing_and_refused_lines_add_nothing() -> None:
    rows = [landed(1, 2), landed(2, 1, quantity=-1), landed(3, 4), landed(4)]
    assert told(rows) == [(0, 2, 1)]
    conflicting = landed(1, 3) | {"country": "FR", "received_at": landed(1, 3)["received_at"]}
    assert told([landed(1, 2), conflicting]) == [(0, 2, 1)]


def test_released_lines_are_known_on_the_day_of_the_release() -> None:
    def release(reason: str, on: int) -> Release:
        return Release("events", reason, plus(0), plus(9), True, plus(on), datetime(2026, 4, 1), "ann")

    too_late = landed(1, 9, visitor_id="v9")
    assert told([landed(2), too_late]) == []
    assert told([landed(2), too_late], [release("too_late", 20)]) == [(0, 20, 1)]
    ahead = landed(3) | {"received_at": landed(3)["occurred_at"] - timedelta(hours=1)}
    assert told([ahead], [release("occurred_after_received", 9)]) == [(0, 9, 1)]


EVENTS = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 0, 1, 2, 3]),
        st.integers(0, 2),
        st.integers(1, 23),
        st.sampled_from(["page_view", "purchase", "purchase", "cancellation", "login"]),
        st.sampled_from(["v1", "v2", "v3"]),
        st.sampled_from(["c1", "c2", None]),
        st.sampled_from(["o1", "o2", "o3"]),
        st.sampled_from(["s1", "s2", None]),
    ),
    min_size=1,
    max_size=20,
)


@given(drawn=EVENTS, copies=st.lists(st.tuples(st.integers(0, 19), st.integers(0, 3)), max_size=4))
@hypothesis_settings(max_examples=25, deadline=None)
def test_a_days_rows_add_up_follow_one_another_and_end_at_its_kpis(drawn: list[Any], copies: list[Any]) -> None:
    rows = []
    for number, (late, on, hour, kind, visitor, customer, order, session) in enumerate(drawn):
        who = {"visitor_id": visitor, "customer_id": customer or ("c3" if kind == "login" else None)}
        more = {"on": on, "hour": hour, "session_id": session, **who}
        if kind in ("purchase", "cancellation"):
            rows.append(bought(number, late, order, "10", kind, **more))
        else:
            rows.append(landed(number, late, event_type=kind, **more))
    for copy, (number, later) in enumerate(copies):
        if number < len(drawn):
            again = {"day": rows[number]["day"] + timedelta(days=later), "file_hash": f"copy-{copy}"}
            rows.append(rows[number] | again)
    rows = [row for row in rows if (row["day"] - row["occurred_day"]).days <= 3]
    found, kpis, days, late = built(rows)
    of_day = {row["day"]: row for row in kpis}
    first_known: dict[str, date] = {}
    for row in rows:
        first_known[row["event_id"]] = min(row["day"], first_known.get(row["event_id"], date.max))
    in_time = Counter(
        row["occurred_day"] for row in rows[: len(drawn)] if first_known[row["event_id"]] == row["occurred_day"]
    )
    assert {row["event_id"]: row["known_on"] for row in late} == {
        row["event_id"]: first_known[row["event_id"]]
        for row in rows[: len(drawn)]
        if first_known[row["event_id"]] > row["occurred_day"]
    }
    for day in days:
        own = [row for row in found if row["day"] == day]
        assert in_time[day] + sum(row["events_added"] for row in own) == days[day]
        for before, after in pairwise(own):
            assert [b for b, _ in steps(after, *KPIS)] == [a for _, a in steps(before, *KPIS)]
        if own:
            assert [after for _, after in steps(own[-1], *KPIS)] == [of_day[day][name] for name in KPIS]


def test_the_first_before_is_what_the_days_own_folder_would_have_told() -> None:
    """The numbers of a lake that holds only what landed on the day itself, if nothing else depends on later days."""
    own = [landed(n, visitor_id=f"v{n}", session_id=f"s{n}") for n in range(4)]
    own += [bought(9, 0, "o1", "7", visitor_id="v1", customer_id="ann", session_id="s1")]
    late = [landed(20 + n, 1 + n % 3, visitor_id=f"v{n + 2}", session_id=f"s{n + 2}") for n in range(6)]
    late += [bought(30, 2, "o2", "3", visitor_id="v2", customer_id="bob", session_id="s2")]
    found, _, _, _ = built([*own, *late])
    _, then, _, _ = built(own)
    (day,) = [row for row in then if row["day"] == DAY]
    assert [before for before, _ in steps(found[0], *KPIS)] == [day[name] for name in KPIS]


def test_marks_and_restatements_compile_for_spark() -> None:
    raw, states, who = (ibis.table(one.types, name=one.name) for one in (RAW_EVENTS, EVENT_STATES, IDENTITIES))
    clean = marked_events(accepted_events(raw, states), RULES)
    sql = ibis.to_sql(restatements(clean, states, who), dialect="pyspark")
    assert all(f"`{column}`" in sql for column in RESTATEMENTS.column_names)
