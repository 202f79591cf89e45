"""The exact k best items of every person under a factor model, by inner products that are not all computed.

People are served in blocks, a block against tiles of items in falling norm, so that a tile of scores stays in the cache
(one matrix product a tile). By Cauchy and Schwarz no score exceeds ||person|| ||item||, so a person is done when that
bound of the next item falls below the person's k-th best score (LEMP: Teflioudi, Gemulla and Mykytiuk, "LEMP: fast
retrieval of large entries in a matrix product", SIGMOD 2015). Where norms say little the bounds are left out.

A matrix product gives a score a last bit that depends on the shape of the product. It therefore only proposes: whatever
comes within its rounding error of a list is scored again, pair by pair, always by the same sums, and that score ranks.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import sparse
from threadpoolctl import ThreadpoolController

# Tried: 256 to 2,048 people by 2^17 to 2^20 scores. A megabyte fits a core's cache; wider tiles are merged less often.
_BLOCK_PEOPLE = 1024
_BOUNDED_TILE, _UNBOUNDED_TILE = 1 << 18, 1 << 19
_FIRST_ITEMS = 256
_BLOCK_KEYS = 1 << 22
_FEW_PEOPLE = 128
# With more than this share of scores left by the bounds, keeping them costs more than it saves.
_HARDLY_PRUNED = 0.9
# Pairs scored at once: their gathered vectors stay in the cache.
_PAIRS = 512
_NOTHING = np.uint64(2**64 - 1)
_LOW_BITS = np.uint64(2**32 - 1)
_ROUNDING = float(np.finfo(np.float32).eps) / 2
# More than what sums of products can lose to underflow.
_UNDERFLOW = 1e-40


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
    ``k`` items left gets a shorter list, never a padded one. Beside the factors and the result, a thread (default: one
    a core) needs some 10 MB, and 32 MB or more if ``k`` goes into the thousands; ``block_people`` (at most 1,024) makes
    that less. The result, to the last bit of a score, depends neither on ``threads`` nor on ``block_people``.

    Raises ``ValueError`` for factors that are not finite or so large that a score might not be, for shapes that do not
    fit and for ``k`` or ``block_people`` below 1.
    """
    scan = _Scan.of(person_factors, item_factors, k, excluded, allowed)
    people, workers = len(scan.person_factors), threads or os.cpu_count() or 1
    if people == 0 or len(scan.candidates) == 0:
        return TopK(*(np.empty(0, kind) for kind in (np.int32, np.int32, np.int32, np.float32)))
    if block_people is not None and block_people < 1:
        raise ValueError(f"block_people must be at least 1, got {block_people}")
    size = min(block_people or _BLOCK_PEOPLE, _BLOCK_PEOPLE, max(1, _BLOCK_KEYS // scan.k))
    # As many blocks for each worker, or the last of them would keep the others waiting.
    size = -(-people // (-(-people // (size * workers)) * workers))
    # One BLAS thread each: people in parallel keep the cores busier than the rows of one small product would.
    with _libraries().limit(limits=1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
        blocks = list(pool.map(lambda start: _Block(scan, start, start + size).lists(), range(0, people, size)))
    return TopK(*(np.concatenate([getattr(b, name) for b in blocks]) for name in ("person", "rank", "item", "score")))


@dataclass(frozen=True, eq=False)
class _Scan:
    """What all blocks share: items in falling norm, and where each item number stands among them (-1: nowhere).

    For few people sorting would cost more than it saves: items keep their order, all with the largest norm as bound.
    ``numbers`` are the item numbers of ``item_factors`` and ``minus_norms``, without the ``zeros`` (items of norm 0).
    ``error`` is the most by which two float32 sums of one inner product differ, relative to the product of the norms
    (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1).
    """

    k: int
    person_factors: np.ndarray
    person_norms: np.ndarray
    item_factors: np.ndarray
    minus_norms: np.ndarray
    numbers: np.ndarray
    zeros: np.ndarray
    candidates: np.ndarray
    column: np.ndarray
    excluded: sparse.csr_matrix
    error: float

    @classmethod
    def of(
        cls,
        person_factors: np.ndarray,
        item_factors: np.ndarray,
        k: int,
        excluded: sparse.csr_matrix | None,
        allowed: np.ndarray | None,
    ) -> _Scan:
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        if person_factors.ndim != 2 or item_factors.ndim != 2 or person_factors.shape[1] != item_factors.shape[1]:
            raise ValueError(f"factors do not fit: people {person_factors.shape}, items {item_factors.shape}")
        shape = (len(person_factors), len(item_factors))
        if excluded is not None and excluded.shape != shape:
            raise ValueError(f"excluded has the shape {excluded.shape}, expected {shape}")
        if allowed is not None and allowed.shape != shape[1:]:
            raise ValueError(f"allowed has the shape {allowed.shape}, expected {shape[1:]}")
        person_factors, item_factors = (np.asarray(f, np.float32, order="C") for f in (person_factors, item_factors))
        person_norms, item_norms = _norms("person", person_factors), _norms("item", item_factors)
        if person_norms.max(initial=0) * item_norms.max(initial=0) > np.finfo(np.float32).max / 2:
            raise ValueError("factors are so large that scores may not be finite; raise the regularization of the fit")
        candidates = numbers = np.arange(shape[1]) if allowed is None else np.flatnonzero(allowed)
        zeros = numbers[:0]
        if few := shape[0] < _FEW_PEOPLE:
            item_norms[:] = item_norms.max(initial=0)
        else:
            falling = candidates[np.argsort(-item_norms[candidates], kind="stable")]
            numbers, zeros = np.split(falling, [np.count_nonzero(item_norms[falling])])
        column = np.full(shape[1], -1)
        column[numbers] = np.arange(len(numbers))
        return cls(
            min(k, max(1, len(candidates))),
            person_factors,
            person_norms,
            item_factors if few and allowed is None else item_factors[numbers],
            -item_norms[numbers],
            numbers,
            zeros,
            candidates,
            column,
            sparse.csr_matrix(shape if excluded is None else excluded),
            2 * (person_factors.shape[1] + 2) * _ROUNDING,
        )


class _Block:
    """The lists of the people from ``start`` to ``stop``, as keys (see ``_keys``), and who may still get more."""

    def __init__(self, scan: _Scan, start: int, stop: int) -> None:
        self.scan, self.start = scan, start
        self.norms = scan.person_norms[start:stop]
        self.best = np.full((len(self.norms), scan.k), _NOTHING)
        self.worst = np.full(len(self.norms), -np.inf, np.float32)
        self.active = np.flatnonzero(self.norms > 0)
        self.vectors = scan.person_factors[start:stop][self.active]
        pointers = scan.excluded.indptr[start : start + len(self.norms) + 1]
        self.excluded_person = np.repeat(np.arange(len(self.norms)), np.diff(pointers))
        self.excluded_item = scan.excluded.indices[pointers[0] : pointers[-1]].astype(np.int64)
        # Used again and again: pages fresh from the system cost more than what fills them.
        cells = max(_UNBOUNDED_TILE, len(self.active))
        self.scores, self.chosen = np.empty(cells, np.float32), np.empty(cells, bool)
        self.pairs = np.empty((2, _PAIRS, scan.person_factors.shape[1]), np.float32)

    def lists(self) -> TopK:
        self._scan_items()
        self._add_zeros()
        self.best.sort(axis=1)
        person, rank = np.nonzero(self.best != _NOTHING)
        keys = self.best[person, rank]
        item = (keys & _LOW_BITS).astype(np.int32)
        return TopK((person + self.start).astype(np.int32), (rank + 1).astype(np.int32), item, _scores(keys))

    def _scan_items(self) -> None:
        scan, column = self.scan, self.scan.column[self.excluded_item]
        masked = np.sort(((column << 32) | self.excluded_person)[column >= 0])
        bounded, room = True, _BOUNDED_TILE
        begin, total = 0, len(scan.numbers)
        while begin < total and len(self.active):
            width = max(1, room // len(self.active))
            end = min(total, begin + (min(width, max(_FIRST_ITEMS, 4 * scan.k)) if begin == 0 else width))
            tile = self.scores[: len(self.active) * (end - begin)].reshape(len(self.active), end - begin)
            np.matmul(self.vectors, scan.item_factors[begin:end].T, out=tile)
            self._mask(tile, masked[slice(*np.searchsorted(masked, [begin << 32, end << 32]))], begin)
            self._take(tile, begin)
            first, begin = begin == 0, end
            if bounded and begin < total:
                needed = self._least_norms()
                if first and self._reach(needed).mean() > _HARDLY_PRUNED * total:
                    bounded, room = False, _UNBOUNDED_TILE
                    continue
                left = needed <= -scan.minus_norms[begin]
                if not left.all():
                    self.active, self.vectors = self.active[left], self.vectors[left]
                    total = int(self._reach(needed.min()))

    def _least_norms(self) -> np.ndarray:
        """The norm of an item whose bound equals the k-th best score of each active person.

        A norm as large must still be seen: an equal score may win by its number.
        """
        most = self.norms[self.active] * (1 + self.scan.error)
        return (self.worst[self.active].astype(np.float64) - _UNDERFLOW) / most

    def _reach(self, norm: np.ndarray) -> np.ndarray:
        """How many items of the scan have at least each ``norm``."""
        return np.searchsorted(self.scan.minus_norms, -norm, side="right")

    def _mask(self, tile: np.ndarray, cells: np.ndarray, begin: int) -> None:
        row, column = cells & 0xFFFFFFFF, (cells >> 32) - begin
        if len(self.active) < len(self.norms):
            position = np.full(len(self.norms), -1)
            position[self.active] = np.arange(len(self.active))
            row = position[row]
        tile.ravel()[(row * tile.shape[1] + column)[row >= 0]] = -np.inf

    def _take(self, tile: np.ndarray, begin: int) -> None:
        """Let the scores of a tile (active people x items from ``begin``) into the lists."""
        scan, (people, width) = self.scan, tile.shape
        error = _UNDERFLOW - scan.error * self.norms[self.active] * scan.minus_norms[begin]
        enough = _below(self.worst[self.active] - error)
        chosen = np.greater(tile, enough[:, None], out=self.chosen[: tile.size].reshape(tile.shape))
        if np.count_nonzero(chosen) > 4 * scan.k * people and width > scan.k:
            border = np.partition(tile, width - scan.k, axis=1)[:, width - scan.k]
            # Twice: the k best of the tile may be worse than they look, and another may be better.
            np.greater(tile, np.maximum(enough, _below(border - 2 * error))[:, None], out=chosen)
        row, column = np.divmod(np.flatnonzero(chosen), width)
        column += begin
        score = np.empty(len(row), np.float32)
        for start in range(0, len(row), _PAIRS):
            part = slice(start, start + _PAIRS)
            size = len(score[part])
            # All rows exist; the mode only spares a second buffer.
            person = np.take(self.vectors, row[part], axis=0, out=self.pairs[0, :size], mode="clip")
            item = np.take(scan.item_factors, column[part], axis=0, out=self.pairs[1, :size], mode="clip")
            np.einsum("pf,pf->p", person, item, out=score[part])
        self._merge(self.active[row], _keys(score, scan.numbers[column]))

    def _merge(self, row: np.ndarray, keys: np.ndarray) -> None:
        """Keep the k least of the lists and of ``keys``, which belong to the people ``row`` (ascending)."""
        if len(row) == 0:
            return
        k, count = self.scan.k, np.bincount(row, minlength=len(self.norms))
        touched = np.flatnonzero(count)
        count = count[touched]
        begins = np.repeat(np.cumsum(count) - count, count)
        pool = np.full((len(touched), k + int(count.max())), _NOTHING)
        pool[:, :k] = self.best[touched]
        pool[np.repeat(np.arange(len(touched)), count), k + np.arange(len(row)) - begins] = keys
        pool.partition(k - 1, axis=1)
        self.best[touched] = pool[:, :k]
        self.worst[touched] = _scores(pool[:, k - 1])

    def _add_zeros(self) -> None:
        """A zero vector scores 0 with everybody, so that of the free ones only the k smallest numbers matter."""
        for row, items in (
            (np.flatnonzero(self.norms == 0), self.scan.candidates),
            (np.flatnonzero((self.norms > 0) & (self.worst <= 0)), self.scan.zeros),
        ):
            if len(row) == 0 or len(items) == 0:
                continue
            out = np.bincount(self.excluded_person, minlength=len(self.norms))[row]
            length = np.minimum(self.scan.k + out, len(items))
            person = np.repeat(row, length)
            item = items[np.arange(len(person)) - np.repeat(np.cumsum(length) - length, length)]
            excluded = np.sort((self.excluded_person << 32) | self.excluded_item)
            pairs = (person << 32) | item
            free = np.searchsorted(excluded, pairs, side="left") == np.searchsorted(excluded, pairs, side="right")
            self._merge(person[free], _keys(np.zeros(int(free.sum()), np.float32), item[free]))


@cache
def _libraries() -> ThreadpoolController:
    """Found once, for looking takes as long as serving a hundred people; the BLAS of NumPy has been loaded by then."""
    return ThreadpoolController()


def _norms(side: str, factors: np.ndarray) -> np.ndarray:
    """Lengths (float64), as exact as sums of floats are; ``ValueError`` if one is not finite."""
    norms = np.sqrt(np.einsum("if,if->i", factors, factors).astype(np.float64))
    # In double squares of floats neither overflow nor vanish; it takes several times as long.
    odd = np.flatnonzero(~((norms > 1e-15) & (norms < 1e18)))
    norms[odd] = np.sqrt(np.einsum("if,if->i", factors[odd], factors[odd], dtype=np.float64))
    if not np.isfinite(norms).all():
        raise ValueError(f"a {side} factor is not finite; the fit has diverged, raise the regularization")
    return norms


def _below(numbers: np.ndarray) -> np.ndarray:
    """The next float32 below what each number rounds to: whatever is not less than a number is greater than this."""
    return np.nextafter(numbers.astype(np.float32), np.float32(-np.inf))


def _keys(score: np.ndarray, item: np.ndarray) -> np.ndarray:
    """64 bits that sort by falling score, then rising item number; no score that is finite gives ``_NOTHING``."""
    bits = (score + np.float32(0)).view(np.uint32)  # minus zero becomes zero
    rising = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return ((~rising).astype(np.uint64) << np.uint64(32)) | item.astype(np.uint64)


def _scores(keys: np.ndarray) -> np.ndarray:
    """The scores that ``_keys`` was given; minus infinity for ``_NOTHING``."""
    rising = ~(keys >> np.uint64(32)).astype(np.uint32)
    score = np.where(rising >> 31, rising & np.uint32(2**31 - 1), ~rising).view(np.float32)
    return np.where(keys == _NOTHING, np.float32(-np.inf), score)
