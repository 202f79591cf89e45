"""Avro: what its logical types mean, whatever packs its blocks, and no half of a broken file."""

import io
import json
import zlib
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from trasos_assets.contracts.landing import EVENT
from trasos_assets.landing.blocks import UnreadableFileError
from trasos_assets.landing.readers import avro, avro_blocks
from trasos_assets.landing.readers.avro_blocks import SYNC_BYTES, PlainFile, long_bytes
from trasos_assets_tests.landing.formats import avro_bytes
from trasos_assets_tests.landing.readers.test_readers import raw_rows, some_events

BIG = 1 << 40


def field(name: str, kind: Any) -> dict[str, Any]:
    return {"name": name, "type": kind}


def landed(folder: Path, content: bytes) -> Path:
    path = folder / "a.avro"
    path.write_bytes(content)
    return path


def container(fields: list[dict[str, Any]], rows: list[dict[str, Any]], **options: Any) -> bytes:
    held = io.BytesIO()
    fastavro.writer(held, {"type": "record", "name": "row", "fields": fields}, rows, **options)
    return held.getvalue()


def packed(content: bytes, codec: str, pack: Callable[[bytes], bytes]) -> bytes:
    """A container whose blocks are not packed, packed."""
    stream = io.BytesIO(content)
    header = avro_blocks.read_header(stream)
    made = content[: stream.tell()].replace(b"\x08null", long_bytes(len(codec)) + codec.encode())
    for count, block in avro_blocks.blocks(stream, header):
        body = pack(block)
        made += long_bytes(count) + long_bytes(len(body)) + body + header.sync
    return made


def snappy(block: bytes) -> bytes:
    return pa.Codec("snappy").compress(block).to_pybytes() + zlib.crc32(block).to_bytes(4, "big")


@pytest.mark.parametrize("codec", ["null", "deflate", "bzip2", "xz"])
def test_blocks_of_every_codec_of_fastavro_are_read(tmp_path: Path, codec: str) -> None:
    plain = raw_rows(landed(tmp_path, avro_bytes(some_events(), EVENT, codec="null")), "events")
    assert len(plain) == 30
    assert raw_rows(landed(tmp_path, avro_bytes(some_events(), EVENT, codec=codec)), "events") == plain


@pytest.mark.parametrize(("codec", "pack"), [("snappy", snappy), ("zstandard", zstandard.ZstdCompressor().compress)])
def test_blocks_as_spark_and_kafka_pack_them_are_read(
    tmp_path: Path, codec: str, pack: Callable[[bytes], bytes]
) -> None:
    content = avro_bytes(some_events(), EVENT, codec="null")
    plain = raw_rows(landed(tmp_path, content), "events")
    assert raw_rows(landed(tmp_path, packed(content, codec, pack)), "events") == plain


def test_an_unknown_codec_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    path = landed(tmp_path, packed(avro_bytes(some_events(), EVENT, codec="null"), "lz77", bytes))
    with pytest.raises(UnreadableFileError, match="codec 'lz77' is not known; write it with null, deflate") as error:
        avro.count_rows(path, max_bytes=BIG)
    assert not error.value.waiting


def long_of(logical: str) -> dict[str, str]:
    return {"type": "long", "logicalType": logical}


