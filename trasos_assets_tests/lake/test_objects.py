"""What DuckDB reads of an object store: one whole version of a file, whoever replaces it meanwhile."""

from __future__ import annotations

import functools
import tempfile
import uuid
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from trasos_assets.lake import objects
from trasos_assets.lake.objects import ObjectReads, ObjectReplacedError, reads_of, was_replaced

OLD, NEW = (5_000, 0), (6_000, 7)


class Bucket(MemoryFileSystem):
    """A store under a name by which DuckDB knows it for a remote one: only of these it opens files several times."""

    protocol = "s3"
    cachable = False

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.replace("s3://", "memory://"))


@pytest.fixture
def folder() -> str:
    return f"s3://{uuid.uuid4().hex}/lake"


@pytest.fixture
def memory() -> Any:
    return Bucket()


@functools.cache
def parquet(rows: int, value: int) -> bytes:
    with tempfile.TemporaryDirectory() as scratch, duckdb.connect() as connection:
        file = Path(scratch, "part-0.parquet")
        select = f"SELECT {value}::INTEGER AS v, 'row ' || range AS t FROM range({rows})"
        connection.execute(f"COPY ({select}) TO '{file}' (FORMAT parquet)")
        return file.read_bytes()


def write(memory: Any, path: str, rows: int, value: int) -> None:
    memory.pipe_file(path, parquet(rows, value))


def connected(reads: ObjectReads) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.register_filesystem(reads)
    connection.execute("SET enable_external_file_cache = false")
    return connection


def ask(connection: duckdb.DuckDBPyConnection, path: str, *, union: bool = True) -> Any:
    # Nothing that the footer alone could answer.
    sql = f"SELECT count(DISTINCT t), avg(v)::INTEGER FROM read_parquet(['{path}'], union_by_name = {union})"
    return connection.execute(sql).fetchone()


class Replaced(ObjectReads):
    """Replaces the file when it is opened for the n-th time."""

    def __init__(self, store: Any, at: int) -> None:
        super().__init__(store)
        self.at, self.opened = at, 0

    def open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        self.opened += 1
        if self.opened == self.at:
            write(self.store, path, *NEW)
        return super().open(path, mode, **options)


@pytest.mark.parametrize("union", [True, False])
@pytest.mark.parametrize("at", range(1, 7))
def test_a_query_sees_one_version_of_a_file_that_is_replaced_between_its_openings(memory, folder, at, union) -> None:
    file = f"{folder}/t/part-0.parquet"
    write(memory, file, *OLD)
    reads = Replaced(memory, at)
    connection = connected(reads)
    assert ask(connection, file, union=union) == (NEW if at == 1 else OLD)
    assert reads.opened > 1, "DuckDB opens a file but once: this test shows nothing any more"
    replaced, reads.at = at <= reads.opened, 0
    reads.forget(file)
    assert ask(connection, file, union=union) == (NEW if replaced else OLD)


@pytest.mark.parametrize("at", range(1, 7))
def test_a_large_file_that_is_replaced_is_refused_and_read_when_asked_again(memory, folder, at, monkeypatch) -> None:
    monkeypatch.setattr(objects, "WHOLE_BYTES", 100)
    file = f"{folder}/t/part-0.parquet"
    write(memory, file, *OLD)
    reads = Replaced(memory, at)
    connection = connected(reads)
    try:
        assert ask(connection, file) == (NEW if at == 1 else OLD)
    except (ObjectReplacedError, duckdb.Error) as error:
        assert was_replaced(error)
        assert 1 < at <= reads.opened
    replaced, reads.at = at <= reads.opened, 0
    reads.forget(file)
    assert ask(connection, file) == (NEW if replaced else OLD)


def test_what_this_process_replaced_and_forgot_is_read_at_once(memory, folder) -> None:
    file = f"{folder}/t/day=2026-01-01/part-0.parquet"
    write(memory, file, *OLD)
    reads = ObjectReads(memory)
    connection = connected(reads)
    assert ask(connection, file) == OLD
    write(memory, file, *NEW)
    reads.forget(file)
    assert ask(connection, file) == NEW


def test_what_another_process_replaced_is_read_after_a_new_listing(memory, folder) -> None:
    file = f"{folder}/t/day=2026-01-01/part-0.parquet"
    write(memory, file, *OLD)
    reads = ObjectReads(memory)
    connection = connected(reads)
    assert ask(connection, file) == OLD
    write(memory, file, *NEW)
    reads.listing(f"{folder}/t")
    assert ask(connection, file) == NEW
    assert reads.size(file) == memory.size(file)


def test_hundreds_of_files_are_listed_once_and_fetched_once(memory, folder, monkeypatch) -> None:
    days = [f"2026-{month:02d}-{day:02d}" for month in range(1, 6) for day in range(1, 29)]
    for day in days:
        write(memory, f"{folder}/t/day={day}/part-0.parquet", *OLD)
    calls: list[str] = []
    for name in ("find", "info", "cat_file", "open", "glob", "exists"):
        really = getattr(type(memory), name)

        def watched(self: Any, *args: Any, _name: str = name, _really: Any = really, **options: Any) -> Any:
            calls.append(_name)
            return _really(self, *args, **options)

        monkeypatch.setattr(type(memory), name, watched)
    monkeypatch.setattr(objects, "LISTED_SECONDS", 60)
    connection = connected(ObjectReads(memory))
    listed = ", ".join(f"'{folder}/t/day={day}/part-0.parquet'" for day in days)
    for source in (f"[{listed}]", f"'{folder}/t/day=*/*.parquet'"):
        sql = f"SELECT count(t), avg(v)::INTEGER, count(DISTINCT day) FROM read_parquet({source}, union_by_name = true)"
        assert connection.execute(sql).fetchone() == (OLD[0] * len(days), 0, len(days))
    assert calls.count("cat_file") == len(days)
    assert calls.count("find") == 1
    assert not {"info", "exists", "glob"} & set(calls[1:])


def test_memory_is_given_back_when_too_much_is_kept(memory, folder, monkeypatch) -> None:
    for number in range(10):
        memory.pipe_file(f"{folder}/{number}", bytes(1_000))
    monkeypatch.setattr(objects, "MEMORY_BYTES", 3_500)
    reads = ObjectReads(memory)
    for number in (*range(10), 0):
        assert reads.open(f"{folder}/{number}").read() == bytes(1_000)
    assert sum(map(len, reads._kept.values())) <= 3_500


def test_it_writes_nothing(memory, folder) -> None:
    connection = connected(ObjectReads(memory))
    with pytest.raises(Exception, match="reading only"):
        connection.execute(f"COPY (SELECT 1 AS a) TO '{folder}/a.parquet' (FORMAT parquet)")
    assert not memory.exists(f"{folder}/a.parquet")


def test_a_missing_file_is_missing(memory, folder) -> None:
    with pytest.raises(duckdb.IOException, match="No files found"):
        ask(connected(ObjectReads(memory)), f"{folder}/t/part-0.parquet")
    assert not ObjectReads(memory).exists(f"{folder}/t/part-0.parquet")


def test_a_process_has_one_reading_file_system_over_each() -> None:
    assert reads_of(fsspec.filesystem("memory")) is reads_of(fsspec.filesystem("memory"))
