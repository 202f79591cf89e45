"""The table store: what is published is whole, typed by contract, and the same bytes for the same rows."""

import dataclasses
import os
import random
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.model import DATE, FLOAT64, INT32, INT64, MONEY, TEXT, TIMESTAMP, VECTOR, Column, Contract
from trasos_assets.lake.days import every_day
from trasos_assets.lake.store import LakeError, LakeStore
from trasos_assets_tests.conftest import Backend, MakeTable

WHOLE = Contract(
    name="shelves",
    owner="science",
    description="Shelves.",
    columns=(
        Column("id", TEXT, "Which."),
        Column("n", INT32, "How many."),
        Column("many", INT64, "How many more.", nullable=True),
        Column("money", MONEY, "How much.", nullable=True),
        Column("at", TIMESTAMP, "When.", nullable=True),
        Column("on_day", DATE, "Which day.", nullable=True),
        Column("share", FLOAT64, "Of it.", nullable=True),
        Column("factors", VECTOR, "Numbers.", nullable=True),
    ),
    primary_key=("id",),
)
BY_DAY = Contract(
    name="visits",
    owner="engineering",
    description="Visits.",
    columns=(Column("day", DATE, "Day."), Column("id", TEXT, "Which."), Column("n", INT64, "How many.")),
    primary_key=("id",),
    partition="occurred",
)
DAYS = every_day(date(2026, 1, 1), date(2026, 1, 4))


def visits(backend: Backend, n: int, days: list[date] = DAYS) -> ibis.Table:
    rows = " UNION ALL ".join(f"SELECT DATE '{day}' AS day, 'v' || i AS id, {n}::BIGINT AS n" for day in days)
    return backend.sql(f"SELECT * FROM ({rows.replace(' AS n', ' AS n FROM range(3) r(i)')})")


def numbers(store: LakeStore) -> dict[date, set[int]]:
    found: dict[date, set[int]] = {}
    for row in store.read(BY_DAY).to_pyarrow().to_pylist():
        found.setdefault(row["day"], set()).add(row["n"])
    return found


def content(store: LakeStore, contract: Contract) -> dict[str, bytes]:
    folder = store.folder(contract)
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(folder.rglob("*.parquet"))}


def test_what_was_written_is_read_back(store: LakeStore, table: MakeTable) -> None:
    rows = [
        {"id": "b", "n": 2, "factors": [0.5, 1.0], "share": 0.25},
        {"id": "a", "n": 1, "on_day": date(2026, 1, 1)},
    ]
    store.write(WHOLE, table(WHOLE, rows))
    empty = dict.fromkeys(WHOLE.column_names)
    assert store.read(WHOLE).to_pyarrow().to_pylist() == [empty | rows[1], empty | rows[0]]


def test_a_table_that_was_never_published_reads_as_empty_with_the_contracts_types(store: LakeStore) -> None:
    for contract in CONTRACTS.values():
        read = store.read(contract)
        assert read.count().to_pyarrow().as_py() == 0
        assert dict(read.schema()) == {name: ibis.dtype(type_) for name, type_ in contract.types.items()}
        assert not store.exists(contract)


def test_a_day_that_is_missing_reads_as_empty(store: LakeStore, backend: Backend) -> None:
    store.write(BY_DAY, visits(backend, 1, DAYS[:1]), DAYS[:1])
    store.write(BY_DAY, visits(backend, 1, DAYS[2:3]), DAYS[2:3])
    assert numbers(store) == {DAYS[0]: {1}, DAYS[2]: {1}}
    assert store.read(BY_DAY, first=DAYS[1], last=DAYS[1]).count().to_pyarrow().as_py() == 0
    assert store.days(BY_DAY) == [DAYS[0], DAYS[2]]


def test_a_read_over_some_days_opens_no_other_file(store: LakeStore, backend: Backend) -> None:
    store.write(BY_DAY, visits(backend, 1), DAYS)
    store.file(BY_DAY, DAYS[0]).write_bytes(b"no parquet")
    assert store.read(BY_DAY, first=DAYS[1], last=DAYS[2]).count().to_pyarrow().as_py() == 6


