"""Why the model shows an item to a person: the item of theirs that speaks for it most, by the model's own measure."""

# scipy's sparse matrices and numpy's overloads come without types that a checker could follow.
# pyright: reportOptionalSubscript=false, reportOperatorIssue=false

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from scipy import sparse

from trasos_assets.recommender.ids import UNKNOWN_INDEX, IdMap
from trasos_assets.recommender.models.als import ALSConfig
from trasos_assets.recommender.models.factors import ITEM, FactorModel

NEIGHBOURS = 200
MOST_RECENT = 200
"""Items of a person, the latest, that are looked at for a reason."""
_CELLS = 1 << 24


class Nearness(Protocol):
    """How much an item of a person's speaks for another."""

    def between(self, theirs: np.ndarray, shown: np.ndarray) -> np.ndarray:
        """For pairs of item indices (equal length): how much ``theirs`` speaks for ``shown``; 0 or less: not at all."""
        ...


@dataclass(frozen=True, eq=False)
class SharedWeight:
    """Of ALS: the score of an item is a sum over the person's items, and this is what each of them adds.

    Hu, Koren and Volinsky (2008), section 5: x_u . y_i = sum over u's items j of c_uj s_ij, where s_ij = y_i' W_u y_j
    and W_u = (Y' C_u Y + regularization I)^-1. Here W = (Y'Y + regularization I)^-1 stands for every person's own W_u,
    which differs from it by the few items the person has touched. ``left`` is Y W, ``right`` Y, by index of item.
    """

    left: np.ndarray
    right: np.ndarray

    @classmethod
    def of(cls, items: IdMap, item_factors: np.ndarray, regularization: float, known: IdMap) -> SharedWeight:
        """Of vectors (items x factors); items of ``known`` without one speak for nothing."""
        vectors = np.zeros((len(known), item_factors.shape[1]), np.float64)
        at = known.to_indices(items.external_ids, unknown="mark")
        vectors[at[at != UNKNOWN_INDEX]] = item_factors[at != UNKNOWN_INDEX]
        gram = vectors.T @ vectors + regularization * np.eye(vectors.shape[1])
        left = np.linalg.solve(gram, vectors.T).T if len(vectors) else vectors
        return cls(left.astype(np.float32), vectors.astype(np.float32))

    def between(self, theirs: np.ndarray, shown: np.ndarray) -> np.ndarray:
        """See ``Nearness``."""
        found = np.empty(len(theirs), np.float32)
        step = max(1, _CELLS // max(1, self.left.shape[1]))
        for start in range(0, len(theirs), step):
            part = slice(start, start + step)
            found[part] = np.einsum("ij,ij->i", self.left[shown[part]], self.right[theirs[part]])
        return found


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """Of any model that says which items are similar: its own score of the pair, for the nearest ``NEIGHBOURS``."""

    cells: np.ndarray
    scores: np.ndarray
    items: int

    @classmethod
    def of(cls, similar: pa.Table, known: IdMap) -> Neighbourhood:
        """Of rows with the schema ``SIMILAR``."""
        one = known.to_indices(similar["item_id"], unknown="mark").astype(np.int64)
        other = known.to_indices(similar["similar_item_id"], unknown="mark").astype(np.int64)
        both = (one != UNKNOWN_INDEX) & (other != UNKNOWN_INDEX)
        cells = one[both] * len(known) + other[both]
        order = np.argsort(cells)
        return cls(cells[order], similar["score"].to_numpy()[both][order].astype(np.float32), len(known))

    def between(self, theirs: np.ndarray, shown: np.ndarray) -> np.ndarray:
        """See ``Nearness``."""
        if len(self.cells) == 0:
            return np.zeros(len(theirs), np.float32)
        asked = theirs.astype(np.int64) * self.items + shown
        place = np.minimum(np.searchsorted(self.cells, asked), len(self.cells) - 1)
        return np.where(self.cells[place] == asked, self.scores[place], 0).astype(np.float32)


def nearness_of(model: Any, known: IdMap, shown_ids: pa.Array) -> Nearness:
    """The model's own measure: what items add to an ALS score, else what the model calls similar."""
    config = getattr(model, "config", None)
    # A blend is explained by its strongest component, whose scores are sums over the person's items.
    als = config if isinstance(config, ALSConfig) else getattr(config, "als", None)
    if isinstance(als, ALSConfig) and (rows := _item_rows(model.parts())).num_rows:
        vectors = FactorModel.from_table(rows)
        return SharedWeight.of(vectors.items, vectors.item_factors, als.regularization, known)
    return Neighbourhood.of(model.similar(known.external_ids, NEIGHBOURS, allowed_items=shown_ids), known)


def _item_rows(parts: pa.Table) -> pa.Table:
    return parts.filter(pa.array(np.asarray(parts["side"]) == ITEM))


def strongest(
    nearness: Nearness, weights: sparse.csr_matrix, last_day: sparse.csr_matrix, person: np.ndarray, item: np.ndarray
) -> np.ndarray:
    """For each row (index of a person, of an item shown) the person's item that adds most; -1 where none adds anything.

    ``weights`` (people x items, CSR, above 0) is how much the person did with the item, ``last_day`` the same cells
    with the day of it; an item does not speak for itself. What an item adds is its weight times its nearness; ties go
    to the smaller item.
    """
    found = np.full(len(person), UNKNOWN_INDEX, np.int64)
    matrix = _latest(weights, last_day)
    lengths = np.diff(matrix.indptr)[person]
    rows = np.flatnonzero(lengths)
    for block in _blocks(lengths[rows]):
        mine = rows[block]
        size = lengths[mine]
        starts = np.cumsum(size) - size
        nth = np.arange(size.sum()) - np.repeat(starts, size)
        cell = np.repeat(matrix.indptr[person[mine]].astype(np.int64), size) + nth
        theirs, shown = matrix.indices[cell], np.repeat(item[mine], size)
        added = np.where(theirs == shown, 0, matrix.data[cell] * nearness.between(theirs, shown))
        best = np.maximum.reduceat(added, starts)
        first = np.flatnonzero(added == np.repeat(best, size))
        row = np.searchsorted(starts, first, side="right") - 1
        one, at = np.unique(row, return_index=True)
        chosen = theirs[first[at]]
        found[mine[one]] = np.where(best[one] > 0, chosen, UNKNOWN_INDEX)
    return found


def _blocks(lengths: np.ndarray) -> Iterator[slice]:
    """Slices of rows of some millions of cells together."""
    ends, start = np.cumsum(lengths), 0
    while start < len(lengths):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + (_CELLS >> 3), side="right")))
        yield slice(start, stop)
        start = stop


def _latest(weights: sparse.csr_matrix, last_day: sparse.csr_matrix) -> sparse.csr_matrix:
    """The cells of the ``MOST_RECENT`` items of every person, by index of item."""
    length = np.diff(weights.indptr)
    if len(length) == 0 or length.max(initial=0) <= MOST_RECENT:
        return weights
    row = np.repeat(np.arange(len(length)), length)
    order = np.lexsort((weights.indices, -last_day.data, row))
    nth = np.arange(len(row)) - np.repeat(weights.indptr[:-1], length)
    kept = np.sort(order[nth < MOST_RECENT])
    return sparse.csr_matrix((weights.data[kept], (row[kept], weights.indices[kept])), weights.shape)
