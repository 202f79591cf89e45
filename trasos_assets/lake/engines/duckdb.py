"""The DuckDB engine: everything in this process, spilling to disk."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import ibis

from trasos_assets.contracts.model import DAY, Contract
from trasos_assets.lake.parquet import COPY_OPTIONS, duckdb_type, select_from_files
from trasos_assets.sql import literal, quoted

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend as DuckDBBackend

    from trasos_assets.lake.storage import Storage


class DuckDBEngine:
    """As ``Engine`` says, on one DuckDB connection."""

    def __init__(self, backend: DuckDBBackend) -> None:
        self.backend = backend
        self._held: list[str] = []

    @property
    def door(self) -> DuckDBBackend:
        """The same backend: landed files are parsed where tables are computed."""
        return self.backend

    def reach(self, storage: Storage) -> None:
        """Read an object store through fsspec: DuckDB's own extension for it is a download."""
        filesystem = storage.filesystem
        if filesystem is None:
            return
        protocols = {filesystem.protocol} if isinstance(filesystem.protocol, str) else set(filesystem.protocol)
        if not protocols & set(self.backend.con.list_filesystems()):
            self.backend.con.register_filesystem(filesystem)
            # Its entries are told apart by path and time, and an object may be replaced twice within one second.
            self.backend.raw_sql("SET enable_external_file_cache = false")

    def read(self, contract: Contract, files: Sequence[Path], absent: Collection[str]) -> ibis.Table:
        """A view over the files."""
        view = f"{contract.name}_{uuid.uuid4().hex[:12]}"
        self.backend.raw_sql(f"CREATE TEMP VIEW {view} AS {select_from_files(contract, files, absent)}")
        return self.backend.table(view)

    def write(self, contract: Contract, table: ibis.Table, file: Path) -> None:
        """One COPY."""
        self._copy(f"{self._typed_select(contract, table)} ORDER BY {_names(contract.primary_key)}", file)

    def write_days(self, contract: Contract, table: ibis.Table, files: Mapping[date, Path]) -> None:
        """Compute once, then write a file a day: one file a partition, sorted, whatever the number of threads."""
        select = self._typed_select(contract, table)
        order = _names([name for name in contract.primary_key if name != DAY] or contract.primary_key)
        columns = _names(name for name in contract.column_names if name != DAY)
        # What stands in the engine already need not be made once more before its days are picked out.
        made = isinstance(table.op(), ibis.expr.operations.DatabaseTable) and table.get_name() in self._held
        once = len(files) > 1 and not made
        source = f"staged_{uuid.uuid4().hex[:12]}" if once else f"({select})"
        if once:
            bounds = f"{DAY} BETWEEN DATE '{min(files)}' AND DATE '{max(files)}'"
            self.backend.raw_sql(f"CREATE TEMP TABLE {source} AS SELECT * FROM ({select}) WHERE {bounds}")  # noqa: S608
        try:
            for day, file in files.items():
                rows = f"SELECT {columns} FROM {source} WHERE {DAY} = DATE '{day}'"  # noqa: S608
                self._copy(f"{rows} ORDER BY {order}", file)
        finally:
            if once:
                self.backend.raw_sql(f"DROP TABLE IF EXISTS {source}")

    def made(self, table: ibis.Table) -> ibis.Table:
        """A temporary table."""
        name = f"made_{uuid.uuid4().hex[:12]}"
        self.backend._run_pre_execute_hooks(table)
        self.backend.raw_sql(f"CREATE TEMP TABLE {name} AS {self.backend.compile(table)}")
        return self.taken(self.backend.table(name))

    def taken(self, table: ibis.Table) -> ibis.Table:
        """The same table, remembered: the door is this engine."""
        self._held.append(table.get_name())
        return table

    def release(self) -> None:
        """Drop the temporary tables."""
        for name in self._held:
            self.backend.raw_sql(f"DROP TABLE IF EXISTS {quoted(name)}")
        self._held.clear()

    def _typed_select(self, contract: Contract, table: ibis.Table) -> str:
        """SQL of a table with every column cast in the engine: Ibis leaves out casts that it thinks redundant."""
        self.backend._run_pre_execute_hooks(table)
        casts = ", ".join(f"{quoted(c.name)}::{duckdb_type(c.type)} AS {quoted(c.name)}" for c in contract.columns)
        return f"SELECT {casts} FROM ({self.backend.compile(table)})"  # noqa: S608 - quoted above

    def _copy(self, select: str, file: Path) -> None:
        self.backend.raw_sql(f"COPY ({select}) TO {literal(file)} ({COPY_OPTIONS})")


def _names(names: Iterable[str]) -> str:
    return ", ".join(quoted(name) for name in names)
