import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trasos_assets.recommender.monitoring.drift import (
    DRIFTED,
    OK,
    TOO_FEW,
    WATCH,
    Thresholds,
    jensen_shannon_distance,
    judge,
    population_stability_index,
    psi_without_drift,
)

counts = st.lists(st.integers(0, 10_000), min_size=1, max_size=20)
pairs = st.integers(1, 20).flatmap(
    lambda bins: st.tuples(*(st.lists(st.integers(0, 10_000), min_size=bins, max_size=bins) for _ in range(2)))
)


@given(pairs)
def test_both_distances_are_symmetric_and_never_negative(pair):
    one, other = pair
    psi, js = population_stability_index(one, other), jensen_shannon_distance(one, other)
    assert psi >= 0
    assert 0 <= js <= 1
    assert psi == pytest.approx(population_stability_index(other, one), abs=1e-12)
    assert js == pytest.approx(jensen_shannon_distance(other, one), abs=1e-7)


@given(counts)
def test_equal_counts_are_no_distance_apart(same):
    assert population_stability_index(same, same) == 0
    assert jensen_shannon_distance(same, same) == 0


def test_the_formulas_agree_with_numbers_worked_by_hand():
    # Shares (20.5, 30.5, 50.5) / 101.5 against (40.5, 30.5, 30.5) / 101.5.
    p, q = np.array([20.5, 30.5, 50.5]) / 101.5, np.array([40.5, 30.5, 30.5]) / 101.5
    psi = (20 / 101.5) * np.log(40.5 / 20.5) + 0 + (-20 / 101.5) * np.log(30.5 / 50.5)
    assert population_stability_index([20, 30, 50], [40, 30, 30]) == pytest.approx(psi, rel=1e-12)
    from scipy.spatial.distance import jensenshannon

    assert jensen_shannon_distance([20, 30, 50], [40, 30, 30]) == pytest.approx(jensenshannon(p, q, base=2), rel=1e-9)


def test_chance_gives_the_index_its_expected_size_and_exceeds_the_critical_one_at_the_stated_rate():
    rng = np.random.default_rng(1)
    shares, n, m, alpha = np.full(10, 0.1), 3_000, 1_000, 0.05
    drawn = [
        population_stability_index(a, b)
        for a, b in zip(rng.multinomial(n, shares, 2_000), rng.multinomial(m, shares, 2_000), strict=True)
    ]
    by_chance, critical = psi_without_drift(10, n, m, alpha)
    assert np.mean(drawn) == pytest.approx(by_chance, rel=0.05)
    assert np.mean(np.array(drawn) > critical) == pytest.approx(alpha, abs=0.015)


@pytest.mark.parametrize("people", [100, 150, 400, 3_000])
@pytest.mark.parametrize("bins", [2, 10, 20])
def test_no_alarm_and_hardly_a_warning_without_drift(people, bins):
    rng = np.random.default_rng(people + bins)
    shares = rng.dirichlet(np.full(bins, 2.0))
    looks = 1_000
    states = [
        judge(a, b, people, people, Thresholds()).state
        for a, b in zip(rng.multinomial(people, shares, looks), rng.multinomial(people, shares, looks), strict=True)
    ]
    # One look in a thousand may pass for drift by chance; it must also look large, which is rarer still.
    assert states.count(DRIFTED) <= 2
    assert states.count(WATCH) <= 5


@given(st.integers(200, 100_000), st.floats(0.0, 1.0))
@settings(max_examples=60, deadline=None)
def test_a_larger_shift_is_never_judged_milder(people, size):
    def after(shift: float) -> list[float]:
        return [people * share for share in (0.25 + 0.6 * shift, *((0.25 - 0.2 * shift),) * 3)]

    before = [people * 0.25] * 4
    order = [OK, WATCH, DRIFTED]
    smaller, larger = (judge(before, after(s), people, people, Thresholds()).state for s in (size / 2, size))
    assert order.index(larger) >= order.index(smaller)


def test_a_planted_shift_is_found_by_its_size():
    before = [2_500] * 4
    found = {
        shift: judge(before, [2_500 + 3 * shift, *[2_500 - shift] * 3], 5_000, 5_000, Thresholds())
        for shift in (0, 100, 500, 1_000)
    }
    assert [found[shift].state for shift in (0, 100, 500, 1_000)] == [OK, OK, WATCH, DRIFTED]
    assert found[1_000].moved_most == 0


def test_a_bin_with_next_to_nothing_in_it_is_no_drift():
    """A new event type that one in five hundred sends makes PSI no small number, and moves next to nothing."""
    before, after = [1_000_000, 0], [998_000, 2_000]
    found = judge(before, after, 50_000, 50_000, Thresholds(psi=0.01))
    assert found.psi is not None and found.psi > 0.01
    assert found.state == OK


def test_few_people_are_never_judged_however_much_they_do():
    before, after = [90_000, 10_000], [10_000, 90_000]
    assert judge(before, after, 99, 5_000, Thresholds()).state == TOO_FEW
    assert judge(before, after, 5_000, 99, Thresholds()).state == TOO_FEW
    assert judge(before, after, 100, 100, Thresholds()).state == DRIFTED
    assert judge([0, 0], [10, 5], 0, 15, Thresholds()).psi is None


@pytest.mark.parametrize(("one", "other"), [([1, 2], [1]), ([1, -1], [1, 1]), ([1.0, float("nan")], [1, 1])])
def test_counts_that_cannot_be_compared_are_refused(one, other):
    with pytest.raises(ValueError, match="counts of the same bins"):
        judge(one, other, 100, 100, Thresholds())


@pytest.mark.parametrize("faulty", [{"psi": 0}, {"js": 1.5}, {"alpha": 0}, {"people": 1}])
def test_thresholds_that_mean_nothing_are_refused(faulty):
    with pytest.raises(ValueError, match="are needed"):
        Thresholds(**faulty)
