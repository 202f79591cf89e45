"""What is in the quarantine: counted, shown line by line, and what a release would make of it."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import ibis

from trasos_assets.contracts.engineering import (
    EVENT_STATES,
    LANDING_LEDGER,
    QUARANTINED_EVENTS,
    QUARANTINED_RECORDS,
    RAW_ASSIGNMENTS,
    RAW_CATALOGUE,
    RAW_EVENTS,
    RAW_MARKETING_SPEND,
)
from trasos_assets.contracts.landing import EVENT, FORMATS
from trasos_assets.contracts.model import Contract
from trasos_assets.lake.gone import Gone
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing.ledger import read_ledger
from trasos_assets.landing.releases import read_releases
from trasos_assets.landing.reread import read_again
from trasos_assets.settings import Settings
from trasos_assets.trust import classify
from trasos_assets.trust.releases import Release, ReleaseError, covers, names

RAW: dict[str, Contract] = {
    contract.name.removeprefix("raw_"): contract
    for contract in (RAW_EVENTS, RAW_CATALOGUE, RAW_MARKETING_SPEND, RAW_ASSIGNMENTS)
}
BY = ("reason", "file", "day")
_LINE = ["day", "file_hash", "line"]
_SHOWN = ("dataset", *_LINE, "reasons", "event_id", "event_type", "occurred_at", "raw")
Row = dict[str, Any]


def refused(
    store: LakeStore, *, dataset: str | None = None, since: date | None = None, until: date | None = None
) -> ibis.Table:
    """Refused lines of all data sets, or of one: dataset, day, file_hash, line, reasons, raw, and for events their id,
    type and time.
    """
    events = store.read(QUARANTINED_EVENTS, first=since, last=until).mutate(dataset=ibis.literal(EVENT.dataset))
    records = store.read(QUARANTINED_RECORDS, first=since, last=until)
    records = records.mutate(
        event_id=ibis.null("string"), event_type=ibis.null("string"), occurred_at=ibis.null("timestamp(6)")
    )
    both = events.select(*_SHOWN).union(records.select(*_SHOWN))
    return both if dataset is None else both.filter(both.dataset == dataset)


def counts(lines: ibis.Table, by: str, ledger: ibis.Table) -> list[Row]:
    """Refused lines by reason, file or day, the most first (days in order).

    Every row has ``dataset`` and ``lines``, and what it is counted by: ``reason`` with the first and last day; ``path``
    with ``file_hash``; ``day``. A line with two reasons counts under each.
    """
    if by == "reason":
        split = lines.mutate(reason=lines.reasons.split(",").unnest())
        grouped = split.group_by("dataset", "reason").agg(
            lines=split.count(), first_day=split.day.min(), last_day=split.day.max()
        )
        order = [ibis.desc("lines"), "dataset", "reason"]
    elif by == "file":
        paths = ledger.select("path", file_hash="delivery")
        grouped = lines.group_by("dataset", "file_hash").agg(lines=lines.count()).left_join(paths, "file_hash")
        grouped = grouped.select("dataset", "path", "file_hash", "lines")
        order = [ibis.desc("lines"), "dataset", "path", "file_hash"]
    else:
        grouped = lines.group_by("dataset", "day").agg(lines=lines.count())
        order = ["day", "dataset"]
    return grouped.order_by(order).to_pyarrow().to_pylist()


def _stand_in(value: object) -> str:
    """The same for the same value, as in the checks' messages; says nothing else of it."""
    return "#" + hashlib.sha256(str(value).encode("utf-8", "replace")).hexdigest()[:8]


def without_personal_data(row: Row) -> str:
    """A refused line for the screen: values that could be read and are not personal; of all others a hash's beginning.

    Args:
        row: with ``dataset``, ``reasons`` and ``raw``.

    A value that is not of its field's type may hold anything, and so may a line that is no object, or a field that the
    format does not know.
    """
    raw: str = row["raw"]
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        return f"{_stand_in(raw)} ({len(raw):,} characters)"
    known = {column.name: column for column in FORMATS[row["dataset"]].columns}
    reasons = row["reasons"].split(",")
    shown = {}
    for name, column in known.items():
        value = fields.get(name)
        if value is None:
            continue
        plain = not column.pii and not isinstance(value, dict | list) and f"invalid_{name}" not in reasons
        shown[name] = value if plain else _stand_in(value)
    unknown = len(set(fields) - set(known))
    told = json.dumps(shown, ensure_ascii=False)
    return f"{told} and {unknown} unknown fields" if unknown else told


def delivery_of(store: LakeStore, named: str) -> str:
    """The delivery that a person means by its hash, the beginning of it (6 digits or more), or its path.

    Raises:
        ReleaseError: the ledger knows none, or several.
    """
    path = named.removeprefix("landing/")
    found = sorted(
        row["delivery"]
        for row in read_ledger(store)
        if row["delivery"] == named
        or row["path"] == path
        or (len(named) >= 6 and row["delivery"].startswith(named))  # a few digits of a hash name it well enough
    )
    if not found:
        raise ReleaseError(f"the ledger knows no file {named!r}; `trasos quarantine list --by file` names them")
    if len(found) > 1:
        raise ReleaseError(f"{named!r} was delivered {len(found)} times; name one by its hash: {', '.join(found)}")
    return found[0]


