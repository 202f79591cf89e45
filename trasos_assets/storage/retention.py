"""Retention: which days are older than their table keeps them, planned first and removed after days of grace.

The age of a day counts from the watermark, the grace by the clock: it is for people who look at the plan. The book is
written before anything is removed, so a day that is gone is always known to be: it is not built again, and what is
made of it stays as it is (``lake.gone``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import ibis
import pyarrow as pa

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.engineering import EVENT_KEYS, QUARANTINED_EVENTS, RAW_EVENTS, WATERMARK
from trasos_assets.contracts.landing import FORMATS
from trasos_assets.contracts.model import Contract
from trasos_assets.contracts.storage import LANDING, PLANNED, REMOVED, RETENTION, TABLE
from trasos_assets.lake.gone import SCHEMA, Row, read_book
from trasos_assets.lake.store import LakeError, LakeStore
from trasos_assets.landing import archive
from trasos_assets.landing.entries import ACCEPTED, read_ledger
from trasos_assets.landing.ledger import unsettled_days
from trasos_assets.landing.releases import pending_releases
from trasos_assets.landing.streams import file_signature
from trasos_assets.settings import Settings

_OF_EVENTS = (RAW_EVENTS.name, EVENT_KEYS.name, QUARANTINED_EVENTS.name)


@dataclass(frozen=True)
class Partition:
    """One day of a table or landing folder that is older than it is kept."""

    kind: str
    name: str
    day: date
    bytes: int
    files: int
    rows: int | None

    @property
    def key(self) -> tuple[str, str, date]:
        """What it stands under in the book."""
        return self.kind, self.name, self.day


@dataclass(frozen=True)
class Carried:
    """What one meeting did: the book as it is now, what is new in the plan, and what was removed."""

    book: tuple[Row, ...]
    planned: tuple[Row, ...]
    removed: tuple[Row, ...]


def data_through(store: LakeStore) -> date | None:
    """The watermark: the last received day; None before there is any."""
    rows = store.read(WATERMARK).to_pyarrow().to_pylist()
    return rows[0]["data_through"] if rows else None


def overdue(store: LakeStore, settings: Settings) -> list[Partition]:
    """Every partition that is there and older than it is kept, in order.

    Days on which files or releases wait to be taken are left out until they are; so are landing files whose lines the
    raw table lost.

    Raises:
        LakeError: a table's keep_days does not reach over the windows in which events are compared.
    """
    through = data_through(store)
    if through is None:
        return []
    found: list[Partition] = []
    for contract in CONTRACTS.values():
        if contract.keep_days is not None:
            found += _of_table(store, settings, contract, through - timedelta(days=contract.keep_days))
    if settings.landing_keep_days is not None:
        found += _of_landing(store, settings, through - timedelta(days=settings.landing_keep_days))
    return sorted(found, key=lambda partition: partition.key)


def _of_table(store: LakeStore, settings: Settings, contract: Contract, last: date) -> list[Partition]:
    assert contract.keep_days is not None
    windows = settings.late_days + settings.dedup_days
    if contract.keep_days <= windows:
        raise LakeError(
            f"table {contract.name} keeps {contract.keep_days} days, but events are compared over {windows} "
            "(TRASOS_LATE_DAYS and TRASOS_DEDUP_DAYS together); raise keep_days in its contract"
        )
    sizes = store.bytes_by_day(contract)
    old = [day for day in store.days(contract) if day <= last]
    if old and contract.name in _OF_EVENTS:
        busy = unsettled_days(store, "events")
        waiting = pending_releases(store, dataset="events")
        old = [day for day in old if day not in busy and not any(release.touches(day, day) for release in waiting)]
    rows = store.rows_by_day(contract, old)
    return [Partition(TABLE, contract.name, day, sizes[day], 1, rows[day]) for day in old]


def _of_landing(store: LakeStore, settings: Settings, last: date) -> list[Partition]:
    found = []
    removed = {(row["name"], row["day"]) for row in read_book(store) if row["state"] == REMOVED}
    for dataset, files in _accepted(store, last).items():
        raw = CONTRACTS[f"raw_{dataset}"]
        stored = {*store.days(raw), *(day for name, day in removed if name == raw.name)}
        bundled = set(archive.archived(settings.landing_dir, dataset))
        for day in sorted({*files, *(day for day in bundled if day <= last)} & stored):
            there = _files_there(settings.landing_dir, files.get(day, []))
            sizes = [row["size"] for row in there]
            if day in bundled:
                bundle = archive.bundle_of(settings.landing_dir, dataset, day)
                sizes.append(bundle.stat().st_size)
            if sizes:
                found.append(Partition(LANDING, dataset, day, sum(sizes), len(sizes), None))
    return found


def _accepted(store: LakeStore, last: date) -> dict[str, dict[date, list[Row]]]:
    """The ledger's accepted files up to a day, by data set and day."""
    files: dict[str, dict[date, list[Row]]] = {dataset: {} for dataset in FORMATS}
    for row in read_ledger(store):
        if row["state"] == ACCEPTED and row["received_day"] <= last:
            files[row["dataset"]].setdefault(row["received_day"], []).append(row)
    return files


