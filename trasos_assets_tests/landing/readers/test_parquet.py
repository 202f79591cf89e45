"""Parquet: typed where every value is one of the format, else text that the door can judge."""

import json
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from trasos_assets.contracts.landing import EVENT
from trasos_assets.contracts.model import BOOLEAN, DATE, INT32, MONEY, TEXT, TIMESTAMP
from trasos_assets.landing.blocks import Block, UnreadableFileError
from trasos_assets.landing.readers import parquet
from trasos_assets.landing.readers.values import as_type
from trasos_assets_tests.landing.readers.test_readers import raw_rows

BIG = 1 << 40
MICROS = pa.timestamp("us")


def landed(folder: Path, table: pa.Table, **options: Any) -> Path:
    pq.write_table(table, folder / "a.parquet", **options)
    return folder / "a.parquet"


def read(path: Path, max_line_bytes: int = 1_000_000) -> list[Block]:
    return list(parquet.read_blocks(path, EVENT, max_bytes=BIG, max_line_bytes=max_line_bytes))


def only(folder: Path, **columns: pa.Array) -> Block:
    (block,) = read(landed(folder, pa.table(columns)))
    return block


FITTING = [
    ("device", pa.array(["a", None, "é😀", ""]), ["a", None, "é😀", ""]),
    ("device", pa.array(["a", None], pa.large_string()), ["a", None]),
    ("device", pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
    ("item_id", pa.array([12, None, -1], pa.int64()), ["12", None, "-1"]),
    ("quantity", pa.array([2**31 - 1, None, -5], pa.int64()), [2**31 - 1, None, -5]),
    ("quantity", pa.array([1, 255], pa.uint8()), [1, 255]),
    ("unit_price", pa.array([5, None], pa.int32()), [Decimal("5.0000"), None]),
    ("unit_price", pa.array([Decimal("1.99"), None]), [Decimal("1.9900"), None]),
    ("unit_price", pa.array([Decimal("1.23455"), Decimal("-1.23455")]), [Decimal("1.2346"), Decimal("-1.2346")]),
    ("unit_price", pa.array([Decimal("0.5")], pa.decimal128(38, 18)), [Decimal("0.5000")]),
    ("unit_price", pa.array([19.99, None, 1.00005]), [Decimal("19.9900"), None, Decimal("1.0001")]),
    ("unit_price", pa.array([-0.00005, 0.0]), [Decimal("-0.0001"), Decimal("0.0000")]),
    ("occurred_at", pa.array([1_000_001, None], MICROS), [datetime(1970, 1, 1, 0, 0, 1, 1), None]),
    ("occurred_at", pa.array([1], pa.timestamp("ms", "Europe/London")), [datetime(1970, 1, 1, 0, 0, 0, 1000)]),
    ("occurred_at", pa.array([7], pa.timestamp("s", "America/New_York")), [datetime(1970, 1, 1, 0, 0, 7)]),
    ("occurred_at", pa.array([1000, None], pa.timestamp("ns")), [datetime(1970, 1, 1, 0, 0, 0, 1), None]),
    ("is_test", pa.array([True, None, False]), [True, None, False]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "values", "expected"), FITTING)
def test_a_column_of_a_fitting_type_is_taken_as_it_is(
    tmp_path: Path, name: str, values: pa.Array, expected: list[Any]
) -> None:
    block = only(tmp_path, **{name: values})
    assert block.typed
    assert block.rows[name].to_pylist() == expected
    assert block.rows["line"].to_pylist() == list(range(1, len(expected) + 1))


@pytest.mark.parametrize(("name", "values", "expected"), FITTING)
def test_a_column_that_fits_is_read_from_its_text_as_the_same_values(
    tmp_path: Path, name: str, values: pa.Array, expected: list[Any]
) -> None:
    path = landed(tmp_path, pa.table({name: values, "beside": pa.array(range(len(values)))}))
    assert not read(path)[0].typed
    found = raw_rows(path, "events")
    assert [(row[name], row["problems"]) for row in found] == [(value, None) for value in expected]
    assert [row["extra"] for row in found] == [f'{{"beside":{number}}}' for number in range(len(values))]


NOT_FITTING = [
    ("quantity", pa.array([2**31], pa.int64()), "invalid_quantity"),
    ("quantity", pa.array([2**63], pa.uint64()), "invalid_quantity"),
    ("quantity", pa.array([5.0]), "invalid_quantity"),
    ("quantity", pa.array(["six"]), "invalid_quantity"),
    ("quantity", pa.array([[1]]), "invalid_quantity"),
    ("unit_price", pa.array([float("nan")]), "invalid_unit_price"),
    ("unit_price", pa.array([float("-inf")]), "invalid_unit_price"),
    ("unit_price", pa.array([1e14]), "invalid_unit_price"),
    ("unit_price", pa.array([Decimal("1E+15")], pa.decimal128(38, 0)), "invalid_unit_price"),
    ("unit_price", pa.array([Decimal("1E+40")], pa.decimal256(60, 0)), "invalid_unit_price"),
    ("occurred_at", pa.array([253_402_300_800], pa.timestamp("s")), "invalid_occurred_at"),
    ("occurred_at", pa.array([2**62], pa.timestamp("ms")), "invalid_occurred_at"),
    ("occurred_at", pa.array([-(2**62)], MICROS), "invalid_occurred_at"),
    ("occurred_at", pa.array([1_767_225_600]), "invalid_occurred_at"),
    ("is_test", pa.array(["perhaps"]), "invalid_is_test"),
    ("is_test", pa.array([1]), "invalid_is_test"),
    ("device", pa.array([{"a": 1}]), "invalid_device"),
    ("device", pa.array([["a"]]), "invalid_device"),
]


@pytest.mark.parametrize(("name", "values", "problem"), NOT_FITTING)
def test_a_value_of_another_type_is_kept_and_named(tmp_path: Path, name: str, values: pa.Array, problem: str) -> None:
    path = landed(tmp_path, pa.table({"event_id": ["e1"], name: values}))
    ((row),) = raw_rows(path, "events")
    assert (row["event_id"], row[name], row["problems"]) == ("e1", None, problem)
    assert json.loads(row["raw"])["event_id"] == "e1"


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("quantity", pa.array(["6"]), 6),
        ("unit_price", pa.array(["1.5"]), Decimal("1.5000")),
        ("unit_price", pa.array([1.5], pa.float32()), Decimal("1.5000")),
        ("unit_price", pa.array([np.float16(2.5)]), Decimal("2.5000")),
        ("occurred_at", pa.array(["2026-01-02T03:04:05+01:00"]), datetime(2026, 1, 2, 2, 4, 5)),
        ("occurred_at", pa.array([1_001], pa.timestamp("ns")), datetime(1970, 1, 1, 0, 0, 0, 1)),
        ("is_test", pa.array(["TRUE"]), True),
        ("device", pa.array([True]), "true"),
        ("device", pa.array([b"bytes"]), "bytes"),
        ("device", pa.array([b"\xff"]), "\ufffd"),
        ("device", pa.array(["a\0b"]), "a\0b"),
    ],
)
def test_a_value_that_its_text_gives_is_taken(tmp_path: Path, name: str, values: pa.Array, expected: Any) -> None:
    (row,) = raw_rows(landed(tmp_path, pa.table({"event_id": ["e1"], name: values})), "events")
    assert (row[name], row["problems"]) == (expected, None)


