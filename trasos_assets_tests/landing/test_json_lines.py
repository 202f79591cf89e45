"""The fast reading of JSON lines and the patient one must not differ in a single value."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ibis.backends.duckdb import Backend

from trasos_assets.contracts.landing import ASSIGNMENT, EVENT, MARKETING_SPEND
from trasos_assets.landing import json_lines
from trasos_assets.landing.parse import Delivery, read_deliveries

WHOLE = (
    '{"event_id":"e%d","event_type":"purchase","occurred_at":"2026-03-10T09:30:00.123Z",'
    '"received_at":"2026-03-10T09:30:01Z","visitor_id":"v1","quantity":2,"unit_price":19.99,"is_test":false}'
)
TIMES = [
    *("2026-03-10T09:30:00Z", "2026-03-10 09:30:00Z", "2026-03-10T09:30:00.1Z", "2026-03-10T09:30:00.1234567Z"),
    *("2026-03-10T09:30:00+01:00", "2026-03-10T09:30:00-0530", "2026-03-10T09:30:00+01", "2026-03-10T09:30+01:00"),
    *("2026-03-10T09:30Z", "2026-03-10T09Z", "2026-03-10", "2026-03-10T09:30:00", "2026-03-10T24:00:00Z"),
    *("2026-03-10T23:59:60Z", "2026-02-29T00:00:00Z", "2024-02-29T00:00:00Z", "0001-01-01T00:00:00Z", "", "now"),
    *("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00Z", "12026-03-10T09:30:00Z"),
    *("1970-01-01T00:00:00Z", "1899-12-31T23:59:59Z", "2026-03-10T09:30:00+15:59", "2026-03-10T09:30:00+99:00"),
    *("2026-03-10T09:30+0100", " 2026-03-10T09:30:00Z", "2026-03-10T09:30:00Z ", "2026-03-10t09:30:00z", "infinity"),
    *("2026-3-10T09:30:00.00Z", "2026-03-10T09:30:00 Europe/Paris", "20260310T093000.000Z", "epoch"),
]
NUMBERS = [
    *("0", "-0", "1", "-1", "1.0", "1e2", "1E-2", "1.5", "0.00005", "12.34567", "2147483647", "2147483648"),
    *("9223372036854775808", "99999999999999.9999", "100000000000000", "99999999999999.99999", "1e400", "NaN"),
    *("Infinity", "-Infinity", "01", "1.", ".5", "+1", "0x1", "1_000", "[1]", "{}", "true", "null"),
    *('"1"', '" 1 "', '"+5"', '"5."', '".5"', '"1e3"', '""', '"1,5"', '"NaN"', '"inf"', '"0x10"', '"١"'),
]
TEXTS = [
    *('""', '" "', '"a\\u0000b"', '"\\ud800"', '"\\ud83d\\ude00"', '"é😀\u202e"', '"\\n\\t\\\\\\""', '"{}"', '"[1"'),
    *("1", "1.50", "true", "null", "[]", '{"a":1}', '"null"', '"<script>"', '"\\/"', '"\\u0041"'),
]
FLAGS = ["true", "false", "null", '"true"', '"TRUE"', "1", "0", '"yes"', "True"]
OF_TYPE = {
    "event_id": TEXTS,
    "slot": TEXTS,
    "occurred_at": [json.dumps(time) for time in TIMES] + NUMBERS,
    "quantity": NUMBERS,
    "unit_price": NUMBERS,
    "is_test": FLAGS,
    "unknown": TEXTS,
}


def rows(backend: Backend, contents: Iterable[bytes], folder: Path, dataset: str = "events") -> list[dict[str, Any]]:
    """Raw rows of some files."""
    deliveries = []
    for number, content in enumerate(contents):
        path = folder / f"{number:04}.jsonl"
        path.write_bytes(content)
        deliveries.append(Delivery(path.stem, dataset, path, date(2026, 3, 10)))
    table = read_deliveries(
        backend, dataset, deliveries, timezone="UTC", max_line_bytes=2_000, max_file_bytes=1_000_000_000
    )
    return table.order_by("file_hash", "line").to_pyarrow().to_pylist()


def both_ways(backend: Backend, folder: Path, *contents: bytes, dataset: str = "events") -> list[dict[str, Any]]:
    """Rows of the fast reading, after comparing them with those of the patient one."""
    fast = rows(backend, contents, folder, dataset)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_lines, "typed_rows", lambda *_, **__: None)
        patient = rows(backend, contents, folder, dataset)
    assert fast == patient
    return fast


def fields() -> st.SearchStrategy[str]:
    return st.sampled_from([f'"{name}":{value}' for name, values in OF_TYPE.items() for value in values])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.lists(fields(), max_size=4), min_size=1, max_size=4), end=st.sampled_from(["\n", "\r\n", ""]))
def test_both_readings_give_the_same_rows(lines: list[list[str]], end: str, backend: Backend, tmp_path: Path) -> None:
    text = (end or "\n").join("{" + ",".join(line) + "}" for line in lines) + end
    both_ways(backend, tmp_path, text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("field", OF_TYPE)
def test_both_readings_agree_on_every_single_value(field: str, backend: Backend, tmp_path: Path) -> None:
    lines = [f'{{"{field}":{value}}}\n'.encode("utf-8", "surrogatepass") for value in OF_TYPE[field]]
    both_ways(backend, tmp_path, *lines)


ODD_LINES = {
    "two objects on a line and a blank one": b'{"event_id":"a"}{"event_id":"b"}\n\n',
    "an object over two lines": b'{"event_id":"a",\n"slot":"b"}\n',
    "two objects and half of another": b'{"event_id":"a"}\n{"event_id":"b"}{\n}\n',
    "a blank within": b'{"event_id":"a"}\n \n{"event_id":"b"}\n',
    "nothing but line feeds": b"\n\n\n",
    "a byte order mark": b'\xef\xbb\xbf{"event_id":"a"}\n',
    "a byte order mark within": b'{"event_id":"a"}\n\xef\xbb\xbf{"event_id":"b"}\n',
    "broken UTF-8 in a value": b'{"event_id":"a\xff"}\n{"event_id":"b"}\n',
    "broken UTF-8 in a key": b'{"event_\xffid":"a"}\n',
    "a NUL byte": b'{"event_id":"a\0b"}\n',
    "an array": b'[{"event_id":"a"}]\n{"event_id":"b"}\n',
    "a key twice": b'{"event_id":"a","event_id":"b"}\n{"event_id":"c"}\n',
    "a comma too many": b'{"event_id":"a",}\n',
    "a comment": b'{"event_id":"a"} // here\n',
    "single quotes": b"{'event_id':'a'}\n",
    "a line over the limit": b'{"event_id":"a","slot":"' + b"x" * 3_000 + b'"}\n{"event_id":"b"}\n',
    "a carriage return alone": b'{"event_id":"a"}\r{"event_id":"b"}\n',
    "a raw line separator": '{"event_id":"a\u2028b"}\n'.encode(),
    "no line feed at the end": b'{"event_id":"a"}\n{"event_id":"b"}',
    "deep": b'{"a":' * 3_000 + b"1" + b"}" * 3_000 + b"\n",
}


@pytest.mark.parametrize("content", ODD_LINES.values(), ids=ODD_LINES)
def test_both_readings_agree_on_odd_lines(content: bytes, backend: Backend, tmp_path: Path) -> None:
    found = both_ways(backend, tmp_path, content)
    assert len(found) == sum(1 for line in content.split(b"\n") if line.strip())


def test_both_readings_agree_on_other_data_sets(backend: Backend, tmp_path: Path) -> None:
    spend = b'{"spend_day":"%s","channel":"a","campaign":"b","cost":1.5,"clicks":9223372036854775807}\n'
    for day in (b"2026-03-01", b"2026-02-30", b"0000-01-01", b"2026-3-1", b"20260301", b"+2026-03-1", b""):
        both_ways(backend, tmp_path, spend % day, dataset=MARKETING_SPEND.dataset)
    assigned = b'{"experiment":"e","unit_id":"v","arm":"x","assigned_at":"2026-03-01T00:00:00Z"}\n'
    assert both_ways(backend, tmp_path, assigned, dataset=ASSIGNMENT.dataset)[0]["unit_id"] == "v"


def test_good_lines_are_read_fast_and_only_the_pieces_around_bad_ones_patiently(tmp_path: Path) -> None:
    good = "".join(WHOLE % number + "\n" for number in range(20_000)).encode()
    path = tmp_path / "a.jsonl"
    path.write_bytes(good + b"not json\n" + good)
    found = list(json_lines.read_blocks(path, EVENT, max_bytes=10**9, max_line_bytes=10_000))
    texts = sum(block.rows.num_rows for block in found if not block.typed)
    assert 0 < texts <= 3 * json_lines.LEAST_BYTES // len(WHOLE)
    numbers = [number for block in found for number in block.rows["line"].to_pylist()]
    assert numbers == list(range(1, 40_002))
    assert json_lines.count_rows(path, max_bytes=10**9) == 40_001


def test_lines_are_numbered_over_blocks_and_blank_ones_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "BLOCK_BYTES", 700)
    path = tmp_path / "a.jsonl"
    path.write_text("".join(("\n" if number % 7 == 0 else WHOLE % number + "\n") for number in range(1, 60)))
    found = list(json_lines.read_blocks(path, EVENT, max_bytes=10**9, max_line_bytes=10_000))
    numbers = [number for block in found for number in block.rows["line"].to_pylist()]
    assert numbers == [number for number in range(1, 60) if number % 7]
    assert json_lines.count_rows(path, max_bytes=10**9) == len(numbers)


@pytest.mark.parametrize("value", [b"a\xff", b"a\xc0\xaf", b"a\xed\xa0\x80"])
def test_the_fast_reading_takes_no_bytes_that_are_no_utf8(value: bytes) -> None:
    line = b'{"event_id":"' + value + b'"}\n'
    assert json_lines.typed_rows(line, EVENT, max_line_bytes=1_000) is None