def test_every_day_asked_for_gets_a_file_and_no_other(store: LakeStore, backend: Backend) -> None:
    store.write(BY_DAY, visits(backend, 1, [DAYS[0], DAYS[1], DAYS[3]]), [DAYS[0], DAYS[2]])
    assert store.days(BY_DAY) == [DAYS[0], DAYS[2]]
    assert pq.read_metadata(store.file(BY_DAY, DAYS[2])).num_rows == 0
    assert numbers(store) == {DAYS[0]: {1}}


def test_an_empty_days_file_has_the_contracts_columns(store: LakeStore, backend: Backend) -> None:
    store.write(BY_DAY, visits(backend, 1, DAYS[:1]), DAYS)
    schema = pq.read_schema(store.file(BY_DAY, DAYS[3]))
    assert {field.name: str(field.type) for field in schema} == {"id": "string", "n": "int64"}


def test_columns_are_matched_by_name_not_by_position(store: LakeStore, backend: Backend) -> None:
    store.write(BY_DAY, backend.sql("SELECT 7 AS n, 'a' AS id, DATE '2026-01-01' AS day"), DAYS[:1])
    assert store.read(BY_DAY).to_pyarrow().to_pylist() == [{"day": DAYS[0], "id": "a", "n": 7}]


def test_a_missing_and_an_unknown_column_are_refused_by_name_with_the_file_to_mend(
    store: LakeStore, backend: Backend
) -> None:
    with pytest.raises(LakeError) as refusal:
        store.stage(BY_DAY, backend.sql("SELECT DATE '2026-01-01' AS day, 'a' AS id, 1 AS m"), DAYS[:1])
    assert "trasos_assets/contracts/engineering.py" in str(refusal.value)
    assert "missing columns ['n']" in str(refusal.value)
    assert "columns the contract does not know ['m']" in str(refusal.value)
    assert not store.folder(BY_DAY).exists()


def test_types_on_disk_are_the_contracts_even_where_ibis_believes_so_already(
    store: LakeStore, backend: Backend
) -> None:
    backend.raw_sql(
        "CREATE TABLE t AS SELECT 'a' AS id, i::BIGINT AS i, i::DECIMAL(9, 2) AS m, DATE '2026-03-04' AS d "
        "FROM range(3) r(i)"
    )
    t = backend.table("t")
    # DuckDB's sum of bigint is a hugeint and its date_trunc of a date a timestamp; Ibis thinks otherwise.
    made = t.group_by("id").agg(
        n=t.i.sum(),
        many=t.i.sum(),
        money=t.m.sum(),
        at=t.d.max(),
        on_day=t.d.truncate("M").max(),
        share=t.i.cast("float32").max(),
        factors=t.i.collect(),
    )
    store.write(WHOLE, made)
    schema = pq.read_schema(store.file(WHOLE))
    assert {field.name: field.type for field in schema} == {
        "id": pa.string(),
        "n": pa.int32(),
        "many": pa.int64(),
        "money": pa.decimal128(18, 4),
        "at": pa.timestamp("us"),
        "on_day": pa.date32(),
        "share": pa.float64(),
        "factors": pa.list_(pa.float32()),
    }


def test_older_files_without_a_new_column_read_it_as_null(store: LakeStore, backend: Backend) -> None:
    store.write(BY_DAY, visits(backend, 1, DAYS[:1]), DAYS[:1])
    file = store.file(BY_DAY, DAYS[0])
    pq.write_table(pq.read_table(file, partitioning=None).drop_columns(["n"]), file)
    store.write(BY_DAY, visits(backend, 2, DAYS[1:2]), DAYS[1:2])
    assert numbers(store) == {DAYS[0]: {None}, DAYS[1]: {2}}


def test_rows_on_disk_are_sorted_by_primary_key(store: LakeStore, backend: Backend) -> None:
    rows = (
        "SELECT DATE '2026-01-01' AS day, lpad((i * 7919 % 1000)::VARCHAR, 4, '0') AS id, 1 AS n FROM range(1000) r(i)"
    )
    store.write(BY_DAY, backend.sql(rows), DAYS[:1])
    ids = pq.read_table(store.file(BY_DAY, DAYS[0]), partitioning=None)["id"].to_pylist()
    assert ids == sorted(ids)


