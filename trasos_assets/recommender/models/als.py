"""Matrix factorisation for implicit feedback by alternating least squares, fitted by the library ``implicit``."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from typing import Self

import numpy as np
import pyarrow as pa
from scipy import sparse
from threadpoolctl import threadpool_limits

from trasos_assets.recommender.ids import Ids
from trasos_assets.recommender.interactions import EventWeights, InteractionMatrix
from trasos_assets.recommender.models.base import NotFittedError
from trasos_assets.recommender.models.factors import ITEM, PERSON, FactorModel


@dataclass(frozen=True)
class ALSConfig:
    """Parameters of Hu, Koren and Volinsky (2008), "Collaborative filtering for implicit feedback datasets".

    ``factors`` is the length of a vector, ``regularization`` the weight of the squared norms, ``alpha`` the factor from
    an interaction's weight to its confidence, ``iterations`` the number of sweeps over both sides. The defaults of the
    last four suit weights of 1 on a few hundred thousand interactions; search them on the shop's own data.
    """

    factors: int = 64
    regularization: float = 30.0
    alpha: float = 3.0
    iterations: int = 15
    seed: int = 42
    weights: EventWeights = field(default_factory=EventWeights)

    def __post_init__(self) -> None:
        if self.factors < 1 or self.iterations < 1 or self.regularization <= 0 or self.alpha <= 0:
            raise ValueError(f"factors and iterations must be at least 1, regularization and alpha above 0: {self}")


class ALS:
    """A factor model of people and items; the same data, config and library give the same factors to the last bit."""

    def __init__(self, config: ALSConfig | None = None) -> None:
        self.config = config or ALSConfig()
        self._model: FactorModel | None = None

    @classmethod
    def from_factors(cls, table: pa.Table, config: ALSConfig | None = None) -> Self:
        """The model whose ``factor_table`` this is (contract als_model): it recommends without being fitted again."""
        model = cls(config)
        model._model = FactorModel.from_table(table)
        model.config = replace(model.config, factors=model._model.factors or model.config.factors)
        return model

    def fit(self, train: pa.Table | InteractionMatrix, *, as_of: date | None = None) -> Self:
        """Factorise people x items; see ``Recommender.fit``. ``ValueError`` if no interaction has a weight."""
        if not isinstance(train, InteractionMatrix):
            train = InteractionMatrix.from_table(train, self.config.weights, as_of=as_of)
        if train.weights.nnz == 0:
            raise ValueError("there is no interaction to fit ALS to; widen the days or raise the event weights")
        # Imported when needed, for it is slow to load; before the limit is set, for it loads a BLAS of its own.
        from implicit.cpu.als import AlternatingLeastSquares

        people, items, weights = train.people, train.items, train.weights
        # The library would copy the whole matrix to apply alpha, and hold its first factors twice. Both are done here,
        # to the same bits, for memory is what limits a fit.
        confidence = weights.data * np.float32(self.config.alpha)
        confidence = sparse.csr_matrix((confidence, weights.indices, weights.indptr), shape=weights.shape)
        del train, weights
        random = np.random.default_rng(self.config.seed)
        with threadpool_limits(1, "blas"):
            fitted = AlternatingLeastSquares(
                factors=self.config.factors,
                regularization=self.config.regularization,
                alpha=1.0,
                iterations=self.config.iterations,
                random_state=self.config.seed,
                dtype=np.float32,
            )
            fitted.user_factors = _small(random, len(people), self.config.factors)
            fitted.item_factors = _small(random, len(items), self.config.factors)
            fitted.fit(confidence, show_progress=False)
        self._model = FactorModel(people, items, np.asarray(fitted.user_factors), np.asarray(fitted.item_factors))
        return self

    def recommend(
        self, people: Ids, k: int, *, exclude: pa.Table | None = None, allowed_items: Ids | None = None
    ) -> pa.Table:
        """The items of the highest inner product; see ``Recommender.recommend``."""
        return self._fitted.recommend(people, k, exclude=exclude, allowed_items=allowed_items)

    def similar(self, items: Ids, k: int, *, allowed_items: Ids | None = None) -> pa.Table:
        """The items of the highest cosine of vectors; see ``Recommender.similar``."""
        return self._fitted.similar(items, k, allowed_items=allowed_items)

    def score_pairs(self, pairs: pa.Table) -> np.ndarray:
        """Inner products of given pairs; see ``ScoresPairs``. NaN for a person or item the fit did not know."""
        return self._fitted.score_pairs(pairs)

    def parts(self) -> pa.Table:
        """The vectors of both sides; see ``Recommender.parts``."""
        return self._fitted.parts()

    def restore(self, parts: pa.Table, train: pa.Table | InteractionMatrix, *, as_of: date | None = None) -> Self:
        """The model of stored vectors; the training rows are not looked at. See ``Recommender.restore``."""
        self._model = FactorModel.from_table(parts)
        self.config = replace(self.config, factors=self._model.factors or self.config.factors)
        return self

    def person_factors(self) -> pa.Table:
        """Columns side (``person``), id, factors (list of float32), sorted by id."""
        return self._fitted.table(PERSON)

    def item_factors(self) -> pa.Table:
        """Columns side (``item``), id, factors (list of float32), sorted by id."""
        return self._fitted.table(ITEM)

    def factor_table(self) -> pa.Table:
        """Both sides in one table, sorted by side and id: the rows of the contract als_model but its version."""
        return pa.concat_tables([self.item_factors(), self.person_factors()])

    @property
    def _fitted(self) -> FactorModel:
        if self._model is None:
            raise NotFittedError("ALS was used before fit; fit it or restore it with ALS.from_factors")
        return self._model


def _small(random: np.random.Generator, rows: int, factors: int) -> np.ndarray:
    """What the library starts from: float32 of 0 to 0.01."""
    vectors = random.random((rows, factors), dtype=np.float32)
    vectors *= 0.01
    return vectors
