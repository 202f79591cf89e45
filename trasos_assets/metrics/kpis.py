"""The headline numbers of every day."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

from ibis import Table

from trasos_assets.contracts.analytics import DAILY_KPIS
from trasos_assets.metrics.shapes import calendar, conformed, money, money_ratio, of_people, ratio


def daily_kpis(events_with_person: Table, orders: Table, watermark: Table) -> Table:
    """One row for every day of the lake, zeros where nothing happened.

    Takes ``clean_events`` with a ``person_id``, ``orders`` and ``watermark``; returns the columns of ``daily_kpis``.
    Gross, cancelled and net are sums over all rows of ``orders`` on the day, lone cancellations and wholly cancelled
    orders among them, so the days add up to the orders to the last decimal; buyers, orders and units are of valid
    orders only, and so is the average order value.
    """
    events = of_people(events_with_person)
    traffic = events.group_by("day").aggregate(
        visitors=events.person_id.nunique(), sessions=events.session_id.nunique()
    )
    sales = orders.group_by("day").aggregate(
        buyers=orders.person_id.nunique(where=orders.is_valid),
        orders=orders.is_valid.sum(),
        new_customers=(orders.order_number == 1).fill_null(False).sum(),
        units=orders.quantity.sum(where=orders.is_valid),
        gross=orders.gross.sum(),
        cancelled=orders.cancelled.sum(),
        valid_net=orders.net.sum(where=orders.is_valid),
    )
    days = calendar(watermark).left_join(traffic, "day").drop("day_right").left_join(sales, "day")
    counts = {
        name: days[name].fill_null(0) for name in ("visitors", "sessions", "buyers", "orders", "new_customers", "units")
    }
    filled = days.select("day", **counts, **{name: money(days[name]) for name in ("gross", "cancelled", "valid_net")})
    return conformed(
        DAILY_KPIS,
        filled.mutate(
            returning_customers=filled.buyers - filled.new_customers,
            net=filled.gross - filled.cancelled,
            visitor_conversion=ratio(filled.buyers, filled.visitors),
            average_order_value=money_ratio(filled.valid_net, filled.orders),
        ),
    )
