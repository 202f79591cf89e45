"""From the training_interactions table to a sparse matrix of people x items."""

# pyarrow.compute makes its functions at import time, out of a type checker's sight; Ibis types all columns alike.
# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from trasos_assets.recommender.ids import UNKNOWN_INDEX, IdMap, sorted_distinct

KINDS = ("views", "carts", "purchases")
Repeats = Literal["once", "count"]


@dataclass(frozen=True)
class EventWeights:
    """How much one kind of interaction says, relative to a purchase of weight 1.

    ``repeats="once"`` counts each kind once per person and item however often it happened, ``"count"`` multiplies by
    the number of times. The kinds a person has shown for an item are added up.

    ``implicit`` multiplies weights by ``alpha`` and takes the product as the confidence c of Hu, Koren and Volinsky
    (2008), where an item nobody touched has c = 1: keep ``weight * alpha >= 1``, or a view would count for less than no
    view. The defaults do with alpha >= 2.5; they are a start for a search, not its result.
    """

    view: float = 0.4
    cart: float = 0.7
    purchase: float = 1.0
    repeats: Repeats = "once"

    def __post_init__(self) -> None:
        if min(self.by_kind) < 0 or max(self.by_kind) <= 0 or not np.isfinite(self.by_kind).all():
            raise ValueError(f"event weights must be finite, not negative and not all zero, got {self.by_kind}")

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
    def from_table(cls, table: pa.Table, weights: EventWeights | None = None) -> InteractionMatrix:
        """Aggregate rows of the contract training_interactions over days.

        People and items whose weights are all zero are left out: a model has nothing to say about them. The result does
        not depend on the order of the rows. ``ValueError`` names a missing column.
        """
        weights = weights or EventWeights()
        _require(table, ("person_id", "item_id", *KINDS))
        used = [kind for kind, weight in zip(KINDS, weights.by_kind, strict=True) if weight > 0]
        positive = pc.greater(pc.fill_null(table[used[0]], 0), 0)
        for kind in used[1:]:
            positive = pc.or_(positive, pc.greater(pc.fill_null(table[kind], 0), 0))
        rows = table.filter(positive)

        people, items = IdMap.from_ids(rows["person_id"]), IdMap.from_ids(rows["item_id"])
        person, item = people.to_indices(rows["person_id"]), items.to_indices(rows["item_id"])
        total: sparse.csr_matrix | None = None
        for kind, weight in zip(KINDS, weights.by_kind, strict=True):
            if weight == 0:
                continue
            counts = pc.fill_null(rows[kind], 0).to_numpy().astype(np.int32)
            # Sums repeated cells and keeps zeros, so all matrices have the same cells and their data can be added.
            matrix = sparse.csr_matrix((counts, (person, item)), shape=(len(people), len(items)))
            times = (matrix.data > 0) if weights.repeats == "once" else matrix.data
            matrix.data = weight * times.astype(np.float64)
            if total is None:
                total = matrix
            else:
                total.data += matrix.data
        assert total is not None  # EventWeights refuses weights that are all zero
        return cls(people, items, sparse.csr_matrix(total, dtype=np.float32))


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