def test_a_uuid_is_its_text(tmp_path: Path) -> None:
    ids = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(range(16))], pa.binary(16)))
    (row,) = raw_rows(landed(tmp_path, pa.table({"event_id": ids})), "events")
    assert row["event_id"] == "00010203-0405-0607-0809-0a0b0c0d0e0f"


def test_what_the_format_does_not_know_goes_to_extra_as_what_it_is(tmp_path: Path) -> None:
    table = pa.table(
        {
            "event_id": ["e1", "e2"],
            "score": [0.5, float("nan")],
            "tags": [["a", None], None],
            "nested": [{"deep": {"n": 1, "none": None}}, None],
            "vector": [[1.0, float("nan"), float("-inf")], [1.0, 2.0]],
            "odd \"name'": ["x", None],
            "nothing": pa.nulls(2),
        }
    )
    first, second = raw_rows(landed(tmp_path, table), "events")
    assert [(row["event_id"], row["problems"]) for row in (first, second)] == [("e1", None), ("e2", None)]
    extra = json.loads(first["extra"])
    assert extra.pop("vector") == "[1.0, nan, -inf]"
    assert extra == {"score": 0.5, "tags": ["a", None], "nested": {"deep": {"n": 1, "none": None}}, "odd \"name'": "x"}
    assert json.loads(second["extra"]) == {"score": "nan", "vector": [1.0, 2.0]}


def test_an_unknown_column_of_nulls_costs_no_text(tmp_path: Path) -> None:
    assert only(tmp_path, event_id=pa.array(["e1"]), beside=pa.nulls(1, pa.int64())).typed


def test_rows_without_any_known_column_are_kept(tmp_path: Path) -> None:
    rows = raw_rows(landed(tmp_path, pa.table({"a": [1, 2]})), "events")
    assert [row["extra"] for row in rows] == ['{"a":1}', '{"a":2}']
    assert [row["event_id"] for row in raw_rows(landed(tmp_path, pa.table({"event_id": pa.nulls(2)})), "events")] == [
        None
    ] * 2


