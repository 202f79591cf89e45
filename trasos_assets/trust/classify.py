"""What becomes of every landed event line: accepted, duplicate or quarantined, with all its reasons.

The answer depends on the lines and on the releases from the quarantine, not on the order or the files in which lines
came.
"""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import ibis

from trasos_assets.contracts.landing import EVENT, LandingFormat
from trasos_assets.contracts.model import TIMESTAMP, Rule
from trasos_assets.trust.releases import TOO_LATE, Release, read_again_on, waived_on

UNREAD = ("malformed", "line_too_long", "nested_too_deep")
"""Problems of lines none of whose fields could be read (``landing.parse`` names them)."""

ACCEPTED, DUPLICATE, QUARANTINED = "accepted", "duplicate", "quarantined"
CONFLICT = "conflicting_duplicate"
_LINE = ["day", "file_hash", "line"]
_TIME_WIDTH = len("2026-01-31 23:59:59.000000")


def _reason(holds: ibis.Value, name: str) -> ibis.Value:
    return ibis.ifelse(holds.fill_null(True), ibis.null("string"), name)


@dataclass(frozen=True)
class Verdict:
    """What the row rules say of every line, as columns of the raw table that they were asked of.

    ``reasons`` and ``waived`` are comma separated in the order of the format and null if empty; ``released_on`` is the
    day of the last release that the line needed, null if it needed none or is refused all the same.
    """

    reasons: ibis.Value
    waived: ibis.Value
    released_on: ibis.Value


def _listed(parts: Sequence[ibis.Value]) -> ibis.Value:
    """The parts that are not null, comma separated; null if there are none."""
    return ibis.literal(",").join(parts).nullif("")


def judge(
    raw: ibis.Table,
    landing: LandingFormat,
    *,
    currency: str,
    further: Iterable[Rule] = (),
    releases: Sequence[Release] = (),
) -> Verdict:
    """Every rule that a raw line breaks, and which of them a release has waived.

    A line that could not be read is judged by ``problems`` alone, since its columns are null for that reason only.
    """
    unread = raw.problems.isin(UNREAD).fill_null(False)
    broken = [
        _reason(raw[name].notnull() | raw.problems.contains(f"invalid_{name}").fill_null(False), f"missing_{name}")
        for name in landing.required
    ]
    waived, days = [], []
    for rule in (*landing.rules, *further):
        holds = rule.holds(raw).fill_null(True)
        day = waived_on(raw, rule, releases)
        if day is not None:
            day = ibis.ifelse(holds, ibis.null("date"), day)
            waived.append(ibis.ifelse(day.notnull(), rule.name, ibis.null("string")))
            days.append(day)
            holds = holds | day.notnull()
        broken.append(_reason(holds, rule.name))
    if any(column.name == "currency" for column in landing.columns):
        broken.append(_reason(raw.currency == currency, "foreign_currency"))
    judged = ibis.ifelse(unread, ibis.null("string"), _listed(broken))
    reasons = _listed([raw.problems, judged])
    again = read_again_on(raw, releases)
    days += [] if again is None else [again]
    released = ibis.greatest(*days) if days else ibis.null("date")
    return Verdict(
        reasons,
        _listed(waived) if waived else ibis.null("string"),
        ibis.ifelse(reasons.isnull(), released, ibis.null("date")),
    )


def row_reasons(raw: ibis.Table, landing: LandingFormat, *, currency: str, further: Iterable[Rule] = ()) -> ibis.Value:
    """Every rule that a raw line breaks, comma separated in the order of the format; null if it breaks none."""
    return judge(raw, landing, currency=currency, further=further).reasons


def _lateness(late_days: int, first_day: object, sealed_through: date | None = None) -> tuple[Rule, ...]:
    late = ibis.interval(days=late_days)
    sealed = date.min if sealed_through is None else sealed_through
    return (
        Rule("occurred_after_its_folder", lambda t: t.occurred_day <= t.day),
        Rule("before_first_day", lambda t: t.occurred_day >= ibis.literal(first_day, type="date")),
        Rule(
            TOO_LATE,
            lambda t: (t.received_at <= t.occurred_at + late) & (t.day <= (t.occurred_day + late).cast("date")),
            # The row is whole, and its day can be built again: clean_events looks for it where it was received.
            waivable=lambda t: t.occurred_day.notnull() & (t.occurred_day > ibis.literal(sealed, type="date")),
        ),
    )


def rules_of(landing: LandingFormat) -> tuple[Rule, ...]:
    """Every rule of a data set by name, those that depend on settings with settings that do not matter."""
    return (*landing.rules, *(_lateness(0, "2000-01-01") if landing is EVENT else ()))


