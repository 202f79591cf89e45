"""The ledger of landed files: every file seen, taken once, never lost.

A delivery is a path with its content: the same file again is the same delivery, the same path with other content is a
new one. A file counts as taken only after the run that stored its lines has succeeded; until then it is pending and
comes again. An entry whose file was replaced or removed before it was taken is superseded: a run that failed later on
may have stored its lines, so it is settled with the next ingest all the same.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import pyarrow as pa

from trasos_assets.contracts.engineering import LANDING_LEDGER
from trasos_assets.contracts.landing import FORMATS
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing.lines import SUFFIXES, UnreadableFileError, count_lines, file_signature
from trasos_assets.landing.parse import Delivery
from trasos_assets.settings import Settings

PENDING, ACCEPTED, WAITING, REJECTED, SUPERSEDED = "pending", "accepted", "waiting", "rejected", "superseded"
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
    """What a look at the landing folder found; ``pending`` holds superseded entries that no ingest has settled too."""

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


def shown_path(path: Path, landing: Path) -> str:
    """A file's path below landing as text; bytes of its name that are no UTF-8 stand as escapes."""
    return path.relative_to(landing).as_posix().encode("utf-8", "backslashreplace").decode()


def landed_files(landing: Path) -> list[Path]:
    """Files below ``landing/<dataset>/``, and lines that lie beside these folders, in order.

    What begins with a dot or underscore, a folder too, or is half-written (``.tmp``, ``.part``) is passed over.

    Raises:
        LandingError: there is no landing folder.
    """
    if not landing.is_dir():
        raise LandingError(
            f"the landing folder {landing} does not exist; fill it with `trasos simulate --out {landing}` or "
            f"`trasos import NAME SRC --out {landing}`, or set TRASOS_DATA_DIR to the folder that holds landing/"
        )
    astray = (
        path for pattern in ("*.jsonl", "*.jsonl.gz", "*.ndjson", "*.ndjson.gz") for path in landing.glob(pattern)
    )
    return [
        path
        for path in sorted({*landing.glob("*/**/*"), *astray})
        if path.is_file()
        and not any(part.startswith((".", "_")) for part in path.relative_to(landing).parts)
        and not path.name.endswith((".tmp", ".part"))
    ]


def _fault(path: Path, landing: Path, *, first_day: date, today: date) -> tuple[str, str] | None:
    """State and reason of a file that cannot be taken for where it lies or how it is called."""
    parts = path.relative_to(landing).parts
    if len(parts) == 1:
        return REJECTED, "not in a data set's folder; move it to landing/<data set>/dt=YYYY-MM-DD/"
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


def _signature_now(path: Path) -> str | None:
    try:
        return file_signature(path)
    except OSError:
        return None


def _entry(relative: str, signature: str, content: str, *, now: datetime) -> Row:
    """A pending row; ``content`` is what, with path and size, makes the delivery's identity."""
    size = int(signature.split("-")[0])
    return {
        "delivery": hashlib.sha256(f"{relative}\0{size}\0{content}".encode()).hexdigest()[:16],
        "dataset": relative.split("/")[0],
        "path": relative,
        "received_day": None,
        "size": size,
        "signature": signature,
        "state": PENDING,
        "reason": None,
        "rows_read": None,
        "first_seen_at": now,
        "run_id": None,
    }


def _look_at(path: Path, settings: Settings, *, first_day: date, today: date, now: datetime) -> Row | None:
    """The row of a file as it is now; None if it vanished meanwhile."""
    landing = settings.landing_dir
    relative = shown_path(path, landing)
    signature = _signature_now(path)
    if signature is None:
        return None
    try:
        row = _entry(relative, signature, _content_hash(path), now=now)
        fault = _fault(path, landing, first_day=first_day, today=today)
        if fault is not None:
            return row | {"state": fault[0], "reason": f"{relative}: {fault[1]}"}
        row["received_day"] = date.fromisoformat(path.parent.name.removeprefix("dt="))
        row["rows_read"] = count_lines(path, max_bytes=settings.max_file_bytes)
        if file_signature(path) != signature:
            return row | {"state": WAITING, "reason": f"{relative}: still being written", "rows_read": None}
    except FileNotFoundError:
        return None
    except UnreadableFileError as error:
        reason = str(error).replace(str(landing) + "/", "")
        return row | {"state": WAITING if error.waiting else REJECTED, "reason": reason}
    except OSError as error:
        row = _entry(relative, signature, signature, now=now)
        reason = f"{relative}: cannot be read ({error.strerror}); mend its permissions or deliver it again"
        return row | {"state": WAITING, "reason": reason}
    return row


