"""Cutting interactions in time, so that a model never sees a day it is judged on."""

# pyarrow.compute makes its functions at import time, out of a type checker's sight; Ibis types all columns alike.
# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import ibis
import pyarrow as pa
import pyarrow.compute as pc

from trasos_assets.recommender.interactions import bought_pairs


class TooFewDaysError(ValueError):
    """The interactions do not span a day to train on and the days to test on."""


@dataclass(frozen=True, eq=False)
class Split:
    """Training rows up to ``train_through``; what was bought after it, up to ``test_through`` (both inclusive).

    ``train`` has the form of the table that was cut: of an Ibis table nothing but the truth is fetched.
    """

    train: pa.Table | ibis.Table
    truth: pa.Table
    train_through: date
    test_through: date


def first_and_last_day(table: pa.Table | ibis.Table) -> tuple[date, date] | None:
    """First and last day with an interaction; None if there is none."""
    if isinstance(table, ibis.Table):
        found = table.aggregate(first=table["day"].min(), last=table["day"].max()).to_pyarrow().to_pylist()[0]
        return None if found["first"] is None else (found["first"], found["last"])
    if table.num_rows == 0:
        return None
    days = pc.min_max(table["day"])
    return days["min"].as_py(), days["max"].as_py()


def rows_between(
    table: pa.Table | ibis.Table, *, after: date | None = None, through: date | None = None
) -> pa.Table | ibis.Table:
    """Rows of the days after ``after``, up to and with ``through``; None is no limit."""
    for day, compare in ((after, pc.greater), (through, pc.less_equal)):
        if day is None:
            continue
        if isinstance(table, ibis.Table):
            table = table.filter(table["day"] > day if compare is pc.greater else table["day"] <= day)
        else:
            table = table.filter(compare(table["day"], pa.scalar(day, pa.date32())))
    return table


def time_split(table: pa.Table | ibis.Table, *, test_days: int, through: date | None = None) -> Split:
    """Global split on full days: the last ``test_days`` days up to ``through`` are truth, all before is training.

    ``table`` follows the contract training_interactions; ``truth`` holds the distinct (person_id, item_id) purchased in
    the test window. ``through`` is the last complete day (default: the last day with an interaction); later rows are
    left out. All people share one cut, so no one's future informs another's past (Meng et al. 2020, "Exploring data
    splitting strategies for the evaluation of recommendation models").

    Raises ``TooFewDaysError`` if no interaction lies before the test window.
    """
    if test_days < 1:
        raise ValueError(f"test_days must be at least 1, got {test_days}")
    days = first_and_last_day(table)
    if days is None:
        raise TooFewDaysError("there are no interactions to split")
    first, last = days
    test_through = through or last
    train_through = test_through - timedelta(days=test_days)
    if first > train_through:
        raise TooFewDaysError(
            f"{test_days} test days up to {test_through} leave nothing to train on: the first interaction is of "
            f"{first}; collect more days or lower test_days (TRASOS_TEST_DAYS)"
        )
    truth = bought_pairs(rows_between(table, after=train_through, through=test_through))
    return Split(rows_between(table, through=train_through), truth, train_through, test_through)


def affordable_test_days(table: pa.Table | ibis.Table, test_days: int, *, through: date | None = None) -> int | None:
    """``test_days``, but no more than half of the days observed; None if fewer than two days were observed.

    A young shop is thus judged on a short window rather than not at all; the window shows in the split's dates.
    """
    days = first_and_last_day(table)
    if days is None:
        return None
    observed = ((through or days[1]) - days[0]).days + 1
    return min(test_days, observed // 2) if observed >= 2 else None


def windows(
    table: pa.Table | ibis.Table, *, test_days: int, folds: int, through: date | None = None
) -> list[tuple[date, date]]:
    """The last day to learn from and the last day of truth of each of ``folds``, latest first; it reads days only.

    A young shop gets a shorter window (``affordable_test_days``), and fewer of them: as many as leave at least as many
    days before the earliest window as the window has. None at all if fewer than two days were observed, or nothing lies
    before the window.
    """
    if folds < 1:
        raise ValueError(f"folds must be at least 1, got {folds}")
    if test_days < 1:
        raise ValueError(f"test_days must be at least 1, got {test_days}")
    days = first_and_last_day(table)
    if days is None:
        return []
    last = through or days[1]
    window = affordable_test_days(table, test_days, through=last)
    if window is None:
        return []
    observed = (last - days[0]).days + 1
    affordable = min(folds, max(1, observed // window - 1))
    ends = [last - timedelta(days=window * fold) for fold in range(affordable)]
    return [(end - timedelta(days=window), end) for end in ends]


def folds(table: pa.Table | ibis.Table, *, test_days: int, folds: int, through: date | None = None) -> list[Split]:
    """Rolling time splits, latest first: windows of truth of one length, back to back, each with all days before it.

    The first split is that of ``time_split``; the others are validation windows of the same shape that lie before it,
    as many as ``windows`` says. Rolling origins as in Bergmeir and Benítez (2012), "On the use of cross-validation for
    time series predictor evaluation"; the model of each is fitted anew on an expanding window.
    """
    return [
        time_split(table, test_days=(test_through - train_through).days, through=test_through)
        for train_through, test_through in windows(table, test_days=test_days, folds=folds, through=through)
    ]
