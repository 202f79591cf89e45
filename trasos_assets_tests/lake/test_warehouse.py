"""The warehouse file: what it holds, and that neither its readers nor a run wait for each other."""

import itertools
import os
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import duckdb
import pytest

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.engineering import CLEAN_EVENTS, INTERACTIONS, WATERMARK
from trasos_assets.contracts.model import TEXT, Column
from trasos_assets.lake.query import run_query
from trasos_assets.lake.store import LakeStore
from trasos_assets.lake.warehouse import build_warehouse, warehouse_serves
from trasos_assets_tests.conftest import make_table

DAY = date(2026, 1, 1)


def interactions(store: LakeStore, count: int):
    rows = [
        {
            "day": DAY,
            "event_id": f"e{number}",
            "occurred_at": datetime(2026, 1, 1),
            "visitor_id": "v",
            "item_id": f"i{number}",
            "interaction_type": "click",
            "quantity": 1,
        }
        for number in range(count)
    ]
    return make_table(store.backend, INTERACTIONS, rows)


def publish(store: LakeStore, count: int) -> None:
    store.write(INTERACTIONS, interactions(store, count), days=[DAY])


@pytest.mark.parametrize("kind", ["views", "tables"])
def test_a_warehouse_holds_a_schema_a_team_with_types_and_comments_of_the_contracts(store, tmp_path, kind) -> None:
    publish(store, 3)
    path = tmp_path / "w.duckdb"
    served = build_warehouse(store, [INTERACTIONS, WATERMARK], path, kind=kind)
    assert served.tables == ("engineering.interactions",)
    assert served.empty == ("engineering.watermark",)
    with duckdb.connect(str(path), read_only=True) as connection:
        columns = connection.execute(
            "SELECT column_name, data_type, comment FROM duckdb_columns() "
            "WHERE schema_name = 'engineering' AND table_name = 'interactions' ORDER BY column_index"
        ).fetchall()
        assert [name for name, _, _ in columns] == list(INTERACTIONS.column_names)
        for (_, _, comment), column in zip(columns, INTERACTIONS.columns, strict=True):
            assert comment == column.description + (" Personal." if column.pii else "")
        about = f"SELECT comment FROM duckdb_{kind}() WHERE schema_name = 'engineering' ORDER BY comment"
        assert {row[0].split(".")[0] for row in connection.execute(about).fetchall()} == {
            INTERACTIONS.description.split(".")[0],
            WATERMARK.description.split(".")[0],
        }
        assert connection.execute("SELECT lake, kind FROM about").fetchone() == (str(store.root), kind)
        assert connection.execute("SELECT count(*), min(day) FROM engineering.interactions").fetchone() == (3, DAY)


def test_views_follow_the_lake_and_tables_hold_what_was_there(store, tmp_path) -> None:
    publish(store, 3)
    sql = "SELECT count(*) AS n FROM engineering.interactions"
    paths = {kind: tmp_path / f"{kind}.duckdb" for kind in ("views", "tables")}
    for kind, path in paths.items():
        build_warehouse(store, [INTERACTIONS], path, kind=kind)
        assert warehouse_serves(path, store.root, kind)
        assert not warehouse_serves(path, store.root, "tables" if kind == "views" else "views")
    publish(store, 5)
    found = {kind: run_query(path, sql, "csv", lake=store.root) for kind, path in paths.items()}
    assert found == {"views": "n\n5", "tables": "n\n3"}


