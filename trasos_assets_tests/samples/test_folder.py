"""The folder that a scientist gets: whole, the same each time, without a personal value in any of its bytes."""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.schema import violations
from trasos_assets.lake.store import LakeStore
from trasos_assets.samples import folder
from trasos_assets.samples.folder import Taken, take_sample
from trasos_assets.samples.keys import SampleKey
from trasos_assets.samples.masking import masked_columns
from trasos_assets.samples.rules import SampleError
from trasos_assets.settings import Settings
from trasos_assets_tests.samples.shop import MAIL, SAMPLED, SECRET, STREET, Shop

WORD = re.compile(r"[\w@.-]+")


@pytest.fixture(scope="module")
def taken(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Taken:
    return take_sample(shop.store, shop.settings, tmp_path_factory.mktemp("half") / "sample", share=0.5)


@pytest.fixture(scope="module")
def everybody(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Taken:
    return take_sample(shop.store, shop.settings, tmp_path_factory.mktemp("all") / "sample", share=1.0)


def files(place: Path) -> dict[str, str]:
    """Path below the folder to hash, but for the database: DuckDB does not write the same bytes twice."""
    return {
        str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(place.rglob("*"))
        if path.is_file() and path.suffix != ".duckdb"
    }


def strings(table: pa.Table) -> Iterator[str]:
    for column in table.columns:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            yield from (value for value in column.unique().to_pylist() if value is not None)


def personal_values(shop: Shop) -> set[str]:
    """Every value of a column that points at a person, of the whole lake."""
    found = {MAIL, STREET}
    for name in SAMPLED:
        contract = CONTRACTS[name]
        for column in set(masked_columns(contract)) - {"raw", "extra", "note"}:
            rows = shop.whole(contract)
            if name in ("als_model", "champion_model"):
                rows = rows.filter(rows.side == "person")
            found |= set(rows.select(column).distinct().to_pyarrow()[column].to_pylist())
    return {value for value in found if value}


def test_no_personal_value_is_in_any_text_of_it(shop: Shop, everybody: Taken) -> None:
    """Cells whole and their words; the database and the pages too. Everybody is in this sample."""
    hidden = personal_values(shop)
    assert len(hidden) > 1_000
    cells: set[str] = set()
    for file in everybody.path.rglob("*.parquet"):
        # Not read_table: it would add the day out of the path.
        cells.update(strings(pq.ParquetFile(file).read()))
        cells.add(str(pq.read_schema(file).metadata))
    with duckdb.connect(str(everybody.path / "sample.duckdb"), read_only=True) as connection:
        for team, name in connection.execute("SELECT schema_name, table_name FROM duckdb_tables()").fetchall():
            cells.update(strings(connection.table(f"{team}.{name}").to_arrow_table()))
    for page in ("README.md", "fidelity.html", "fidelity.json"):
        cells.update((everybody.path / page).read_text().splitlines())
    words = cells | {word for cell in cells for word in WORD.findall(cell)}
    assert words & hidden == set()
    for value in (MAIL, STREET, SECRET):
        assert not [cell for cell in cells if value in cell], value


def test_no_planted_value_is_in_any_byte_of_it(everybody: Taken) -> None:
    for path in everybody.path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for value in (MAIL, STREET, SECRET, "planted-"):
                assert value.encode() not in content, path


def test_a_share_of_one_is_the_lake_but_for_what_is_masked(shop: Shop, everybody: Taken) -> None:
    sample = LakeStore(everybody.path, shop.store.engine)
    for name in ("clean_events", "orders", "event_states", "daily_kpis", "assignments"):
        contract = CONTRACTS[name]
        open_ = [c for c in contract.column_names if c not in masked_columns(contract)]
        there, here = (read(contract).select(open_) for read in (shop.whole, sample.read))
        assert here.count().to_pyarrow().as_py() == there.count().to_pyarrow().as_py()
        assert there.difference(here, distinct=False).count().to_pyarrow().as_py() == 0, name


def test_joins_work_as_in_the_lake(shop: Shop, everybody: Taken) -> None:
    sample = LakeStore(everybody.path, shop.store.engine)
    for left, right, key in (
        ("orders", "customer_features", "person_id"),
        ("order_lines", "orders", "order_id"),
        ("interactions", "clean_events", "event_id"),
        ("clean_events", "identities", "visitor_id"),
        ("recommendations", "customer_features", "person_id"),
    ):
        joined = [
            read(CONTRACTS[left]).join(read(CONTRACTS[right]), key).count().to_pyarrow().as_py()
            for read in (shop.whole, sample.read)
        ]
        assert joined[0] == joined[1] > 0, (left, right)


def test_every_table_keeps_its_contract(shop: Shop, taken: Taken) -> None:
    sample = LakeStore(taken.path, shop.store.engine)
    for name in ("clean_events", "raw_events", "orders", "identities", "catalogue", "also_bought"):
        assert sample.row_counts(CONTRACTS[name]) > 0
        assert violations(CONTRACTS[name], sample.read(CONTRACTS[name])) == [], name


@pytest.mark.slow
def test_the_same_lake_and_key_give_the_same_bytes(shop: Shop, taken: Taken, tmp_path: Path) -> None:
    again = take_sample(shop.store, shop.settings, tmp_path / "again", share=0.5)
    assert files(again.path) == files(taken.path)
    queries = [f"SELECT * FROM {CONTRACTS[name].owner}.{name} ORDER BY ALL" for name in ("orders", "identities")]
    for query in queries:
        rows = []
        for one in (taken, again):
            with duckdb.connect(str(one.path / "sample.duckdb"), read_only=True) as connection:
                rows.append(connection.execute(query).fetchall())
        assert rows[0] == rows[1] != []


def test_the_database_stands_alone_with_comments(taken: Taken, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere.duckdb"
    moved.write_bytes((taken.path / "sample.duckdb").read_bytes())
    with duckdb.connect(str(moved), read_only=True) as connection:
        tables = connection.execute("SELECT schema_name || '.' || table_name, comment FROM duckdb_tables()").fetchall()
        assert {name for name, _ in tables} == {f"{CONTRACTS[name].owner}.{name}" for name in SAMPLED}
        assert all(comment for _, comment in tables)
        counts = connection.execute("SELECT count(*), count(DISTINCT day) FROM engineering.clean_events").fetchone()
        (note,) = connection.execute(
            "SELECT comment FROM duckdb_columns() WHERE table_name = 'orders' AND column_name = 'order_id'"
        ).fetchone()  # pyright: ignore[reportGeneralTypeIssues]
    rows = {table.name: table.rows_sample for table in taken.fidelity.tables}
    assert counts == (rows["clean_events"], 4)
    assert note.endswith("Masked.")


def test_tables_asked_for_alone_are_those_of_the_whole_sample(shop: Shop, taken: Taken, tmp_path: Path) -> None:
    few = take_sample(
        shop.store, shop.settings, tmp_path / "few", share=0.5, tables=["catalogue", "science.recommendations"]
    )
    mine, all_ = files(few.path), files(taken.path)
    tables = {path: digest for path, digest in mine.items() if path.endswith(".parquet")}
    assert set(tables) == {
        "engineering/catalogue/part-0.parquet",
        "science/recommendations/part-0.parquet",
    }
    assert tables.items() <= all_.items()
    assert not (few.path / "analytics").exists()
    with duckdb.connect(str(few.path / "sample.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall() == [
            ("catalogue",),
            ("recommendations",),
        ]
    assert [table.name for table in few.fidelity.tables] == ["catalogue", "recommendations"]


@pytest.mark.slow
def test_portions_do_not_show(shop: Shop, taken: Taken, tmp_path: Path) -> None:
    """A lake too large to be sampled at once is sampled a few days at a time."""
    small = shop.settings.model_copy(update={"portion_rows": 1})
    again = take_sample(shop.store, small, tmp_path / "portions", share=0.5, tables=["clean_events", "event_states"])
    parts = {path: digest for path, digest in files(again.path).items() if path.endswith(".parquet")}
    assert parts.items() <= files(taken.path).items()
    assert len(parts) == 8


def test_a_sample_that_breaks_its_promises_is_not_put_in_place(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "sample"
    take_sample(shop.store, shop.settings, place, share=0.1, tables=["identities"])
    before = files(place)
    monkeypatch.setattr(folder, "masked", lambda contract, rows, *_, **__: rows)
    with pytest.raises(SampleError, match="rows of identities show a personal value"):
        take_sample(shop.store, shop.settings, place, share=0.5, tables=["identities"])
    monkeypatch.undo()
    # Lines without their order, as if lines were drawn apart.
    other = SampleKey("yet another secret of this length")

    def apart(contract: Any, *arguments: Any, **days: Any) -> Any:
        whole, sample, sampled = arguments
        changed = (lambda value: other.sampled(value, share=0.5, seed=1)) if contract.name == "orders" else sampled
        return select(contract, whole, sample, changed, **days)

    select = folder.select_rows
    monkeypatch.setattr(folder, "select_rows", apart)
    with pytest.raises(SampleError, match="references of order_lines"):
        take_sample(shop.store, shop.settings, place, share=0.5, tables=["orders", "order_lines"])
    assert files(place) == before
    assert [path.name for path in tmp_path.iterdir()] == ["sample"]


@pytest.mark.parametrize("share", [0, -0.1, 1.01, float("nan")])
def test_a_share_that_cannot_be_is_refused(shop: Shop, tmp_path: Path, share: float) -> None:
    with pytest.raises(SampleError, match="above 0 and at most 1"):
        take_sample(shop.store, shop.settings, tmp_path / "sample", share=share)
    assert not list(tmp_path.iterdir())


def test_without_a_lake_there_is_no_sample(store: LakeStore, settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(SampleError, match=r"no lake in .* yet; run `trasos run`"):
        take_sample(store, settings, tmp_path / "sample")
    assert not settings.sample_key_file.exists()


def test_a_sample_of_nobody_is_a_sample(shop: Shop, tmp_path: Path) -> None:
    taken = take_sample(shop.store, shop.settings, tmp_path / "sample", share=1e-9)
    report = json.loads((taken.path / "fidelity.json").read_text())
    assert report["people"]["count_sample"] == 0
    assert report["beyond_noise"] == []
    rows = {table.name: table.rows_sample for table in taken.fidelity.tables}
    assert rows["clean_events"] == rows["orders"] == rows["catalogue"] == 0
    assert rows["daily_kpis"] > 0
