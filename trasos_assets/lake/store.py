"""Tables as Parquet on disk: one file a partition, staged beside the table, published by one rename.

``<lake>/<team>/<table>/day=YYYY-MM-DD/part-0.parquet`` for tables partitioned by day, ``<lake>/<team>/<table>/
part-0.parquet`` for the others. Readers see a partition as it was before a publish or as it is after, never between.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import uuid
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import ibis
import pyarrow as pa
import pyarrow.parquet as pq

from trasos_assets.contracts.model import DAY, Contract
from trasos_assets.lake.locks import alive, held
from trasos_assets.lake.parquet import duckdb_type, select_from_files
from trasos_assets.sql import literal, quoted

PART = "part-0.parquet"
ROW_GROUP_SIZE = 122_880
_DAY_FOLDER = re.compile(r"^day=(\d{4}-\d{2}-\d{2})$")


class LakeError(Exception):
    """The store refuses what it was asked to do; the message says why and what to do."""


@dataclass(frozen=True)
class Staged:
    """A computed table on disk, not yet visible. ``days`` is None for an unpartitioned table."""

    contract: Contract
    folder: Path
    days: tuple[date, ...] | None

    @property
    def files(self) -> tuple[Path, ...]:
        """The staged files, one a partition."""
        if self.days is None:
            return (self.folder / PART,)
        return tuple(self.file(day) for day in self.days)

    def file(self, day: date) -> Path:
        """The staged file of one day."""
        return self.folder / _day_folder(day) / PART

    @property
    def rows(self) -> int:
        """Rows over all staged partitions, from the Parquet footers."""
        return sum(pq.read_metadata(file).num_rows for file in self.files)

    @property
    def bytes(self) -> int:
        """Bytes over all staged partitions."""
        return sum(file.stat().st_size for file in self.files)


def _day_folder(day: date) -> str:
    return f"{DAY}={day.isoformat()}"


def _names(names: Iterable[str]) -> str:
    return ", ".join(quoted(name) for name in names)


class LakeStore:
    """Reads and writes the tables below one folder with one Ibis backend."""

    def __init__(self, root: Path, backend: ibis.backends.duckdb.Backend) -> None:
        self.root = root
        self.backend = backend
        self._scratch: list[str] = []

    def folder(self, contract: Contract) -> Path:
        """Where the table lives."""
        return self.root / contract.owner / contract.name

    def file(self, contract: Contract, day: date | None = None) -> Path:
        """The file of one partition, whether it exists or not."""
        folder = self.folder(contract)
        return folder / PART if day is None else folder / _day_folder(day) / PART

    def days(self, contract: Contract) -> list[date]:
        """Published days of a partitioned table, in order."""
        folder = self.folder(contract)
        if not folder.is_dir():
            return []
        matches = (_DAY_FOLDER.match(entry.name) for entry in folder.iterdir())
        days = sorted(date.fromisoformat(match.group(1)) for match in matches if match)
        return [day for day in days if self.file(contract, day).exists()]

    def exists(self, contract: Contract) -> bool:
        """Whether anything of the table is published."""
        return bool(self.days(contract)) if contract.partitioned else self.file(contract).exists()

    def files(self, contract: Contract, *, first: date | None = None, last: date | None = None) -> list[Path]:
        """Published files, of the days from ``first`` to ``last`` (both included) where given."""
        if not contract.partitioned:
            file = self.file(contract)
            return [file] if file.exists() else []
        return [
            self.file(contract, day)
            for day in self.days(contract)
            if (first is None or day >= first) and (last is None or day <= last)
        ]

    def read(self, contract: Contract, *, first: date | None = None, last: date | None = None) -> ibis.Table:
        """The published table as an Ibis expression; a partition that is missing reads as empty."""
        return self.table_of(contract, self.files(contract, first=first, last=last))

    def table_of(self, contract: Contract, files: Iterable[Path]) -> ibis.Table:
        """An Ibis expression over given files of a contract."""
        view = f"{contract.name}_{uuid.uuid4().hex[:12]}"
        self.backend.raw_sql(f"CREATE TEMP VIEW {view} AS {select_from_files(contract, files)}")
        return self.backend.table(view)

    def row_counts(self, contract: Contract) -> int:
        """Published rows, from the Parquet footers."""
        rows = 0
        for file in self.files(contract):
            try:
                rows += pq.read_metadata(file).num_rows
            except (pa.ArrowInvalid, OSError) as error:
                raise LakeError(
                    f"{file} cannot be read ({error}); delete it and run `trasos run`, which builds it "
                    "again from what it is made of, a raw table from landing"
                ) from error
        return rows

    def conform(self, contract: Contract, table: ibis.Table) -> ibis.Table:
        """Columns by name in the contract's order; types follow when the table is written.

        Raises:
            LakeError: a column is missing or the contract does not know it.
        """
        missing = [name for name in contract.column_names if name not in table.columns]
        unknown = [name for name in table.columns if name not in contract.column_names]
        if missing or unknown:
            raise LakeError(
                f"table {contract.name} does not fit its contract (trasos_assets/contracts/{contract.owner}.py): "
                + "; ".join(
                    part
                    for part in (
                        f"missing columns {missing}" if missing else "",
                        f"columns the contract does not know {unknown}" if unknown else "",
                    )
                    if part
                )
            )
        return table.select(*contract.column_names)

    def begin(self, contract: Contract, days: Iterable[date] | None = None) -> Staged:
        """An empty staging folder beside the published table, to be filled with ``add`` and then published.

        Raises:
            LakeError: days were named for a table without partitions, or none for one with.
        """
        if contract.partitioned != (days is not None):
            kind = "is partitioned by day: name the days" if contract.partitioned else "has no partitions: name no days"
            raise LakeError(f"table {contract.name} {kind} to write")
        folder = self.folder(contract) / f".staging-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        folder.mkdir(parents=True)
        return Staged(contract, folder, None if days is None else tuple(sorted(set(days))))

    def add(self, staged: Staged, table: ibis.Table, days: Iterable[date] | None = None) -> None:
        """Compute a table and write it into a staging folder, sorted by primary key.

        ``days`` are the partitions to write now, all of the staged ones by default; each gets a file, with no rows
        where the table has none of that day, and rows of other days are left out. If it fails, all that was staged is
        thrown away.

        Raises:
            LakeError: as ``conform``.
        """
        contract = staged.contract
        # What stands in the engine already need not be made once more before its days are picked out.
        made = isinstance(table.op(), ibis.expr.operations.DatabaseTable) and table.get_name() in self._scratch
        try:
            select = self._typed_select(contract, self.conform(contract, table))
            if staged.days is None:
                self._copy(f"{select} ORDER BY {_names(contract.primary_key)}", staged.files[0])
                written = staged.files
            else:
                written = self._copy_days(staged, select, sorted(set(staged.days if days is None else days)), made=made)
            for file in written:
                _fsync(file)
        except BaseException:
            self.discard(staged)
            raise
        finally:
            for name in self._scratch:
                self.backend.raw_sql(f"DROP TABLE IF EXISTS {quoted(name)}")
            self._scratch.clear()

    def stage(self, contract: Contract, table: ibis.Table, days: Iterable[date] | None = None) -> Staged:
        """``begin`` and ``add`` in one: a whole table, staged.

        Raises:
            LakeError: as both.
        """
        conformed = self.conform(contract, table)
        staged = self.begin(contract, days)
        self.add(staged, conformed)
        return staged

    def made(self, table: ibis.Table) -> ibis.Table:
        """A table computed now, for an expression that asks for it several times; dropped as ``until_staged`` says."""
        name = f"made_{uuid.uuid4().hex[:12]}"
        self.backend._run_pre_execute_hooks(table)
        self.backend.raw_sql(f"CREATE TEMP TABLE {name} AS {self.backend.compile(table)}")
        return self.until_staged(self.backend.table(name))

    def until_staged(self, table: ibis.Table) -> ibis.Table:
        """The same table, to be dropped once what is made of it is staged: for temporary tables of the engine."""
        self._scratch.append(table.get_name())
        return table

    def _typed_select(self, contract: Contract, table: ibis.Table) -> str:
        """SQL of a table with every column cast in the engine: Ibis leaves out casts that it thinks redundant."""
        self.backend._run_pre_execute_hooks(table)
        casts = ", ".join(f"{quoted(c.name)}::{duckdb_type(c.type)} AS {quoted(c.name)}" for c in contract.columns)
        return f"SELECT {casts} FROM ({self.backend.compile(table)})"  # noqa: S608 - quoted above

    def _copy(self, select: str, file: Path) -> None:
        options = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP_SIZE}"
        self.backend.raw_sql(f"COPY ({select}) TO {literal(file)} ({options})")

    def _copy_days(self, staged: Staged, select: str, days: Sequence[date], *, made: bool) -> tuple[Path, ...]:
        """Compute once, then write a file a day: one file a partition, sorted, whatever the number of threads."""
        if not days:
            return ()
        contract = staged.contract
        files = tuple(staged.file(day) for day in days)
        for file in files:
            file.parent.mkdir()
        order = _names([name for name in contract.primary_key if name != DAY] or contract.primary_key)
        columns = _names(name for name in contract.column_names if name != DAY)
        once = len(days) > 1 and not made
        source = f"staged_{uuid.uuid4().hex[:12]}" if once else f"({select})"
        if once:
            bounds = f"{DAY} BETWEEN DATE '{days[0]}' AND DATE '{days[-1]}'"
            self.backend.raw_sql(f"CREATE TEMP TABLE {source} AS SELECT * FROM ({select}) WHERE {bounds}")  # noqa: S608
        try:
            for day, file in zip(days, files, strict=True):
                rows = f"SELECT {columns} FROM {source} WHERE {DAY} = DATE '{day}'"  # noqa: S608
                self._copy(f"{rows} ORDER BY {order}", file)
        finally:
            if once:
                self.backend.raw_sql(f"DROP TABLE IF EXISTS {source}")
        return files

    def rows_by_day(self, contract: Contract, days: Iterable[date]) -> dict[date, int]:
        """Published rows of each of some days, from the Parquet footers; 0 where nothing is published."""
        files = {day: self.file(contract, day) for day in days}
        return {day: pq.read_metadata(file).num_rows if file.exists() else 0 for day, file in files.items()}

    def staged_table(self, staged: Staged, days: Iterable[date] | None = None) -> ibis.Table:
        """What was staged, read back from disk; of some days only, if any are named."""
        files = staged.files if days is None else [staged.file(day) for day in days]
        return self.table_of(staged.contract, files)

    def publish(self, staged: Staged) -> None:
        """Make every staged partition the table's partition, each by one atomic rename."""
        partitions = staged.days if staged.days is not None else (None,)
        table_folder = self.folder(staged.contract)
        for day, source in zip(partitions, staged.files, strict=True):
            target = self.file(staged.contract, day)
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)
            _fsync(target.parent)
        _fsync(table_folder)  # a new day's folder is an entry of its own
        self.discard(staged)

    def discard(self, staged: Staged) -> None:
        """Throw away what was staged."""
        shutil.rmtree(staged.folder, ignore_errors=True)

    def write(self, contract: Contract, table: ibis.Table, days: Iterable[date] | None = None) -> None:
        """Stage and publish without the checks of an asset: for the platform's own books.

        The caller holds the table's lock.
        """
        self.sweep(contract)
        self.publish(self.stage(contract, table, days))

    def sweep(self, contract: Contract) -> list[Path]:
        """Remove staging folders whose process on this machine is gone; returns what was removed."""
        folder = self.folder(contract)
        removed = []
        for staging in folder.glob(f".staging-{socket.gethostname()}-*"):
            pid = int(staging.name.split("-")[-2])
            if not alive(pid):
                shutil.rmtree(staging, ignore_errors=True)
                removed.append(staging)
        return removed

    def writing(self, name: str, *, on_wait: object = None) -> AbstractContextManager[None]:
        """Hold the writers' lock of a table, as ``locks.held``."""
        return held(self.root / ".locks", name, on_wait=on_wait)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
