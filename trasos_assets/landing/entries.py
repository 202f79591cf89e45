"""The rows of the ledger: what is known of every file that was ever seen, as one small table."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq

from trasos_assets.contracts.engineering import LANDING_LEDGER
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing.listing import REJECTED, WAITING, Landed

__all__ = ["ACCEPTED", "OPEN", "PENDING", "REJECTED", "SUPERSEDED", "WAITING", "Row"]

PENDING, ACCEPTED, SUPERSEDED = "pending", "accepted", "superseded"
OPEN = (PENDING, WAITING, REJECTED)
"""States of a file's last look; the others are of the past."""

Row = dict[str, Any]
_SCHEMA: pa.Schema = ibis.schema(LANDING_LEDGER.types).to_pyarrow()
_HASH_LENGTH = 16


def ledger_table(store: LakeStore) -> pa.Table:
    """The ledger in order of first sight; a column that it did not have when it was written is null."""
    try:
        # Opened by the path itself: it may be one of an object store, which pyarrow does not know.
        with store.file(LANDING_LEDGER).open("rb") as stream, pq.ParquetFile(stream) as opened:
            held = opened.read()
    except FileNotFoundError:
        return _SCHEMA.empty_table()
    columns = [
        held[field.name].cast(field.type) if field.name in held.column_names else pa.nulls(held.num_rows, field.type)
        for field in _SCHEMA
    ]
    ordered = pa.table(columns, schema=_SCHEMA)
    return ordered.sort_by([("first_seen_at", "ascending"), ("path", "ascending")])


def is_current(store: LakeStore) -> bool:
    """Whether there is a ledger, with all the columns of its contract."""
    try:
        with store.file(LANDING_LEDGER).open("rb") as stream:
            return set(pq.read_schema(stream).names) == set(_SCHEMA.names)
    except FileNotFoundError:
        return False


def read_ledger(store: LakeStore) -> list[Row]:
    """All rows of the ledger, in order of first sight."""
    return ledger_table(store).to_pylist()


def write_ledger(store: LakeStore, rows: Iterable[Row]) -> None:
    """Replace the ledger whole; the caller holds its lock."""
    store.write(LANDING_LEDGER, ibis.memtable(pa.Table.from_pylist(list(rows), schema=_SCHEMA)))


def identity(relative: str, size: int, content: str) -> str:
    """The delivery that a path with some content is; ``content`` is the hash of its bytes."""
    return hashlib.sha256(f"{relative}\0{size}\0{content}".encode()).hexdigest()[:_HASH_LENGTH]


def entry(one: Landed, content: str, *, now: datetime) -> Row:
    """A pending row; ``content`` is its hash, or its signature where it was not read."""
    return {
        "delivery": identity(one.relative, one.size, content),
        "dataset": one.dataset,
        "path": one.relative,
        "received_day": None,
        "size": one.size,
        "signature": one.signature,
        "state": PENDING,
        "reason": None,
        "rows_read": None,
        "accepted": None,
        "duplicate": None,
        "quarantined": None,
        "first_seen_at": now,
        "run_id": None,
    }
