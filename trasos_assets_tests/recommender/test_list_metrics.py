import doctest
import itertools
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trasos_assets.recommender import list_metrics
from trasos_assets.recommender.ids import IdMap
from trasos_assets.recommender.list_metrics import (
    ItemFacts,
    Shown,
    coverage,
    diversity,
    gini,
    novelty,
    popularity_lift,
)
from trasos_assets_tests.recommender.test_metrics import list_table, lists

ITEMS = [f"i{n}" for n in range(9)]
CATEGORIES = {item: None if n == 8 else "abc"[n % 3] for n, item in enumerate(ITEMS)}
PEOPLE = {item: n + 1 for n, item in enumerate(ITEMS)}


def facts() -> ItemFacts:
    counts = pa.table({"item_id": ITEMS, "people": list(PEOPLE.values())})
    categories = pa.table({"item_id": [*ITEMS, "new"], "category": [*CATEGORIES.values(), "a"]})
    return ItemFacts.of(counts, 20, categories)


def shown(ranked: dict[str, list[str]]) -> Shown:
    return Shown.of(list_table(ranked), IdMap.from_ids(list("abcd")), facts())


@given(lists, st.integers(1, 8))
def test_metrics_of_lists_are_what_the_formulas_give_item_by_item(ranked, k) -> None:
    of_lists, known = shown(ranked), facts()
    chosen = sum(n * n for n in PEOPLE.values()) / sum(PEOPLE.values())
    measured = [metric(of_lists, k, known) for metric in (novelty, popularity_lift, diversity)]
    for place, person in enumerate("abcd"):
        first = ranked.get(person, [])[:k]
        pairs = [
            (CATEGORIES[a], CATEGORIES[b])
            for a, b in itertools.combinations(first, 2)
            if CATEGORIES[a] and CATEGORIES[b]
        ]
        expected = [
            np.mean([math.log2(20 / PEOPLE[item]) for item in first]) if first else math.nan,
            np.mean([PEOPLE[item] / chosen for item in first]) if first else math.nan,
            np.mean([a != b for a, b in pairs]) if pairs else math.nan,
        ]
        assert [values[place] for values in measured] == pytest.approx(expected, nan_ok=True)


@given(lists, st.integers(1, 8), st.integers(9, 30))
def test_gini_is_half_the_mean_difference_of_exposure_over_the_mean_and_coverage_its_support(ranked, k, size) -> None:
    table = list_table(ranked)
    times = np.zeros(size)
    for items in ranked.values():
        for item in items[:k]:
            times[int(item[1:])] += 1
    assert coverage(table, k, size) == pytest.approx((times > 0).sum() / size)
    if times.sum() == 0:
        assert gini(table, k, size) is None
        return
    differences = np.abs(times[:, None] - times[None, :]).mean()
    assert gini(table, k, size) == pytest.approx(differences / (2 * times.mean()))


def test_gini_is_zero_if_all_are_shown_alike_and_all_but_one_nth_if_one_is_shown() -> None:
    assert gini(list_table({"ann": ["i1", "i2"], "bob": ["i2", "i1"]}), 2, 2) == pytest.approx(0.0)
    assert gini(list_table({"ann": ["i1"], "bob": ["i1"]}), 1, 10) == pytest.approx(0.9)


def test_coverage_counts_distinct_items_in_the_first_k() -> None:
    ranked = list_table({"ann": ["i1", "i2"], "bob": ["i1", "i3"]})
    assert [coverage(ranked, k, 4) for k in (1, 2)] == [0.25, 0.75]
    assert coverage(ranked.slice(0, 0), 2, 4) == 0.0
    with pytest.raises(ValueError, match="catalogue_size"):
        coverage(ranked, 1, 0)


def test_an_item_that_training_never_saw_is_the_most_novel_and_not_popular() -> None:
    of_lists, known = shown({"a": ["new"], "b": ["i0"]}), facts()
    assert novelty(of_lists, 1, known)[:2].tolist() == [math.log2(20), math.log2(20)]
    assert popularity_lift(of_lists, 1, known)[0] == 0.0
    assert np.isnan(diversity(of_lists, 1, known)).all()


def test_what_everybody_chooses_by_themselves_has_a_lift_of_one() -> None:
    people = {"hat": 3, "tie": 1}
    known = ItemFacts.of(pa.table({"item_id": list(people), "people": list(people.values())}), 4)
    choices = ["hat", "hat", "hat", "tie"]
    lists_of_one = list_table({f"p{n}": [item] for n, item in enumerate(choices)})
    found = Shown.of(lists_of_one, IdMap.from_ids(lists_of_one["person_id"]), known)
    assert popularity_lift(found, 1, known).mean() == pytest.approx(1.0)


def test_examples_in_docstrings_hold() -> None:
    result = doctest.testmod(list_metrics)
    assert result.attempted > 0 and result.failed == 0
