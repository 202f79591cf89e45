"""The lists that a shop shows: the champion's for whom it knows, then what is popular, under the business's rules."""

# scipy's sparse matrices and numpy's overloads come without types that a checker could follow.
# pyright: reportOptionalSubscript=false, reportCallIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import sparse

from trasos_assets.contracts.serving import (
    BECAUSE_BOUGHT,
    BECAUSE_VIEWED,
    CATEGORY_POPULARITY,
    MODEL,
    PINNED,
    POPULAR_ALWAYS,
    POPULAR_IN_CATEGORY,
    POPULAR_NOW,
    POPULARITY,
    RECENT_POPULARITY,
    SOURCES,
    VIEWED_BEFORE,
    YOUR_TASTE,
)
from trasos_assets.recommender.filling import Filled, Lists, pinned_for
from trasos_assets.recommender.ids import UNKNOWN_INDEX, IdMap, Ids
from trasos_assets.recommender.models.base import RECOMMENDED, Recommends
from trasos_assets.recommender.reasons import Nearness, strongest
from trasos_assets.recommender.shelf import Shelf

SCORE_DIGITS = 6
PLAIN = ("popularity", "popularity_recent")
"""Champions that are what the fallbacks are: lists are made by these, and say so."""
NOW = 50
"""How many of the most popular items are called popular now where the model has no better reason."""
SERVED = pa.schema(
    [
        ("person_id", pa.string()),
        ("rank", pa.int32()),
        ("item_id", pa.string()),
        ("score", pa.float64()),
        ("source", pa.string()),
        ("reason", pa.string()),
        ("because_item_id", pa.string()),
    ]
)
_BLOCK_PEOPLE = 50_000


@dataclass(frozen=True)
class Champion:
    """What serves: a model of the registry, its parameters as plain values, its version.

    ``items`` is what it must be told of items (``attributes.attributes_for``).
    """

    model: str
    parameters: Mapping[str, Any]
    version: str
    items: pa.Table | None = None

    @classmethod
    def of_row(cls, row: Mapping[str, Any] | None, items: pa.Table | None = None) -> Champion | None:
        """Of a row of the contract champion; None where there is none, or where it is what the fallbacks are."""
        if row is None or row["model"] in PLAIN:
            return None
        return cls(row["model"], json.loads(row["parameters"] or "{}"), row["model_version"], items)


@dataclass(frozen=True, eq=False)
class Served:
    """A model that can answer, and how it says why."""

    model: Recommends
    nearness: Callable[[], Nearness]


