import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from trasos_assets.contracts.models import LEADERBOARD, MODEL_COMPARISONS, MODEL_COSTS, SEGMENTS
from trasos_assets.contracts.schema import violations
from trasos_assets.recommender.evaluation import EVALUATIONS_SCHEMA, evaluate
from trasos_assets.recommender.significance import compare
from trasos_assets.recommender.standings import comparisons, costs, leaderboard
from trasos_assets_tests.recommender.tables import two_tastes
from trasos_assets_tests.recommender.test_evaluation import SHOP, Oracle, models

BASELINES = ("popularity", "popularity_recent")


@pytest.fixture(scope="module")
def found() -> pa.Table:
    return evaluate(two_tastes(people=120), models=models(), test_days=5, folds=2, aliases={"champion": "als"})


def one(table: pa.Table, **where) -> dict:
    rows = [row for row in table.to_pylist() if all(row[name] == value for name, value in where.items())]
    assert len(rows) == 1, (where, len(rows))
    return rows[0]


NDCG = {"target": "new_items", "metric": "ndcg", "k": 10, "segment": "all"}


def test_all_three_keep_their_contracts(found) -> None:
    board = leaderboard(found, resamples=50)
    pairs = comparisons(found, baselines=BASELINES, resamples=50)
    for contract, table in ((LEADERBOARD, board), (MODEL_COMPARISONS, pairs), (MODEL_COSTS, costs(found))):
        assert tuple(table.column_names) == contract.column_names and table.num_rows
        assert violations(contract, ibis.memtable(table)) == []
    # 5 segments of people with 8 metrics, one of items with 5, and 2 of all lists; of 3 folds with the mean.
    assert board.num_rows == 4 * 3 * 2 * 2 * (5 * 8 + 5 + 2)
    # Every model against both baselines and the champion, itself left out.
    assert pairs.num_rows == (4 * 3 - 3) * 3 * 2 * 2 * 6 * 5
    assert set(board["segment"].to_pylist()) == set(pairs["segment"].to_pylist()) == set(SEGMENTS)


def test_a_fold_is_the_mean_over_people_and_the_mean_fold_the_mean_over_folds(found) -> None:
    board = leaderboard(found, resamples=50)
    own = found.filter((pc.field("model") == "als") & (pc.field("target") == "new_items") & (pc.field("k") == 10))
    folds = []
    for fold in (1, 2):
        values = own.filter((pc.field("fold") == fold) & (pc.field("segment") != "cold_items"))["ndcg"]
        row = one(board, model="als", fold=str(fold), **NDCG)
        assert row["value"] == pytest.approx(pc.mean(values).as_py(), abs=1e-8) and row["people"] == len(values)
        assert row["low"] < row["value"] < row["high"]
        folds.append(row["value"])
    mean = one(board, model="als", fold="mean", **NDCG)
    assert mean["value"] == pytest.approx(np.mean(folds), abs=1e-8)
    assert mean["people"] == len(set(own["person_id"].to_pylist()))


def test_segments_split_people_and_truth_without_a_rest() -> None:
    oracle = {"oracle": Oracle("hat", "tie", "gem", knows="ann bob")}
    board = leaderboard(evaluate(SHOP, models=oracle, test_days=2, ks=(2,)), resamples=20)
    recall = {
        row["segment"]: (row["value"], row["people"], row["truth_share"])
        for row in board.to_pylist()
        if (row["fold"], row["target"], row["metric"]) == ("1", "all_items", "recall")
    }
    assert recall == {
        "all": (0.5, 2, 0.6),
        "warm": (1.0, 1, 0.4),
        "cold": (0.0, 1, 0.2),
        "heavy": (None, 0, 0.0),
        "light": (1.0, 1, 0.4),
        "cold_items": (0.0, 2, 0.4),
    }