def decimal_of(scale: int) -> dict[str, Any]:
    return {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": scale}


UUID = "00010203-0405-0607-0809-0a0b0c0d0e0f"
INSTANT = datetime(2026, 1, 2, 3, 4, 5, 678_000)
EPOCH = datetime(1970, 1, 1)
MILLIS = (INSTANT - EPOCH) // timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("name", "kind", "value", "expected"),
    [
        ("occurred_at", long_of("timestamp-millis"), MILLIS, INSTANT),
        ("occurred_at", long_of("timestamp-micros"), MILLIS * 1000, INSTANT),
        ("occurred_at", long_of("timestamp-nanos"), MILLIS * 1_000_000, INSTANT),
        ("occurred_at", ["null", long_of("local-timestamp-micros")], MILLIS * 1000, INSTANT),
        ("occurred_at", "string", "2026-01-02T03:04:05.678Z", INSTANT),
        ("unit_price", decimal_of(2), Decimal("19.99"), Decimal("19.9900")),
        ("unit_price", decimal_of(6), Decimal("-1.234550"), Decimal("-1.2346")),
        ("unit_price", {**decimal_of(4), "type": "fixed", "name": "price", "size": 16}, Decimal("1.5"), Decimal("1.5")),
        ("unit_price", "double", 19.99, Decimal("19.9900")),
        ("unit_price", "float", 19.99, Decimal("19.9900")),
        ("unit_price", "int", 19, Decimal("19.0000")),
        ("quantity", ["int", "null"], 3, 3),
        ("quantity", "string", "3", 3),
        ("device", {"type": "enum", "name": "kind", "symbols": ["app", "web"]}, "web", "web"),
        ("device", "bytes", b"caf\xc3\xa9", "café"),
        ("device", ["null", "string", "long"], 5, "5"),
        ("item_id", "long", 17850, "17850"),
        ("event_id", {"type": "string", "logicalType": "uuid"}, UUID, UUID),
        ("is_test", "boolean", True, True),
    ],
)  # fmt: skip
def test_a_value_becomes_what_it_means(tmp_path: Path, name: str, kind: Any, value: Any, expected: Any) -> None:
    (row,) = raw_rows(landed(tmp_path, container([field(name, kind)], [{name: value}])), "events")
    assert (row[name], row["problems"]) == (expected, None)


def test_a_day_of_spend_is_a_date(tmp_path: Path) -> None:
    kind = {"type": "int", "logicalType": "date"}
    path = landed(tmp_path, container([field("spend_day", kind)], [{"spend_day": date(2026, 1, 2)}]))
    (row,) = raw_rows(path, "marketing_spend")
    assert row["spend_day"] == date(2026, 1, 2)


@pytest.mark.parametrize(
    ("name", "kind", "value"),
    [
        ("occurred_at", long_of("timestamp-micros"), 2**62),
        ("occurred_at", long_of("timestamp-millis"), -(2**63)),
        ("unit_price", "double", float("nan")),
        ("unit_price", {**decimal_of(2), "precision": 200}, Decimal(10) ** 90),
        ("quantity", "long", 2**40),
        ("quantity", {"type": "array", "items": "int"}, [1]),
        ("device", {"type": "map", "values": "double"}, {"a": float("inf")}),
    ],
)
def test_one_value_out_of_the_calendar_or_of_another_type_is_named_and_stops_no_other(
    tmp_path: Path, name: str, kind: Any, value: Any
) -> None:
    fields = [field("event_id", "string"), field(name, ["null", kind])]
    rows = [{"event_id": "a"}, {"event_id": "b", name: value}, {"event_id": "c"}]
    found = raw_rows(landed(tmp_path, container(fields, rows)), "events")
    assert [(row["event_id"], row["problems"]) for row in found] == [
        ("a", None),
        ("b", f"invalid_{name}"),
        ("c", None),
    ]


def test_what_the_format_does_not_know_goes_to_extra_as_what_it_is(tmp_path: Path) -> None:
    inner = {"type": "record", "name": "inner", "fields": [field("n", "int"), field("at", long_of("timestamp-micros"))]}
    fields = [
        field("event_id", "string"),
        field("inner", inner),
        field("again", ["null", "inner"]),
        field("tags", {"type": "array", "items": "string"}),
        field("either", ["null", "int", "string"]),
    ]
    at = datetime(2026, 1, 2, tzinfo=UTC)
    row = {"event_id": "a", "inner": {"n": 1, "at": at}, "again": None, "tags": ["x"], "either": "y"}
    (found,) = raw_rows(landed(tmp_path, container(fields, [row])), "events")
    assert json.loads(found["extra"]) == {
        "inner": {"n": 1, "at": "2026-01-02T00:00:00+00:00"},
        "tags": ["x"],
        "either": "y",
    }


