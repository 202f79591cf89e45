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
    assert warehouse_serves(path, store.root)
    store.write(WATERMARK, store.read(WATERMARK))
    build_warehouse(store, [WATERMARK], path)
    assert warehouse_serves(path, store.root)
    assert not warehouse_serves(path, tmp_path / "elsewhere")
    with pytest.raises(QueryError, match="another lake"):
        run_query(path, "SELECT 1", lake=tmp_path / "elsewhere")
