"""What the recommender does day by day: exposure and clicks, and what stood in the lists.

Definitions of every figure are in ``metrics/definitions.toml``; here each is written down once, as an expression.
"""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false

from __future__ import annotations

from datetime import date
from typing import Any

import ibis

from trasos_assets.contracts.monitoring import MODEL_MONITORING
from trasos_assets.contracts.serving import FALLBACKS
from trasos_assets.recommender.monitoring.windows import Serving

CLICK_DAYS = 1
"""Days after the one on which an item was shown within which a click on it counts."""

ACTIVE_DAYS = 28
"""Length of the window that makes a person active: four whole weeks."""

EXPOSURE = ("requests", "impressions", "items_on_sale", "items_shown")
LISTS = (
    *("model_version", "model_age_days", "listed_rows", "fallback_rows", "listed_items", "listable_items"),
    *("active_people", "listed_people"),
)
_RATIOS = {
    "request_click_rate": ("clicked_requests", "requests"),
    "click_through_rate": ("clicked_impressions", "impressions"),
    "fallback_share": ("fallback_rows", "listed_rows"),
    "list_coverage": ("listed_items", "listable_items"),
    "list_reach": ("listed_people", "active_people"),
}
_PLACE = ("request_id", "item_id", "slot")


def shown_items(events: ibis.Table) -> ibis.Table:
    """Items that people were shown, each once by request, item and slot: day, request_id, item_id, slot, clicked_on.

    Args:
        events: ``clean_events`` of people (no bots, no testers).

    An impression is sent when an item came into view, so all of them are viewable. ``day`` is that of the first
    impression of the request, item and slot. ``clicked_on`` is the day of the first click on it that names the same
    request, item and slot; null without one. A click that matches nothing that was shown is not counted.
    """
    kinds = events.filter(events.event_type.isin(("impression", "click")) & events.request_id.notnull())
    kinds = kinds.filter(kinds.item_id.notnull())
    placed = kinds.select("day", "event_type", "request_id", "item_id", slot=kinds.slot.fill_null(""))
    marked = placed.group_by(_PLACE).agg(
        day=placed.day.min(where=placed.event_type == "impression"),
        clicked_on=placed.day.min(where=placed.event_type == "click"),
    )
    return marked.filter(marked.day.notnull())


def _on_sale(history: ibis.Table) -> ibis.Table:
    in_stock = (history.stock > 0).fill_null(True)
    return history.filter((history.kind == "product") & history.available & in_stock)


def _items_on_sale(history: ibis.Table, days: ibis.Table) -> ibis.Table:
    """``items_on_sale`` of every day: what came on sale up to then, less what went off it. No day meets every item."""
    states = _on_sale(history)
    changes = states.select(on="valid_from", step=ibis.literal(1, "int64")).union(
        states.select(on="valid_to", step=ibis.literal(-1, "int64"))
    )
    counted = changes.group_by("on").agg(step=changes.step.sum())
    marks = counted.select("on", "step", asked=False).union(
        days.select(on="day", step=ibis.literal(0, "int64"), asked=True)
    )
    by_day = ibis.window(order_by=[marks.on, marks.asked], rows=(None, 0))
    running = marks.mutate(items_on_sale=marks.step.sum().over(by_day))
    return running.filter(running.asked).select(day="on", items_on_sale=running.items_on_sale.cast("int64"))


