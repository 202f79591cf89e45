"""Fixtures that all tests share: an engine, a lake and settings of their own, and tables from rows."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pytest
from ibis.backends.duckdb import Backend

from trasos_assets.contracts.model import Contract
from trasos_assets.lake.store import LakeStore
from trasos_assets.settings import Settings

MakeTable = Callable[[Contract, Iterable[dict[str, Any]]], ibis.Table]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, so that at the end no worker waits long for the other."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def new_backend() -> Backend:
    """An engine as the platform sets it up, in memory."""
    backend = ibis.duckdb.connect()
    backend.raw_sql("SET TimeZone = 'UTC'")
    return backend


def make_table(backend: Backend, contract: Contract, rows: Iterable[dict[str, Any]]) -> ibis.Table:
    """A table with a contract's columns and types; what a row leaves out is null, what the contract lacks an error."""
    schema = ibis.schema(contract.types).to_pyarrow()
    records = list(rows)
    unknown = {name for row in records for name in row} - set(schema.names)
    assert not unknown, f"{contract.name} has no columns {unknown}"
    name = f"made_{ibis.util.gen_name('')}"
    backend.con.register("incoming", pa.Table.from_pylist(records, schema=schema))
    backend.con.execute(f'CREATE TABLE "{name}" AS SELECT * FROM incoming')
    backend.con.unregister("incoming")
    return backend.table(name)


@pytest.fixture
def backend() -> Backend:
    return new_backend()


@pytest.fixture
def table(backend: Backend) -> MakeTable:
    return lambda contract, rows: make_table(backend, contract, rows)


@pytest.fixture
def store(tmp_path: Path, backend: Backend) -> LakeStore:
    return LakeStore(tmp_path / "lake", backend)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of an empty data folder, deaf to the environment."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"TRASOS_{name.upper()}", raising=False)
    return Settings(data_dir=tmp_path)
