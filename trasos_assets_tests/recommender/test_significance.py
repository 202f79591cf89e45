import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trasos_assets.recommender import significance
from trasos_assets.recommender.significance import compare, ends, holm, over_folds, p_values, resampled

p_lists = st.lists(st.one_of(st.none(), st.floats(1e-6, 1.0)), max_size=12)
values = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=40)


def test_the_interval_holds_the_planted_difference_as_often_as_it_says() -> None:
    """People are easy or hard for both models alike; only the paired interval is as narrow as this."""
    rng, planted, held, width = np.random.default_rng(1), 0.02, 0, []
    for trial in range(300):
        person = rng.beta(1, 3, size=150)
        b = person + rng.normal(0, 0.05, size=150)
        a = person + planted + rng.normal(0, 0.05, size=150)
        found = compare(a, b, resamples=500, seed=trial)
        held += found.low <= planted <= found.high
        width.append(found.high - found.low)
    assert 0.91 <= held / 300 <= 0.98
    assert np.mean(width) < 0.03  # twice 1.96 standard errors of the paired difference; unpaired it were 0.09


def test_p_values_are_uniform_without_a_difference_and_small_with_one() -> None:
    rng = np.random.default_rng(2)
    draws = rng.normal(0, 1, size=(400, 100))
    p = np.array([compare(row, np.zeros(100), resamples=300, seed=5).p for row in draws])
    assert 0.02 <= (p < 0.05).mean() <= 0.09 and 0.4 <= (p < 0.5).mean() <= 0.6
    strong = compare(draws[0] + 1.0, np.zeros(100), resamples=300)
    assert strong.p == pytest.approx(2 / 301) and strong.low > 0


@given(values)
def test_exchanging_the_models_changes_the_signs_and_nothing_else(pairs) -> None:
    a, b = (np.array(side) for side in zip(*pairs, strict=True))
    one, other = compare(a, b, resamples=200), compare(b, a, resamples=200)
    assert one.difference == pytest.approx(-other.difference, abs=1e-12)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=1e-12)
    assert one.p == other.p and one.people == other.people == len(pairs)
    assert one.low <= one.high and 0 < one.p <= 1
    again = compare(a, b, resamples=200)
    assert again == one


def test_a_model_against_itself_does_not_differ() -> None:
    a = np.random.default_rng(3).random(50)
    found = compare(a, a)
    assert (found.difference, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)


def test_draws_are_paired_over_columns_and_people_over_folds() -> None:
    rng = np.random.default_rng(4)
    base = rng.random(80)
    found = resampled(np.column_stack([base, base + 0.25, 2 * base]), resamples=100)
    np.testing.assert_allclose(found.draws[:, 1] - found.draws[:, 0], 0.25, rtol=1e-9)
    np.testing.assert_allclose(found.draws[:, 2], 2 * found.draws[:, 0], rtol=1e-9)
    # The second fold says the same of the same people again: it adds folds, not evidence.
    twice, once = compare(np.column_stack([base, base]), np.zeros((80, 2))), compare(base, np.zeros(80))
    assert (twice.low, twice.high, twice.people) == pytest.approx((once.low, once.high, 80))


def test_draws_do_not_depend_on_how_they_are_cut_into_blocks(monkeypatch) -> None:
    table = np.random.default_rng(5).random((40, 3))
    whole = resampled(table, resamples=64).draws
    monkeypatch.setattr(significance, "_BLOCK_BYTES", 8 * 40 * 7)
    np.testing.assert_allclose(resampled(table, resamples=64).draws, whole, rtol=1e-12)


def test_the_mean_over_folds_weighs_folds_alike_however_many_people_they_have() -> None:
    hole = np.nan
    a = np.array([[1.0, hole], [1.0, hole], [1.0, hole], [hole, 0.0]])
    found = compare(a, np.where(np.isnan(a), hole, 0.0))
    assert found.difference == 0.5 and found.people == 4


def test_nobody_and_one_person_have_no_interval() -> None:
    none = compare(np.array([]), np.array([]))
    assert (none.difference, none.low, none.p, none.people) == (None, None, None, 0)
    alone = compare(np.array([0.5]), np.array([0.2]))
    assert alone.difference == pytest.approx(0.3) and (alone.low, alone.high, alone.p) == (None, None, None)
    found = resampled(np.array([[0.5, np.nan], [0.1, 0.2]]), resamples=50)
    low, high = ends(found.draws, found.people)
    assert np.isfinite([low[0], high[0]]).all() and np.isnan([low[1], high[1]]).all()
    assert np.isnan(p_values(found.draws, found.people)[1])


def test_values_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="aligned"):
        compare(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="one of the two"):
        compare(np.array([0.1, np.nan]), np.array([0.1, 0.2]))
    with pytest.raises(ValueError, match="resamples"):
        compare(np.zeros(3), np.zeros(3), resamples=0)
    with pytest.raises(ValueError, match="people x columns"):
        resampled(np.zeros(3))


@given(p_lists)
def test_holm_keeps_order_and_lies_between_p_and_bonferroni(p) -> None:
    adjusted = holm(p)
    given_p = [(one, other) for one, other in zip(p, adjusted, strict=True) if one is not None]
    assert [other is None for other in adjusted] == [one is None for one in p]
    for one, other in given_p:
        assert one <= other <= min(1.0, one * len(given_p))
    assert [other for _, other in sorted(given_p)] == sorted(other for _, other in given_p)
    if given_p:
        least = min(one for one, _ in given_p)
        assert min(other for _, other in given_p) == min(1.0, least * len(given_p))


def test_holm_of_hand_worked_values() -> None:
    assert holm([0.01, 0.02, 0.03, 0.5]) == pytest.approx([0.04, 0.06, 0.06, 0.5])
    assert holm([]) == []


def test_the_mean_over_folds_leaves_out_folds_without_a_value() -> None:
    assert over_folds(np.array([[1.0, np.nan], [2.0, 4.0]])).tolist() == [1.0, 3.0]
    assert np.isnan(over_folds(np.array([[np.nan, np.nan]]))).all()


def test_examples_in_docstrings_hold() -> None:
    result = doctest.testmod(significance)
    assert result.attempted > 0 and result.failed == 0
