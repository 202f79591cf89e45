"""Ids to matrix rows and back. Only this package sees indices; its callers see ids."""

# pyarrow.compute makes its functions at import time, out of a type checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Ids = pa.Array | pa.ChunkedArray | np.ndarray | list[str] | tuple[str, ...] | set[str] | frozenset[str]
Unknown = Literal["raise", "drop", "mark"]

UNKNOWN_INDEX = -1
# A string array holds 2 GB of text at most; 4M ids a chunk leave room for 500 bytes each.
_CHUNK_ROWS = 1 << 22


def as_ids(values: Ids) -> pa.ChunkedArray:
    """Any collection of id strings as one chunked Arrow string column; ``TypeError`` for ids that are not text."""
    if isinstance(values, set | frozenset):
        values = sorted(values)
    column = values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([pa.array(values)])
    if pa.types.is_dictionary(column.type) or pa.types.is_large_string(column.type) or pa.types.is_null(column.type):
        column = column.cast(pa.string())
    if not pa.types.is_string(column.type):
        raise TypeError(f"ids must be text, found {column.type}; cast the column to string where it is read")
    return column


def sorted_distinct(numbers: np.ndarray) -> np.ndarray:
    """Distinct values in ascending order, as ``numpy.unique``, but sorts where that hashes: far faster."""
    ordered = np.sort(numbers)
    return ordered[np.concatenate([np.ones(min(1, len(ordered)), dtype=bool), ordered[1:] != ordered[:-1]])]


@dataclass(frozen=True, eq=False)
class IdMap:
    """A frozen one-to-one map between ids and the indices 0..n-1, in ascending (byte) order of the ids.

    ``external_ids`` is its only state (as in RecTools), so the same set of ids gives the same map whatever the order
    they came in, and the smaller index is the smaller id.
    """

    external_ids: pa.Array

    def __post_init__(self) -> None:
        if self.external_ids.null_count:
            raise ValueError("an id is null; drop rows without an id before building an IdMap")
        ids = self.external_ids
        if len(ids) > 1 and not pc.all(pc.less(ids[:-1], ids[1:])).as_py():
            raise ValueError("ids are not sorted and unique; build the map with IdMap.from_ids")

    @classmethod
    def from_ids(cls, ids: Ids) -> IdMap:
        """The map over the distinct values of ``ids`` (any order, repeats allowed, no nulls)."""
        return cls(pc.unique(as_ids(ids)).sort())

    def __len__(self) -> int:
        return len(self.external_ids)

    def to_indices(self, ids: Ids, *, unknown: Unknown = "raise") -> np.ndarray:
        """Indices (int32) of ``ids``, in their order.

        ``unknown="raise"`` raises ``KeyError`` if any id is not in the map, ``"drop"`` leaves such ids out (the result
        is then shorter), ``"mark"`` gives them the index -1.
        """
        found = pc.fill_null(pc.index_in(as_ids(ids), value_set=self.external_ids), UNKNOWN_INDEX)
        indices = found.to_numpy().astype(np.int32, copy=False)
        if unknown == "mark":
            return indices
        known = indices != UNKNOWN_INDEX
        if known.all():
            return indices
        if unknown == "raise":
            # Ids may point at people, so the message counts them and does not show them.
            raise KeyError(f"{int((~known).sum())} of {len(indices)} ids are not among the {len(self)} known ones")
        return indices[known]

    def to_ids(self, indices: np.ndarray) -> pa.ChunkedArray:
        """Ids of ``indices``, in their order; ``IndexError`` for an index outside 0..n-1."""
        chunks = [
            self.external_ids.take(pa.array(indices[start : start + _CHUNK_ROWS], pa.int64()))
            for start in range(0, len(indices), _CHUNK_ROWS)
        ]
        return pa.chunked_array(chunks, pa.string())
