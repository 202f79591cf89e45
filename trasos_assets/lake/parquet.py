"""How a contract's tables stand in Parquet files, and the SQL by which DuckDB reads them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from trasos_assets.contracts.model import DAY, Contract
from trasos_assets.sql import literal, quoted

PART = "part-0.parquet"
ROW_GROUP_SIZE = 122_880
COMPRESSION = "zstd"
COPY_OPTIONS = f"FORMAT parquet, COMPRESSION {COMPRESSION}, ROW_GROUP_SIZE {ROW_GROUP_SIZE}"


def duckdb_type(ibis_type: str) -> str:
    """The DuckDB name of a contract's Ibis type."""
    if ibis_type.startswith("array<"):
        return duckdb_type(ibis_type[len("array<") : -1]) + "[]"
    named = {
        "string": "VARCHAR",
        "int32": "INTEGER",
        "int64": "BIGINT",
        "float32": "FLOAT",
        "float64": "DOUBLE",
        "boolean": "BOOLEAN",
        "date": "DATE",
        "timestamp(6)": "TIMESTAMP",
    }
    return named.get(ibis_type, ibis_type.upper())


def select_from_files(contract: Contract, files: Iterable[Path], absent: Collection[str] = ()) -> str:
    """SQL that reads a contract's columns by name and of its types; no rows if there are no files.

    Args:
        contract: the table.
        files: its files; a column that some of them do not have reads as null from those.
        absent: columns that none of the files has.
    """
    paths = list(files)
    if not paths:
        columns = ", ".join(f"NULL::{duckdb_type(c.type)} AS {quoted(c.name)}" for c in contract.columns)
        return f"SELECT {columns} WHERE false"
    listed = ", ".join(literal(path) for path in paths)
    hive = (
        f", hive_partitioning=true, hive_types={{{DAY}: DATE}}" if contract.partitioned else ", hive_partitioning=false"
    )
    names = ", ".join(
        f"{'NULL' if c.name in absent else quoted(c.name)}::{duckdb_type(c.type)} AS {quoted(c.name)}"
        for c in contract.columns
    )
    return f"SELECT {names} FROM read_parquet([{listed}], union_by_name=true{hive})"  # noqa: S608 - quoted above
