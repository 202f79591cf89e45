"""The metrics against another library's, which knows nothing of lists: it is given scores of all items.

scikit-learn is in an environment of its own: beside XGBoost it would be loaded with it, at three seconds a process.
"""

import json
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from trasos_assets.recommender.metrics import average_precision, judge, ndcg, recall
from trasos_assets_tests.recommender.tables import pairs

ORACLE = Path(__file__).parents[2] / ".venv-oracle" / "bin" / "python"
pytestmark = pytest.mark.skipif(not ORACLE.exists(), reason="scikit-learn is the oracle: make setup-oracle")

ITEMS = 30
SEEDS = range(3)
KS = (1, 5, 10, ITEMS)
ASK = """
import json, sys
import numpy as np
from sklearn.metrics import average_precision_score, ndcg_score, recall_score
given, said = json.load(sys.stdin), []
for case in given["cases"]:
    scores, relevant = np.array(case["scores"]), np.array(case["relevant"])
    people = range(len(scores))
    said.append({
        "ndcg": {k: [ndcg_score(relevant[[p]], scores[[p]], k=k) for p in people] for k in given["ks"]},
        "average_precision": [average_precision_score(relevant[p], scores[p]) for p in people],
        "recall": {k: [recall_score(relevant[p], scores[p] >= given["items"] - k) for p in people]
                   for k in given["ks"]},
    })
json.dump(said, sys.stdout)
"""


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


@pytest.fixture(scope="module")
def oracle() -> list[dict]:
    """What scikit-learn says of every case."""
    cases = [
        dict(zip(("scores", "relevant"), (each.tolist() for each in made(seed)[:2]), strict=True)) for seed in SEEDS
    ]
    asked = json.dumps({"cases": cases, "ks": KS, "items": ITEMS})
    answer = subprocess.run([ORACLE, "-c", ASK], input=asked, capture_output=True, text=True, check=True, timeout=120)
    return json.loads(answer.stdout)


@pytest.mark.parametrize("k", KS)
@pytest.mark.parametrize("seed", SEEDS)
def test_ndcg_is_that_of_scikit_learn(seed, k, oracle) -> None:
    _, _, lists, truth = made(seed)
    np.testing.assert_allclose(ndcg(judge(lists, truth), k), oracle[seed]["ndcg"][str(k)], rtol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_average_precision_of_whole_rankings_is_that_of_scikit_learn(seed, oracle) -> None:
    _, _, lists, truth = made(seed)
    ours = average_precision(judge(lists, truth), ITEMS)
    np.testing.assert_allclose(ours, oracle[seed]["average_precision"], rtol=1e-12)


@pytest.mark.parametrize("k", KS)
@pytest.mark.parametrize("seed", SEEDS)
def test_recall_where_all_fits_into_the_list_is_that_of_scikit_learn(seed, k, oracle) -> None:
    _, relevant, lists, truth = made(seed)
    expected = np.array(oracle[seed]["recall"][str(k)])
    fits = relevant.sum(axis=1) <= k
    np.testing.assert_allclose(recall(judge(lists, truth), k)[fits], expected[fits], rtol=1e-12)
