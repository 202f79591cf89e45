"""What is counted while events are made, chunk by chunk: the part of the truth that the plan does not hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from trasos_assets.contracts.landing import EVENT_TYPES
from trasos_assets.landing.simulator.config import DAY_MS, SimulationConfig
from trasos_assets.landing.simulator.events import TYPE
from trasos_assets.landing.simulator.journeys import Chunk
from trasos_assets.landing.simulator.people import People


@dataclass
class Traffic:
    """People and sessions on every day. Chunks come in the order of days and reach into later ones."""

    sessions: np.ndarray
    visitors: np.ndarray
    person_days: np.ndarray  # keys, day by day, of days that a later chunk may still add people to

    @staticmethod
    def empty(days: int) -> Traffic:
        """Nobody on any day."""
        sessions, visitors = np.zeros((2, days), dtype=np.int64)
        return Traffic(sessions, visitors, np.zeros(0, dtype=np.int64))

    def add(self, people: People, chunk: Chunk, end_day: int) -> None:
        """Count a chunk; after it no event is before ``end_day``."""
        events, days = chunk.events, len(self.sessions)
        day = events["occurred"] // DAY_MS
        within = events["session"] >= 0
        session_days = np.unique(day[within] * people.sessions.count + events["session"][within])
        self.sessions += np.bincount(session_days // people.sessions.count, minlength=days)

        # Who ever logs in on a visitor was there before; a lent device is logged in on from the first event.
        visitors = people.visitors
        customer = np.where(events["customer"] >= 0, events["customer"], visitors.customer[events["visitor"]])
        person = np.where(customer >= 0, visitors.count + customer, events["visitor"])
        stride = 2 * visitors.count
        self.person_days = np.unique(np.concatenate((self.person_days, day * stride + person)))
        final = self.person_days // stride < end_day
        self.visitors += np.bincount(self.person_days[final] // stride, minlength=days)
        self.person_days = self.person_days[~final]


@dataclass
class Tally:
    """Counts over all chunks so far."""

    types: np.ndarray
    funnel: np.ndarray  # sessions that viewed, carted, checked out, purchased
    traffic: Traffic
    orders_with_clicked_item: int = 0
    recommended_clicks: int = 0
    requests: int = 0

    @staticmethod
    def empty(config: SimulationConfig) -> Tally:
        """Nothing counted yet."""
        types, funnel = np.zeros(len(EVENT_TYPES), dtype=np.int64), np.zeros(4, dtype=np.int64)
        return Tally(types, funnel, Traffic.empty(config.days))

    def add(self, people: People, chunk: Chunk, buys: np.ndarray, end_day: int) -> None:
        """Count the clean events of a chunk of days, the last of them before ``end_day``; ``buys`` is by session."""
        events = chunk.events
        self.types += np.bincount(events["type"], minlength=len(self.types))
        self.funnel += [int(step.sum()) for step in (chunk.viewed, chunk.carted, chunk.checked_out, buys)]
        self.traffic.add(people, chunk, end_day)
        recommended = events["request"] >= 0
        self.recommended_clicks += int((recommended & (events["type"] == TYPE["click"])).sum())
        shown = recommended & (events["type"] == TYPE["impression"])
        self.requests += int((shown & (events["position"] == 1)).sum())
        self.orders_with_clicked_item += chunk.orders_with_clicked_item

    def realised(self, config: SimulationConfig) -> dict[str, Any]:
        """Counts by name."""
        types = dict(zip(EVENT_TYPES, self.types.tolist(), strict=True))
        steps = ("view", "cart", "checkout", "purchase")
        by_day = zip(self.traffic.visitors.tolist(), self.traffic.sessions.tolist(), strict=True)
        return {
            "events": int(self.types.sum()),
            "events_by_type": types,
            "funnel_sessions": dict(zip(steps, self.funnel.tolist(), strict=True)),
            "traffic_by_day": {
                str(config.day(which)): {"visitors": visitors, "sessions": sessions}
                for which, (visitors, sessions) in enumerate(by_day)
            },
            "recommendations": {
                "requests": self.requests,
                "impressions": types["impression"],
                "clicks": self.recommended_clicks,
                "orders_with_item_clicked_in_session": self.orders_with_clicked_item,
            },
        }
