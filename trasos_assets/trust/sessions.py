"""Sessions: the source's own where it can be true, else inferred from the pauses between a visitor's events."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false

import ibis

from trasos_assets.contracts.engineering import SESSION_RULES
from trasos_assets.trust.identity import actor

INFERRED = "inferred-"
"""How the id of a session begins that no source gave."""

# Why a source's session is not used, in the order in which the reasons are looked for.
MISSING, EMPTY, SHARED, TOO_LONG = SESSION_RULES

_TIME = "%Y-%m-%d %H:%M:%S.%f"
_TIME_WIDTH = len("2026-01-31 23:59:59.000000")
_ID_DIGITS = 24


def with_sessions(events: ibis.Table, *, gap_minutes: int, max_hours: int) -> ibis.Table:
    """Give every event a session: ``session_id`` is never null, ``session_rule`` says why it is not the source's own.

    Args:
        events: rows with ``day``, ``event_id`` (unique on a day), ``occurred_at``, ``visitor_id``, ``customer_id`` and
            the source's ``session_id``, which may be null.
        gap_minutes: a longer pause between two events of an actor begins a new session.
        max_hours: a source's session that lasts longer on one day is none.

    Returns:
        The same rows and columns, and ``session_rule``: null where the source's own session stands; else ``missing``
        (it gave none), ``empty`` (blank text), ``shared`` or ``too_long``. A session is shared if two visitors carry it
        on the day, or two customers of whom one comes without a visitor. One visitor and its customer share nothing:
        a shop's server knows the customer of an order, but not always the browser.

    Every day is judged by its own events alone, so that a late event restates its own day and no other; what is
    inferred ends at midnight. An actor (`identity.actor`) is active in runs of events without a longer pause than the
    gap. An event to infer belongs to the source's session that its actor had last in the same run, else to the one it
    had next, else to the run itself, whose id comes from actor, day and the time of the first event. So the result
    does not depend on the order of rows, nor on which of two events at one instant comes first.
    """
    judged = _judged(events, max_hours)
    refused = judged.filter(judged.session_rule.notnull())
    # Pauses are looked at only for those who have something to infer: as a rule, few.
    inferred = _inferred(judged.semi_join(refused.select("day", "actor").distinct(), ["day", "actor"]), gap_minutes)
    joined = events.left_join(inferred, ["day", "event_id"])
    return joined.mutate(session_id=ibis.coalesce(joined.inferred_id, joined.session_id)).select(
        *events.columns, "session_rule"
    )


def _judged(events: ibis.Table, max_hours: int) -> ibis.Table:
    """Slim events with their actor and what speaks against the source's session."""
    slim = events.select("day", "event_id", "occurred_at", "session_id", actor=actor(events))
    named = events.filter(events.session_id.notnull())
    # Least and greatest, not a count of distinct ones: a fraction of the cost.
    claims = named.group_by("day", "session_id").agg(
        visitor=named.visitor_id.min(),
        other_visitor=named.visitor_id.max(),
        customer=named.customer_id.min(),
        other_customer=named.customer_id.max(),
        lone=named.visitor_id.isnull().max(),
        begin=named.occurred_at.min(),
        end=named.occurred_at.max(),
    )
    shared = (claims.visitor != claims.other_visitor).fill_null(False)
    shared |= claims.lone & (claims.customer != claims.other_customer).fill_null(False)
    claims = claims.mutate(
        session_rule=ibis.cases(
            (claims.session_id.strip() == "", EMPTY),
            (shared, SHARED),
            (claims.end > claims.begin + ibis.interval(hours=max_hours), TOO_LONG),
            else_=ibis.null("string"),
        )
    )
    implausible = claims.filter(claims.session_rule.notnull()).select("day", "session_id", "session_rule")
    joined = slim.left_join(implausible, ["day", "session_id"])
    rule = ibis.ifelse(joined.session_id.isnull(), MISSING, joined.session_rule)
    return joined.mutate(session_rule=rule).select(*slim.columns, "session_rule")


def _inferred(judged: ibis.Table, gap_minutes: int) -> ibis.Table:
    """``day``, ``event_id``, ``session_rule`` and ``inferred_id`` of every event whose own session is not used."""
    by_time = {"group_by": ["day", "actor"], "order_by": judged.occurred_at}
    paused = judged.mutate(previous=judged.occurred_at.lag().over(ibis.window(**by_time)))
    # Of events at one instant only one is seen as the first of its run: frames by range hold all of them.
    begins = paused.previous.isnull() | (paused.occurred_at > paused.previous + ibis.interval(minutes=gap_minutes))
    started = paused.mutate(start=ibis.ifelse(begins, paused.occurred_at, ibis.null("timestamp(6)")))
    by_time = {"group_by": ["day", "actor"], "order_by": started.occurred_at}
    runs = started.mutate(
        begun=started.start.max().over(ibis.range_window(**by_time, preceding=None, following=0)),
        # As text of fixed width, so that the greatest is the latest on every engine.
        kept=ibis.ifelse(
            started.session_rule.isnull(), started.occurred_at.strftime(_TIME) + started.session_id, ibis.null("string")
        ),
    )
    in_run = {"group_by": ["day", "actor", "begun"], "order_by": runs.occurred_at}
    placed = runs.mutate(
        last_kept=runs.kept.max().over(ibis.range_window(**in_run, preceding=None, following=0)),
        next_kept=runs.kept.min().over(ibis.range_window(**in_run, preceding=0, following=None)),
    )
    run = placed.actor + "\u0002" + placed.day.strftime("%Y-%m-%d") + "\u0002" + placed.begun.strftime(_TIME)
    own = ibis.literal(INFERRED) + run.hexdigest("md5").substr(0, _ID_DIGITS)
    near = ibis.coalesce(placed.last_kept, placed.next_kept).substr(_TIME_WIDTH)
    named = placed.mutate(inferred_id=ibis.coalesce(near, own))
    return named.filter(named.session_rule.notnull()).select("day", "event_id", "session_rule", "inferred_id")
