"""From the training_interactions table to a sparse matrix of people x items."""

# pyarrow.compute makes its functions at import time, out of a type checker's sight; Ibis types all columns alike.
# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from trasos_assets.recommender.ids import UNKNOWN_INDEX, IdMap, sorted_distinct

KINDS = ("views", "carts", "purchases")
Repeats = Literal["once", "count"]
LEAST_WEIGHT = 1e-9


@dataclass(frozen=True)
class EventWeights:
    """How much one kind of interaction says, relative to a purchase of weight 1.

    ``repeats="once"`` counts each kind once per person and item however often it happened, ``"count"`` multiplies by
    the number of times. The kinds a person has shown for an item are added up.

    ``implicit`` multiplies weights by ``alpha`` and takes the product as the confidence c of Hu, Koren and Volinsky
    (2008), where an item nobody touched has c = 1: keep ``weight * alpha >= 1``, or a view would count for less than no
    view. The defaults do with alpha >= 2.5; they are a start for a search, not its result.

    ``half_life_days`` lets interactions fade: one that is ``a`` days old at the split weighs 0.5 ** (a / half-life) of
    a fresh one (Ding and Li 2005, "Time weight collaborative filtering"). With ``"once"`` the last time of each kind
    counts, with ``"count"`` the faded times are added up. None: nothing fades. What has faded below ``alpha`` * weight
    of 1 is on its way from "wanted" to "nothing known", which still is more than "never touched".
    """

    view: float = 0.4
    cart: float = 0.7
    purchase: float = 1.0
    repeats: Repeats = "once"
    half_life_days: float | None = None

    def __post_init__(self) -> None:
        if min(self.by_kind) < 0 or max(self.by_kind) <= 0 or not np.isfinite(self.by_kind).all():
            raise ValueError(f"event weights must be finite, not negative and not all zero, got {self.by_kind}")
        if self.repeats not in ("once", "count"):
            raise ValueError(f"repeats must be once or count, got {self.repeats!r}")
        check_half_life(self.half_life_days)

    @property
    def by_kind(self) -> tuple[float, float, float]:
        """Weights in the order of ``KINDS``."""
        return (self.view, self.cart, self.purchase)


@dataclass(frozen=True, eq=False)
class InteractionMatrix:
    """People x items: float32 CSR with sorted int32 indices, every stored weight above 0, no empty row or column."""

    people: IdMap
    items: IdMap
    weights: sparse.csr_matrix

    @classmethod
    def from_table(
        cls, table: pa.Table, weights: EventWeights | None = None, *, as_of: date | None = None
    ) -> InteractionMatrix:
        """Aggregate rows of the contract training_interactions over days, up to and with ``as_of``.

        ``as_of`` (default: the last day in ``table``) is the day from which ages are counted where weights fade. People
        and items whose weights are all zero are left out: a model has nothing to say about them. The result does not
        depend on the order of the rows. ``ValueError`` names a missing column.
        """
        weights = weights or EventWeights()
        _require(table, ("person_id", "item_id", *KINDS))
        if as_of is not None or weights.half_life_days is not None:
            _require(table, ("day",))
        if as_of is not None:
            table = table.filter(pc.less_equal(table["day"], pa.scalar(as_of, pa.date32())))
        used = [kind for kind, weight in zip(KINDS, weights.by_kind, strict=True) if weight > 0]
        positive = pc.greater(_without_nulls(table[used[0]]), 0)
        for kind in used[1:]:
            positive = pc.or_(positive, pc.greater(_without_nulls(table[kind]), 0))
        # A copy of the ids would be most of the memory, and mostly every row counts.
        rows = table if pc.all(positive).as_py() else table.filter(positive)

        people, items = IdMap.from_ids(rows["person_id"]), IdMap.from_ids(rows["item_id"])
        if weights.half_life_days is None and weights.repeats == "once":
            return cls(people, items, _counted_once(rows, people, items, weights))
        person, item = people.to_indices(rows["person_id"]), items.to_indices(rows["item_id"])
        if weights.half_life_days is not None:
            # Ages count from the last day of the table, not from the last one on which a kind of weight occurred.
            age = ages(rows["day"], as_of or _last_day(table))
            return cls(people, items, _faded(rows, person, item, age, weights, (len(people), len(items))))
        return cls(people, items, _counted(rows, person, item, weights, (len(people), len(items))))


