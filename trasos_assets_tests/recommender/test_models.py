"""What is particular to a model; what all have in common is in test_every_model."""

from datetime import timedelta

import ibis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from scipy import sparse

from trasos_assets.recommender.interactions import EventWeights, InteractionMatrix, bought_pairs
from trasos_assets.recommender.models import ALS, ALSConfig, Popularity, PopularityConfig, ranking
from trasos_assets.recommender.models.bpr import BPR, BPRConfig
from trasos_assets.recommender.models.ease import EASE, EASEConfig, TooManyItemsError
from trasos_assets.recommender.models.item_knn import ItemKNN, ItemKNNConfig
from trasos_assets.recommender.models.personal_repeat import PersonalRepeat, PersonalRepeatConfig
from trasos_assets.recommender.models.registry import UnknownModelError, configured, kind_of
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
BOUGHT = EventWeights(0, 0, 1)


def lists(table: pa.Table) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in table.to_pylist():
        found.setdefault(row["person_id"], []).append(row["item_id"])
        assert row["rank"] == len(found[row["person_id"]])
    return found


def share_of_own_taste(table: pa.Table) -> float:
    right = [int(person[1:]) % 2 == int(item[1:]) % 2 for person, items in lists(table).items() for item in items]
    return sum(right) / len(right)


def test_als_finds_the_planted_tastes() -> None:
    table = two_tastes()
    model = ALS(ALSConfig(factors=8, regularization=1.0, weights=EventWeights(0, 0, 1))).fit(table)
    found = model.recommend(table["person_id"], 3, exclude=bought_pairs(table))
    assert len(lists(found)) == 60 and share_of_own_taste(found) > 0.95


def test_als_with_a_half_life_follows_the_newer_taste() -> None:
    """Half of the people changed sides: what they had before must speak less than what they have now."""
    table = two_tastes(people=100, days=10)
    person = table["person_id"].to_pylist()
    changed = [int(p[1:]) % 4 < 2 for p in person]
    later = [day + timedelta(days=60) for day in table["day"].to_pylist()]
    items = zip(table["item_id"].to_pylist(), changed, strict=True)
    other = [f"i{int(item[1:]) ^ 1:03}" if turned else item for item, turned in items]
    new = table.set_column(1, "item_id", pa.array(other)).set_column(2, "day", pa.array(later, pa.date32()))
    both = pa.concat_tables([table, new])
    turned = sorted({p for p, turn in zip(person, changed, strict=True) if turn})

    def share_of_the_newer(half_life: float | None) -> float:
        weights = EventWeights(0, 0, 1, half_life_days=half_life)
        model = ALS(ALSConfig(factors=8, regularization=1.0, weights=weights)).fit(both)
        return 1 - share_of_own_taste(model.recommend(turned, 5))

    assert share_of_the_newer(10) > 0.9 > 0.7 > share_of_the_newer(None)


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


def test_bpr_finds_the_planted_tastes_and_gives_the_same_bits_again() -> None:
    table = two_tastes()
    config = BPRConfig(factors=8, iterations=100, weights=BOUGHT)
    model = BPR(config).fit(table)
    assert share_of_own_taste(model.recommend(table["person_id"], 3, exclude=bought_pairs(table))) > 0.9
    assert BPR(config).fit(table).parts().equals(model.parts())
    assert (
        not BPR(BPRConfig(factors=8, iterations=100, seed=1, weights=BOUGHT)).fit(table).parts().equals(model.parts())
    )


def test_bpr_that_diverges_says_so() -> None:
    with pytest.raises(ValueError, match="lower learning_rate"):
        BPR(BPRConfig(factors=4, learning_rate=1e20, iterations=20)).fit(two_tastes())
    with pytest.raises(ValueError, match="no interaction to fit"):
        BPR().fit(interactions([]))


def every_pair(matrix: InteractionMatrix) -> pa.Table:
    people, items = (ids.external_ids.to_pylist() for ids in (matrix.people, matrix.items))
    return pairs([(person, item) for person in people for item in items])


def dense(matrix: InteractionMatrix) -> np.ndarray:
    return matrix.weights.toarray().astype(np.float64)


@settings(deadline=None, max_examples=30)
@given(rows=rows_strategy.filter(bool), l2=st.sampled_from([0.5, 20.0]))
def test_ease_solves_steck_s_least_squares(rows: list[Row], l2: float) -> None:
    """Independent of the closed form: every column of B is the ridge regression on all other columns."""
    table = interactions(rows)
    matrix = InteractionMatrix.from_table(table)
    x = dense(matrix)
    items = x.shape[1]
    b = np.zeros((items, items))
    for item in range(items):
        others = np.delete(np.arange(items), item)
        part = x[:, others]
        b[others, item] = np.linalg.solve(part.T @ part + l2 * np.eye(items - 1), part.T @ x[:, item])
    scores = x @ b
    model = EASE(EASEConfig(l2=l2)).fit(table)
    np.testing.assert_allclose(model.score_pairs(every_pair(matrix)), scores.ravel(), rtol=1e-4, atol=1e-5)