def test_planted_tastes_beat_popularity_clearly_and_popularity_does_not_beat_itself(found) -> None:
    pairs = comparisons(found, baselines=BASELINES, resamples=500)
    better = one(pairs, model="als", against="popularity_recent", fold="mean", **NDCG)
    assert better["difference"] > 0.05 and better["low"] > 0 and better["p_holm"] < 0.05
    worse = one(pairs, model="popularity_recent", against="champion", fold="mean", **NDCG)
    assert worse["high"] < 0 and worse["difference"] == pytest.approx(-better["difference"], abs=1e-8)
    same = one(pairs, model="als", against="champion", fold="mean", **NDCG)
    assert (same["difference"], same["p"], same["p_holm"]) == (0.0, 1.0, 1.0)


def test_comparisons_are_those_of_two_models_alone(found) -> None:
    row = one(comparisons(found, baselines=BASELINES), model="als", against="popularity", fold="mean", **NDCG)
    chosen = found.filter((pc.field("target") == "new_items") & (pc.field("k") == 10))
    people = sorted(set(chosen["person_id"].to_pylist()))
    values = {name: np.full((len(people), 2), np.nan) for name in ("als", "popularity")}
    for each in chosen.to_pylist():
        if each["model"] in values:
            values[each["model"]][people.index(each["person_id"]), each["fold"] - 1] = each["ndcg"]
    alone = compare(values["als"], values["popularity"])
    assert (row["difference"], row["low"], row["high"]) == pytest.approx(
        (alone.difference, alone.low, alone.high), abs=1e-8
    )
    assert row["p"] == pytest.approx(alone.p, abs=1e-8) and row["people"] == alone.people


def test_holm_counts_every_pair_once(found) -> None:
    """als, champion, popularity and popularity_recent have six pairs, though more directions are rows."""
    pairs = comparisons(found, baselines=BASELINES, resamples=500)
    family = [
        row
        for row in pairs.to_pylist()
        if row["fold"] == "mean" and all(row[name] == value for name, value in NDCG.items())
    ]
    by_pair = {frozenset((row["model"], row["against"])): (row["p"], row["p_holm"]) for row in family}
    assert len(family) == 9 and len(by_pair) == 6
    assert {(row["p"], row["p_holm"]) for row in family} == set(by_pair.values())
    least = min(p for p, _ in by_pair.values())
    assert min(adjusted for _, adjusted in by_pair.values()) == pytest.approx(min(1, 6 * least))


def test_the_order_of_rows_and_a_second_run_change_no_digit(found) -> None:
    shuffled = found.take(np.random.default_rng(1).permutation(found.num_rows))
    assert leaderboard(shuffled, resamples=50).equals(leaderboard(found, resamples=50))
    again = [comparisons(table, baselines=BASELINES, resamples=50) for table in (found, shuffled)]
    assert again[0].equals(again[1])


def test_without_a_champion_nothing_is_compared_with_it(found) -> None:
    alone = found.filter(pc.field("model") != "champion")
    assert set(comparisons(alone, baselines=BASELINES, resamples=20)["against"].to_pylist()) == set(BASELINES)


def test_nobody_judged_is_no_row_anywhere() -> None:
    empty = EVALUATIONS_SCHEMA.empty_table()
    assert leaderboard(empty).num_rows == comparisons(empty, baselines=BASELINES).num_rows == costs(empty).num_rows == 0


def test_costs_are_by_model_and_fold_and_by_people_served(found) -> None:
    table = costs(found)
    assert table.num_rows == 4 * 2
    row = one(table, model="als", fold=1)
    own = found.filter((pc.field("model") == "als") & (pc.field("fold") == 1))
    serving = {each["target"]: (each["serve_seconds"], each["people_served"]) for each in own.to_pylist()}
    seconds, people = (sum(part) for part in zip(*serving.values(), strict=True))
    assert row["people_served"] == people
    assert row["serve_seconds_per_1000"] == pytest.approx(1_000 * seconds / people)
    assert '"factors": 8' in row["parameters"]
