from collections import defaultdict
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trasos_assets.recommender.interactions import (
    EventWeights,
    InteractionMatrix,
    Repeats,
    bought_pairs,
    pair_matrix,
)
from trasos_assets_tests.recommender.tables import FIRST_DAY, Row, interactions, pairs, rows_strategy

WEIGHTS = EventWeights(view=0.25, cart=0.5, purchase=1.0)


def cells(matrix: InteractionMatrix) -> dict[tuple[str, str], float]:
    coo = matrix.weights.tocoo()
    people, items = matrix.people.to_ids(coo.row).to_pylist(), matrix.items.to_ids(coo.col).to_pylist()
    return dict(zip(zip(people, items, strict=True), coo.data.tolist(), strict=True))


@settings(deadline=None)
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


@settings(deadline=None)
@given(rows_strategy, st.randoms())
def test_matrix_does_not_depend_on_the_order_of_rows(rows: list[Row], random) -> None:
    order = list(range(len(rows)))
    random.shuffle(order)
    table = interactions(rows)
    one, other = (InteractionMatrix.from_table(t) for t in (table, table.take(pa.array(order, pa.int64()))))
    for part in ("indptr", "indices", "data"):
        assert getattr(one.weights, part).tobytes() == getattr(other.weights, part).tobytes()
    assert one.people.external_ids == other.people.external_ids and one.items.external_ids == other.items.external_ids


@settings(deadline=None)
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


@pytest.mark.parametrize("values", [{"half_life_days": 0.0}, {"half_life_days": float("nan")}, {"repeats": "twice"}])
def test_senseless_fading_and_counting_is_refused(values) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        EventWeights(**values)


def test_missing_column_is_named() -> None:
    with pytest.raises(ValueError, match=r"\['carts'\]"):
        InteractionMatrix.from_table(interactions([]).drop_columns(["carts"]))
    with pytest.raises(ValueError, match=r"\['day'\]"):
        InteractionMatrix.from_table(interactions([]).drop_columns(["day"]), EventWeights(half_life_days=1.0))


@settings(deadline=None)
@given(rows_strategy, st.sampled_from([0.5, 3.0]), st.none() | st.integers(0, 12), st.randoms())
def test_weights_fade_by_half_in_a_half_life(rows: list[Row], half_life: float, after: int | None, random) -> None:
    known = [row for row in rows if after is None or row[2] <= after]
    last = after if after is not None else max((row[2] for row in rows), default=0)
    latest, summed = defaultdict(lambda: np.zeros(3)), defaultdict(lambda: np.zeros(3))
    for person, item, day, *counts in known:
        left = 0.5 ** ((last - day) / half_life)
        latest[person, item] = np.maximum(latest[person, item], (np.array(counts) > 0) * left)
        summed[person, item] += np.array(counts) * left
    by_kind = np.array(WEIGHTS.by_kind)
    random.shuffle(rows)
    as_of = None if after is None else FIRST_DAY + timedelta(days=after)
    expectations: list[tuple[Repeats, dict]] = [("once", latest), ("count", summed)]
    for repeats, expected in expectations:
        weights = EventWeights(view=0.25, cart=0.5, purchase=1.0, repeats=repeats, half_life_days=half_life)
        found = cells(InteractionMatrix.from_table(interactions(rows), weights, as_of=as_of))
        assert found == pytest.approx({pair: float(by_kind @ total) for pair, total in expected.items()}, rel=1e-6)


def test_what_is_very_old_still_has_a_weight_and_its_person_a_row() -> None:
    rows = [("ann", "hat", 0, 0, 0, 1), ("bob", "tie", 9, 0, 0, 1)]
    found = cells(InteractionMatrix.from_table(interactions(rows), EventWeights(half_life_days=0.01)))
    assert found["bob", "tie"] == 1.0 and 0 < found["ann", "hat"] < 1e-6


def test_rows_after_as_of_are_left_out_with_and_without_fading() -> None:
    rows = [("ann", "hat", 0, 0, 0, 1), ("bob", "tie", 9, 0, 0, 1)]
    for weights in (EventWeights(), EventWeights(half_life_days=5.0)):
        found = cells(InteractionMatrix.from_table(interactions(rows), weights, as_of=FIRST_DAY))
        assert found == {("ann", "hat"): 1.0}


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
