"""Models side by side: fitted before a day, judged by what people bought after it."""

# pyarrow.compute makes its functions at import time, out of a type checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.compute as pc

from trasos_assets.recommender.ids import IdMap
from trasos_assets.recommender.interactions import bought_pairs
from trasos_assets.recommender.metrics import PER_PERSON, coverage, judge
from trasos_assets.recommender.models import ALS, ALSConfig, Popularity, PopularityConfig, Recommender
from trasos_assets.recommender.splits import (
    Split,
    TooFewDaysError,
    affordable_test_days,
    first_and_last_day,
    time_split,
)

NEW_ITEMS, ALL_ITEMS = "new_items", "all_items"
COVERAGE = "coverage"
METRICS = (*PER_PERSON, COVERAGE)
RECENT_DAYS = 14
DIGITS = 9

LEADERBOARD_SCHEMA = pa.schema(
    [
        ("model", pa.string()),
        ("target", pa.string()),
        ("metric", pa.string()),
        ("k", pa.int32()),
        ("value", pa.float64()),
        ("people", pa.int64()),
        ("train_through", pa.date32()),
        ("test_through", pa.date32()),
    ]
)


def default_models(config: ALSConfig | None = None, als: type[Any] = ALS) -> dict[str, Recommender]:
    """Unfitted models by their name on the leaderboard: als, popularity (all time), popularity_recent (14 days).

    ``als`` is the class that fits ALS: the platform's own, or that of another engine (``recommender.engines``).
    """
    return {
        "als": als(config),
        "popularity": Popularity(),
        "popularity_recent": Popularity(PopularityConfig(window_days=RECENT_DAYS)),
    }


def leaderboard(
    training_interactions: pa.Table | ibis.Table,
    *,
    models: Mapping[str, Recommender] | None = None,
    test_days: int,
    ks: Sequence[int] = (10, 20),
    through: date | None = None,
) -> pa.Table:
    """Every model on every target, metric and k: the rows of the contract leaderboard.

    The last ``test_days`` days up to ``through`` (default: the last day with an interaction) are the truth, but never
    more than half of the days observed; models (default: ``default_models()``) are fitted on the days before. The
    ranking is over all items of the training days. Only warm people are judged, those with an interaction in training,
    and items not seen in training are left out of the truth.

    ``new_items``: what a person had bought is neither recommended nor true. ``all_items``: repeats may be recommended
    and count. ``coverage`` is over the lists of the same people; all values are rounded to 9 digits.

    Of an Ibis table, what the judged people bought is fetched, and counts; the models must take such a table too.

    With fewer than two days every value is null with 0 people; without any interaction there are no rows, for no day
    could be named. A target nobody bought for has null values and 0 people.
    """
    models = default_models() if models is None else models
    if not ks or min(ks) < 1:
        raise ValueError(f"ks must hold list lengths of at least 1, got {tuple(ks)}")
    days = first_and_last_day(training_interactions)
    if days is None:
        return LEADERBOARD_SCHEMA.empty_table()
    last = through or days[1]
    affordable = affordable_test_days(training_interactions, test_days, through=last)
    try:
        if affordable is None:
            raise TooFewDaysError("fewer than two days")
        split = time_split(training_interactions, test_days=affordable, through=last)
    except TooFewDaysError:
        empty = pa.table({"person_id": pa.array([], pa.string()), "item_id": pa.array([], pa.string())})
        split = Split(training_interactions, empty, last - timedelta(days=1), last)

    targets = _targets(split)
    catalogue_size = _items(split.train) if any(truth.num_rows for truth, _ in targets.values()) else 0
    rows: list[dict] = []
    for name, model in models.items():
        if any(truth.num_rows for truth, _ in targets.values()):
            model.fit(split.train, as_of=split.train_through)
        for target, (truth, exclude) in targets.items():
            for metric, k, value, people in _scores(model, catalogue_size, truth, exclude, ks):
                rows.append(
                    {
                        "model": name,
                        "target": target,
                        "metric": metric,
                        "k": k,
                        "value": None if value is None else round(value, DIGITS),
                        "people": people,
                        "train_through": split.train_through,
                        "test_through": split.test_through,
                    }
                )
    return pa.Table.from_pylist(rows, schema=LEADERBOARD_SCHEMA)


def _targets(split: Split) -> dict[str, tuple[pa.Table, pa.Table | None]]:
    """Target to its truth and to the pairs that must not be recommended for it."""
    if split.truth.num_rows == 0:
        return dict.fromkeys((NEW_ITEMS, ALL_ITEMS), (split.truth, None))
    truth = split.truth
    for column in ("person_id", "item_id"):
        truth = truth.filter(pc.is_in(truth[column], value_set=_known(split.train, column, truth[column])))
    judged = split.train
    if isinstance(judged, ibis.Table):
        judged = judged.semi_join(ibis.memtable(truth.select(["person_id"])), "person_id")
    bought = bought_pairs(judged)
    new = truth.join(bought, keys=["person_id", "item_id"], join_type="left anti")
    return {NEW_ITEMS: (new, bought), ALL_ITEMS: (truth, None)}


def _known(train: pa.Table | ibis.Table, column: str, asked: pa.ChunkedArray) -> pa.Array:
    """Distinct ids in a column of the training rows; of an Ibis table those only that are ``asked`` for."""
    if isinstance(train, ibis.Table):
        wanted = ibis.memtable(pa.table({column: pc.unique(asked)}))
        return train.semi_join(wanted, column).select(column).distinct().to_pyarrow()[column].combine_chunks()
    return pc.unique(train[column])


def _items(train: pa.Table | ibis.Table) -> int:
    """How many items the training rows have."""
    if isinstance(train, ibis.Table):
        return int(train["item_id"].nunique().to_pyarrow().as_py())
    return len(IdMap.from_ids(train["item_id"]))


def _scores(
    model: Recommender, catalogue_size: int, truth: pa.Table, exclude: pa.Table | None, ks: Sequence[int]
) -> Iterator[tuple[str, int, float | None, int]]:
    """(metric, k, mean over people or None, people) of one fitted model on one target."""
    if truth.num_rows == 0:
        yield from ((metric, k, None, 0) for metric in METRICS for k in ks)
        return
    lists = model.recommend(truth["person_id"], max(ks), exclude=exclude)
    judged = judge(lists, truth)
    for k in ks:
        for metric, per_person in PER_PERSON.items():
            yield metric, k, float(per_person(judged, k).mean()), len(judged.people)
        yield COVERAGE, k, coverage(lists, k, catalogue_size), len(judged.people)
