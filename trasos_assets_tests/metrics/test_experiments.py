from datetime import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

from trasos_assets.contracts import CONTRACTS
from trasos_assets.metrics.experiments import compared, experiment_results, newcombe_interval, pooled_z_test
from trasos_assets_tests.metrics.tables import Shop, cancellation, purchase, result


def _results(shop: Shop, assigned: list[tuple[str, str, str, str, str]], events: list[dict]) -> dict[tuple, dict]:
    """Assignments as (experiment, unit, person, arm, assigned_at)."""
    rows = [
        {"experiment": e, "unit_id": u, "person_id": p, "arm": a, "assigned_at": datetime.fromisoformat(at)}
        for e, u, p, a, at in assigned
    ]
    table = shop.table(CONTRACTS["assignments"], rows, person=True)
    found = result("experiment_results", experiment_results(table, shop.orders(events)))
    return {(row["experiment"], row["arm"]): row for row in found}


def test_success_is_a_valid_order_at_or_after_the_assignment(shop: Shop) -> None:
    noon = "2026-01-02T12:00"
    found = _results(
        shop,
        [("x", who, who, "new", noon) for who in ("before", "at", "after", "cancelled", "never", "twice")]
        + [("x", "c1", "c1", "control", noon), ("x", "c2", "c2", "control", noon)],
        [
            purchase("2026-01-02T11:59", "o1", "before"),
            purchase("2026-01-02T12:00", "o2", "at"),
            purchase("2026-01-09T12:00", "o3", "after"),
            purchase("2026-01-09T12:00", "o4", "cancelled"),
            cancellation("2026-01-10T12:00", "o4", "cancelled"),
            purchase("2026-01-01T12:00", "o5", "twice"),
            purchase("2026-01-03T12:00", "o6", "twice"),
            purchase("2026-01-03T12:00", "o7", "c1"),
            purchase("2026-01-03T12:00", "o8", "not assigned"),
        ],
    )
    new, control = found["x", "new"], found["x", "control"]
    assert (new["people"], new["successes"], new["rate"]) == (6, 3, 0.5)
    assert (control["people"], control["successes"], control["rate"]) == (2, 1, 0.5)
    assert (new["difference"], new["relative_uplift"], new["p_value"]) == (0.0, 0.0, 1.0)
    assert control["difference"] is control["difference_lower"] is control["p_value"] is None


def test_a_person_with_two_units_stays_in_the_arm_of_the_first_assignment(shop: Shop) -> None:
    found = _results(
        shop,
        [
            ("x", "phone", "ada", "new", "2026-01-03T10:00"),
            ("x", "laptop", "ada", "control", "2026-01-02T10:00"),
            ("x", "b", "bob", "new", "2026-01-02T10:00"),
            ("x", "a", "bob", "control", "2026-01-02T10:00"),
            ("y", "phone", "ada", "new", "2026-01-03T10:00"),
        ],
        [purchase("2026-01-02T11:00", "o1", "ada")],
    )
    assert {key: (row["people"], row["successes"]) for key, row in found.items()} == {
        ("x", "control"): (2, 1),
        ("y", "new"): (1, 0),
    }


def test_holdout_is_compared_with_where_there_is_no_control(shop: Shop) -> None:
    at = "2026-01-01T00:00"
    found = _results(
        shop,
        [
            ("x", "a", "a", "recommended", at),
            ("x", "b", "b", "holdout", at),
            ("y", "a", "a", "holdout", at),
            ("y", "b", "b", "control", at),
            ("z", "a", "a", "red", at),
        ],
        [purchase("2026-01-02T11:00", "o1", "a")],
    )
    assert found["x", "recommended"]["difference"] == 1.0
    assert found["x", "recommended"]["relative_uplift"] is None
    assert found["x", "holdout"]["difference"] is None
    assert found["y", "holdout"]["difference"] == 1.0
    assert found["y", "control"]["difference"] is None
    assert found["z", "red"]["rate"] == 1.0
    assert found["z", "red"]["difference"] is None


def test_without_assignments_there_are_no_results(shop: Shop) -> None:
    assert _results(shop, [], [purchase("2026-01-02T11:00", "o1", "a")]) == {}


@pytest.mark.parametrize(
    ("counts", "interval"),
    [((56, 70, 48, 80), (0.0524, 0.3339)), ((9, 10, 3, 10), (0.1705, 0.8090)), ((5, 56, 0, 29), (-0.0381, 0.1926))],
)
def test_the_interval_equals_the_published_examples(
    counts: tuple[int, int, int, int], interval: tuple[float, float]
) -> None:
    """Newcombe (1998), table II, method 10, examples a, b and d, to the four digits printed there."""
    assert newcombe_interval(*counts) == pytest.approx(interval, abs=5e-5)


_ARM = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@settings(max_examples=100, deadline=None)
@given(_ARM, _ARM)
def test_the_numbers_of_an_arm_agree_with_each_other_and_with_chi_square(
    arm: tuple[int, int], control: tuple[int, int]
) -> None:
    row = compared(*arm, control)
    bounds = [-1, row["difference_lower"], row["difference"], row["difference_upper"], 1]
    assert bounds == sorted(bound for bound in bounds if bound is not None)
    p_value = pooled_z_test(*arm, *control)
    table = np.array([[arm[0], arm[1] - arm[0]], [control[0], control[1] - control[0]]])
    if (table.sum(axis=0) == 0).any():
        assert p_value is None
    else:
        assert p_value == pytest.approx(chi2_contingency(table, correction=False)[1], abs=1e-12)


def test_intervals_hold_a_planted_difference_19_times_in_20() -> None:
    rng = np.random.default_rng(7)
    ours, theirs = rng.binomial(900, 0.08, 1000), rng.binomial(600, 0.05, 1000)
    held = [lower <= 0.03 <= upper for lower, upper in (
        newcombe_interval(int(a), 900, int(b), 600) for a, b in zip(ours, theirs, strict=True)
    )]  # fmt: skip
    assert np.mean(held) == pytest.approx(0.95, abs=0.02)
