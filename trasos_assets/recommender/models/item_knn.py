"""Item neighbourhoods: what people with the same items had, weighted by cosine or BM25."""

# scipy's sparse matrices declare their shape as None, without type stubs.
# pyright: reportOptionalSubscript=false

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Literal, Self

import numpy as np
import pyarrow as pa
from scipy import sparse

from trasos_assets.recommender.ids import IdMap, Ids
from trasos_assets.recommender.interactions import EventWeights, InteractionMatrix
from trasos_assets.recommender.models.base import PARTS, NotFittedError
from trasos_assets.recommender.models.ranking import (
    best_of_sparse,
    known_pairs,
    products,
    similar_lists,
    sparse_lists,
)

Weighting = Literal["cosine", "bm25"]
# Pairs whose two rows of cells are held at once.
_PAIRS_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class ItemKNNConfig:
    """``neighbours``: how many items each item keeps, itself among them (Deshpande and Karypis 2004).

    ``weighting="cosine"`` divides an item's interactions by their length (Sarwar et al. 2001, "Item-based collaborative
    filtering recommendation algorithms"). ``"bm25"`` treats items as documents and people as their terms (Robertson and
    Zaragoza 2009, "The probabilistic relevance framework: BM25 and beyond"): ``k1`` bounds what repetition adds, ``b``
    is how far popular items are held back; people with many items say less. Both nearnesses are inner products of items
    so weighted, as in the library ``implicit``.
    """

    neighbours: int = 200
    weighting: Weighting = "bm25"
    k1: float = 1.2
    b: float = 0.75
    weights: EventWeights = field(default_factory=EventWeights)

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise ValueError(f"neighbours must be at least 1, got {self.neighbours}")
        if self.weighting not in ("cosine", "bm25"):
            raise ValueError(f"weighting must be cosine or bm25, got {self.weighting!r}")
        if not (0 <= self.k1 < np.inf and 0 <= self.b <= 1):
            raise ValueError(f"k1 must be at least 0 and b from 0 to 1, got k1={self.k1}, b={self.b}")


