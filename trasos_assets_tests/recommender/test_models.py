"""What every model must do, run over all of them."""

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trasos_assets.recommender.interactions import EventWeights, bought_pairs
from trasos_assets.recommender.models import (
    ALS,
    ALSConfig,
    NotFittedError,
    Popularity,
    PopularityConfig,
    Recommender,
)
from trasos_assets.recommender.models.base import RECOMMENDED
from trasos_assets_tests.recommender.tables import (
    FIRST_DAY,
    Row,
    interactions,
    pairs,
    purchases,
    rows_strategy,
    two_tastes,
)

SMALL_ALS = ALSConfig(factors=4, iterations=3, regularization=1.0)
MODELS: dict[str, Callable[[], Recommender]] = {
    "als": lambda: ALS(SMALL_ALS),
    "popularity": Popularity,
    "popularity_recent": lambda: Popularity(PopularityConfig(window_days=3)),
}
every_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
PEOPLE = [f"p{n}" for n in range(8)] + ["stranger"]


def lists(table: pa.Table) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in table.to_pylist():
        found.setdefault(row["person_id"], []).append(row["item_id"])
        assert row["rank"] == len(found[row["person_id"]])
    return found


@every_model
@settings(deadline=None, max_examples=40)
@given(
    rows=rows_strategy.filter(bool),
    k=st.integers(1, 10),
    allowed=st.none() | st.sets(st.sampled_from([f"i{n}" for n in range(9)])),
    exclude=st.none() | st.sets(st.tuples(st.sampled_from(PEOPLE), st.sampled_from([f"i{n}" for n in range(9)]))),
)
def test_lists_are_ranked_whole_and_hold_nothing_excluded(make, rows: list[Row], k, allowed, exclude) -> None:
    model = make().fit(interactions(rows))
    pairs_out = None if exclude is None else pairs(sorted(exclude))
    table = model.recommend(PEOPLE, k, exclude=pairs_out, allowed_items=allowed)
    assert table.schema == RECOMMENDED
    assert table.equals(table.sort_by([("person_id", "ascending"), ("rank", "ascending")]))
    everything = lists(model.recommend(PEOPLE, 100))
    for person, items in lists(table).items():
        left = [
            item
            for item in everything[person]
            if (allowed is None or item in allowed) and (exclude is None or (person, item) not in exclude)
        ]
        assert len(items) == len(set(items)) == min(k, len(left)) and set(items) <= set(left)
    rows_of = table.to_pylist()
    for above, below in pairwise(rows_of):
        if above["person_id"] == below["person_id"]:
            assert above["score"] >= below["score"]


@every_model
def test_refit_gives_identical_answers_whatever_the_order_of_rows(make) -> None:
    table = two_tastes()
    first = make().fit(table).recommend(table["person_id"], 5)
    assert first.num_rows > 0
    assert make().fit(table.sort_by([("day", "descending")])).recommend(table["person_id"], 5).equals(first)


@every_model
def test_nothing_after_as_of_is_learnt(make) -> None:
    table = two_tastes()
    as_of = FIRST_DAY + timedelta(days=10)
    early = table.filter(pa.array([day <= as_of for day in table["day"].to_pylist()]))
    assert 0 < early.num_rows < table.num_rows
    expected = make().fit(early, as_of=as_of).recommend(table["person_id"], 5)
    assert make().fit(table, as_of=as_of).recommend(table["person_id"], 5).equals(expected)


@every_model
def test_recommending_before_fit_says_so(make) -> None:
    with pytest.raises(NotFittedError, match="before fit"):
        make().recommend(["ann"], 3)


@every_model
def test_no_people_or_no_allowed_items_give_no_rows(make) -> None:
    model = make().fit(two_tastes())
    assert model.recommend([], 3).equals(RECOMMENDED.empty_table())
    assert model.recommend(["p001"], 3, allowed_items=[]).equals(RECOMMENDED.empty_table())
    with pytest.raises(ValueError, match="k must be"):
        model.recommend(["p001"], 0)


def test_als_finds_the_planted_tastes() -> None:
    table = two_tastes()
    model = ALS(ALSConfig(factors=8, regularization=1.0, weights=EventWeights(0, 0, 1))).fit(table)
    found = lists(model.recommend(table["person_id"], 3, exclude=bought_pairs(table)))
    assert len(found) == 60
    right = [int(person[1:]) % 2 == int(item[1:]) % 2 for person, items in found.items() for item in items]
    assert sum(right) / len(right) > 0.95


def test_als_does_not_know_strangers() -> None:
    assert ALS(SMALL_ALS).fit(two_tastes()).recommend(["stranger"], 3).num_rows == 0


