"""The ledger of landed files: every file seen, taken once, never lost.

A delivery is a path with its content: the same file again is the same delivery, the same path with other content is a
new one. A file counts as taken only after the run that stored its lines has succeeded; until then it is pending and
comes again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import pyarrow as pa

from trasos_assets.contracts.engineering import LANDING_LEDGER
from trasos_assets.contracts.landing import FORMATS
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing.lines import SUFFIXES, UnreadableFileError, count_lines
from trasos_assets.landing.parse import Delivery
from trasos_assets.settings import Settings

PENDING, ACCEPTED, WAITING, REJECTED = "pending", "accepted", "waiting", "rejected"
_DAY = re.compile(r"^dt=(\d{4}-\d{2}-\d{2})$")
_SCHEMA = pa.schema(
    [
        ("delivery", pa.string()),
        ("dataset", pa.string()),
        ("path", pa.string()),
        ("received_day", pa.date32()),
        ("size", pa.int64()),
        ("signature", pa.string()),
        ("state", pa.string()),
        ("reason", pa.string()),
        ("rows_read", pa.int64()),
        ("first_seen_at", pa.timestamp("us")),
        ("run_id", pa.string()),
    ]
)

Row = dict[str, Any]


class LandingError(Exception):
    """The landing folder cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Stock:
    """What a look at the landing folder found."""

    pending: tuple[Row, ...]
    troubled: tuple[Row, ...]
    files: int


def read_ledger(store: LakeStore) -> list[Row]:
    """All rows of the ledger, in order of first sight."""
    table = store.read(LANDING_LEDGER)
    return table.order_by("first_seen_at", "path").to_pyarrow().to_pylist()


def _write(store: LakeStore, rows: Iterable[Row]) -> None:
    store.write(LANDING_LEDGER, ibis.memtable(pa.Table.from_pylist(list(rows), schema=_SCHEMA)))


def _content_hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _signature(path: Path) -> str:
    stat = path.stat()
    return f"{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ctime_ns}-{stat.st_ino}"


def landed_files(landing: Path) -> list[Path]:
    """Files below ``landing/<dataset>/``, in order; names that begin with a dot or underscore or are half-written
    (``.tmp``, ``.part``) are passed over.

    Raises:
        LandingError: there is no landing folder.
    """
    if not landing.is_dir():
        raise LandingError(
            f"the landing folder {landing} does not exist; fill it with `trasos simulate --out {landing}` or "
            f"`trasos import NAME SRC --out {landing}`, or set TRASOS_DATA_DIR to the folder that holds landing/"
        )
    return [
        path
        for path in sorted(landing.glob("*/**/*"))
        if path.is_file() and not path.name.startswith((".", "_")) and not path.name.endswith((".tmp", ".part"))
    ]


def _fault(path: Path, landing: Path, *, first_day: date, today: date) -> tuple[str, str] | None:
    """State and reason of a file that cannot be taken for where it lies or how it is called."""
    parts = path.relative_to(landing).parts
    if parts[0] not in FORMATS:
        return REJECTED, f"unknown data set {parts[0]!r}; the folders below landing/ are {', '.join(FORMATS)}"
    match = _DAY.match(parts[1]) if len(parts) == 3 else None
    try:
        day = date.fromisoformat(match.group(1)) if match else None
    except ValueError:
        day = None
    if day is None:
        return REJECTED, f"not in a day's folder; move it to landing/{parts[0]}/dt=YYYY-MM-DD/"
    if not path.name.endswith(SUFFIXES):
        return REJECTED, f"unknown file type; known are {', '.join(SUFFIXES)}"
    if day < first_day:
        return REJECTED, f"its day is before the lake's first day {first_day}; set TRASOS_START_DATE on a new lake"
    if day > today:
        return WAITING, "its day has not come yet; it will be taken then"
    return None


