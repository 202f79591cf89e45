import csv
import io
import json

import duckdb
import pytest

from trasos_assets.contracts.engineering import WATERMARK
from trasos_assets.lake.query import QueryError, run_query
from trasos_assets.lake.store import LakeStore
from trasos_assets.lake.warehouse import build_warehouse, warehouse_serves


@pytest.fixture
def warehouse(store: LakeStore, tmp_path):
    path = tmp_path / "trasos.duckdb"
    build_warehouse(store, [WATERMARK], path)
    return path


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE x AS SELECT 1",
        "COPY (SELECT 1) TO '{folder}/out.csv'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{folder}/out.csv'",
        "SELECT 1; SELECT 2",
        "ATTACH '{folder}/other.duckdb'",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM read_text('{folder}/lake/../../../../../etc/hostname')",
        "SET threads = 1",
    ],
)
def test_a_query_neither_writes_nor_reads_beyond_the_lake(warehouse, store, tmp_path, sql):
    with pytest.raises(QueryError):
        run_query(warehouse, sql.format(folder=tmp_path), lake=store.root)
    assert not (tmp_path / "out.csv").exists()


def test_a_query_is_printed_as_table_csv_and_json(warehouse, store):
    sql = "SELECT count(*) AS n, 'a,b' AS t FROM engineering.watermark"
    assert run_query(warehouse, sql, "csv", lake=store.root) == 'n,t\n0,"a,b"'
    assert '"t": "a,b"' in run_query(warehouse, sql, "json", lake=store.root)
    assert "a,b" in run_query(warehouse, sql, lake=store.root)
    assert run_query(warehouse, "EXPLAIN SELECT 1", lake=store.root)


def test_a_missing_warehouse_is_named_with_the_command_that_builds_it(tmp_path):
    with pytest.raises(QueryError, match="trasos run"):
        run_query(tmp_path / "none.duckdb", "SELECT 1", lake=tmp_path)


def test_a_warehouse_over_another_lake_is_refused(tmp_path, store):
    path = tmp_path / "w.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE VIEW v AS SELECT 1 AS a")
    assert not warehouse_serves(path, store.root), "a file that does not say what it serves"
    store.write(WATERMARK, store.read(WATERMARK))
    build_warehouse(store, [WATERMARK], path)
    assert warehouse_serves(path, store.root)
    assert not warehouse_serves(path, tmp_path / "elsewhere")
    with pytest.raises(QueryError, match="another lake"):
        run_query(path, "SELECT 1", lake=tmp_path / "elsewhere")


def test_json_says_null_where_it_has_no_number(warehouse, store):
    sql = """SELECT 'nan'::DOUBLE AS a, '-inf'::FLOAT AS b, {'x': 'inf'::DOUBLE, 'y': [1.5, 'nan'::DOUBLE]} AS c,
        MAP {1: 'nan'::DOUBLE} AS d, NULL AS e, 1.10::DECIMAL(18, 4) AS f, -3 AS g"""
    (row,) = json.loads(run_query(warehouse, sql, "json", lake=store.root), parse_constant=pytest.fail)
    assert row == {
        "a": None, "b": None, "c": {"x": None, "y": [1.5, None]}, "d": {"1": None}, "e": None, "f": "1.1000", "g": -3,
    }  # fmt: skip


def test_json_refuses_to_lose_one_of_two_columns_of_a_name(warehouse, store):
    with pytest.raises(QueryError, match="columns named twice: a; give each a name of its own with AS"):
        run_query(warehouse, "SELECT 1 AS a, 2 AS a", "json", lake=store.root)
    assert run_query(warehouse, "SELECT 1 AS a, 2 AS a", "csv", lake=store.root) == "a,a\n1,2"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+SUM(A1)", "'+SUM(A1)"),
        ("-cmd|' /C calc'!A0", "'-cmd|' /C calc'!A0"),
        ("@HYPERLINK", "'@HYPERLINK"),
        ("\t=1", "'\t=1"),
        ("-5", "-5"),
        ("+44.20", "+44.20"),
        ("-1.5e-07", "-1.5e-07"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_csv_holds_no_text_that_a_spreadsheet_takes_for_a_formula(warehouse, store, text, written):
    sql = f"SELECT '{text.replace(chr(39), chr(39) * 2)}' AS t, -5 AS n, -2.50::DECIMAL(9, 2) AS m, -1e-7 AS d"
    printed = run_query(warehouse, sql, "csv", lake=store.root)
    (row,) = csv.DictReader(io.StringIO(printed))
    assert row == {"t": written, "n": "-5", "m": "-2.50", "d": "-1e-07"}
    assert json.loads(run_query(warehouse, sql, "json", lake=store.root))[0]["t"] == text


def test_a_table_on_a_screen_holds_nothing_that_steers_it(warehouse, store):
    printed = run_query(warehouse, "SELECT chr(27) || '[2J' AS t", lake=store.root)
    assert "\x1b" not in printed
    assert "\\x1b[2J" in printed
