"""Tables as Parquet: one file a partition, staged beside the table, checked, published in one step.

``<lake>/<team>/<table>/day=YYYY-MM-DD/part-0.parquet`` for tables partitioned by day, ``<lake>/<team>/<table>/
part-0.parquet`` for the others. Readers see a partition as it was before a publish or as it is after, never between.
"""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq

from trasos_assets.contracts.model import DAY, Contract
from trasos_assets.lake import evolution
from trasos_assets.lake.engines.duckdb import DuckDBEngine
from trasos_assets.lake.errors import LakeError
from trasos_assets.lake.locks import held
from trasos_assets.lake.parquet import PART
from trasos_assets.lake.storage import Storage, fsync, storage_at

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend as DuckDBBackend

    from trasos_assets.lake.engines.base import Engine

__all__ = ["PART", "LakeError", "LakeStore", "Staged"]


@dataclass(frozen=True)
class Staged:
    """A computed table on this machine's disk, not yet visible. ``days`` is None for an unpartitioned table."""

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


def _day_of(folder: str) -> date | None:
    name, _, value = folder.partition("=")
    try:
        return date.fromisoformat(value) if name == DAY and len(value) == len("YYYY-MM-DD") else None
    except ValueError:
        return None


class LakeStore:
    """Reads and writes the tables below one root with one engine.

    Args:
        root: a folder, or the UPath of an object store.
        engine: an engine, or a DuckDB backend of Ibis, which becomes one.
        local: a folder of this machine, for an object store's locks and staging.
    """

    def __init__(self, root: Path, engine: Engine | DuckDBBackend, *, local: Path | None = None) -> None:
        self.root = root
        self.storage: Storage = storage_at(root, local)
        self.engine: Engine = engine if hasattr(engine, "write_days") else DuckDBEngine(engine)  # type: ignore[arg-type]
        if self.storage.filesystem is not None:
            self.engine.reach(self.storage)

    @property
    def backend(self) -> Any:
        """The Ibis backend on which this lake's tables are computed."""
        return self.engine.backend

    @property
    def door(self) -> DuckDBBackend:
        """The DuckDB backend that parses what landed; ``taken`` hands its tables to the engine."""
        return self.engine.door

    def folder(self, contract: Contract) -> Path:
        """Where the table lives."""
        return self.root / contract.owner / contract.name

    def file(self, contract: Contract, day: date | None = None) -> Path:
        """The file of one partition, whether it exists or not."""
        folder = self.folder(contract)
        return folder / PART if day is None else folder / _day_folder(day) / PART

    def days(self, contract: Contract) -> list[date]:
        """Published days of a partitioned table, in order."""
        days = (_day_of(name) for name in self.storage.names(self.folder(contract), PART))
        return sorted(day for day in days if day is not None)

    def exists(self, contract: Contract) -> bool:
        """Whether anything of the table is published."""
        return bool(self.days(contract)) if contract.partitioned else self.storage.exists(self.file(contract))

    def files(self, contract: Contract, *, first: date | None = None, last: date | None = None) -> list[Path]:
        """Published files, of the days from ``first`` to ``last`` (both included) where given."""
        if not contract.partitioned:
            file = self.file(contract)
            return [file] if self.storage.exists(file) else []
        return [
            self.file(contract, day)
            for day in self.days(contract)
            if (first is None or day >= first) and (last is None or day <= last)
        ]

    def read(self, contract: Contract, *, first: date | None = None, last: date | None = None) -> ibis.Table:
        """The published table as an Ibis expression; a partition that is missing reads as empty."""
        return self.table_of(contract, self.files(contract, first=first, last=last))

    def table_of(self, contract: Contract, files: Iterable[Path]) -> ibis.Table:
        """An Ibis expression over given published files, as they are now and whoever replaces them.

        A column that older files do not have reads as null.
        """
        chosen, folder = self.storage.pinned(list(files))
        table = self._over(contract, chosen)
        if folder is not None:
            # Every expression that is made of this one holds its operation.
            weakref.finalize(table.op(), shutil.rmtree, folder, ignore_errors=True)
        return table

    def _over(self, contract: Contract, files: Sequence[Path]) -> ibis.Table:
        return self.engine.read(contract, files, self._absent_columns(contract, files))

    def _absent_columns(self, contract: Contract, files: Sequence[Path]) -> set[str]:
        """Columns that none of some files has: written before the contract had them."""
        absent = set(contract.column_names) - {DAY} if files else set()
        for file in reversed(files):  # the latest files know the most columns: as a rule one look is enough
            try:
                absent -= set(self.storage.footer(file).schema.to_arrow_schema().names)
            except (pa.ArrowInvalid, OSError):
                continue  # the engine names the file that cannot be read
            if not absent:
                break
        return absent

    def _footer(self, file: Path) -> pq.FileMetaData:
        try:
            return self.storage.footer(file)
        except (pa.ArrowInvalid, OSError) as error:
            raise LakeError(
                f"{file} cannot be read ({error}); delete it and run `trasos run`, which builds it "
                "again from what it is made of, a raw table from landing"
            ) from error

    def row_counts(self, contract: Contract) -> int:
        """Published rows, from the Parquet footers."""
        return sum(self._footer(file).num_rows for file in self.files(contract))

    def rows_by_day(self, contract: Contract, days: Iterable[date]) -> dict[date, int]:
        """Published rows of each of some days, from the Parquet footers; 0 where nothing is published."""
        there = set(self.days(contract))
        return {day: self._footer(self.file(contract, day)).num_rows if day in there else 0 for day in days}

    def bytes_by_day(self, contract: Contract) -> dict[date | None, int]:
        """Bytes of every published partition; the key of a table without partitions is None."""
        days: Iterable[date | None] = self.days(contract) if contract.partitioned else [None]
        files = {day: self.file(contract, day) for day in days}
        return {day: self.storage.size(file) for day, file in files.items() if day or self.storage.exists(file)}

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
        """An empty staging folder, to be filled with ``add`` and then published.

        Raises:
            LakeError: days were named for a table without partitions, or none for one with; or the contract drops or
                retypes what is published, without a new version.
        """
        if contract.partitioned != (days is not None):
            kind = "is partitioned by day: name the days" if contract.partitioned else "has no partitions: name no days"
            raise LakeError(f"table {contract.name} {kind} to write")
        evolution.refuse_breaking(contract, self._recorded(contract))
        folder = self.storage.staging(self.folder(contract))
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
        try:
            conformed = self.conform(contract, table)
            if staged.days is None:
                self.engine.write(contract, conformed, staged.files[0])
                written = list(staged.files)
            else:
                chosen = {day: staged.file(day) for day in sorted(set(staged.days if days is None else days))}
                for file in chosen.values():
                    file.parent.mkdir()
                if chosen:
                    self.engine.write_days(contract, conformed, chosen)
                written = list(chosen.values())
            for file in written:
                fsync(file)
        except BaseException:
            self.discard(staged)
            raise
        finally:
            self.engine.release()

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
        """A table computed now, for an expression that asks for it several times; dropped once it is staged."""
        return self.engine.made(table)

    def taken(self, table: ibis.Table) -> ibis.Table:
        """A temporary table of the door as a table of the engine, to be dropped once what is made of it is staged."""
        return self.engine.taken(table)

    def staged_table(self, staged: Staged, days: Iterable[date] | None = None) -> ibis.Table:
        """What was staged, read back from disk; of some days only, if any are named."""
        files = staged.files if days is None else [staged.file(day) for day in days]
        return self._over(staged.contract, files)

    def publish(self, staged: Staged) -> None:
        """Make every staged partition the table's partition, each in one step."""
        contract = staged.contract
        partitions = staged.days if staged.days is not None else (None,)
        shape = evolution.record_of(contract)
        if shape != self._recorded(contract):
            # Before the data: after a kill between the two, the same contract is written again.
            self.storage.write_bytes(self._record(contract), evolution.to_bytes(shape))
        for day, source in zip(partitions, staged.files, strict=True):
            self.storage.publish(source, self.file(contract, day))
        self.storage.published(self.folder(contract))  # a new day's folder is an entry of its own
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

    def remove(self, contract: Contract, day: date | None = None) -> None:
        """Remove a published partition; the caller holds the table's lock."""
        self.storage.remove(self.file(contract, day))

    def sweep(self, contract: Contract) -> list[Path]:
        """Remove staging folders whose process on this machine is gone; returns what was removed."""
        return self.storage.sweep(self.folder(contract))

    def writing(self, name: str, *, on_wait: object = None) -> AbstractContextManager[None]:
        """Hold the writers' lock of a table among the processes of this machine, as ``locks.held``."""
        return held(self.storage.local / ".locks", name, on_wait=on_wait)

    def _record(self, contract: Contract) -> Path:
        return self.folder(contract) / evolution.RECORD

    def _recorded(self, contract: Contract) -> evolution.Record | None:
        file = self._record(contract)
        return evolution.from_bytes(self.storage.read_bytes(file)) if self.storage.exists(file) else None
