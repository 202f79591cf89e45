"""From raw lines to clean events: identity, state, quarantine, interactions."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

import ibis

from trasos_assets.contracts.engineering import (
    CLEAN_EVENTS,
    EVENT_KEYS,
    EVENT_STATES,
    INTERACTION_TYPES,
    INTERACTIONS,
    QUARANTINED_EVENTS,
)
from trasos_assets.lake.days import first_day, window
from trasos_assets.lake.table import TableCheck, table
from trasos_assets.settings import get_settings
from trasos_assets.trust import bots, classify

_settings = get_settings()
_LINE = ["day", "file_hash", "line"]


def _of_same_days(source: ibis.Table, staged: ibis.Table) -> ibis.Table:
    days = staged.agg(first=staged.day.min(), last=staged.day.max())
    return source.cross_join(days).filter(lambda t: t.day.between(t.first, t.last)).drop("first", "last")


def _lines_without_key(keys: ibis.Table, raw_events: ibis.Table) -> ibis.Table:
    return raw_events.anti_join(keys, _LINE).select(*_LINE)


def _unbalanced_files(states: ibis.Table, event_keys: ibis.Table) -> ibis.Table:
    by_file = ["day", "file_hash"]
    counted = states.group_by(by_file).agg(
        accepted=(states.state == "accepted").sum(),
        duplicate=(states.state == "duplicate").sum(),
        quarantined=(states.state == "quarantined").sum(),
    )
    keys = _of_same_days(event_keys, states)
    read = keys.group_by(by_file).agg(read=keys.count())
    joined = read.outer_join(counted, by_file)
    total = joined.accepted + joined.duplicate + joined.quarantined
    return joined.filter(joined.read.fill_null(-1) != total.fill_null(-1)).select(
        "day", "read", "accepted", "duplicate", "quarantined"
    )


def _lost_or_invented(clean: ibis.Table, event_states: ibis.Table) -> ibis.Table:
    accepted = event_states.filter(event_states.state == "accepted")
    accepted = accepted.select("event_id", day="occurred_day")
    accepted = _of_same_days(accepted, clean)
    lost = accepted.anti_join(clean, ["day", "event_id"]).select("day", "event_id")
    return lost.union(clean.anti_join(accepted, ["day", "event_id"]).select("day", "event_id"))


@table(
    EVENT_KEYS,
    parameters=("late_days", "currency"),
    checks=[
        TableCheck("every_line_has_a_key", _lines_without_key, "Every raw line of the days has its key.", blocking=True)
    ],
)
def event_keys(raw_events: ibis.Table) -> ibis.Table:
    """Identity and broken rules of every line."""
    settings = get_settings()
    return classify.event_keys(
        raw_events, late_days=settings.late_days, currency=settings.currency, first_day=first_day(settings)
    )


@table(
    EVENT_STATES,
    parameters=("dedup_days",),
    mappings={"event_keys": window(before=_settings.dedup_days, after=_settings.dedup_days)},
    checks=[
        TableCheck(
            "read_is_accepted_duplicate_or_quarantined",
            _unbalanced_files,
            "For every file and day: read = accepted + duplicate + quarantined.",
            blocking=True,
        )
    ],
)
def event_states(event_keys: ibis.Table) -> ibis.Table:
    """What became of every line."""
    return classify.event_states(event_keys, dedup_days=get_settings().dedup_days)


@table(QUARANTINED_EVENTS)
def quarantined_events(raw_events: ibis.Table, event_states: ibis.Table) -> ibis.Table:
    """Refused lines with all their reasons."""
    return classify.quarantined_events(raw_events, event_states)


@table(
    CLEAN_EVENTS,
    parameters=("bot_events_per_day", "late_days"),
    mappings={
        "raw_events": window(after=_settings.late_days),
        "event_states": window(after=_settings.late_days),
    },
    checks=[
        TableCheck(
            "accepted_events_are_clean_events",
            _lost_or_invented,
            "The accepted events of a day are its clean events, no more and no fewer.",
            blocking=True,
        )
    ],
)
def clean_events(raw_events: ibis.Table, event_states: ibis.Table) -> ibis.Table:
    """Accepted events on the day they happened, bots flagged."""
    accepted = classify.accepted_events(raw_events, event_states)
    return bots.with_bot_rule(accepted, events_per_day=get_settings().bot_events_per_day)


@table(INTERACTIONS)
def interactions(clean_events: ibis.Table) -> ibis.Table:
    """What people did with items."""
    people = bots.people_only(clean_events)
    acts = people.filter(people.event_type.isin(INTERACTION_TYPES) & people.item_id.notnull())
    return acts.select(
        "day",
        "event_id",
        "occurred_at",
        "visitor_id",
        "customer_id",
        "item_id",
        interaction_type="event_type",
        quantity=acts.quantity.fill_null(1),
    )
