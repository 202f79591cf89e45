from decimal import Decimal

from trasos_assets.metrics.acquisition import acquisition_cost
from trasos_assets.metrics.headlines import Headline, headlines
from trasos_assets.metrics.kpis import daily_kpis
from trasos_assets.metrics.orders import order_lines, orders
from trasos_assets.metrics.returns import time_to_return
from trasos_assets_tests.metrics.tables import Shop, cancellation, purchase, seen, with_person


def _headlines(shop: Shop, rows: list[dict], spend: list[tuple], first: str, through: str) -> dict[str, Headline]:
    events = shop.events(rows)
    placed = shop.kept(orders(with_person(order_lines(events))))
    watermark = shop.watermark(first, through)
    found = headlines(
        daily_kpis(events, placed, watermark),
        acquisition_cost(placed, shop.spend(spend), watermark),
        time_to_return(placed, watermark),
    )
    return {headline.name: headline for headline in found}


def test_the_last_week_stands_beside_the_week_before(shop: Shop) -> None:
    rows = [
        purchase("2026-01-01T10:00", "old", "zoe", "500"),
        purchase("2026-01-03T10:00", "a1", "ada", "10"),
        seen("2026-01-08T10:00", "bob"),
        purchase("2026-01-10T10:00", "a2", "ada", "20"),
        purchase("2026-01-16T10:00", "b1", "bob", "30.01"),
        cancellation("2026-01-16T11:00", "C1", "bob", "5"),
        seen("2026-01-16T10:00", "cat"),
    ]
    spend = [("2026-01-04", "ads", "10"), ("2026-01-06", "ads", "4")]
    found = _headlines(shop, rows, spend, "2026-01-01", "2026-01-16")
    assert (found["conversion"].value, found["conversion"].previous) == (2 / 3, 0.5)
    assert (found["orders"].value, found["orders"].previous) == (2, 1)
    assert (found["net_revenue"].value, found["net_revenue"].previous) == (Decimal("45.0100"), Decimal("10.0000"))
    assert found["average_order_value"].value == Decimal("25.01")  # 50.01 / 2, half up
    assert (found["new_customers"].value, found["new_customers"].previous) == (1, 1)
    # Week of 5 January cost 4 and won nobody; the week before cost 10 and won ada and zoe.
    assert (found["blended_cac"].value, found["blended_cac"].previous) == (None, Decimal("5.0000"))
    assert found["returned_within_30_days"].value is None
    assert "2026-01-16" in found["orders"].definition


def test_a_window_that_is_not_whole_is_blank(shop: Shop) -> None:
    found = _headlines(shop, [purchase("2026-01-01T10:00", "o1", "ada")], [], "2026-01-01", "2026-01-06")
    assert {headline.value for headline in found.values()} == {None}
    whole = _headlines(shop, [purchase("2026-01-01T10:00", "o1", "ada")], [], "2026-01-01", "2026-01-07")
    assert (whole["orders"].value, whole["orders"].previous) == (1, None)


def test_a_week_without_reported_spend_has_no_cost_per_customer(shop: Shop) -> None:
    rows = [purchase("2026-01-06T10:00", "o1", "ada")]
    assert _headlines(shop, rows, [], "2026-01-05", "2026-01-11")["blended_cac"].value is None
    paid = _headlines(shop, rows, [("2026-01-07", "ads", "3")], "2026-01-05", "2026-01-11")
    assert paid["blended_cac"].value == Decimal("3.0000")


def test_the_last_week_that_is_over_ends_on_the_last_sunday(shop: Shop) -> None:
    rows = [purchase("2026-01-06T10:00", "o1", "ada")]
    for through, value in (("2026-01-10", None), ("2026-01-11", Decimal(3)), ("2026-01-17", Decimal(3))):
        found = _headlines(shop, rows, [("2026-01-07", "ads", "3")], "2026-01-05", through)
        assert found["blended_cac"].value == value


def test_an_empty_lake_has_headlines_without_values(shop: Shop) -> None:
    empty = shop.events([])
    placed, watermark = shop.orders([]), shop.no_watermark()
    found = headlines(
        daily_kpis(empty, placed, watermark),
        acquisition_cost(placed, shop.spend([]), watermark),
        time_to_return(placed, watermark),
    )
    assert len(found) == 7
    assert {headline.value for headline in found} == {None}