def test_ease_refuses_more_items_than_it_may_invert_and_says_what_it_would_cost() -> None:
    with pytest.raises(TooManyItemsError, match=r"24 x 24 items .* max_items is 23"):
        EASE(EASEConfig(max_items=23)).fit(two_tastes())
    assert EASE(EASEConfig(max_items=24)).fit(two_tastes()).recommend(["p001"], 3).num_rows == 3


def test_ease_finds_the_planted_tastes() -> None:
    table = two_tastes()
    model = EASE(EASEConfig(l2=5.0)).fit(table)
    assert share_of_own_taste(model.recommend(table["person_id"], 3, exclude=bought_pairs(table))) > 0.95


@settings(deadline=None, max_examples=40)
@given(
    rows=rows_strategy.filter(bool),
    weighting=st.sampled_from(["cosine", "bm25"]),
    block=st.sampled_from([1, 20, 10**6]),
)
def test_neighbourhoods_are_the_inner_products_of_the_textbook_however_they_are_cut_into_blocks(
    rows: list[Row], weighting, block
) -> None:
    table = interactions(rows)
    matrix = InteractionMatrix.from_table(table)
    x = dense(matrix)
    if weighting == "cosine":
        weighted = x / np.linalg.norm(x, axis=0)
    else:
        idf = np.maximum(0, np.log(x.shape[1]) - np.log1p((x > 0).sum(axis=1)))
        length = 0.25 + 0.75 * x.sum(axis=0) / x.sum(axis=0).mean()
        weighted = x * 2.2 / (1.2 * length + x) * idf[:, None]
    nearness = weighted.T @ weighted
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ranking, "BLOCK_CELLS", block)
        model = ItemKNN(ItemKNNConfig(weighting=weighting)).fit(table)
        np.testing.assert_allclose(model.score_pairs(every_pair(matrix)), (x @ nearness).ravel(), rtol=1e-4, atol=1e-5)
        found = model.recommend(matrix.people.external_ids, 9)
    assert found.num_rows == np.count_nonzero(model.score_pairs(every_pair(matrix)) > 0)


@pytest.mark.filterwarnings("ignore:Method expects CSR")
def test_bm25_neighbourhoods_are_those_of_implicit() -> None:
    from implicit.nearest_neighbours import BM25Recommender

    matrix = InteractionMatrix.from_table(two_tastes(people=300, items=60))
    theirs = BM25Recommender(K=200)
    theirs.fit(matrix.weights, show_progress=False)
    ours = ItemKNN(ItemKNNConfig(neighbours=200)).fit(matrix)
    asked = pairs([("p000", item) for item in matrix.items.external_ids.to_pylist()])
    expected = (matrix.weights[0] @ theirs.similarity).toarray().ravel()
    np.testing.assert_allclose(ours.score_pairs(asked), expected, rtol=1e-4, atol=1e-5)
    assert np.count_nonzero(expected) > 20


def test_an_item_keeps_its_nearest_neighbours_and_of_equals_the_smaller_id() -> None:
    rows = [(f"p{n}", "a", 0) for n in range(4)] + [("p0", "b", 0), ("p1", "b", 0), ("p2", "c", 0), ("p3", "d", 0)]
    model = ItemKNN(ItemKNNConfig(neighbours=3, weighting="cosine")).fit(purchases(rows))
    near = [(row["similar_item_id"], round(row["score"], 6)) for row in model.similar(["a"], 9).to_pylist()]
    assert near == [("b", round(2 / np.sqrt(8), 6)), ("c", 0.5)]


@pytest.mark.parametrize("values", [{"neighbours": 0}, {"weighting": "tfidf"}, {"k1": -1.0}, {"b": 2.0}])
def test_senseless_neighbourhoods_are_refused(values) -> None:
    with pytest.raises(ValueError, match="must be"):
        ItemKNNConfig(**values)


