"""The best items of sparse or dense scores, for models whose score is no inner product of two short vectors."""

# scipy's sparse matrices declare their shape as None, without type stubs.
# pyright: reportOptionalSubscript=false

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import pyarrow as pa
from scipy import sparse

from trasos_assets.recommender.ids import UNKNOWN_INDEX, IdMap, Ids
from trasos_assets.recommender.interactions import pair_matrix
from trasos_assets.recommender.models.base import RECOMMENDED, SIMILAR, recommended_table

# Cells of a block of scores; a cell takes some 40 bytes while its block is ranked.
BLOCK_CELLS = 1_000_000
_TABLE_CELLS = 1 << 27
# What 64 bits leave for a cell's row and column beside its score.
_PLACE_BITS = 32


class ScoresPairs(Protocol):
    """A fitted model that says how well given items suit given people."""

    def score_pairs(self, pairs: pa.Table) -> np.ndarray:
        """The model's score (float32) of each row of ``pairs`` (person_id, item_id), in their order.

        Pairs may repeat. NaN where the model knows nothing of the person or the item it would have to know; 0 where it
        knows both and finds nothing in common. ``recommend`` ranks by these very scores.
        """
        ...


def known_pairs(pairs: pa.Table, people: IdMap, items: IdMap) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the rows of ``pairs`` (person_id, item_id) with both ids known: place of the row, person and item index."""
    person = people.to_indices(pairs["person_id"], unknown="mark")
    item = items.to_indices(pairs["item_id"], unknown="mark")
    place = np.flatnonzero((person != UNKNOWN_INDEX) & (item != UNKNOWN_INDEX))
    return place, person[place], item[place]


def allowed_indices(items: IdMap, allowed_items: Ids | None) -> np.ndarray | None:
    """Ascending indices of the known items among ``allowed_items``; None if all are allowed."""
    if allowed_items is None:
        return None
    return np.sort(items.to_indices(IdMap.from_ids(allowed_items).external_ids, unknown="drop"))


def blocks_of(cells: np.ndarray) -> Iterator[slice]:
    """Consecutive rows, at least one, whose ``cells`` (upper bounds, one a row) add up to ``BLOCK_CELLS`` at most."""
    ends = np.cumsum(cells)
    start = 0
    while start < len(cells):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + BLOCK_CELLS, side="right")))
        yield slice(start, stop)
        start = stop


def products(left: sparse.csr_matrix, right: sparse.csr_matrix) -> Iterator[tuple[slice, sparse.csr_matrix]]:
    """``left @ right`` (CSR) by blocks of rows that fit in ``BLOCK_CELLS``: memory does not grow with the rows.

    A row has at most as many cells as there are in the rows of ``right`` that it touches, or columns.
    """
    lengths = np.diff(right.indptr).astype(np.int64)
    touched = np.concatenate([[0], np.cumsum(lengths[left.indices])])[left.indptr]
    for rows in blocks_of(np.minimum(np.diff(touched), right.shape[1])):
        yield rows, sparse.csr_matrix(left[rows] @ right)


def best_of_sparse(scores: sparse.csr_matrix, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, column and score of the ``k`` highest scores above 0 of every row, by row and falling score.

    Equal scores: the smaller column first. ``scores`` is float32 CSR, each cell once, in any order.
    """
    row = np.repeat(np.arange(scores.shape[0], dtype=np.int64), np.diff(scores.indptr))
    wanted = scores.data > 0
    row, column, score = row[wanted], scores.indices[wanted].astype(np.int64), scores.data[wanted]
    # A positive float orders as its bits do. Numbers sort several times faster than keys of three parts.
    row_bits, column_bits = (max(1, int(size - 1).bit_length()) for size in (scores.shape[0], scores.shape[1]))
    if row_bits + column_bits <= _PLACE_BITS:
        falling = (~score.view(np.uint32)).astype(np.uint64)
        key = (row.astype(np.uint64) << np.uint64(32 + column_bits)) | (falling << np.uint64(column_bits))
        key = np.sort(key | column.astype(np.uint64))
        row = (key >> np.uint64(32 + column_bits)).astype(np.int64)
        column = (key & np.uint64((1 << column_bits) - 1)).astype(np.int64)
        score = (~(key >> np.uint64(column_bits)).astype(np.uint32)).view(np.float32)
    else:
        order = np.lexsort((column, np.negative(score), row))
        row, column, score = row[order], column[order], score[order]
    kept = _place_in_row(row, scores.shape[0]) < k
    return row[kept], column[kept], score[kept]


