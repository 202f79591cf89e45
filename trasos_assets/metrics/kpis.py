"""The headline numbers of every day."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

import ibis
from ibis import Table

from trasos_assets.contracts.analytics import DAILY_KPIS
from trasos_assets.metrics.erased import Cells
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


MONEY_SUMS = ("gross", "cancelled", "net", "valid_net")
COUNTS = ("visitors", "sessions", "buyers", "orders", "new_customers", "units")
CELLS = Cells("daily_kpis", {"day": "period"}, (*COUNTS, *MONEY_SUMS))


def day_cells(events_with_person: Table, orders: Table) -> Table:
    """One row for every day on which anybody came or bought: what ``daily_kpis`` is made of, all of it additive."""
    came, bought = traffic(of_people(events_with_person)), sales(orders)
    both = came.outer_join(bought, "day")
    counts = {name: both[name].fill_null(0).cast("int64") for name in COUNTS}
    sums = {name: money(both[name]) for name in MONEY_SUMS}
    return both.select(day=ibis.coalesce(both.day, both.day_right), **counts, **sums)


def daily_kpis(events_with_person: Table, orders: Table, watermark: Table, erased: Table | None = None) -> Table:
    """One row for every day of the lake, zeros where nothing happened.

    Takes ``clean_events`` with a ``person_id``, ``orders``, ``watermark`` and, if people were forgotten,
    ``erased_totals``; returns the columns of ``daily_kpis``.
    Gross, cancelled and net are sums over all rows of ``orders`` on the day, lone cancellations and wholly cancelled
    orders among them, so the days add up to the orders to the last decimal; buyers, orders and units are of valid
    orders only, and so is the average order value.
    """
    cells = CELLS.with_erased(day_cells(events_with_person, orders), erased)
    days = calendar(watermark).left_join(cells, "day")
    counts = {name: days[name].fill_null(0) for name in COUNTS}
    sums = {name: money(days[name]) for name in MONEY_SUMS}
    filled = days.select("day", **counts, **sums)
    return conformed(
        DAILY_KPIS,
        filled.mutate(
            returning_customers=filled.buyers - filled.new_customers,
            visitor_conversion=ratio(filled.buyers, filled.visitors),
            average_order_value=money_ratio(filled.valid_net, filled.orders),
        ),
    )
