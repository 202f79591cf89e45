"""A linear model from items to items in closed form: EASE."""

# scipy's sparse matrices declare their shape as None, without type stubs.
# pyright: reportOptionalSubscript=false

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Self

import numpy as np
import pyarrow as pa
from scipy import linalg, sparse
from threadpoolctl import threadpool_limits

from trasos_assets.recommender.ids import IdMap, Ids
from trasos_assets.recommender.interactions import EventWeights, InteractionMatrix, pair_matrix
from trasos_assets.recommender.models.base import (
    PARTS,
    RECOMMENDED,
    SIMILAR,
    NotFittedError,
    recommended_table,
)
from trasos_assets.recommender.models.ranking import (
    BLOCK_CELLS,
    allowed_indices,
    best_of_dense,
    known_pairs,
    products,
    similar_table,
)

_ROWS_AT_ONCE = 256
# The inverse in double precision, the map in single.
_BYTES_A_CELL = 8 + 4


@dataclass(frozen=True)
class EASEConfig:
    """``l2``: the weight of the squared weights, lambda in Steck (2019).

    ``max_items``: with more items in training the fit refuses, since it holds a matrix of items x items in double
    precision, inverts it and keeps another in single: items^2 x 12 bytes and items^3 operations, 1.2 GB and about a
    minute for 10,000 items.
    """

    l2: float = 200.0
    max_items: int = 10_000
    weights: EventWeights = field(default_factory=EventWeights)

    def __post_init__(self) -> None:
        if not (0 < self.l2 < np.inf) or self.max_items < 1:
            raise ValueError(f"l2 must be above 0 and max_items at least 1, got {self.l2} and {self.max_items}")


class TooManyItemsError(ValueError):
    """EASE was asked to invert a matrix of more items than it is allowed."""


