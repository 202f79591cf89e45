"""The ledger of landed files: every file seen, taken once, never lost.

A delivery is a path with its content: the same file again is the same delivery, the same path with other content is a
new one. A file counts as taken only after the run that stored its lines has succeeded; until then it is pending and
comes again. An entry whose file was replaced or removed before it was taken is superseded: a run that failed later on
may have stored its lines, so it is settled with the next ingest all the same.
"""

# The functions of pyarrow.compute are made at run time.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import itertools
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from trasos_assets.contracts.engineering import LANDING_LEDGER
from trasos_assets.contracts.landing import EVENT
from trasos_assets.lake.gone import Gone
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing import archive
from trasos_assets.landing.counts import counted, counted_late, uncounted_days
from trasos_assets.landing.entries import (
    ACCEPTED,
    OPEN,
    PENDING,
    REJECTED,
    SUPERSEDED,
    WAITING,
    Row,
    is_current,
    ledger_table,
    read_ledger,
)
from trasos_assets.landing.entries import write_ledger as _write
from trasos_assets.landing.listing import Landed, LandingError, Rules, list_landing
from trasos_assets.landing.looking import look_at, still_stands
from trasos_assets.landing.parse import Delivery
from trasos_assets.landing.streams import file_signature
from trasos_assets.places import shown
from trasos_assets.settings import Settings

__all__ = [
    "ACCEPTED",
    "PENDING",
    "REJECTED",
    "SUPERSEDED",
    "WAITING",
    "LandingError",
    "Row",
    "Stock",
    "lost_deliveries",
    "pending_deliveries",
    "read_ledger",
    "rows_in_trouble",
    "settle",
    "take_stock",
    "taken_days",
    "unsettled_days",
]

LOOKERS = 2
"""Files read at once: unpacking and hashing leave the interpreter free."""

Admit = Callable[[Landed, Row], Landed | Row]
"""Looks into a file that is new, after the ledger did: returns its row, or the file as it is to be looked at again."""

LOOK_SECONDS = 45
"""A look that is bounded begins no further file after this: a sensor's tick must end."""


@dataclass(frozen=True)
class Stock:
    """What a look at the landing folder found; ``pending`` holds superseded entries that no ingest has settled too."""

    pending: tuple[Row, ...]
    troubled: tuple[Row, ...]
    files: int