def test_numbers_go_on_from_batch_to_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(avro, "BATCH_ROWS", 7)
    path = landed(tmp_path, avro_bytes(some_events(50), EVENT))
    blocks = list(avro.read_blocks(path, EVENT, max_bytes=BIG, max_line_bytes=1_000_000))
    assert len(blocks) == 8
    assert [n for block in blocks for n in block.rows["line"].to_pylist()] == list(range(1, 51))


def test_a_file_cut_anywhere_waits_unless_it_ends_with_a_block(tmp_path: Path) -> None:
    whole = container([field("event_id", "string")], [{"event_id": "x" * 30}] * 40, codec="deflate", sync_interval=300)
    sync = whole[-SYNC_BYTES:]
    ends = {at + SYNC_BYTES for at in range(len(whole)) if whole.startswith(sync, at)}
    assert len(ends) > 3
    for cut in range(len(whole)):
        path = landed(tmp_path, whole[:cut])
        if cut in ends:
            assert avro.count_rows(path, max_bytes=BIG) < 40
        else:
            with pytest.raises(UnreadableFileError, match="the Avro file is broken or not complete") as error:
                avro.count_rows(path, max_bytes=BIG)
            assert error.value.waiting


@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255), codec=st.sampled_from(["null", "deflate"]))
@hypothesis_settings(max_examples=120, deadline=None)
def test_a_flipped_byte_ends_in_rows_or_in_an_error_that_names_the_file(
    tmp_path_factory: pytest.TempPathFactory, place: float, flip: int, codec: str
) -> None:
    content = bytearray(avro_bytes(some_events(20), EVENT, codec=codec))
    content[int(place * len(content))] ^= flip
    path = landed(tmp_path_factory.mktemp("flip"), bytes(content))
    try:
        list(avro.read_blocks(path, EVENT, max_bytes=BIG, max_line_bytes=1_000_000))
    except UnreadableFileError as error:
        assert "a.avro" in str(error)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it holds nothing"),
        (b"{}\n", "it does not begin as an Avro file"),
        (b"Obj\x01\x00" + b"\0" * 16, "its header holds no schema"),
        (b"Obj\x01" + long_bytes(2**40), "its header says that it has"),
    ],
)
def test_what_is_no_avro_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(UnreadableFileError, match=said):
        avro.count_rows(landed(tmp_path, content), max_bytes=BIG)


def test_records_without_fields_are_refused(tmp_path: Path) -> None:
    held = io.BytesIO()
    fastavro.writer(held, "string", ["a"])
    with pytest.raises(UnreadableFileError, match="its schema is no record with fields; write one record a row") as e:
        avro.count_rows(landed(tmp_path, held.getvalue()), max_bytes=BIG)
    assert not e.value.waiting


def test_a_block_that_unpacks_to_too_much_or_says_that_it_holds_too_many_records_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(avro_blocks, "MAX_BLOCK_BYTES", 10_000)
    content = container([field("event_id", "string")], [{"event_id": "x" * 20_000}], codec="null")
    for codec, pack in (
        ("deflate", lambda block: zlib.compress(block)[2:-4]),
        ("snappy", snappy),
        ("zstandard", zstandard.ZstdCompressor().compress),
    ):
        with monkeypatch.context() as wide:
            wide.setattr(avro_blocks, "MAX_BLOCK_BYTES", BIG)
            bomb = packed(content, codec, pack)
        with pytest.raises(UnreadableFileError, match="unpacks to over 10,000 bytes") as error:
            avro.count_rows(landed(tmp_path, bomb), max_bytes=BIG)
        assert not error.value.waiting
    schema = {"type": "record", "name": "row", "fields": [field("nothing", "null")]}
    many = PlainFile(schema, iter([(10**9, b"")])).read(10_000)
    with pytest.raises(UnreadableFileError, match="a block of 0 bytes says that it holds 1,000,000,000 records"):
        avro.count_rows(landed(tmp_path, many), max_bytes=BIG)
