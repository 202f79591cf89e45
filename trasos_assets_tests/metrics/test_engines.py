"""What must hold of every metric on any engine: types in the engine itself, SQL for Spark, the same bytes twice."""

from collections.abc import Callable

import ibis
import pytest

from trasos_assets.contracts import CONTRACTS
from trasos_assets.metrics.acquisition import acquisition_cost
from trasos_assets.metrics.funnel import conversion_funnel
from trasos_assets.metrics.kpis import daily_kpis
from trasos_assets.metrics.orders import order_lines, orders
from trasos_assets.metrics.retention import retention_cohorts
from trasos_assets.metrics.returns import time_to_return
from trasos_assets_tests.metrics.tables import Shop, cancellation, engine_types, purchase, seen, with_person

DUCKDB_TYPES = {
    "string": "VARCHAR",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "float64": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp(6)": "TIMESTAMP",
    "decimal(18, 4)": "DECIMAL(18,4)",
}

Metric = Callable[[Shop, ibis.Table, ibis.Table], ibis.Table]

LAZY: dict[str, Metric] = {
    "order_lines": lambda shop, events, watermark: order_lines(events),
    "orders": lambda shop, events, watermark: _orders(events),
    "daily_kpis": lambda shop, events, watermark: daily_kpis(events, _orders(events), watermark),
    "conversion_funnel": lambda shop, events, watermark: conversion_funnel(events, watermark),
    "retention_cohorts": lambda shop, events, watermark: retention_cohorts(_orders(events), watermark),
    "acquisition_cost": lambda shop, events, watermark: acquisition_cost(
        _orders(events), shop.spend([("2026-01-01", "ads", "7")]), watermark
    ),
}


def _orders(events: ibis.Table) -> ibis.Table:
    return orders(with_person(order_lines(events)))


def _inputs(shop: Shop) -> tuple[ibis.Table, ibis.Table]:
    events = shop.events(
        [
            seen("2026-01-01T10:00", "ada", session_id="s1", item_id="shirt"),
            purchase("2026-01-01T11:00", "o1", "ada", session_id="s1"),
            purchase("2026-01-20T11:00", "o2", "ada"),
            cancellation("2026-01-21T11:00", "o2", "ada", "1"),
        ]
    )
    return events, shop.watermark("2026-01-01", "2026-02-03")


@pytest.mark.parametrize("name", LAZY)
def test_the_engine_itself_gives_the_types_of_the_contract(shop: Shop, name: str) -> None:
    """Ibis may believe in a type that the engine does not give, and the engine is what writes Parquet."""
    expected = {column: DUCKDB_TYPES[type_] for column, type_ in CONTRACTS[name].types.items()}
    assert engine_types(shop, LAZY[name](shop, *_inputs(shop))) == expected


@pytest.mark.parametrize("name", LAZY)
def test_the_expression_compiles_for_spark(shop: Shop, name: str) -> None:
    sql = ibis.to_sql(LAZY[name](shop, *_inputs(shop)), dialect="pyspark")
    assert all(f"`{column}`" in sql for column in CONTRACTS[name].column_names)


def test_the_same_input_gives_the_same_curve(shop: Shop) -> None:
    events, watermark = _inputs(shop)
    first, second = (time_to_return(_orders(events), watermark).to_pyarrow() for _ in range(2))
    assert first.equals(second)