def _still_stands(row: Row, path: Path, settings: Settings, *, first_day: date, today: date) -> bool:
    """Whether what was entered of an untouched file is still so: a setting or the date may have changed."""
    if row["state"] in (PENDING, ACCEPTED, SUPERSEDED):
        return row["state"] != SUPERSEDED
    fault = _fault(path, settings.landing_dir, first_day=first_day, today=today)
    if fault is not None:
        return row["reason"] == f"{row['path']}: {fault[1]}"
    if "when decompressed" in row["reason"]:
        return row["size"] > settings.max_file_bytes or f"over {settings.max_file_bytes:,} bytes" in row["reason"]
    return row["received_day"] is not None


def _supersede(rows: dict[str, Row], path: str, keep: str | None) -> bool:
    """Close the open entries of a path but one: their content is no longer there. Whether there were any."""
    open_states = (PENDING, WAITING, REJECTED)
    stale = [key for key, row in rows.items() if row["path"] == path and key != keep and row["state"] in open_states]
    for key in stale:
        rows[key] = rows[key] | {"state": SUPERSEDED}
    return bool(stale)


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
    present = {shown_path(path, settings.landing_dir): path for path in files}
    with store.writing(LANDING_LEDGER.name):
        rows = {row["delivery"]: row for row in read_ledger(store)}
        known = {(row["path"], row["signature"]): row for row in rows.values()}
        changed = not store.exists(LANDING_LEDGER)
        for gone in {row["path"] for row in rows.values()} - set(present):
            changed |= _supersede(rows, gone, keep=None)
        entered = 0
        for relative, path in present.items():
            seen = known.get((relative, _signature_now(path)))
            if seen is not None and _still_stands(seen, path, settings, first_day=first_day, today=today):
                continue
            if limit is not None and entered >= limit:
                break
            found = _look_at(path, settings, first_day=first_day, today=today, now=now)
            if found is None:
                continue
            before = rows.get(found["delivery"])
            if before is not None and before["state"] in (ACCEPTED, PENDING):
                found = before | {"signature": found["signature"]}
            elif before is not None:
                found["first_seen_at"] = before["first_seen_at"]
            _supersede(rows, relative, keep=found["delivery"])
            changed |= before != found
            rows[found["delivery"]] = found
            entered += 1
        if changed:
            _write(store, rows.values())
    return Stock(
        pending=tuple(row for row in rows.values() if _unsettled(row)),
        troubled=tuple(row for row in rows.values() if row["state"] in (WAITING, REJECTED)),
        files=len(files),
    )


def _unsettled(row: Row) -> bool:
    # A superseded entry that could be read may have been stored by a run that failed later on.
    return row["state"] == PENDING or (
        row["state"] == SUPERSEDED and row["run_id"] is None and row["rows_read"] is not None
    )


def pending_deliveries(store: LakeStore, settings: Settings, dataset: str, first: date, last: date) -> list[Delivery]:
    """Deliveries of a data set that are still to be stored, of the days from first to last."""
    return [
        Delivery(row["delivery"], dataset, settings.landing_dir / row["path"], row["received_day"], row["signature"])
        for row in read_ledger(store)
        if row["state"] == PENDING and row["dataset"] == dataset and first <= row["received_day"] <= last
    ]


def lost_deliveries(
    store: LakeStore, settings: Settings, dataset: str, first: date, last: date, *, held: Collection[str]
) -> list[Delivery]:
    """Deliveries that were taken but of which the raw table holds nothing, as far as their files are still there."""
    found = []
    for row in read_ledger(store):
        if row["state"] != ACCEPTED or row["dataset"] != dataset or not first <= row["received_day"] <= last:
            continue
        path = settings.landing_dir / row["path"]
        if row["delivery"] not in held and path.is_file() and file_signature(path) == row["signature"]:
            found.append(Delivery(row["delivery"], dataset, path, row["received_day"], row["signature"]))
    return found


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
    rows = read_ledger(store)
    return {row["received_day"] for row in rows if row["state"] == ACCEPTED and row["dataset"] == dataset}


def settle(store: LakeStore, deliveries: Iterable[str], *, run_id: str) -> None:
    """Mark deliveries as taken: their lines are stored and everything by day was built from them.

    One that was superseded meanwhile stays so, but is settled.
    """
    taken = set(deliveries)
    with store.writing(LANDING_LEDGER.name):
        rows = read_ledger(store)
        _write(
            store,
            [
                row | {"state": ACCEPTED if row["state"] == PENDING else row["state"], "run_id": run_id}
                if row["delivery"] in taken
                else row
                for row in rows
            ],
        )