def best_of_dense(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As ``best_of_sparse``, of a dense float32 matrix in which all but -inf counts, negative scores too."""
    columns = scores.shape[1]
    # Adding 0 makes the -0.0, which would come after 0.0, equal to it.
    bits = np.ascontiguousarray(np.add(scores, np.float32(0))).view(np.uint32)
    rising = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    key = ((~rising).astype(np.uint64) << np.uint64(32)) | np.arange(columns, dtype=np.uint64)
    k = min(k, columns)
    if k < columns:
        key = np.partition(key, k - 1, axis=1)[:, :k]
    column = (np.sort(key, axis=1) & np.uint64(0xFFFFFFFF)).astype(np.int64)
    score = np.take_along_axis(scores, column, axis=1)
    row, place = np.nonzero(score > -np.inf)
    return row, column[row, place], score[row, place]


def without_excluded(scores: sparse.csr_matrix, excluded: sparse.csr_matrix | None) -> sparse.csr_matrix:
    """``scores`` with 0 in the cells that ``excluded`` (boolean CSR of the same shape) stores."""
    if excluded is None or excluded.nnz == 0:
        return scores
    width = scores.shape[1]
    row = np.repeat(np.arange(scores.shape[0], dtype=np.int64), np.diff(scores.indptr))
    out = excluded.tocoo()
    # numpy's own choice is to sort sooner than a look-up table of this size asks for.
    kind = "table" if scores.shape[0] * width <= _TABLE_CELLS else None
    hit = np.isin(row * width + scores.indices, out.row.astype(np.int64) * width + out.col, kind=kind)
    scores.data[hit] = 0
    return scores


def sparse_lists(
    histories: sparse.csr_matrix,
    known: IdMap,
    items: IdMap,
    weights: sparse.csr_matrix | None,
    k: int,
    exclude: pa.Table | None,
    allowed_items: Ids | None,
) -> pa.Table:
    """``Recommender.recommend`` of the scores ``histories @ weights`` (histories alone if None) that are above 0.

    ``histories`` (people x items) has a row for each of ``known``; people without a score above 0 have no rows.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    allowed = allowed_indices(items, allowed_items)
    if len(known) == 0 or len(items) == 0 or (allowed is not None and len(allowed) == 0):
        return RECOMMENDED.empty_table()
    excluded = None if exclude is None else pair_matrix(exclude, known, items)
    if allowed is not None:
        excluded = None if excluded is None else sparse.csr_matrix(excluded[:, allowed])
        histories, weights = (
            (sparse.csr_matrix(histories[:, allowed]), None)
            if weights is None
            else (histories, sparse.csr_matrix(weights[:, allowed]))
        )
    found = []
    for rows, scores in _score_blocks(histories, weights):
        scores = without_excluded(scores, None if excluded is None else excluded[rows])
        row, column, score = best_of_sparse(scores, k)
        found.append((row + rows.start, column, score))
    row, column, score = (np.concatenate(part) for part in zip(*found, strict=True))
    rank = _place_in_row(row, len(known)) + 1
    return recommended_table(known, items, row, rank, column if allowed is None else allowed[column], score)


def similar_table(asked: IdMap, items: IdMap, row: np.ndarray, item: np.ndarray, score: np.ndarray) -> pa.Table:
    """Flat lists, by row (index into ``asked``) and falling score, as a table with the schema ``SIMILAR``."""
    rank = _place_in_row(row, len(asked)) + 1
    return pa.table(
        [
            asked.to_ids(row),
            pa.chunked_array([pa.array(rank, pa.int32())]),
            items.to_ids(item),
            pa.chunked_array([pa.array(score, pa.float64())]),
        ],
        schema=SIMILAR,
    )


def similar_lists(
    asked_items: Ids, items: IdMap, nearness: sparse.csr_matrix, k: int, allowed_items: Ids | None
) -> pa.Table:
    """``Recommender.similar`` of the nearness (items x items, CSR) that is above 0, each item's own left out."""
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    rows = items.to_indices(IdMap.from_ids(asked_items).external_ids, unknown="drop")
    allowed = allowed_indices(items, allowed_items)
    if len(rows) == 0 or (allowed is not None and len(allowed) == 0):
        return SIMILAR.empty_table()
    asked = IdMap(items.external_ids.take(pa.array(rows)))
    itself = sparse.csr_matrix((np.ones(len(rows), bool), (np.arange(len(rows)), rows)), (len(rows), len(items)))
    scores = without_excluded(sparse.csr_matrix(nearness[rows], copy=True), itself)
    if allowed is not None:
        scores = sparse.csr_matrix(scores[:, allowed])
    row, column, score = best_of_sparse(scores, k)
    return similar_table(asked, items, row, column if allowed is None else allowed[column], score)


def _score_blocks(
    histories: sparse.csr_matrix, weights: sparse.csr_matrix | None
) -> Iterator[tuple[slice, sparse.csr_matrix]]:
    if weights is not None:
        yield from products(histories, weights)
        return
    for rows in blocks_of(np.diff(histories.indptr)):
        # A slice of all rows may share its cells with the model, and those of excluded items are zeroed.
        yield rows, sparse.csr_matrix(histories[rows], copy=True)


def _place_in_row(row: np.ndarray, rows: int) -> np.ndarray:
    """Place from 0 within its row, of entries sorted by row."""
    lengths = np.bincount(row, minlength=rows)
    return np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