@pytest.mark.parametrize("contract", [WHOLE, BY_DAY], ids=lambda contract: contract.name)
def test_the_same_rows_give_the_same_bytes_whatever_their_order_and_the_number_of_threads(
    contract: Contract, tmp_path: Path, backend: Backend
) -> None:
    values = "lpad(i::VARCHAR, 9, '0') AS id, (i % 97) AS n"
    more = (
        "i * i AS many, i / 7 AS money, make_timestamp(i * 1000) AS at, NULL AS on_day, i / 3 AS share, [i] AS factors"
    )
    day = "DATE '2026-01-01' + (i % 2)::INTEGER AS day"
    backend.raw_sql(f"CREATE TABLE rows AS SELECT {values}, {more}, {day} FROM range(260_000) r(i)")
    written = []
    for number, (threads, order) in enumerate([(1, "id"), (2, "id DESC"), (4, "hash(id)"), (4, "hash(id || 'x')")]):
        backend.raw_sql(f"SET threads = {threads}")
        store = LakeStore(tmp_path / str(number), backend)
        backend.raw_sql(f"CREATE OR REPLACE TABLE shuffled AS SELECT * FROM rows ORDER BY {order}")
        shuffled = backend.table("shuffled").select(*contract.column_names)
        store.write(contract, shuffled, DAYS[:2] if contract.partitioned else None)
        written.append(content(store, contract))
    assert len(written[0]) == (2 if contract.partitioned else 1)
    assert all(other == written[0] for other in written[1:])


def test_publishing_is_one_rename_a_partition(
    store: LakeStore, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    renames = []
    rename = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, to: (renames.append(Path(to)), rename(self, to))[1])
    store.write(BY_DAY, visits(backend, 1), DAYS)
    assert [file for file in renames if file.suffix == ".parquet"] == [store.file(BY_DAY, day) for day in DAYS]


def test_what_is_staged_is_not_visible(store: LakeStore, backend: Backend) -> None:
    store.write(BY_DAY, visits(backend, 1), DAYS)
    staged = store.stage(BY_DAY, visits(backend, 2), DAYS)
    assert numbers(store) == {day: {1} for day in DAYS}
    assert staged.rows == 12
    assert staged.bytes == sum(file.stat().st_size for file in staged.files)
    assert set(store.staged_table(staged).to_pyarrow()["n"].to_pylist()) == {2}
    store.publish(staged)
    assert numbers(store) == {day: {2} for day in DAYS}
    assert not staged.folder.exists()


def test_a_stage_that_fails_leaves_the_last_good_partition_and_nothing_else(store: LakeStore, backend: Backend) -> None:
    store.write(BY_DAY, visits(backend, 1), DAYS)
    before = content(store, BY_DAY)
    broken = visits(backend, 2).mutate(n=backend.sql("SELECT 'x' AS x").as_scalar().cast("int64"))
    with pytest.raises(Exception, match="Could not convert"):
        store.stage(BY_DAY, broken, DAYS)
    assert content(store, BY_DAY) == before
    assert [entry.name for entry in store.folder(BY_DAY).iterdir() if entry.name.startswith(".")] == []


def test_a_column_that_no_file_has_yet_reads_as_null(store: LakeStore, backend: Backend) -> None:
    store.write(BY_DAY, visits(backend, 1), DAYS)
    grown = dataclasses.replace(BY_DAY, columns=(*BY_DAY.columns, Column("new", TEXT, "New.", nullable=True)))
    rows = store.read(grown).to_pyarrow().to_pylist()
    assert len(rows) == 12
    assert {row["new"] for row in rows} == {None}
    wider = visits(backend, 2).mutate(new=ibis.literal("x"))
    store.write(grown, wider, DAYS[:1])
    assert {(row["day"] == DAYS[0], row["new"]) for row in store.read(grown).to_pyarrow().to_pylist()} == {
        (True, "x"),
        (False, None),
    }


def test_days_staged_in_portions_are_published_together(store: LakeStore, backend: Backend) -> None:
    whole = store.stage(BY_DAY, visits(backend, 1), DAYS)
    staged = store.begin(BY_DAY, DAYS)
    for day in DAYS:
        store.add(staged, visits(backend, 1), [day])
        assert not store.exists(BY_DAY)
    assert [file.read_bytes() for file in staged.files] == [file.read_bytes() for file in whole.files]
    store.publish(staged)
    assert store.rows_by_day(BY_DAY, DAYS) == dict.fromkeys(DAYS, 3)


