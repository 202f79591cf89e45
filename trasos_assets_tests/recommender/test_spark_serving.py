"""Spark's workers make the lists that one process makes of the same vectors, reasons and rules included."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import ibis
import pyarrow as pa
import pytest

from trasos_assets.recommender.engines import model_engine
from trasos_assets.recommender.models import ALS, ALSConfig, Popularity, PopularityConfig
from trasos_assets.recommender.models.base import PARTS
from trasos_assets.recommender.models.spark_frames import table_of
from trasos_assets.recommender.rules import Rules
from trasos_assets.recommender.serving import Champion
from trasos_assets.recommender.shelf import Shelf
from trasos_assets_tests.recommender.tables import interactions, purchases, two_tastes
from trasos_assets_tests.spark_session import spark_backend, spark_session

pytestmark = pytest.mark.slow
CONFIG = ALSConfig(factors=4, iterations=4, regularization=1.0)
RULES = {"at_most": {"brand": 3}, "pinned": {2: ["i001", "i003"]}, "exclude": {"items": ["i005"]}}
ORDER = [("person_id", "ascending"), ("rank", "ascending")]


@pytest.fixture(scope="module")
def in_spark() -> Callable[[pa.Table], ibis.Table]:
    session, backend = spark_session(), spark_backend()
    return lambda table: table_of(session.createDataFrame(table), backend)


@pytest.fixture
def in_duckdb() -> Callable[[pa.Table], ibis.Table]:
    backend = ibis.duckdb.connect(threads=1)
    made: list[ibis.Table] = []

    def hold(table: pa.Table) -> ibis.Table:
        made.append(backend.create_table(f"t{len(made)}", table))
        return made[-1]

    return hold


def shop() -> tuple[pa.Table, pa.Table, pa.Table]:
    """What people did, the items, and the people: known to the model, strangers, and one who has bought everything."""
    table = two_tastes()
    items = sorted(set(table["item_id"].to_pylist()))
    later = interactions([("looked", items[3], 19, 1, 0, 0), ("p001", items[2], 19, 2, 1, 0)])
    train = pa.concat_tables([table, later, purchases([("x", item, 5) for item in items])])
    known = {
        "item_id": items,
        "category": pa.array([f"c{n % 4}" for n in range(len(items))]),
        "brand": pa.array([f"b{n % 5}" for n in range(len(items))]),
        "stock": pa.array([None] * len(items), pa.int32()),
        "for_sale": pa.array([n != 7 for n in range(len(items))]),
    }
    people = pa.table({"person_id": [*sorted(set(table["person_id"].to_pylist())), "looked", "x", "stranger"]})
    return train, pa.table(known), people


def shelf(train: Any, items: pa.Table, rules: Rules) -> Shelf:
    return Shelf.of(items, rules, Popularity(PopularityConfig(window_days=14)).fit(train), Popularity().fit(train))


@pytest.mark.parametrize("rules", [{}, RULES], ids=["plain", "rules"])
@pytest.mark.parametrize("fitted", [True, False])
def test_everyone_is_served_as_in_one_process(in_spark, in_duckdb, rules: dict, fitted: bool) -> None:
    train, items, people = shop()
    model = ALS(CONFIG).fit(two_tastes())
    champion = Champion("als", asdict(CONFIG), "v") if fitted else None
    parts = model.parts() if fitted else PARTS.empty_table()
    made = []
    for hold in (in_duckdb, in_spark):
        rows = hold(train)
        on_shelf = shelf(rows, items, Rules.model_validate(rules))
        engine = model_engine(rows)
        lists = engine.recommend_for_everyone(champion, hold(parts), rows, on_shelf, hold(people), 6)
        similar = engine.similar(champion, hold(parts), rows, on_shelf, 3).to_pyarrow()
        made.append((lists.to_pyarrow().sort_by(ORDER), similar))
    (ours, ours_similar), (theirs, theirs_similar) = made
    for name in ("person_id", "rank", "item_id", "source", "reason", "because_item_id"):
        assert theirs[name].to_pylist() == ours[name].to_pylist(), name
    scores = [[round(score or 0, 4) for score in table["score"].to_pylist()] for table in (ours, theirs)]
    assert scores[0] == scores[1]
    pairs = ["item_id", "similar_item_id"]
    assert theirs_similar.select(pairs).equals(ours_similar.select(pairs))
    assert ours_similar.num_rows == (len(items) - 1 - bool(rules)) * 3 * fitted
    assert "x" not in ours["person_id"].to_pylist() and {"looked", "stranger"} <= set(ours["person_id"].to_pylist())


def test_a_champion_that_spark_cannot_serve_is_named_with_the_way_out(in_spark) -> None:
    train, items, people = shop()
    rows = in_spark(train)
    asked = (Champion("ease", {}, "v"), in_spark(ALS(CONFIG).fit(train).parts()), rows, shelf(rows, items, Rules()))
    with pytest.raises(ValueError, match=r"the champion is ease, which Spark cannot serve; .*TRASOS_CANDIDATE=als"):
        model_engine(rows).recommend_for_everyone(*asked, in_spark(people), 3)