def event_keys(
    raw_events: ibis.Table,
    *,
    late_days: int,
    currency: str,
    first_day: object,
    releases: Sequence[Release] = (),
    sealed_through: date | None = None,
) -> ibis.Table:
    """Identity and broken rules of every raw line: the slim table that duplicates are found in (EVENT_KEYS).

    ``payload_hash`` covers every field but ``received_at``: a redelivery differs in nothing else. ``releases`` are
    those of events that touch the days; others change nothing. ``sealed_through`` is the last day of which nothing can
    be built again, since retention removed its lines: no release waives lateness for it.
    """
    fields = [column.name for column in EVENT.columns if column.name != "received_at"]
    texts = [raw_events[name].cast("string").fill_null("\u0001") for name in fields]
    payload = ibis.literal("\u0002").join([*texts, raw_events.extra.fill_null("")])
    further = _lateness(late_days, first_day, sealed_through)
    verdict = judge(raw_events, EVENT, currency=currency, further=further, releases=releases)
    return raw_events.select(
        *_LINE,
        "event_id",
        payload_hash=payload.hexdigest("md5"),
        received_at="received_at",
        occurred_day="occurred_day",
        reasons=verdict.reasons,
        waived=verdict.waived,
        released_on=verdict.released_on,
    )


def event_states(event_keys: ibis.Table, *, dedup_days: int) -> ibis.Table:
    """State of every line (EVENT_STATES).

    Among lines that break no rule and share an event id within ``dedup_days`` received days, the least by (received_at,
    payload hash, file hash, line) is the event. Another with the same payload is a duplicate of it; one with another
    payload is quarantined as a conflicting duplicate. Lines that break a rule take part in neither.
    """
    valid = event_keys.filter(event_keys.reasons.isnull())
    shared = valid.group_by("event_id").having(valid.count() > 1).agg().select("event_id")
    rivals = valid.semi_join(shared, "event_id")
    # As text of fixed width, so that the order is the same on every engine; the year has four digits.
    time = rivals.received_at.strftime("%Y-%m-%d %H:%M:%S.%f").lpad(_TIME_WIDTH, "0")
    own = time + rivals.payload_hash + rivals.file_hash + "|" + rivals.line.cast("string").lpad(19, "0")
    rivals = rivals.mutate(own=own, number=rivals.day.delta(ibis.date(1970, 1, 1), unit="day"))
    # A window, not a join: a source that gives one id to a million events must not cost their square.
    near = ibis.range_window(group_by="event_id", order_by=rivals.number, preceding=dedup_days, following=dedup_days)
    placed = rivals.mutate(least=rivals.own.min().over(near))
    beaten = placed.filter(placed.least < placed.own)
    beaten = beaten.select(*_LINE, conflict=beaten.least.substr(_TIME_WIDTH, 32) != beaten.payload_hash)
    joined = event_keys.left_join(beaten, _LINE)
    lost = joined.conflict.notnull()
    state = ibis.cases(
        (joined.reasons.notnull(), QUARANTINED),
        (lost & joined.conflict, QUARANTINED),
        (lost, DUPLICATE),
        else_=ACCEPTED,
    )
    reasons = ibis.ifelse(joined.reasons.isnull() & lost & joined.conflict, CONFLICT, joined.reasons)
    released = ibis.ifelse(reasons.isnull(), joined.released_on, ibis.null("date"))
    kept = (*_LINE, "event_id", "occurred_day", "waived")
    return joined.select(*kept, state=state, reasons=reasons, released_on=released)


def _line_of(raw: ibis.Table, landing: LandingFormat) -> ibis.Value:
    """The line's text, or its fields as JSON where nothing of the text was kept because all of it could be read."""
    fields = {column.name: raw[column.name] for column in landing.columns}
    # As text first: engines write a time into JSON in ways of their own.
    fields |= {c.name: raw[c.name].cast("string") for c in landing.columns if c.type == TIMESTAMP}
    return raw.raw.fill_null(ibis.struct(fields).cast("json").cast("string"))


def quarantined_events(raw_events: ibis.Table, event_states: ibis.Table) -> ibis.Table:
    """Refused lines with all their reasons (QUARANTINED_EVENTS)."""
    refused = event_states.filter(event_states.state == QUARANTINED).select(*_LINE, "reasons")
    lines = raw_events.inner_join(refused, _LINE)
    return lines.select(*_LINE, "event_id", "event_type", "occurred_at", "reasons", raw=_line_of(lines, EVENT))


def accepted_events(raw_events: ibis.Table, event_states: ibis.Table) -> ibis.Table:
    """The raw rows of accepted events, their day the day they happened, with the rules that were waived for them."""
    accepted = event_states.filter(event_states.state == ACCEPTED).select(*_LINE, "waived")
    fields = [column.name for column in EVENT.columns]
    return raw_events.inner_join(accepted, _LINE).select(*fields, "waived", day="occurred_day")


def quarantined_records(raw: ibis.Table, landing: LandingFormat, *, currency: str) -> ibis.Table:
    """Refused lines of another landed data set (QUARANTINED_RECORDS)."""
    judged = raw.mutate(reasons=row_reasons(raw, landing, currency=currency), dataset=ibis.literal(landing.dataset))
    judged = judged.mutate(raw=_line_of(judged, landing))
    return judged.filter(judged.reasons.notnull()).select("day", "dataset", "file_hash", "line", "reasons", "raw")


def accepted_records(raw: ibis.Table, landing: LandingFormat, *, currency: str) -> ibis.Table:
    """Rows of another landed data set that break no rule, with where they came from."""
    judged = raw.mutate(reasons=row_reasons(raw, landing, currency=currency))
    return judged.filter(judged.reasons.isnull()).select(*_LINE, *(column.name for column in landing.columns))