def _files_there(landing: Path, rows: Iterable[Row]) -> list[Row]:
    """Rows whose files lie in landing as they were taken."""
    there = []
    for row in rows:
        path = landing / row["path"]
        if path.is_file() and file_signature(path) == row["signature"]:
            there.append(row)
    return there


def next_book(
    book: Sequence[Row], found: Sequence[Partition], *, now: datetime, grace_days: int, remove: bool
) -> list[Row]:
    """The book after a meeting: new partitions planned, planned ones removed whose grace is over, if ``remove``.

    Args:
        book: rows as they were.
        found: partitions that are there and overdue.
        now: naive UTC.
        grace_days: full days between planning and removal.
        remove: whether anything is removed.

    What was planned and is not overdue any more leaves the book; what was removed stays in it, and is met anew should
    it be there again.
    """
    there = {partition.key: partition for partition in found}
    kept = [row for row in book if row["state"] == REMOVED and _key(row) not in there]
    known = {_key(row): row for row in book if row["state"] == PLANNED}
    for key, partition in there.items():
        planned_at = known[key]["planned_at"] if key in known else now
        size = {"bytes": partition.bytes, "files": partition.files, "rows": partition.rows}
        row = dict(zip(("kind", "name", "day"), key, strict=True)) | size | {"planned_at": planned_at}
        over = key in known and now - planned_at >= timedelta(days=grace_days)
        kept.append(
            row | {"state": REMOVED if remove and over else PLANNED, "removed_at": now if remove and over else None}
        )
    return sorted(kept, key=_key)


def _key(row: Row) -> tuple[str, str, date]:
    return row["kind"], row["name"], row["day"]


def book_table(rows: Sequence[Row]) -> ibis.Table:
    """Rows of the book as a table."""
    return ibis.memtable(pa.Table.from_pylist(list(rows), schema=SCHEMA))


def meet(store: LakeStore, settings: Settings, *, now: datetime, remove: bool | None = None) -> Carried:
    """Plan what is overdue, and remove what was planned and has waited its days of grace.

    Args:
        store: the lake; the caller holds the lock of the table ``retention``.
        settings: ``retention`` says whether anything happens (off), is planned only (dry), or is removed (on).
        now: naive UTC.
        remove: a person's word instead of ``dry`` or ``on``.

    Raises:
        LakeError: as ``overdue``.
    """
    book = read_book(store)
    if settings.retention == "off":
        return Carried(tuple(book), (), ())
    carrying_out = settings.retention == "on" if remove is None else remove
    found = overdue(store, settings)
    after = next_book(book, found, now=now, grace_days=settings.retention_grace_days, remove=carrying_out)
    removing = [row for row in after if row["state"] == REMOVED and row["removed_at"] == now]
    if after != book:
        # Before the files: a day that is gone without the book's knowledge would be built again, of nothing.
        store.write(RETENTION, book_table(after))
    for row in removing:
        _remove(store, settings, row)
    before = {_key(row) for row in book if row["state"] == PLANNED}
    planned = [row for row in after if row["state"] == PLANNED and _key(row) not in before]
    return Carried(tuple(after), tuple(planned), tuple(removing))


def _remove(store: LakeStore, settings: Settings, row: Row) -> None:
    if row["kind"] == TABLE:
        contract = CONTRACTS[row["name"]]
        with store.writing(contract.name):
            store.remove(contract, row["day"])
        return
    landing, day = settings.landing_dir, row["day"]
    with store.writing(archive.LOCK):
        for file in _files_there(landing, _accepted(store, day)[row["name"]].get(day, [])):
            (landing / file["path"]).unlink()
        archive.remove_bundle(landing, row["name"], day)