def recommend_for_everyone(served: Served | None, shelf: Shelf, people: Ids, history: pa.Table, k: int) -> pa.Table:
    """At most ``k`` items for each of ``people``, rows of ``SERVED`` sorted by person and rank.

    A list is filled from one source after the other, each asked only for people whose list is not full: items pinned
    to a slot, the model, what is popular in the categories that the person looked at (for people the model has nothing
    for), what is popular now, what was popular ever. No item that the person has bought or that may not be shown, none
    twice, ranks from 1 without gaps, and shorter than ``k`` only where nothing is left.

    Args:
        served: the model; None if there is none.
        shelf: what may be shown.
        people: whom to make lists for, repeats allowed.
        history: ``shelf.HISTORY`` rows of these people (others are ignored), a row a person and item.
        k: length of a list.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    everyone = IdMap.from_ids(people)
    person = everyone.to_indices(history["person_id"], unknown="mark")
    order = np.argsort(person, kind="stable")
    history, person = history.take(pa.array(order)), person[order]
    nearness = None
    parts = []
    for start in range(0, len(everyone), _BLOCK_PEOPLE):
        block = IdMap(everyone.external_ids[start : start + _BLOCK_PEOPLE])
        first, last = np.searchsorted(person, [start, start + len(block)])
        of_block = _Block(shelf, block, history.slice(first, last - first))
        lists = of_block.filled(None if served is None else served.model, k)
        if served is not None and nearness is None:
            nearness = served.nearness()
        parts.append(of_block.table(lists, nearness))
    return pa.concat_tables(parts) if parts else SERVED.empty_table()


def rounded(scored: pa.Table) -> pa.Table:
    """The same rows with scores of 6 digits."""
    at = scored.column_names.index("score")
    # Adding 0 turns the -0.0 that rounding leaves into 0.0.
    scores = np.round(scored["score"].to_numpy(), SCORE_DIGITS) + 0.0
    return scored.set_column(at, scored.schema.field(at), pa.array(scores, pa.float64()))


@dataclass(frozen=True, eq=False)
class _Block:
    """Some people with what they have done: rows by index of person, items by index in the shelf."""

    shelf: Shelf
    people: IdMap
    history: pa.Table

    @cached_property
    def _cells(self) -> tuple[np.ndarray, np.ndarray]:
        person = self.people.to_indices(self.history["person_id"])
        return person, self.shelf.known.to_indices(self.history["item_id"], unknown="mark")

    def _matrix(self, values: np.ndarray) -> sparse.csr_matrix:
        person, item = self._cells
        known = item != UNKNOWN_INDEX
        matrix = sparse.csr_matrix(
            (values[known], (person[known], item[known])), (len(self.people), len(self.shelf.known))
        )
        matrix.sort_indices()
        return matrix

    @cached_property
    def weights(self) -> sparse.csr_matrix:
        """What the person did with the item, above 0."""
        return self._matrix(self.history["weight"].to_numpy().astype(np.float32))

    @cached_property
    def last_day(self) -> sparse.csr_matrix:
        """The last day of it."""
        return self._matrix(self.history["last_day"].to_numpy().astype(np.int64))

    @cached_property
    def bought(self) -> sparse.csr_matrix:
        """True where it was bought; False where only looked at."""
        return self._matrix(self.history["bought"].to_numpy())

    def filled(self, model: Recommends | None, k: int) -> Filled:
        """The lists of the block."""
        shelf = self.shelf
        limits = ((shelf.brand, shelf.rules.at_most.brand), (shelf.category, shelf.rules.at_most.category))
        limited = [(codes, most) for codes, most in limits if most is not None]
        lists = Lists(len(self.people), k, limited, pinned_for(shelf, self.bought, k))
        # A limit holds candidates back, so that more are asked for than a list can take.
        asked = k if not limited else 5 * k + 50
        known = np.zeros(len(self.people), bool)
        for source, recommend in self._sources(model):
            rows = np.flatnonzero(lists.open & ~known) if source == CATEGORY_POPULARITY else np.flatnonzero(lists.open)
            if len(rows) == 0:
                continue
            found = recommend(rows, asked, lists)
            person = self.people.to_indices(found["person_id"])
            if source == MODEL:
                known[person] = True
            item = shelf.known.to_indices(found["item_id"])
            lists.add(SOURCES.index(source), person, item, found["score"].to_numpy())
        return lists.placed()

    def _sources(self, model: Recommends | None) -> Iterator[tuple[str, Callable[[np.ndarray, int, Lists], pa.Table]]]:
        if model is not None:
            yield MODEL, lambda rows, asked, lists: self._asked(model, rows, asked, lists)
        yield CATEGORY_POPULARITY, self._in_categories
        yield RECENT_POPULARITY, lambda rows, asked, lists: self._asked(self.shelf.recent, rows, asked, lists)
        yield POPULARITY, lambda rows, asked, lists: self._asked(self.shelf.all_time, rows, asked, lists)

    def _asked(self, model: Recommends, rows: np.ndarray, asked: int, lists: Lists) -> pa.Table:
        people = self.people.external_ids.take(pa.array(rows))
        return model.recommend(people, asked, exclude=self._taken(rows, lists), allowed_items=self.shelf.shown_ids)

    def _taken(self, rows: np.ndarray, lists: Lists) -> pa.Table:
        """Pairs that are bought, or in the list already."""
        bought = self.bought.tocoo()
        row, column = lists.pairs()
        person = np.concatenate([bought.row[bought.data], row])
        item = np.concatenate([bought.col[bought.data], column])
        wanted = np.isin(person, rows) if len(rows) < len(self.people) else slice(None)
        return pa.table(
            {"person_id": self.people.to_ids(person[wanted]), "item_id": self.shelf.known.to_ids(item[wanted])}
        )

    @cached_property
    def _categories(self) -> tuple[sparse.csr_matrix, np.ndarray]:
        """People x categories: the weight of what they did there; and by cell their latest item of the category."""
        shelf, cells, day = self.shelf, self.weights.tocoo(), self.last_day.tocoo()
        code = shelf.category[cells.col]
        has = code >= 0
        row, item, code = cells.row[has], cells.col[has], code[has]
        weight, last = cells.data[has].astype(np.float64), day.data[has]
        order = np.lexsort((item, -last, code, row))
        key = row[order].astype(np.int64) * max(1, int(shelf.category.max(initial=-1)) + 1) + code[order]
        first = np.flatnonzero(np.concatenate([np.ones(min(1, len(key)), bool), key[1:] != key[:-1]]))
        total = np.add.reduceat(weight[order], first) if len(first) else np.empty(0)
        shape = (len(self.people), max(1, int(shelf.category.max(initial=-1)) + 1))
        matrix = sparse.csr_matrix((total, (row[order][first], code[order][first])), shape)
        return matrix, item[order][first]

    def _in_categories(self, rows: np.ndarray, asked: int, lists: Lists) -> pa.Table:
        """The most popular of the categories that a person looked at; a score is the item's buyers (recent) times the
        category's share of what the person did."""
        shelf = self.shelf
        matrix, _ = self._categories
        mine = matrix[rows]
        offered = np.flatnonzero(shelf.shown & (shelf.category >= 0) & (shelf.recent_people > 0))
        offered = offered[np.lexsort((shelf.place[offered], shelf.category[offered]))]
        starts = np.searchsorted(shelf.category[offered], np.arange(matrix.shape[1] + 1))
        # What was bought or listed falls out afterwards: no person has more of a category than these.
        size = np.minimum(np.diff(starts), asked + 100)[mine.indices]
        row = np.repeat(np.repeat(rows, np.diff(mine.indptr)), size)
        nth = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        item = offered[np.repeat(starts[mine.indices], size) + nth]
        share = mine.data / np.repeat(np.asarray(mine.sum(axis=1)).ravel(), np.diff(mine.indptr))
        score = shelf.recent_people[item] * np.repeat(share, size)
        taken = self.bought.tocoo()
        listed_row, listed_item = lists.pairs()
        width = max(1, len(shelf.known))
        gone = np.concatenate([taken.row[taken.data], listed_row]).astype(np.int64) * width + np.concatenate(
            [taken.col[taken.data], listed_item]
        )
        left = ~np.isin(row.astype(np.int64) * width + item, gone)
        row, item, score = row[left], item[left], score[left]
        order = np.lexsort((shelf.place[item], -score, row))
        row, item, score = row[order], item[order], score[order]
        starts = np.searchsorted(row, row)
        rank = np.arange(len(row)) - starts + 1
        kept = rank <= asked
        return pa.table(
            [
                self.people.to_ids(row[kept]),
                pa.chunked_array([pa.array(rank[kept], pa.int32())]),
                shelf.known.to_ids(item[kept]),
                pa.chunked_array([pa.array(score[kept], pa.float64())]),
            ],
            schema=RECOMMENDED,
        )

    def table(self, lists: Filled, nearness: Nearness | None) -> pa.Table:
        """Rows of ``SERVED``."""
        shelf = self.shelf
        reason, because = self._reasons(lists, nearness)
        # Adding 0 turns the -0.0 that rounding leaves into 0.0.
        scores = np.round(lists.score, SCORE_DIGITS) + 0.0
        none = because == UNKNOWN_INDEX
        because_ids = shelf.known.to_ids(np.where(none, 0, because)).combine_chunks()
        return pa.table(
            [
                self.people.to_ids(lists.person),
                pa.array(lists.rank, pa.int32()),
                shelf.known.to_ids(lists.item),
                pa.array(scores, pa.float64(), mask=np.isnan(scores)),
                pa.array(np.array(SOURCES, object)[lists.source], pa.string()),
                pa.array(reason, pa.string()),
                pa.array(because_ids.to_numpy(zero_copy_only=False), pa.string(), mask=none),
            ],
            schema=SERVED,
        )

    def _reasons(self, lists: Filled, nearness: Nearness | None) -> tuple[np.ndarray, np.ndarray]:
        """Reason and item behind it (-1 for none) of every row."""
        shelf = self.shelf
        by = {source: np.flatnonzero(lists.source == SOURCES.index(source)) for source in SOURCES}
        reason = np.full(len(lists.person), YOUR_TASTE, object)
        because = np.full(len(lists.person), UNKNOWN_INDEX, np.int64)
        for source, says in ((PINNED, PINNED), (RECENT_POPULARITY, POPULAR_NOW), (POPULARITY, POPULAR_ALWAYS)):
            reason[by[source]] = says
        rows = by[CATEGORY_POPULARITY]
        if len(rows):
            matrix, latest = self._categories
            reason[rows] = POPULAR_IN_CATEGORY
            # A matrix of the places of its own cells, from 1: a lookup of a cell by person and category.
            places = sparse.csr_matrix((np.arange(1, matrix.nnz + 1), matrix.indices, matrix.indptr), matrix.shape)
            at = np.asarray(places[lists.person[rows], shelf.category[lists.item[rows]]]).ravel()
            because[rows] = latest[at - 1]
        rows = by[MODEL]
        if len(rows) and nearness is not None:
            person, item = lists.person[rows], lists.item[rows]
            reason[rows] = np.where(shelf.place[item] < NOW, POPULAR_NOW, YOUR_TASTE)
            seen = np.asarray(self.weights[person, item]).ravel() > 0
            other = np.full(len(rows), UNKNOWN_INDEX, np.int64)
            other[~seen] = strongest(nearness, self.weights, self.last_day, person[~seen], item[~seen])
            found = other != UNKNOWN_INDEX
            had = np.zeros(len(rows), bool)
            had[found] = np.asarray(self.bought[person[found], other[found]]).ravel()
            says = np.where(had, BECAUSE_BOUGHT, BECAUSE_VIEWED)
            reason[rows[found]], because[rows[found]] = says[found], other[found]
            reason[rows[seen]], because[rows[seen]] = VIEWED_BEFORE, item[seen]
        return reason, because