def _look_at(path: Path, settings: Settings, *, first_day: date, today: date, now: datetime) -> Row:
    landing = settings.landing_dir
    relative = path.relative_to(landing).as_posix()
    identity = f"{relative}\0{path.stat().st_size}\0{_content_hash(path)}"
    row: Row = {
        "delivery": hashlib.sha256(identity.encode()).hexdigest()[:16],
        "dataset": path.relative_to(landing).parts[0],
        "path": relative,
        "received_day": None,
        "size": path.stat().st_size,
        "signature": _signature(path),
        "state": PENDING,
        "reason": None,
        "rows_read": None,
        "first_seen_at": now,
        "run_id": None,
    }
    fault = _fault(path, landing, first_day=first_day, today=today)
    if fault is not None:
        return row | {"state": fault[0], "reason": f"{relative}: {fault[1]}"}
    row["received_day"] = date.fromisoformat(path.parent.name.removeprefix("dt="))
    try:
        row["rows_read"] = count_lines(path, max_bytes=settings.max_file_bytes)
    except UnreadableFileError as error:
        reason = str(error).replace(str(landing) + "/", "")
        return row | {"state": WAITING if error.waiting else REJECTED, "reason": reason}
    return row


def take_stock(store: LakeStore, settings: Settings, *, first_day: date, limit: int | None = None) -> Stock:
    """List landing, enter what is new into the ledger, and return what is pending and what is in trouble.

    A file that looks the same (size, times, inode) as when it was entered is not read again. ``limit`` bounds how many
    new files one look enters; the rest come with the next.

    Raises:
        LandingError: there is no landing folder.
    """
    files = landed_files(settings.landing_dir)
    now = datetime.now(UTC).replace(tzinfo=None)
    today = datetime.now(ZoneInfo(settings.timezone)).date()
    with store.writing(LANDING_LEDGER.name):
        rows = {row["delivery"]: row for row in read_ledger(store)}
        known = {(row["path"], row["signature"]): row for row in rows.values()}
        changed = not store.exists(LANDING_LEDGER)
        entered = 0
        for path in files:
            relative = path.relative_to(settings.landing_dir).as_posix()
            seen = known.get((relative, _signature(path)))
            come_of_age = seen is not None and seen["state"] == WAITING and (seen["received_day"] is None)
            if seen is not None and not come_of_age:
                continue
            if limit is not None and entered >= limit:
                break
            found = _look_at(path, settings, first_day=first_day, today=today, now=now)
            before = rows.get(found["delivery"])
            if before is not None and before["state"] in (ACCEPTED, PENDING):
                found = before | {"signature": found["signature"]}
            elif before is not None:
                found["first_seen_at"] = before["first_seen_at"]
            # A file that was waiting and is whole now is another delivery; the waiting entry has served.
            for stale in [k for k, r in rows.items() if r["path"] == relative and r["state"] == WAITING]:
                del rows[stale]
            changed |= rows.get(found["delivery"]) != found
            rows[found["delivery"]] = found
            entered += 1
        if changed:
            _write(store, rows.values())
    present = {path.relative_to(settings.landing_dir).as_posix() for path in files}
    return Stock(
        pending=tuple(row for row in rows.values() if row["state"] == PENDING and row["path"] in present),
        troubled=tuple(row for row in rows.values() if row["state"] in (WAITING, REJECTED) and row["path"] in present),
        files=len(files),
    )


def pending_deliveries(store: LakeStore, settings: Settings, dataset: str, first: date, last: date) -> list[Delivery]:
    """Deliveries of a data set that are still to be stored, of the days from first to last."""
    return [
        Delivery(row["delivery"], dataset, settings.landing_dir / row["path"], row["received_day"])
        for row in read_ledger(store)
        if row["state"] == PENDING and row["dataset"] == dataset and first <= row["received_day"] <= last
    ]


def settle(store: LakeStore, deliveries: Iterable[str], *, run_id: str) -> None:
    """Mark deliveries as taken: their lines are stored and everything by day was built from them."""
    taken = set(deliveries)
    with store.writing(LANDING_LEDGER.name):
        rows = read_ledger(store)
        _write(
            store,
            [row | {"state": ACCEPTED, "run_id": run_id} if row["delivery"] in taken else row for row in rows],
        )
