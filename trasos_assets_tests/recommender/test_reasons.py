import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from trasos_assets.recommender.ids import IdMap
from trasos_assets.recommender.models import ALS, ALSConfig
from trasos_assets.recommender.models.base import SIMILAR
from trasos_assets.recommender.reasons import MOST_RECENT, Neighbourhood, SharedWeight, nearness_of, strongest
from trasos_assets_tests.recommender.tables import two_tastes


class Table:
    """A nearness that is a matrix."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def between(self, theirs: np.ndarray, shown: np.ndarray) -> np.ndarray:
        return self.values[theirs, shown]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 7))
def test_the_strongest_is_that_of_a_loop_over_all_of_a_persons_items(seed: int, people: int, items: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 3, (people, items)).astype(np.float32)
    values = rng.integers(-2, 4, (items, items)).astype(np.float32)
    person, item = rng.integers(0, people, 12), rng.integers(0, items, 12)
    matrix = sparse.csr_matrix(weights)
    found = strongest(Table(values), matrix, matrix.astype(np.int64), person, item)
    for p, i, theirs in zip(person, item, found, strict=True):
        added = {j: weights[p, j] * values[j, i] for j in range(items) if weights[p, j] > 0 and j != i}
        best = max(added.values(), default=0)
        assert theirs == (min(j for j, value in added.items() if value == best) if best > 0 else -1)


def test_of_a_long_history_the_latest_items_are_looked_at() -> None:
    items = MOST_RECENT + 50
    weights = sparse.csr_matrix(np.ones((1, items), np.float32))
    days = sparse.csr_matrix(np.arange(1, items + 1)[None, :])
    values = np.zeros((items, items), np.float32)
    values[:, 0] = np.arange(items, 0, -1)
    # Item 1 would add most of all, but is among the oldest; the oldest that is looked at is item 50.
    assert strongest(Table(values), weights, days, np.array([0]), np.array([0])).tolist() == [50]


def test_what_a_persons_items_add_is_the_score_of_als_but_for_the_persons_own_weight() -> None:
    """With W_u in place of W the sum over the person's items is the score: Hu, Koren and Volinsky, section 5."""
    rng = np.random.default_rng(3)
    items = IdMap.from_ids([f"i{n:02}" for n in range(12)])
    vectors = rng.normal(size=(12, 4)).astype(np.float32)
    shared = SharedWeight.of(items, vectors, 2.0, items)
    pairs = np.array([(a, b) for a in range(12) for b in range(12)])
    found = shared.between(pairs[:, 0], pairs[:, 1]).reshape(12, 12)
    inverse = np.linalg.inv(vectors.T.astype(float) @ vectors + 2.0 * np.eye(4))
    assert np.allclose(found, vectors @ inverse @ vectors.T, atol=1e-5)
    # A person with confidence 1 everywhere has W_u = W: then it is the score, to the last digit that counts.
    confidence = np.ones(12)
    person = inverse @ (vectors.T @ confidence)
    assert np.allclose((confidence[:, None] * found).sum(axis=0), vectors @ person, atol=1e-4)


def test_items_that_the_model_does_not_know_speak_for_nothing() -> None:
    known = IdMap.from_ids(["a", "b", "c"])
    shared = SharedWeight.of(IdMap.from_ids(["a", "c"]), np.array([[1.0], [2.0]], np.float32), 1.0, known)
    assert shared.between(np.array([1, 0]), np.array([0, 1])).tolist() == [0, 0]
    similar = pa.table(
        {"item_id": ["a", "x"], "rank": [1, 1], "similar_item_id": ["c", "a"], "score": [0.5, 1.0]}
    ).cast(SIMILAR)
    near = Neighbourhood.of(similar, known)
    assert near.between(np.array([0, 2, 0]), np.array([2, 0, 1])).tolist() == [0.5, 0, 0]
    assert Neighbourhood.of(SIMILAR.empty_table(), known).between(np.array([0]), np.array([1])).tolist() == [0]


def test_als_is_explained_by_its_own_scores_and_others_by_what_they_call_similar() -> None:
    table = two_tastes()
    known = IdMap.from_ids(table["item_id"])
    als = ALS(ALSConfig(factors=4, iterations=3)).fit(table)
    assert isinstance(nearness_of(als, known, known.external_ids), SharedWeight)

    class Other:
        config = None

        def similar(self, items, k, *, allowed_items=None):
            return als.similar(items, k, allowed_items=allowed_items)

    assert isinstance(nearness_of(Other(), known, known.external_ids), Neighbourhood)