class EASE:
    """A person's scores are their row of weights times B, the best linear map without a diagonal.

    Steck (2019), "Embarrassingly shallow autoencoders for sparse data": with P = (X'X + lambda I)^-1, B_ij = -P_ij /
    P_jj and B_jj = 0, so an item is never explained by itself. On one thread, so the same data give the same bits. It
    is made again from its training rows, and would be large, so nothing of it is stored.
    """

    def __init__(self, config: EASEConfig | None = None) -> None:
        self.config = config or EASEConfig()
        self._matrix: InteractionMatrix | None = None
        self._b = np.empty((0, 0), np.float32)

    def fit(self, train: pa.Table | InteractionMatrix, *, as_of: date | None = None) -> Self:
        """Solve for B; see ``Recommender.fit``.

        Raises:
            ValueError: no interaction has a weight.
            TooManyItemsError: more items than ``max_items``.
        """
        if not isinstance(train, InteractionMatrix):
            train = InteractionMatrix.from_table(train, self.config.weights, as_of=as_of)
        items = len(train.items)
        if train.weights.nnz == 0:
            raise ValueError("there is no interaction to fit EASE to; widen the days or raise the event weights")
        if items > self.config.max_items:
            gigabytes = items**2 * _BYTES_A_CELL / 1e9
            raise TooManyItemsError(
                f"EASE would invert a matrix of {items:,} x {items:,} items ({gigabytes:.1f} GB), and "
                f"max_items is {self.config.max_items:,}; raise it if memory and time allow, or leave ease out"
            )
        self._b = _item_weights(train.weights, self.config.l2)
        self._matrix = train
        return self

    def recommend(
        self, people: Ids, k: int, *, exclude: pa.Table | None = None, allowed_items: Ids | None = None
    ) -> pa.Table:
        """The items of the highest score; see ``Recommender.recommend``."""
        matrix = self._fitted
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        rows = matrix.people.to_indices(IdMap.from_ids(people).external_ids, unknown="drop")
        allowed = allowed_indices(matrix.items, allowed_items)
        if len(rows) == 0 or (allowed is not None and len(allowed) == 0):
            return RECOMMENDED.empty_table()
        known = IdMap(matrix.people.external_ids.take(pa.array(rows)))
        excluded = None if exclude is None else pair_matrix(exclude, known, matrix.items)
        found = []
        for part, scores in self._scores(rows):
            if excluded is not None:
                cells = excluded[part].tocoo()
                scores[cells.row, cells.col] = -np.inf
            row, column, score = best_of_dense(scores if allowed is None else scores[:, allowed], k)
            rank = np.arange(len(row)) - np.searchsorted(row, row) + 1
            found.append((row + part.start, rank, column if allowed is None else allowed[column], score))
        person, rank, item, score = (np.concatenate(column) for column in zip(*found, strict=True))
        return recommended_table(known, matrix.items, person, rank, item, score)

    def similar(self, items: Ids, k: int, *, allowed_items: Ids | None = None) -> pa.Table:
        """The items that the item speaks for the most, by its row of B; see ``Recommender.similar``.

        Weights not above 0 speak against an item, which then is not listed.
        """
        matrix = self._fitted
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        rows = matrix.items.to_indices(IdMap.from_ids(items).external_ids, unknown="drop")
        allowed = allowed_indices(matrix.items, allowed_items)
        if len(rows) == 0 or (allowed is not None and len(allowed) == 0):
            return SIMILAR.empty_table()
        # The diagonal of B is 0, so an item is not similar to itself.
        scores = self._b[rows] if allowed is None else self._b[np.ix_(rows, allowed)]
        row, column, score = best_of_dense(np.where(scores > 0, scores, np.float32(-np.inf)), k)
        asked = IdMap(matrix.items.external_ids.take(pa.array(rows)))
        return similar_table(asked, matrix.items, row, column if allowed is None else allowed[column], score)

    def score_pairs(self, pairs: pa.Table) -> np.ndarray:
        """Scores of given pairs; see ``ScoresPairs``. NaN for people and items without interactions."""
        matrix = self._fitted
        scores = np.full(pairs.num_rows, np.nan, np.float32)
        place, person, item = known_pairs(pairs, matrix.people, matrix.items)
        people, row = np.unique(person, return_inverse=True)
        order = np.argsort(row, kind="stable")
        starts = np.searchsorted(row[order], np.arange(len(people) + 1))
        for part, block in self._scores(people):
            mine = order[starts[part.start] : starts[part.stop]]
            scores[place[mine]] = block[row[mine] - part.start, item[mine]]
        return scores

    def parts(self) -> pa.Table:
        """No rows: see the class."""
        _ = self._fitted
        return PARTS.empty_table()

    def restore(self, parts: pa.Table, train: pa.Table | InteractionMatrix, *, as_of: date | None = None) -> Self:
        """The model of the training rows; see ``Recommender.restore``."""
        return self.fit(train, as_of=as_of)

    def _scores(self, rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Scores (float32) of all items for blocks of people, given by their rows in the matrix."""
        matrix = self._fitted
        step = max(1, BLOCK_CELLS // max(1, len(matrix.items)))
        for start in range(0, len(rows), step):
            part = slice(start, min(start + step, len(rows)))
            yield part, np.asarray(matrix.weights[rows[part]] @ self._b)

    @property
    def _fitted(self) -> InteractionMatrix:
        if self._matrix is None:
            raise NotFittedError("EASE was used before fit; fit it first")
        return self._matrix


def _item_weights(weights: sparse.csr_matrix, l2: float) -> np.ndarray:
    """B (items x items, float32)."""
    x = sparse.csr_matrix(weights, dtype=np.float64)
    # Column-major, as LAPACK then works in place. Filled by blocks, for as a sparse product it would be larger still.
    items = x.shape[1]
    p = np.empty((items, items), order="F")
    for rows, block in products(sparse.csr_matrix(x.T), x):
        p[:, rows] = block.toarray().T
    p[np.diag_indices_from(p)] += l2
    with threadpool_limits(1, "blas"):
        factorise, invert = linalg.get_lapack_funcs(("potrf", "potri"), (p,))
        inverse, failed = factorise(p, lower=1, overwrite_a=1, clean=0)
        if not failed:
            inverse, failed = invert(inverse, lower=1, overwrite_c=1)
    if failed:
        raise ArithmeticError("X'X + l2 is singular in double precision; raise l2")
    b = np.empty(inverse.shape, np.float32)
    diagonal = np.diag(inverse).copy()
    column = np.arange(len(b))
    for start in range(0, len(b), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        # LAPACK fills the lower triangle of the symmetric inverse only.
        b[part] = -np.where(column <= column[part, None], inverse[part], inverse[:, part].T) / diagonal
    np.fill_diagonal(b, 0)
    return b
