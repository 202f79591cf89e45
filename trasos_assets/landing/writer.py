"""Landing files with the same bytes for the same rows: JSON lines made in the engine, gzip without time or name.

A file appears whole or not at all: it is written under a hidden name in its own folder and then renamed. Readers of
landing must skip names that begin with a dot.
"""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trasos_assets.contracts.landing import LandingFormat
from trasos_assets.contracts.model import BOOLEAN, DATE, INT32, INT64, MONEY, TIMESTAMP, Column
from trasos_assets.places import hidden_for, put_in_place
from trasos_assets.sql import quoted

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

BLOCK_BYTES = 1 << 20
BATCH_ROWS = 50_000
COMPRESSION_LEVEL = 6

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class LandedFile:
    """One file that was written: its path below the landing folder and its number of lines."""

    path: str
    lines: int


def _json_value(column: Column, expression: str) -> str:
    """SQL text of a column's JSON value, null where the expression is null.

    What is no value of the column's type stays a JSON string, so that the platform's door names the fault
    (``invalid_quantity``) with the value as it came.
    """
    as_string = f"CAST(to_json(CAST({expression} AS VARCHAR)) AS VARCHAR)"
    if column.type in (INT32, INT64, MONEY):
        digits = f"CAST(TRY_CAST({expression} AS DECIMAL(18, 4)) AS VARCHAR)"
        return f"coalesce(rtrim(rtrim({digits}, '0'), '.'), {as_string})"
    if column.type == BOOLEAN:
        return f"coalesce(CAST(TRY_CAST({expression} AS BOOLEAN) AS VARCHAR), {as_string})"
    if column.type == TIMESTAMP:
        return f"""'"' || strftime({expression}, '%Y-%m-%dT%H:%M:%S.%fZ') || '"'"""
    if column.type == DATE:
        return f"""'"' || strftime({expression}, '%Y-%m-%d') || '"'"""
    return as_string


def json_line(landing: LandingFormat, present: Iterable[str]) -> str:
    """SQL expression that makes one line (with its line feed) of a row, fields in the format's order.

    ``present`` names the columns that the row has; ids and texts as VARCHAR, times as naive UTC TIMESTAMP. A null field
    is left out of the line. ``ValueError`` if a field is not of the format, or if the format's first field, which
    every line must carry, is missing.
    """
    names = set(present)
    unknown = names - {column.name for column in landing.columns}
    first, *others = landing.columns
    if unknown or first.name not in names:
        raise ValueError(f"{landing.dataset} lines: unknown fields {sorted(unknown)} or no {first.name}")
    parts = [f"'{{\"{first.name}\":' || {_json_value(first, quoted(first.name))}"]
    parts += [
        f"coalesce(',\"{column.name}\":' || {_json_value(column, quoted(column.name))}, '')"
        for column in others
        if column.name in names
    ]
    return " || ".join([*parts, "'}' || chr(10)"])


class _GzipFile:
    """One gzip file in the making; blocks of a fixed size, so the bytes do not depend on how rows were batched."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.lines = 0
        self._hidden = hidden_for(target)
        self._raw = self._hidden.open("wb")
        self._gzip = gzip.GzipFile(filename="", mode="wb", compresslevel=COMPRESSION_LEVEL, fileobj=self._raw, mtime=0)
        self._pending = bytearray()

    def write(self, data: bytes, lines: int) -> None:
        self.lines += lines
        self._pending += data
        whole = len(self._pending) // BLOCK_BYTES * BLOCK_BYTES
        for start in range(0, whole, BLOCK_BYTES):
            self._gzip.write(bytes(self._pending[start : start + BLOCK_BYTES]))
        del self._pending[:whole]

    def publish(self) -> None:
        self._gzip.write(bytes(self._pending))
        self._gzip.close()
        self._raw.close()
        put_in_place(self._hidden, self.target)

    def discard(self) -> None:
        self._raw.close()
        self._hidden.unlink(missing_ok=True)


def _runs(paths: pa.Array) -> Iterable[tuple[int, int]]:
    """Start and end of every run of equal values."""
    codes = paths.dictionary_encode().indices.to_numpy()
    changes = np.flatnonzero(np.diff(codes)) + 1
    return itertools.pairwise([0, *changes.tolist(), len(paths)]) if len(paths) else []


def _joined(lines: pa.Array, start: int, end: int) -> bytes:
    """The lines from start to end, one after the other, straight from Arrow's buffer."""
    import pyarrow as pa

    lines = lines.cast(pa.large_string()).slice(start, end - start)
    offsets = np.frombuffer(lines.buffers()[1], dtype=np.int64)[lines.offset : lines.offset + len(lines) + 1]
    data = lines.buffers()[2]
    return b"" if data is None else data.slice(offsets[0], offsets[-1] - offsets[0]).to_pybytes()


def write_landing(
    rows: duckdb.DuckDBPyRelation, out: Path, *, total: int = 0, progress: Progress | None = None
) -> list[LandedFile]:
    """Write ``rows (path VARCHAR, line VARCHAR)``, sorted by path, as gzip files below ``out``.

    ``line`` holds its own line feed; ``path`` is relative to ``out``. Every file is replaced whole; other files in
    ``out`` are left alone. Returns the files in the order of their paths. ``ValueError`` if a path comes back after
    another one, because its first part would be lost.
    """
    landed: list[LandedFile] = []
    current: _GzipFile | None = None
    current_path = ""
    done = 0
    seen: set[str] = set()
    try:
        for batch in rows.to_arrow_reader(BATCH_ROWS):
            paths, lines = batch.column("path"), batch.column("line")
            if paths.null_count or lines.null_count:
                raise ValueError("a row to land has no path or no line")
            for start, end in _runs(paths):
                path = paths[start].as_py()
                if path != current_path:
                    if current is not None:
                        current.publish()
                        landed.append(LandedFile(current_path, current.lines))
                    if path in seen:
                        raise ValueError(f"rows to land are not sorted: {path} comes twice")
                    seen.add(path)
                    current, current_path = _GzipFile(out / path), path
                if current is not None:
                    current.write(_joined(lines, start, end), end - start)
            done += len(paths)
            if progress is not None:
                progress("writing landing files", done, max(total, done))
        if current is not None:
            current.publish()
            landed.append(LandedFile(current_path, current.lines))
    except BaseException:
        if current is not None:
            current.discard()
        raise
    return landed
