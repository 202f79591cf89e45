"""Figures of item popularity against their definitions, and what is expected against samples that were drawn."""

# SciPy's results are made at run time.
# pyright: reportAttributeAccessIssue=false

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trasos_assets.samples.popularity import GROUPS, gini, popularity, rank_correlation, top_share

COUNTS = st.lists(st.tuples(st.integers(1, 50), st.integers(0, 20), st.integers(1, 4)), min_size=2, max_size=30)


def columns(rows: list[tuple[int, int, int]]) -> list[np.ndarray]:
    return [np.array(column, np.int64) for column in zip(*rows, strict=True)]


def drawn(people: int, items: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """People who each have to do with a run of items, so that items do not vary apart; and a sample of them."""
    generator = np.random.default_rng(seed)
    first = (generator.beta(1, 4, people) * items).astype(int)
    length = generator.integers(1, 12, people)
    group, chosen = generator.integers(0, GROUPS, people), generator.random(people) < share
    whole, groups = np.zeros(items, np.int64), np.zeros((items, GROUPS), np.int64)
    for person in range(people):
        mine = np.arange(first[person], min(items, first[person] + length[person]))
        whole[mine] += 1
        groups[mine, group[person]] += chosen[person]
    known = whole > 0
    return whole[known], groups[known], np.ones(known.sum(), np.int64)


@given(COUNTS)
def test_rank_correlation_is_spearmans_over_single_items(rows: list[tuple[int, int, int]]) -> None:
    one, other, items = columns(rows)
    apart = np.repeat(one, items), np.repeat(other, items)
    found = rank_correlation(one, other, items)
    if min(len(set(values)) for values in apart) == 1:
        assert found is None
    else:
        assert found == pytest.approx(stats.spearmanr(*apart).statistic, abs=1e-9)


@given(COUNTS)
def test_gini_is_the_mean_difference_over_twice_the_mean(rows: list[tuple[int, int, int]]) -> None:
    values, _, items = columns(rows)
    apart = np.repeat(values, items).astype(float)
    expected = np.abs(apart[:, None] - apart[None, :]).mean() / (2 * apart.mean())
    assert gini(values, items) == pytest.approx(expected, abs=1e-9)


def test_the_top_share_takes_part_of_an_item_in_part() -> None:
    counts, items = np.array([6, 2, 1]), np.array([1, 1, 2])
    assert top_share(counts, items, 0.25) == pytest.approx(0.6)
    assert top_share(counts, items, 0.5) == pytest.approx(0.8)
    assert top_share(counts, items, 0.125) == pytest.approx(0.3)
    assert top_share(counts, items, 1.0) == pytest.approx(1.0)


def test_what_is_expected_is_what_samples_have() -> None:
    """Of many samples drawn by person, nearly all are called chance, and they lie about the mean that is told."""
    away = []
    for seed in range(24):
        whole, groups, items = drawn(3_000, 150, 0.2, seed)
        found = popularity(whole, groups, items, share=0.2, seed=1)
        assert found is not None
        for figure in (found.rank_correlation, found.gini, found.top_share):
            assert figure.is_noise is not None
            away.append((figure.sample - figure.mean) / figure.error)  # pyright: ignore[reportOperatorIssue, reportOptionalOperand]
    standard = np.array(away).reshape(24, 3)
    assert np.all(np.abs(standard.mean(axis=0)) < 1)
    assert np.all((standard.std(axis=0) > 0.5) & (standard.std(axis=0) < 1.6))
    assert (np.abs(standard) <= 3).mean() > 0.95


def test_a_sample_that_is_drawn_by_item_is_beyond_chance() -> None:
    whole, groups, items = drawn(3_000, 150, 0.2, 1)
    shuffled = np.random.default_rng(1).permutation(groups)
    found = popularity(whole, shuffled, items, share=0.2, seed=1)
    assert found is not None
    assert found.rank_correlation.is_noise is False


def test_everybody_is_like_everybody() -> None:
    whole, groups, items = drawn(500, 50, 1.0, 1)
    found = popularity(whole, groups, items, share=1.0, seed=1)
    assert found is not None
    for figure in (found.rank_correlation, found.gini, found.top_share):
        assert figure.sample == figure.whole == figure.mean
        assert figure.error == 0
    assert all(whole_has == sample_has for _, whole_has, sample_has in found.curve)


def test_nobody_has_no_figures_and_no_items_no_popularity() -> None:
    whole, groups, items = drawn(500, 50, 0.0, 1)
    found = popularity(whole, groups, items, share=0.01, seed=1)
    assert found is not None
    assert (found.gini.sample, found.rank_correlation.is_noise, found.curve) == (None, None, ())
    empty = np.array([], np.int64)
    assert popularity(empty, np.zeros((0, GROUPS), np.int64), empty, share=0.1, seed=1) is None
