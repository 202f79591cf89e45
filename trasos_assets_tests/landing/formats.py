"""The same rows as a landed file of every format that is taken."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from trasos_assets.contracts.landing import LandingFormat
from trasos_assets.contracts.model import BOOLEAN, DATE, INT32, INT64, MONEY, TEXT, TIMESTAMP

Rows = Sequence[dict[str, Any]]
"""Values as Python has them: str, int, Decimal with 4 places, datetime in UTC, date, bool; absent or None is null."""

_ARROW = {
    TEXT: pa.string(),
    INT32: pa.int32(),
    INT64: pa.int64(),
    MONEY: pa.decimal128(18, 4),
    TIMESTAMP: pa.timestamp("us", "UTC"),
    DATE: pa.date32(),
    BOOLEAN: pa.bool_(),
}
_AVRO = {
    TEXT: "string",
    INT32: "int",
    INT64: "long",
    MONEY: {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 4},
    TIMESTAMP: {"type": "long", "logicalType": "timestamp-micros"},
    DATE: {"type": "int", "logicalType": "date"},
    BOOLEAN: "boolean",
}


def _said(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value


def _present(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def json_lines(rows: Rows) -> bytes:
    lines = (json.dumps({name: _said(value) for name, value in _present(row).items()}) + "\n" for row in rows)
    return "".join(lines).encode()


def csv_bytes(rows: Rows, landing: LandingFormat) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [column.name for column in landing.columns], quoting=csv.QUOTE_MINIMAL)
    writer.writeheader()
    for row in rows:
        said = {
            name: _said(value) if not isinstance(value, Decimal) else value for name, value in _present(row).items()
        }
        writer.writerow(
            {name: str(value).lower() if isinstance(value, bool) else value for name, value in said.items()}
        )
    return text.getvalue().encode()


def arrow_table(rows: Rows, landing: LandingFormat) -> pa.Table:
    schema = pa.schema([(column.name, _ARROW[column.type]) for column in landing.columns])
    return pa.Table.from_pylist(list(rows), schema=schema)


def avro_bytes(rows: Rows, landing: LandingFormat, *, codec: str = "deflate") -> bytes:
    fields = [{"name": c.name, "type": ["null", _AVRO[c.type]], "default": None} for c in landing.columns]
    held = io.BytesIO()
    fastavro.writer(held, {"type": "record", "name": "row", "fields": fields}, list(rows), codec=codec)
    return held.getvalue()


def write(path: Path, rows: Rows, landing: LandingFormat) -> Path:
    """Write the rows as what the file's name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.name
    if name.endswith(".parquet"):
        held = io.BytesIO()
        pq.write_table(arrow_table(rows, landing), held, row_group_size=7)
        content = held.getvalue()
    elif name.endswith(".avro"):
        content = avro_bytes(rows, landing)
    else:
        content = csv_bytes(rows, landing) if ".csv" in name else json_lines(rows)
    if name.endswith(".gz"):
        content = gzip.compress(content)
    elif name.endswith(".zst"):
        content = zstandard.ZstdCompressor().compress(content)
    path.write_bytes(content)
    return path
