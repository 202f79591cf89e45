from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from trasos_assets.metrics.kpis import daily_kpis
from trasos_assets.metrics.orders import order_lines, orders
from trasos_assets_tests.metrics.tables import Shop, cancellation, money, purchase, result, seen, with_person


def _kpis(shop: Shop, rows: list[dict], first: str, through: str) -> list[dict]:
    events = shop.events(rows)
    placed = shop.kept(orders(with_person(order_lines(events))))
    return result("daily_kpis", daily_kpis(events, placed, shop.watermark(first, through)))


def test_a_day_is_counted_as_worked_out_by_hand(shop: Shop) -> None:
    days = _kpis(
        shop,
        [
            purchase("2026-01-01T10:00", "o0", "ada", "5"),
            seen("2026-01-02T09:00", "ada", session_id="s1"),
            seen("2026-01-02T09:05", "ada", session_id="s2"),
            purchase("2026-01-02T09:10", "o1", "ada", "10", 2, session_id="s2"),
            purchase("2026-01-02T10:00", "o2", "bob", "4", 1, session_id="s3"),
            purchase("2026-01-02T11:00", "o3", "bob", "7", 1, session_id="s3"),
            cancellation("2026-01-05T11:00", "o2", "bob", "4"),
            purchase("2026-01-02T12:00", "o4", "cat", "6"),
            cancellation("2026-01-04T12:00", "o1", "ada", "10"),
            cancellation("2026-01-02T12:00", "C7", "dan", "3"),
            seen("2026-01-02T13:00", "crawler", bot_rule="rate", session_id="s4"),
            seen("2026-01-02T13:00", "tester", is_test=True, session_id="s5"),
        ],
        "2026-01-01",
        "2026-01-05",
    )
    day = days[1]
    assert (day["visitors"], day["sessions"], day["buyers"]) == (4, 3, 3)
    assert (day["orders"], day["new_customers"], day["returning_customers"], day["units"]) == (3, 2, 1, 4)
    # o1 20, o2 4, o3 7, o4 6; cancelled: half of o1, all of o2, and C7 whose order is unknown.
    assert (day["gross"], day["cancelled"], day["net"]) == (money("37"), money("17"), money("20"))
    assert day["visitor_conversion"] == 0.75
    assert day["average_order_value"] == money("7.6667")  # (10 + 7 + 6) / 3


def test_a_session_of_cancellations_alone_is_none(shop: Shop) -> None:
    """The back office cancels: the person counts as before, but nobody came."""
    (day,) = _kpis(
        shop,
        [
            seen("2026-01-01T09:00", "ada", session_id="s1"),
            cancellation("2026-01-01T09:05", "C1", "ada", session_id="s1"),
            cancellation("2026-01-01T10:00", "C2", "bob", session_id="inferred-1"),
        ],
        "2026-01-01",
        "2026-01-01",
    )
    assert (day["visitors"], day["sessions"]) == (2, 1)


def test_every_day_has_a_row_with_zeros_and_blanks_where_nothing_happened(shop: Shop) -> None:
    days = _kpis(shop, [purchase("2026-02-27T10:00", "o1", "ada")], "2026-02-26", "2026-03-02")
    assert [day["day"].isoformat() for day in days] == [
        "2026-02-26", "2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02",
    ]  # fmt: skip
    quiet = days[0]
    assert quiet["visitors"] == quiet["orders"] == quiet["units"] == 0
    assert quiet["net"] == money("0")
    assert quiet["visitor_conversion"] is None
    assert quiet["average_order_value"] is None


def test_a_lake_of_one_day_has_one_row(shop: Shop) -> None:
    (day,) = _kpis(shop, [purchase("2026-01-01T10:00", "o1", "ada")], "2026-01-01", "2026-01-01")
    assert (day["visitors"], day["buyers"], day["visitor_conversion"]) == (1, 1, 1.0)


def test_a_second_order_on_the_first_day_leaves_the_customer_new(shop: Shop) -> None:
    (day,) = _kpis(
        shop,
        [purchase("2026-01-01T10:00", "o1", "ada"), purchase("2026-01-01T11:00", "o2", "ada")],
        "2026-01-01",
        "2026-01-01",
    )
    assert (day["new_customers"], day["returning_customers"], day["orders"]) == (1, 0, 2)


def test_without_a_watermark_there_are_no_days(shop: Shop) -> None:
    events = shop.events([])
    assert result("daily_kpis", daily_kpis(events, shop.orders([]), shop.no_watermark())) == []


_EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["purchase", "cancellation", "view"]),
        st.integers(0, 95),
        st.sampled_from(["o1", "o2", "o3", "o4", "o5"]),
        st.sampled_from(["ada", "bob", "cat"]),
        st.decimals("0", "50", places=4),
    ),
    max_size=25,
)


@settings(max_examples=10, deadline=None)
@given(_EVENTS)
def test_days_add_up_to_orders_and_buyers_never_exceed_visitors(drawn: list[tuple]) -> None:
    rows = []
    for kind, hour, order, who, price in drawn:
        at = f"2026-01-{1 + hour // 24:02}T{hour % 24:02}:00"
        line = {"purchase": purchase, "cancellation": cancellation}.get(kind)
        rows.append(line(at, order, who, str(price)) if line else seen(at, who))
    shop = Shop()
    events = shop.events(rows)
    placed = shop.kept(orders(with_person(order_lines(events))))
    # `result` checks the contract, and with it that buyers are visitors and new or returning.
    days = result("daily_kpis", daily_kpis(events, placed, shop.watermark("2026-01-01", "2026-01-04")))
    found = result("orders", placed)
    for name in ("gross", "cancelled", "net"):
        assert sum((day[name] for day in days), Decimal(0)) == sum((order[name] for order in found), Decimal(0))
    assert sum(day["orders"] for day in days) == sum(order["is_valid"] for order in found)
    assert sum(day["new_customers"] for day in days) == len({o["person_id"] for o in found if o["is_valid"]})
