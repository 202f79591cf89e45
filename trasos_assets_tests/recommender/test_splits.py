from datetime import timedelta

import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trasos_assets.recommender.splits import TooFewDaysError, affordable_test_days, folds, time_split
from trasos_assets_tests.recommender.tables import FIRST_DAY, Row, interactions, pairs, purchases, rows_strategy


def day(n: int):
    return FIRST_DAY + timedelta(days=n)


@given(rows_strategy, st.integers(1, 5), st.integers(0, 12))
def test_training_ends_before_the_truth_begins_and_no_purchase_is_lost(rows: list[Row], test_days, through) -> None:
    try:
        split = time_split(interactions(rows), test_days=test_days, through=day(through))
    except TooFewDaysError:
        assert all(row[2] > through - test_days for row in rows)
        return
    last_train_day = pc.max(split.train["day"]).as_py()  # pyright: ignore[reportAttributeAccessIssue]
    assert last_train_day <= split.train_through == day(through - test_days)
    assert split.test_through == day(through)
    assert split.train.num_rows == sum(row[2] <= through - test_days for row in rows)
    bought_after = {row[:2] for row in rows if through - test_days < row[2] <= through and row[5] > 0}
    assert split.truth.equals(pairs(sorted(bought_after)))


def test_too_few_days_names_the_way_out() -> None:
    table = purchases([("ann", "hat", 0), ("ann", "tie", 2)])
    with pytest.raises(TooFewDaysError, match="TRASOS_TEST_DAYS"):
        time_split(table, test_days=3)
    assert time_split(table, test_days=2).train.num_rows == 1
    with pytest.raises(TooFewDaysError):
        time_split(table.slice(0, 0), test_days=1)
    with pytest.raises(ValueError, match="at least 1"):
        time_split(table, test_days=0)


@given(rows_strategy, st.integers(1, 20))
def test_affordable_days_always_leave_days_to_train_on(rows: list[Row], test_days) -> None:
    table = interactions(rows)
    days = affordable_test_days(table, test_days)
    span = max(row[2] for row in rows) - min(row[2] for row in rows) + 1 if rows else 0
    assert (days is None) == (span < 2)
    if days is None:
        return
    assert days == min(test_days, span // 2)
    assert time_split(table, test_days=days).train.num_rows > 0


@given(rows_strategy, st.integers(1, 20), st.integers(1, 5), st.integers(0, 12))
def test_folds_are_back_to_back_windows_of_one_length_each_after_all_it_learns_from(
    rows: list[Row], test_days, number, through
) -> None:
    table = interactions(rows)
    found = folds(table, test_days=test_days, folds=number, through=day(through))
    seen = [row[2] for row in rows if row[2] <= through]
    first = min((row[2] for row in rows), default=None)
    observed = 0 if first is None else through - first + 1
    assert (len(found) == 0) == (observed < 2)
    if not found:
        return
    window = min(test_days, observed // 2)
    assert found[0].test_through == day(through) and len(found) <= number
    for split, before in zip(found, [*found[1:], None], strict=True):
        assert (split.test_through - split.train_through).days == window
        assert split.train.num_rows == sum(day(n) <= split.train_through for n in seen) > 0
        assert before is None or before.test_through == split.train_through
    if len(found) > 1:
        assert (found[-1].train_through - day(first)).days + 1 >= window
    more = folds(table, test_days=test_days, folds=number + 1, through=day(through))
    assert [split.test_through for split in more[: len(found)]] == [split.test_through for split in found]


def test_a_month_has_two_folds_of_a_week_and_ten_days_have_one_of_five() -> None:
    rows = [("ann", "hat", n) for n in range(30)]
    spans = [(s.train_through, s.test_through) for s in folds(purchases(rows), test_days=7, folds=2)]
    assert spans == [(day(22), day(29)), (day(15), day(22))]
    spans = [(s.train_through, s.test_through) for s in folds(purchases(rows[:10]), test_days=7, folds=2)]
    assert spans == [(day(4), day(9))]
    with pytest.raises(ValueError, match="folds"):
        folds(purchases(rows), test_days=7, folds=0)
    with pytest.raises(ValueError, match="test_days"):
        folds(purchases(rows), test_days=0, folds=1)
