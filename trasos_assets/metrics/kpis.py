"""The headline numbers of every day."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

from ibis import Table

from trasos_assets.contracts.analytics import DAILY_KPIS
from trasos_assets.metrics.shapes import calendar, conformed, money, money_ratio, of_people, ratio


def traffic(people: Table, *by: str) -> Table:
    """``visitors`` and ``sessions`` by day, or by the columns ``by``, of events `of_people` with a ``person_id``.

    A session of nothing but cancellations is the back office's work and not counted: nobody came.
    """
    return people.group_by(by or "day").aggregate(
        visitors=people.person_id.nunique(),
        sessions=people.session_id.nunique(where=people.event_type != "cancellation"),
    )


def sales(orders: Table, *by: str) -> Table:
    """What orders add up to by day, or by the columns ``by``: counts of valid orders, money of all of them."""
    return orders.group_by(by or "day").aggregate(
        buyers=orders.person_id.nunique(where=orders.is_valid),
        orders=orders.is_valid.sum(),
        new_customers=(orders.order_number == 1).fill_null(False).sum(),
        units=orders.quantity.sum(where=orders.is_valid),
        gross=orders.gross.sum(),
        cancelled=orders.cancelled.sum(),
        net=orders.net.sum(),
        valid_net=orders.net.sum(where=orders.is_valid),
    )


def daily_kpis(events_with_person: Table, orders: Table, watermark: Table) -> Table:
    """One row for every day of the lake, zeros where nothing happened.

    Takes ``clean_events`` with a ``person_id``, ``orders`` and ``watermark``; returns the columns of ``daily_kpis``.
    Gross, cancelled and net are sums over all rows of ``orders`` on the day, lone cancellations and wholly cancelled
    orders among them, so the days add up to the orders to the last decimal; buyers, orders and units are of valid
    orders only, and so is the average order value.
    """
    came, bought = traffic(of_people(events_with_person)), sales(orders)
    days = calendar(watermark).left_join(came, "day").drop("day_right").left_join(bought, "day")
    counts = {
        name: days[name].fill_null(0) for name in ("visitors", "sessions", "buyers", "orders", "new_customers", "units")
    }
    sums = {name: money(days[name]) for name in ("gross", "cancelled", "net", "valid_net")}
    filled = days.select("day", **counts, **sums)
    return conformed(
        DAILY_KPIS,
        filled.mutate(
            returning_customers=filled.buyers - filled.new_customers,
            visitor_conversion=ratio(filled.buyers, filled.visitors),
            average_order_value=money_ratio(filled.valid_net, filled.orders),
        ),
    )
