"""A model whose quality is known: it lists what everybody buys at a rank that its config decides."""

# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from trasos_assets.recommender.models import registry
from trasos_assets.recommender.models.base import RECOMMENDED
from trasos_assets.recommender.models.registry import ModelKind
from trasos_assets.recommender.search import Plan, Step, search, spaces
from trasos_assets.recommender.search.ledger import TRIALS_SCHEMA
from trasos_assets.recommender.search.spaces import Number, Steps
from trasos_assets_tests.recommender.tables import FIRST_DAY, purchases

BEST_HEIGHT = 3.0
SPACE = (Number("height", 0.1, 300.0, log=True), Number("idle", 1, 9, whole=True), Steps("inner.way", ("a", "b", None)))
PEOPLE, DAYS, TEST_DAYS = 6, 40, 5


@dataclass(frozen=True)
class Inner:
    way: str | None = "a"


@dataclass(frozen=True)
class PlantedConfig:
    height: float = 100.0
    idle: int = 3
    inner: Inner = field(default_factory=Inner)


def rank_of(height: float) -> int:
    """1 for heights around ``BEST_HEIGHT``, one more for every fifth of a decade away from it."""
    return 1 + int(5 * abs(math.log10(height / BEST_HEIGHT)))


class Planted:
    """``fits`` remembers (height, last day of training, as_of) of every fit of the class."""

    fits: list[tuple[float, date, date | None]] = []

    def __init__(self, config: PlantedConfig) -> None:
        self.config = config

    def fit(self, train: pa.Table, *, as_of: date | None = None) -> Planted:
        Planted.fits.append((self.config.height, pc.max(train["day"]).as_py(), as_of))
        return self

    def recommend(self, people: Any, k: int, *, exclude: Any = None, allowed_items: Any = None) -> pa.Table:
        rank = rank_of(self.config.height)
        items = [f"filler{n}" for n in range(1, k + 1)]
        if rank <= k:
            items[rank - 1] = "bread"
        rows = [
            (person, n + 1, item, 1.0) for person in sorted(set(people.to_pylist())) for n, item in enumerate(items)
        ]
        return pa.table([list(column) for column in zip(*rows, strict=True)], schema=RECOMMENDED)


@contextmanager
def registered(build: Callable[[Any], Any] = Planted, *names: str) -> Iterator[None]:
    """While inside, there are models that one can search, called ``planted`` or as named."""
    with pytest.MonkeyPatch.context() as patch:
        for name in names or ("planted",):
            kind = ModelKind(name, "Planted.", PlantedConfig(), build)
            patch.setattr(registry, "MODELS", {**registry.MODELS, name: kind})
            patch.setitem(spaces.SPACES, name, SPACE)
        Planted.fits.clear()
        yield


def bread_every_day(days: int = DAYS) -> pa.Table:
    """Everybody buys bread every day."""
    return purchases((f"p{person}", "bread", day) for person in range(PEOPLE) for day in range(days))


def planted_plan(**changes: Any) -> Plan:
    given: dict[str, Any] = {
        "models": ("planted",),
        "trials": 24,
        "test_days": TEST_DAYS,
        "folds": 3,
        "holdout_folds": 2,
        "target": "all_items",
        "seed": 7,
    }
    return Plan(**given | changes)


def run(
    plan: Plan,
    rows: pa.Table | None = None,
    held: pa.Table | None = None,
    keep: Callable[[pa.Table], None] = lambda trials: None,
    code: str = "code",
    watch: Callable[[Step], None] = lambda step: None,
) -> pa.Table:
    return search(
        bread_every_day() if rows is None else rows,
        TRIALS_SCHEMA.empty_table() if held is None else held,
        plan,
        fingerprint=lambda seen: f"{seen.num_rows} rows to {pc.max(seen['day'])}",
        code=lambda model: code,
        keep=keep,
        watch=watch,
    )


def timeless(trials: pa.Table) -> list[dict[str, Any]]:
    """Rows without what a clock said."""
    return trials.drop_columns(["seconds", "finished_at"]).to_pylist()


def day(number: int) -> date:
    return FIRST_DAY + timedelta(days=number)
