"""Machines are marked by rules, kept, and left out downstream."""

from collections import Counter
from datetime import timedelta
from typing import Any

import ibis
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from trasos_assets.contracts.engineering import CLEAN_EVENTS
from trasos_assets.settings import Settings
from trasos_assets.trust.bots import bot_quality, people_only, with_bot_rule
from trasos_assets_tests.conftest import MakeTable, make_table, new_backend
from trasos_assets_tests.trust.events import DAY, NOON, line

ENGINE = new_backend()  # property tests cannot have one each

PEOPLE = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1",
    "Trasos/7.1 (Android 15)",
    "Mozilla/5.0 (Linux; Android 13; CUBOT X50) AppleWebKit/537.36 Chrome/131.0 Mobile Safari/537.36",
    "",
    None,
]
MACHINES = [
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "BINGBOT/2.0",
    "curl/8.4.0",
    "python-requests/2.32",
    "Mozilla/5.0 HeadlessChrome/120.0",
    "Yahoo! Slurp",
    "bot",
    "UBot/1.0",
    "Go-http-client/2.0",
]


def clean(number: int, **fields: Any) -> dict[str, Any]:
    return {name: value for name, value in line(number, **fields).items() if name in CLEAN_EVENTS.column_names}


def rules(
    table: MakeTable,
    rows: list[dict[str, Any]],
    events_per_day: int = 100,
    events_per_minute: int = 100,
    items_per_day: int = 100,
) -> list[str | None]:
    events = table(CLEAN_EVENTS, rows).drop("bot_rule")
    thresholds = {"events_per_minute": events_per_minute, "items_per_day": items_per_day}
    marked = with_bot_rule(events, events_per_day=events_per_day, **thresholds)
    assert marked.columns == (*events.columns, "bot_rule")
    found = marked.to_pyarrow().to_pylist()
    assert len(found) == len(rows)
    return [row["bot_rule"] for row in sorted(found, key=lambda row: int(row["event_id"][1:]))]


@pytest.mark.parametrize("agent", MACHINES)
def test_a_known_agent_is_a_bot(table: MakeTable, agent: str) -> None:
    assert rules(table, [clean(1, user_agent=agent)]) == ["known_agent"]


@pytest.mark.parametrize("agent", PEOPLE, ids=str)
def test_a_browser_is_no_bot_nor_is_one_that_says_nothing(table: MakeTable, agent: str | None) -> None:
    assert rules(table, [clean(1, user_agent=agent)]) == [None]


def test_a_visitor_above_the_rate_is_a_bot_on_that_day_with_all_its_events(table: MakeTable) -> None:
    busy = [clean(n, visitor_id="busy") for n in range(4)]
    calm = [clean(10 + n, visitor_id="calm") for n in range(3)]
    next_day = [clean(20 + n, visitor_id="busy", received=DAY + timedelta(days=1)) for n in range(3)]
    assert rules(table, [*busy, *calm, *next_day], events_per_day=3) == ["event_rate"] * 4 + [None] * 6


def test_customers_without_a_visitor_id_are_not_one_crowd(table: MakeTable) -> None:
    rows = [clean(n, visitor_id=None, customer_id=f"c{n % 3}") for n in range(9)]
    assert rules(table, rows, events_per_day=3) == [None] * 9
    assert rules(table, rows, events_per_day=2) == ["event_rate"] * 9


def paced(count: int, seconds: float, begin: int = 0, **fields: Any) -> list[dict[str, Any]]:
    """Events of one visitor at an even pace from noon, each on an item of its own."""
    return [
        clean(n, **({"item_id": f"i{n}", "occurred_at": NOON + timedelta(seconds=(n - begin) * seconds)} | fields))
        for n in range(begin, begin + count)
    ]


def test_a_visitor_and_a_customer_of_one_id_are_not_one_crowd(table: MakeTable) -> None:
    rows = [*paced(3, 60, visitor_id="7"), *paced(3, 60, 10, visitor_id=None, customer_id="7")]
    assert rules(table, rows, events_per_day=3) == [None] * 6
    assert rules(table, rows, events_per_day=2) == ["event_rate"] * 6


