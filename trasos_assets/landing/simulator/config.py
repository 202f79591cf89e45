"""What can be set about a simulation, and the random streams drawn from its seed."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from datetime import date, timedelta
from typing import Any

import numpy as np

DAY_MS = 86_400_000
LATE_DAYS = 3
MIN_ITEMS = 80
EVENT_SHARES = ("duplicates", "late", "too_late", "malformed", "unknown_items", "conflicting")

STREAMS = ("shop", "people", "orders", "journeys", "dirt", "spend", "robots")


@dataclass(frozen=True)
class Dirt:
    """How soiled the landing is. Shares are of the clean events; every kind but ``late`` adds lines to them.

    A platform that handles each kind right therefore finds exactly the realised values of the truth again.
    """

    duplicates: float = 0.0
    late: float = 0.0
    too_late: float = 0.0
    malformed: float = 0.0
    bots: int = 0
    unknown_items: float = 0.0
    conflicting: float = 0.0
    testers: int = 0

    def __post_init__(self) -> None:
        for name in EVENT_SHARES:
            share = getattr(self, name)
            if not 0 <= share <= 0.5:
                raise ValueError(f"dirt {name}={share}: a share of events between 0 and 0.5 is needed")
        for name in ("bots", "testers"):
            if getattr(self, name) < 0:
                raise ValueError(f"dirt {name}={getattr(self, name)}: a number of visitors from 0 up is needed")

    @staticmethod
    def preset(name: str) -> Dirt:
        """``none``, ``light`` (an ordinary week) or ``heavy`` (everything goes wrong); ``ValueError`` for others."""
        try:
            return DIRT_PRESETS[name]
        except KeyError:
            raise ValueError(f"no dirt preset {name!r}; use one of {', '.join(DIRT_PRESETS)}") from None


DIRT_PRESETS: dict[str, Dirt] = {
    "none": Dirt(),
    "light": Dirt(
        duplicates=0.005,
        late=0.01,
        too_late=0.001,
        malformed=0.0005,
        bots=3,
        unknown_items=0.001,
        conflicting=0.0005,
        testers=2,
    ),
    "heavy": Dirt(
        duplicates=0.05,
        late=0.08,
        too_late=0.01,
        malformed=0.01,
        bots=12,
        unknown_items=0.01,
        conflicting=0.01,
        testers=6,
    ),
}


@dataclass(frozen=True)
class SimulationConfig:
    """One simulation: its size, its seed and the effects planted in it.

    Planted effects: a visitor of the holdout becomes a customer with ``base_conversion``, one of the treatment with
    ``base_conversion * (1 + conversion_lift)``; after each valid order a customer never orders again with
    ``never_returns``, else after ``ceil(Weibull(return_shape, return_scale_days))`` days.
    """

    days: int = 30
    visitors: int = 3_000
    items: int = 400
    seed: int = 7
    start: date = date(2026, 1, 5)
    currency: str = "GBP"
    dirt: Dirt = Dirt()
    holdout_share: float = 0.2
    base_conversion: float = 0.16
    conversion_lift: float = 0.25
    never_returns: float = 0.45
    return_shape: float = 1.2
    return_scale_days: float = 16.0
    whole_cancellation_share: float = 0.05
    part_cancellation_share: float = 0.1
    affinity_probability: float = 0.6

    def __post_init__(self) -> None:
        for name, least in (("days", 1), ("visitors", 1), ("items", MIN_ITEMS), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)}: at least {least} is needed")
        for name in ("holdout_share", "base_conversion", "never_returns", "affinity_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)}: a share between 0 and 1 is needed")
        for name in ("whole_cancellation_share", "part_cancellation_share"):
            if not 0 <= getattr(self, name) <= 0.5:
                raise ValueError(f"{name}={getattr(self, name)}: a share between 0 and 0.5 is needed")
        for name in ("return_shape", "return_scale_days"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)}: a number above 0 is needed")
        if not 0 <= self.treated_conversion <= 1:
            raise ValueError(f"base_conversion * (1 + conversion_lift) = {self.treated_conversion}: not a probability")
        if not (len(self.currency) == 3 and self.currency.isascii() and self.currency.isupper()):
            raise ValueError(f"currency={self.currency!r}: an ISO 4217 code such as GBP is needed")

    @property
    def treated_conversion(self) -> float:
        """Probability that a visitor of the treatment arm becomes a customer."""
        return self.base_conversion * (1 + self.conversion_lift)

    @property
    def end_ms(self) -> int:
        """Length of the window in milliseconds; nothing occurs or lands at or after it."""
        return self.days * DAY_MS

    def day(self, index: int) -> date:
        """The date of the window's day ``index``, from 0."""
        return self.start + timedelta(days=int(index))

    def not_returned(self, days: int) -> float:
        """Planted survival: P(no next order within so many days) = n + (1 - n) exp(-(days / scale)^shape)."""
        waiting = math.exp(-((days / self.return_scale_days) ** self.return_shape))
        return self.never_returns + (1 - self.never_returns) * waiting

    def stream(self, name: str, part: int = 0) -> np.random.Generator:
        """The random stream of one stage (and chunk): independent of every other, the same for the same seed."""
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed, STREAMS.index(name), part])))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            field.name: (
                asdict(self.dirt)
                if field.name == "dirt"
                else self.start.isoformat()
                if field.name == "start"
                else getattr(self, field.name)
            )
            for field in fields(self)
        }
