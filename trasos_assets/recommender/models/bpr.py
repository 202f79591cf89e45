"""Matrix factorisation for rankings: Bayesian personalized ranking, fitted by the library ``implicit``."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from typing import Self

import numpy as np
import pyarrow as pa

from trasos_assets.recommender.ids import Ids
from trasos_assets.recommender.interactions import EventWeights, InteractionMatrix
from trasos_assets.recommender.models.base import NotFittedError
from trasos_assets.recommender.models.factors import FactorModel


@dataclass(frozen=True)
class BPRConfig:
    """Parameters of Rendle et al. (2009), "BPR: Bayesian personalized ranking from implicit feedback".

    ``factors`` is the length of a vector without the item's bias, ``iterations`` the number of passes, in each of which
    as many pairs are drawn as there are interactions. The weights say which kinds of interaction count at all: BPR
    tells an item that was touched from one that was not, and nothing between.
    """

    factors: int = 64
    learning_rate: float = 0.05
    regularization: float = 0.01
    iterations: int = 60
    seed: int = 42
    weights: EventWeights = field(default_factory=EventWeights)

    def __post_init__(self) -> None:
        if self.factors < 1 or self.iterations < 1 or self.regularization < 0 or self.learning_rate <= 0:
            raise ValueError(
                f"factors and iterations must be at least 1, learning_rate above 0, regularization not below 0: {self}"
            )


class BPR:
    """A factor model whose items have a bias; the same data, config and library give the same factors to the last bit.

    It is fitted on one thread: several update the same vectors without a lock, and no two fits of them are alike.
    """

    def __init__(self, config: BPRConfig | None = None) -> None:
        self.config = config or BPRConfig()
        self._model: FactorModel | None = None

    def fit(self, train: pa.Table | InteractionMatrix, *, as_of: date | None = None) -> Self:
        """Learn who prefers what to what; see ``Recommender.fit``.

        Raises:
            ValueError: no interaction has a weight, or the fit has diverged.
        """
        if not isinstance(train, InteractionMatrix):
            train = InteractionMatrix.from_table(train, self.config.weights, as_of=as_of)
        if train.weights.nnz == 0:
            raise ValueError("there is no interaction to fit BPR to; widen the days or raise the event weights")
        # Imported when needed, for it is slow to load.
        from implicit.cpu.bpr import BayesianPersonalizedRanking
        from implicit.recommender_base import ModelFitError

        fitted = BayesianPersonalizedRanking(
            factors=self.config.factors,
            learning_rate=self.config.learning_rate,
            regularization=self.config.regularization,
            iterations=self.config.iterations,
            random_state=self.config.seed,
            num_threads=1,
            dtype=np.float32,
        )
        try:
            fitted.fit(train.weights, show_progress=False)
        except ModelFitError as error:
            raise ValueError(f"BPR has diverged; lower learning_rate (now {self.config.learning_rate})") from error
        people, items = np.asarray(fitted.user_factors), np.asarray(fitted.item_factors)
        self._model = FactorModel(train.people, train.items, people, items)
        return self

    def recommend(
        self, people: Ids, k: int, *, exclude: pa.Table | None = None, allowed_items: Ids | None = None
    ) -> pa.Table:
        """The items of the highest inner product, bias included; see ``Recommender.recommend``."""
        return self._fitted.recommend(people, k, exclude=exclude, allowed_items=allowed_items)

    def similar(self, items: Ids, k: int, *, allowed_items: Ids | None = None) -> pa.Table:
        """The items of the highest cosine of vectors without their biases; see ``Recommender.similar``."""
        model = self._fitted
        return replace(model, item_factors=np.ascontiguousarray(model.item_factors[:, :-1])).similar(
            items, k, allowed_items=allowed_items
        )

    def score_pairs(self, pairs: pa.Table) -> np.ndarray:
        """Inner products of given pairs; see ``ScoresPairs``. NaN for a person or item the fit did not know."""
        return self._fitted.score_pairs(pairs)

    def parts(self) -> pa.Table:
        """The vectors of both sides, last an item's bias and a person's 1; see ``Recommender.parts``."""
        return self._fitted.parts()

    def restore(self, parts: pa.Table, train: pa.Table | InteractionMatrix, *, as_of: date | None = None) -> Self:
        """The model of stored vectors; the training rows are not looked at. See ``Recommender.restore``."""
        self._model = FactorModel.from_table(parts)
        self.config = replace(self.config, factors=max(1, self._model.factors - 1))
        return self

    @property
    def _fitted(self) -> FactorModel:
        if self._model is None:
            raise NotFittedError("BPR was used before fit; fit it or restore it from its parts")
        return self._model
