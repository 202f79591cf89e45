from datetime import timedelta
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from trasos_assets.contracts.models import EVALUATIONS
from trasos_assets.contracts.schema import violations
from trasos_assets.recommender.evaluation import EVALUATIONS_SCHEMA, evaluate
from trasos_assets.recommender.interactions import EventWeights
from trasos_assets.recommender.models import ALS, ALSConfig, Popularity, PopularityConfig
from trasos_assets_tests.recommender.tables import FIRST_DAY, interactions, pairs, purchases, two_tastes

SMALL = ALSConfig(factors=8, regularization=1.0, weights=EventWeights(0, 0, 1))


class Oracle:
    """Recommends one fixed list to everybody, or to whom it is told, and remembers what it was given."""

    def __init__(self, *items: str, knows: str | None = None) -> None:
        self.items, self.knows = items, knows
        self.fitted: list[tuple[pa.Table, object]] = []

    def fit(self, train, *, as_of=None):
        self.fitted.append((train, as_of))
        return self

    def recommend(self, people, k, *, exclude=None, allowed_items=None):
        out = set() if exclude is None else {tuple(row.values()) for row in exclude.to_pylist()}
        found = []
        for person in sorted(set(people.to_pylist())):
            if self.knows is not None and person not in self.knows.split():
                continue
            left = [item for item in self.items if (person, item) not in out][:k]
            found += [(person, rank, item) for rank, item in enumerate(left, 1)]
        table = pairs([(person, item) for person, _, item in found])
        return table.append_column("rank", pa.array([rank for _, rank, _ in found], pa.int32()))


def models() -> dict[str, Any]:
    recent = Popularity(PopularityConfig(window_days=14))
    return {"als": ALS(SMALL), "popularity": Popularity(), "popularity_recent": recent}


def rows(found: pa.Table, **where) -> list[dict]:
    return [row for row in found.to_pylist() if all(row[name] == value for name, value in where.items())]


SHOP = purchases(
    [
        ("ann", "hat", 0),
        ("bob", "tie", 1),
        ("cid", "hat", 1),
        ("cid", "cap", 1),
        ("ann", "hat", 2),  # bought before: counts for all_items only
        ("ann", "tie", 3),  # new to ann
        ("bob", "gem", 3),  # not seen in training: a cold item
        ("eve", "hat", 3),  # not in training: a cold person
        ("eve", "gem", 3),
    ]
)


def test_evaluations_keep_their_contract_and_name_every_model_fold_target_and_k() -> None:
    found = evaluate(two_tastes(), models=models(), test_days=5, folds=2, ks=(3, 5))
    assert found.schema == EVALUATIONS_SCHEMA and tuple(found.column_names) == EVALUATIONS.column_names
    assert violations(EVALUATIONS, ibis.memtable(found)) == []
    seen = {(row["model"], row["fold"], row["target"], row["k"]) for row in found.to_pylist()}
    assert len(seen) == 3 * 2 * 2 * 2
    ends = {row["fold"]: (row["train_through"] - FIRST_DAY).days for row in found.to_pylist()}
    assert ends == {1: 14, 2: 9}


def test_models_are_given_nothing_but_the_days_before_each_window() -> None:
    oracle = Oracle("i001")
    found = evaluate(two_tastes(), models={"oracle": oracle}, test_days=5, folds=2)
    assert [as_of for _, as_of in oracle.fitted] == [FIRST_DAY + timedelta(days=n) for n in (14, 9)]
    for train, as_of in oracle.fitted:
        assert pc.max(train["day"]).as_py() <= as_of
    for row in found.to_pylist():
        assert row["source_through"] <= row["train_through"] < row["truth_from"] <= row["test_through"]


def test_evidence_of_no_leak_is_read_from_the_rows_and_not_from_the_split() -> None:
    quiet = purchases([("ann", "hat", 0), ("bob", "tie", 2), ("ann", "tie", 8), ("bob", "hat", 9)])
    row = evaluate(quiet, models={"oracle": Oracle("tie")}, test_days=5).to_pylist()[0]
    days = [(row[name] - FIRST_DAY).days for name in ("source_through", "train_through", "truth_from", "test_through")]
    assert days == [2, 4, 8, 9]


def test_worked_example_of_segments_and_both_targets() -> None:
    oracle = Oracle("hat", "tie", "gem", knows="ann bob")
    found = evaluate(SHOP, models={"oracle": oracle}, test_days=2, ks=(2, 3))
    assert oracle.fitted[0][0].num_rows == 4

    def told(target: str, k: int) -> dict:
        return {
            (row["segment"], row["person_id"]): (row["relevant"], row["recall"])
            for row in rows(found, target=target, k=k)
        }

    # ann has one item in training as bob has: neither is above the median.
    assert told("new_items", 2) == {
        ("light", "ann"): (1, 1.0),
        ("cold", "eve"): (1, 0.0),
        ("cold_items", "bob"): (1, 1.0),  # hat, gem: tie is excluded, he had it
        ("cold_items", "eve"): (1, 0.0),
    }
    assert told("all_items", 2) == {
        ("light", "ann"): (2, 1.0),
        ("cold", "eve"): (1, 0.0),
        ("cold_items", "bob"): (1, 0.0),  # hat, tie
        ("cold_items", "eve"): (1, 0.0),
    }
    assert told("all_items", 3)["cold_items", "bob"] == (1, 1.0)
    by_k = {(row["target"], row["k"]): row["coverage"] for row in found.to_pylist()}
    # The gem, which nobody had touched before, is no part of what could be covered.
    assert by_k["all_items", 2] == by_k["all_items", 3] == pytest.approx(2 / 3)