def test_a_burst_within_one_minute_marks_the_visitors_whole_day(table: MakeTable) -> None:
    burst = paced(5, 10)  # five in the first minute of noon
    later = paced(2, 600, 10, occurred_at=NOON + timedelta(hours=3))
    calm = paced(5, 20, 20, visitor_id="calm")  # three a minute
    rows = [*burst, *later, *calm]
    assert rules(table, rows, events_per_minute=4) == ["event_burst"] * 7 + [None] * 5
    assert rules(table, rows, events_per_minute=5) == [None] * 12
    tomorrow = clean(30, received=DAY + timedelta(days=1))
    assert rules(table, [*burst, tomorrow], events_per_minute=4) == ["event_burst"] * 5 + [None]


def test_a_crawler_at_a_human_pace_is_known_by_the_items_it_looks_at(table: MakeTable) -> None:
    crawler, again = paced(5, 60, visitor_id="crawler"), paced(9, 60, 10, visitor_id="fan", item_id="i1")
    clicks = paced(5, 60, 20, visitor_id="clicker", event_type="click")
    rows = [*crawler, *again, *clicks]
    assert rules(table, rows, items_per_day=4) == ["breadth"] * 5 + [None] * 9 + ["breadth"] * 5
    assert rules(table, rows, items_per_day=5) == [None] * 19


@pytest.mark.parametrize("act", ["add_to_cart", "remove_from_cart", "checkout", "purchase", "cancellation", "login"])
def test_who_means_to_buy_may_look_at_as_much_as_they_like(table: MakeTable, act: str) -> None:
    assert rules(table, [*paced(9, 60), clean(9, event_type=act)], items_per_day=4) == [None] * 10


def test_a_known_customer_may_look_at_as_much_as_they_like(table: MakeTable) -> None:
    assert rules(table, [*paced(9, 60), clean(9, customer_id="c1")], items_per_day=4) == [None] * 10


def test_intent_on_another_day_excuses_nothing(table: MakeTable) -> None:
    bought = clean(9, event_type="purchase", received=DAY + timedelta(days=1))
    assert rules(table, [*paced(5, 60), bought], items_per_day=4) == ["breadth"] * 5 + [None]


@pytest.mark.parametrize("kind", ["impression", "purchase", "cancellation"])
def test_what_one_act_brings_in_hundreds_says_nothing_of_pace(table: MakeTable, kind: str) -> None:
    rows = paced(50, 0, event_type=kind)
    assert rules(table, rows, events_per_day=4, events_per_minute=4, items_per_day=4) == [None] * 50


def test_the_first_rule_that_applies_is_named(table: MakeTable) -> None:
    thresholds = {"events_per_day": 4, "events_per_minute": 4, "items_per_day": 4}
    rows = [*paced(8, 1), clean(8, user_agent="curl/8")]
    assert rules(table, rows, **thresholds) == ["event_rate"] * 8 + ["known_agent"]
    assert rules(table, rows, **(thresholds | {"events_per_day": 99})) == ["event_burst"] * 8 + ["known_agent"]
    lazy = {"events_per_day": 99, "events_per_minute": 99}
    assert rules(table, rows, **(thresholds | lazy)) == ["breadth"] * 8 + ["known_agent"]