def lines_like(
    store: LakeStore,
    *,
    limit: int,
    dataset: str | None = None,
    reason: str | None = None,
    file: str | None = None,
    day: date | None = None,
) -> list[Row]:
    """The first refused lines of a kind, with the path of their file; in order of day, delivery and line.

    Raises:
        ReleaseError: as ``delivery_of``.
    """
    lines = refused(store, dataset=dataset, since=day, until=day)
    if file is not None:
        lines = lines.filter(lines.file_hash == delivery_of(store, file))
    if reason is not None:
        lines = lines.filter(names(lines.reasons, reason))
    paths = store.read(LANDING_LEDGER).select("path", file_hash="delivery")
    first = lines.order_by(*_LINE, "dataset").limit(limit).left_join(paths, "file_hash")
    return first.order_by(*_LINE, "dataset").to_pyarrow().to_pylist()


def matching(store: LakeStore, release: Release) -> ibis.Table:
    """Refused lines that a release speaks of; columns as ``refused``."""
    lines = refused(store, dataset=release.dataset, since=release.since, until=release.until)
    return lines.filter(covers(lines, release) & names(lines.reasons, release.reason))


def require_lines(store: LakeStore, release: Release) -> int:
    """How many refused lines a release speaks of.

    Raises:
        ReleaseError: none; says which reasons there are.
    """
    count = int(matching(store, release).count().to_pyarrow().as_py())
    if count:
        return count
    where = f"received from {release.since} to {release.until}" + (
        f" in {release.file_hash}" if release.file_hash else ""
    )
    here = refused(store, dataset=release.dataset, since=release.since, until=release.until)
    if release.file_hash:
        here = here.filter(here.file_hash == release.file_hash)
    ledger = store.read(LANDING_LEDGER)
    reasons = [row["reason"] for row in counts(here, "reason", ledger)]
    if release.reason in reasons or not reasons:
        raise ReleaseError(f"no line of {release.dataset} {where} is in the quarantine for {release.reason!r}")
    raise ReleaseError(
        f"no line of {release.dataset} {where} is in the quarantine for {release.reason!r}; "
        f"there are lines for {', '.join(sorted(reasons))}"
    )


@dataclass(frozen=True)
class Prospect:
    """What a release would do, or did: lines that it speaks of, how many leave, and why the others stay."""

    lines: int
    leaving: Counter[str] = field(default_factory=Counter)
    staying: Counter[str] = field(default_factory=Counter)


def _tally(rows: Iterable[Row]) -> Prospect:
    leaving, staying = Counter[str](), Counter[str]()
    for row in rows:
        if row["reasons"] is None:
            leaving[row["state"]] += row["lines"]
        else:
            staying[row["reasons"]] += row["lines"]
    return Prospect(leaving.total() + staying.total(), leaving, staying)


def prospect(store: LakeStore, settings: Settings, release: Release, *, first_day: date) -> Prospect:
    """What the rules would say of a release's lines, without building anything.

    ``leaving`` counts lines that break no other rule, under ``accepted``; some of them may turn out to be duplicates.
    """
    lines = matching(store, release).select(*_LINE)
    raw = store.read(RAW[release.dataset], first=release.since, last=release.until).semi_join(lines, _LINE)
    raw = read_again(store, settings, RAW[release.dataset], release.dataset, raw, [release])
    if release.dataset == EVENT.dataset:
        before = read_releases(store, dataset=EVENT.dataset, first=release.since, last=release.until)
        judged = classify.event_keys(
            raw,
            late_days=settings.late_days,
            currency=settings.currency,
            first_day=first_day,
            releases=[*before, release],
            sealed_through=Gone.of(store, dedup_days=settings.dedup_days).sealed_through,
        )
    else:
        judged = raw.mutate(reasons=classify.row_reasons(raw, FORMATS[release.dataset], currency=settings.currency))
    counted = judged.group_by("reasons").agg(lines=judged.count()).to_pyarrow().to_pylist()
    return _tally(row | {"state": classify.ACCEPTED} for row in counted)


class Watch:
    """Lines that a release speaks of, remembered before it is carried out, to say afterwards what became of them."""

    def __init__(self, store: LakeStore, release: Release) -> None:
        self._store, self._release = store, release
        # Computed now: the quarantine is another once the release was carried out.
        self._lines = matching(store, release).select(*_LINE).cache()

    def outcome(self) -> Prospect:
        """What became of them: ``leaving`` by state, ``staying`` by reasons."""
        release = self._release
        lines = self._lines
        if release.dataset == EVENT.dataset:
            states = self._store.read(EVENT_STATES, first=release.since, last=release.until)
            now = states.semi_join(lines, _LINE).select("state", "reasons")
        else:
            kept = refused(self._store, dataset=release.dataset, since=release.since, until=release.until)
            joined = lines.left_join(kept.select(*_LINE, "reasons"), _LINE)
            gone = joined.reasons.isnull()
            now = joined.select("reasons", state=ibis.ifelse(gone, classify.ACCEPTED, classify.QUARANTINED))
        rows = now.group_by("state", "reasons").agg(lines=now.count()).to_pyarrow().to_pylist()
        return _tally(rows)
