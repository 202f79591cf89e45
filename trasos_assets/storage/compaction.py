"""Compaction: landing files of closed days bundled, partitions in another form rewritten, leftovers swept.

Nothing of it changes what anybody reads: a bundle holds the bytes of its files, a rewritten partition the same rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.landing import FORMATS
from trasos_assets.contracts.model import Contract
from trasos_assets.contracts.storage import COMPACTION, LAKE, LANDING, LEFTOVER, WHOLE
from trasos_assets.lake.locks import alive
from trasos_assets.lake.parquet import ROW_GROUP_SIZE
from trasos_assets.lake.store import LakeError, LakeStore
from trasos_assets.landing import archive
from trasos_assets.landing.entries import ACCEPTED, read_ledger
from trasos_assets.landing.streams import file_signature
from trasos_assets.settings import Settings
from trasos_assets.storage.retention import data_through

CODEC = "ZSTD"
ROW_GROUPS_TOO_MANY = 2
"""How many times the row groups that its rows need a partition may have before it is rewritten."""

SCHEMA: pa.Schema = ibis.schema(COMPACTION.types).to_pyarrow()
Row = dict[str, Any]


@dataclass(frozen=True)
class Bundle:
    """Accepted files of one closed day that lie in landing one by one."""

    dataset: str
    day: date
    taken: dict[str, str]
    """File name to delivery."""

    bytes: int


def closed_files(store: LakeStore, settings: Settings) -> list[Bundle]:
    """Accepted files of days that are older, by the watermark, than TRASOS_COMPACT_AFTER_DAYS; by data set and day.

    A day with one file only is left as it is, unless its bundle is there already.
    """
    through = data_through(store)
    if through is None or settings.compact_after_days is None:
        return []
    last = through - timedelta(days=settings.compact_after_days)
    found: dict[tuple[str, date], tuple[dict[str, str], int]] = {}
    for row in read_ledger(store):
        if row["state"] != ACCEPTED or row["received_day"] > last:
            continue
        path = settings.landing_dir / row["path"]
        if path.is_file() and file_signature(path) == row["signature"]:
            taken, size = found.get((row["dataset"], row["received_day"]), ({}, 0))
            found[row["dataset"], row["received_day"]] = (taken | {path.name: row["delivery"]}, size + row["size"])
    bundled = {dataset: set(archive.archived(settings.landing_dir, dataset)) for dataset in FORMATS}
    return [
        Bundle(dataset, day, taken, size)
        for (dataset, day), (taken, size) in sorted(found.items())
        if len(taken) > 1 or day in bundled[dataset]
    ]


def bundle_landing(store: LakeStore, settings: Settings, *, now: datetime) -> list[Row]:
    """Bundle what ``closed_files`` names; returns rows of COMPACTION.

    Raises:
        ArchiveError: a bundle does not read back, or one that is there is broken; files not bundled yet stay.
    """
    done = []
    with store.writing(archive.LOCK):
        for found in closed_files(store, settings):
            members = archive.archive(settings.landing_dir, found.dataset, found.day, found.taken)
            if members:
                bundle = archive.bundle_of(settings.landing_dir, found.dataset, found.day)
                done.append(
                    _row(
                        now,
                        LANDING,
                        found.dataset,
                        str(found.day),
                        files=(len(members), 1),
                        sizes=(sum(member.size for member in members), bundle.stat().st_size),
                    )
                )
    return done


def needs_rewriting(footer: pq.FileMetaData) -> bool:
    """Whether a partition is in another form than the house's: another codec, or many tiny row groups."""
    if footer.num_rows == 0:
        return False
    codecs = {
        footer.row_group(group).column(column).compression
        for group in range(min(footer.num_row_groups, ROW_GROUPS_TOO_MANY))
        for column in range(footer.num_columns)
    }
    enough = math.ceil(footer.num_rows / ROW_GROUP_SIZE)
    return codecs != {CODEC} or footer.num_row_groups > ROW_GROUPS_TOO_MANY * enough


def partitions_to_rewrite(store: LakeStore) -> list[tuple[Contract, date | None]]:
    """Published partitions whose form is another than the house's."""
    found = []
    for contract in CONTRACTS.values():
        days: Sequence[date | None] = store.days(contract) if contract.partitioned else [None]
        for day in days:
            file = store.file(contract, day)
            if (day is not None or store.exists(contract)) and needs_rewriting(store.storage.footer(file)):
                found.append((contract, day))
    return found


