"""The metrics against another library's, which knows nothing of lists: it is given scores of all items."""

import numpy as np
import pyarrow as pa
import pytest

from trasos_assets.recommender.metrics import average_precision, judge, ndcg, recall
from trasos_assets_tests.recommender.tables import pairs

sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle")

ITEMS = 30


def made(seed: int, people: int = 20) -> tuple[np.ndarray, np.ndarray, pa.Table, pa.Table]:
    """Scores without ties and binary relevance (people x items), and the same as lists of all items and truth."""
    rng = np.random.default_rng(seed)
    scores = rng.permuted(np.tile(np.arange(ITEMS, dtype=float), (people, 1)), axis=1)
    relevant = rng.random((people, ITEMS)) < rng.uniform(0.05, 0.7, size=(people, 1))
    relevant[np.arange(people), rng.integers(0, ITEMS, people)] = True
    order = np.argsort(-scores, axis=1)
    lists = pairs([(f"p{p:03}", f"i{i:02}") for p in range(people) for i in order[p]])
    lists = lists.append_column("rank", pa.array(np.tile(np.arange(1, ITEMS + 1), people), pa.int32()))
    truth = pairs([(f"p{p:03}", f"i{i:02}") for p, i in np.argwhere(relevant)])
    return scores, relevant, lists, truth


@pytest.mark.parametrize("k", [1, 5, 10, ITEMS])
@pytest.mark.parametrize("seed", range(3))
def test_ndcg_is_that_of_scikit_learn(seed, k) -> None:
    scores, relevant, lists, truth = made(seed)
    expected = [sklearn.ndcg_score(relevant[[p]], scores[[p]], k=k) for p in range(len(scores))]
    np.testing.assert_allclose(ndcg(judge(lists, truth), k), expected, rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_of_whole_rankings_is_that_of_scikit_learn(seed) -> None:
    scores, relevant, lists, truth = made(seed)
    expected = [sklearn.average_precision_score(relevant[p], scores[p]) for p in range(len(scores))]
    np.testing.assert_allclose(average_precision(judge(lists, truth), ITEMS), expected, rtol=1e-12)


@pytest.mark.parametrize("k", [1, 5, 10, ITEMS])
@pytest.mark.parametrize("seed", range(3))
def test_recall_where_all_fits_into_the_list_is_that_of_scikit_learn(seed, k) -> None:
    scores, relevant, lists, truth = made(seed)
    listed = scores >= ITEMS - k
    expected = np.array([sklearn.recall_score(relevant[p], listed[p]) for p in range(len(scores))])
    fits = relevant.sum(axis=1) <= k
    np.testing.assert_allclose(recall(judge(lists, truth), k)[fits], expected[fits], rtol=1e-12)