def test_people_who_use_the_shop_hard_are_people_by_the_default_thresholds(table: MakeTable) -> None:
    """A day of browsing, a wholesaler's order, fast tapping through a gallery, pages full of recommendations."""
    browsing = paced(140, 40, visitor_id="all day")
    wholesaler = paced(2_500, 0, 1_000, visitor_id=None, customer_id="shop", event_type="purchase")
    tapping = paced(100, 0.6, 5_000, visitor_id="taps", item_id="i1", event_type="click")
    shelves = paced(3_000, 1, 10_000, visitor_id="shelves", event_type="impression")
    chooser = [*paced(400, 40, 20_000, visitor_id="picks"), clean(30_000, visitor_id="picks", event_type="add_to_cart")]
    default = Settings.model_fields
    found = rules(
        table,
        [*browsing, *wholesaler, *tapping, *shelves, *chooser],
        events_per_day=default["bot_events_per_day"].default,
        events_per_minute=default["bot_events_per_minute"].default,
        items_per_day=default["bot_items_per_day"].default,
    )
    assert set(found) == {None}


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 9),
        st.sampled_from(["page_view", "click", "scroll", "impression", "add_to_cart", "purchase"]),
        st.sampled_from(["i1", "i2", "i3", None]),
        st.sampled_from(["v1", "v2", None]),
        st.sampled_from(["curl/8", None]),
    ),
    max_size=20,
)


@given(drawn=EVENTS, day=st.integers(1, 6), minute=st.integers(1, 4), items=st.integers(1, 2))
@hypothesis_settings(max_examples=20, deadline=None)
def test_marks_are_those_of_a_plain_loop(drawn: list[Any], day: int, minute: int, items: int) -> None:
    rows = [
        clean(
            n,
            occurred_at=NOON + timedelta(seconds=20 * tick),
            event_type=kind,
            item_id=item,
            visitor_id=visitor,
            customer_id=None if visitor else "c1",
            user_agent=agent,
        )
        for n, (tick, kind, item, visitor, agent) in enumerate(drawn)
    ]

    def expected(row: dict[str, Any]) -> str | None:
        own = [other for other in rows if other["visitor_id"] == row["visitor_id"]]
        acts = [other for other in own if other["event_type"] not in ("impression", "purchase")]
        minutes = Counter(other["occurred_at"].replace(second=0) for other in acts)
        looked = {other["item_id"] for other in acts if other["event_type"] in ("page_view", "click")} - {None}
        means_it = any(other["customer_id"] or other["event_type"] in ("add_to_cart", "purchase") for other in own)
        if row["user_agent"]:
            return "known_agent"
        if len(acts) > day:
            return "event_rate"
        if max(minutes.values(), default=0) > minute:
            return "event_burst"
        return "breadth" if len(looked) > items and not means_it else None

    found = rules(lambda *made: make_table(ENGINE, *made), rows, day, minute, items)
    assert found == [expected(row) for row in rows]


def test_quality_counts_what_rules_find_and_what_they_blame(table: MakeTable) -> None:
    marked = [
        clean(1, visitor_id="b1") | {"bot_rule": "known_agent"},
        clean(2, visitor_id="b1"),
        clean(3, visitor_id="b2") | {"bot_rule": "event_rate"},
        clean(4, visitor_id="ann") | {"bot_rule": "event_rate"},
        clean(5, visitor_id="ann"),
        clean(6, visitor_id=None, customer_id="c1"),
    ]
    events = table(CLEAN_EVENTS, marked)
    planted = ibis.memtable({"visitor_id": ["b1", "b2"], "rule": ["known_agent", "breadth"]})
    rows = {row.pop("rule"): row for row in bot_quality(events, planted).to_pyarrow().to_pylist()}
    assert {rule: tuple(row.values()) for rule, row in rows.items()} == {
        "all": (3, 2, 3, 2, pytest.approx(2 / 3), pytest.approx(2 / 3)),
        "breadth": (1, 1, 0, 0, None, 1.0),
        "event_rate": (0, 0, 2, 1, 0.5, None),
        "known_agent": (2, 1, 1, 1, 1.0, 0.5),
    }


def test_people_only_leaves_out_bots_and_testers(table: MakeTable) -> None:
    rows = [
        clean(1),
        clean(2, is_test=True),
        clean(3, is_test=False),
        clean(4) | {"bot_rule": "event_rate"},
    ]
    kept = people_only(table(CLEAN_EVENTS, rows)).to_pyarrow().to_pylist()
    assert sorted(row["event_id"] for row in kept) == ["e1", "e3"]
