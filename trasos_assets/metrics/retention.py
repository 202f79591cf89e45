"""Who comes back, by the month of the first order."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

import ibis
from ibis import Table

from trasos_assets.contracts.analytics import RETENTION_COHORTS
from trasos_assets.metrics.shapes import conformed, data_through, first_month_day, month_number, open_month, ratio


def retention_cohorts(orders: Table, watermark: Table) -> Table:
    """Of the customers whose first valid order fell in a month, those with a valid order k months later.

    Takes ``orders`` and ``watermark``; returns the columns of ``retention_cohorts``, a row for every cohort and every
    k from 0 to the watermark's month. Month 0 is the cohort month itself, so all customers "returned" in it. In a
    month that is not over ``returned`` and ``retention`` are blank. "First" is first in the lake: customers from
    before its first day look new.
    """
    bought = orders.filter(orders.is_valid).select("person_id", month=lambda t: month_number(t.day)).distinct()
    first = bought.group_by("person_id").aggregate(cohort=bought.month.min())
    cohorts = first.group_by("cohort").aggregate(customers=first.count())
    active = bought.join(first, "person_id").select("cohort", months_since=lambda t: t.month - t.cohort)
    active = active.group_by("cohort", "months_since").aggregate(active=active.count())

    bounded = cohorts.mutate(length=month_number(data_through(watermark)) - cohorts.cohort + 1)
    grid = bounded.mutate(months_since=ibis.range(0, bounded.length).unnest())
    joined = grid.left_join(active, ["cohort", "months_since"])
    over = joined.cohort + joined.months_since < open_month(watermark)
    counted = joined.mutate(returned=over.ifelse(joined.active.fill_null(0), ibis.null("int64")))
    return conformed(
        RETENTION_COHORTS,
        counted.mutate(
            cohort_month=first_month_day(counted.cohort), retention=ratio(counted.returned, counted.customers)
        ),
    )
