"""The few numbers that a person reads first, each beside what it was before."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import ibis
from ibis import Table

from trasos_assets.metrics.shapes import ALL

WINDOW_DAYS = 7
RETURN_DAYS = 30
CENT = Decimal("0.01")

Number = int | float | Decimal


@dataclass(frozen=True)
class Headline:
    """One number for the run summary and the dashboard.

    ``value`` and ``previous`` are None where their window is not whole; a share is a fraction of 1. ``definition`` says
    in words what was counted, over which days.
    """

    name: str
    value: Number | None
    unit: str
    previous: Number | None
    definition: str


def headlines(daily_kpis: Table, acquisition_cost: Table, time_to_return: Table) -> list[Headline]:
    """The headline numbers, from three published tables.

    Sums are over the last 7 days that landed whole, against the 7 days before; the acquisition cost is of the last week
    (from Monday) that is over, against the week before. With fewer days in the lake the window is not whole and the
    number is None, never 0.
    """
    last = daily_kpis.order_by(ibis.desc("day")).limit(2 * WINDOW_DAYS)
    days = last.to_pyarrow().to_pylist()
    now, before = _window(days[:WINDOW_DAYS]), _window(days[WINDOW_DAYS:])
    through = days[0]["day"] if days else None
    span = f"the {WINDOW_DAYS} days to {through}" if through else f"{WINDOW_DAYS} days"
    rows: list[tuple[str, str, tuple[Number | None, Number | None], str]] = [
        (
            "conversion",
            "share",
            (now["conversion"], before["conversion"]),
            f"buyers / visitors, each summed by day over {span}",
        ),
        ("net_revenue", "money", (now["net"], before["net"]), f"purchases less cancellations, orders of {span}"),
        ("orders", "orders", (now["orders"], before["orders"]), f"valid orders of {span}"),
        (
            "new_customers",
            "people",
            (now["new_customers"], before["new_customers"]),
            f"people whose first valid order fell in {span}",
        ),
        (
            "average_order_value",
            "money",
            (now["average_order_value"], before["average_order_value"]),
            f"net of valid orders / valid orders of {span}",
        ),
        (
            "blended_cac",
            "money",
            _blended_cost(acquisition_cost, through),
            "spend / new customers over all channels in the last week that is over; blank without reported spend",
        ),
        (
            f"returned_within_{RETURN_DAYS}_days",
            "share",
            (share_returned_within(time_to_return, RETURN_DAYS), None),
            f"Kaplan-Meier share of customers with a second valid order within {RETURN_DAYS} days of the first",
        ),
    ]
    return [Headline(name, value, unit, previous, text) for name, unit, (value, previous), text in rows]


def share_returned_within(time_to_return: Table, days: int, segment: str = ALL) -> float | None:
    """1 - Kaplan-Meier share not yet returned after so many days; None if nobody was observed for so long.

    Raises:
        ValueError: ``days`` is negative.
    """
    if days < 0:
        raise ValueError(f"days must be 0 or more, not {days}")
    curve = time_to_return.filter(time_to_return.segment == segment)
    rows = curve.aggregate(
        longest=curve.days.max(), lowest=curve.not_returned.min(where=curve.days <= days)
    ).to_pyarrow()
    (row,) = rows.to_pylist()
    if row["longest"] is None:
        return None
    # The curve never rises, so the lowest value up to a day is its value on that day.
    not_returned = 1.0 if row["lowest"] is None else row["lowest"]
    if row["longest"] < days and not_returned > 0:
        return None
    return round(1 - not_returned, 9)


def _window(days: list[dict[str, Any]]) -> dict[str, Number | None]:
    """Sums over a whole window of ``daily_kpis`` rows; None for each number if a day is missing."""
    if len(days) < WINDOW_DAYS:
        return dict.fromkeys(("conversion", "net", "orders", "new_customers", "average_order_value"))
    buyers, visitors, orders = (sum(day[name] for day in days) for name in ("buyers", "visitors", "orders"))
    valid_net = sum((day["average_order_value"] * day["orders"] for day in days if day["orders"]), Decimal(0))
    return {
        "conversion": buyers / visitors if visitors else None,
        "net": sum((day["net"] for day in days), Decimal(0)),
        "orders": orders,
        "new_customers": sum(day["new_customers"] for day in days),
        "average_order_value": (valid_net / orders).quantize(CENT, ROUND_HALF_UP) if orders else None,
    }


def _blended_cost(acquisition_cost: Table, through: date | None) -> tuple[Decimal | None, Decimal | None]:
    """Cost per new customer over all channels, of the last week that is over and of the one before it."""
    if through is None:
        return None, None
    last_monday = through - timedelta(days=(through.weekday() + 1) % 7 + 6)
    weeks = [last_monday, last_monday - timedelta(days=7)]
    table = acquisition_cost
    rows = table.filter((table.channel == ALL) & table.week.isin(weeks)).to_pyarrow().to_pylist()
    # A week without any reported spend has an unknown cost, not one of 0.
    costs = {row["week"]: row["cac"] for row in rows if row["cost"] > 0}
    return costs.get(weeks[0]), costs.get(weeks[1])
