"""The book of releases from the quarantine: recorded durably before anything runs, marked when everything was built."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import pyarrow as pa

from trasos_assets.contracts.engineering import QUARANTINE_RELEASES
from trasos_assets.contracts.landing import EVENT, FORMATS
from trasos_assets.lake.store import LakeStore
from trasos_assets.trust.classify import rules_of
from trasos_assets.trust.releases import TOO_LATE, Release, ReleaseError, refuse_waiver

_SCHEMA = pa.schema(
    [
        ("release_id", pa.string()),
        ("dataset", pa.string()),
        ("reason", pa.string()),
        ("since", pa.date32()),
        ("until", pa.date32()),
        ("file_hash", pa.string()),
        ("waived", pa.bool_()),
        ("released_by", pa.string()),
        ("released_on", pa.date32()),
        ("released_at", pa.timestamp("us")),
        ("note", pa.string()),
        ("applied", pa.bool_()),
    ]
)


def read_releases(
    store: LakeStore, *, dataset: str | None = None, first: date | None = None, last: date | None = None
) -> list[Release]:
    """Releases in the order in which they were made: of a data set, and touching days, where these are given."""
    table = store.read(QUARANTINE_RELEASES).drop("release_id")
    rows: list[dict[str, Any]] = table.order_by("released_at", "dataset", "reason").to_pyarrow().to_pylist()
    found = (Release(**row) for row in rows)
    return [
        release
        for release in found
        if dataset in (None, release.dataset) and release.touches(first or date.min, last or date.max)
    ]


def pending_releases(
    store: LakeStore, *, dataset: str | None = None, first: date | None = None, last: date | None = None
) -> list[Release]:
    """Releases that not everything by day was built with yet; as ``read_releases``."""
    return [r for r in read_releases(store, dataset=dataset, first=first, last=last) if not r.applied]


def waiting_in_words(store: LakeStore) -> str | None:
    """Which releases wait to be carried out; None if none does."""
    waiting = [f"{r.reason} since {r.since} ({r.release_id})" for r in pending_releases(store)]
    return f"not carried out yet: {', '.join(waiting)}"[:2000] if waiting else None


def lateness_waivers(store: LakeStore) -> list[Release]:
    """Releases that waive lateness: their lines may have occurred on any earlier day."""
    return [r for r in read_releases(store, dataset=EVENT.dataset) if r.waived and r.reason == TOO_LATE]


def _write(store: LakeStore, releases: Iterable[Release]) -> None:
    rows = [{name: getattr(release, name) for name in _SCHEMA.names} for release in releases]
    store.write(QUARANTINE_RELEASES, ibis.memtable(pa.Table.from_pylist(rows, schema=_SCHEMA)))


def make_release(
    *,
    dataset: str,
    reason: str,
    since: date,
    until: date | None,
    file_hash: str | None,
    waived: bool,
    released_by: str,
    note: str | None,
    timezone: str,
    now: datetime | None = None,
) -> Release:
    """A release of this moment; ``until`` is today, or earlier where it is given.

    Raises:
        ReleaseError: the data set is unknown, the days are turned round, or the rule may not be waived.
    """
    if dataset not in FORMATS:
        raise ReleaseError(f"unknown data set {dataset!r}; there are {', '.join(FORMATS)}")
    if not released_by.strip():
        raise ReleaseError("name who releases the lines (--by NAME)")
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    today = moment.astimezone(ZoneInfo(timezone)).date()
    last = min(until or today, today)
    if since > last:
        raise ReleaseError(f"no day lies from {since} to {last}; lines of days to come cannot be released")
    if waived and dataset != EVENT.dataset:
        raise ReleaseError(
            f"only rules of events may be waived; have the lines of {dataset} delivered again: the last word counts"
        )
    if waived:
        refuse_waiver(reason, rules_of(FORMATS[dataset]))
    return Release(
        dataset=dataset,
        reason=reason,
        since=since,
        until=last,
        waived=waived,
        released_on=today,
        released_at=moment.replace(tzinfo=None),
        released_by=released_by.strip(),
        file_hash=file_hash,
        note=note,
    )


def record_release(store: LakeStore, release: Release) -> Release:
    """Add a release to the book; one that still waits and says the same stands for it.

    When this returns, the release is on disk: whatever happens then, the next ingest carries it out.
    """
    with store.writing(QUARANTINE_RELEASES.name):
        known = read_releases(store)
        for other in known:
            if other.selector == release.selector and not other.applied:
                return other
        _write(store, [*known, release])
    return release


def settle_releases(store: LakeStore, releases: Collection[str]) -> None:
    """Mark releases, by their ids, as applied: everything by day was built with them."""
    if not releases:
        return
    with store.writing(QUARANTINE_RELEASES.name):
        known = read_releases(store)
        _write(store, [replace(r, applied=True) if r.release_id in releases else r for r in known])
