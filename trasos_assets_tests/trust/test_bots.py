"""Machines are marked by rules, kept, and left out downstream."""

from datetime import timedelta
from typing import Any

import pytest

from trasos_assets.contracts.engineering import CLEAN_EVENTS
from trasos_assets.trust.bots import people_only, with_bot_rule
from trasos_assets_tests.conftest import MakeTable
from trasos_assets_tests.trust.events import DAY, line

PEOPLE = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1",
    "Trasos/7.1 (Android 15)",
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
]


def clean(number: int, **fields: Any) -> dict[str, Any]:
    return {name: value for name, value in line(number, **fields).items() if name in CLEAN_EVENTS.column_names}


def rules(table: MakeTable, rows: list[dict[str, Any]], events_per_day: int = 100) -> list[str | None]:
    events = table(CLEAN_EVENTS, rows).drop("bot_rule")
    found = with_bot_rule(events, events_per_day=events_per_day).to_pyarrow().to_pylist()
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


def test_people_only_leaves_out_bots_and_testers(table: MakeTable) -> None:
    rows = [
        clean(1),
        clean(2, is_test=True),
        clean(3, is_test=False),
        clean(4) | {"bot_rule": "event_rate"},
    ]
    kept = people_only(table(CLEAN_EVENTS, rows)).to_pyarrow().to_pylist()
    assert sorted(row["event_id"] for row in kept) == ["e1", "e3"]
