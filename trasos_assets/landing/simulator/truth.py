"""What was planted and what came of it, counted from the plan and the clean events, before any dirt."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trasos_assets.landing.simulator.baskets import Lines
from trasos_assets.landing.simulator.config import SimulationConfig
from trasos_assets.landing.simulator.dirt import BOT_KINDS, FLAWS, bot_visitor
from trasos_assets.landing.simulator.people import People
from trasos_assets.landing.simulator.shop import Shop
from trasos_assets.landing.simulator.traffic import CAMPAIGNS, CHANNELS
from trasos_assets.places import hidden_for, put_in_place

EXPERIMENT = "recommender"
ARMS = ("holdout", "treatment")
SURVIVAL_DAYS = (7, 14, 21)

DEFINITIONS = {
    "person": "A visitor of its own; the second device of a customer is the same person. Bots and testers are none.",
    "conversion": "People with at least one valid order within the window / people, by the arm of their first device.",
    "valid_order": "An order that is not wholly cancelled by the end of the window.",
    "planted_conversion": "One Bernoulli draw a person: p0 in the holdout, p0 * (1 + lift) in the treatment.",
    "exceptions": (
        "second_devices of visitors carry the arm of their customer's first device, log in with their first event and "
        "never order, so counted by visitor id they are units without a conversion; shared_visitors lend their device "
        "for one session to another customer, whose login takes that session's events. Both together touch about "
        "3 % of customers and change no person's order."
    ),
    "returns": (
        "Whole days between the days of a customer's consecutive valid orders. Planted: never with never_returns, "
        "else ceil(Weibull(shape, scale)); not_returned(t) = never + (1 - never) exp(-(t / scale)^shape). Realised: "
        "Kaplan-Meier of first to second valid order, censored at the last day. Nothing else makes a valid order."
    ),
    "revenue": "Gross sums every purchase line, the delivery service included; net = gross - cancelled.",
    "funnel": "Sessions of people that viewed an item, then added to the cart, then checked out, then purchased.",
    "traffic_by_day": (
        "People with any event on the day and sessions with an event on it: a session over midnight counts on both "
        "days, a cancellation belongs to no session."
    ),
    "affinities": (
        "Whoever buys item_id is led to also_item_id in the same order with the planted probability. Counted over all "
        "orders placed; lift = P(both) / (P(one) P(other))."
    ),
    "dirt": (
        "Every kind but late adds lines: a platform that takes each for what it is finds the realised values again. "
        "Unknown items are accepted page_views; malformed lines are counted by the reason of their quarantine."
    ),
    "bots_by_kind": "A kind is called as the rule that should find its bots; their events are page_views.",
    "spend": "Cost by channel as landed; new_customers by the channel of the session of the first valid order.",
}


@dataclass(frozen=True)
class Truth:
    """The content of ``truth.json``. Money is text with two decimals; shares are rounded to 6 digits."""

    config: dict[str, Any]
    planted: dict[str, Any]
    realised: dict[str, Any]
    dirt: dict[str, Any]
    lines: dict[str, int]
    definitions: dict[str, str]

    def write(self, path: Path) -> None:
        """Write as JSON with sorted keys: the same truth, the same bytes."""
        hidden = hidden_for(path)
        hidden.write_text(json.dumps(asdict(self), indent=1, sort_keys=True) + "\n", encoding="utf-8")
        put_in_place(hidden, path)

    @staticmethod
    def read(path: Path) -> Truth:
        """Read what ``write`` wrote; ``ValueError`` if it is no truth file."""
        try:
            return Truth(**json.loads(path.read_text(encoding="utf-8")))
        except (json.JSONDecodeError, TypeError) as error:
            raise ValueError(f"{path}: no truth of a simulation ({error}); simulate again") from error


def money(pence: int) -> str:
    """Pence as text with two decimals."""
    return f"{pence // 100}.{pence % 100:02d}"


def share(part: int, whole: int) -> float | None:
    """Rounded quotient; None of nothing."""
    return round(part / whole, 6) if whole else None


def not_returned(days: np.ndarray, observed: np.ndarray, at: tuple[int, ...]) -> dict[str, float]:
    """Kaplan-Meier survival S(t) = prod over i <= t of (1 - d_i / n_i), for durations in whole days (right-censored).

    Kaplan and Meier, JASA 53 (1958).
    """
    length = max(int(days.max(initial=0)), *at) + 1
    events = np.bincount(days[observed], minlength=length)
    leaving = np.bincount(days, minlength=length)
    at_risk = len(days) - (np.cumsum(leaving) - leaving)
    survival = np.cumprod(1 - events / np.maximum(at_risk, 1))
    return {str(day): round(float(survival[day]), 6) for day in at}


def planted_truth(config: SimulationConfig, shop: Shop) -> dict[str, Any]:
    """The parameters behind the data."""
    return {
        "experiment": EXPERIMENT,
        "holdout_share": config.holdout_share,
        "conversion": {
            "holdout": config.base_conversion,
            "treatment": round(config.treated_conversion, 9),
            "lift": config.conversion_lift,
        },
        "returns": {
            "never_returns": config.never_returns,
            "weibull_shape": config.return_shape,
            "weibull_scale_days": config.return_scale_days,
            "not_returned": {str(day): round(config.not_returned(day), 9) for day in SURVIVAL_DAYS},
        },
        "whole_cancellation_share_of_orders": config.whole_cancellation_share,
        "part_cancellation_share_of_valid_orders_with_two_lines": config.part_cancellation_share,
        "affinities": [
            {
                "item_id": str(shop.item_ids[one]),
                "also_item_id": str(shop.item_ids[other]),
                "probability": config.affinity_probability,
            }
            for one, other in shop.pairs.tolist()
        ],
    }


def _conversion(people: People) -> dict[str, Any]:
    visitors = people.visitors
    converted = np.zeros(visitors.count, dtype=bool)
    converted[people.sessions.visitor[people.orders.session[people.orders.valid]]] = True
    person = np.arange(visitors.count) < visitors.people

    def of(chosen: np.ndarray) -> dict[str, Any]:
        whole, part = int((chosen & person).sum()), int((chosen & converted).sum())
        return {
            "people": whole,
            "visitor_ids": int(chosen.sum()),
            "converted": part,
            "conversion": share(part, whole),
            "converted_if_untreated": int((chosen[: visitors.people] & visitors.would_convert_untreated).sum()),
        }

    arms = {"holdout": of(visitors.holdout), "treatment": of(~visitors.holdout)}
    control, treated = arms["holdout"]["conversion"], arms["treatment"]["conversion"]
    lift = round(treated / control - 1, 6) if control and treated is not None else None
    return {"overall": of(np.ones(visitors.count, dtype=bool)), "by_arm": arms, "lift": lift}


def _returns(config: SimulationConfig, people: People) -> dict[str, Any]:
    valid = np.flatnonzero(people.orders.valid)
    sessions = people.orders.session[valid]
    visitor, day, number = people.sessions.visitor[sessions], people.sessions.day[sessions], people.orders.number[valid]
    first, second = (np.full(people.visitors.count, -1) for _ in range(2))
    first[visitor[number == 1]] = day[number == 1]
    second[visitor[number == 2]] = day[number == 2]
    bought, back = first >= 0, second >= 0
    days = np.where(back, second - first, config.days - 1 - first)[bought]
    return {
        "customers_with_valid_order": int(bought.sum()),
        "returned": int(back.sum()),
        "returned_share": share(int(back.sum()), int(bought.sum())),
        "not_returned": not_returned(days, back[bought], SURVIVAL_DAYS),
    }


def _affinities(shop: Shop, lines: Lines, orders: int) -> list[dict[str, Any]]:
    stride = len(shop.item_ids)
    keys = lines.order * stride + lines.item
    per_item = np.bincount(lines.item, minlength=stride)
    found = []
    for one, other in shop.pairs.tolist():  # a handful of pairs
        together = int(np.isin(lines.order[lines.item == one] * stride + other, keys).sum())
        expected = per_item[one] * per_item[other]
        found.append(
            {
                "item_id": str(shop.item_ids[one]),
                "also_item_id": str(shop.item_ids[other]),
                "orders_together": together,
                "item_orders": int(per_item[one]),
                "also_orders": int(per_item[other]),
                "lift": round(together * orders / float(expected), 6) if expected else None,
            }
        )
    return found


def plan_truth(config: SimulationConfig, shop: Shop, people: People, lines: Lines, spend: np.ndarray) -> dict[str, Any]:
    """Realised values that the plan alone decides. ``spend`` is days x campaigns in pence."""
    visitors, sessions, orders = people.visitors, people.sessions, people.orders
    count = len(orders.session)
    day, visitor = sessions.day[orders.session], sessions.visitor[orders.session]
    channel_of = np.array([channel for channel, _, _ in CAMPAIGNS])
    channel = channel_of[sessions.campaign[orders.session]]
    gross = np.bincount(lines.order, weights=lines.amount, minlength=count).astype(np.int64)
    cancelled = np.bincount(lines.order, weights=lines.amount * lines.cancelled, minlength=count).astype(np.int64)
    new = orders.number == 1
    partly = orders.valid & (cancelled > 0)
    new_by_channel = np.bincount(channel[new], minlength=len(CHANNELS))
    spend_by_channel = [int(spend[:, channel_of == code].sum()) for code in range(len(CHANNELS))]
    by_day = {
        str(config.day(which)): {
            "orders": int((at & orders.valid).sum()),
            "new_customers": int((at & new).sum()),
            "gross": money(int(gross[at].sum())),
            "cancelled": money(int(cancelled[at].sum())),
        }
        for which in range(config.days)
        for at in (day == which,)
    }
    return {
        "people": visitors.people,
        "visitor_ids": visitors.count,
        "second_devices": visitors.count - visitors.people,
        "shared_visitors": visitors.shared,
        "customers": int(visitors.customer[: visitors.people].max(initial=-1)) + 1,
        "sessions": sessions.count,
        "conversion": _conversion(people),
        "returns": _returns(config, people),
        "orders": {
            "placed": count,
            "valid": int(orders.valid.sum()),
            "wholly_cancelled": int((~orders.valid).sum()),
            "partly_cancelled": int(partly.sum()),
            "whole_cancellation_share": share(int((~orders.valid).sum()), count),
            "lines": len(lines.order),
            "buyers": len(np.unique(visitor[orders.valid])),
        },
        "revenue": {
            "gross": money(int(gross.sum())),
            "cancelled": money(int(cancelled.sum())),
            "net": money(int(gross.sum() - cancelled.sum())),
        },
        "channels": {
            name: {"new_customers": int(new_by_channel[code]), "spend": money(spend_by_channel[code])}
            for code, name in enumerate(CHANNELS)
        },
        "affinities": _affinities(shop, lines, count),
        "by_day": by_day,
    }


def dirt_truth(config: SimulationConfig, people: People, counts: Mapping[str, int]) -> dict[str, Any]:
    """Exact numbers of soiled and added lines, and the quarantine that they lead to; who the bots are, by kind."""
    bots = np.arange(config.dirt.bots)
    kinds = {kind: [place for place, name in enumerate(BOT_KINDS) if name == kind] for kind in sorted(set(BOT_KINDS))}
    reasons: Counter[str] = Counter()
    for flaw, reason in FLAWS:
        reasons[reason] += counts.get(flaw, 0)
    duplicates = {kind: counts.get(f"duplicates_{kind}", 0) for kind in ("exact", "resent")}
    return {
        **{
            kind: counts.get(kind, 0)
            for kind in ("late", "too_late", "conflicting", "unknown_items", "bot_events", "test_events")
        },
        "duplicates": sum(duplicates.values()),
        "duplicates_by_kind": duplicates,
        "malformed": sum(reasons.values()),
        "malformed_by_flaw": {flaw: counts.get(flaw, 0) for flaw, _ in FLAWS},
        "quarantined_by_reason": {**reasons, "too_late": counts.get("too_late", 0)},
        "bots": config.dirt.bots,
        "bot_events_by_kind": {kind: counts.get(f"bot_events_{kind}", 0) for kind in kinds},
        "bot_visitors_by_kind": {
            kind: [
                f"v{number}" for number in bot_visitor(people, bots[np.isin(bots % len(BOT_KINDS), places)]).tolist()
            ]
            for kind, places in kinds.items()
        },
        "testers": config.dirt.testers,
    }