def test_a_temporary_table_goes_when_what_is_made_of_it_is_staged(store: LakeStore, backend: Backend) -> None:
    backend.raw_sql("CREATE TEMP TABLE landed AS SELECT DATE '2026-01-01' AS day, 'a' AS id, 1 AS n")
    staged = store.begin(BY_DAY, DAYS[:1])
    store.add(staged, store.taken(backend.table("landed")))
    assert staged.rows == 1
    assert "landed" not in backend.list_tables()


def test_what_was_discarded_is_gone(store: LakeStore, backend: Backend) -> None:
    staged = store.stage(BY_DAY, visits(backend, 2), DAYS)
    store.discard(staged)
    store.discard(staged)
    assert not staged.folder.exists()
    assert not store.exists(BY_DAY)


def test_a_table_can_be_computed_from_the_very_partition_it_replaces(store: LakeStore, backend: Backend) -> None:
    store.write(BY_DAY, visits(backend, 1), DAYS)
    old = store.read(BY_DAY)
    store.write(BY_DAY, old.mutate(n=old.n + 1), DAYS)
    assert numbers(store) == {day: {2} for day in DAYS}


def test_days_must_be_named_for_partitioned_tables_and_for_no_others(
    store: LakeStore, backend: Backend, table: MakeTable
) -> None:
    with pytest.raises(LakeError, match="visits is partitioned by day: name the days"):
        store.write(BY_DAY, visits(backend, 1))
    with pytest.raises(LakeError, match="shelves has no partitions: name no days"):
        store.write(WHOLE, table(WHOLE, []), DAYS)


def test_a_day_named_twice_is_written_once(store: LakeStore, backend: Backend) -> None:
    store.write(BY_DAY, visits(backend, 1), [DAYS[1], DAYS[0], DAYS[1]])
    assert store.days(BY_DAY) == DAYS[:2]
    assert store.row_counts(BY_DAY) == 6


def test_folders_and_names_that_are_no_partition_are_passed_over(store: LakeStore, backend: Backend) -> None:
    store.write(BY_DAY, visits(backend, 1), DAYS)
    (store.folder(BY_DAY) / "day=2026-01-09").mkdir()
    (store.folder(BY_DAY) / "day=tomorrow").mkdir()
    (store.folder(BY_DAY) / ".DS_Store").touch()
    assert store.days(BY_DAY) == DAYS


def test_a_path_with_quotes_and_spaces_works(tmp_path: Path, backend: Backend) -> None:
    store = LakeStore(tmp_path / 'Ann\'s "lake" [1] {x}', backend)
    store.write(BY_DAY, visits(backend, 1), DAYS)
    assert numbers(store) == {day: {1} for day in DAYS}


def staging(store: LakeStore, host: str, pid: int) -> Path:
    folder = store.folder(BY_DAY) / f".staging-{host}-{pid}-0a1b2c3d"
    folder.mkdir(parents=True)
    (folder / "part-0.parquet").write_bytes(b"half")
    return folder


def test_staging_of_a_dead_process_is_swept_of_a_live_one_or_another_machine_is_not(store: LakeStore) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    swept = staging(store, socket.gethostname(), dead.pid)
    kept = [staging(store, socket.gethostname(), os.getpid()), staging(store, "elsewhere", dead.pid)]
    assert store.sweep(BY_DAY) == [swept]
    assert not swept.exists()
    assert all(folder.exists() for folder in kept)
    assert store.days(BY_DAY) == []


