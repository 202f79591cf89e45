"""The headline tiles: a value, its change, and how it went day by day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trasos_assets.reports import words
from trasos_assets.reports.facts import DashboardFacts
from trasos_assets.reports.views import Daily, NoData

if TYPE_CHECKING:
    from trasos_assets.metrics.headlines import Headline

SPARK_DAYS = 28
SPARK_WIDTH, SPARK_HEIGHT = 120.0, 32.0

# Headline -> name on the tile, column of daily_kpis behind the sparkline, where the business wants it to go.
_TILES: dict[str, tuple[str, str | None, str]] = {
    "conversion": ("Visitor conversion", "visitor_conversion", "up"),
    "net_revenue": ("Net revenue", "net", "up"),
    "orders": ("Orders", "orders", "up"),
    "new_customers": ("New customers", "new_customers", "up"),
    "average_order_value": ("Order value", "average_order_value", "up"),
    "blended_cac": ("Acquisition cost", None, "down"),
    "returned_within_30_days": ("Back within 30 days", None, "up"),
}


@dataclass(frozen=True)
class Tile:
    """One headline. ``value`` and ``change`` are empty where they are not known; ``verdict`` is good, bad or even."""

    name: str
    value: str
    change: str
    verdict: str
    definition: str
    spark: Sequence[str]


def tiles(facts: DashboardFacts, daily: Daily | NoData) -> list[Tile]:
    """One tile a headline, in the order given."""
    return [_tile(headline, facts.currency, daily) for headline in facts.headlines]


def spark_paths(values: Sequence[float | None]) -> list[str]:
    """SVG points of each unbroken stretch, scaled from the lowest to the highest; a blank is a gap."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return []
    low, high = min(known), max(known)
    height = (high - low) or 1.0
    step = SPARK_WIDTH / (len(values) - 1)
    stretches: list[list[str]] = [[]]
    for place, value in enumerate(values):
        if value is None:
            stretches.append([])
        else:
            y = 1 + (SPARK_HEIGHT - 2) * (1 - (value - low) / height)
            stretches[-1].append(f"{place * step:.1f},{y:.1f}")
    return [" ".join(stretch) for stretch in stretches if len(stretch) > 1]


def _tile(headline: Headline, currency: str, daily: Daily | NoData) -> Tile:
    fallback = (words.clean(headline.name.replace("_", " "), 60).capitalize(), None, "neither")
    name, column, direction = _TILES.get(headline.name, fallback)
    change, verdict = _change(headline, currency, direction)
    spark: list[str] = []
    if column is not None and isinstance(daily, Daily):
        values = [row[column] for row in daily.last(SPARK_DAYS)]
        spark = spark_paths([None if value is None else float(value) for value in values])
    value = "" if headline.value is None else _shown(headline.value, headline.unit, currency)
    return Tile(name, value, change, verdict, headline.definition, spark)


def _shown(value: words.Number, unit: str, currency: str) -> str:
    if unit == "share":
        return words.percent(value)
    return words.money(value, currency) if unit == "money" else words.count(value)


def _change(headline: Headline, currency: str, direction: str) -> tuple[str, str]:
    value, previous = headline.value, headline.previous
    if value is None or previous is None:
        return "", "even"
    difference = float(value) - float(previous)
    if headline.unit == "share":
        size = words.points(abs(difference))
    elif previous == 0:
        size = _shown(type(value)(abs(difference)), headline.unit, currency)
    else:
        size = words.percent(abs(difference / float(previous)))
    if not any(sign in "123456789" for sign in size):
        return "unchanged on the week before", "even"
    arrow, way = ("▲", "up") if difference > 0 else ("▼", "down")
    verdict = "even" if direction == "neither" else "good" if way == direction else "bad"
    return f"{arrow} {size} on the week before", verdict