class ItemKNN:
    """A person's score of an item: the sum over the person's items of weight x nearness, as far as it is above 0.

    The neighbourhoods are the product of a sparse matrix with itself, by blocks of items, each cut to its neighbours at
    once: memory is that of the interactions and of items x neighbours. Equal nearness: the smaller item id is kept. It
    is made again from its training rows in a moment, so nothing of it is stored.
    """

    def __init__(self, config: ItemKNNConfig | None = None) -> None:
        self.config = config or ItemKNNConfig()
        self._matrix: InteractionMatrix | None = None
        self._nearness = sparse.csr_matrix((0, 0), dtype=np.float32)

    def fit(self, train: pa.Table | InteractionMatrix, *, as_of: date | None = None) -> Self:
        """Find each item's neighbours; see ``Recommender.fit``. Without interactions it knows nobody."""
        if not isinstance(train, InteractionMatrix):
            train = InteractionMatrix.from_table(train, self.config.weights, as_of=as_of)
        weigh = _cosine if self.config.weighting == "cosine" else self._bm25
        self._nearness = _nearest(weigh(train.weights), self.config.neighbours)
        self._matrix = train
        return self

    def recommend(
        self, people: Ids, k: int, *, exclude: pa.Table | None = None, allowed_items: Ids | None = None
    ) -> pa.Table:
        """Items in the neighbourhood of the person's own; see ``Recommender.recommend``.

        An item near none of a person's is not listed, so lists may be shorter than ``k``.
        """
        matrix = self._fitted
        rows = matrix.people.to_indices(IdMap.from_ids(people).external_ids, unknown="drop")
        known = IdMap(matrix.people.external_ids.take(pa.array(rows)))
        return sparse_lists(matrix.weights[rows], known, matrix.items, self._nearness, k, exclude, allowed_items)

    def similar(self, items: Ids, k: int, *, allowed_items: Ids | None = None) -> pa.Table:
        """The item's neighbours by nearness, at most ``neighbours`` of them; see ``Recommender.similar``."""
        return similar_lists(items, self._fitted.items, self._nearness, k, allowed_items)

    def score_pairs(self, pairs: pa.Table) -> np.ndarray:
        """See ``ScoresPairs``: NaN for people and items without interactions, 0 for items near none of the person's."""
        matrix = self._fitted
        scores = np.full(pairs.num_rows, np.nan, np.float32)
        place, person, item = known_pairs(pairs, matrix.people, matrix.items)
        if len(place) == 0:
            return scores
        # Whole rows of scores, once a person: in the order of ``recommend``'s sums, so to the last bit its scores.
        people, row = np.unique(person, return_inverse=True)
        order = np.argsort(row, kind="stable")
        starts = np.searchsorted(row[order], np.arange(len(people) + 1))
        for rows, block in products(matrix.weights[people], self._nearness):
            mine = order[starts[rows.start] : starts[rows.stop]]
            for start in range(0, len(mine), _PAIRS_AT_ONCE):
                part = mine[start : start + _PAIRS_AT_ONCE]
                scores[place[part]] = np.asarray(block[row[part] - rows.start, item[part]], np.float32).ravel()
        return scores

    def parts(self) -> pa.Table:
        """No rows: see the class."""
        _ = self._fitted
        return PARTS.empty_table()

    def restore(self, parts: pa.Table, train: pa.Table | InteractionMatrix, *, as_of: date | None = None) -> Self:
        """The model of the training rows; see ``Recommender.restore``."""
        return self.fit(train, as_of=as_of)

    def _bm25(self, weights: sparse.csr_matrix) -> sparse.csr_matrix:
        """tf (k1 + 1) / (k1 (1 - b + b |item| / mean |item|) + tf) x idf, idf = ln(items / (1 + a person's items)).

        A person with nearly all items would have an idf below 0 and count as a dislike; it is 0 then.
        """
        cells = weights.astype(np.float64).tocoo()
        items_of = np.bincount(cells.row, minlength=weights.shape[0])
        idf = np.log(max(1, weights.shape[1])) - np.log1p(items_of)
        sums = np.bincount(cells.col, weights=cells.data, minlength=weights.shape[1])
        length = 1 - self.config.b + self.config.b * sums / (sums.mean() if len(sums) else 1.0)
        data = cells.data * (self.config.k1 + 1) / (self.config.k1 * length[cells.col] + cells.data)
        return sparse.csr_matrix((data * np.maximum(idf, 0.0)[cells.row], (cells.row, cells.col)), weights.shape)

    @property
    def _fitted(self) -> InteractionMatrix:
        if self._matrix is None:
            raise NotFittedError("ItemKNN was used before fit; fit it first")
        return self._matrix


def _cosine(weights: sparse.csr_matrix) -> sparse.csr_matrix:
    cells = weights.astype(np.float64).tocoo()
    length = np.sqrt(np.bincount(cells.col, weights=cells.data**2, minlength=weights.shape[1]))
    return sparse.csr_matrix((cells.data / length[cells.col], (cells.row, cells.col)), weights.shape)


def _nearest(weighted: sparse.csr_matrix, neighbours: int) -> sparse.csr_matrix:
    """The ``neighbours`` highest inner products of every column with all columns: items x items, float32 CSR."""
    items = weighted.shape[1]
    by_item = sparse.csr_matrix(weighted.T, dtype=np.float32)
    parts = []
    for rows, block in products(by_item, sparse.csr_matrix(weighted, dtype=np.float32)):
        row, column, score = best_of_sparse(block, neighbours)
        parts.append((row + rows.start, column.astype(np.int32), score))
    if not parts:
        return sparse.csr_matrix((items, items), dtype=np.float32)
    row, column, score = (np.concatenate(part) for part in zip(*parts, strict=True))
    nearness = sparse.csr_matrix((score, (row, column)), (items, items))
    nearness.sort_indices()
    return nearness