def test_numbers_go_on_from_batch_to_batch_and_row_group_to_row_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "BATCH_ROWS", 7)
    ids = [f"e{number}" for number in range(50)]
    blocks = read(landed(tmp_path, pa.table({"event_id": ids}), row_group_size=11))
    assert len(blocks) > 5
    assert [n for block in blocks for n in block.rows["line"].to_pylist()] == list(range(1, 51))
    assert [i for block in blocks for i in block.rows["event_id"].to_pylist()] == ids


def test_only_the_batch_with_a_fault_goes_by_way_of_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "BATCH_ROWS", 10)
    quantities = pa.array([1] * 15 + [2**40] + [1] * 14)
    blocks = read(landed(tmp_path, pa.table({"quantity": quantities})))
    assert [block.typed for block in blocks] == [True, False, True]


def test_a_text_column_may_not_hold_what_is_no_utf8(tmp_path: Path) -> None:
    broken = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.array([0, 1], pa.int32()).buffers()[1], pa.py_buffer(b"\xff")]
    )
    (row,) = raw_rows(landed(tmp_path, pa.table({"event_id": ["e1"], "device": broken})), "events")
    assert row["device"] == "\ufffd"


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    path = landed(tmp_path, pa.table({"event_id": pa.array([], pa.string())}))
    assert read(path) == []
    assert parquet.count_rows(path, max_bytes=BIG) == 0


def test_a_column_named_twice_is_refused(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], ["event_id", "event_id"])
    with pytest.raises(UnreadableFileError, match="columns named twice: event_id; give each a name") as error:
        read(landed(tmp_path, table))
    assert not error.value.waiting


def test_a_file_of_nothing_but_repeats_is_refused_by_its_footer(tmp_path: Path) -> None:
    path = landed(tmp_path, pa.table({"quantity": np.zeros(1_000_000, np.int64)}))
    assert path.stat().st_size < 100_000
    with pytest.raises(UnreadableFileError, match="over 1,000,000 bytes when decompressed"):
        parquet.count_rows(path, max_bytes=1_000_000)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1PAR1", b"{}\n" * 100, b"PARE" + b"\0" * 50 + b"PARE"])
def test_what_is_no_parquet_waits_and_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    with pytest.raises(UnreadableFileError, match=r"a\.parquet: the Parquet file is "):
        parquet.count_rows(path, max_bytes=BIG)


@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
@hypothesis_settings(max_examples=60, deadline=None)
def test_a_flipped_byte_is_found_or_harms_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, place: float, flip: int
) -> None:
    table = pa.table({"event_id": [f"e{number}" for number in range(200)], "quantity": np.arange(200)})
    path = landed(tmp_path_factory.mktemp("flip"), table, write_page_checksum=True)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= flip
    path.write_bytes(content)
    try:
        assert parquet.count_rows(path, max_bytes=BIG) >= 0
    except UnreadableFileError as error:
        assert "a.parquet" in str(error)


@given(
    values=st.lists(
        st.floats(-1e13, 1e13, allow_nan=False)
        | st.decimals(-1000, 1000, places=5).map(float)
        | st.integers(-(10**9), 10**9).map(lambda n: (2 * n + 1) / 20_000)
        | st.none(),
        min_size=1,
    )
)
@hypothesis_settings(max_examples=200, deadline=None)
def test_a_double_is_rounded_as_its_shortest_text_would_be(values: list[float | None]) -> None:
    found = as_type(pa.array(values, pa.float64()), MONEY)
    assert found is not None
    expected = [None if v is None else Decimal(repr(v)).quantize(Decimal("0.0001"), ROUND_HALF_UP) for v in values]
    assert found.to_pylist() == expected


@pytest.mark.parametrize("wanted", [TEXT, INT32, MONEY, TIMESTAMP, DATE, BOOLEAN])
@pytest.mark.parametrize("offset", [0, 1, 3])
def test_a_slice_of_a_column_is_taken_as_the_slice(wanted: str, offset: int) -> None:
    columns = {
        TEXT: pa.array(["a", None, "c", "d"]),
        INT32: pa.array([1, None, 3, 4]),
        MONEY: pa.array([1.5, None, 2.67545, 4.0]),
        TIMESTAMP: pa.array([1, None, 3, 4], pa.timestamp("ms", "UTC")),
        DATE: pa.array([1, None, 3, 4], pa.date32()),
        BOOLEAN: pa.array([True, None, False, True]),
    }
    whole, part = as_type(columns[wanted], wanted), as_type(columns[wanted].slice(offset), wanted)
    assert whole is not None
    assert part is not None
    assert part.to_pylist() == whole.to_pylist()[offset:]
    assert as_type(pa.array([datetime(2026, 1, 1, tzinfo=UTC)]), BOOLEAN) is None
