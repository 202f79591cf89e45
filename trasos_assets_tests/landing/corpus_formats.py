"""Hostile files of the other formats: CSV, Parquet, Avro, and what zstd packs."""

from __future__ import annotations

import gzip
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from trasos_assets_tests.landing.corpus import (
    ACCEPTED,
    DAY,
    MAX_FILE_BYTES,
    REJECTED,
    WAITING,
    FileCase,
    Outcome,
    line,
    quarantined,
)

_FOLDER = f"events/dt={DAY}"
_HEADER = "event_id,event_type,occurred_at,received_at,visitor_id"
_WHEN = datetime(2025, 10, 26, 12, tzinfo=UTC)


def _taken(*numbers: int, **values: Any) -> dict[int, Outcome]:
    return dict.fromkeys(numbers, Outcome(ACCEPTED, values=values))


def _case(
    name: str, suffix: str, content: bytes, outcomes: dict[int, Outcome] | tuple[str, str], *, mend: str = ""
) -> FileCase:
    """A file of a case: its lines by number, or its state in the ledger and words of the reason."""
    path = f"{_FOLDER}/{name.replace('/', ' ')}{suffix}"
    if isinstance(outcomes, tuple):
        return FileCase(f"{suffix}: {name}", path, content, trouble=outcomes, mend=mend)
    return FileCase(f"{suffix}: {name}", path, content, outcomes, mend=mend)


def _record(name: str, number: int, *more: str) -> str:
    return ",".join([f"{name} {number}", "page_view", f"{DAY}T12:00:00Z", f"{DAY}T12:00:01Z", f"{name} v", *more])


def _csv(name: str, *more: str, header: str = "", end: str = "\n") -> bytes:
    """A header and two records, which have ``more`` fields beside those that every event needs."""
    names = _HEADER + (f",{header}" if header else "")
    return (end.join([names, _record(name, 1, *more), _record(name, 2, *more)]) + end).encode()


_TWO_NAN = {number: quarantined("invalid_unit_price") for number in (2, 3)}
CSV = (
    _case("plain", ".csv", _csv("csv"), _taken(2, 3)),
    _case(
        "a byte order mark and ends of Windows",
        ".csv",
        b"\xef\xbb\xbf" + _csv("csv bom", end="\r\n"),
        _taken(2, 3),
    ),
    _case(
        "records with a field too few and too many",
        ".csv",
        "\n".join(
            [
                *(_HEADER, _record("csv ragged", 1), "a,b", _record("csv ragged", 2)),
                *(_record("csv ragged", 3, "x", "y"), _record("csv ragged", 4)),
            ]
        ).encode(),
        _taken(2, 4, 6) | {number: quarantined("malformed") for number in (3, 5)},
    ),
    _case(
        "a record that is JSON",
        ".csv",
        f"{_HEADER}\n".encode() + line("csv json") + f"\n{_record('csv json', 1)}\n".encode(),
        {2: quarantined("invalid_occurred_at", "invalid_received_at", "unknown_event_type")} | _taken(3),
    ),
    _case(
        "quoted line feeds, commas and quotes",
        ".csv",
        _csv("csv quoted", '"a\nb,""c"""', header="campaign"),
        _taken(2, 3, campaign='a\nb,"c"'),
    ),
    _case("script and formula", ".csv",
          _csv("csv script", "=1+1", "<script>alert(1)</script>", header="campaign,channel"),
          _taken(2, 3, campaign="=1+1")),
    _case("a column twice", ".csv", _csv("csv twice", "1", "2", header="slot,slot"), (REJECTED, "'slot' twice")),
    _case("no header", ".csv", (_record("csv bare", 1) + "\n").encode(), (REJECTED, "no header line")),
    _case("semicolons", ".csv", _csv("csv semicolon").replace(b",", b";"), (REJECTED, "no header line")),
    _case("a column without a name", ".csv", _csv("csv nameless", "1", header=" ").replace(b", \n", b",\n"),
          (REJECTED, "no name for column 6")),
    _case("zero bytes", ".csv", b"", (REJECTED, "no header line")),
    _case("a header and nothing else", ".csv", f"{_HEADER}\n".encode(), {}),
    _case("a column too few", ".csv", _csv("csv missing").replace(b"visitor_id", b"who"),
          {number: quarantined("no_visitor_or_customer") for number in (2, 3)}),
    _case("a column too many", ".csv", _csv("csv extra", "red", header="colour"), _taken(2, 3)),
    _case("columns in another order", ".csv",
          f"visitor_id,{_HEADER.removesuffix(',visitor_id')}\n"
          f"v,csv order,page_view,{DAY}T12:00:00Z,{DAY}T12:00:01Z\n".encode(), _taken(2, visitor_id="v")),
    _case("NaN prices", ".csv", _csv("csv nan", "NaN", header="unit_price"), _TWO_NAN),
    _case("infinite prices", ".csv", _csv("csv inf", "-inf", header="unit_price"), _TWO_NAN),
    _case("quantities of 2^63", ".csv", _csv("csv 2^63", str(2**63), header="quantity"),
          {number: quarantined("invalid_quantity") for number in (2, 3)}),
    _case("empty fields are absent", ".csv", _csv("csv empty", "", '""', header="quantity,customer_id"),
          _taken(2, 3, quantity=None, customer_id=None)),
    _case("quotes that never close", ".csv", _csv("csv open") + b'"a,b\n', (WAITING, "ends inside of quotes")),
    _case("cut in the middle of its gzip", ".csv.gz", gzip.compress(_csv("csv cut") * 50)[:-30],
          (WAITING, "not complete")),
    _case("invalid UTF-8 in an id", ".csv", _csv("csv latin").replace(b"csv latin v", b"caf\xe9"),
          {number: quarantined("invalid_utf8") for number in (2, 3)}),
)  # fmt: skip


