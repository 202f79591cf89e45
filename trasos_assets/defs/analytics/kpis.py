"""KPI tables: whether the business got what it wanted."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

import ibis

from trasos_assets.contracts.analytics import (
    ACQUISITION_COST,
    CONVERSION_FUNNEL,
    DAILY_KPIS,
    EXPERIMENT_RESULTS,
    RETENTION_COHORTS,
    TIME_TO_RETURN,
)
from trasos_assets.contracts.erasure import ERASED_TOTALS
from trasos_assets.lake.store import LakeStore
from trasos_assets.lake.table import TableCheck, table
from trasos_assets.metrics import acquisition, funnel, kpis, retention
from trasos_assets.settings import get_settings
from trasos_assets.trust.identity import person_of_unit, with_person

_FORGOTTEN = [ERASED_TOTALS.name]


def _days_and_orders_differ(daily_kpis: ibis.Table, orders: ibis.Table, store: LakeStore) -> ibis.Table:
    days = daily_kpis.agg(
        gross=daily_kpis.gross.sum().fill_null(0),
        cancelled=daily_kpis.cancelled.sum().fill_null(0),
        orders=daily_kpis.orders.sum().fill_null(0),
    )
    placed = orders.agg(
        orders_gross=orders.gross.sum().fill_null(0),
        orders_cancelled=orders.cancelled.sum().fill_null(0),
        orders_valid=orders.is_valid.sum().fill_null(0),
    )
    erased = store.read(ERASED_TOTALS).filter(lambda t: t.metric == DAILY_KPIS.name)
    forgotten = erased.agg(
        **{
            f"erased_{m}": erased.amount.sum(where=erased.measure == m).fill_null(0)
            for m in ("gross", "cancelled", "orders")
        }
    )
    both = days.cross_join(placed).cross_join(forgotten)
    return both.filter(
        (both.gross != both.orders_gross + both.erased_gross)
        | (both.cancelled != both.orders_cancelled + both.erased_cancelled)
        | (both.orders != both.orders_valid + both.erased_orders)
    )


@table(
    DAILY_KPIS,
    deps=_FORGOTTEN,
    checks=[
        TableCheck(
            "kpis_reconcile_with_orders",
            _days_and_orders_differ,
            "Orders, gross and cancelled over all days equal those over all orders, and what people who were forgotten "
            "had added, to the last digit.",
            blocking=True,
        )
    ],
)
def daily_kpis(
    clean_events: ibis.Table, identities: ibis.Table, orders: ibis.Table, watermark: ibis.Table, store: LakeStore
) -> ibis.Table:
    """The headline numbers of every day."""
    return kpis.daily_kpis(with_person(clean_events, identities), orders, watermark, store.read(ERASED_TOTALS))


@table(CONVERSION_FUNNEL, deps=_FORGOTTEN, parameters=("session_max_hours",))
def conversion_funnel(clean_events: ibis.Table, watermark: ibis.Table, store: LakeStore) -> ibis.Table:
    """Sessions from view to purchase."""
    erased = store.read(ERASED_TOTALS)
    return funnel.conversion_funnel(clean_events, watermark, erased, max_hours=get_settings().session_max_hours)


@table(RETENTION_COHORTS, deps=_FORGOTTEN)
def retention_cohorts(orders: ibis.Table, watermark: ibis.Table, store: LakeStore) -> ibis.Table:
    """Customers who order again, by the month of their first order."""
    return retention.retention_cohorts(orders, watermark, store.read(ERASED_TOTALS))


@table(TIME_TO_RETURN, deps=_FORGOTTEN)
def time_to_return(orders: ibis.Table, watermark: ibis.Table, store: LakeStore) -> ibis.Table:
    """Days from a first to a second order."""
    from trasos_assets.metrics.returns import time_to_return as curve

    return curve(orders, watermark, store.read(ERASED_TOTALS))


@table(ACQUISITION_COST, deps=_FORGOTTEN)
def acquisition_cost(
    orders: ibis.Table, marketing_spend: ibis.Table, watermark: ibis.Table, store: LakeStore
) -> ibis.Table:
    """Cost of winning a customer."""
    return acquisition.acquisition_cost(orders, marketing_spend, watermark, store.read(ERASED_TOTALS))


@table(EXPERIMENT_RESULTS, deps=_FORGOTTEN)
def experiment_results(
    assignments: ibis.Table, identities: ibis.Table, orders: ibis.Table, store: LakeStore
) -> ibis.Table:
    """What the arms of every experiment did."""
    from trasos_assets.metrics.experiments import experiment_results as compared

    return compared(person_of_unit(assignments, identities), orders, store.read(ERASED_TOTALS))
