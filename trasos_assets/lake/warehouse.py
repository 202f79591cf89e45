"""The door for BI tools and data scientists: a DuckDB file with one schema a team, over the lake or with its data."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import duckdb

from trasos_assets.contracts.model import DAY, Contract
from trasos_assets.lake.locks import alive
from trasos_assets.lake.objects import reads_of
from trasos_assets.lake.parquet import duckdb_type, select_from_files
from trasos_assets.lake.store import LakeStore
from trasos_assets.places import hidden_for, is_remote
from trasos_assets.settings import Settings
from trasos_assets.sql import literal, quoted

Kind = Literal["views", "tables"]
ABOUT = "main.about"
_ENGINE_SETTINGS = ("memory_limit", "threads", "temp_directory")


@dataclass(frozen=True)
class Served:
    """What a build of the warehouse holds."""

    path: Path
    tables: tuple[str, ...]
    empty: tuple[str, ...]


def _place(store: LakeStore) -> Path:
    """The lake's root as its files are named in SQL."""
    return store.root if is_remote(store.root) else store.root.absolute()


def _select(connection: duckdb.DuckDBPyConnection, store: LakeStore, contract: Contract, *, there: bool) -> str:
    """The contract's columns by name, over whatever files are there when it is read."""
    if not there:
        return select_from_files(contract, [])
    folder = _place(store) / contract.owner / contract.name
    if contract.partitioned:
        source = f"{literal(folder / f'{DAY}=*' / '*.parquet')}, hive_partitioning=true, hive_types={{{DAY}: DATE}}"
    else:
        source = f"{literal(folder / '*.parquet')}, hive_partitioning=false"
    files = f"read_parquet({source}, union_by_name=true)"
    held = {row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {files}").fetchall()}  # noqa: S608
    columns = ", ".join(
        f"{quoted(c.name) if c.name in held else 'NULL'}::{duckdb_type(c.type)} AS {quoted(c.name)}"
        for c in contract.columns
    )
    return f"SELECT {columns} FROM {files}"  # noqa: S608 - quoted above


def build_warehouse(store: LakeStore, contracts: Iterable[Contract], path: Path, *, kind: Kind = "views") -> Served:
    """Build the file beside the old one and swap it in whole: a reader keeps the one it opened.

    Args:
        store: the lake.
        contracts: the tables to serve. Those that were never published are served without rows and named in ``empty``.
        path: the file.
        kind: ``views`` read the lake's files when they are asked; ``tables`` hold the data, as of now.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.unlink(missing_ok=True)
    served, empty = [], []
    try:
        with duckdb.connect(str(scratch)) as connection:
            _as_engine(connection, store)
            reach(connection, store.root)
            for contract in sorted(contracts, key=lambda c: (c.owner, c.name)):
                there = store.exists(contract)
                _serve(connection, store, contract, kind, there=there)
                (served if there else empty).append(f"{contract.owner}.{contract.name}")
            what = f"SELECT {literal(_place(store))} AS lake, {literal(kind)} AS kind"
            connection.execute(f"CREATE VIEW {ABOUT} AS {what}")
            connection.execute(f"COMMENT ON VIEW {ABOUT} IS 'Which lake this file serves, and how.'")
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
    return Served(path, tuple(served), tuple(empty))


def _serve(
    connection: duckdb.DuckDBPyConnection, store: LakeStore, contract: Contract, kind: Kind, *, there: bool
) -> None:
    name = f"{quoted(contract.owner)}.{quoted(contract.name)}"
    made = "TABLE" if kind == "tables" else "VIEW"
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(contract.owner)}")
    connection.execute(f"CREATE {made} {name} AS {_select(connection, store, contract, there=there)}")
    about = f"{contract.description} Primary key: {', '.join(contract.primary_key)}."
    connection.execute(f"COMMENT ON {made} {name} IS {literal(about)}")
    for column in contract.columns:
        note = column.description + (" Personal." if column.pii else "")
        connection.execute(f"COMMENT ON COLUMN {name}.{quoted(column.name)} IS {literal(note)}")


def _as_engine(connection: duckdb.DuckDBPyConnection, store: LakeStore) -> None:
    """Within the limits that were set for the engine of this process."""
    asked = ", ".join(f"current_setting({literal(name)})" for name in _ENGINE_SETTINGS)
    held = store.door.con.execute(f"SELECT {asked}").fetchone()
    for name, value in zip(_ENGINE_SETTINGS, held or (), strict=True):
        if value:
            # Two databases that spill into one folder would overwrite each other.
            own = f"{value}/warehouse" if name == "temp_directory" else value
            connection.execute(f"SET {name} = {literal(own)}")
    connection.execute("SET enable_progress_bar = false")


def _sweep(path: Path) -> None:
    """Remove what builds left that died."""
    for left in path.parent.glob(f".{path.name}.*"):
        pid = left.name.removeprefix(f".{path.name}.").split(".")[0]
        if pid.isdigit() and not alive(int(pid)):
            left.unlink(missing_ok=True)


def reach(connection: duckdb.DuckDBPyConnection, lake: Path) -> None:
    """Get a connection ready to read a lake that is in an object store; nothing to do for a folder."""
    if not is_remote(lake):
        return
    remote: Any = lake
    connection.register_filesystem(reads_of(remote.fs))
    # Its entries are told apart by path and time, and an object may be replaced twice within one second.
    connection.execute("SET enable_external_file_cache = false")


def serves(connection: duckdb.DuckDBPyConnection, lake: Path, kind: Kind | None = None) -> bool:
    """Whether an open warehouse serves this lake, in this way if one is named; a copied one serves the first lake."""
    try:
        found = connection.execute(f"SELECT lake, kind FROM {ABOUT}").fetchone()  # noqa: S608 - a constant
    except duckdb.CatalogException:
        return False
    place = lake if is_remote(lake) else lake.absolute()
    return found is not None and found[0] == str(place) and kind in (None, found[1])


def warehouse_serves(path: Path, lake: Path, kind: Kind | None = None) -> bool:
    """Whether a warehouse file is there, can be read, and was built over this lake in this way."""
    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            return serves(connection, lake, kind)
    except duckdb.Error:
        return False


def shared_path(settings: Settings) -> Path | None:
    """Where the warehouse of a data folder in an object store lies beside the lake; None for a folder."""
    return settings.data_dir / settings.warehouse_path.name if is_remote(settings.data_dir) else None


def share(settings: Settings) -> None:
    """Put the warehouse file beside a lake in an object store, so that other machines find it: one put."""
    target: Any = shared_path(settings)
    if target is not None:
        target.fs.put_file(str(settings.warehouse_path), target.path)
        _note(settings.warehouse_path, target)


def at_hand(settings: Settings) -> Path:
    """The warehouse file on this machine; fetched from the object store first if another machine built a newer one."""
    path, shared = settings.warehouse_path, shared_path(settings)
    if shared is None:
        return path
    remote: Any = shared
    note = _note_of(path)
    known = note.read_text() if note.exists() and path.exists() else None
    if not remote.fs.exists(remote.path) or known == _mark(remote):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    scratch = hidden_for(path, of=f".{os.getpid()}")
    try:
        remote.fs.get_file(remote.path, str(scratch))
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
    _note(path, remote)
    return path


def _note_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.of")


def _note(path: Path, remote: Any) -> None:
    _note_of(path).write_text(_mark(remote))


def _mark(remote: Any) -> str:
    """What shows that the shared file is another one."""
    info = remote.fs.info(remote.path)
    return str(info.get("ETag") or (info.get("size"), info.get("LastModified") or info.get("created")))
