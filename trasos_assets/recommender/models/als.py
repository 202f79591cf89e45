"""Matrix factorisation for implicit feedback by alternating least squares, fitted by the library ``implicit``."""

# pyarrow.compute makes its functions at import time, out of a type checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
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
            if as_of is not None:
                train = train.filter(pc.less_equal(train["day"], pa.scalar(as_of, pa.date32())))
            train = InteractionMatrix.from_table(train, self.config.weights)
        if train.weights.nnz == 0:
            raise ValueError("there is no interaction to fit ALS to; widen the days or raise the event weights")
        # Imported when needed, for it is slow to load; before the limit is set, for it loads a BLAS of its own.
        from implicit.cpu.als import AlternatingLeastSquares

        with threadpool_limits(1, "blas"):
            fitted = AlternatingLeastSquares(
                factors=self.config.factors,
                regularization=self.config.regularization,
                alpha=self.config.alpha,
                iterations=self.config.iterations,
                random_state=self.config.seed,
                dtype=np.float32,
            )
            fitted.fit(train.weights, show_progress=False)
        self._model = FactorModel(
            train.people, train.items, np.asarray(fitted.user_factors), np.asarray(fitted.item_factors)
        )
        return self

    def recommend(
        self, people: Ids, k: int, *, exclude: pa.Table | None = None, allowed_items: Ids | None = None
    ) -> pa.Table:
        """The items of the highest inner product; see ``Recommender.recommend``."""
        return self._fitted.recommend(people, k, exclude=exclude, allowed_items=allowed_items)

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