@pytest.fixture
def another_process(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    running: list[subprocess.Popen[str]] = []
    yield running
    for process in running:
        process.kill()
        process.wait()


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


HOLD_LOCK = """
    import sys
    from pathlib import Path
    from trasos_assets.lake.store import LakeStore

    with LakeStore(Path(sys.argv[1]), None).writing("visits"):
        print("held", flush=True)
        sys.stdin.readline()
"""


def test_a_second_writer_waits_and_is_told_who_holds_the_lock(
    store: LakeStore, another_process: list[subprocess.Popen[str]]
) -> None:
    first = start(HOLD_LOCK, store.root)
    another_process.append(first)
    assert first.stdout is not None and first.stdout.readline() == "held\n"
    told: list[str] = []

    def on_wait(sentence: str) -> None:
        told.append(sentence)
        assert first.stdin is not None
        first.stdin.write("\n")
        first.stdin.flush()

    with store.writing("visits", on_wait=on_wait):
        assert first.wait(10) == 0
    assert told == [
        f"visits is being written by process {first.pid} on {socket.gethostname()}; waiting for it to finish"
    ]


def test_another_tables_writer_does_not_wait(store: LakeStore) -> None:
    told: list[str] = []
    with store.writing("visits", on_wait=told.append), store.writing("shelves", on_wait=told.append):
        assert told == []


def test_the_lock_of_a_killed_process_is_free(store: LakeStore, another_process: list[subprocess.Popen[str]]) -> None:
    first = start(HOLD_LOCK, store.root)
    another_process.append(first)
    assert first.stdout is not None and first.stdout.readline() == "held\n"
    first.kill()
    first.wait()
    told: list[str] = []
    with store.writing("visits", on_wait=told.append):
        assert told == []


def test_the_lock_is_free_after_an_error(store: LakeStore) -> None:
    with pytest.raises(RuntimeError), store.writing("visits"):
        raise RuntimeError
    told: list[str] = []
    with store.writing("visits", on_wait=told.append):
        assert told == []


PUBLISH_FOR_EVER = """
    import sys
    from pathlib import Path
    import ibis
    from trasos_assets.lake.store import LakeStore
    from trasos_assets_tests.lake.test_store import BY_DAY, DAYS, visits

    backend = ibis.duckdb.connect()
    store = LakeStore(Path(sys.argv[1]), backend)
    print("begun", flush=True)
    for n in range(1, 10_000):
        store.write(BY_DAY, visits(backend, n), DAYS)
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_a_kill_at_any_moment_leaves_every_partition_old_or_new_and_never_broken(
    seed: int, store: LakeStore, backend: Backend, another_process: list[subprocess.Popen[str]]
) -> None:
    store.write(BY_DAY, visits(backend, 0), DAYS)
    process = start(PUBLISH_FOR_EVER, store.root)
    another_process.append(process)
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    time.sleep(random.Random(seed).uniform(0.2, 1.0))
    process.send_signal(signal.SIGKILL)
    process.wait()
    found = numbers(store)
    assert set(found) == set(DAYS)
    assert all(len(versions) == 1 for versions in found.values()), "a partition holds two versions"
    assert store.row_counts(BY_DAY) == 12
    versions = [version for day in DAYS for version in found[day]]
    assert versions == sorted(versions, reverse=True), "days are published in order"
    assert versions[0] - versions[-1] <= 1
    store.sweep(BY_DAY)
    assert [entry.name for entry in store.folder(BY_DAY).iterdir() if entry.name.startswith(".")] == []


KILL_AFTER_RENAMES = """
    import os, signal, sys
    from pathlib import Path
    import ibis
    from trasos_assets.lake.store import LakeStore
    from trasos_assets_tests.lake.test_store import BY_DAY, DAYS, visits

    backend = ibis.duckdb.connect()
    store = LakeStore(Path(sys.argv[1]), backend)
    staged = store.stage(BY_DAY, visits(backend, 2), DAYS)
    rename, left = Path.replace, [int(sys.argv[2])]

    def replace(self, target):
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        return rename(self, target)

    Path.replace = replace
    store.publish(staged)
"""


@pytest.mark.parametrize("renames", [0, 2])
def test_a_kill_between_two_renames_leaves_some_days_new_and_the_rest_old(
    renames: int, store: LakeStore, backend: Backend
) -> None:
    store.write(BY_DAY, visits(backend, 1), DAYS)
    process = start(KILL_AFTER_RENAMES, store.root, renames)
    assert process.wait(60) == -signal.SIGKILL
    assert numbers(store) == {day: {2} if n < renames else {1} for n, day in enumerate(DAYS)}
    assert len(store.sweep(BY_DAY)) == 1
    store.write(BY_DAY, visits(backend, 2), DAYS)
    assert numbers(store) == {day: {2} for day in DAYS}
