"""The final scan finds a whole id in whatever it is packed, and nothing where there is nothing."""

import gzip
import io
import json
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import duckdb
import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from trasos_assets.erasure.patterns import Finder
from trasos_assets.erasure.scan import scan
from trasos_assets.erasure.scrub import scrub

LONG, SHORT, NUMBER = "visitor-4711-abc", "c12", "17850"
IDS = (LONG, SHORT, NUMBER)
Plant = Callable[[Path, str], None]


def line(value: str) -> bytes:
    return json.dumps({"event_id": "e", "customer_id": value, "price": 17850.5, "item_id": "17850"}).encode() + b"\n"


def gzipped(path: Path, value: str) -> None:
    path.write_bytes(gzip.compress(line("other") * 1_000) + gzip.compress(line(value)))


def zstd(path: Path, value: str) -> None:
    one, two = (zstandard.ZstdCompressor().compress(line(v)) for v in ("other", value))
    path.write_bytes(one + two)


def tarred(path: Path, value: str) -> None:
    content = gzip.compress(line(value))
    with tarfile.open(path, "w") as bundle:
        member = tarfile.TarInfo("d/events.jsonl.gz")
        member.size = len(content)
        bundle.addfile(member, io.BytesIO(content))


def zipped(path: Path, value: str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("x.json", line(value))


def parquet(path: Path, value: str) -> None:
    ids = pa.array(["other", value, None] * 2_000).dictionary_encode()
    pq.write_table(pa.table({"customer_id": ids, "item_id": [NUMBER] * 6_000}), path, compression="zstd")


def parquet_text(path: Path, value: str) -> None:
    pq.write_table(pa.table({"raw": ["x", line(value).decode()]}), path)


def parquet_nested(path: Path, value: str) -> None:
    who = pa.array([[{"customer": "other"}], [{"customer": value}]])
    pq.write_table(pa.table({"who": who}), path)


def parquet_one_name_twice(path: Path, value: str) -> None:
    pq.write_table(
        pa.Table.from_arrays([pa.array(["x"]), pa.array([value])], names=["customer_id", "customer_id"]), path
    )


def factors(path: Path, value: str) -> None:
    pq.write_table(pa.table({"side": ["item", "person"], "id": ["x", value]}), path)


def avro(path: Path, value: str) -> None:
    fields = [{"name": "customer_id", "type": ["null", "string"]}]
    with path.open("wb") as out:
        rows = [{"customer_id": None}, {"customer_id": value}]
        fastavro.writer(out, {"type": "record", "name": "r", "fields": fields}, rows, codec="deflate")


def sqlite(path: Path, value: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE event_logs (id INTEGER PRIMARY KEY, event TEXT, run TEXT)")
        connection.executemany("INSERT INTO event_logs (event) VALUES (?)", [("x" * 5_000,)] * 50)
        connection.execute("INSERT INTO event_logs (event) VALUES (?)", ["y" * 4_090 + line(value).decode()])
        connection.commit()


def deleted_in_sqlite(path: Path, value: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("CREATE TABLE runs (id INTEGER PRIMARY KEY, body TEXT)")
        connection.executemany("INSERT INTO runs (body) VALUES (?)", [(f"'{value}'",), ("x" * 300,)])
        connection.commit()
        connection.execute("DELETE FROM runs WHERE id = 1")
        connection.commit()


def warehouse(path: Path, value: str) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE SCHEMA science")
        connection.execute("CREATE TABLE science.people AS SELECT ? AS person_id, 1 AS n FROM range(5000)", [value])


def text(path: Path, value: str) -> None:
    path.write_bytes(b"a log\n" + line(value))


def csv(path: Path, value: str) -> None:
    path.with_suffix(".csv").write_text(f"event_id,item_id,customer_id\ne,17850,other\ne,1,{value}\n")


PLANTED: list[Plant] = [
    gzipped, zstd, tarred, zipped, parquet, parquet_text, parquet_nested, parquet_one_name_twice, factors, avro,
    sqlite, warehouse, text, csv,
]  # fmt: skip


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
@pytest.mark.parametrize("value", IDS)
def test_an_id_is_found_however_it_is_packed(tmp_path: Path, plant: Plant, value: str) -> None:
    plant(tmp_path / "file", value)
    seen = scan([tmp_path], Finder(IDS))
    assert list(seen.found.values()) == [1]
    assert not seen.undecoded
    assert not seen.clean


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_nothing_is_found_where_only_others_are(tmp_path: Path, plant: Plant) -> None:
    plant(tmp_path / "file", f"{LONG}-2")
    seen = scan([tmp_path], Finder(IDS))
    assert seen.clean, seen.found
    assert seen.files == 1


def test_what_was_deleted_but_still_stands_in_a_database_is_found_and_goes_when_it_is_cleaned(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    deleted_in_sqlite(file, LONG)
    finder = Finder(IDS)
    assert scan([tmp_path], finder).found
    scrub([file], finder)
    assert scan([tmp_path], finder).clean


def test_a_file_that_is_broken_is_looked_at_as_bytes_and_named(tmp_path: Path) -> None:
    (tmp_path / "no.gz").write_bytes(b"\x1f\x8b no gzip but " + LONG.encode() + b" all the same")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(line(SHORT) * 5)[:-6])
    seen = scan([tmp_path], Finder(IDS))
    assert sorted(seen.undecoded) == sorted(seen.found) == [f"{tmp_path}/cut.gz", f"{tmp_path}/no.gz"]


def test_an_id_over_the_edge_of_two_blocks_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trasos_assets.erasure.scan.BLOCK_BYTES", 100)
    monkeypatch.setattr("trasos_assets.erasure.scan.OVERLAP_BYTES", 40)
    for shift in range(90, 110):
        (tmp_path / f"{shift}.txt").write_text("." * shift + f" {LONG} " + "." * 200)
    assert len(scan([tmp_path], Finder([LONG])).found) == 20


@pytest.mark.parametrize("plant", [text, sqlite], ids=lambda plant: plant.__name__)
@pytest.mark.parametrize("value", IDS)
def test_cleaning_takes_the_id_and_leaves_the_record(tmp_path: Path, plant: Plant, value: str) -> None:
    file = tmp_path / "file"
    plant(file, value)
    file.chmod(0o640)
    finder = Finder(IDS)
    assert scrub([file], finder) == {str(file): 1}
    assert scan([tmp_path], finder).clean
    assert file.stat().st_mode & 0o777 == 0o640
    assert scrub([file], finder) == {}
    if plant is sqlite:
        with closing(sqlite3.connect(file)) as connection:
            assert connection.execute("SELECT count(*), count(typeof(event) = 'text') FROM event_logs").fetchone() == (
                51,
                51,
            )
            (event,) = connection.execute("SELECT event FROM event_logs WHERE id = 51").fetchone()
            assert json.loads(event.lstrip("y"))["customer_id"] == "[erased]"