def exposure(events: ibis.Table, catalogue_history: ibis.Table, days: ibis.Table, through: date) -> ibis.Table:
    """One row for each of ``days`` (column day): requests, impressions, clicks and items shown, as MODEL_MONITORING.

    Clicks of a day are null until the day after it has landed (``through`` is the last day that has).
    """
    shown = shown_items(events)
    # A click long after is of another visit.
    clicked = (shown.clicked_on <= shown.day + ibis.interval(days=CLICK_DAYS)).fill_null(False)
    told = shown.mutate(clicked=clicked)
    asked = told.group_by("request_id").agg(day=told.day.min(), clicked=told.clicked.max())
    by_request = asked.group_by("day").agg(requests=asked.count(), clicked_requests=asked.clicked.sum())
    by_item = told.group_by("day").agg(impressions=told.count(), clicked_impressions=told.clicked.sum())
    pairs = told.select("day", "item_id").distinct()
    states = _on_sale(catalogue_history).select("item_id", "valid_from", "valid_to")
    sold = pairs.inner_join(
        states, [pairs.item_id == states.item_id, pairs.day >= states.valid_from, pairs.day < states.valid_to]
    )
    by_catalogue = sold.group_by("day").agg(items_shown=sold.item_id.nunique())
    joined = days
    for part in (by_request, by_item, by_catalogue, _items_on_sale(catalogue_history, days)):
        joined = joined.left_join(part, "day").drop("day_right")
    over = joined.day + ibis.interval(days=CLICK_DAYS) <= ibis.literal(through)
    counts: dict[str, Any] = {name: joined[name].fill_null(0).cast("int64") for name in EXPOSURE}
    for name in ("clicked_requests", "clicked_impressions"):
        counts[name] = ibis.ifelse(over, joined[name].fill_null(0).cast("int64"), ibis.null("int64"))
    return joined.select("day", **counts)


def lists_now(
    serving: Serving | None,
    recommendations: ibis.Table,
    item_features: ibis.Table,
    customer_features: ibis.Table,
    through: date,
) -> ibis.Table:
    """One row of what stands in the lists as of the last day, ``through``: day and the columns `LISTS`.

    Fallbacks are the sources that stand in where the model has no more to say. No row while nothing serves.
    """
    schema = {"day": "date"} | {name: MODEL_MONITORING.types[name] for name in LISTS}
    if serving is None:
        return ibis.memtable([], schema=schema)
    rows = recommendations.agg(
        listed_rows=recommendations.count(),
        fallback_rows=recommendations.source.isin(FALLBACKS).sum().fill_null(0),
        listed_items=recommendations.item_id.nunique(),
    )
    listable = item_features.filter((item_features.kind == "product") & item_features.available)
    since = ibis.literal(through) - ibis.interval(days=ACTIVE_DAYS)
    active = customer_features.filter(customer_features.last_seen_on > since).select("person_id")
    reached = active.semi_join(recommendations, "person_id")
    state = rows.cross_join(listable.agg(listable_items=listable.count()))
    state = state.cross_join(active.agg(active_people=active.count()))
    state = state.cross_join(reached.agg(listed_people=reached.count()))
    state = state.mutate(
        day=ibis.literal(through),
        model_version=ibis.literal(serving.model_version),
        model_age_days=ibis.literal((through - serving.trained_through).days),
    )
    return state.select(**{name: state[name].cast(type_) for name, type_ in schema.items()})


def model_monitoring(exposed: ibis.Table, now: ibis.Table, held: ibis.Table) -> ibis.Table:
    """The whole table (MODEL_MONITORING).

    Args:
        exposed: what ``exposure`` gave, for every day.
        now: what ``lists_now`` gave.
        held: the table as it is published; of its rows the columns `LISTS` are kept for days before the one of ``now``.
    """
    before = held.filter(held.model_version.notnull()).select("day", *LISTS).anti_join(now, "day")
    lists = before.union(now.select("day", *LISTS))
    joined = exposed.left_join(lists, "day").drop("day_right")
    ratios = {name: joined[above] / joined[below].nullif(0) for name, (above, below) in _RATIOS.items()}
    coverage = ibis.ifelse(
        joined.requests > 0, joined.items_shown / joined.items_on_sale.nullif(0), ibis.null("float64")
    )
    return joined.mutate(**ratios, catalogue_coverage=coverage).select(*MODEL_MONITORING.column_names)


def stale(monitored: ibis.Table, days: int) -> ibis.Table:
    """The last look's row if the serving model is older than so many days; otherwise none."""
    looked = monitored.filter(monitored.model_age_days.notnull())
    last = looked.filter(looked.day == looked.day.max().as_scalar())
    return last.filter(last.model_age_days > days).select("day", "model_version", "model_age_days")
