"""The door for BI tools and data scientists: a DuckDB file of views over the lake, one schema a team."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from trasos_assets.contracts.model import DAY, Contract
from trasos_assets.lake.parquet import duckdb_type, select_from_files
from trasos_assets.lake.store import LakeStore
from trasos_assets.sql import literal, quoted


@dataclass(frozen=True)
class Served:
    """What a build of the warehouse holds."""

    path: Path
    tables: tuple[str, ...]
    empty: tuple[str, ...]


def _view(store: LakeStore, contract: Contract) -> str:
    """A view with the contract's columns by name, over whatever files are there when it is read."""
    if not store.exists(contract):
        return select_from_files(contract, [])
    columns = ", ".join(f"{quoted(c.name)}::{duckdb_type(c.type)} AS {quoted(c.name)}" for c in contract.columns)
    folder = store.folder(contract).absolute()
    if contract.partitioned:
        source = f"{literal(folder / f'{DAY}=*' / '*.parquet')}, hive_partitioning=true, hive_types={{{DAY}: DATE}}"
    else:
        source = f"{literal(folder / '*.parquet')}, hive_partitioning=false"
    return f"SELECT {columns} FROM read_parquet({source}, union_by_name=true)"  # noqa: S608 - quoted above


def build_warehouse(store: LakeStore, contracts: Iterable[Contract], path: Path) -> Served:
    """Build the file beside the old one and swap it in whole: a reader keeps the one it opened.

    Tables that were never published are served without rows and named in ``empty``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.unlink(missing_ok=True)
    served, empty = [], []
    try:
        with duckdb.connect(str(scratch)) as connection:
            for contract in sorted(contracts, key=lambda c: (c.owner, c.name)):
                name = f"{quoted(contract.owner)}.{quoted(contract.name)}"
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(contract.owner)}")
                connection.execute(f"CREATE VIEW {name} AS {_view(store, contract)}")
                about = f"{contract.description} Primary key: {', '.join(contract.primary_key)}."
                connection.execute(f"COMMENT ON VIEW {name} IS {literal(about)}")
                for column in contract.columns:
                    note = column.description + (" Personal." if column.pii else "")
                    connection.execute(f"COMMENT ON COLUMN {name}.{quoted(column.name)} IS {literal(note)}")
                (served if store.exists(contract) else empty).append(f"{contract.owner}.{contract.name}")
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
    return Served(path, tuple(served), tuple(empty))


def serves(connection: duckdb.DuckDBPyConnection, lake: Path) -> bool:
    """Whether every view of an open warehouse reads this lake; in a copied data folder they read the first one."""
    there = str(lake.absolute()).replace("'", "''") + "/"
    row = connection.execute(
        "SELECT count(*) FROM duckdb_views() WHERE NOT internal AND contains(sql, 'read_parquet') "
        "AND NOT contains(sql, ?)",
        [there],
    ).fetchone()
    return row == (0,)


def warehouse_serves(path: Path, lake: Path) -> bool:
    """Whether a warehouse file is there, can be read, and was built over this lake."""
    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            return serves(connection, lake)
    except duckdb.Error:
        return False