class _Books:
    """The ledger's rows while a look goes on, found by delivery and by path."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows: dict[str, Row] = {row["delivery"]: row for row in rows}
        self._of_path: dict[str, list[str]] = defaultdict(list)
        self._seen: dict[tuple[str, str], Row] = {}
        for key, row in self.rows.items():
            self._of_path[row["path"]].append(key)
            if row["state"] != SUPERSEDED:
                self._seen[row["path"], row["signature"]] = row

    @property
    def paths(self) -> set[str]:
        return set(self._of_path)

    def seen(self, one: Landed) -> Row | None:
        """The row of a file that was entered as it looks now."""
        return self._seen.get((one.relative, one.signature))

    def last(self, path: str) -> Row | None:
        """What the look before found at a path: its open entry, else the last one that was taken."""
        rows = [self.rows[key] for key in self._of_path.get(path, ())]
        opened = [row for row in rows if row["state"] in OPEN]
        return (opened or [row for row in rows if row["state"] == ACCEPTED] or [None])[-1]

    def supersede(self, path: str, found: Row | None = None) -> bool:
        """Close the open entries of a path whose content is no longer there. Whether there were any."""
        keep = found["delivery"] if found is not None else None
        stale = [key for key in self._of_path[path] if key != keep and self.rows[key]["state"] in OPEN]
        for key in stale:
            row = self.rows[key]
            untaken = row["rows_read"] is None
            if found is not None and untaken and (row["received_day"] is None or found["state"] in (WAITING, REJECTED)):
                # Nothing of it was ever stored, and a file that grows would leave a row at every look.
                del self.rows[key]
                self._of_path[path].remove(key)
            else:
                self.rows[key] = row | {"state": SUPERSEDED}
        return bool(stale)

    def enter(self, found: Row) -> bool:
        """Enter what a look found; whether it changes anything."""
        key, path = found["delivery"], found["path"]
        before, last = self.rows.get(key), self.last(path)
        if before is not None and before["state"] in (ACCEPTED, PENDING):
            found = before | {"signature": found["signature"]}
        elif before is not None:
            found["first_seen_at"] = before["first_seen_at"]
        elif last is not None and last["state"] == found["state"] == WAITING:
            # It waits as long as its path has waited, whatever became of its content.
            found["first_seen_at"] = last["first_seen_at"]
        changed = self.supersede(path, found)
        if before is None:
            self._of_path[path].append(key)
        self.rows[key] = found
        return changed or before != found


def take_stock(
    store: LakeStore, settings: Settings, *, first_day: date, limit: int | None = None, admit: Admit | None = None
) -> Stock:
    """List landing, enter what is new into the ledger, and return what is pending and what is in trouble.

    A file that looks the same (size, times, inode) as when it was entered is not read again. ``limit`` bounds how many
    files one look reads, and with it the look ends after LOOK_SECONDS; the rest come with the next. ``admit`` has the
    last word on files whose content was never taken.

    Raises:
        LandingError: there is no landing folder, or it cannot be listed; or the lake is new and files are in bundles.
    """
    listing = list_landing(settings.landing_dir)
    now = datetime.now(UTC).replace(tzinfo=None)
    today = datetime.now(ZoneInfo(settings.timezone)).date()
    rules = Rules.of(settings, listing, first_day=first_day, today=today, now=now)
    with store.writing(LANDING_LEDGER.name):
        books = _Books(read_ledger(store))
        if not books.rows and archive.archived_datasets(settings.landing_dir):
            raise LandingError(
                f"{shown(settings.landing_dir / archive.ARCHIVE)} holds bundled files that this lake never took; bring "
                "them back with `trasos storage restore --all` first, or a lake of part of the data is built"
            )
        closed = Gone.of(store, dedup_days=settings.dedup_days).closed_through(settings.late_days)
        changed = not is_current(store)
        for gone in books.paths - {one.relative for one in listing.files}:
            changed |= books.supersede(gone)
        due = []
        for one in listing.files:
            seen = books.seen(one)
            if seen is None or not still_stands(seen, one, settings, rules):
                due.append(one)
        turn = _in_turn(due, books.paths)[:limit]
        last = {one.relative: books.last(one.relative) for one in turn}
        until = None if limit is None else time.monotonic() + LOOK_SECONDS
        known = {key for key, row in books.rows.items() if row["state"] == ACCEPTED}

        def look(one: Landed) -> Row | None:
            found = look_at(one, last[one.relative], settings, rules)
            if admit is None or found is None or found["state"] != PENDING or found["delivery"] in known:
                return found
            admitted = admit(one, found)
            return look_at(admitted, None, settings, rules) if isinstance(admitted, Landed) else admitted

        for found in _looked_at(turn, look, until=until):
            changed |= books.enter(_refused_if_closed(found, closed, books))
        rows = counted_late(store, list(books.rows.values()))
        if changed or rows is not None:
            _write(store, rows or books.rows.values())
    return Stock(
        pending=tuple(row for row in books.rows.values() if _unsettled(row)),
        troubled=tuple(row for row in books.rows.values() if row["state"] in (WAITING, REJECTED)),
        files=len(listing.files),
    )


def _refused_if_closed(found: Row, closed: date | None, books: _Books) -> Row:
    """A file of events that comes for a day near those that retention removed: nothing could be made of it."""
    day, known = found["received_day"], books.rows.get(found["delivery"])
    taken = known is not None and known["state"] in (ACCEPTED, PENDING)
    if closed is None or found["dataset"] != EVENT.dataset or found["state"] != PENDING or taken or day > closed:
        return found
    reason = (
        f"{found['path']}: the lake keeps no lines of days up to {closed} any more, with which these would have to be "
        "compared (see the table retention); deliver them in a folder of a later day"
    )
    return found | {"state": REJECTED, "reason": reason, "rows_read": None}


def _in_turn(due: Iterable[Landed], known: Collection[str]) -> list[Landed]:
    """Files in the order in which they are looked at: the oldest first, by turns of those never seen and the others.

    So files that keep changing hold up no new ones, and new ones hold up no old.
    """
    ordered = sorted(due, key=lambda one: (one.changed_at or datetime.min, one.relative))
    new = [one for one in ordered if one.relative not in known]
    again = [one for one in ordered if one.relative in known]
    return [one for pair in itertools.zip_longest(new, again) for one in pair if one is not None]


def _looked_at(turn: Iterable[Landed], look: Callable[[Landed], Row | None], *, until: float | None) -> Iterator[Row]:
    """Rows of files that are still there, in their order, a few files read at once."""
    under_way: deque[Future[Row | None]] = deque()
    with ThreadPoolExecutor(LOOKERS, thread_name_prefix="look") as pool:
        for number, one in enumerate(turn):
            if number and until is not None and time.monotonic() > until:
                break
            under_way.append(pool.submit(look, one))
            if len(under_way) > LOOKERS and (found := under_way.popleft().result()) is not None:
                yield found
        while under_way:
            if (found := under_way.popleft().result()) is not None:
                yield found


def _unsettled(row: Row) -> bool:
    # A superseded entry that could be read may have been stored by a run that failed later on.
    return row["state"] == PENDING or (
        row["state"] == SUPERSEDED and row["run_id"] is None and row["rows_read"] is not None
    )


def _of_days(store: LakeStore, state: str, dataset: str, first: date, last: date) -> list[Row]:
    held = ledger_table(store)
    day = held["received_day"]
    chosen = pc.and_(pc.equal(held["state"], state), pc.equal(held["dataset"], dataset))
    within = pc.and_(pc.greater_equal(day, pa.scalar(first)), pc.less_equal(day, pa.scalar(last)))
    return held.filter(pc.and_(chosen, within)).to_pylist()


def pending_deliveries(store: LakeStore, settings: Settings, dataset: str, first: date, last: date) -> list[Delivery]:
    """Deliveries of a data set that are still to be stored, of the days from first to last."""
    return [
        Delivery(row["delivery"], dataset, settings.landing_dir / row["path"], row["received_day"], row["signature"])
        for row in _of_days(store, PENDING, dataset, first, last)
    ]


def lost_deliveries(
    store: LakeStore, settings: Settings, dataset: str, first: date, last: date, *, held: Collection[str]
) -> list[Delivery]:
    """Deliveries that were taken but of which the raw table holds nothing, as far as their files are still there: in
    landing, or in a bundle, which they are read from in its place.
    """
    found = []
    bundles: dict[date, dict[str, archive.Member]] = {}
    for row in _of_days(store, ACCEPTED, dataset, first, last):
        if row["delivery"] in held:
            continue
        delivery, day, path = row["delivery"], row["received_day"], settings.landing_dir / row["path"]
        if path.is_file() and file_signature(path) == row["signature"]:
            found.append(Delivery(delivery, dataset, path, day, row["signature"]))
            continue
        if day not in bundles:
            bundles[day] = {member.delivery: member for member in archive.members(settings.landing_dir, dataset, day)}
        if delivery in bundles[day]:
            found.append(Delivery(delivery, dataset, bundles[day][delivery].path, day))
    return found


def unsettled_days(store: LakeStore, dataset: str) -> set[date]:
    """Days with files that were not taken yet, or may have been stored by a run that failed: they come again."""
    return {row["received_day"] for row in read_ledger(store) if row["dataset"] == dataset and _unsettled(row)}


def rows_in_trouble(rows: Iterable[Row], settings: Settings) -> list[Row]:
    """Rows of files that were rejected, or that wait to become readable for longer than the settings allow."""
    patience = timedelta(hours=settings.landing_wait_hours)
    now = datetime.now(UTC).replace(tzinfo=None)
    return [
        row
        for row in rows
        if row["state"] == REJECTED or (row["state"] == WAITING and now - row["first_seen_at"] > patience)
    ]


def taken_days(store: LakeStore, dataset: str) -> set[date]:
    """Days on which a data set delivered files that were taken."""
    return {row["received_day"] for row in _of_days(store, ACCEPTED, dataset, date.min, date.max)}


def settle(store: LakeStore, deliveries: Iterable[str], *, run_id: str, days: Iterable[date] = ()) -> None:
    """Mark deliveries as taken: their lines are stored and everything by day was built from them.

    Args:
        store: the lake.
        deliveries: what was taken. One that was superseded meanwhile stays so, but is settled.
        run_id: the last run of those that took them.
        days: received days whose lines may have changed their states; the counts of all their files are made anew.
    """
    taken = set(deliveries)
    with store.writing(LANDING_LEDGER.name):
        rows = [
            row | {"state": ACCEPTED if row["state"] == PENDING else row["state"], "run_id": run_id}
            if row["delivery"] in taken
            else row
            for row in read_ledger(store)
        ]
        touched = {*days, *uncounted_days(rows), *(row["received_day"] for row in rows if row["delivery"] in taken)}
        counts = counted(store, touched - {None})
        _write(store, map(counts.enter, rows))
