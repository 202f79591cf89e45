"""What a person bought before, the recent and the repeated first: the baseline where repeats count."""

# pyarrow.compute makes its functions at import time, out of a type checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from trasos_assets.recommender.ids import IdMap, Ids
from trasos_assets.recommender.interactions import EventWeights, InteractionMatrix, check_half_life
from trasos_assets.recommender.models.base import PARTS, NotFittedError
from trasos_assets.recommender.models.ranking import known_pairs, similar_lists, sparse_lists


@dataclass(frozen=True)
class PersonalRepeatConfig:
    """``half_life_days``: after so many days a purchase counts half; None: it never fades."""

    half_life_days: float | None = 90.0

    def __post_init__(self) -> None:
        check_half_life(self.half_life_days)


class PersonalRepeat:
    """A person's own items by the sum over the days on which they bought it of 0.5 ** (age / half-life).

    Several lines of one day are one purchase: an order cut into lines says nothing of habit (Benson, Kumar and Tomkins
    2016, "Modeling user consumption sequences": count and recency explain most repeats). Nothing new is ever listed, so
    lists are empty where what was bought is excluded, and for people who bought nothing. It is made again from its
    training rows in a moment, so nothing of it is stored.
    """

    def __init__(self, config: PersonalRepeatConfig | None = None) -> None:
        self.config = config or PersonalRepeatConfig()
        self._matrix: InteractionMatrix | None = None

    def fit(self, train: pa.Table, *, as_of: date | None = None) -> Self:
        """Add up purchases; see ``Recommender.fit``. Without purchases it knows nobody."""
        bought = pc.min_element_wise(pc.fill_null(train["purchases"], 0), 1).cast(pa.int32())
        train = train.set_column(train.column_names.index("purchases"), "purchases", bought)
        weights = EventWeights(0, 0, 1, "count", self.config.half_life_days)
        self._matrix = InteractionMatrix.from_table(train, weights, as_of=as_of)
        return self

    def recommend(
        self, people: Ids, k: int, *, exclude: pa.Table | None = None, allowed_items: Ids | None = None
    ) -> pa.Table:
        """The person's own items; see ``Recommender.recommend``."""
        matrix = self._fitted
        rows = matrix.people.to_indices(IdMap.from_ids(people).external_ids, unknown="drop")
        known = IdMap(matrix.people.external_ids.take(pa.array(rows)))
        return sparse_lists(matrix.weights[rows], known, matrix.items, None, k, exclude, allowed_items)

    def similar(self, items: Ids, k: int, *, allowed_items: Ids | None = None) -> pa.Table:
        """Items by the number of people who bought both; see ``Recommender.similar``."""
        matrix = self._fitted
        asked = IdMap.from_ids(items).external_ids
        rows = matrix.items.to_indices(asked, unknown="drop")
        bought = sparse.csr_matrix(matrix.weights > 0, dtype=np.float32)
        shared = sparse.csr_matrix(bought[:, rows].T @ bought)
        # The rows asked for, in their place among all items: empty rows cost nothing.
        place = sparse.csr_matrix(
            (np.ones(len(rows), np.float32), (rows, np.arange(len(rows)))), (len(matrix.items), len(rows))
        )
        return similar_lists(asked, matrix.items, sparse.csr_matrix(place @ shared), k, allowed_items)

    def score_pairs(self, pairs: pa.Table) -> np.ndarray:
        """See ``ScoresPairs``: 0 for whatever the person has not bought, known or not; never NaN."""
        matrix = self._fitted
        scores = np.zeros(pairs.num_rows, np.float32)
        place, person, item = known_pairs(pairs, matrix.people, matrix.items)
        if len(place):
            scores[place] = np.asarray(matrix.weights[person, item], np.float32).ravel()
        return scores

    def parts(self) -> pa.Table:
        """No rows: see the class."""
        _ = self._fitted
        return PARTS.empty_table()

    def restore(self, parts: pa.Table, train: pa.Table, *, as_of: date | None = None) -> Self:
        """The model of the training rows; see ``Recommender.restore``."""
        return self.fit(train, as_of=as_of)

    @property
    def _fitted(self) -> InteractionMatrix:
        if self._matrix is None:
            raise NotFittedError("PersonalRepeat was used before fit; fit it first")
        return self._matrix
