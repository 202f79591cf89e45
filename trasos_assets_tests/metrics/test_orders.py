from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trasos_assets.metrics.orders import order_lines, orders
from trasos_assets_tests.metrics.tables import Shop, cancellation, money, purchase, result, seen, with_person


def test_order_lines_hold_purchases_and_cancellations_of_people_only(shop: Shop) -> None:
    events = shop.events(
        [
            purchase("2026-01-01T10:00", "o1", "ada", "2.55", 6),
            cancellation("2026-01-01T11:00", "o1", "ada", "2.55", 1),
            purchase("2026-01-01T10:00", "o2", "crawler", bot_rule="user_agent"),
            purchase("2026-01-01T10:00", "o3", "tester", is_test=True),
            purchase("2026-01-01T10:00", "o4", "bob", is_test=False),
            seen("2026-01-01T10:00", "ada"),
        ]
    )
    lines = result("order_lines", order_lines(events))
    assert [(line["order_id"], line["line_kind"], line["amount"]) for line in lines] == [
        ("o1", "purchase", money("15.30")),
        ("o1", "cancellation", money("2.55")),
        ("o4", "purchase", money("10")),
    ]


def test_amounts_stay_exact_at_the_largest_price_and_quantity(shop: Shop) -> None:
    events = shop.events([purchase("2026-01-01T10:00", "o1", "ada", "999999.9999", 1_000_000)])
    (line,) = result("order_lines", order_lines(events))
    assert line["amount"] == Decimal("999999999900.0000")


def test_an_order_is_its_purchases_less_its_cancellations(shop: Shop) -> None:
    rows = result(
        "orders",
        shop.orders(
            [
                purchase("2026-01-01T10:00:05", "o1", "ada", "3.3333", 3),
                purchase("2026-01-01T10:00:01", "o1", "ada", "1", 2, channel="ads", device="app", country="DE"),
                cancellation("2026-01-09T10:00", "o1", "ada", "3.3333", 1),
            ]
        ),
    )
    (order,) = rows
    expected = {
        "order_kind": "order",
        "person_id": "ada",
        "lines": 2,
        "quantity": 5,
        "gross": money("11.9999"),
        "cancelled": money("3.3333"),
        "net": money("8.6666"),
        "is_valid": True,
        "order_number": 1,
        "channel": "ads",
        "device": "app",
        "country": "DE",
    }
    assert {name: order[name] for name in expected} == expected
    assert order["day"].isoformat() == "2026-01-01"
    assert order["ordered_at"].isoformat() == "2026-01-01T10:00:01"


def test_a_cancellation_of_an_unknown_order_stands_alone_and_is_no_order(shop: Shop) -> None:
    rows = result(
        "orders",
        shop.orders([purchase("2026-01-01T10:00", "o1", "ada"), cancellation("2026-01-03T10:00", "C1", "ada", "4")]),
    )
    lone = rows[0]
    assert (lone["order_id"], lone["order_kind"], lone["is_valid"], lone["order_number"]) == (
        "C1", "cancellation", False, None,
    )  # fmt: skip
    assert (lone["gross"], lone["net"], lone["lines"]) == (money("0"), money("-4"), 0)
    assert lone["day"].isoformat() == "2026-01-03"


@pytest.mark.parametrize(
    ("price", "taken_back", "valid"),
    [
        ("10", None, True),
        ("10", "9.9999", True),
        ("10", "10", False),
        ("10", "12", False),
        ("0", None, False),
    ],
)
def test_an_order_is_valid_if_paid_for_and_not_wholly_cancelled(
    shop: Shop, price: str, taken_back: str | None, valid: bool
) -> None:
    events = [purchase("2026-01-01T10:00", "o1", "ada", price)]
    if taken_back:
        events.append(cancellation("2026-01-02T10:00", "o1", "ada", taken_back))
    (order,) = result("orders", shop.orders(events))
    assert order["is_valid"] is valid
    assert order["order_kind"] == "order"


def test_order_numbers_count_valid_orders_of_a_person_in_time(shop: Shop) -> None:
    rows = result(
        "orders",
        shop.orders(
            [
                purchase("2026-01-03T10:00", "o1", "ada"),
                purchase("2026-01-01T10:00", "o2", "ada"),
                cancellation("2026-01-01T11:00", "o2", "ada"),
                purchase("2026-01-02T10:00", "o3", "ada"),
                purchase("2026-01-03T10:00", "o4", "ada"),
                purchase("2026-01-04T10:00", "o5", "bob"),
            ]
        ),
    )
    assert {row["order_id"]: row["order_number"] for row in rows} == {"o1": 2, "o2": None, "o3": 1, "o4": 3, "o5": 1}


def test_an_order_takes_all_its_attributes_from_its_first_purchase_line(shop: Shop) -> None:
    (order,) = result(
        "orders",
        shop.orders(
            [
                cancellation("2026-01-01T09:00", "o1", "zoe", "1", channel="support"),
                purchase("2026-01-01T10:00", "o1", "zoe", event_id="b", channel="mail"),
                purchase("2026-01-01T10:00", "o1", "bob", event_id="a", device="web"),
            ]
        ),
    )
    assert (order["person_id"], order["channel"], order["device"]) == ("bob", None, "web")


def test_no_events_give_no_orders(shop: Shop) -> None:
    assert result("order_lines", order_lines(shop.events([]))) == []
    assert result("orders", shop.orders([])) == []


_LINES = st.lists(
    st.tuples(
        st.sampled_from(["purchase", "cancellation"]),
        st.integers(0, 200),
        st.sampled_from(["o1", "o2", "o3", "o4"]),
        st.sampled_from(["ada", "bob"]),
        st.decimals("0", "99.9999", places=4),
        st.integers(1, 9),
    ),
    max_size=25,
)


@settings(max_examples=10, deadline=None)
@given(_LINES)
def test_orders_reconcile_with_their_lines_to_the_fourth_decimal(lines: list[tuple]) -> None:
    make = {"purchase": purchase, "cancellation": cancellation}
    events = [
        make[kind](f"2026-01-{1 + hour // 24:02}T{hour % 24:02}:00", order, who, str(price), quantity)
        for kind, hour, order, who, price, quantity in lines
    ]
    shop = Shop()
    line_table = with_person(order_lines(shop.events(events)))
    rows = result("orders", orders(line_table))
    totals = {
        kind: sum((price * quantity for k, _, _, _, price, quantity in lines if k == kind), Decimal(0)) for kind in make
    }
    assert sum((row["gross"] for row in rows), Decimal(0)) == totals["purchase"]
    assert sum((row["cancelled"] for row in rows), Decimal(0)) == totals["cancellation"]
    assert all(row["net"] == row["gross"] - row["cancelled"] for row in rows)
    assert {row["order_id"] for row in rows} == {line[2] for line in lines}
    for who in ("ada", "bob"):
        numbers = sorted(row["order_number"] for row in rows if row["person_id"] == who and row["is_valid"])
        assert numbers == list(range(1, len(numbers) + 1))
