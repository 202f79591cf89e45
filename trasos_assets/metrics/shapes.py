"""What every metric shares: who counts, which windows are over, and the types that a table leaves with."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

from typing import Any

import ibis
import ibis.expr.operations as ops
from ibis import Table

from trasos_assets.contracts.model import Contract

UNKNOWN = "unknown"
ALL = "all"
FLOAT_DIGITS = 9
"""Floats that come out of a logarithm or a root are rounded to this many digits, so that bytes repeat."""


def cast_in_engine(value: ibis.Value, type_: str) -> Any:
    """Cast in the engine's SQL, even where Ibis believes that the value already has the type.

    Ibis leaves such a cast out, but engines differ from its beliefs: DuckDB's ``sum(bigint)`` is a HUGEINT and its
    ``date_trunc`` of a date a TIMESTAMP, which would then be written to Parquet.
    """
    return ops.Cast(value, ibis.dtype(type_)).to_expr()


def conformed(contract: Contract, table: Table) -> Table:
    """Exactly the contract's columns, in its order, with its types in the engine itself."""
    return table.select(**{column.name: cast_in_engine(table[column.name], column.type) for column in contract.columns})


def of_people(events: Table) -> Table:
    """Clean events without bots and without the shop's own testers."""
    return events.filter(events.bot_rule.isnull() & ~events.is_test.fill_null(False))


def first_by(values: dict[str, Any], order: dict[str, Any]) -> Any:
    """The values of a group's first row by an order that must be unique in it: an aggregate, a struct.

    One row's values, nulls included, not each column's first known one; and an arg_min, which engines do faster than a
    window.
    """
    value: Any = ibis.struct(values)
    return value.argmin(ibis.struct(order))


def week_of(day: Any) -> Any:
    """Monday of the week of a day."""
    return cast_in_engine(day.truncate("W"), "date")


def month_number(day: Any) -> Any:
    """Months since year 0, so that a difference of two is a number of calendar months."""
    return cast_in_engine(day.year(), "int64") * 12 + cast_in_engine(day.month(), "int64") - 1


def first_month_day(number: Any) -> Any:
    """First day of a month given by `month_number`."""
    return ibis.date((number // 12).cast("int32"), (number % 12 + 1).cast("int32"), 1)


def first_day(watermark: Table) -> Any:
    """First day of the lake, as a scalar; null for a watermark without rows."""
    return watermark.first_day.min().as_scalar()


def data_through(watermark: Table) -> Any:
    """Last day of which everything has landed, as a scalar; null for a watermark without rows."""
    return watermark.data_through.max().as_scalar()


def open_week(watermark: Table) -> Any:
    """Monday of the first week that is not over, as a scalar: a week is over once its Sunday has landed."""
    weeks = watermark.aggregate(last=watermark.data_through.max())
    return weeks.select(week=week_of(weeks.last + ibis.interval(days=1))).week.max().as_scalar()


def open_month(watermark: Table) -> Any:
    """`month_number` of the first month that is not over, as a scalar."""
    months = watermark.aggregate(last=watermark.data_through.max())
    return months.select(month=month_number(months.last + ibis.interval(days=1))).month.max().as_scalar()


def calendar(watermark: Table) -> Table:
    """One row a day, ``day``, from the lake's first day to the last that landed, both included."""
    spans = watermark.select("first_day", length=watermark.data_through.delta(watermark.first_day, unit="day") + 1)
    offsets = spans.select("first_day", offset=ibis.range(0, spans.length).unnest())
    return offsets.select(day=cast_in_engine(offsets.first_day + offsets.offset.as_interval("D"), "date"))


def ratio(numerator: Any, denominator: Any) -> Any:
    """Numerator over denominator as a float, null where the denominator is 0: two exact numbers, divided once."""
    return numerator / denominator.nullif(0)


def money_ratio(numerator: Any, denominator: Any) -> Any:
    """Money over a count as money, rounded to its fourth decimal, null where the count is 0."""
    return cast_in_engine((numerator.cast("float64") / denominator.nullif(0)).round(4), "decimal(18, 4)")


def money(value: Any) -> Any:
    """A sum of money with nothing summed counted as 0."""
    return cast_in_engine(value.fill_null(ibis.literal(0, "decimal(18, 4)")), "decimal(18, 4)")
