"""From raw lines to clean events: identity, state, quarantine, interactions."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from datetime import date

import ibis

from trasos_assets.contracts.engineering import (
    CLEAN_EVENTS,
    EVENT_KEYS,
    EVENT_STATES,
    INTERACTION_TYPES,
    INTERACTIONS,
    QUARANTINE_RELEASES,
    QUARANTINED_EVENTS,
    RAW_EVENTS,
)
from trasos_assets.contracts.landing import EVENT
from trasos_assets.lake.days import first_day, window
from trasos_assets.lake.gone import Gone
from trasos_assets.lake.store import LakeStore
from trasos_assets.lake.table import TableCheck, table
from trasos_assets.landing.released import accepted_of, states_beyond
from trasos_assets.landing.releases import read_releases
from trasos_assets.settings import get_settings
from trasos_assets.trust import bots, classify, marks

_settings = get_settings()
_LINE = ["day", "file_hash", "line"]


def _files_by_lines(lines: ibis.Table) -> ibis.Table:
    """How many lines of every file and which, told by what sets of unique line numbers differ in."""
    return lines.group_by("day", "file_hash").agg(
        lines=lines.count(), first=lines.line.min(), last=lines.line.max(), total=lines.line.sum()
    )


def _lines_without_key(keys: ibis.Table, raw_events: ibis.Table) -> ibis.Table:
    # A join of the lines themselves would cost more than making the keys.
    read, keyed = _files_by_lines(raw_events), _files_by_lines(keys)
    return read.difference(keyed).union(keyed.difference(read))


def _unbalanced(by: list[str], states: ibis.Table, raw_events: ibis.Table) -> ibis.Table:
    counted = states.group_by(by).agg(
        accepted=(states.state == classify.ACCEPTED).sum(),
        duplicate=(states.state == classify.DUPLICATE).sum(),
        quarantined=(states.state == classify.QUARANTINED).sum(),
    )
    read = raw_events.group_by(by).agg(read=raw_events.count())
    joined = read.outer_join(counted, by)
    total = joined.accepted + joined.duplicate + joined.quarantined
    wrong = joined.filter(joined.read.fill_null(-1) != total.fill_null(-1))
    counts = ("read", "accepted", "duplicate", "quarantined")
    return wrong.select(*counts, day=ibis.coalesce(wrong.day, wrong.day_right), per=ibis.literal(by[-1]))


def _lines_out_of_balance(states: ibis.Table, store: LakeStore, days: list[date]) -> ibis.Table:
    raw_events = store.read(RAW_EVENTS, first=days[0], last=days[-1])
    by_file, by_day = (_unbalanced(by, states, raw_events) for by in (["day", "file_hash"], ["day"]))
    return by_file.union(by_day)


def _refused_lines_lost(quarantined: ibis.Table, event_states: ibis.Table) -> ibis.Table:
    refused = event_states.filter(event_states.state == classify.QUARANTINED)
    lost = refused.anti_join(quarantined, _LINE).select(*_LINE)
    return lost.union(quarantined.anti_join(refused, _LINE).select(*_LINE))


def _lost_or_invented(clean: ibis.Table, event_states: ibis.Table, store: LakeStore, days: list[date]) -> ibis.Table:
    beyond = states_beyond(store, days, late_days=get_settings().late_days)
    states = event_states if beyond is None else event_states.union(beyond)
    accepted = states.filter((states.state == classify.ACCEPTED) & states.occurred_day.between(days[0], days[-1]))
    accepted = accepted.select("event_id", day="occurred_day")
    if not _days_that_differ(accepted, clean):
        return clean.select("day", "event_id").limit(0)
    lost = accepted.anti_join(clean, ["day", "event_id"]).select("day", "event_id")
    return lost.union(clean.anti_join(accepted, ["day", "event_id"]).select("day", "event_id"))


def _days_that_differ(accepted: ibis.Table, clean: ibis.Table) -> bool:
    """Whether any day's set of ids is another, by number and hash: a tenth of the cost of looking for the ids."""

    def by_day(events: ibis.Table) -> list[dict[str, object]]:
        hashed = events.group_by("day").agg(ids=events.count(), bits=events.event_id.hash().bit_xor())
        return sorted(hashed.to_pyarrow().to_pylist(), key=lambda row: str(row["day"]))

    return by_day(accepted) != by_day(clean)


@table(
    EVENT_KEYS,
    parameters=("late_days", "currency"),
    deps=[QUARANTINE_RELEASES.name],
    checks=[
        TableCheck("every_line_has_a_key", _lines_without_key, "Every raw line of the days has its key.", blocking=True)
    ],
)
def event_keys(raw_events: ibis.Table, store: LakeStore, days: list[date]) -> ibis.Table:
    """Identity and broken rules of every line, less those that a release waives."""
    settings = get_settings()
    return classify.event_keys(
        raw_events,
        late_days=settings.late_days,
        currency=settings.currency,
        first_day=first_day(settings),
        releases=read_releases(store, dataset=EVENT.dataset, first=days[0], last=days[-1]),
        sealed_through=Gone.of(store, dedup_days=settings.dedup_days).sealed_through,
    )


@table(
    EVENT_STATES,
    parameters=("dedup_days",),
    mappings={"event_keys": window(before=_settings.dedup_days, after=_settings.dedup_days)},
    slim=5,
    checks=[
        TableCheck(
            "read_is_accepted_duplicate_or_quarantined",
            _lines_out_of_balance,
            "For every file and for every day: read = accepted + duplicate + quarantined.",
            blocking=True,
        )
    ],
)
def event_states(event_keys: ibis.Table) -> ibis.Table:
    """What became of every line."""
    return classify.event_states(event_keys, dedup_days=get_settings().dedup_days)


@table(
    QUARANTINED_EVENTS,
    checks=[
        TableCheck(
            "every_refused_line_is_kept",
            _refused_lines_lost,
            "The quarantine holds the refused lines, no more and no fewer.",
            blocking=True,
        )
    ],
)
def quarantined_events(raw_events: ibis.Table, event_states: ibis.Table) -> ibis.Table:
    """Refused lines with all their reasons."""
    return classify.quarantined_events(raw_events, event_states)


@table(
    CLEAN_EVENTS,
    parameters=("late_days", *marks.SETTINGS),
    mappings={
        "raw_events": window(after=_settings.late_days),
        "event_states": window(after=_settings.late_days),
    },
    # Refused lines are safe before the good ones go on.
    deps=[QUARANTINED_EVENTS.name, QUARANTINE_RELEASES.name],
    checks=[
        TableCheck(
            "accepted_events_are_clean_events",
            _lost_or_invented,
            "The accepted events of a day are its clean events, no more and no fewer.",
            blocking=True,
        )
    ],
)
def clean_events(raw_events: ibis.Table, event_states: ibis.Table, store: LakeStore, days: list[date]) -> ibis.Table:
    """Accepted events on the day they happened, bots flagged, each with its session."""
    settings = get_settings()
    accepted = store.made(accepted_of(raw_events, event_states, store, days, late_days=settings.late_days))
    return marks.marked_events(accepted, settings)


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