def test_als_refit_gives_identical_factors_and_another_seed_does_not() -> None:
    table = two_tastes()
    first = ALS(SMALL_ALS).fit(table).factor_table()
    assert ALS(SMALL_ALS).fit(table.take(list(range(table.num_rows))[::-1])).factor_table().equals(first)
    other = ALSConfig(factors=4, iterations=3, regularization=1.0, seed=7)
    assert not ALS(other).fit(table).factor_table().equals(first)


def test_als_restored_from_its_factors_answers_the_same() -> None:
    table = two_tastes()
    model = ALS(SMALL_ALS).fit(table)
    stored = model.factor_table()
    assert stored.column_names == ["side", "id", "factors"]
    assert stored.equals(stored.sort_by([("side", "ascending"), ("id", "ascending")]))
    shuffled = stored.take(list(range(stored.num_rows))[::-1]).append_column(
        "model_version", pa.repeat(pa.scalar("abc"), stored.num_rows)
    )
    restored = ALS.from_factors(shuffled)
    assert restored.config.factors == 4
    assert restored.factor_table().equals(stored)
    exclude = bought_pairs(table)
    answers = [m.recommend(table["person_id"], 5, exclude=exclude) for m in (model, restored)]
    assert answers[0].equals(answers[1]) and answers[0].num_rows > 0


def factor_rows(*rows: tuple[str, str, list[float]]) -> pa.Table:
    side, ids, vectors = zip(*rows, strict=True)
    return pa.table([side, ids, pa.array(vectors, pa.list_(pa.float32()))], names=["side", "id", "factors"])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("person", "a", [1.0]), ("shop", "b", [1.0])], "side other than"),
        ([("item", "a", [1.0]), ("item", "a", [2.0])], "more than once"),
        ([("item", "a", [1.0]), ("item", "b", [2.0, 1.0])], "different or no lengths"),
        ([("item", "a", [])], "different or no lengths"),
        ([("item", "a", [float("nan")])], "not finite"),
        ([("item", "a", [1.0]), ("person", "b", [2.0, 1.0])], "not one model's"),
    ],
)
def test_broken_factor_tables_are_refused(rows, message) -> None:
    with pytest.raises(ValueError, match=message):
        ALS.from_factors(factor_rows(*rows))


def test_als_without_interactions_says_so() -> None:
    with pytest.raises(ValueError, match="no interaction to fit"):
        ALS(SMALL_ALS).fit(interactions([]))


def test_popularity_counts_buyers_once_and_breaks_ties_by_item() -> None:
    table = purchases(
        [("ann", "b", 0), ("ann", "b", 1), ("ann", "b", 2), ("ann", "c", 0), ("bob", "c", 0), ("bob", "a", 0)]
    )
    rows = Popularity().fit(table).recommend(["new"], 5).to_pylist()
    assert [(row["item_id"], row["score"]) for row in rows] == [("c", 2.0), ("a", 1.0), ("b", 1.0)]


def test_recent_popularity_counts_full_days_up_to_as_of() -> None:
    table = purchases([("ann", "old", 0), ("bob", "old", 0), ("ann", "edge", 7), ("ann", "new", 9)])
    model = Popularity(PopularityConfig(window_days=3))
    assert lists(model.fit(table).recommend(["x"], 5)) == {"x": ["edge", "new"]}
    assert lists(model.fit(table, as_of=FIRST_DAY + timedelta(days=10)).recommend(["x"], 5)) == {"x": ["new"]}
    with pytest.raises(ValueError, match="window_days"):
        PopularityConfig(window_days=0)


@settings(deadline=None, max_examples=25)
@given(rows=rows_strategy, window=st.none() | st.integers(1, 4), bought=st.booleans())
def test_popularity_of_an_ibis_table_is_that_of_the_same_rows_in_arrow(rows, window, bought) -> None:
    table = interactions(rows if bought else [(*row[:3], 1, 0, 0) for row in rows])
    model = Popularity(PopularityConfig(window_days=window))
    expected = model.fit(table).recommend(["x"], 9)
    assert model.fit(ibis.memtable(table)).recommend(["x"], 9).equals(expected)


def test_popularity_falls_back_to_viewers_where_nobody_bought() -> None:
    table = interactions([("ann", "a", 0, 9, 0, 0), ("ann", "b", 0, 1, 0, 0), ("bob", "b", 0, 1, 0, 0)])
    assert lists(Popularity().fit(table).recommend(["x"], 5)) == {"x": ["b", "a"]}
    assert Popularity().fit(interactions([])).recommend(["x"], 5).num_rows == 0
