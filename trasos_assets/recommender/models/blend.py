"""A second stage over other models: it ranks their candidates by what is known of each pair on the day of the split."""

# pyarrow.compute makes its functions at import time, out of a type checker's sight.
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Self

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trasos_assets.recommender.ids import UNKNOWN_INDEX, IdMap, Ids
from trasos_assets.recommender.interactions import bought_pairs
from trasos_assets.recommender.models.als import ALS, ALSConfig
from trasos_assets.recommender.models.base import PARTS, RECOMMENDED, NotFittedError, recommended_table
from trasos_assets.recommender.models.blend_attributes import Attributes
from trasos_assets.recommender.models.blend_features import Candidates, Snapshot
from trasos_assets.recommender.models.blend_history import History
from trasos_assets.recommender.models.blend_lessons import Lesson, learned, lessons_of
from trasos_assets.recommender.models.blend_ranker import Ranker, RankerConfig
from trasos_assets.recommender.models.factors import FactorModel
from trasos_assets.recommender.models.item_knn import ItemKNN, ItemKNNConfig
from trasos_assets.recommender.splits import first_and_last_day, rows_between

RANKER_SIDE, RANKER_ID = "ranker", "blend"
_PEOPLE_AT_ONCE = 500


@dataclass(frozen=True)
class BlendConfig:
    """Candidates, the windows that the ranker learns from, and its parameters.

    ``candidates``: new items taken from each source; ``own_items``: of the person's own items, the last touched;
    ``neighbours``: of each item in the BM25 neighbourhood. ``windows`` periods of ``window_days`` before the split are
    what the ranker learns to foretell, each from the days before it; in a young shop a period is a quarter of the days
    observed. With fewer than ``least_window_days`` for it, fewer than ``least_purchases`` among the candidates, or no
    gain on the latest window by a ranker of the older ones, the order is the fixed sum: ALS standardised per person +
    ``popularity_weight`` x standardised log popularity of the last 14 days. At most ``people`` a window are learned
    from.
    """

    als: ALSConfig = field(default_factory=ALSConfig)
    ranker: RankerConfig = field(default_factory=RankerConfig)
    candidates: int = 80
    own_items: int = 300
    neighbours: int = 100
    windows: int = 2
    window_days: int = 28
    least_window_days: int = 3
    least_purchases: int = 100
    people: int = 2_500
    popularity_weight: float = 2.0

    def __post_init__(self) -> None:
        counts = (self.candidates, self.neighbours, self.window_days, self.least_window_days, self.people)
        if min(counts) < 1 or min(self.own_items, self.windows, self.least_purchases) < 0:
            raise ValueError(
                f"own_items, windows and least_purchases must not be below 0, other counts not below 1: {self}"
            )
        if not np.isfinite(self.popularity_weight) or self.popularity_weight < 0:
            raise ValueError(f"popularity_weight must be a finite number not below 0, got {self.popularity_weight}")


