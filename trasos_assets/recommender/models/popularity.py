"""The most bought items: the baseline every model must beat, and the answer for people nobody knows."""

# pyarrow.compute makes its functions at import time, out of a type checker's sight; Ibis types all columns alike.
# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Self

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trasos_assets.recommender.ids import UNKNOWN_INDEX, IdMap, Ids, as_ids, sorted_distinct
from trasos_assets.recommender.interactions import bought_pairs, distinct_pairs
from trasos_assets.recommender.models.base import PARTS, RECOMMENDED, SIMILAR, NotFittedError, recommended_table
from trasos_assets.recommender.splits import first_and_last_day, rows_between


@dataclass(frozen=True)
class PopularityConfig:
    """``window_days``: count the last so many days up to ``as_of`` only; None counts all time."""

    window_days: int | None = None

    def __post_init__(self) -> None:
        if self.window_days is not None and self.window_days < 1:
            raise ValueError(f"window_days must be at least 1 or None, got {self.window_days}")


class Popularity:
    """Items by the number of distinct people who bought them in the window.

    If nobody bought anything in the window, distinct people with any interaction count instead; if there was none,
    lists are empty. Ties go to the smaller item id. It knows every person, because it asks nothing of them.
    """

    def __init__(self, config: PopularityConfig | None = None) -> None:
        self.config = config or PopularityConfig()
        self._ranked: pa.Array | None = None
        self._people_per_item = np.empty(0, np.int64)

    def fit(self, train: pa.Table | ibis.Table, *, as_of: date | None = None) -> Self:
        """Count distinct people per item; see ``Recommender.fit``. Of an Ibis table only the counts are fetched."""
        last = as_of
        if last is None:
            days = first_and_last_day(train)
            last = days[1] if days else None
        rows = train
        if last is not None:
            window = self.config.window_days
            rows = rows_between(train, after=None if window is None else last - timedelta(days=window), through=last)
        counted = _people_per_item(rows).sort_by([("people", "descending"), ("item_id", "ascending")])
        self._ranked = counted["item_id"].cast(pa.string()).combine_chunks()
        self._people_per_item = counted["people"].to_numpy()
        return self

    def recommend(
        self, people: Ids, k: int, *, exclude: pa.Table | None = None, allowed_items: Ids | None = None
    ) -> pa.Table:
        """The most popular items a person is not excluded from; see ``Recommender.recommend``. ``score`` is people."""
        ranked = self._fitted
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        score, known = self._people_per_item, IdMap.from_ids(people)
        if allowed_items is not None:
            allowed = IdMap.from_ids(allowed_items).to_indices(ranked, unknown="mark") != UNKNOWN_INDEX
            ranked, score = ranked.filter(pa.array(allowed)), score[allowed]
        if len(ranked) == 0 or len(known) == 0:
            return RECOMMENDED.empty_table()

        items = IdMap.from_ids(ranked)
        item_at = items.to_indices(ranked)
        position = _positions_left(known, items, item_at, k, exclude)
        person, column = np.nonzero(position < len(item_at))
        chosen = position[person, column]
        return recommended_table(known, items, person, column + 1, item_at[chosen], score[chosen])

    def similar(self, items: Ids, k: int, *, allowed_items: Ids | None = None) -> pa.Table:
        """No rows: a count of people says nothing of which items are alike."""
        _ = self._fitted
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        return SIMILAR.empty_table()

    def score_pairs(self, pairs: pa.Table) -> np.ndarray:
        """See ``ScoresPairs``: the item's people in the window, whoever asks; 0 for other items, never NaN."""
        place = pc.fill_null(pc.index_in(as_ids(pairs["item_id"]), value_set=self._fitted), UNKNOWN_INDEX).to_numpy()
        return np.append(self._people_per_item, 0)[place].astype(np.float32)

    def parts(self) -> pa.Table:
        """No rows: counting again takes a moment."""
        _ = self._fitted
        return PARTS.empty_table()

    def restore(self, parts: pa.Table, train: pa.Table | ibis.Table, *, as_of: date | None = None) -> Self:
        """The counts of the training rows; see ``Recommender.restore``."""
        return self.fit(train, as_of=as_of)

    @property
    def _fitted(self) -> pa.Array:
        if self._ranked is None:
            raise NotFittedError("Popularity was used before fit; fit it first")
        return self._ranked


def _people_per_item(rows: pa.Table | ibis.Table) -> pa.Table:
    """Columns item_id, people: distinct buyers, or where nobody bought anything distinct people."""
    if isinstance(rows, ibis.Table):
        buyers = rows["person_id"].nunique(where=rows["purchases"] > 0)
        counts = rows.group_by("item_id").agg(buyers=buyers, anybody=rows["person_id"].nunique()).to_pyarrow()
        bought = counts.filter(pc.greater(counts["buyers"], 0))
        found, column = (bought, "buyers") if bought.num_rows else (counts, "anybody")
        return pa.table({"item_id": found["item_id"], "people": found[column]})
    pairs = bought_pairs(rows)
    if pairs.num_rows == 0:
        pairs = distinct_pairs(rows)
    counted = pairs.group_by("item_id").aggregate([("person_id", "count")])
    return pa.table({"item_id": counted["item_id"], "people": counted["person_id_count"]})


def _positions_left(known: IdMap, items: IdMap, item_at: np.ndarray, k: int, exclude: pa.Table | None) -> np.ndarray:
    """Per person the positions in the ranking of the first ``k`` items not excluded; too large where there are fewer.

    With a person's excluded positions in ascending order p_0 < p_1 < ..., the j-th of them lies before the r-th item
    left (from 0) exactly if p_j - j <= r. The r-th item left is therefore at r + #{j: p_j - j <= r}: a histogram per
    person, with no list walked.
    """
    place = np.arange(k, dtype=np.int64)
    if exclude is None or exclude.num_rows == 0:
        return np.broadcast_to(place, (len(known), k))
    person = known.to_indices(exclude["person_id"], unknown="mark")
    item = items.to_indices(exclude["item_id"], unknown="mark")
    listed = (person != UNKNOWN_INDEX) & (item != UNKNOWN_INDEX)
    position_of = np.empty(len(item_at), dtype=np.int64)
    position_of[item_at] = np.arange(len(item_at))
    cells = sorted_distinct(person[listed].astype(np.int64) * len(item_at) + position_of[item[listed]])
    owner, position = np.divmod(cells, len(item_at))
    lengths = np.bincount(owner, minlength=len(known))
    nth = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    slack = position - nth
    near = slack < k
    histogram = np.bincount(owner[near] * k + slack[near], minlength=len(known) * k)
    return place + np.cumsum(histogram.reshape(len(known), k), axis=1)
