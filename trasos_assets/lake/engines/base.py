"""What the table store asks of an engine. Assets know Ibis tables only, and never which engine is behind them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import ibis

from trasos_assets.contracts.model import Contract

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend as DuckDBBackend

    from trasos_assets.lake.storage import Storage


class Engine(Protocol):
    """Reads and writes Parquet files by contract, and computes Ibis expressions.

    Temporary tables that ``made`` and ``taken`` give live until ``release``.
    """

    @property
    def backend(self) -> Any:
        """The Ibis backend on which expressions run."""
        ...

    @property
    def door(self) -> DuckDBBackend:
        """The DuckDB backend of this process that parses landed files; on DuckDB the same as ``backend``."""
        ...

    def reach(self, storage: Storage) -> None:
        """Get ready to read the files of a storage.

        Raises:
            LakeError: this engine cannot read that kind of storage.
        """
        ...

    def read(self, contract: Contract, files: Sequence[Path], absent: Collection[str]) -> ibis.Table:
        """The contract's columns by name and of its types from files of one table; no rows if there are no files.

        ``absent`` are columns that none of the files has; like those that some have not they read as null. The column
        ``day`` of a table by day comes from the files' folders.
        """
        ...

    def write(self, contract: Contract, table: ibis.Table, file: Path) -> None:
        """Compute a table into one file on this machine, columns cast to the contract's types, rows by primary key."""
        ...

    def write_days(self, contract: Contract, table: ibis.Table, files: Mapping[date, Path]) -> None:
        """Compute a table once and write each of its named days into a file, without the column ``day``.

        A day without rows gets a file without rows; rows of other days are left out. The files' folders exist.
        """
        ...

    def made(self, table: ibis.Table) -> ibis.Table:
        """A table computed now, for an expression that asks for it several times."""
        ...

    def taken(self, table: ibis.Table) -> ibis.Table:
        """A temporary table of the door, as a table of this engine."""
        ...

    def release(self) -> None:
        """Drop what ``made`` and ``taken`` gave."""
        ...
