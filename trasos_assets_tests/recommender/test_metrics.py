import doctest
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trasos_assets.recommender import metrics
from trasos_assets.recommender.metrics import (
    PER_PERSON,
    average_precision,
    hit_rate,
    judge,
    ndcg,
    recall,
    reciprocal_rank,
)
from trasos_assets_tests.recommender.tables import pairs

ITEMS = [f"i{n}" for n in range(9)]
truths = st.dictionaries(st.sampled_from("abcd"), st.sets(st.sampled_from(ITEMS), min_size=1), min_size=1)
lists = st.dictionaries(st.sampled_from("abcde"), st.lists(st.sampled_from(ITEMS), unique=True, max_size=6))


def truth_table(truth: dict[str, set[str]]) -> pa.Table:
    return pairs([(person, item) for person, items in truth.items() for item in items])


def list_table(ranked: dict[str, list[str]]) -> pa.Table:
    table = pairs([(person, item) for person, items in ranked.items() for item in items])
    ranks = [rank for items in ranked.values() for rank in range(1, len(items) + 1)]
    return table.append_column("rank", pa.array(ranks, pa.int32()))


def by_hand(ranked: list[str], relevant: set[str], k: int) -> tuple[float, ...]:
    hits = [item in relevant for item in ranked[:k]]
    best = min(len(relevant), k)
    gain = sum(hit / math.log2(rank + 1) for rank, hit in enumerate(hits, 1))
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, best + 1))
    precisions = [sum(hits[:rank]) / rank for rank, hit in enumerate(hits, 1) if hit]
    first = next((1 / rank for rank, hit in enumerate(hits, 1) if hit), 0.0)
    return gain / ideal, sum(hits) / best, float(any(hits)), sum(precisions) / best, first


@given(truths, lists, st.integers(1, 8))
def test_metrics_per_person_are_what_the_formula_gives(truth, ranked, k) -> None:
    judged = judge(list_table(ranked), truth_table(truth))
    people = judged.people.external_ids.to_pylist()
    assert people == sorted(truth)
    expected = np.array([by_hand(ranked.get(person, []), truth[person], k) for person in people])
    metrics_of = (ndcg, recall, hit_rate, average_precision, reciprocal_rank)
    measured = np.column_stack([metric(judged, k) for metric in metrics_of])
    np.testing.assert_allclose(measured, expected, rtol=1e-12)
    assert (measured >= 0).all() and (measured <= 1).all()


@given(truths, st.integers(1, 10))
def test_the_truth_itself_is_a_perfect_list(truth, k) -> None:
    judged = judge(list_table({person: sorted(items) for person, items in truth.items()}), truth_table(truth))
    for metric in PER_PERSON.values():
        assert metric(judged, k).tolist() == pytest.approx([1.0] * len(truth))


def test_worked_example() -> None:
    truth = truth_table({"ann": {"i1", "i2", "i3"}, "bob": {"i1"}, "cid": {"i5"}})
    judged = judge(list_table({"ann": ["i2", "i8", "i1"], "bob": ["i7", "i1"], "eve": ["i1"]}), truth)
    full = 1 + 1 / math.log2(3) + 0.5
    assert ndcg(judged, 3).tolist() == pytest.approx([1.5 / full, 1 / math.log2(3), 0.0])
    assert recall(judged, 3).tolist() == pytest.approx([2 / 3, 1.0, 0.0])
    assert recall(judged, 1).tolist() == [1.0, 0.0, 0.0]
    assert hit_rate(judged, 1).tolist() == [1.0, 0.0, 0.0]
    assert average_precision(judged, 3).tolist() == pytest.approx([(1 + 2 / 3) / 3, 0.5, 0.0])
    assert reciprocal_rank(judged, 3).tolist() == [1.0, 0.5, 0.0]
    assert reciprocal_rank(judged, 1).tolist() == [1.0, 0.0, 0.0]


def test_ranks_out_of_order_change_nothing() -> None:
    truth = truth_table({"ann": {"i1", "i2"}, "bob": {"i3"}})
    lists_in_order = list_table({"ann": ["i1", "i8", "i2"], "bob": ["i7", "i3"]})
    shuffled = lists_in_order.take([4, 2, 0, 3, 1])
    for metric in PER_PERSON.values():
        assert metric(judge(shuffled, truth), 3).tolist() == metric(judge(lists_in_order, truth), 3).tolist()


def test_lists_that_repeat_an_item_or_a_rank_are_refused() -> None:
    truth = truth_table({"ann": {"i1"}})
    twice = list_table({"ann": ["i1", "i1"]})
    with pytest.raises(ValueError, match="repeat a person's item"):
        judge(twice, truth)
    same_rank = list_table({"ann": ["i1", "i2"]}).set_column(2, "rank", pa.array([1, 1], pa.int32()))
    with pytest.raises(ValueError, match="repeat a person's rank"):
        judge(same_rank, truth)
    with pytest.raises(ValueError, match="from 1"):
        judge(same_rank.set_column(2, "rank", pa.array([0, 1], pa.int32())), truth)


def test_examples_in_docstrings_hold() -> None:
    result = doctest.testmod(metrics)
    assert result.attempted > 0 and result.failed == 0
