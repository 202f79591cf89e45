"""What it costs to win a customer."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

from typing import Any

import ibis
from ibis import Table

from trasos_assets.contracts.analytics import ACQUISITION_COST
from trasos_assets.metrics.erased import Cells
from trasos_assets.metrics.shapes import (
    ALL,
    UNKNOWN,
    calendar,
    conformed,
    data_through,
    first_day,
    money,
    money_ratio,
    open_week,
    week_of,
)

CELLS = Cells("acquisition_cost", {"week": "period", "channel": "label"}, ("new_customers",))


def won_cells(orders: Table) -> Table:
    """Customers won by week and channel: what ``acquisition_cost`` is made of, beside the spend."""
    won = orders.filter((orders.order_number == 1).fill_null(False))
    won = won.select(week=week_of(won.day), channel=_named(won.channel))
    return won.group_by("week", "channel").aggregate(new_customers=won.count())


def acquisition_cost(orders: Table, marketing_spend: Table, watermark: Table, erased: Table | None = None) -> Table:
    """Marketing cost, customers won and cost per customer, by week and channel, and blended over all channels.

    Takes ``orders``, ``marketing_spend``, ``watermark`` and, if people were forgotten, ``erased_totals``; returns the
    columns of ``acquisition_cost``. A customer is won in the week and by the channel of the first valid order. ``all``
    has every week of the lake and counts customers of unpaid and unknown channels too; a channel has the weeks in which
    it cost or won something. Spend outside the days of the lake is left out, since the orders that it bought are not
    there either. A source's channel named "all" is one that does not say which, so it goes to "unknown". ``cac`` is
    blank while the week is open.
    """
    won = CELLS.with_erased(won_cells(orders), erased)
    won = won.select("week", "channel", cost=ibis.literal(0, "decimal(18, 4)"), new_customers="new_customers")
    within = marketing_spend.spend_day.between(first_day(watermark), data_through(watermark))
    spent = marketing_spend.filter(within).select(
        week=lambda t: week_of(t.spend_day),
        channel=lambda t: _named(t.channel),
        cost=lambda t: t.cost.cast("decimal(18, 4)"),
        new_customers=ibis.literal(0, "int64"),
    )
    movements = ibis.union(won, spent)
    movements = movements.mutate(channel=ibis.array([movements.channel, ibis.literal(ALL)]).unnest())
    weeks = calendar(watermark).select(
        week=lambda t: week_of(t.day),
        channel=ibis.literal(ALL),
        cost=ibis.literal(0, "decimal(18, 4)"),
        new_customers=ibis.literal(0, "int64"),
    )
    rows = ibis.union(movements.select(weeks.columns), weeks.distinct())
    totals = rows.group_by("week", "channel").aggregate(
        cost=money(rows.cost.sum()), new_customers=rows.new_customers.sum()
    )
    cac = money_ratio(totals.cost, totals.new_customers)
    return conformed(
        ACQUISITION_COST,
        totals.mutate(cac=(totals.week < open_week(watermark)).ifelse(cac, ibis.null("decimal(18, 4)"))),
    )


def _named(channel: Any) -> Any:
    return channel.fill_null(UNKNOWN).substitute(ALL, UNKNOWN)
