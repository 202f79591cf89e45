from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri

from trasos_assets.metrics.headlines import share_returned_within
from trasos_assets.metrics.returns import kaplan_meier, time_to_return
from trasos_assets_tests.metrics.tables import Shop, cancellation, purchase, result


def _curve(rows: list[dict], segment: str = "all") -> list[tuple]:
    names = ("days", "at_risk", "returned", "censored", "not_returned")
    return [tuple(row[name] for name in names) for row in rows if row["segment"] == segment]


def test_the_curve_is_as_worked_out_by_hand(shop: Shop) -> None:
    orders = shop.orders(
        [
            purchase("2026-01-01T10:00", "a1", "ada", channel="ads"),
            purchase("2026-01-06T09:00", "a2", "ada", channel="mail"),
            purchase("2026-01-20T09:00", "a3", "ada"),
            purchase("2026-01-02T10:00", "b1", "bob", channel="ads"),
            purchase("2026-01-02T18:00", "b2", "bob"),
            purchase("2026-01-26T10:00", "c1", "cat"),
            purchase("2026-01-01T10:00", "d1", "dan"),
            purchase("2026-01-04T10:00", "d2", "dan"),
            cancellation("2026-01-09T10:00", "d2", "dan"),
            cancellation("2026-01-09T10:00", "C1", "eve"),
        ]
    )
    rows = result("time_to_return", time_to_return(orders, shop.watermark("2026-01-01", "2026-01-31")))
    assert _curve(rows) == [(0, 4, 1, 0, 0.75), (5, 3, 1, 1, 0.5), (30, 1, 0, 1, 0.5)]
    assert _curve(rows, "channel:ads") == [(0, 2, 1, 0, 0.5), (5, 1, 1, 0, 0.0)]
    assert _curve(rows, "channel:unknown") == [(5, 2, 0, 1, 1.0), (30, 1, 0, 1, 1.0)]
    assert {row["segment"] for row in rows} == {"all", "channel:ads", "channel:unknown"}


def test_customers_who_are_not_back_yet_lengthen_the_estimate(shop: Shop) -> None:
    """Truth: half return after 10 days, half after 40. Seen on day 20, the mean of those who returned would say 10."""
    events = []
    for n in range(20):
        events.append(purchase("2026-01-01T10:00", f"first{n}", f"p{n}"))
        if n % 2:
            events.append(purchase("2026-01-11T10:00", f"second{n}", f"p{n}"))
    curve = time_to_return(shop.orders(events), shop.watermark("2026-01-01", "2026-01-21"))
    assert share_returned_within(curve, 9) == 0.0
    assert share_returned_within(curve, 10) == 0.5
    assert share_returned_within(curve, 20) == 0.5
    assert share_returned_within(curve, 30) is None


def test_without_customers_the_curve_is_empty(shop: Shop) -> None:
    for watermark in (shop.watermark("2026-01-01", "2026-01-01"), shop.no_watermark()):
        curve = time_to_return(shop.orders([]), watermark)
        assert result("time_to_return", curve) == []
        assert share_returned_within(curve, 30) is None


def test_on_the_first_day_everyone_is_censored_at_once(shop: Shop) -> None:
    orders = shop.orders([purchase("2026-01-01T10:00", "a1", "ada"), purchase("2026-01-01T10:00", "b1", "bob")])
    rows = result("time_to_return", time_to_return(orders, shop.watermark("2026-01-01", "2026-01-01")))
    assert _curve(rows) == [(0, 2, 0, 2, 1.0)]
    assert (rows[0]["lower"], rows[0]["upper"]) == (None, None)


def test_a_negative_number_of_days_is_refused(shop: Shop) -> None:
    with pytest.raises(ValueError, match="0 or more"):
        share_returned_within(time_to_return(shop.orders([]), shop.watermark("2026-01-01", "2026-01-01")), -1)


def test_the_band_equals_the_exponential_greenwood_formula() -> None:
    days, returned, censored = np.array([1, 4, 9]), np.array([3, 2, 1]), np.array([1, 0, 3])
    found = kaplan_meier(days, returned, censored)
    survival = np.cumprod(1 - returned / found["at_risk"])
    greenwood = np.cumsum(returned / (found["at_risk"] * (found["at_risk"] - returned)))
    spread = np.exp(ndtri(0.975) * np.sqrt(greenwood) / np.abs(np.log(survival)))
    assert found["lower"] == pytest.approx(survival**spread, abs=1e-9)
    assert found["upper"] == pytest.approx(survival ** (1 / spread), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=40))
def test_the_estimate_equals_a_product_of_exact_fractions(people: list[tuple[int, bool]]) -> None:
    days = sorted({day for day, _ in people})
    returned = [sum(d == day and back for d, back in people) for day in days]
    censored = [sum(d == day and not back for d, back in people) for day in days]
    found = kaplan_meier(np.array(days), np.array(returned), np.array(censored))
    share = Fraction(1)
    for n, day in enumerate(days):
        at_risk = sum(d >= day for d, _ in people)
        share *= Fraction(at_risk - returned[n], at_risk)
        assert found["at_risk"][n] == at_risk
        assert found["not_returned"][n] == pytest.approx(float(share), abs=1e-9)
        if not np.isnan(found["lower"][n]):
            assert found["lower"][n] <= found["not_returned"][n] <= found["upper"][n]
