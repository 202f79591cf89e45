from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from trasos_assets.metrics.acquisition import acquisition_cost
from trasos_assets_tests.metrics.tables import Shop, money, purchase, result


def _rows(rows: list[dict]) -> dict[tuple[str, str], tuple]:
    return {(row["week"].isoformat(), row["channel"]): (row["cost"], row["new_customers"], row["cac"]) for row in rows}


def test_costs_are_as_worked_out_by_hand(shop: Shop) -> None:
    orders = shop.orders(
        [
            purchase("2026-01-05T00:00", "o1", "ada", channel="ads"),
            purchase("2026-01-11T23:59", "o2", "bob", channel="ads"),
            purchase("2026-01-07T10:00", "o3", "cat", channel="seo"),
            purchase("2026-01-07T10:00", "o4", "dan"),
            purchase("2026-01-08T10:00", "o5", "ada", channel="mail"),
            purchase("2026-01-12T10:00", "o6", "eve", channel="ads"),
        ]
    )
    spend = shop.spend(
        [
            ("2026-01-05", "ads", "60"),
            ("2026-01-11", "ads", "40.01"),
            ("2026-01-11", "tv", "30"),
            ("2026-01-12", "ads", "9"),
            ("2026-01-04", "ads", "1000"),
            ("2026-01-19", "ads", "1000"),
        ]
    )
    rows = result("acquisition_cost", acquisition_cost(orders, spend, shop.watermark("2026-01-05", "2026-01-17")))
    assert _rows(rows) == {
        ("2026-01-05", "ads"): (money("100.01"), 2, money("50.005")),
        ("2026-01-05", "seo"): (money("0"), 1, money("0")),
        ("2026-01-05", "unknown"): (money("0"), 1, money("0")),
        ("2026-01-05", "tv"): (money("30"), 0, None),
        ("2026-01-05", "all"): (money("130.01"), 4, money("32.5025")),
        ("2026-01-12", "ads"): (money("9"), 1, None),
        ("2026-01-12", "all"): (money("9"), 1, None),
    }


def test_a_week_is_over_once_its_sunday_has_landed(shop: Shop) -> None:
    orders, spend = shop.orders([purchase("2026-01-06T10:00", "o1", "ada")]), shop.spend([("2026-01-06", "ads", "8")])
    saturday = acquisition_cost(orders, spend, shop.watermark("2026-01-05", "2026-01-10"))
    sunday = acquisition_cost(orders, spend, shop.watermark("2026-01-05", "2026-01-11"))
    assert _rows(result("acquisition_cost", saturday))["2026-01-05", "all"] == (money("8"), 1, None)
    assert _rows(result("acquisition_cost", sunday))["2026-01-05", "all"] == (money("8"), 1, money("8"))


def test_a_channel_named_all_does_not_mix_with_the_blended_row(shop: Shop) -> None:
    orders = shop.orders([purchase("2026-01-06T10:00", "o1", "ada", channel="all")])
    table = acquisition_cost(
        orders, shop.spend([("2026-01-06", "all", "8")]), shop.watermark("2026-01-05", "2026-01-11")
    )
    rows = _rows(result("acquisition_cost", table))
    assert set(rows) == {("2026-01-05", "all"), ("2026-01-05", "unknown")}
    assert rows["2026-01-05", "all"] == rows["2026-01-05", "unknown"] == (money("8"), 1, money("8"))


def test_every_week_has_a_blended_row_even_if_nothing_happened(shop: Shop) -> None:
    table = acquisition_cost(shop.orders([]), shop.spend([]), shop.watermark("2026-01-07", "2026-01-19"))
    assert _rows(result("acquisition_cost", table)) == {
        (week, "all"): (money("0"), 0, None) for week in ("2026-01-05", "2026-01-12", "2026-01-19")
    }
    nothing = acquisition_cost(shop.orders([]), shop.spend([]), shop.no_watermark())
    assert result("acquisition_cost", nothing) == []


_SPEND = st.tuples(st.integers(1, 31), st.sampled_from(["ads", "tv"]), st.decimals("0", "999", places=4))
_WON = st.tuples(st.integers(1, 31), st.sampled_from(["ads", "seo", None]))


@settings(max_examples=8, deadline=None)
@given(st.lists(_SPEND, max_size=12), st.lists(_WON, max_size=12))
def test_channels_add_up_to_the_blended_row_and_weeks_to_the_whole(spent: list[tuple], won: list[tuple]) -> None:
    shop = Shop()
    orders = shop.orders(
        [purchase(f"2026-01-{day:02}T10:00", f"o{n}", f"p{n}", channel=channel) for n, (day, channel) in enumerate(won)]
    )
    spend = shop.spend([(f"2026-01-{day:02}", channel, str(cost)) for day, channel, cost in spent])
    rows = result("acquisition_cost", acquisition_cost(orders, spend, shop.watermark("2026-01-01", "2026-01-31")))
    for name, total in (("cost", sum((cost for *_, cost in spent), Decimal(0))), ("new_customers", len(won))):
        assert sum(row[name] for row in rows if row["channel"] == "all") == total
        assert sum(row[name] for row in rows if row["channel"] != "all") == total
