"""Avro object container files as blocks: fastavro decodes the records, which then go the way of columns.

Times, dates and decimals are decoded as the numbers they are stored as and become what they mean here, so that one
value out of the calendar does not end the file.
"""

from __future__ import annotations

import base64
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
from fastavro.read import SchemaResolutionError
from fastavro.schema import SchemaParseException, UnknownType

from trasos_assets.contracts.landing import LandingFormat
from trasos_assets.landing.blocks import Block, UnreadableFileError
from trasos_assets.landing.readers.avro_blocks import AvroError, PlainFile, blocks, read_header
from trasos_assets.landing.readers.columnar import block_of
from trasos_assets.landing.streams import reading, too_large
from trasos_assets.places import shown

BATCH_ROWS = 32_768
_PRIMITIVES: Mapping[str, pa.DataType] = {
    "null": pa.null(),
    "boolean": pa.bool_(),
    "int": pa.int64(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.large_string(),
    "bytes": pa.large_binary(),
}
_TIMES = {
    f"{local}timestamp-{unit}": pa.timestamp(short)
    for local in ("", "local-")
    for unit, short in (("millis", "ms"), ("micros", "us"), ("nanos", "ns"))
}
_MOST_DIGITS = 76
_FAULTS = (
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    RecursionError,
    SchemaParseException,
    SchemaResolutionError,
    UnknownType,
)
_EXACT = Context(prec=_MOST_DIGITS)


@dataclass(frozen=True)
class _Field:
    """How one field of the records is read: its schema without its meaning, and what its values become."""

    schema: Any
    type: pa.DataType | None
    """Arrow type of the values; None if they are JSON (nested, or of more than one type)."""

    scale: int | None = None
    """Of a decimal: its digits after the point."""


def read_blocks(path: Path, landing: LandingFormat, *, max_bytes: int, max_line_bytes: int) -> Iterator[Block]:
    """Records, numbered from 1, in blocks of at most BATCH_ROWS; a null is an absent field.

    Raises:
        UnreadableFileError: the file is cut short, broken, no Avro file, over ``max_bytes``, of an unknown codec, or
            its records have no fields.
    """
    first = 1
    for fields, records in _batches(path, max_bytes=max_bytes):
        columns = [_column([record[name] for record in records], field) for name, field in fields.items()]
        nested = [name for name, field in fields.items() if field.type is None]
        batch = pa.RecordBatch.from_arrays(columns, list(fields))
        yield block_of(batch, landing, first=first, max_line_bytes=max_line_bytes, json_columns=nested)
        first += len(records)


def count_rows(path: Path, *, max_bytes: int) -> int:
    """Number of records; decodes the whole file, and so proves that it can be read.

    Raises:
        UnreadableFileError: as ``read_blocks``.
    """
    return sum(len(records) for _, records in _batches(path, max_bytes=max_bytes))


def _batches(path: Path, *, max_bytes: int) -> Iterator[tuple[dict[str, _Field], list[dict[str, Any]]]]:
    try:
        with reading(path), closing(path.open("rb")) as stream:
            header = read_header(stream)
            fields, schema = _understood(header.schema)
            contents = _counted(blocks(stream, header), path, max_bytes)
            records = fastavro.reader(PlainFile(schema, contents), handle_unicode_errors="replace")  # type: ignore[arg-type]
            while batch := list(itertools.islice(records, BATCH_ROWS)):
                yield fields, batch  # pyright: ignore[reportReturnType] - the schema is that of a record
    except AvroError as error:
        if error.whole:
            raise UnreadableFileError(f"{shown(path)}: {error}", waiting=False) from error
        raise _broken(path, error) from error
    except _FAULTS as error:
        raise _broken(path, error) from error


def _broken(path: Path, error: Exception) -> UnreadableFileError:
    said = (str(error).splitlines() or [type(error).__name__])[0]
    return UnreadableFileError(
        f"{shown(path)}: the Avro file is broken or not complete ({said}); deliver the file again, whole", waiting=True
    )


def _counted(contents: Iterator[tuple[int, bytes]], path: Path, max_bytes: int) -> Iterator[tuple[int, bytes]]:
    total = 0
    for count, content in contents:
        total += len(content)
        if total > max_bytes:
            raise too_large(path, max_bytes)
        yield count, content


def _understood(schema: Any) -> tuple[dict[str, _Field], Any]:
    """The fields of a record's schema by name, and the schema to decode it with."""
    if not (isinstance(schema, dict) and schema.get("type") == "record" and schema.get("fields")):
        raise AvroError("its schema is no record with fields; write one record a row", whole=True)
    named: dict[str, _Field] = {}
    fields = {field["name"]: _field(field["type"], named) for field in schema["fields"]}
    plain = [field | {"type": fields[field["name"]].schema} for field in schema["fields"]]
    return fields, schema | {"fields": plain}


def _field(schema: Any, named: dict[str, _Field]) -> _Field:
    if isinstance(schema, str):
        found = named.get(schema)
        if found is not None:
            return _Field(schema, found.type, found.scale)
        return _Field(schema, _PRIMITIVES.get(schema))
    if isinstance(schema, list):
        others = [branch for branch in schema if branch != "null"]
        if len(others) != 1:
            return _Field(schema, None)
        only = _field(others[0], named)
        return _Field([only.schema if branch != "null" else branch for branch in schema], only.type, only.scale)
    kind, logical = schema.get("type"), schema.get("logicalType")
    if isinstance(kind, dict | list):
        return _field(kind, named)
    plain = {key: value for key, value in schema.items() if key != "logicalType"}
    if kind == "enum":
        field = _Field(plain, pa.large_string())
    elif kind in ("bytes", "fixed") and logical == "decimal":
        field = _Field(plain, pa.large_binary(), int(schema.get("scale", 0)))
    elif kind == "fixed":
        field = _Field(plain, pa.large_binary())
    elif kind == "long" and logical in _TIMES:
        return _Field("long", _TIMES[logical])
    elif kind == "int" and logical == "date":
        return _Field("int", pa.date32())
    elif kind in _PRIMITIVES:
        return _Field(kind, _PRIMITIVES[kind])
    else:
        return _Field(schema, None)
    if "name" in schema:
        space = schema.get("namespace")
        named[schema["name"]] = field
        named[f"{space}.{schema['name']}" if space else schema["name"]] = field
    return field


def _column(values: list[Any], field: _Field) -> pa.Array:
    if field.type is None:
        return pa.array([None if value is None else _json(value) for value in values], pa.large_string())
    if field.scale is not None:
        return _decimals(values, field.scale)
    if pa.types.is_timestamp(field.type) or pa.types.is_date(field.type):
        width = pa.int32() if pa.types.is_date(field.type) else pa.int64()
        try:
            return pa.array(values, width).view(field.type)
        except pa.ArrowInvalid:  # more days than fit: named by its number
            return pa.array(values, pa.int64())
    return pa.array(values, field.type)


def _decimals(values: list[bytes | None], scale: int) -> pa.Array:
    """Two's complement numbers as decimals, or as their text where they have more digits than a decimal can."""
    units = [None if value is None else int.from_bytes(value, "big", signed=True) for value in values]
    try:
        exact = [None if unit is None else Decimal(unit).scaleb(-scale, _EXACT) for unit in units]
        return pa.array(exact, pa.decimal256(_MOST_DIGITS, scale))
    except (pa.ArrowException, ArithmeticError, ValueError):
        texts = [None if unit is None else f"{hex(unit)} / 10^{scale}" for unit in units]
        return pa.array(texts, pa.large_string())


def _json(value: Any) -> str:
    try:
        return json.dumps(value, default=_text, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), default=_text, ensure_ascii=False)


def _text(value: Any) -> str:
    """What JSON has no type for: times, dates, decimals, UUIDs, bytes."""
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, list) else value
