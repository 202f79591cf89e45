"""What an experiment changed: the difference to control, its interval and its p-value."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

import ibis
import numpy as np
import pyarrow as pa
from ibis import Table

from trasos_assets.contracts.analytics import EXPERIMENT_RESULTS
from trasos_assets.metrics.erased import Cells
from trasos_assets.metrics.shapes import FLOAT_DIGITS, first_by

CONTROL_ARMS = ("control", "holdout")
"""Names of the arm that the others are compared with; the first that an experiment has."""
CONFIDENCE = 0.95
CONVERSION = "conversion"
CELLS = Cells("experiment_results", {"experiment": "label", "arm": "value"}, ("people", "successes"))


def arm_cells(assignments_with_person: Table, orders: Table) -> Table:
    """People and those who converted, by experiment and arm: what ``experiment_results`` is made of."""
    assignments = assignments_with_person
    people = assignments.group_by("experiment", "person_id").aggregate(
        first=first_by(
            {"arm": assignments.arm, "assigned_at": assignments.assigned_at},
            {"assigned_at": assignments.assigned_at, "unit_id": assignments.unit_id},
        )
    )
    valid = orders.filter(orders.is_valid)
    # The last order decides: if it is not at or after the assignment, none is.
    buyers = valid.group_by("person_id").aggregate(last_order_at=valid.ordered_at.max())
    joined = people.left_join(buyers, "person_id").select(
        "experiment",
        arm=lambda t: t.first["arm"],
        success=lambda t: (t.last_order_at >= t.first["assigned_at"]).fill_null(False),
    )
    return joined.group_by("experiment", "arm").aggregate(people=joined.count(), successes=joined.success.sum())


def experiment_results(assignments_with_person: Table, orders: Table, erased: Table | None = None) -> Table:
    """Conversion of every arm of every experiment, by intention to treat.

    Takes ``assignments`` with a ``person_id``, ``orders`` and, if people were forgotten, ``erased_totals``; returns the
    columns of ``experiment_results``. Everybody assigned counts, exposed or not. A person with several units in an
    experiment stays in the arm of the first assignment (by assigned_at, then unit_id). Success is a valid order at or
    after the assignment. Without an arm named control or holdout there is nothing to compare with, and the differences
    are blank.
    """
    cells = CELLS.with_erased(arm_cells(assignments_with_person, orders), erased)
    counts = cells.order_by("experiment", "arm").to_pyarrow().to_pylist()
    arms: dict[str, dict[str, tuple[int, int]]] = {}
    for row in counts:
        arms.setdefault(row["experiment"], {})[row["arm"]] = (int(row["successes"]), int(row["people"]))
    rows = [
        {"experiment": experiment, "arm": arm, "metric": CONVERSION, **compared(successes, people, control)}
        for experiment, of_arms in arms.items()
        for control_arm in [next((name for name in CONTROL_ARMS if name in of_arms), None)]
        for arm, (successes, people) in of_arms.items()
        for control in [of_arms[control_arm] if control_arm is not None and arm != control_arm else None]
    ]
    return ibis.memtable(pa.Table.from_pylist(rows, schema=ibis.schema(EXPERIMENT_RESULTS.types).to_pyarrow()))


def compared(successes: int, people: int, control: tuple[int, int] | None) -> dict[str, int | float | None]:
    """One arm's numbers beside control's (successes, people); differences are None without a control.

    Floats are rounded to 9 digits.
    """
    result: dict[str, int | float | None] = {
        "people": people,
        "successes": successes,
        "rate": _rounded(successes / people),
        **dict.fromkeys(("difference", "difference_lower", "difference_upper", "relative_uplift", "p_value")),
    }
    if control is not None:
        control_successes, control_people = control
        difference = successes / people - control_successes / control_people
        lower, upper = newcombe_interval(successes, people, control_successes, control_people)
        uplift = difference / (control_successes / control_people) if control_successes else None
        p_value = pooled_z_test(successes, people, control_successes, control_people)
        result |= {
            "difference": _rounded(difference),
            "difference_lower": _rounded(lower),
            "difference_upper": _rounded(upper),
            "relative_uplift": _rounded(uplift),
            "p_value": _rounded(p_value),
        }
    return result


def newcombe_interval(
    successes: int, people: int, control_successes: int, control_people: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Interval for the difference of two independent proportions: Newcombe's hybrid score, no continuity correction.

    With Wilson limits (l1, u1) of p1 and (l2, u2) of p2 and d = p1 - p2:
    (d - sqrt((p1 - l1)^2 + (u2 - p2)^2), d + sqrt((u1 - p1)^2 + (p2 - l2)^2)).

    Source: Newcombe (1998), Interval estimation for the difference between independent proportions: comparison of
    eleven methods, Statistics in Medicine 17, 873-890, method 10.
    """
    rate, control_rate = successes / people, control_successes / control_people
    from scipy import stats

    own = stats.binomtest(successes, people).proportion_ci(confidence, method="wilson")
    other = stats.binomtest(control_successes, control_people).proportion_ci(confidence, method="wilson")
    difference = rate - control_rate
    return (
        difference - float(np.hypot(rate - own.low, other.high - control_rate)),
        difference + float(np.hypot(own.high - rate, control_rate - other.low)),
    )


def pooled_z_test(successes: int, people: int, control_successes: int, control_people: int) -> float | None:
    """Two-sided p-value of equal proportions by the z test with pooled variance; None if no one or everyone converted.

    z = (p1 - p2) / sqrt(p (1 - p) (1/n1 + 1/n2)), p the rate of both arms together; z^2 is Pearson's chi-square of the
    2 x 2 table. Source: Fleiss, Levin and Paik (2003), Statistical Methods for Rates and Proportions, 3rd ed., ch. 3.
    """
    pooled = (successes + control_successes) / (people + control_people)
    variance = pooled * (1 - pooled) * (1 / people + 1 / control_people)
    if variance <= 0:
        return None
    z = (successes / people - control_successes / control_people) / np.sqrt(variance)
    from scipy import stats

    return float(2 * stats.norm.sf(abs(z)))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), FLOAT_DIGITS)
