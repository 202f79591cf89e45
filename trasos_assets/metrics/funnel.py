"""From a look to a purchase: how many sessions take each step, in order."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

import ibis
from ibis import Table, selectors

from trasos_assets.contracts.analytics import CONVERSION_FUNNEL
from trasos_assets.metrics.erased import Cells
from trasos_assets.metrics.shapes import (
    ALL,
    UNKNOWN,
    calendar,
    conformed,
    first_by,
    of_people,
    open_week,
    ratio,
    week_of,
)

STEPS = ("view", "cart", "checkout", "purchase")
VIEW_EVENTS = ("page_view", "click")
LATER_EVENTS = ("add_to_cart", "checkout", "purchase")
DIMENSIONS = (ALL, "channel", "device")
LONGEST_HOURS = 12
"""Default of ``session_max_hours`` in the settings."""
DAY_MARK = "\u0001"
_STEP_COLUMNS = tuple(f"step_{number}" for number in range(1, len(STEPS) + 1))
CELLS = Cells("conversion_funnel", {"week": "period", "channel": "label", "device": "value"}, _STEP_COLUMNS)


def conversion_funnel(
    clean_events: Table, watermark: Table, erased: Table | None = None, *, max_hours: int = LONGEST_HOURS
) -> Table:
    """Sessions that reached each of four steps, each step at or after the one before it.

    Takes ``clean_events``, ``watermark`` and, if people were forgotten, ``erased_totals``; returns the columns of
    ``conversion_funnel``. Step 1 is a page_view of, or
    a click on, an item; then the first add_to_cart, checkout and purchase that are not earlier than the step before.
    Bots and testers are left out. A session belongs to the week (from Monday) of its first event and to that event's
    channel and device. It may run over midnight; an id that comes back on other days, more than ``max_hours`` after
    its first event, is a session of its own on each day.

    ``all`` has rows for every week of the lake; a channel or device for the weeks in which it had a session. In a week
    whose Sunday has not landed the counts are those so far and the share is blank.
    """
    cells = CELLS.with_erased(funnel_cells(clean_events, max_hours=max_hours), erased)
    spread = cells.mutate(dimension=ibis.array(list(DIMENSIONS)).unnest())
    spread = spread.mutate(
        value=ibis.cases(
            (spread.dimension == "channel", spread.channel), (spread.dimension == "device", spread.device), else_=ALL
        )
    )
    silent_weeks = (
        calendar(watermark)
        .select(week=lambda t: week_of(t.day), dimension=ibis.literal(ALL), value=ibis.literal(ALL))
        .distinct()
        .mutate(**{name: ibis.literal(0, "int64") for name in _STEP_COLUMNS})
    )
    columns = ["week", "dimension", "value", *_STEP_COLUMNS]
    totals = (
        ibis.union(spread.select(columns), silent_weeks.select(columns))
        .group_by("week", "dimension", "value")
        .aggregate(selectors.across(list(_STEP_COLUMNS), lambda step: step.sum()))
    )
    steps = totals.mutate(entrants=totals.step_1).pivot_longer(
        selectors.startswith("step_"),
        names_to="step",
        names_pattern=r"step_(\d)",
        names_transform=int,
        values_to="sessions",
    )
    return conformed(
        CONVERSION_FUNNEL,
        steps.mutate(
            step_name=ibis.cases(*((steps.step == number, name) for number, name in enumerate(STEPS, start=1))),
            share=(steps.week < open_week(watermark)).ifelse(
                ratio(steps.sessions, steps.entrants), ibis.null("float64")
            ),
        ),
    )


def funnel_cells(clean_events: Table, *, max_hours: int = LONGEST_HOURS) -> Table:
    """Sessions that reached each step by week, channel and device: what ``conversion_funnel`` is made of."""
    sessions = session_steps(clean_events, max_hours=max_hours).group_by("week", "channel", "device")
    return sessions.aggregate(selectors.across(selectors.startswith("step_"), lambda step: step.count()))


def session_steps(clean_events: Table, *, max_hours: int = LONGEST_HOURS) -> Table:
    """One row a session of people: ``session_id``, ``week``, ``channel``, ``device`` and when it reached each step.

    ``step_1`` to ``step_4`` are null where the session never came so far. The id of a session that has others of its
    name on other days goes on with ``DAY_MARK`` and the day.
    """
    columns = ("session_id", "event_id", "event_type", "occurred_at", "day", "item_id", "channel", "device")
    events = of_people(clean_events).filter(lambda t: t.session_id.notnull()).select(*columns)
    return _steps_of_sessions(_by_day_where_reused(events, max_hours))


def _by_day_where_reused(events: Table, max_hours: int) -> Table:
    """Events with the day in the session's id where the id is that of several sessions.

    ``clean_events`` has no such ids within a day, but it sees one day at a time, and sources reuse ids: numbers that
    begin again every morning, or one number for each browser.
    """
    ids = events.group_by("session_id").aggregate(begin=events.occurred_at.min(), end=events.occurred_at.max())
    reused = ids.filter(ids.end > ids.begin + ibis.interval(hours=max_hours)).select(reused_id="session_id")
    joined = events.left_join(reused, events.session_id == reused.reused_id)
    of_day = joined.session_id + DAY_MARK + joined.day.cast("string")
    session_id = joined.reused_id.isnull().ifelse(joined.session_id, of_day)
    return joined.mutate(session_id=session_id).drop("reused_id")


def _steps_of_sessions(events: Table) -> Table:
    """One row a session: week, channel, device and when it reached each step, null if it never did.

    The earliest event that may follow a step is taken each time, which finds an ordered path wherever there is one.
    Only the few events of the next type are joined, so the mass of views is read once.
    """
    viewed = events.event_type.isin(VIEW_EVENTS) & events.item_id.notnull()
    sessions = events.group_by("session_id").aggregate(
        day=events.day.min(),
        source=first_by(
            {"channel": events.channel, "device": events.device},
            {"occurred_at": events.occurred_at, "event_id": events.event_id},
        ),
        step_1=events.occurred_at.min(where=viewed),
    )
    sessions = sessions.select(
        "session_id",
        "step_1",
        week=week_of(sessions.day),
        channel=sessions.source["channel"].fill_null(UNKNOWN),
        device=sessions.source["device"].fill_null(UNKNOWN),
    )
    reached = sessions.filter(sessions.step_1.notnull()).select("session_id", reached_at="step_1")
    for column, event_type in zip(_STEP_COLUMNS[1:], LATER_EVENTS, strict=True):
        candidates = events.filter(events.event_type == event_type).select("session_id", "occurred_at")
        following = reached.join(candidates, "session_id").filter(lambda t: t.occurred_at >= t.reached_at)
        reached = following.group_by("session_id").aggregate(reached_at=following.occurred_at.min())
        sessions = sessions.left_join(reached.rename({column: "reached_at"}), "session_id").drop("session_id_right")
    return sessions
