"""How long customers take to come back, with those who have not yet come back counted as what they are: unknown."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

import warnings

import ibis
import numpy as np
import pyarrow as pa
from ibis import Table

from trasos_assets.contracts.analytics import TIME_TO_RETURN
from trasos_assets.metrics.erased import Cells
from trasos_assets.metrics.shapes import ALL, FLOAT_DIGITS, UNKNOWN, data_through

CONFIDENCE = 0.95
CELLS = Cells("time_to_return", {"segment": "label", "days": "number"}, ("returned", "censored"))


def return_cells(orders: Table, watermark: Table) -> Table:
    """People by segment and days from the first order to the second, or to where their observation ends: what
    ``time_to_return`` is made of.
    """
    valid = orders.filter(orders.is_valid)
    customers = valid.group_by("person_id").aggregate(
        first_day=valid.day.min(where=valid.order_number == 1),
        second_day=valid.day.min(where=valid.order_number == 2),
        # The maximum of one row: the aggregate keeps the channel without a join.
        channel=valid.channel.max(where=valid.order_number == 1),
    )
    observed = customers.select(
        segment=ibis.array(
            [ibis.literal(ALL), ibis.literal("channel:") + customers.channel.fill_null(UNKNOWN)]
        ).unnest(),
        days=customers.second_day.fill_null(data_through(watermark)).delta(customers.first_day, unit="day"),
        has_returned=customers.second_day.notnull(),
    )
    return observed.group_by("segment", "days").aggregate(
        returned=observed.has_returned.sum(), censored=(~observed.has_returned).sum()
    )


def time_to_return(orders: Table, watermark: Table, erased: Table | None = None) -> Table:
    """Kaplan-Meier estimate of the days from a customer's first to second valid order.

    Takes ``orders``, ``watermark`` and, if people were forgotten, ``erased_totals``; returns the columns of
    ``time_to_return``, a row for every segment and every number of days after which someone returned or was last seen.
    A customer who was forgotten without a second order stays censored where the erasure ended the observation. A
    customer without a second order is censored at the last day that landed. A second order on the day of the first
    counts as 0 days. Segments: ``all``, and ``channel:<name>`` by the channel of the first order (``channel:unknown``
    where the source is silent).

    The engine counts people per segment and day; only those counts are brought here.
    """
    cells = CELLS.with_erased(return_cells(orders, watermark), erased)
    counts = cells.select("segment", "days", "returned", "censored").order_by("segment", "days").to_pyarrow()
    schema = ibis.schema(TIME_TO_RETURN.types).to_pyarrow()
    if not len(counts):
        return ibis.memtable(schema.empty_table())
    segments = counts["segment"].to_numpy(zero_copy_only=False)
    starts = np.flatnonzero(np.r_[True, segments[1:] != segments[:-1]])
    columns = {name: counts[name].to_numpy().astype(np.int64) for name in ("days", "returned", "censored")}
    curves = [
        kaplan_meier(*(columns[name][start:stop] for name in ("days", "returned", "censored")))
        for start, stop in zip(starts, np.r_[starts[1:], len(segments)], strict=True)
    ]
    estimates = {
        name: np.concatenate([curve[name] for curve in curves])
        for name in ("at_risk", "not_returned", "lower", "upper")
    }
    arrays = {"segment": counts["segment"], **columns, **estimates}
    return ibis.memtable(
        pa.table(
            # from_pandas turns NaN, where a band is not defined, into null.
            [_column(arrays[field.name], field.type) for field in schema],
            schema=schema,
        )
    )


def kaplan_meier(days: np.ndarray, returned: np.ndarray, censored: np.ndarray) -> dict[str, np.ndarray]:
    """Product-limit estimate with 95 % log-log bands from counts per day.

    Args:
        days: distinct durations in whole days, ascending, shape (n,).
        returned: people who returned after exactly so many days, shape (n,).
        censored: people whose observation ends there without a return, shape (n,). Ties: they are at risk on that day.

    Returns:
        ``at_risk``, ``not_returned``, ``lower``, ``upper``, each of shape (n,), floats rounded to 9 digits; a band is
        NaN where the formula has no value (before the first return, and once everybody has returned).

    Sources: Kaplan and Meier (1958), JASA 53, and the exponential Greenwood band, Kalbfleisch and Prentice (1980),
    The Statistical Analysis of Failure Time Data, both as ``scipy.stats.ecdf`` computes them.
    """
    at_risk = (returned + censored)[::-1].cumsum()[::-1]
    from scipy import stats

    sample = stats.CensoredData(uncensored=np.repeat(days, returned), right=np.repeat(days, censored))
    survival = stats.ecdf(sample).sf
    with warnings.catch_warnings():
        # An undefined band is no fault: it is NaN here and null in the table.
        warnings.simplefilter("ignore", RuntimeWarning)
        band = survival.confidence_interval(CONFIDENCE, method="log-log")
    return {
        "at_risk": at_risk,
        "not_returned": np.round(survival.probabilities, FLOAT_DIGITS),
        "lower": np.round(band.low.probabilities, FLOAT_DIGITS),
        "upper": np.round(band.high.probabilities, FLOAT_DIGITS),
    }


def _column(values: pa.ChunkedArray | np.ndarray, type_: pa.DataType) -> pa.ChunkedArray | pa.Array:
    if isinstance(values, pa.ChunkedArray):
        return values.cast(type_)
    return pa.array(values.astype(type_.to_pandas_dtype()), type=type_, from_pandas=True)
