"""What of each model is searched, and between which bounds: declared as data.

A point of a space is what the sampler moves in: one number a dimension. Of it come a config's parameters
(``parameters_of``), and of parameters the point again (``point_of``), to the last bit: a search that was interrupted
goes on from what a table holds of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

Point = dict[str, float | int]


@dataclass(frozen=True)
class Number:
    """A parameter between two bounds, both included; ``log``: every doubling is as likely as the next.

    ``name`` is the path to a field of the model's config: ``weights.view`` is ``config.weights.view``.
    """

    name: str
    low: float
    high: float
    log: bool = False
    whole: bool = False

    def value(self, at: float | int) -> Any:
        """The parameter at a place of the dimension."""
        return int(at) if self.whole else float(at)

    def place(self, value: Any) -> float | int | None:
        """Where a parameter lies; None if outside of the bounds, or no number."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return None
        return self.value(value)


@dataclass(frozen=True)
class Steps:
    """A parameter that takes one of some values in an order that means something: their number is the dimension.

    So a half-life grows up to None, which is to let nothing fade, and a sampler learns from the neighbours.
    """

    name: str
    values: tuple[Any, ...]

    def value(self, at: float | int) -> Any:
        """The parameter at a place of the dimension."""
        return self.values[int(at)]

    def place(self, value: Any) -> int | None:
        """Where a parameter lies; None if it is none of the values."""
        return self.values.index(value) if value in self.values else None


Dimension = Number | Steps
Space = tuple[Dimension, ...]

HALF_LIVES = (7.0, 14.0, 28.0, 56.0, 112.0, 224.0, None)
VIEWS, CARTS = "weights.view", "weights.cart"
# Relative to a purchase of weight 1.
EVENT_WEIGHTS: Space = (
    Number(VIEWS, 0.0, 1.0),
    Number(CARTS, 0.0, 1.0),
    Steps("weights.repeats", ("once", "count")),
    Steps("weights.half_life_days", HALF_LIVES),
)

_NEIGHBOURS = Number("neighbours", 10, 500, log=True, whole=True)

SPACES: Mapping[str, Space] = {
    "popularity_recent": (Number("window_days", 3, 56, log=True, whole=True),),
    "personal_repeat": (Number("half_life_days", 3.0, 365.0, log=True),),
    "item_knn_cosine": (_NEIGHBOURS, *EVENT_WEIGHTS),
    "item_knn_bm25": (_NEIGHBOURS, Number("k1", 0.0, 10.0), Number("b", 0.0, 1.0), *EVENT_WEIGHTS),
    "als": (
        Number("factors", 32, 256, log=True, whole=True),
        Number("alpha", 1.0, 100.0, log=True),
        Number("regularization", 0.1, 300.0, log=True),
        *EVENT_WEIGHTS,
    ),
    "bpr": (
        Number("factors", 32, 256, log=True, whole=True),
        Number("learning_rate", 0.001, 0.3, log=True),
        Number("regularization", 0.0001, 1.0, log=True),
        # It asks only whether a kind of interaction counts at all.
        Steps(VIEWS, (0.0, 0.4)),
        Steps(CARTS, (0.0, 0.7)),
    ),
    "ease": (Number("l2", 1.0, 10_000.0, log=True), *EVENT_WEIGHTS),
    # Last: its parts keep the best that was found of them.
    "blend": (
        Number("candidates", 40, 200, log=True, whole=True),
        Number("ranker.trees", 50, 400, log=True, whole=True),
        Number("ranker.depth", 3, 8, whole=True),
        Number("ranker.learning_rate", 0.02, 0.2, log=True),
        Number("ranker.least_weight", 2.0, 200.0, log=True),
    ),
}
"""The space of every model that is searched, by its name in the registry."""

REPEATS_ONLY = frozenset({"personal_repeat"})
"""Models that list nothing new: judged on all items, whatever the others are."""


def space_of(model: str, *, absent: Collection[str] = ()) -> Space:
    """The space of a model, without the weights of kinds of interaction that are ``absent``: they would change nothing.

    ``ValueError`` if nothing of the model is searched.
    """
    if model not in SPACES:
        raise ValueError(f"nothing of {model!r} is searched; searched are {', '.join(SPACES)}")
    idle = {name for name, kind in ((VIEWS, "views"), (CARTS, "carts")) if kind in absent}
    return tuple(dimension for dimension in SPACES[model] if dimension.name not in idle)


def parameters_of(space: Space, point: Mapping[str, float | int]) -> dict[str, Any]:
    """A point as parameters that ``registry.configured`` takes: one mapping in another for each nested config."""
    found: dict[str, Any] = {}
    for dimension in space:
        inner = found
        *folders, leaf = dimension.name.split(".")
        for folder in folders:
            inner = inner.setdefault(folder, {})
        inner[leaf] = dimension.value(point[dimension.name])
    return found


def point_of(space: Space, parameters: Mapping[str, Any]) -> Point:
    """Parameters as a point; dimensions that they do not name, or whose bounds they leave, are not in it."""
    found: Point = {}
    for dimension in space:
        inner: Any = parameters
        for part in dimension.name.split("."):
            inner = inner.get(part, _NOWHERE) if isinstance(inner, Mapping) else _NOWHERE
        place = None if inner is _NOWHERE else dimension.place(inner)
        if place is not None:
            found[dimension.name] = place
    return found


_NOWHERE = object()
