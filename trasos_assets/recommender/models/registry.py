"""Every model by name: its config, how it is built, and its config as plain values that a table or a trial can hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any

import pyarrow as pa

from trasos_assets.recommender.models.als import ALS, ALSConfig
from trasos_assets.recommender.models.base import Recommender
from trasos_assets.recommender.models.blend import Blend, BlendConfig
from trasos_assets.recommender.models.bpr import BPR, BPRConfig
from trasos_assets.recommender.models.ease import EASE, EASEConfig
from trasos_assets.recommender.models.item_knn import ItemKNN, ItemKNNConfig
from trasos_assets.recommender.models.personal_repeat import PersonalRepeat, PersonalRepeatConfig
from trasos_assets.recommender.models.popularity import Popularity, PopularityConfig

RECENT_DAYS = 14


@dataclass(frozen=True)
class ModelKind:
    """A name on the leaderboard: ``default`` is its config, ``build`` makes an unfitted model of a config.

    ``baseline``: a candidate must beat it; ``on_spark``: it learns from tables that stay in Spark; ``takes_items``: it
    learns from what the catalogue says of items, too.
    """

    name: str
    says: str
    default: Any
    make: Callable[..., Recommender]
    baseline: bool = False
    on_spark: bool = False
    takes_items: bool = False

    def build(self, config: Any, *, items: pa.Table | None = None) -> Recommender:
        """An unfitted model; ``items`` (``attributes.item_attributes``) is for those that take it.

        Fit, refit and restore must be given the same: what was learned of attributes asks for them.
        """
        return self.make(config, item_features=items) if self.takes_items else self.make(config)


MODELS: Mapping[str, ModelKind] = {
    kind.name: kind
    for kind in (
        ModelKind("popularity", "Most bought of all time.", PopularityConfig(), Popularity, True, True),
        ModelKind(
            "popularity_recent",
            f"Most bought of the last {RECENT_DAYS} days.",
            PopularityConfig(window_days=RECENT_DAYS),
            Popularity,
            True,
            True,
        ),
        ModelKind(
            "personal_repeat", "What the person bought before, fading.", PersonalRepeatConfig(), PersonalRepeat, True
        ),
        ModelKind(
            "item_knn_cosine", "Neighbours of the person's items by cosine.", ItemKNNConfig(weighting="cosine"), ItemKNN
        ),
        ModelKind("item_knn_bm25", "Neighbours of the person's items by BM25.", ItemKNNConfig(), ItemKNN),
        ModelKind("als", "Matrix factorisation by alternating least squares.", ALSConfig(), ALS, False, True),
        ModelKind("bpr", "Matrix factorisation for rankings (Bayesian personalized ranking).", BPRConfig(), BPR),
        ModelKind("ease", "A linear model from items to items, in closed form.", EASEConfig(), EASE),
        ModelKind(
            "blend",
            "A second stage that ranks the candidates of other models.",
            BlendConfig(),
            Blend,
            takes_items=True,
        ),
    )
}


class UnknownModelError(ValueError):
    """A model name that is not in the registry; the message lists those that are."""


def kind_of(name: str) -> ModelKind:
    """The registered model of a name; ``UnknownModelError`` lists the known names."""
    if name not in MODELS:
        raise UnknownModelError(f"there is no model {name!r}; known are {', '.join(MODELS)}")
    return MODELS[name]


def plain(config: Any) -> dict[str, Any]:
    """A config as JSON-ready values; ``configured`` reads it back."""
    return asdict(config)


def configured(name: str, parameters: Mapping[str, Any]) -> Any:
    """The config of a model from plain values; what is not named keeps its default.

    ``ValueError`` names a parameter that the model does not have.
    """
    return _updated(kind_of(name).default, parameters, name)


def _updated(default: Any, parameters: Mapping[str, Any], name: str) -> Any:
    known = {field.name for field in fields(default)}
    unknown = sorted(set(parameters) - known)
    if unknown:
        raise ValueError(f"{name} has no parameters {unknown}; it has {sorted(known)}")
    values = {}
    for field in fields(default):
        value = getattr(default, field.name)
        if field.name in parameters:
            given = parameters[field.name]
            nested = is_dataclass(value) and isinstance(given, Mapping)
            value = _updated(value, given, f"{name}.{field.name}") if nested else given
        values[field.name] = value
    return type(default)(**values)
