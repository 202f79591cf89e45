"""Candidates of several models and what is known of each pair on a day: the input of the blend's ranker."""

# pyarrow.compute makes its functions at import time, out of a type checker's sight; scipy declares shapes as None.
# pyright: reportAttributeAccessIssue=false, reportOptionalSubscript=false

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from scipy import sparse

from trasos_assets.recommender.ids import UNKNOWN_INDEX, IdMap, Ids, sorted_distinct
from trasos_assets.recommender.interactions import pair_matrix
from trasos_assets.recommender.models.blend_attributes import Attributes
from trasos_assets.recommender.models.blend_history import History
from trasos_assets.recommender.models.factors import FactorModel
from trasos_assets.recommender.models.item_knn import ItemKNN
from trasos_assets.recommender.topk import top_k

RECENT_DAYS = 14
WINDOWS = (3, 7, 14, 28, 56, 112)
TASTE_DAYS = 56
_PAIRS_AT_ONCE = 25_000


@dataclass(frozen=True, eq=False)
class Candidates:
    """Distinct pairs sorted by person and item; ``person`` are rows of the people asked, ``item`` of the history."""

    person: np.ndarray
    item: np.ndarray


class Snapshot:
    """All that the blend may know at the end of a day: counts, fitted models, and attributes of items.

    Every number is as of ``history.as_of``: the models must have been fitted on no later row.
    """

    def __init__(
        self, history: History, als: FactorModel | None, knn: ItemKNN, attributes: Attributes, popularity_weight: float
    ) -> None:
        self.history, self.knn, self.attributes = history, knn, attributes.of(history)
        self.popularity_weight = popularity_weight
        self._person_vectors, self._item_vectors = _aligned(history, als)

    @cached_property
    def trend(self) -> np.ndarray:
        """Per item log recent popularity, standardised over the items that ever had an interaction."""
        value = self.history.spread(RECENT_DAYS)
        touched = value[self.history.item_ages[0] > 0]
        deviation = float(touched.std()) if len(touched) else 0.0
        return (value - touched.mean()) / deviation if deviation > 0 else np.zeros_like(value)

    @cached_property
    def _scale(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation of each person's ALS scores over all items, from the moments of the item vectors."""
        known = self._item_vectors[~np.isnan(self._item_vectors[:, 0])].astype(np.float64)
        if len(known) == 0:
            nothing = np.full(len(self._person_vectors), np.nan)
            return nothing, nothing
        centre = known.mean(axis=0)
        covariance = (known - centre).T @ (known - centre) / len(known)
        people = self._person_vectors.astype(np.float64)
        variance = np.einsum("ij,ij->i", people @ covariance, people)
        return people @ centre, np.sqrt(np.maximum(variance, 1e-18))

    @cached_property
    def _sources(self) -> tuple[np.ndarray, np.ndarray]:
        """The item vectors without NaN, and the same with the trend as one dimension more."""
        vectors = np.nan_to_num(self._item_vectors)
        return vectors, np.hstack([vectors, self.trend[:, None].astype(np.float32)])

    def als_scores(self, person: np.ndarray, item: np.ndarray) -> np.ndarray:
        """ALS scores of pairs (rows of the history), standardised per person; NaN where ALS knows one of both not."""
        centre, deviation = self._scale
        scores = np.empty(len(person))
        for start in range(0, len(person), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            vectors = self._person_vectors[person[part]], self._item_vectors[item[part]]
            scores[part] = np.einsum("ij,ij->i", *vectors)
        return (scores - centre[person]) / deviation[person]

    def fixed_scores(self, person: np.ndarray, item: np.ndarray) -> np.ndarray:
        """ALS standardised per person + weight x standardised log recent popularity: good without any training."""
        return np.nan_to_num(self.als_scores(person, item)) + self.popularity_weight * self.trend[item]

    def candidates(
        self, asked: IdMap, each: int, own: int, exclude: pa.Table | None, allowed_items: Ids | None
    ) -> Candidates:
        """For each of ``asked``: the ``each`` best new items of every source, and ``own`` of the person's items.

        Sources of new items: ALS, ALS with recent popularity, the item neighbourhood, recent popularity, and items
        nobody has touched in the person's categories. Own items are those of the last interaction first. ``exclude``
        and ``allowed_items`` are as in ``Recommender.recommend``.
        """
        history, items = self.history, self.history.items
        width = max(1, len(items))
        known = history.people.to_indices(asked.external_ids, unknown="mark").astype(np.int64)
        allowed = np.ones(len(items), bool)
        if allowed_items is not None:
            allowed = IdMap.from_ids(allowed_items).to_indices(items.external_ids, unknown="mark") != UNKNOWN_INDEX
        refused = sparse.csr_matrix((len(asked), len(items)), dtype=bool)
        if exclude is not None:
            refused = pair_matrix(exclude, asked, items)
        mine = self._own(known, own, len(asked))
        taken = sparse.csr_matrix(refused + mine)

        found = [_cells(mine)]
        warm = np.flatnonzero(known != UNKNOWN_INDEX)
        warm = warm[~np.isnan(self._person_vectors[known[warm], 0])] if len(warm) else warm
        rows = known[warm]
        vectors, both = self._sources
        liked = allowed & ~np.isnan(self._item_vectors[:, 0])
        if len(warm) and liked.any():
            people = self._person_vectors[rows]
            found.append(_best(warm, people, vectors, each, taken, liked, width))
            scaled = (people / self._scale[1][rows, None]).astype(np.float32)
            weight = np.full((len(rows), 1), self.popularity_weight, np.float32)
            found.append(_best(warm, np.hstack([scaled, weight]), both, each, taken, liked, width))
        if allowed.any():
            everyone = np.arange(len(asked))
            ones = np.ones((len(asked), 1), np.float32)
            popular = (history.spread(RECENT_DAYS) + 1e-3 * history.spread(None))[:, None].astype(np.float32)
            found.append(_best(everyone, ones, popular, each, taken, allowed, width))
        found.append(self._neighbours(asked, each, taken, allowed_items))
        found.append(self.attributes.untouched(known, each, taken, allowed))

        row, item = np.divmod(sorted_distinct(np.concatenate(found)), width)
        cell = row * width + item
        fine = allowed[item] & ~np.isin(cell, _cells(refused))
        return Candidates(row[fine], item[fine])

    def _own(self, known: np.ndarray, own: int, people: int) -> sparse.csr_matrix:
        """The items each person touched last, at most ``own``: boolean CSR (asked x items)."""
        pairs, owner = self.history.pairs, self.history.owner
        place = np.full(len(self.history.people), -1, np.int64)
        place[known[known != UNKNOWN_INDEX]] = np.flatnonzero(known != UNKNOWN_INDEX)
        of_asked = np.flatnonzero(place[owner] >= 0) if len(owner) else np.empty(0, np.int64)
        order = of_asked[np.lexsort((pairs.key[of_asked], pairs.touched[of_asked], owner[of_asked]))]
        lengths = np.bincount(owner[order], minlength=len(place))
        nth = np.arange(len(order)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        kept = order[nth < own]
        shape = (people, len(self.history.items))
        return sparse.csr_matrix((np.ones(len(kept), bool), (place[owner[kept]], self.history.thing[kept])), shape)

    def _neighbours(self, asked: IdMap, each: int, taken: sparse.csr_matrix, allowed_items: Ids | None) -> np.ndarray:
        row, item = taken.nonzero()
        pairs = pa.table({"person_id": asked.to_ids(row), "item_id": self.history.items.to_ids(item)})
        lists = self.knn.recommend(asked.external_ids, each, exclude=pairs, allowed_items=allowed_items)
        person, item = asked.to_indices(lists["person_id"]), self.history.items.to_indices(lists["item_id"])
        return person.astype(np.int64) * max(1, len(self.history.items)) + item

    def features(self, asked: IdMap, chosen: Candidates) -> dict[str, np.ndarray]:
        """Named columns (float32) over the rows of ``chosen``; NaN where there is nothing to know."""
        history = self.history
        known = history.people.to_indices(asked.external_ids, unknown="mark").astype(np.int64)
        person, item = known[chosen.person], chosen.item
        warm = person != UNKNOWN_INDEX
        of_person = np.where(warm, person, 0)
        columns = {**self._model_columns(asked, chosen, of_person, warm)}
        for name, per_item in self._item_columns.items():
            columns[name] = per_item[item]
        for name, per_person in self._person_columns.items():
            columns[name] = (
                np.where(warm, per_person[of_person], np.nan) if len(per_person) else np.full(len(item), np.nan)
            )
        place, there = history.pairs.find(of_person * max(1, len(history.items)) + item)
        there &= warm
        for name, values in self._pair_columns.items():
            columns[name] = np.where(there, values[place], np.nan) if len(values) else np.full(len(item), np.nan)
        columns["times"] = np.nan_to_num(columns["times"])
        columns["rate"] = columns["times"] / np.maximum(1.0, np.nan_to_num(columns["person_days"]))
        columns["overdue"] = columns["since_last"] / columns["gap"]
        columns["against_taste"] = columns[f"popularity_{TASTE_DAYS}"] - columns["person_taste"]
        columns.update(self.attributes.columns(of_person, warm, item))
        for name, values in columns.items():
            columns[name] = values.astype(np.float32)
        return columns

    def _model_columns(
        self, asked: IdMap, chosen: Candidates, of_person: np.ndarray, warm: np.ndarray
    ) -> dict[str, np.ndarray]:
        als = np.full(len(chosen.item), np.nan)
        als[warm] = self.als_scores(of_person[warm], chosen.item[warm])
        ids = pa.table({"person_id": asked.to_ids(chosen.person), "item_id": self.history.items.to_ids(chosen.item)})
        near = self.knn.score_pairs(ids).astype(np.float64)
        # The score grows with the length of the person's history: within the person it is a share of the best.
        best = np.zeros(len(asked))
        np.maximum.at(best, chosen.person, np.nan_to_num(near))
        share = near / np.where(best > 0, best, 1.0)[chosen.person]
        mixed = np.nan_to_num(als) + self.popularity_weight * self.trend[chosen.item]
        return {"als": als, "neighbours": share, "neighbours_sum": near, "als_and_trend": mixed}

    @cached_property
    def _item_columns(self) -> dict[str, np.ndarray]:
        history = self.history
        columns = {f"popularity_{days}": history.spread(days) for days in WINDOWS}
        columns["popularity"] = history.spread(None)
        for short, long in ((7, 28), (14, 56), (28, 112)):
            columns[f"growth_{short}_{long}"] = columns[f"popularity_{short}"] - columns[f"popularity_{long}"]
        columns["new_buyers_14"], columns["new_buyers_28"] = (np.log1p(history.new_buyers(days)) for days in (14, 28))
        first, last = history.item_ages
        columns["item_age"], columns["item_idle"] = np.minimum(first, 200), np.minimum(last, 100)
        width = len(history.items)
        once = np.bincount(history.thing[history.pairs.times > 0], minlength=width)
        again = np.bincount(history.thing[history.pairs.times > 1], minlength=width)
        columns["item_repeats"] = again / (once + 5.0)
        return columns

    @cached_property
    def _person_columns(self) -> dict[str, np.ndarray]:
        history = self.history
        days, last, first, purchases = history.visits
        bought = history.pairs.times > 0
        everybody = len(history.people)
        items = np.bincount(history.owner[bought], minlength=everybody)
        again = np.bincount(history.owner[history.pairs.times > 1], minlength=everybody)
        level = self._item_columns[f"popularity_{TASTE_DAYS}"][history.thing[bought]]
        taste = np.bincount(history.owner[bought], weights=level, minlength=everybody)
        return {
            "person_days": days.astype(np.float64),
            "person_idle": last,
            "person_age": first,
            "person_gap": (first - last) / np.maximum(1, days - 1),
            "person_items": items.astype(np.float64),
            "person_basket": purchases / np.maximum(1, days),
            "person_repeats": again / np.maximum(1, items),
            "person_taste": taste / np.maximum(1, items),
        }

    @cached_property
    def _pair_columns(self) -> dict[str, np.ndarray]:
        pairs = self.history.pairs
        times = pairs.times.astype(np.float64)
        last_visit = self.history.visits[1][self.history.owner]
        return {
            "times": times,
            "since_last": pairs.last,
            "since_first": pairs.first,
            "gap": np.where(times > 1, (pairs.first - pairs.last) / np.maximum(1, times - 1), np.nan),
            "in_last_basket": (pairs.last == last_visit).astype(np.float64),
            "looked": pairs.looked.astype(np.float64),
            "since_touched": pairs.touched.astype(np.float64),
        }


def _aligned(history: History, als: FactorModel | None) -> tuple[np.ndarray, np.ndarray]:
    """The vectors in the order of the history's ids; rows of NaN for whom the model does not know."""
    if als is None or len(als.items) == 0 or len(als.people) == 0:
        nothing = np.full((1, 1), np.nan, np.float32)
        return np.repeat(nothing, len(history.people), axis=0), np.repeat(nothing, len(history.items), axis=0)
    aligned = []
    for ids, model_ids, vectors in (
        (history.people, als.people, als.person_factors),
        (history.items, als.items, als.item_factors),
    ):
        place = model_ids.to_indices(ids.external_ids, unknown="mark")
        rows = vectors[np.maximum(place, 0)].astype(np.float32)
        rows[place == UNKNOWN_INDEX] = np.nan
        aligned.append(rows)
    return aligned[0], aligned[1]


def _cells(matrix: sparse.csr_matrix) -> np.ndarray:
    row, column = matrix.nonzero()
    return row.astype(np.int64) * max(1, matrix.shape[1]) + column


def _best(
    asked: np.ndarray,
    people: np.ndarray,
    items: np.ndarray,
    k: int,
    taken: sparse.csr_matrix,
    allowed: np.ndarray,
    width: int,
) -> np.ndarray:
    """Cells (asked person x width + item) of each person's ``k`` highest inner products among the items not taken."""
    best = top_k(people, items, k, excluded=sparse.csr_matrix(taken[asked]), allowed=allowed)
    return asked[best.person].astype(np.int64) * width + best.item
