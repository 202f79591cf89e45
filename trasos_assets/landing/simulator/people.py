"""Who comes, when, and who orders on which day: planned for the whole window before any event is made.

One row a visitor and one a session; the planted effects (conversion by arm, days to the next order) live here and
nowhere else, so that nothing in the journeys can disturb them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trasos_assets.landing.simulator.config import DAY_MS, SimulationConfig
from trasos_assets.landing.simulator.shop import BRANDS, CATEGORIES
from trasos_assets.landing.simulator.traffic import (
    ACQUISITION,
    AGENT_SHARES,
    AGENTS,
    CAMPAIGN_COUNT,
    CHANNELS,
    COUNTRIES,
    COUNTRY_SHARES,
    FIRST_CAMPAIGN,
    HOURS,
    RETURNING,
    WEEK,
)

VISITS_PER_DAY = 0.32
REGISTERS_ONLY = 0.03
SECOND_DEVICE = 0.02
SHARED_DEVICE = 0.015
REMEMBERED = 0.5
AS_ACQUIRED = 0.4

NO_LOGIN, LOGIN_FIRST, LOGIN_AT_CHECKOUT = 0, 1, 2


@dataclass(frozen=True)
class Visitors:
    """One row a visitor id: the people first (``people`` of them), then the second devices of some customers."""

    people: int
    owner: np.ndarray  # the person's first visitor: itself, or the customer's first device
    holdout: np.ndarray
    would_convert_untreated: np.ndarray  # the same draw judged by the holdout's probability
    customer: np.ndarray  # customer number, -1 for those who never are one
    agent: np.ndarray
    country: np.ndarray
    primary: np.ndarray
    secondary: np.ndarray
    brand: np.ndarray
    shared: int  # visitors on which a second customer logs in

    @property
    def count(self) -> int:
        """Visitor ids, second devices included."""
        return len(self.owner)


@dataclass(frozen=True)
class Sessions:
    """One row a session, sorted by day and visitor; at most one session a visitor and day."""

    visitor: np.ndarray
    day: np.ndarray
    start_ms: np.ndarray  # within the day
    first: np.ndarray  # the visitor's first session
    order: np.ndarray  # order number, -1 for none
    customer: np.ndarray  # who is or becomes logged in, -1 for nobody
    login: np.ndarray
    campaign: np.ndarray

    @property
    def count(self) -> int:
        """Number of sessions."""
        return len(self.visitor)


@dataclass(frozen=True)
class Orders:
    """One row an order, in the order of sessions. ``valid`` orders carry the planted effects.

    Orders that will be wholly cancelled are placed in other sessions, independent of everything, so that the first and
    every next valid order is exactly the planted one.
    """

    session: np.ndarray
    valid: np.ndarray
    number: np.ndarray  # the customer's n-th valid order, from 1; 0 if wholly cancelled


@dataclass(frozen=True)
class People:
    """Everything planned about people."""

    visitors: Visitors
    sessions: Sessions
    orders: Orders


def _day_weights(config: SimulationConfig) -> np.ndarray:
    """Cumulative traffic at the start of each day, days + 1 long."""
    weekday = (config.start.weekday() + np.arange(config.days)) % 7
    return np.concatenate(([0.0], np.cumsum(WEEK[weekday])))


def _days_between(first: np.ndarray, end: int, weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One day from ``first`` to ``end`` (exclusive) a row, by the weekly rhythm."""
    low = weights[first]
    at = low + rng.random(len(first)) * (weights[end] - low)
    return np.clip(np.searchsorted(weights, at, side="right") - 1, first, end - 1)


