from collections import defaultdict

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trasos_assets.recommender.interactions import EventWeights, InteractionMatrix, bought_pairs, pair_matrix
from trasos_assets_tests.recommender.tables import Row, interactions, pairs, rows_strategy

WEIGHTS = EventWeights(view=0.25, cart=0.5, purchase=1.0)


def cells(matrix: InteractionMatrix) -> dict[tuple[str, str], float]:
    coo = matrix.weights.tocoo()
    people, items = matrix.people.to_ids(coo.row).to_pylist(), matrix.items.to_ids(coo.col).to_pylist()
    return dict(zip(zip(people, items, strict=True), coo.data.tolist(), strict=True))


@given(rows_strategy)
def test_weights_add_up_over_kinds_and_days(rows: list[Row]) -> None:
    totals = defaultdict(lambda: np.zeros(3))
    for person, item, _, *counts in rows:
        totals[person, item] += counts
    by_kind = np.array(WEIGHTS.by_kind)
    once = {pair: float(by_kind @ (total > 0)) for pair, total in totals.items()}
    counted = {pair: float(by_kind @ total) for pair, total in totals.items()}
    table = interactions(rows)
    assert cells(InteractionMatrix.from_table(table, WEIGHTS)) == once
    every_time = EventWeights(view=0.25, cart=0.5, purchase=1.0, repeats="count")
    assert cells(InteractionMatrix.from_table(table, every_time)) == counted


@given(rows_strategy, st.randoms())
def test_matrix_does_not_depend_on_the_order_of_rows(rows: list[Row], random) -> None:
    order = list(range(len(rows)))
    random.shuffle(order)
    table = interactions(rows)
    one, other = (InteractionMatrix.from_table(t) for t in (table, table.take(pa.array(order, pa.int64()))))
    for part in ("indptr", "indices", "data"):
        assert getattr(one.weights, part).tobytes() == getattr(other.weights, part).tobytes()
    assert one.people.external_ids == other.people.external_ids and one.items.external_ids == other.items.external_ids


@given(rows_strategy)
def test_matrix_is_float32_csr_with_sorted_int32_indices_and_no_empty_row_or_column(rows: list[Row]) -> None:
    weights = InteractionMatrix.from_table(interactions(rows), EventWeights(view=0, cart=0, purchase=1)).weights
    assert weights.dtype == np.float32 and weights.indices.dtype == np.int32 and weights.indptr.dtype == np.int32
    assert weights.has_sorted_indices and (weights.data > 0).all()
    assert (weights.getnnz(axis=1) > 0).all() and (weights.getnnz(axis=0) > 0).all()


def test_viewers_are_unknown_where_views_weigh_nothing() -> None:
    table = interactions([("ann", "hat", 0, 5, 0, 0), ("bob", "tie", 0, 0, 0, 1)])
    matrix = InteractionMatrix.from_table(table, EventWeights(view=0, cart=0, purchase=1))
    assert cells(matrix) == {("bob", "tie"): 1.0}


@pytest.mark.parametrize("weights", [(-1, 0, 1), (0, 0, 0), (float("nan"), 1, 1), (0, 0, float("inf"))])
def test_senseless_weights_are_refused(weights) -> None:
    with pytest.raises(ValueError, match="event weights"):
        EventWeights(*weights)


def test_missing_column_is_named() -> None:
    with pytest.raises(ValueError, match=r"\['carts'\]"):
        InteractionMatrix.from_table(interactions([]).drop_columns(["carts"]))


def test_bought_pairs_are_distinct_and_sorted_and_leave_views_out() -> None:
    rows = [
        ("bob", "hat", 0, 0, 0, 1),
        ("ann", "tie", 1, 0, 0, 2),
        ("ann", "tie", 0, 1, 0, 1),
        ("ann", "cap", 0, 1, 0, 0),
    ]
    assert bought_pairs(interactions(rows)).equals(pairs([("ann", "tie"), ("bob", "hat")]))


def test_pair_matrix_leaves_unknown_ids_out() -> None:
    matrix = InteractionMatrix.from_table(interactions([("ann", "hat", 0, 0, 0, 1), ("bob", "tie", 0, 0, 0, 1)]))
    given_pairs = pairs([("ann", "tie"), ("ann", "tie"), ("eve", "hat"), ("ann", "cap")])
    assert pair_matrix(given_pairs, matrix.people, matrix.items).toarray().tolist() == [[False, True], [False, False]]