def test_tables_are_read_without_the_lake(store, tmp_path) -> None:
    publish(store, 3)
    path = tmp_path / "w.duckdb"
    build_warehouse(store, [INTERACTIONS], path, kind="tables")
    store.root.rename(tmp_path / "away")
    with duckdb.connect(str(path), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM engineering.interactions").fetchone() == (3,)


@pytest.mark.parametrize("kind", ["views", "tables"])
def test_an_open_reader_keeps_its_file_while_a_new_one_is_swapped_in(store, tmp_path, kind) -> None:
    publish(store, 3)
    path = tmp_path / "w.duckdb"
    build_warehouse(store, [INTERACTIONS], path, kind=kind)
    reader = duckdb.connect(str(path), read_only=True)
    # A result that is fetched half: the reader stands in the middle of a query.
    half = reader.cursor().execute("SELECT i.event_id, range FROM engineering.interactions i, range(100000)")
    assert half.fetchone() is not None
    publish(store, 5)
    build_warehouse(store, [INTERACTIONS, WATERMARK], path, kind=kind)
    assert len(half.fetchall()) == 3 * 100_000 - 1
    assert reader.execute("SELECT count(*) FROM engineering.interactions").fetchone() == (5 if kind == "views" else 3,)
    with pytest.raises(duckdb.CatalogException):
        reader.execute("SELECT * FROM engineering.watermark")
    reader.close()
    with duckdb.connect(str(path), read_only=True) as fresh:
        assert fresh.execute("SELECT count(*) FROM engineering.interactions").fetchone() == (5,)
        assert fresh.execute("SELECT count(*) FROM engineering.watermark").fetchone() == (0,)


def test_readers_that_come_and_go_never_hold_up_a_build_nor_it_them(store, tmp_path) -> None:
    publish(store, 3)
    path = tmp_path / "w.duckdb"
    build_warehouse(store, [INTERACTIONS], path)
    stop, faults, reads = threading.Event(), [], []
    sql = "SELECT count(*) AS n FROM engineering.interactions"

    def read_on() -> None:
        while not stop.is_set():
            try:
                reads.append(run_query(path, sql, "csv", lake=store.root))
            except Exception as error:  # whatever it is, it is one too many
                faults.append(repr(error))

    # One thread: those of one process share what they set of a file that they have open together.
    reader = threading.Thread(target=read_on)
    reader.start()
    try:
        for count in (4, 5, 6, 7, 8):
            publish(store, count)
            build_warehouse(store, [INTERACTIONS, WATERMARK], path)
    finally:
        stop.set()
        reader.join()
    assert not faults, faults[:3]
    assert set(reads) <= {f"n\n{count}" for count in range(3, 9)}
    assert len(reads) > 5
    assert not list(tmp_path.glob(".w.duckdb*"))


def test_a_column_that_no_file_has_yet_reads_as_null(store, tmp_path) -> None:
    publish(store, 3)
    wider = replace(INTERACTIONS, columns=(*INTERACTIONS.columns, Column("mood", TEXT, "New.", nullable=True)))
    path = tmp_path / "w.duckdb"
    build_warehouse(store, [wider], path)
    with duckdb.connect(str(path), read_only=True) as connection:
        assert connection.execute("SELECT count(*), count(mood) FROM engineering.interactions").fetchone() == (3, 0)


def test_what_a_dead_build_left_is_swept(store, tmp_path) -> None:
    dead, own = tmp_path / ".w.duckdb.999999999", tmp_path / ".w.duckdb.of"
    dead.write_bytes(b"half")
    own.write_bytes(b"note")
    build_warehouse(store, [CLEAN_EVENTS], tmp_path / "w.duckdb")
    assert not dead.exists()
    assert own.exists()


def test_a_query_whose_file_is_replaced_meanwhile_answers_with_a_whole_version(store, tmp_path) -> None:
    path, sizes = tmp_path / "w.duckdb", (40_000, 43_000)
    contents = []
    for size in sizes:
        publish(store, size)
        contents.append(store.file(INTERACTIONS, DAY).read_bytes())
    build_warehouse(store, [INTERACTIONS], path)
    stop, file = threading.Event(), store.file(INTERACTIONS, DAY)

    def replace_on() -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            beside = file.with_name(".next")
            beside.write_bytes(contents[number % 2])
            beside.replace(file)
            stop.wait(0.01)

    writer = threading.Thread(target=replace_on)
    writer.start()
    try:
        sql = "SELECT count(*) AS n, count(DISTINCT event_id) AS e FROM engineering.interactions"
        found = {run_query(path, sql, "csv", lake=store.root) for _ in range(60)}
    finally:
        stop.set()
        writer.join()
    assert found <= {f"n,e\n{size},{size}" for size in sizes}


def test_the_notebook_of_the_documentation_runs_and_writes_nothing(store, tmp_path) -> None:
    publish(store, 3)
    path = tmp_path / "w.duckdb"
    build_warehouse(store, CONTRACTS.values(), path)
    before = path.read_bytes()
    script = Path(__file__).parents[2] / "docs" / "examples" / "notebook.py"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRASOS_")}
    done = subprocess.run(
        [sys.executable, str(script), str(path)],
        env=environment | {"TRASOS_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{len(CONTRACTS)} tables of {store.root} as views" in done.stdout
    assert "refused: " in done.stdout
    assert path.read_bytes() == before