def _parquet(columns: dict[str, Any], *, rows: int = 2, name: str, **options: Any) -> bytes:
    """Good rows of which some columns are other ones; a column of None is left out."""
    whole: dict[str, Any] = {
        "event_id": [f"{name} {number}" for number in range(rows)],
        "event_type": ["page_view"] * rows,
        "occurred_at": pa.array([_WHEN] * rows, pa.timestamp("us", "UTC")),
        "received_at": pa.array([_WHEN] * rows, pa.timestamp("us", "UTC")),
        "visitor_id": [f"{name} v"] * rows,
    }
    table = pa.table({key: value for key, value in (whole | columns).items() if value is not None})
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def _twice_named(name: str) -> bytes:
    table = pq.read_table(io.BytesIO(_parquet({"slot": ["a", "b"], "other": ["c", "d"]}, name=name)))
    sink = io.BytesIO()
    pq.write_table(table.rename_columns([*table.column_names[:-1], "slot"]), sink)
    return sink.getvalue()


def _times(values: Sequence[int], unit: str, zone: str | None = "UTC") -> pa.Array:
    return pa.array(values, pa.timestamp(unit, zone))


_SECONDS = int(_WHEN.timestamp())
_GOOD_PARQUET = _parquet({}, rows=1000, name="parquet")
PARQUET = (
    _case("plain", ".parquet", _parquet({}, name="plain parquet"), _taken(1, 2)),
    _case("no rows", ".parquet", _parquet({}, rows=0, name="empty parquet"), {}),
    _case("NaN, infinite and good prices", ".parquet",
          _parquet({"unit_price": [float("nan"), float("inf"), 19.99, None]}, rows=4, name="parquet price"),
          {number: quarantined("invalid_unit_price") for number in (1, 2)}
          | _taken(3, unit_price=Decimal("19.99")) | _taken(4, unit_price=None)),
    _case("quantities beyond the type", ".parquet",
          _parquet({"quantity": [2**40, 3, -(2**63)]}, rows=3, name="parquet quantity"),
          {number: quarantined("invalid_quantity") for number in (1, 3)} | _taken(2, quantity=3)),
    _case("unsigned quantities", ".parquet",
          _parquet({"quantity": pa.array([2**64 - 1, 3], pa.uint64())}, name="parquet unsigned"),
          {1: quarantined("invalid_quantity")} | _taken(2, quantity=3)),
    _case("prices of 38 digits", ".parquet",
          _parquet({"unit_price": pa.array([Decimal("9" * 30), Decimal("1.5")], pa.decimal128(38, 4))},
                   name="parquet digits"),
          {1: quarantined("invalid_unit_price")} | _taken(2, unit_price=Decimal("1.5"))),
    _case("nanoseconds", ".parquet",
          _parquet({"occurred_at": _times([_SECONDS * 10**9 - 1, _SECONDS * 10**9 - 1000], "ns")}, name="parquet ns"),
          _taken(1, 2, occurred_at=datetime(2025, 10, 26, 11, 59, 59, 999999))),
    _case("times of another zone", ".parquet",
          _parquet({"occurred_at": _times([_SECONDS - 1] * 2, "s", "Asia/Tokyo")}, name="parquet zone"),
          _taken(1, 2, occurred_at=datetime(2025, 10, 26, 11, 59, 59))),
    _case("times without a zone are UTC", ".parquet",
          _parquet({"occurred_at": _times([(_SECONDS - 1) * 1000] * 2, "ms", None)}, name="parquet naive"),
          _taken(1, 2, occurred_at=datetime(2025, 10, 26, 11, 59, 59))),
    _case("times of years 1 and 9999", ".parquet",
          _parquet({"occurred_at": _times([-62_135_596_800, 253_402_300_799], "s")}, name="parquet years"),
          {1: quarantined("before_first_day", "too_late"),
           2: quarantined("occurred_after_received", "occurred_after_its_folder")}),
    _case("times beyond every calendar", ".parquet",
          _parquet({"occurred_at": _times([2**62, -(2**62)], "ms")}, name="parquet beyond"),
          {number: quarantined("invalid_occurred_at") for number in (1, 2)}),
    _case("a column too few", ".parquet", _parquet({"event_id": None}, name="parquet few"),
          {number: quarantined("missing_event_id") for number in (1, 2)}),
    _case("columns too many, one of them nested", ".parquet",
          _parquet({"colour": ["red", None], "tree": [{"a": [1, 2]}, None]}, name="parquet many"),
          _taken(1, 2)),
    _case("ids in lists", ".parquet", _parquet({"visitor_id": [["a"], ["b", "c"]]}, name="parquet lists"),
          {number: quarantined("invalid_visitor_id", "no_visitor_or_customer") for number in (1, 2)}),
    _case("ids as numbers", ".parquet", _parquet({"visitor_id": [17850, 2**53 + 1]}, name="parquet numbers"),
          _taken(1, visitor_id="17850") | _taken(2, visitor_id=str(2**53 + 1))),
    _case("rows of nothing but nulls", ".parquet",
          _parquet({key: pa.array([None, None], pa.string()) for key in _HEADER.split(",")}, name="parquet nulls"),
          {number: quarantined("missing_event_id", "missing_event_type", "missing_occurred_at",
                               "missing_received_at", "no_visitor_or_customer") for number in (1, 2)}),
    _case("hostile ids", ".parquet",
          _parquet({"visitor_id": ["../../etc/passwd", "<script>alert(1)</script>"]}, name="parquet hostile"),
          _taken(1, visitor_id="../../etc/passwd") | _taken(2, visitor_id="<script>alert(1)</script>")),
    _case("a text of a megabyte", ".parquet",
          _parquet({"user_agent": ["x" * (1 << 20), "y"]}, name="parquet megabyte"),
          {1: quarantined("line_too_long")} | _taken(2, user_agent="y")),
    _case("a column twice", ".parquet", _twice_named("parquet twice"), (REJECTED, "named twice: slot")),
    _case("without its end", ".parquet", _GOOD_PARQUET[:-200], (WAITING, "broken or not complete")),
    _case("without its middle", ".parquet", _GOOD_PARQUET[:200] + _GOOD_PARQUET[400:],
          (WAITING, "broken or not complete")),
    _case("zero bytes", ".parquet", b"", (WAITING, "broken or not complete")),
    _case("JSON in spite of its name", ".parquet", line("no parquet"), (WAITING, "broken or not complete")),
    _case("a bomb", ".parquet",
          _parquet({"slot": ["x" * 10_000] * 10_000}, rows=10_000, name="parquet bomb", compression="zstd",
                   use_dictionary=False),
          (REJECTED, "TRASOS_MAX_FILE_BYTES")),
)  # fmt: skip

_SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "event",
    "fields": [
        *({"name": name, "type": "string"} for name in _HEADER.split(",")),
        {"name": "unit_price", "type": ["null", "double"], "default": None},
    ],
}


def _avro(name: str, *prices: float | None) -> bytes:
    sink = io.BytesIO()
    rows = [
        dict(zip(_HEADER.split(","), _record(name, number).split(","), strict=True)) | {"unit_price": price}
        for number, price in enumerate(prices, 1)
    ]
    fastavro.writer(sink, _SCHEMA, rows, codec="deflate", sync_marker=b"0123456789abcdef")
    return sink.getvalue()


_GOOD_AVRO = _avro("avro cut", *[1.5] * 500)
AVRO = (
    _case("plain", ".avro", _avro("avro", 1.5, None), _taken(1, unit_price=Decimal("1.5")) | _taken(2)),
    _case("NaN and infinite prices", ".avro", _avro("avro nan", float("nan"), 2.0, float("-inf")),
          {number: quarantined("invalid_unit_price") for number in (1, 3)} | _taken(2)),
    _case("without its end", ".avro", _GOOD_AVRO[:-40], (WAITING, "whole")),
    _case("with a flipped byte", ".avro", _GOOD_AVRO[:-60] + b"\xff" + _GOOD_AVRO[-59:], (WAITING, "whole")),
    _case("JSON in spite of its name", ".avro", line("no avro"), (WAITING, "whole")),
    _case("zero bytes", ".avro", b"", (WAITING, "whole")),
)  # fmt: skip

