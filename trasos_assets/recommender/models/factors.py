"""A fitted factor model: ids and vectors, whatever learned them, and its form as a table."""

# pyarrow.compute makes its functions at import time, out of a type checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from trasos_assets.recommender.ids import UNKNOWN_INDEX, IdMap, Ids, as_ids
from trasos_assets.recommender.interactions import pair_matrix
from trasos_assets.recommender.models.base import PARTS, RECOMMENDED, SIMILAR, recommended_table
from trasos_assets.recommender.models.ranking import allowed_indices, known_pairs, similar_table
from trasos_assets.recommender.topk import top_k

FACTORS = pa.schema([("side", pa.string()), ("id", pa.string()), ("factors", pa.list_(pa.float32()))])
PERSON, ITEM = "person", "item"
# A list column counts its values in 32 bits.
_CHUNK_VALUES = 1 << 30
# Values of the vectors of pairs that are multiplied at once: 64 MB a side.
_PAIR_VALUES = 1 << 24


@dataclass(frozen=True, eq=False)
class FactorModel:
    """Float32 vectors of people (people x factors) and items (items x factors); a score is their inner product.

    ``threads`` serve people at once, by default one a core.
    """

    people: IdMap
    items: IdMap
    person_factors: np.ndarray
    item_factors: np.ndarray
    threads: int | None = None

    @classmethod
    def from_table(cls, table: pa.Table) -> FactorModel:
        """Rebuild a model from rows (side, id, factors) in any order; other columns are ignored.

        Raises ``ValueError`` if a side is unknown, an id comes twice, or vectors differ in length or are not finite.
        """
        missing = [name for name in FACTORS.names if name not in table.column_names]
        if missing:
            raise ValueError(f"a factor table lacks the columns {missing}; it follows the contract als_model")
        strange = pc.sum(pc.invert(pc.is_in(table["side"], value_set=pa.array([PERSON, ITEM])))).as_py()
        if strange:
            raise ValueError(f"{strange} rows of a factor table have a side other than {PERSON} and {ITEM}")
        (people, person_factors), (items, item_factors) = (_side(table, side) for side in (PERSON, ITEM))
        if len(people) and len(items) and person_factors.shape[1] != item_factors.shape[1]:
            raise ValueError(
                f"people have {person_factors.shape[1]} factors and items {item_factors.shape[1]}: not one model's rows"
            )
        return cls(people, items, person_factors, item_factors)

    @property
    def factors(self) -> int:
        """Length of a vector."""
        return self.item_factors.shape[1]

    def table(self, side: str) -> pa.Table:
        """Columns side, id, factors of one side (``person`` or ``item``), sorted by id."""
        ids, vectors = {PERSON: (self.people, self.person_factors), ITEM: (self.items, self.item_factors)}[side]
        step = max(1, _CHUNK_VALUES // max(1, self.factors))
        chunks = []
        for start in range(0, len(ids), step):
            part = np.ascontiguousarray(vectors[start : start + step], dtype=np.float32)
            offsets = np.arange(len(part) + 1, dtype=np.int32) * part.shape[1]
            chunks.append(pa.ListArray.from_arrays(pa.array(offsets), pa.array(part.ravel())))
        sides = pa.repeat(pa.scalar(side, pa.string()), len(ids))
        return pa.table(
            [sides, ids.external_ids, pa.chunked_array(chunks, FACTORS.field("factors").type)], schema=FACTORS
        )

    def recommend(
        self, people: Ids, k: int, *, exclude: pa.Table | None = None, allowed_items: Ids | None = None
    ) -> pa.Table:
        """The items of the highest inner product; see ``Recommender.recommend``."""
        rows = self.people.to_indices(IdMap.from_ids(people).external_ids, unknown="drop")
        if len(rows) == 0 or len(self.items) == 0:
            return RECOMMENDED.empty_table()
        known = IdMap(self.people.external_ids.take(pa.array(rows)))
        allowed = None
        if allowed_items is not None:
            marked = IdMap.from_ids(allowed_items).to_indices(self.items.external_ids, unknown="mark")
            allowed = marked != UNKNOWN_INDEX
        best = top_k(
            self.person_factors[rows],
            self.item_factors,
            k,
            excluded=None if exclude is None else pair_matrix(exclude, known, self.items),
            allowed=allowed,
            threads=self.threads,
        )
        return recommended_table(known, self.items, best.person, best.rank, best.item, best.score)

    def similar(self, items: Ids, k: int, *, allowed_items: Ids | None = None) -> pa.Table:
        """The items whose vectors have the highest cosine; see ``Recommender.similar``.

        A vector of zeros has no direction: such an item has no rows and is in nobody's list.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        lengths = np.sqrt(np.einsum("ij,ij->i", self.item_factors, self.item_factors, dtype=np.float64))
        directed = np.isfinite(lengths) & (lengths > 0)
        allowed = directed.copy()
        wanted = allowed_indices(self.items, allowed_items)
        if wanted is not None:
            allowed &= np.isin(np.arange(len(allowed)), wanted)
        rows = self.items.to_indices(IdMap.from_ids(items).external_ids, unknown="drop")
        rows = rows[directed[rows]]
        if len(rows) == 0 or not allowed.any():
            return SIMILAR.empty_table()
        directions = (self.item_factors / np.where(directed, lengths, 1.0)[:, None]).astype(np.float32)
        itself = sparse.csr_matrix((np.ones(len(rows), bool), (np.arange(len(rows)), rows)), (len(rows), len(allowed)))
        best = top_k(directions[rows], directions, k, excluded=itself, allowed=allowed, threads=self.threads)
        asked = IdMap(self.items.external_ids.take(pa.array(rows)))
        return similar_table(asked, self.items, best.person, best.item, best.score)

    def score_pairs(self, pairs: pa.Table) -> np.ndarray:
        """Inner products (float32) of the rows of ``pairs`` (person_id, item_id); NaN where an id is unknown."""
        scores = np.full(pairs.num_rows, np.nan, np.float32)
        place, person, item = known_pairs(pairs, self.people, self.items)
        step = max(1, _PAIR_VALUES // max(1, self.factors))
        for start in range(0, len(place), step):
            part = slice(start, start + step)
            scores[place[part]] = np.einsum(
                "ij,ij->i", self.person_factors[person[part]], self.item_factors[item[part]]
            )
        return scores

    def parts(self) -> pa.Table:
        """Both sides with the schema ``PARTS``, sorted by side and id; ``from_table`` reads them back."""
        rows = pa.concat_tables([self.table(ITEM), self.table(PERSON)])
        return rows.append_column("payload", pa.nulls(rows.num_rows, pa.string())).cast(PARTS)


def _side(table: pa.Table, side: str) -> tuple[IdMap, np.ndarray]:
    rows = table.filter(pc.equal(table["side"], side))
    given = as_ids(rows["id"])
    ids = IdMap.from_ids(given)
    if len(ids) != len(given):
        raise ValueError(f"{len(given) - len(ids)} {side} ids of a factor table come more than once")
    if len(ids) == 0:
        return ids, np.empty((0, 0), np.float32)
    lengths = pc.unique(pc.list_value_length(rows["factors"])).to_pylist()
    if len(lengths) != 1 or not lengths[0]:
        raise ValueError(f"{side} vectors of a factor table have different or no lengths: {sorted(map(str, lengths))}")
    values = pc.list_flatten(rows["factors"]).to_numpy().astype(np.float32, copy=False).reshape(len(given), lengths[0])
    if not np.isfinite(values).all():
        raise ValueError(f"a {side} factor is null or not finite; fit the model again with more regularization")
    vectors = np.empty_like(values)
    vectors[ids.to_indices(given)] = values
    return ids, vectors