def rewrite_partitions(store: LakeStore, *, now: datetime) -> list[Row]:
    """Rewrite what ``partitions_to_rewrite`` names by the store of this lake; returns rows of COMPACTION.

    A table whose partition comes out no better, since the engine at hand has its own form, is left as it is.

    Raises:
        LakeError: what was rewritten holds other rows; the partition stays as it was.
    """
    done: list[Row] = []
    hopeless: set[str] = set()
    for contract, day in partitions_to_rewrite(store):
        if contract.name in hopeless or contract is COMPACTION:
            continue
        with store.writing(contract.name):
            if day is not None and day not in store.days(contract):
                continue
            rewritten = _rewritten(store, contract, day, now)
        if rewritten is None:
            hopeless.add(contract.name)
        else:
            done.append(rewritten)
    return done


def _rewritten(store: LakeStore, contract: Contract, day: date | None, now: datetime) -> Row | None:
    file = store.file(contract, day)
    before = store.table_of(contract, [file])
    size = store.storage.size(file)
    days = None if day is None else [day]
    store.sweep(contract)
    staged = store.begin(contract, days)
    try:
        store.add(staged, before, days)
        if needs_rewriting(pq.read_metadata(staged.files[0])):
            return None
        after = store.staged_table(staged)
        differing = (before.difference(after, distinct=False), after.difference(before, distinct=False))
        if any(int(rows.count().to_pyarrow().as_py()) for rows in differing):
            raise LakeError(f"{file}: rewriting changes its rows; it stays as it is, tell engineering")
        smaller = staged.bytes
        store.publish(staged)
    finally:
        store.discard(staged)
    return _row(now, LAKE, contract.name, WHOLE if day is None else str(day), files=(1, 1), sizes=(size, smaller))


def sweep_leftovers(store: LakeStore, settings: Settings, *, now: datetime) -> list[Row]:
    """Remove what dead processes left: staging and spill folders, half-written bundles and warehouses."""
    done = []
    for contract in CONTRACTS.values():
        done += [_row(now, LEFTOVER, str(path), WHOLE) for path in store.sweep(contract)]
    with store.writing(archive.LOCK):
        done += [_row(now, LEFTOVER, str(path), WHOLE) for path in archive.sweep(settings.landing_dir)]
    for path, size in _of_the_dead(store.storage.local / ".spill", settings.warehouse_path):
        done.append(_row(now, LEFTOVER, str(path), WHOLE, files=(1, 0), sizes=(size, 0)))
    return done


def _of_the_dead(spill: Path, warehouse: Path) -> Iterator[tuple[Path, int]]:
    """Spill folders and scratch files named after processes that are gone, removed one by one, with their bytes."""
    folders = [folder for folder in spill.glob("*") if folder.name.isdigit()]
    scratch = [file for file in warehouse.parent.glob(f".{warehouse.name}.*") if file.suffix[1:].isdigit()]
    for path in (*folders, *scratch):
        pid = int(path.name.rpartition(".")[2])
        if alive(pid):
            continue
        inside = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
        size = sum(file.stat().st_size for file in inside)
        for file in inside:
            file.unlink(missing_ok=True)
        if path.is_dir():
            for folder in sorted((f for f in path.rglob("*") if f.is_dir()), reverse=True):
                folder.rmdir()
            path.rmdir()
        yield path, size


def _row(
    now: datetime, kind: str, name: str, part: str, *, files: tuple[int, int] = (0, 0), sizes: tuple[int, int] = (0, 0)
) -> Row:
    return {
        "done_at": now,
        "kind": kind,
        "name": name,
        "part": part,
        "files_before": files[0],
        "files_after": files[1],
        "bytes_before": sizes[0],
        "bytes_after": sizes[1],
    }


def compact(store: LakeStore, settings: Settings, *, now: datetime) -> ibis.Table:
    """Do all of it; the table COMPACTION with what was done now and before.

    Raises:
        ArchiveError: as ``bundle_landing``.
        LakeError: as ``rewrite_partitions``.
    """
    done = sweep_leftovers(store, settings, now=now)
    done += bundle_landing(store, settings, now=now)
    done += rewrite_partitions(store, now=now)
    before = store.read(COMPACTION).to_pyarrow().cast(SCHEMA)
    return ibis.memtable(pa.concat_tables([before, pa.Table.from_pylist(done, schema=SCHEMA)]))
