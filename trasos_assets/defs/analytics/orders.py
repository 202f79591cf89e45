"""Orders: what was bought, cancelled and kept."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

import ibis

from trasos_assets.contracts.analytics import ORDER_LINES, ORDERS
from trasos_assets.lake.table import TableCheck, table
from trasos_assets.metrics import orders as definitions
from trasos_assets.trust.identity import with_person


def _lines_and_orders_differ(orders: ibis.Table, order_lines: ibis.Table) -> ibis.Table:
    bought = order_lines.line_kind == "purchase"
    lines = order_lines.agg(
        lines_gross=order_lines.amount.sum(where=bought).fill_null(0),
        lines_cancelled=order_lines.amount.sum(where=~bought).fill_null(0),
    )
    summed = orders.agg(gross=orders.gross.sum().fill_null(0), cancelled=orders.cancelled.sum().fill_null(0))
    both = lines.cross_join(summed)
    return both.filter((both.gross != both.lines_gross) | (both.cancelled != both.lines_cancelled))


@table(ORDER_LINES)
def order_lines(clean_events: ibis.Table) -> ibis.Table:
    """One row per purchased or cancelled line."""
    return definitions.order_lines(clean_events)


@table(
    ORDERS,
    checks=[
        TableCheck(
            "orders_reconcile_with_lines",
            _lines_and_orders_differ,
            "Gross and cancelled over all orders equal those over all lines, to the last digit.",
            blocking=True,
        )
    ],
)
def orders(order_lines: ibis.Table, identities: ibis.Table) -> ibis.Table:
    """One row per order."""
    return definitions.orders(with_person(order_lines, identities))
