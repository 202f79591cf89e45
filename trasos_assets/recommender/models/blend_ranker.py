"""The learner of the blend's second stage: boosted trees on pairs, as text that reads back to the same numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np


@dataclass(frozen=True)
class RankerConfig:
    """Boosted trees (Chen and Guestrin 2016, "XGBoost: a scalable tree boosting system") on the logistic loss.

    ``trees`` of ``depth``, each fitted to a ``share`` of the pairs and at each split to half of the features;
    ``least_weight`` is the least sum of second derivatives in a leaf, ``l2`` the penalty of its value.
    """

    trees: int = 150
    depth: int = 5
    learning_rate: float = 0.06
    least_weight: float = 20.0
    l2: float = 5.0
    share: float = 0.8
    bins: int = 64
    seed: int = 42

    def __post_init__(self) -> None:
        if self.trees < 1 or not 1 <= self.depth <= 12 or not 0 < self.share <= 1 or self.bins < 2:
            raise ValueError(f"trees must be at least 1, depth 1 to 12, share in (0, 1], bins at least 2: {self}")
        if self.learning_rate <= 0 or self.least_weight < 0 or self.l2 < 0:
            raise ValueError(f"learning_rate must be above 0, least_weight and l2 not below 0: {self}")


class Ranker:
    """How probable it is that a pair becomes a purchase, from its features.

    The same rows in the same order give the same text: one thread learns, for the sums of several differ.
    """

    def __init__(self, names: Sequence[str], booster: Any) -> None:
        self.names, self._booster = tuple(names), booster

    @classmethod
    def fit(cls, names: Sequence[str], features: np.ndarray, bought: np.ndarray, config: RankerConfig) -> Self:
        """Learn from ``features`` (pairs x names, float32, NaN for unknown) and ``bought`` (boolean)."""
        # Imported when needed: most of what imports models never ranks.
        import xgboost

        matrix = xgboost.QuantileDMatrix(features, bought.astype(np.float32), nthread=1, max_bin=config.bins)
        booster = xgboost.train(
            {
                "objective": "binary:logistic",
                "base_score": float(np.clip(bought.mean(), 1e-6, 1 - 1e-6)),
                "tree_method": "hist",
                "device": "cpu",
                "max_bin": config.bins,
                "max_depth": config.depth,
                "eta": config.learning_rate,
                "min_child_weight": config.least_weight,
                "lambda": config.l2,
                "subsample": config.share,
                "colsample_bynode": 0.5,
                "nthread": 1,
                "seed": config.seed,
                "verbosity": 0,
            },
            matrix,
            num_boost_round=config.trees,
        )
        return cls(names, booster)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The ranker that wrote ``text``; ``ValueError`` if it is no ranker's text."""
        try:
            stored = json.loads(text)
            names, trees = stored["features"], stored["ranker"]
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"this is no text of a ranker ({error}); store what Blend.parts gives") from None
        import xgboost

        booster = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray(json.dumps(trees).encode()))
        return cls(names, booster)

    def text(self) -> str:
        """JSON: the names of the features, and the trees in XGBoost's own form. It holds no id of anybody."""
        trees = json.loads(bytes(self._booster.save_raw("json")))
        return json.dumps({"features": list(self.names), "ranker": trees}, sort_keys=True, separators=(",", ":"))

    def score(self, features: np.ndarray) -> np.ndarray:
        """Log odds of a purchase (float32) of each row of ``features``, whose columns are ``names``."""
        if len(features) == 0:
            return np.empty(0, np.float32)
        return self._booster.inplace_predict(features, predict_type="margin")

    def gains(self) -> dict[str, float]:
        """What each feature has added to the fit, as shares of 1, the largest first."""
        found = self._booster.get_score(importance_type="total_gain")
        total = sum(found.values()) or 1.0
        named = {self.names[int(key.removeprefix("f"))]: value / total for key, value in found.items()}
        return dict(sorted(named.items(), key=lambda entry: (-entry[1], entry[0])))