def test_repeats_fade_by_half_in_a_half_life_and_a_day_counts_once() -> None:
    table = interactions(
        [
            ("ann", "bread", 0, 0, 0, 1),
            ("ann", "bread", 10, 0, 0, 1),
            ("ann", "salt", 10, 0, 0, 5),
            ("ann", "seen", 20, 9, 1, 0),
            ("bob", "salt", 20, 0, 0, 1),
        ]
    )
    model = PersonalRepeat(PersonalRepeatConfig(half_life_days=10)).fit(table)
    rows = model.recommend(["ann", "eve"], 5).to_pylist()
    assert [(row["item_id"], row["score"]) for row in rows] == [("bread", 0.75), ("salt", 0.5)]
    later = model.fit(table, as_of=FIRST_DAY + timedelta(days=30)).recommend(["bob"], 5).to_pylist()
    assert [row["score"] for row in later] == [0.5]
    for_ever = PersonalRepeat(PersonalRepeatConfig(half_life_days=None)).fit(table).recommend(["ann"], 5).to_pylist()
    assert [row["score"] for row in for_ever] == [2.0, 1.0]
    assert model.recommend(["ann", "bob"], 5, exclude=bought_pairs(table)).num_rows == 0


def test_items_with_the_same_buyers_are_similar_by_their_number() -> None:
    rows = [("ann", "a", 0), ("bob", "a", 1), ("ann", "b", 2), ("bob", "b", 0), ("ann", "c", 0), ("eve", "d", 0)]
    found = PersonalRepeat().fit(purchases(rows)).similar(["a", "d"], 5).to_pylist()
    expected = [("a", "b", 2.0), ("a", "c", 1.0)]
    assert [(row["item_id"], row["similar_item_id"], row["score"]) for row in found] == expected


def test_unknown_models_and_parameters_are_named() -> None:
    with pytest.raises(UnknownModelError, match=r"no model 'svd'; known are .*als"):
        kind_of("svd")
    with pytest.raises(ValueError, match=r"als has no parameters \['depth'\]"):
        configured("als", {"depth": 3})
    with pytest.raises(ValueError, match=r"als.weights has no parameters \['click'\]"):
        configured("als", {"weights": {"click": 1}})
    found = configured("als", {"factors": 9, "weights": {"half_life_days": 30.0}})
    assert found == ALSConfig(factors=9, weights=EventWeights(half_life_days=30.0))


scores_strategy = st_numpy.arrays(
    np.float32,
    st.tuples(st.integers(1, 6), st.integers(1, 9)),
    elements=st.sampled_from([-2.0, -0.0, 0.0, 0.5, 1.0, 7.25]),
)


def by_hand(scores: np.ndarray, k: int, least: float) -> list[tuple[int, int, float]]:
    return [
        (row, column, float(scores[row, column]))
        for row in range(len(scores))
        for column in sorted(range(scores.shape[1]), key=lambda c: (-scores[row, c], c))[:k]
        if scores[row, column] > least
    ]


@settings(deadline=None)
@given(scores=scores_strategy, k=st.integers(1, 10), bits=st.sampled_from([32, 0]))
def test_the_best_cells_are_those_of_a_sort_with_ties_to_the_left(scores: np.ndarray, k: int, bits: int) -> None:
    """``bits``: what rows and columns may take beside a score before they are sorted by another path."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ranking, "_PLACE_BITS", bits)
        found = ranking.best_of_sparse(sparse.csr_matrix(scores), k)
    assert list(zip(*(part.tolist() for part in found), strict=True)) == by_hand(scores, k, 0.0)
    out = np.where(scores < 0, np.float32(-np.inf), scores)
    found = ranking.best_of_dense(out, k)
    assert list(zip(*(part.tolist() for part in found), strict=True)) == by_hand(out, k, -np.inf)
    found = ranking.best_of_dense(scores, k)
    assert list(zip(*(part.tolist() for part in found), strict=True)) == by_hand(scores, k, -np.inf)


def factor_rows(*rows: tuple[str, str, list[float]]) -> pa.Table:
    side, ids, vectors = zip(*rows, strict=True)
    return pa.table([side, ids, pa.array(vectors, pa.list_(pa.float32()))], names=["side", "id", "factors"])


def test_similar_items_are_those_of_the_highest_cosine_and_a_vector_of_zeros_is_near_nothing() -> None:
    vectors = {"a": [2.0, 0.0], "b": [9.0, 9.0], "c": [0.5, 0.0], "d": [0.0, 0.0], "e": [-1.0, 0.0]}
    rows = factor_rows(*(("item", item, vector) for item, vector in vectors.items()), ("person", "p", [1.0, 1.0]))
    found = ALS.from_factors(rows).similar(["a", "d"], 9).to_pylist()
    assert [(row["item_id"], row["rank"], row["similar_item_id"]) for row in found] == [
        ("a", 1, "c"),
        ("a", 2, "b"),
        ("a", 3, "e"),
    ]
    assert [row["score"] for row in found] == pytest.approx([1.0, np.sqrt(0.5), -1.0])


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
