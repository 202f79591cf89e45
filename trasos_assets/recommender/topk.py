"""The exact k best items of every person under a factor model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

# Scores of one block of people (float32); the working set of a thread is about three times this.
_BLOCK_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, eq=False)
class TopK:
    """Flat lists, sorted by person and rank: ``person`` and ``item`` are row numbers, ``rank`` counts from 1."""

    person: np.ndarray
    rank: np.ndarray
    item: np.ndarray
    score: np.ndarray


def top_k(
    person_factors: np.ndarray,
    item_factors: np.ndarray,
    k: int,
    *,
    excluded: sparse.csr_matrix | None = None,
    allowed: np.ndarray | None = None,
    threads: int | None = None,
    block_people: int | None = None,
) -> TopK:
    """The ``k`` items of the highest inner product with each person; ties go to the smaller item number.

    ``person_factors`` (people x factors) and ``item_factors`` (items x factors) are float32; ``excluded`` is a CSR
    (people x items) whose stored cells are left out; ``allowed`` is a boolean mask over items. A person with fewer than
    ``k`` items left gets a shorter list, never a padded one. Memory is bounded by blocks of ``block_people`` people
    (default: 32 MB of scores) times ``threads`` (default: the cores); the result does not depend on ``threads``.

    Raises ``ValueError`` for factors that are not finite or shapes that do not fit.
    """
    people, items = _checked(person_factors, item_factors, k, excluded, allowed)
    candidates = np.flatnonzero(allowed) if allowed is not None else np.arange(items)
    if people == 0 or len(candidates) == 0:
        return _concatenated([])
    factors = np.ascontiguousarray((item_factors if allowed is None else item_factors[candidates]).T)
    if excluded is not None:
        excluded = sparse.csr_matrix(excluded if allowed is None else excluded[:, candidates])
    size = block_people or max(1, _BLOCK_BYTES // (4 * len(candidates)))

    def block(start: int) -> TopK:
        scores = person_factors[start : start + size] @ factors
        if excluded is not None:
            cells = excluded[start : start + size].tocoo()
            scores[cells.row, cells.col] = -np.inf
        person, column = _best_cells(scores, k)
        score = scores[person, column]
        order = np.lexsort((column, -score, person))
        person = person[order]
        lengths = np.bincount(person, minlength=len(scores))
        rank = np.arange(len(person)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + 1
        return TopK(
            (person + start).astype(np.int32),
            rank.astype(np.int32),
            candidates[column[order]].astype(np.int32),
            score[order],
        )

    # One BLAS thread each: the order of its sums, and so a score's last bit, must not depend on how many there are.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        return _concatenated(list(pool.map(block, _starts(people, size))))


def _best_cells(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of the ``k`` highest finite scores per row; among equals at the border, the leftmost."""
    columns = scores.shape[1]
    if k >= columns:
        row, column = np.nonzero(scores > -np.inf)
        return row, column
    border = np.partition(scores, columns - k, axis=1)[:, columns - k, None]
    chosen = (scores >= border) & (scores > -np.inf)
    crowded = np.flatnonzero(np.count_nonzero(chosen, axis=1) > k)
    if len(crowded):
        above = scores[crowded] > border[crowded]
        tied = chosen[crowded] & ~above
        room = k - np.count_nonzero(above, axis=1, keepdims=True)
        chosen[crowded] = above | (tied & (np.cumsum(tied, axis=1) <= room))
    row, column = np.nonzero(chosen)
    return row, column


def _checked(
    person_factors: np.ndarray,
    item_factors: np.ndarray,
    k: int,
    excluded: sparse.csr_matrix | None,
    allowed: np.ndarray | None,
) -> tuple[int, int]:
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    if person_factors.ndim != 2 or item_factors.ndim != 2 or person_factors.shape[1] != item_factors.shape[1]:
        raise ValueError(f"factors do not fit: people {person_factors.shape}, items {item_factors.shape}")
    for side, factors in (("person", person_factors), ("item", item_factors)):
        if not np.isfinite(factors).all():
            raise ValueError(f"a {side} factor is not finite; the fit has diverged, raise the regularization")
    people, items = len(person_factors), len(item_factors)
    if excluded is not None and excluded.shape != (people, items):
        raise ValueError(f"excluded has the shape {excluded.shape}, expected {(people, items)}")
    if allowed is not None and allowed.shape != (items,):
        raise ValueError(f"allowed has the shape {allowed.shape}, expected {(items,)}")
    return people, items


def _starts(people: int, size: int) -> Iterator[int]:
    return iter(range(0, people, size))


def _concatenated(blocks: list[TopK]) -> TopK:
    empty = TopK(*(np.empty(0, kind) for kind in (np.int32, np.int32, np.int32, np.float32)))
    parts = blocks or [empty]
    return TopK(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("person", "rank", "item", "score"))
    )