def check_half_life(half_life_days: float | None) -> None:
    """``ValueError`` unless a half-life is None or a positive number of days."""
    if half_life_days is not None and not (0 < half_life_days < np.inf):
        raise ValueError(f"half_life_days must be a number above 0, or None for no fading, got {half_life_days}")


def ages(days: pa.ChunkedArray, as_of: date) -> np.ndarray:
    """Days (float64, not below 0) from each of ``days`` (date32) to ``as_of``; nulls are refused."""
    if days.null_count:
        raise ValueError(f"{days.null_count} interactions have no day; they follow the contract training_interactions")
    number = pa.scalar(as_of, pa.date32()).cast(pa.int32()).as_py()
    return np.maximum(number - days.cast(pa.int32()).to_numpy().astype(np.float64), 0.0)


def faded(age: np.ndarray, half_life_days: float | None) -> np.ndarray:
    """What is left (float64, 0 to 1) of an interaction after ``age`` days: 0.5 ** (age / half-life); 1 without one."""
    return np.ones(len(age)) if half_life_days is None else np.exp2(-age / half_life_days)


def _counted_once(rows: pa.Table, people: IdMap, items: IdMap, weights: EventWeights) -> sparse.csr_matrix:
    """The sum of the weights of the kinds in a cell, float32 CSR."""
    columns, bits = max(1, len(items)), len(KINDS)
    # Person, item and kinds in one number that is sorted where it stands: half the time and memory of a matrix made
    # from rows, columns and values.
    cells = people.to_indices(rows["person_id"]).astype(np.int64)
    cells *= columns
    cells += items.to_indices(rows["item_id"])
    # Arrow keeps what it had for looking ids up, though only NumPy allocates from here on.
    pa.default_memory_pool().release_unused()
    cells <<= bits
    for place, kind in enumerate(KINDS):
        np.bitwise_or(cells, 1 << place, out=cells, where=_without_nulls(rows[kind]).to_numpy() > 0)
    cells.sort()
    kinds = cells.astype(np.uint8) & np.uint8((1 << bits) - 1)
    cells >>= bits
    first = np.ones(len(cells), dtype=bool)
    np.not_equal(cells[1:], cells[:-1], out=first[1:])
    if len(cells):
        kinds = np.bitwise_or.reduceat(kinds, np.flatnonzero(first))
    cells = cells[first]
    total = np.zeros(1 << bits)
    for place, weight in enumerate(weights.by_kind):
        total[np.arange(1 << bits) >> place & 1 == 1] += weight
    pointers = np.searchsorted(cells, np.arange(len(people) + 1) * columns)
    cells %= columns
    values = total.astype(np.float32)[kinds]
    return sparse.csr_matrix(
        (values, cells.astype(np.int32), pointers.astype(np.int32)), shape=(len(people), len(items))
    )


def _counted(
    rows: pa.Table, person: np.ndarray, item: np.ndarray, weights: EventWeights, shape: tuple[int, int]
) -> sparse.csr_matrix:
    """The sum of the weights of the kinds in a cell, each times its count, float32 CSR."""
    total = np.empty(0)
    matrix = sparse.csr_matrix(shape, dtype=np.int64)
    for kind, weight in zip(KINDS, weights.by_kind, strict=True):
        if weight == 0:
            continue
        counts = _without_nulls(rows[kind]).to_numpy().astype(np.int64)
        # Sums repeated cells and keeps zeros, so all matrices have the same cells and their data can be added.
        matrix = sparse.csr_matrix((counts, (person, item)), shape=shape)
        total = weight * matrix.data + (total if len(total) else 0.0)
    return sparse.csr_matrix((total.astype(np.float32), matrix.indices, matrix.indptr), shape=shape)


