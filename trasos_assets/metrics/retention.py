"""Who comes back, by the month of the first order."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

import ibis
from ibis import Table

from trasos_assets.contracts.analytics import RETENTION_COHORTS
from trasos_assets.metrics.erased import Cells
from trasos_assets.metrics.shapes import conformed, data_through, first_month_day, month_number, open_month, ratio

CELLS = Cells("retention_cohorts", {"cohort_month": "period", "months_since": "number"}, ("customers", "active"))


def cohort_cells(orders: Table, watermark: Table) -> Table:
    """Size of every cohort and its customers with a valid order, by months since, to the watermark's month: what
    ``retention_cohorts`` is made of.
    """
    bought = orders.filter(orders.is_valid).select("person_id", month=lambda t: month_number(t.day)).distinct()
    first = bought.group_by("person_id").aggregate(cohort=bought.month.min())
    cohorts = first.group_by("cohort").aggregate(customers=first.count())
    active = bought.join(first, "person_id").select("cohort", months_since=lambda t: t.month - t.cohort)
    active = active.group_by("cohort", "months_since").aggregate(active=active.count())

    bounded = cohorts.mutate(length=month_number(data_through(watermark)) - cohorts.cohort + 1)
    grid = bounded.mutate(months_since=ibis.range(0, bounded.length).unnest())
    joined = grid.left_join(active, ["cohort", "months_since"])
    return joined.select(
        "months_since",
        "customers",
        cohort_month=first_month_day(joined.cohort),
        active=joined.active.fill_null(0),
    )


def retention_cohorts(orders: Table, watermark: Table, erased: Table | None = None) -> Table:
    """Of the customers whose first valid order fell in a month, those with a valid order k months later.

    Takes ``orders``, ``watermark`` and, if people were forgotten, ``erased_totals``; returns the columns of
    ``retention_cohorts``, a row for every cohort and every k from 0 to the watermark's month. Month 0 is the cohort
    month itself, so all customers "returned" in it. In a month that is not over ``returned`` and ``retention`` are
    blank. "First" is first in the lake: customers from before its first day look new. A customer who was forgotten
    stays in the cohort for the months that had begun by then, and is in none after them, since nobody could see them
    come back.
    """
    cells = CELLS.with_erased(cohort_cells(orders, watermark), erased)
    over = month_number(cells.cohort_month) + cells.months_since < open_month(watermark)
    counted = cells.mutate(returned=over.ifelse(cells.active, ibis.null("int64")))
    return conformed(RETENTION_COHORTS, counted.mutate(retention=ratio(counted.returned, counted.customers)))
