"""What ALS on Spark answers besides lists, and how it weighs interactions, beside the model in this process."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from trasos_assets.recommender.interactions import EventWeights, InteractionMatrix, Repeats
from trasos_assets.recommender.models import ALS, ALSConfig
from trasos_assets.recommender.models.base import PARTS
from trasos_assets.recommender.models.spark_als import SparkALS, weighted_pairs
from trasos_assets_tests.recommender.tables import FIRST_DAY, interactions, pairs, two_tastes
from trasos_assets_tests.spark_session import spark_session

pytestmark = pytest.mark.slow

SMALL = ALSConfig(factors=4, iterations=2, regularization=1.0)


@pytest.fixture(scope="module")
def spark() -> Any:
    return spark_session()


@pytest.mark.parametrize("repeats", ["once", "count"])
@pytest.mark.parametrize("half_life", [None, 3.0, 0.01])
@pytest.mark.parametrize("after", [None, 7])
def test_pairs_weigh_in_spark_what_they_weigh_here(spark, repeats: Repeats, half_life, after) -> None:
    rng = np.random.default_rng(5)
    cells = {(int(p), int(i), int(d)) for p, i, d in rng.integers(0, (9, 7, 10), (150, 3))}
    table = interactions((f"p{p}", f"i{i}", d, (p + d) % 3, (i + d) % 2, int(p == i)) for p, i, d in sorted(cells))
    weights = EventWeights(0.25, 0.5, 1.0, repeats, half_life)
    as_of = None if after is None else FIRST_DAY + timedelta(days=after)
    frame = spark.createDataFrame(table)
    if as_of is not None:
        frame = frame.where(frame["day"] <= as_of)
    found = {
        (row["person_id"], row["item_id"]): row["weight"]
        for row in weighted_pairs(frame, weights, as_of=as_of).collect()
    }
    matrix = InteractionMatrix.from_table(table, weights, as_of=as_of)
    here = matrix.weights.tocoo()
    names = zip(matrix.people.to_ids(here.row).to_pylist(), matrix.items.to_ids(here.col).to_pylist(), strict=True)
    assert found == pytest.approx(dict(zip(names, here.data.tolist(), strict=True)), rel=1e-6)
    assert len(found) > 30


def test_a_model_of_spark_is_stored_restored_and_asked_as_one_of_this_process(spark) -> None:
    table = two_tastes()
    there = SparkALS(SMALL).fit(table)
    stored = there.parts()
    assert stored.schema == PARTS and stored.equals(stored.sort_by([("side", "ascending"), ("id", "ascending")]))
    here = ALS().restore(stored, table)
    again = SparkALS().restore(stored, table)
    assert here.parts().equals(stored) and again.parts().equals(stored)
    assert again.config.factors == here.config.factors == 4
    asked = pairs([("p001", "i003"), ("zoe", "i003"), ("p002", "no such item"), ("p001", "i003"), ("p000", "i000")])
    for model in (there, again):
        assert model.similar(["i003", "no such item"], 5).equals(here.similar(["i003"], 5))
        np.testing.assert_array_equal(model.score_pairs(asked), here.score_pairs(asked))
    assert here.similar(["i003"], 5).num_rows == 5
    assert np.isnan(here.score_pairs(asked)).tolist() == [False, True, True, False, False]
    assert isinstance(again.similar([], 3), pa.Table)
