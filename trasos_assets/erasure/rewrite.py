"""A landed file without some of its lines, in the same format: everything else of it reads as it did."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import IO, Any

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import zstandard

from trasos_assets.contracts.landing import LandingFormat
from trasos_assets.erasure.people import ErasureError
from trasos_assets.landing import lines
from trasos_assets.landing.readers import AVRO, CSV, PARQUET, count_rows
from trasos_assets.landing.readers.avro import _understood
from trasos_assets.landing.readers.avro_blocks import MAGIC, SYNC_BYTES, blocks, long_bytes, read_header
from trasos_assets.landing.readers.csv import _bounded, _header, _parsed
from trasos_assets.landing.streams import packing, reading
from trasos_assets.places import shown

COMPRESSION_LEVEL = 6
_DEFLATED = b"deflate"


def write_without(path: Path, landing: LandingFormat, drop: Collection[int], out: Path, *, max_bytes: int) -> int:
    """Write a landed file without the lines of some numbers, as the readers number them.

    Args:
        path: the file; on this machine, in a store, or in a bundle.
        landing: the format of its data set.
        drop: numbers of the lines that go.
        out: a file of this machine, whose name ends as that of ``path`` does.
        max_bytes: what the file may hold when unpacked.

    Returns:
        How many rows are left. The same file and lines give the same bytes.

    Raises:
        UnreadableFileError: the file cannot be read whole.
        ErasureError: what was written has not as many rows fewer as were to go.
    """
    gone = np.array(sorted(drop), np.int64)
    if path.name.endswith(PARQUET):
        _parquet(path, gone, out)
    elif path.name.endswith(AVRO):
        _avro(path, gone, out)
    elif path.name.endswith(CSV):
        _csv(path, landing, gone, out, max_bytes)
    else:
        _lines(path, gone, out, max_bytes)
    before, after = (count_rows(file, landing, max_bytes=max_bytes) for file in (path, out))
    if before - after != len(gone):
        raise ErasureError(f"{shown(path)}: {len(gone)} of its {before} lines were to go, but {before - after} did")
    return after


@contextmanager
def _packed(out: Path) -> Iterator[IO[bytes]]:
    """A file to write, packed as its name says, with no time or name inside."""
    with ExitStack() as open_files:
        raw = open_files.enter_context(out.open("wb"))
        kind = packing(out)
        if kind == "gzip":
            packed: Any = gzip.GzipFile(filename="", mode="wb", compresslevel=COMPRESSION_LEVEL, fileobj=raw, mtime=0)
        elif kind == "zstd":
            packed = zstandard.ZstdCompressor().stream_writer(raw, closefd=False)
        else:
            packed = raw
        with closing(packed):
            yield packed


def _within(gone: np.ndarray, first: int, count: int) -> np.ndarray:
    """Places, from 0, of the numbers that fall among ``count`` rows from number ``first``."""
    start, stop = np.searchsorted(gone, (first, first + count))
    return gone[start:stop] - first


def _lines(path: Path, gone: np.ndarray, out: Path, max_bytes: int) -> None:
    first = 1
    with _packed(out) as target:
        for content in lines.blocks(path, max_bytes=max_bytes):
            count = content.count(b"\n") + (not content.endswith(b"\n"))
            places = _within(gone, first, count)
            first += count
            if not len(places):
                target.write(content)
                continue
            every = content.splitlines(keepends=True) if b"\r" not in content else _cut(content)
            for place in places[::-1]:
                del every[place]
            target.write(b"".join(every))


def _cut(content: bytes) -> list[bytes]:
    """Lines with their line feeds, which alone end a line."""
    parts = content.split(b"\n")
    last = [parts[-1]] if parts[-1] else []
    return [part + b"\n" for part in parts[:-1]] + last


def _csv(path: Path, landing: LandingFormat, gone: np.ndarray, out: Path, max_bytes: int) -> None:
    """Records as they were read, each value in quotes; those that have not a field for each name as they stand."""
    dropped = set(gone.tolist())
    with reading(path), closing(_bounded(path, max_bytes)) as stream, _packed(out) as target:
        names, rest = _header(stream, path, landing)
        header = io.StringIO(newline="")
        csv.writer(header, lineterminator="\n").writerow(names)
        target.write(header.getvalue().encode())
        for records in _parsed(rest, stream, path, len(names)):
            wrong = [(number, text) for number, text in records.wrong if number not in dropped]
            keep = ~np.isin(records.numbers, gone)
            numbers = records.numbers[keep]
            fields = records.fields.filter(pa.array(keep))
            start = 0
            for number, text in wrong:
                stop = int(np.searchsorted(numbers, number))
                _write_records(fields.slice(start, stop - start), target)
                target.write(text.encode() + b"\n")
                start = stop
            _write_records(fields.slice(start), target)


def _write_records(fields: pa.RecordBatch, target: IO[bytes]) -> None:
    if fields.num_rows:
        sink = pa.BufferOutputStream()
        options = pa_csv.WriteOptions(include_header=False, quoting_style="all_valid")
        pa_csv.write_csv(fields, sink, options)
        target.write(sink.getvalue().to_pybytes())


def _parquet(path: Path, gone: np.ndarray, out: Path) -> None:
    with path.open("rb") as source, closing(pq.ParquetFile(source)) as file:
        groups = file.metadata.num_row_groups
        packed = file.metadata.row_group(0).column(0).compression.lower() if groups else "zstd"
        packed = "none" if packed == "uncompressed" else packed
        with pq.ParquetWriter(out, file.schema_arrow, compression=packed) as writer:
            first = 1
            for number in range(groups):
                group = file.read_row_group(number)
                keep = np.ones(group.num_rows, bool)
                keep[_within(gone, first, group.num_rows)] = False
                first += group.num_rows
                writer.write_table(group if keep.all() else group.filter(pa.array(keep)))


def _avro(path: Path, gone: np.ndarray, out: Path) -> None:
    """Records as the bytes that they are, in deflated blocks; what else the header said of the file is left out."""
    sync, first = b"\0" * SYNC_BYTES, 1
    with reading(path), path.open("rb") as stream, out.open("wb") as target:
        header = read_header(stream)
        schema = fastavro.parse_schema(_understood(header.schema)[1])
        entries = ((b"avro.schema", json.dumps(header.schema).encode()), (b"avro.codec", _DEFLATED))
        named = b"".join(long_bytes(len(part)) + part for entry in entries for part in entry)
        target.write(MAGIC + long_bytes(len(entries)) + named + long_bytes(0) + sync)
        for count, content in blocks(stream, header):
            places = _within(gone, first, count)
            first += count
            kept = _without_records(content, count, set(places.tolist()), schema) if len(places) else content
            if len(places) < count:
                deflate = zlib.compressobj(COMPRESSION_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
                packed = deflate.compress(kept) + deflate.flush()
                target.write(long_bytes(count - len(places)) + long_bytes(len(packed)) + packed + sync)


def _without_records(content: bytes, count: int, places: Collection[int], schema: Any) -> bytes:
    parts, stream = [], io.BytesIO(content)
    for place in range(count):
        start = stream.tell()
        fastavro.schemaless_reader(stream, schema, handle_unicode_errors="replace")
        if place not in places:
            parts.append(content[start : stream.tell()])
    return b"".join(parts)
