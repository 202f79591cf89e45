"""SQL that reads a contract's columns from its Parquet files, whatever columns the files were written with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from trasos_assets.contracts.model import DAY, Contract
from trasos_assets.sql import literal, quoted


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


def select_from_files(contract: Contract, files: Iterable[Path]) -> str:
    """SQL that reads a contract's columns by name from its files; no rows and right types if there are no files.

    A column that older files do not have reads as null.
    """
    paths = list(files)
    if not paths:
        columns = ", ".join(f"NULL::{duckdb_type(c.type)} AS {quoted(c.name)}" for c in contract.columns)
        return f"SELECT {columns} WHERE false"
    listed = ", ".join(literal(path) for path in paths)
    hive = (
        f", hive_partitioning=true, hive_types={{{DAY}: DATE}}" if contract.partitioned else ", hive_partitioning=false"
    )
    absent = _absent_columns(contract, paths)
    names = ", ".join(
        f"NULL::{duckdb_type(c.type)} AS {quoted(c.name)}" if c.name in absent else quoted(c.name)
        for c in contract.columns
    )
    return f"SELECT {names} FROM read_parquet([{listed}], union_by_name=true{hive})"  # noqa: S608 - quoted above


def _absent_columns(contract: Contract, paths: Sequence[Path]) -> set[str]:
    """Columns that none of some files has: written before the contract had them."""
    absent = set(contract.column_names) - {DAY}
    for path in reversed(paths):  # the latest files know the most columns: as a rule one look is enough
        try:
            absent -= set(pq.read_schema(path).names)
        except (pa.ArrowInvalid, OSError):
            continue  # the engine names the file that cannot be read
        if not absent:
            break
    return absent
