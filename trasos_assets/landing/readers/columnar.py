"""Rows that come as columns: typed where every value fits the format, else as JSON text that the door judges.

Both ways give the same row: a column is taken as it is only where its text would be read back as the same value.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from trasos_assets.contracts.landing import LandingFormat
from trasos_assets.landing.blocks import Block
from trasos_assets.landing.readers.values import as_type, fits_in

if TYPE_CHECKING:
    import duckdb

LINE = "line"
BATCH_ROWS = 8_192
_NUMBER = "__trasos_line__"


def block_of(
    columns: pa.RecordBatch,
    landing: LandingFormat,
    *,
    first: int,
    max_line_bytes: int,
    json_columns: Collection[str] = (),
) -> Block:
    """Rows as a typed block if all of them fit the format exactly, else as a text block.

    Args:
        columns: the rows, columns in any order; names are unique.
        landing: the format.
        first: number of the first row in its file.
        max_line_bytes: rows whose text might be longer are judged by their text.
        json_columns: names of text columns that hold JSON values, not texts.
    """
    numbers = pa.array(np.arange(first, first + columns.num_rows))
    typed = _typed(columns, landing, max_line_bytes=max_line_bytes, json_columns=json_columns)
    if typed is not None:
        return Block(pa.table({LINE: numbers, **typed}), typed=True)
    return Block(text_rows(columns, landing, numbers, json_columns=json_columns), typed=False)


def _typed(
    columns: pa.RecordBatch, landing: LandingFormat, *, max_line_bytes: int, json_columns: Collection[str]
) -> dict[str, pa.Array] | None:
    """The format's columns as its types, or None if a value or a whole column is not one of them."""
    types = {column.name: column.type for column in landing.columns}
    found: dict[str, pa.Array] = {}
    for name, values in zip(columns.schema.names, columns.columns, strict=True):
        if values.null_count == len(values):
            continue
        fitted = as_type(values, types[name]) if name in types and name not in json_columns else None
        if fitted is None:
            return None
        found[name] = fitted
    return found if fits_in(found, max_line_bytes) else None


@functools.cache
def _engine() -> duckdb.DuckDBPyConnection:
    """An engine of its own for making text: readers know no lake, and may run on several threads."""
    import duckdb

    engine = duckdb.connect(":memory:")
    engine.execute("SET GLOBAL TimeZone = 'UTC'")
    engine.execute("SET GLOBAL arrow_large_buffer_size = true")
    return engine


def text_rows(
    columns: pa.RecordBatch, landing: LandingFormat, numbers: pa.Array, *, json_columns: Collection[str] = ()
) -> pa.Table:
    """Rows as ``line`` and ``text``: a JSON object of the values that are not null.

    Values of the format's columns are texts, so that no number passes through a double on its way; nested ones, and
    numbers and truth values of columns that the format does not know, stay what they are.
    """
    known = {column.name for column in landing.columns}
    plain, parts = {_NUMBER: numbers}, []
    for place, (name, values) in enumerate(zip(columns.schema.names, columns.columns, strict=True)):
        plain[f"c{place}"] = _readable(values)
        value = "c{0}" if name in json_columns else _json_sql(plain[f"c{place}"].type, bare=name not in known)
        label = json.dumps(name, ensure_ascii=False).replace("'", "''")
        # concat_ws leaves nulls out: a null value is an absent field.
        parts.append(f"'{label}:' || {value.format(place)}")
    with _engine().cursor() as cursor:
        # The engine scans Arrow by record batch: one big batch would be rendered by one thread.
        whole = pa.table(plain)
        batches = whole.to_batches(max_chunksize=BATCH_ROWS)
        cursor.register("columns", pa.Table.from_batches(batches, schema=whole.schema))
        cursor.execute(
            f"SELECT {_NUMBER} AS line, '{{' || concat_ws(',', NULL, {', '.join(parts) or 'NULL'}) || '}}' AS text "  # noqa: S608
            "FROM columns"
        )
        made = cursor.to_arrow_table()
    return made.cast(pa.schema([(LINE, pa.int64()), ("text", pa.large_string())]))


def _json_sql(kind: pa.DataType, *, bare: bool) -> str:
    """SQL of a column's JSON value; ``{0}`` stands for the column's place."""
    text = "to_json(c{0}::VARCHAR)::VARCHAR"
    if pa.types.is_nested(kind):
        # The engine writes NaN and Infinity into JSON, which knows neither; such a value becomes its text as a whole.
        value = "to_json(c{0})::VARCHAR"
        return f"CASE WHEN regexp_matches({value}, 'NaN|Infinity') THEN {text} ELSE {value} END"
    if bare and (pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
        return "c{0}::VARCHAR"
    if bare and pa.types.is_floating(kind):
        return f"CASE WHEN isfinite(c{{0}}) THEN c{{0}}::VARCHAR ELSE {text} END"
    return text


def _readable(values: pa.Array) -> pa.Array:
    """A column that the engine can turn into text whatever it holds."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return _readable(values.dictionary_decode())
    if pa.types.is_timestamp(kind):
        # Arrow names times outside of the engine's calendar instead of failing; without a zone it is UTC.
        return values.view(pa.timestamp(kind.unit)).cast(pa.large_string())
    if pa.types.is_temporal(kind) or pa.types.is_decimal256(kind):
        return values.cast(pa.large_string())
    if pa.types.is_float16(kind):
        return values.cast(pa.float32())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return decoded(values.cast(pa.large_binary()))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return decoded(values.cast(pa.large_string()).cast(pa.large_binary()))
    return values


def decoded(values: pa.Array) -> pa.Array:
    """Bytes as text; those that are no UTF-8 become U+FFFD so that the row is kept and explained."""
    try:
        return values.cast(pa.large_string())
    except pa.ArrowInvalid:
        # Rare: only a block with a broken text is decoded value by value.
        texts = [None if value is None else value.decode("utf-8", errors="replace") for value in values.to_pylist()]
        return pa.array(texts, pa.large_string())