def test_heavy_people_are_those_above_the_median_of_items_known() -> None:
    shop = purchases(
        [(p, f"i{n}", 0) for p, items in (("ann", 1), ("bob", 2), ("cid", 5)) for n in range(items)]
        + [(p, "i9", 0) for p in ("zoe",)]
        + [(p, "i9", 1) for p in ("ann", "bob", "cid", "new")]
    )
    found = evaluate(shop, models={"oracle": Oracle("i9")}, test_days=1, ks=(1,))
    parts = {row["person_id"]: row["segment"] for row in found.to_pylist()}
    assert parts == {"ann": "light", "bob": "light", "cid": "heavy", "new": "cold"}


def test_people_without_a_list_count_zero_and_have_no_kind_of_list() -> None:
    table = purchases([("ann", "hat", 0), ("bob", "tie", 0), ("ann", "tie", 1), ("bob", "hat", 1)])
    found = rows(evaluate(table, models={"oracle": Oracle("tie")}, test_days=1, ks=(5,)), target="new_items")
    assert {row["person_id"]: row["hit_rate"] for row in found} == {"ann": 1.0, "bob": 0.0}
    assert {row["person_id"]: row["novelty"] for row in found} == {"ann": 1.0, "bob": None}


def test_diversity_is_by_category_and_null_without_categories() -> None:
    categories = pa.table({"item_id": ["hat", "cap", "tie"], "category": ["hats", "hats", "ties"]})
    lists = {"oracle": Oracle("hat", "cap", "tie")}
    found = evaluate(SHOP, models=lists, test_days=2, ks=(2, 3), categories=categories)
    values = {row["k"]: row["diversity"] for row in rows(found, target="all_items", segment="light")}
    assert values == {2: 0.0, 3: pytest.approx(2 / 3)}
    assert set(evaluate(SHOP, models=lists, test_days=2)["diversity"].to_pylist()) == {None}


def test_an_alias_has_the_rows_of_its_model_without_another_fit() -> None:
    oracle = Oracle("hat", "tie")
    found = evaluate(SHOP, models={"oracle": oracle}, test_days=2, aliases={"champion": "oracle"})
    own, other = (found.filter(pc.field("model") == name).drop(["model"]) for name in ("oracle", "champion"))
    assert own.equals(other) and own.num_rows and len(oracle.fitted) == 1


@pytest.mark.parametrize(("test_days", "folds"), [(5, 1), (28, 1), (3, 2)])
def test_evaluation_of_an_ibis_table_is_that_of_the_same_rows_in_arrow(test_days, folds) -> None:
    table = two_tastes(days=12)
    same = {"popularity": Popularity(), "oracle": Oracle("i001", "i002")}
    costs = ["fit_seconds", "fit_peak_bytes", "serve_seconds"]
    found = [
        evaluate(of, models=same, test_days=test_days, folds=folds, ks=(2, 5)).drop(costs)
        for of in (table, ibis.memtable(table))
    ]
    assert found[0].equals(found[1]) and found[0].num_rows


@pytest.mark.parametrize(
    "table",
    [
        interactions([]),
        purchases([("ann", "hat", 0), ("bob", "tie", 0)]),
        interactions([("ann", "hat", 0, 0, 0, 1), ("ann", "tie", 1, 1, 0, 0)]),
    ],
    ids=["nothing", "one day", "nobody bought in the window"],
)
def test_without_truth_nobody_is_judged_and_nothing_is_fitted(table) -> None:
    oracle = Oracle("hat")
    found = evaluate(table, models={"oracle": oracle}, test_days=7)
    assert found.num_rows == 0 and found.schema == EVALUATIONS_SCHEMA and oracle.fitted == []


def test_if_only_cold_people_bought_they_are_judged() -> None:
    found = evaluate(purchases([("ann", "hat", 0), ("eve", "hat", 1)]), models=models(), test_days=7, ks=(1,))
    assert {(row["segment"], row["person_id"]) for row in found.to_pylist()} == {("cold", "eve")}
    assert {row["model"]: row["recall"] for row in found.to_pylist()} == {
        "als": 0.0,
        "popularity": 1.0,
        "popularity_recent": 1.0,
    }


def test_days_after_through_are_not_looked_at() -> None:
    table = two_tastes()
    through = FIRST_DAY + timedelta(days=15)
    early = table.filter(pa.array([day <= through for day in table["day"].to_pylist()]))
    costs = ["fit_seconds", "fit_peak_bytes", "serve_seconds"]
    found = [
        evaluate(of, models={"popularity": Popularity()}, test_days=4, through=until).drop(costs)
        for of, until in ((early, None), (table, through))
    ]
    assert found[0].equals(found[1]) and found[0].num_rows


def test_costs_are_of_the_fit_and_the_ranking() -> None:
    class Large(Oracle):
        def fit(self, train, *, as_of=None):
            self.held = np.ones(20_000_000)
            return super().fit(train, as_of=as_of)

    row = evaluate(SHOP, models={"large": Large("hat")}, test_days=2).to_pylist()[0]
    assert row["fit_seconds"] > 0 and row["serve_seconds"] > 0 and row["people_served"] == 3
    assert row["fit_peak_bytes"] is None or row["fit_peak_bytes"] > 100_000_000


def test_lengths_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="ks"):
        evaluate(SHOP, models={}, test_days=7, ks=())