_LINES = b"".join(line(f"zstd {number}") + b"\n" for number in (1, 2, 3))
_PACKED = zstandard.ZstdCompressor().compress(_LINES)
ZSTD = (
    _case("plain", ".jsonl.zst", _PACKED, _taken(1, 2, 3)),
    _case("two frames", ".ndjson.zst",
          b"".join(zstandard.ZstdCompressor().compress(line(f"frame {n}") + b"\n") for n in (1, 2)), _taken(1, 2)),
    _case("without its end", ".jsonl.zst", _PACKED[:-5], (WAITING, "not complete")),
    _case("a header alone", ".jsonl.zst", _PACKED[:6], (WAITING, "not complete")),
    _case("garbage after the frame", ".jsonl.zst", zstandard.ZstdCompressor().compress(line("tail")) + b"garbage",
          (WAITING, "not complete")),
    _case("no zstd in spite of its name", ".jsonl.zst", _LINES, (WAITING, "not complete")),
    _case("zero bytes", ".jsonl.zst", b"", (WAITING, "not complete")),
    _case("a bomb", ".jsonl.zst", zstandard.ZstdCompressor().compress(b"\n" * MAX_FILE_BYTES * 2),
          (REJECTED, "TRASOS_MAX_FILE_BYTES")),
)  # fmt: skip

FORMAT_CASES = (*CSV, *PARQUET, *AVRO, *ZSTD)
