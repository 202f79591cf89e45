"""Releases from the quarantine: which lines one speaks of, what may be waived, and what it makes of a line.

A release names a reason and received days. Either the cause was mended, and the lines are read and judged again, or the
rule is waived for them: taken as kept, while every other rule goes on to refuse.
"""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import ibis

from trasos_assets.contracts.landing import EVENT
from trasos_assets.contracts.model import Rule

TOO_LATE = "too_late"
_INSTEAD = {
    "malformed": "the line is no JSON object; have it delivered again, or mend the reader and replay without a waiver",
    "line_too_long": "raise TRASOS_MAX_LINE_BYTES and replay without a waiver",
    "nested_too_deep": "have it delivered again, flatter",
    "duplicate_key": "only the source knows which of the values is meant; have it delivered again with one of them",
    "conflicting_duplicate": "one id cannot be two events; have the line delivered again under an id of its own",
    "foreign_currency": "there is no source of exchange rates; have the line delivered again, converted",
    "before_first_day": "no table has that day; start a new lake with an earlier TRASOS_START_DATE",
    "occurred_after_its_folder": "deliver the file again in the folder of the day on which it was received",
    "quantity_not_positive": "every sum would read it as a return; have it delivered again as a cancellation",
    "negative_unit_price": "revenue would fall without a cancellation; have it delivered again as one",
    "position_not_positive": "ranks begin at 1; have the line delivered again with its rank",
}
_OTHERWISE = "the tables after it cannot do without it; have the line delivered again, whole"


class ReleaseError(Exception):
    """A release that cannot be made; the message says why and what to do instead."""


@dataclass(frozen=True)
class Release:
    """One release: a row of QUARANTINE_RELEASES.

    It speaks of the lines of a data set with ``reason`` that were received from ``since`` to ``until``, both included,
    in the delivery ``file_hash`` where that is given.
    """

    dataset: str
    reason: str
    since: date
    until: date
    waived: bool
    released_on: date
    released_at: datetime
    released_by: str
    file_hash: str | None = None
    note: str | None = None
    applied: bool = False

    @property
    def selector(self) -> tuple[str, str, date, date, str | None, bool]:
        """What decides which lines it speaks of, and how."""
        return self.dataset, self.reason, self.since, self.until, self.file_hash, self.waived

    @property
    def release_id(self) -> str:
        """Hash of selector and time, 16 hex digits."""
        parts = "\0".join(map(str, (*self.selector, self.released_at.isoformat())))
        return hashlib.sha256(parts.encode()).hexdigest()[:16]

    def touches(self, first: date, last: date) -> bool:
        """Whether any of its received days lies from ``first`` to ``last``."""
        return self.since <= last and self.until >= first


def refuse_waiver(reason: str, rules: Iterable[Rule]) -> None:
    """Refuse to waive what the tables downstream lean on.

    Args:
        reason: as it stands in the quarantine.
        rules: every rule of the data set (``classify.rules_of``).

    Raises:
        ReleaseError: the reason is no rule that may be waived; says what to do instead and which rules may.
    """
    waivable = sorted(rule.name for rule in rules if rule.waivable is not None)
    if reason in waivable:
        return
    named = f"{reason} may not be waived: {_INSTEAD.get(reason, _OTHERWISE)}."
    which = f"Rules that may be waived: {', '.join(waivable)}" if waivable else "No rule of this data set may be waived"
    raise ReleaseError(f"{named} {which}")


def names(column: ibis.Value, name: str) -> ibis.Value:
    """Whether a comma separated list in a text column has an entry; false where the list is null."""
    return ("," + column + ",").contains(f",{name},").fill_null(False)


def covers(lines: ibis.Table, release: Release) -> ibis.Value:
    """Whether each line (day, file_hash) was received in the days, and the delivery, of a release."""
    first, last = (ibis.literal(day, type="date") for day in (release.since, release.until))
    within = lines.day.between(first, last)
    return within if release.file_hash is None else within & (lines.file_hash == release.file_hash)


def waived_on(lines: ibis.Table, rule: Rule, releases: Sequence[Release]) -> ibis.Value | None:
    """Day of the first release that waives a rule for each line; null where none does, None where none ever could."""
    own = [r for r in releases if r.waived and r.reason == rule.name and r.dataset == EVENT.dataset]
    if not own or rule.waivable is None:
        return None
    usable = rule.waivable(lines)
    ordered = sorted(own, key=lambda r: (r.released_on, r.release_id))
    days = ((covers(lines, r) & usable, ibis.literal(r.released_on, type="date")) for r in ordered)
    return ibis.cases(*days, else_=ibis.null("date"))


def read_again_on(lines: ibis.Table, releases: Sequence[Release]) -> ibis.Value | None:
    """Day of the release under which each raw line could be read after all; None if there is no such release."""
    again = [(r.release_id, r.released_on) for r in releases if not r.waived]
    if not again:
        return None
    days = ((lines.release_id == own, ibis.literal(day, type="date")) for own, day in sorted(set(again)))
    return ibis.cases(*days, else_=ibis.null("date"))


def released_lines(
    raw_events: ibis.Table, event_keys: ibis.Table, releases: Sequence[Release], *, dedup_days: int
) -> ibis.Table:
    """Columns ``day`` and ``occurred_day`` of all lines whose state some releases may change, nulls among them.

    Args:
        raw_events: raw rows of the releases' days.
        event_keys: keys of the releases' days and of ``dedup_days`` around them, made with or without the releases.
        releases: of events; at least one.
        dedup_days: as in ``classify.event_states``.

    Lines that a release speaks of, lines that were read again under one, and lines that share an event id with them.
    The same lines come out whether or not the keys were built with the releases, so that a release whose run was cut
    short can be planned again.
    """
    named = [covers(event_keys, r) & (names(event_keys.reasons, r.reason) | _waives(event_keys, r)) for r in releases]
    spoken_of = event_keys.filter(ibis.or_(*named)).select("day", "event_id", "occurred_day")
    again = raw_events.filter(raw_events.release_id.isin([r.release_id for r in releases]).fill_null(False))
    own = spoken_of.union(again.select("day", "event_id", "occurred_day"))
    ids = own.filter(own.event_id.notnull()).select("event_id", own_day="day").distinct()
    span = ibis.interval(days=dedup_days)
    rivals = event_keys.select("day", "event_id", "occurred_day").join(ids, "event_id")
    rivals = rivals.filter(
        rivals.day.between((rivals.own_day - span).cast("date"), (rivals.own_day + span).cast("date"))
    )
    return own.select("day", "occurred_day").union(rivals.select("day", "occurred_day")).distinct()


def _waives(event_keys: ibis.Table, release: Release) -> ibis.Value:
    return names(event_keys.waived, release.reason) if release.waived else ibis.literal(False)
