from datetime import timedelta

import ibis
import pyarrow as pa
import pytest

from trasos_assets.contracts.schema import violations
from trasos_assets.contracts.science import LEADERBOARD
from trasos_assets.recommender.evaluation import LEADERBOARD_SCHEMA, default_models, leaderboard
from trasos_assets.recommender.interactions import EventWeights
from trasos_assets.recommender.models import ALSConfig, Popularity
from trasos_assets_tests.recommender.tables import FIRST_DAY, interactions, pairs, purchases, two_tastes

ALS = ALSConfig(factors=8, regularization=1.0, weights=EventWeights(0, 0, 1))


class Oracle:
    """Recommends one fixed list to everybody and remembers what it was given."""

    def __init__(self, *items: str) -> None:
        self.items = items

    def fit(self, train, *, as_of=None):
        self.train, self.as_of = train, as_of
        return self

    def recommend(self, people, k, *, exclude=None, allowed_items=None):
        out = set() if exclude is None else {tuple(row.values()) for row in exclude.to_pylist()}
        found = []
        for person in sorted(set(people.to_pylist())):
            left = [item for item in self.items if (person, item) not in out][:k]
            found += [(person, rank, item) for rank, item in enumerate(left, 1)]
        table = pairs([(person, item) for person, _, item in found])
        return table.append_column("rank", pa.array([rank for _, rank, _ in found], pa.int32()))


def values(board: pa.Table, **where) -> list[tuple[float | None, int]]:
    rows = [row for row in board.to_pylist() if all(row[name] == value for name, value in where.items())]
    return [(row["value"], row["people"]) for row in rows]


def test_leaderboard_keeps_its_contract_and_names_every_model_target_metric_and_k() -> None:
    board = leaderboard(two_tastes(), models=default_models(ALS), test_days=5, ks=(3, 5))
    assert board.schema == LEADERBOARD_SCHEMA and board.num_rows == 3 * 2 * 4 * 2
    assert tuple(board.column_names) == LEADERBOARD.column_names
    assert violations(LEADERBOARD, ibis.memtable(board)) == []
    assert {row["train_through"] for row in board.to_pylist()} == {FIRST_DAY + timedelta(days=14)}


def test_als_beats_popularity_where_tastes_are_planted() -> None:
    board = leaderboard(two_tastes(people=200), models=default_models(ALS), test_days=5)
    als, popular = (
        values(board, model=name, target="new_items", metric="ndcg", k=10)[0][0] for name in ("als", "popularity")
    )
    assert als is not None and popular is not None and als > 1.3 * popular


def test_worked_example_of_warm_people_known_items_and_both_targets() -> None:
    table = purchases(
        [
            ("ann", "hat", 0),
            ("bob", "tie", 1),
            ("ann", "hat", 2),  # bought before: counts for all_items only
            ("ann", "tie", 3),  # new to ann
            ("bob", "gem", 3),  # not seen in training: no truth
            ("eve", "hat", 3),  # not in training: not judged
        ]
    )
    oracle = Oracle("hat", "tie")
    board = leaderboard(table, models={"oracle": oracle}, test_days=2, ks=(1, 2))
    assert (oracle.train.num_rows, oracle.as_of) == (2, FIRST_DAY + timedelta(days=1))
    assert values(board, target="new_items", metric="recall") == [(1.0, 1), (1.0, 1)]
    assert values(board, target="all_items", metric="recall") == [(1.0, 1), (1.0, 1)]
    assert values(board, target="new_items", metric="coverage") == [(0.5, 1), (0.5, 1)]
    assert values(board, target="all_items", metric="coverage") == [(0.5, 1), (1.0, 1)]
    wrong_first = leaderboard(table, models={"oracle": Oracle("tie", "hat")}, test_days=2, ks=(2,))
    assert values(wrong_first, target="all_items", metric="ndcg") == [(1.0, 1)]


@pytest.mark.parametrize("test_days", [5, 28])
def test_leaderboard_of_an_ibis_table_is_that_of_the_same_rows_in_arrow(test_days) -> None:
    table = two_tastes(days=12)
    models = {"popularity": Popularity(), "oracle": Oracle("i001", "i002")}
    board = leaderboard(ibis.memtable(table), models=models, test_days=test_days, ks=(2, 5))
    assert board.equals(leaderboard(table, models=models, test_days=test_days, ks=(2, 5)))
    assert any(value for value, _ in values(board, model="popularity"))


def test_people_without_a_list_count_zero() -> None:
    table = purchases([("ann", "hat", 0), ("bob", "tie", 0), ("ann", "tie", 1), ("bob", "hat", 1)])
    board = leaderboard(table, models={"oracle": Oracle("tie")}, test_days=1, ks=(5,))
    assert values(board, target="new_items", metric="hit_rate") == [(0.5, 2)]


def test_test_window_is_at_most_half_of_the_days() -> None:
    board = leaderboard(two_tastes(days=6), models={"popularity": Popularity()}, test_days=28)
    assert {(row["train_through"] - FIRST_DAY).days for row in board.to_pylist()} == {2}


@pytest.mark.parametrize(
    "table",
    [
        purchases([("ann", "hat", 0), ("bob", "tie", 0)]),
        interactions([("ann", "hat", 0, 0, 0, 1), ("ann", "tie", 1, 1, 0, 0)]),
        purchases([("ann", "hat", 0), ("eve", "hat", 1)]),
    ],
    ids=["one day", "nobody bought in the window", "only cold people bought"],
)
def test_without_truth_every_value_is_null_and_the_contract_holds(table) -> None:
    board = leaderboard(table, models=default_models(ALS), test_days=7)
    assert board.num_rows == 3 * 2 * 4 * 2
    assert set(values(board)) == {(None, 0)}
    assert violations(LEADERBOARD, ibis.memtable(board)) == []


def test_without_interactions_there_are_no_rows() -> None:
    assert leaderboard(interactions([]), test_days=7).equals(LEADERBOARD_SCHEMA.empty_table())
    with pytest.raises(ValueError, match="ks"):
        leaderboard(interactions([]), test_days=7, ks=())


def test_days_after_through_are_not_looked_at() -> None:
    table = two_tastes()
    through = FIRST_DAY + timedelta(days=15)
    early = table.filter(pa.array([day <= through for day in table["day"].to_pylist()]))
    models = {"popularity": Popularity()}
    expected = leaderboard(early, models=models, test_days=4)
    assert leaderboard(table, models=models, test_days=4, through=through).equals(expected)