def _faded(
    rows: pa.Table, person: np.ndarray, item: np.ndarray, age: np.ndarray, weights: EventWeights, shape: tuple[int, int]
) -> sparse.csr_matrix:
    """The weights of rows that fade, float32 CSR."""
    cell = person.astype(np.int64) * max(1, shape[1]) + item
    # Sums of floats depend on their order: within a cell it is by age, whatever the order of the rows.
    order = np.lexsort((age, cell))
    cell, left = cell[order], faded(age[order], weights.half_life_days)
    starts = np.flatnonzero(np.concatenate([np.ones(min(1, len(cell)), dtype=bool), cell[1:] != cell[:-1]]))
    total = np.zeros(len(starts))
    for kind, weight in zip(KINDS, weights.by_kind, strict=True):
        if weight == 0 or len(starts) == 0:
            continue
        counts = _without_nulls(rows[kind]).to_numpy()[order]
        if weights.repeats == "once":
            total += weight * np.maximum.reduceat(np.where(counts > 0, left, 0.0), starts)
        else:
            total += weight * np.add.reduceat(counts * left, starts)
    row, column = np.divmod(cell[starts], max(1, shape[1]))
    # Many half-lives leave a zero in single precision, but a stored weight is above 0 and nobody's row is empty.
    return sparse.csr_matrix((np.maximum(total, LEAST_WEIGHT).astype(np.float32), (row, column)), shape=shape)


def _without_nulls(counts: pa.ChunkedArray) -> pa.ChunkedArray:
    # Mostly there are none, and a copy would be made all the same.
    return pc.fill_null(counts, 0) if counts.null_count else counts


def _last_day(table: pa.Table) -> date:
    return pc.max(table["day"]).as_py() or date.min


def bought_pairs(table: pa.Table | ibis.Table) -> pa.Table:
    """Distinct (person_id, item_id) with at least one purchase, sorted; of an Ibis table only these are fetched."""
    if isinstance(table, ibis.Table):
        found = table.filter(table["purchases"] > 0).select("person_id", "item_id").distinct()
        return distinct_pairs(found.to_pyarrow())
    _require(table, ("person_id", "item_id", "purchases"))
    return distinct_pairs(table.filter(pc.greater(table["purchases"], 0)))


def distinct_pairs(table: pa.Table) -> pa.Table:
    """Distinct (person_id, item_id) of any table that has both, sorted."""
    people, items = IdMap.from_ids(table["person_id"]), IdMap.from_ids(table["item_id"])
    # Indices follow the order of ids, so that numbers are sorted here and not text: several times faster.
    person = people.to_indices(table["person_id"]).astype(np.int64)
    cells = sorted_distinct(person * max(1, len(items)) + items.to_indices(table["item_id"]))
    person, item = np.divmod(cells, max(1, len(items)))
    return pa.table({"person_id": people.to_ids(person), "item_id": items.to_ids(item)})


def pair_matrix(pairs: pa.Table, people: IdMap, items: IdMap) -> sparse.csr_matrix:
    """(person_id, item_id) rows as a boolean CSR of shape (len(people), len(items)); unknown ids are left out."""
    person = people.to_indices(pairs["person_id"], unknown="mark")
    item = items.to_indices(pairs["item_id"], unknown="mark")
    known = (person != UNKNOWN_INDEX) & (item != UNKNOWN_INDEX)
    ones = np.ones(int(known.sum()), dtype=bool)
    return sparse.csr_matrix((ones, (person[known], item[known])), shape=(len(people), len(items)))


def _require(table: pa.Table, columns: tuple[str, ...]) -> None:
    missing = [column for column in columns if column not in table.column_names]
    if missing:
        raise ValueError(f"interactions lack the columns {missing}; they follow the contract training_interactions")