def _next_orders(
    config: SimulationConfig, visitor: np.ndarray, day: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Visitor, day and number of every valid order: a renewal process from the first, cut at the window's end."""
    found = [(visitor, day, np.ones(len(visitor), dtype=np.int64))]
    while len(visitor):
        gap = np.ceil(config.return_scale_days * rng.weibull(config.return_shape, len(visitor)))
        gap = np.maximum(gap, 1).astype(np.int64)
        comes = (rng.random(len(visitor)) >= config.never_returns) & (gap < config.days - day)
        visitor, day = visitor[comes], day[comes] + gap[comes]
        found.append((visitor, day, np.full(len(visitor), len(found) + 1)))
    visitors, days, numbers = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return visitors, days, numbers


def _natural_visits(config: SimulationConfig, weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sorted keys ``visitor * days + day``: a first visit by the weekly rhythm, more by the visitor's own rate."""
    n, days = config.visitors, config.days
    first = _days_between(np.zeros(n, dtype=np.int64), days, weights, rng)
    rate = rng.gamma(1.0, VISITS_PER_DAY, n)
    more = np.where(first + 1 < days, rng.poisson(rate * (days - 1 - first)), 0)
    again = np.repeat(np.arange(n), more)
    again_day = _days_between(first[again] + 1, days, weights, rng)
    return np.unique(np.concatenate((np.arange(n) * days + first, again * days + again_day)))


def _second_devices(
    config: SimulationConfig,
    converts: np.ndarray,
    first_order_day: np.ndarray,
    weights: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Owners of second devices and the visit keys of these; they come after the first order and never order."""
    n, days = config.visitors, config.days
    owners = converts[(rng.random(len(converts)) < SECOND_DEVICE) & (first_order_day[converts] + 1 < days)]
    uses = np.repeat(np.arange(len(owners)), rng.integers(1, 4, len(owners)))
    day = _days_between(first_order_day[owners[uses]] + 1, days, weights, rng)
    return owners, (n + uses) * days + day


@dataclass(frozen=True)
class _Loans:
    """Sessions in which another customer uses a visitor's device."""

    session: np.ndarray
    lender: np.ndarray
    borrower: np.ndarray


def _lend(
    visitor: np.ndarray, may_lend: np.ndarray, converts: np.ndarray, people: int, rng: np.random.Generator
) -> _Loans:
    """A few customers lend their last session that may be lent (``may_lend``) to another customer."""
    last = np.full(people, -1)
    last[visitor[may_lend]] = np.flatnonzero(may_lend)
    lender = converts[(rng.random(len(converts)) < SHARED_DEVICE) & (last[converts] >= 0)]
    half_way_round = np.searchsorted(converts, lender) + 1 + len(converts) // 2
    borrower = converts[half_way_round % max(len(converts), 1)]
    other = lender != borrower
    return _Loans(last[lender[other]], lender[other], borrower[other])


def _logins(
    visitor: np.ndarray,
    has_order: np.ndarray,
    registers: np.ndarray,
    second_device: np.ndarray,
    loans: _Loans,
    rng: np.random.Generator,
) -> np.ndarray:
    """How each session logs in; sessions are sorted by visitor and day.

    A visitor is unknown until its first order or registration, then remembered every other time. After a loan the
    owner logs in first, so that a session's events are never the borrower's by mistake.
    """
    index = np.arange(len(visitor))
    begins = np.flatnonzero(has_order | registers)[::-1]
    known_from = np.full(int(visitor.max()) + 1, len(visitor))
    known_from[visitor[begins]] = begins  # last write wins: reversed, the earliest session stands
    lent_at = np.full(int(visitor.max()) + 1, len(visitor))
    lent_at[loans.lender] = loans.session
    remembered = (index > known_from[visitor]) & (rng.random(len(visitor)) < REMEMBERED)
    first = second_device | registers | remembered | (index >= lent_at[visitor])
    return np.where(first, LOGIN_FIRST, np.where(has_order, LOGIN_AT_CHECKOUT, NO_LOGIN))


def plan_people(config: SimulationConfig) -> People:
    """Visitors, their sessions and which sessions hold an order."""
    rng = config.stream("people")
    n, days = config.visitors, config.days
    weights = _day_weights(config)
    natural = _natural_visits(config, weights, rng)

    holdout = rng.random(n) < config.holdout_share
    chance = rng.random(n)
    converts = np.flatnonzero(chance < np.where(holdout, config.base_conversion, config.treated_conversion))
    visits = np.bincount(natural // days, minlength=n)
    ordering = (np.cumsum(visits) - visits)[converts] + (rng.random(len(converts)) * visits[converts]).astype(np.int64)
    first_order_day = np.full(n, days)
    first_order_day[converts] = natural[ordering] % days
    buyer, order_day, number = _next_orders(config, converts, first_order_day[converts], rng)
    owners, device_keys = _second_devices(config, converts, first_order_day, weights, rng)

    order_keys = buyer * days + order_day
    keys = np.unique(np.concatenate((natural, order_keys, device_keys)))
    visitor, day = keys // days, keys % days
    owner = np.concatenate((np.arange(n), owners))
    total = len(owner)
    first = np.concatenate(([True], visitor[1:] != visitor[:-1]))
    order_number = np.zeros(len(keys), dtype=np.int64)
    order_number[np.searchsorted(keys, order_keys)] = number

    plain = (order_number == 0) & (visitor < n)
    loans = _lend(visitor, plain & (day > first_order_day[owner[visitor]]), converts, n, rng)
    plain[loans.session] = False
    share = config.whole_cancellation_share
    doomed_chance = share / (1 - share) * len(order_keys) / max(int(plain.sum()), 1)
    doomed = plain & (rng.random(len(keys)) < doomed_chance)
    has_order = (order_number > 0) | doomed

    buys = np.bincount(visitor, weights=has_order, minlength=total) > 0
    registers = ~buys & (np.arange(total) < n) & (rng.random(total) < REGISTERS_ONLY)
    is_customer = buys | registers
    customer = np.full(total, -1)
    customer[is_customer] = rng.permutation(int(is_customer.sum()))
    customer = customer[owner]
    login = _logins(visitor, has_order, first & registers[visitor], visitor >= n, loans, rng)
    login[loans.session] = LOGIN_FIRST
    known = np.where(login == NO_LOGIN, -1, customer[visitor])
    known[loans.session] = customer[loans.borrower]

    acquired = rng.choice(len(CHANNELS), size=total, p=ACQUISITION)
    channel = rng.choice(len(CHANNELS), size=len(keys), p=RETURNING)
    channel = np.where(first | (rng.random(len(keys)) < AS_ACQUIRED), acquired[visitor], channel)
    campaign = FIRST_CAMPAIGN[channel] + (rng.random(len(keys)) * CAMPAIGN_COUNT[channel]).astype(np.int64)
    hours = np.concatenate(([0.0], np.cumsum(HOURS)))
    clock = np.interp(rng.random(len(keys)) * hours[-1], hours, np.arange(len(hours)) * (DAY_MS // 24))

    by_day = np.lexsort((visitor, day))
    order_sessions = np.flatnonzero(has_order[by_day])
    order = np.full(len(keys), -1)
    order[order_sessions] = np.arange(len(order_sessions))
    number = order_number[by_day][order_sessions]
    return People(
        Visitors(
            people=n,
            owner=owner,
            holdout=holdout[owner],
            would_convert_untreated=chance < config.base_conversion,
            customer=customer,
            agent=rng.choice(len(AGENTS), size=total, p=AGENT_SHARES),
            country=rng.choice(len(COUNTRIES), size=n, p=COUNTRY_SHARES)[owner],
            primary=rng.choice(len(CATEGORIES), size=n, p=[demand for _, demand, _, _ in CATEGORIES])[owner],
            secondary=rng.integers(0, len(CATEGORIES), n)[owner],
            brand=rng.integers(0, len(BRANDS), n)[owner],
            shared=len(loans.session),
        ),
        Sessions(
            visitor=visitor[by_day],
            day=day[by_day],
            start_ms=np.minimum(clock[by_day].astype(np.int64), DAY_MS - 1),
            first=first[by_day],
            order=order,
            customer=known[by_day],
            login=login[by_day],
            campaign=campaign[by_day],
        ),
        Orders(session=order_sessions, valid=number > 0, number=number),
    )
