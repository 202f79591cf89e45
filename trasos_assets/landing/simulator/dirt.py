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
BOT_VIEWS = (100, 400)
BURST_VIEWS = (2_200, 3_000)
BUSY_AGENT = 2

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
    tester: np.ndarray
    tester_day: np.ndarray


def plan_robots(config: SimulationConfig) -> Robots:
    """Two bots of three name themselves and come on up to five days; the third bursts over 2000 views on one day."""
    rng = config.stream("robots")
    bots = np.arange(config.dirt.bots)
    bursts = bots % 3 == 2
    visits = np.where(bursts, 1, rng.integers(1, 6, len(bots)))
    bot = np.repeat(bots, np.minimum(visits, config.days))
    keys = np.unique(bot * config.days + rng.integers(0, config.days, len(bot)))
    bot, day = keys // config.days, keys % config.days
    low, high = np.where(bursts[bot], [[BURST_VIEWS[0]], [BURST_VIEWS[1]]], [[BOT_VIEWS[0]], [BOT_VIEWS[1]]])
    testers = np.repeat(np.arange(config.dirt.testers), 2)
    tests = np.unique(testers * config.days + rng.integers(0, config.days, len(testers)))
    return Robots(bot, day, rng.integers(low, high + 1), tests // config.days, tests % config.days)


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
    zeros = np.zeros(len(visit), dtype=np.int64)
    bots: Columns = {
        "type": np.full(len(visit), TYPE["page_view"]),
        "occurred": robots.bot_day[visit] * DAY_MS + (rng.random(len(visit)) * open_ms).astype(np.int64),
        "visitor": people.visitors.count + bot,
        "item": rng.integers(0, config.items, len(visit)),
        "context": np.where(
            bot % 3 == 2, context_of(zeros, zeros + BUSY_AGENT, zeros), CONTEXTS + bot % 3 % len(BOT_AGENTS)
        ),
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
        "visitor": people.visitors.count + config.dirt.bots + robots.tester[row],
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
    return events, counts, next_number + len(events["type"])
