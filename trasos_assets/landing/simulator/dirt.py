"""Dirt: what real landings suffer from, in known numbers, and the bots and testers among the visitors.

Every kind but ``late`` only adds lines to the clean events, so the truth stays what it was before the dirt.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from trasos_assets.landing.simulator.config import DAY_MS, LATE_DAYS, SimulationConfig
from trasos_assets.landing.simulator.events import COLUMNS, TYPE, Columns, joined, received_after
from trasos_assets.landing.simulator.people import People
from trasos_assets.landing.simulator.shop import Shop
from trasos_assets.landing.simulator.traffic import CONTEXTS, COUNTRIES, context_of

# How a malformed line is broken, and the reason under which the platform quarantines it.
FLAWS: tuple[tuple[str, str], ...] = (
    ("truncated_json", "malformed"),
    ("bare_array", "malformed"),
    ("quantity_is_text", "invalid_quantity"),
    ("unknown_event_type", "unknown_event_type"),
    ("no_event_id", "missing_event_id"),
)
UNKNOWN_ITEMS = 50
BOT_AGENTS = ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "python-requests/2.31")
# Bots are of these kinds in turn, called as the rule that should find them. Two of five name themselves; the others
# come with a browser's name: one never stops, one walks through the catalogue at an even pace, one grabs in minutes.
# All lie well beyond what people do, since a bot that nobody can tell from them would be one of them in every number.
BOT_KINDS = ("known_agent", "known_agent", "event_rate", "breadth", "event_burst")
BOT_VIEWS = np.array([(100, 400), (100, 400), (2_200, 3_000), (250, 400), (300, 900)])
_RATE, _BREADTH, _BURST = 2, 3, 4
BROWSER_AGENT = 2
BURST_PACE_MS = 250

_HOUR_MS = 3_600_000
_SECOND_MS = 1_000


def _between(low: float, high: np.ndarray | float, rng: np.random.Generator, count: int) -> np.ndarray:
    return (low + rng.random(count) * np.maximum(high - low, 0)).astype(np.int64)


def _rows(columns: Columns, at: np.ndarray) -> Columns:
    return {name: column[at] for name, column in columns.items()}


def soil(
    config: SimulationConfig, clean: Columns, next_number: int, unknown_item: int, rng: np.random.Generator
) -> tuple[Columns, Counter[str], int]:
    """Clean events with late receipts, and the added lines below them.

    ``unknown_item`` is the first item index that the catalogue does not hold. Returns the events, exact counts by
    kind, and the next free event number.
    """
    dirt, end = config.dirt, config.end_ms
    count = len(clean["type"])
    occurred = clean["occurred"]
    counts: Counter[str] = Counter()

    late = (rng.random(count) < dirt.late) & (occurred + DAY_MS + _SECOND_MS < end)
    limit = np.minimum((LATE_DAYS - 0.1) * DAY_MS, end - _SECOND_MS - occurred[late])
    received = clean["received"].copy()
    received[late] = occurred[late] + _between(DAY_MS, limit, rng, int(late.sum()))
    clean = {**clean, "received": received}
    counts["late"] = int(late.sum())

    # Repeats of late lines could be too late as well: they would have two reasons.
    lot = rng.random(count)
    again = np.flatnonzero(~late & (lot < dirt.duplicates))
    contested = np.flatnonzero(~late & (lot >= dirt.duplicates) & (lot < dirt.duplicates + dirt.conflicting))
    resent = again[rng.random(len(again)) < 0.5]
    exact = np.setdiff1d(again, resent)
    second = _rows(clean, resent)
    room = end - _SECOND_MS - second["received"]
    second["received"] = second["received"] + _between(60 * _SECOND_MS, np.minimum(2 * DAY_MS, room), rng, len(resent))
    conflict = _rows(clean, contested)
    room = np.minimum(_HOUR_MS, end - _SECOND_MS - conflict["received"])
    conflict["received"] = conflict["received"] + _between(_SECOND_MS, room, rng, len(contested))
    conflict["price"] = np.where(conflict["price"] >= 0, conflict["price"] + 100, -1)
    country = conflict["context"] % len(COUNTRIES)
    moved = conflict["context"] - country + (country + 1) % len(COUNTRIES)
    conflict["context"] = np.where(conflict["context"] >= 0, moved, -1)
    counts["duplicates_exact"] = len(exact)
    counts["duplicates_resent"] = len(resent)
    counts["conflicting"] = len(contested)

    # Copies of item views with ids of their own: accepted or not, they change no session's funnel and no order.
    views = np.flatnonzero((clean["type"] == TYPE["page_view"]) & (clean["item"] >= 0))
    chance = count / max(len(views), 1)
    overdue = views[rng.random(len(views)) < dirt.too_late * chance]
    overdue = overdue[occurred[overdue] + (LATE_DAYS + 0.1) * DAY_MS + _SECOND_MS < end]
    too_late = _rows(clean, overdue)
    limit = np.minimum((LATE_DAYS + 5) * DAY_MS, end - _SECOND_MS - too_late["occurred"])
    too_late["received"] = too_late["occurred"] + _between((LATE_DAYS + 0.1) * DAY_MS, limit, rng, len(overdue))
    counts["too_late"] = len(overdue)

    broken = _rows(clean, views[(rng.random(len(views)) < dirt.malformed * chance) & ~late[views]])
    broken["flaw"] = rng.integers(0, len(FLAWS), len(broken["type"]))
    for flaw, (name, _) in enumerate(FLAWS):
        counts[name] = int((broken["flaw"] == flaw).sum())
    strange = _rows(clean, views[(rng.random(len(views)) < dirt.unknown_items * chance) & ~late[views]])
    strange["item"] = unknown_item + rng.integers(0, UNKNOWN_ITEMS, len(strange["type"]))
    counts["unknown_items"] = len(strange["type"])
    for part in (too_late, broken, strange):
        part["number"] = next_number + np.arange(len(part["type"]))
        next_number += len(part["type"])
    parts = [clean, _rows(clean, exact), second, conflict, too_late, broken, strange]
    return joined(parts, COLUMNS), counts, next_number


@dataclass(frozen=True)
class Robots:
    """Bot visits (one row a bot and day) and tester visits; neither is a person, neither is assigned to an arm."""

    bot: np.ndarray
    bot_day: np.ndarray
    bot_views: np.ndarray
    bot_begin: np.ndarray  # share of the day after which a burst begins
    tester: np.ndarray
    tester_day: np.ndarray


def plan_robots(config: SimulationConfig) -> Robots:
    """On which days bots and testers come. Bots in a hurry come on one day, others on up to five."""
    rng = config.stream("robots")
    bots = np.arange(config.dirt.bots)
    hurried = np.isin(bots % len(BOT_KINDS), (_RATE, _BURST))
    visits = np.where(hurried, 1, rng.integers(1, 6, len(bots)))
    bot = np.repeat(bots, np.minimum(visits, config.days))
    keys = np.unique(bot * config.days + rng.integers(0, config.days, len(bot)))
    bot, day = keys // config.days, keys % config.days
    low, high = BOT_VIEWS[bot % len(BOT_KINDS)].T
    testers = np.repeat(np.arange(config.dirt.testers), 2)
    tests = np.unique(testers * config.days + rng.integers(0, config.days, len(testers)))
    views = rng.integers(low, high + 1)
    return Robots(bot, day, views, rng.random(len(bot)), tests // config.days, tests % config.days)


def bot_visitor(people: People, bot: np.ndarray) -> np.ndarray:
    """Visitor numbers of bots; those of testers follow."""
    return people.visitors.count + bot


def robot_events(
    config: SimulationConfig,
    shop: Shop,
    people: People,
    robots: Robots,
    days: tuple[int, int],
    next_number: int,
    rng: np.random.Generator,
) -> tuple[Columns, Counter[str], int]:
    """Events of bots and testers on the days from ``days[0]`` to before ``days[1]``; counts and next number too."""
    now = np.flatnonzero((robots.bot_day >= days[0]) & (robots.bot_day < days[1]))
    visit = np.repeat(now, robots.bot_views[now])
    bot, open_ms = robots.bot[visit], DAY_MS - _HOUR_MS
    kind = bot % len(BOT_KINDS)
    views_before = np.cumsum(robots.bot_views) - robots.bot_views
    rank = np.arange(len(visit)) - np.searchsorted(visit, visit)
    at, views = rng.random(len(visit)), robots.bot_views[visit]
    clock = np.select(
        [kind == _BREADTH, kind == _BURST],
        [(rank + at) / views * open_ms, robots.bot_begin[visit] * open_ms + at * views * BURST_PACE_MS],
        at * open_ms,
    )
    item = rng.integers(0, config.items, len(visit))
    zeros = np.zeros(len(visit), dtype=np.int64)
    bots: Columns = {
        "type": np.full(len(visit), TYPE["page_view"]),
        "occurred": robots.bot_day[visit] * DAY_MS + clock.astype(np.int64),
        "visitor": bot_visitor(people, bot),
        "item": np.where(kind == _BREADTH, (views_before[visit] + rank) % config.items, item),
        "context": np.where(kind < len(BOT_AGENTS), CONTEXTS + kind, context_of(zeros, zeros + BROWSER_AGENT, zeros)),
    }
    test = np.flatnonzero((robots.tester_day >= days[0]) & (robots.tester_day < days[1]))
    steps = ("page_view", "add_to_cart", "checkout", "purchase")
    row, step = np.repeat(test, len(steps)), np.tile(np.arange(len(steps)), len(test))
    item = rng.integers(0, config.items, len(test)).repeat(len(steps))
    begin = robots.tester_day[row] * DAY_MS + np.repeat(
        (rng.random(len(test)) * (DAY_MS - _HOUR_MS)).astype(np.int64), len(steps)
    )
    pays = step == steps.index("purchase")
    tests: Columns = {
        "type": np.array([TYPE[name] for name in steps])[step],
        "occurred": begin + step * 20 * _SECOND_MS,
        "visitor": bot_visitor(people, config.dirt.bots + robots.tester[row]),
        "session": people.sessions.count + row,
        "item": np.where(step == steps.index("checkout"), -1, item),
        "quantity": np.where(pays | (step == 1), 1, -1),
        "price": np.where(pays, shop.prices[robots.tester_day[row], item], -1),
        "order": np.where(pays, len(people.orders.session) + row, -1),
        "context": np.full(len(row), CONTEXTS + len(BOT_AGENTS)),
    }
    events = joined([bots, tests], COLUMNS)
    events["number"] = next_number + np.arange(len(events["type"]))
    events["received"] = received_after(events["occurred"], rng)
    counts = Counter({"bot_events": len(visit), "test_events": len(row)})
    for place, name in enumerate(BOT_KINDS):
        counts[f"bot_events_{name}"] += int((kind == place).sum())
    return events, counts, next_number + len(events["type"])
