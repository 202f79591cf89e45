"""Growth and forecasts on made-up histories, and money to the last digit."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trasos_assets.contracts.storage import FORECAST_DAYS
from trasos_assets.storage.growth import forecast, growth
from trasos_assets.storage.money import compute_cost, storage_cost

TODAY = date(2026, 6, 30)


def every_day(days: int, slope: int, start: int = 1_000_000) -> list[tuple[date, int]]:
    first = TODAY - timedelta(days=days)
    return [(first + timedelta(days=n), start + slope * n) for n in range(days + 1)]


@given(slope=st.integers(-5_000, 50_000), window=st.sampled_from([7, 28]), days=st.integers(28, 60))
def test_a_straight_line_grows_by_its_slope(slope: int, window: int, days: int) -> None:
    assert growth(every_day(days, slope), TODAY, window) == slope


def test_each_window_sees_its_own_days_only() -> None:
    quiet = [(day, size) for day, size in every_day(28, 10) if day < TODAY - timedelta(days=7)]
    busy = every_day(7, 1_000, start=quiet[-1][1])
    assert growth([*quiet, *busy], TODAY, 7) == 1_000
    long = growth([*quiet, *busy], TODAY, 28)
    assert long is not None
    assert 10 < long < 1_000


@pytest.mark.parametrize(
    "measures",
    [
        [],
        [(TODAY, 5)],
        every_day(4, 100),
        [(TODAY - timedelta(days=7), 1), (TODAY, 2)],
        [(day, size) for day, size in every_day(7, 100) if day != TODAY],
        [(TODAY - timedelta(days=40), 1), *every_day(2, 100)],
    ],
    ids=["nothing", "one", "half the window", "two", "not today", "a gap"],
)
def test_too_little_history_is_blank(measures: list[tuple[date, int]]) -> None:
    assert growth(measures, TODAY, 7) is None


def test_a_missed_day_or_two_are_no_matter() -> None:
    holed = [point for n, point in enumerate(every_day(28, 500)) if n not in (0, 3, 4, 17)]
    assert growth(holed, TODAY, 28) == 500


def test_the_forecast_takes_the_longer_view_and_says_nothing_without_one() -> None:
    assert forecast(1_000, 50, 10) == 1_000 + 10 * FORECAST_DAYS
    assert forecast(1_000, 50, None) == 1_000 + 50 * FORECAST_DAYS
    assert forecast(1_000, None, None) is None
    assert forecast(1_000, None, -500) == 0


def test_money_is_exact_and_blank_without_a_price() -> None:
    assert storage_cost(1_234_567_890_123, Decimal("0.023")) == Decimal("28.3951")
    assert storage_cost(0, Decimal("0.023")) == 0
    assert storage_cost(None, Decimal("0.023")) is None
    assert storage_cost(5, None) is None
    assert compute_cost(Decimal("90.5"), Decimal("1.20")) == Decimal("0.0302")
    assert compute_cost(Decimal(1), None) is None