class Blend:
    """Candidates of ALS, item neighbourhoods, recent popularity and the person's own items, ranked by learned trees.

    It knows everybody: people without a history are ranked what is popular. ``item_features`` (contract item_features)
    adds category, brand and price, and with them items that nobody has touched. Nothing it learns from is later than
    ``as_of``; the labels of a window are its purchases, the features those of the day before it.
    """

    def __init__(self, config: BlendConfig | None = None, *, item_features: pa.Table | None = None) -> None:
        self.config = config or BlendConfig()
        self._attributes = Attributes(item_features)
        self._als: ALS | None = None
        self._now: Snapshot | None = None
        self.ranker: Ranker | None = None
        """None before the fit, and where the fixed sum serves."""

    def fit(self, train: pa.Table | ibis.Table, *, as_of: date | None = None, als: ALS | None = None) -> Self:
        """Fit the models of each window and of now, then the ranker; see ``Recommender.fit``.

        ``als``: a model already fitted to all of ``train`` saves one fit; it must not have seen a later row.
        """
        rows, last = _known_rows(train, as_of)
        self._prepare(rows, last, als)
        self.ranker = self._learned(rows, last)
        return self

    def restore(self, parts: pa.Table, train: pa.Table | ibis.Table, *, as_of: date | None = None) -> Self:
        """See ``Recommender.restore``: ranker and vectors are the stored ones, all counts those of ``train``."""
        texts = parts.filter(pc.equal(parts["side"], RANKER_SIDE))["payload"].to_pylist()
        if len(texts) != 1:
            raise ValueError(f"{len(texts)} rows of a stored blend have the side {RANKER_SIDE!r}, expected one")
        vectors = parts.filter(pc.not_equal(parts["side"], RANKER_SIDE))
        rows, last = _known_rows(train, as_of)
        als = ALS(self.config.als)
        self._prepare(rows, last, als.restore(vectors, rows) if vectors.num_rows else als)
        self.ranker = None if texts[0] is None else Ranker.from_text(texts[0])
        return self

    def parts(self) -> pa.Table:
        """The vectors of ALS, and the ranker's text (null without a ranker) as one row of the side ``ranker``."""
        _ = self._fitted
        row = {"side": RANKER_SIDE, "id": RANKER_ID, "payload": None if self.ranker is None else self.ranker.text()}
        stored = [] if self._als is None else [self._als.parts().cast(PARTS)]
        return pa.concat_tables([*stored, pa.Table.from_pylist([row], schema=PARTS)])

    def recommend(
        self, people: Ids, k: int, *, exclude: pa.Table | None = None, allowed_items: Ids | None = None
    ) -> pa.Table:
        """The candidates of the highest log odds of a purchase; see ``Recommender.recommend``."""
        now = self._fitted
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        everyone = IdMap.from_ids(people).external_ids
        each = max(k, self.config.candidates)
        lists = []
        for start in range(0, len(everyone), _PEOPLE_AT_ONCE):
            asked = IdMap(everyone.slice(start, _PEOPLE_AT_ONCE))
            chosen = now.candidates(asked, each, self.config.own_items, _of(exclude, asked), allowed_items)
            score = self._scores(now, asked, chosen)
            order = np.lexsort((chosen.item, -score, chosen.person))
            person = chosen.person[order]
            lengths = np.bincount(person, minlength=len(asked))
            rank = np.arange(len(person)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + 1
            best = rank <= k
            items = chosen.item[order][best]
            lists.append(
                recommended_table(asked, now.history.items, person[best], rank[best], items, score[order][best])
            )
        return pa.concat_tables(lists) if lists else RECOMMENDED.empty_table()

    def similar(self, items: Ids, k: int, *, allowed_items: Ids | None = None) -> pa.Table:
        """Those of ALS: the highest cosine of item vectors; see ``Recommender.similar``."""
        now = self._fitted
        if self._als is None:
            return now.knn.similar(items, k, allowed_items=allowed_items)
        return self._als.similar(items, k, allowed_items=allowed_items)

    def _prepare(self, rows: pa.Table, last: date, als: ALS | None) -> None:
        self._als = als if als is not None else self._als_of(rows, last)
        self._now = self._snapshot(rows, last, self._als)

    def _als_of(self, rows: pa.Table, last: date) -> ALS | None:
        try:
            return ALS(self.config.als).fit(rows, as_of=last)
        except ValueError:
            # No row has a weight: popularity is all there is.
            return None

    def _snapshot(self, rows: pa.Table, last: date, als: ALS | None) -> Snapshot:
        knn = ItemKNN(ItemKNNConfig(neighbours=self.config.neighbours, weights=self.config.als.weights))
        knn.fit(rows, as_of=last)
        history = History(rows, last, self._attributes.item_ids)
        vectors = None if als is None else FactorModel.from_table(als.parts())
        return Snapshot(history, vectors, knn, self._attributes, self.config.popularity_weight)

    def _learned(self, rows: pa.Table, last: date) -> Ranker | None:
        """The ranker of the windows before ``last``; None if there is too little to learn from, or it is no gain."""
        days = first_and_last_day(rows)
        if days is None:
            return None
        window = min(self.config.window_days, ((last - days[0]).days + 1) // 4)
        if window < self.config.least_window_days:
            return None
        windows = []
        for nth in range(1, self.config.windows + 1):
            through = last - timedelta(days=nth * window)
            past = rows_between(rows, through=through)
            truth = bought_pairs(rows_between(rows, after=through, through=through + timedelta(days=window)))
            assert isinstance(past, pa.Table)
            if past.num_rows == 0 or truth.num_rows == 0:
                continue
            windows.append(self._lessons(past, through, truth))
        return learned(windows, self.config.ranker, self.config.least_purchases)

    def _lessons(self, past: pa.Table, through: date, truth: pa.Table) -> list[Lesson]:
        config = self.config
        return lessons_of(
            self._snapshot(past, through, self._als_of(past, through)),
            truth,
            people=config.people,
            candidates=config.candidates,
            own_items=config.own_items,
            seed=config.ranker.seed,
        )

    def _scores(self, now: Snapshot, asked: IdMap, chosen: Candidates) -> np.ndarray:
        """Of strangers, recent popularity: trees learn from newcomers too, but were no better for them than a count."""
        known = now.history.people.to_indices(asked.external_ids, unknown="mark").astype(np.int64)[chosen.person]
        warm = known != UNKNOWN_INDEX
        score = self.config.popularity_weight * now.trend[chosen.item]
        if self.ranker is None:
            score[warm] = now.fixed_scores(known[warm], chosen.item[warm])
            return score
        columns = now.features(asked, chosen)
        missing = [name for name in self.ranker.names if name not in columns]
        if missing:
            raise ValueError(f"the ranker asks for {missing}; give Blend the item_features that it was fitted with")
        features = np.stack([columns[name][warm] for name in self.ranker.names], axis=1)
        score[warm] = self.ranker.score(features)
        return score

    @property
    def _fitted(self) -> Snapshot:
        if self._now is None:
            raise NotFittedError("Blend was used before fit; fit it or restore it")
        return self._now


def _known_rows(train: pa.Table | ibis.Table, as_of: date | None) -> tuple[pa.Table, date]:
    """Rows up to ``as_of`` in the order of their key, and the day itself (default: the last with a row)."""
    if not isinstance(train, pa.Table):
        train = train.to_pyarrow()
    days = first_and_last_day(train)
    last = as_of or (days[1] if days else date(1970, 1, 1))
    rows = rows_between(train, through=last)
    assert isinstance(rows, pa.Table)
    order = [("person_id", "ascending"), ("item_id", "ascending"), ("day", "ascending")]
    return rows.sort_by(order).combine_chunks(), last


def _of(pairs: pa.Table | None, people: IdMap) -> pa.Table | None:
    """The rows of pairs (person_id, item_id) that are about these people."""
    return None if pairs is None else pairs.filter(pc.is_in(pairs["person_id"], value_set=people.external_ids))
