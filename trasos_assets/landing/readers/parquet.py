"""Parquet files as blocks: row groups streamed a batch at a time, typed where the columns fit the format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from trasos_assets.contracts.landing import LandingFormat
from trasos_assets.landing.blocks import Block, UnreadableFileError
from trasos_assets.landing.readers.columnar import block_of
from trasos_assets.landing.streams import reading, too_large
from trasos_assets.places import is_remote, shown

BATCH_ROWS = 131_072
# What a row takes at least once it is read: a file of nothing but repeats may say that it holds any number of rows.
_ROW_BYTES = 8


def read_blocks(path: Path, landing: LandingFormat, *, max_bytes: int, max_line_bytes: int) -> Iterator[Block]:
    """Rows, numbered from 1, in blocks of at most BATCH_ROWS.

    A column that the format does not know takes a batch to text, unless it holds nothing but nulls.

    Raises:
        UnreadableFileError: the file is cut short, no Parquet, encrypted or over ``max_bytes``, or it names a column
            twice.
    """
    first = 1
    for batch in _batches(path, max_bytes=max_bytes):
        yield block_of(batch, landing, first=first, max_line_bytes=max_line_bytes)
        first += batch.num_rows


def count_rows(path: Path, *, max_bytes: int) -> int:
    """Number of rows; reads the whole file, and so proves that it can be read.

    Raises:
        UnreadableFileError: as ``read_blocks``.
    """
    return sum(batch.num_rows for batch in _batches(path, max_bytes=max_bytes))


def _batches(path: Path, *, max_bytes: int) -> Iterator[pa.RecordBatch]:
    try:
        with reading(path), closing(_open(path)) as source, closing(_parquet(source)) as file:
            _refuse_what_cannot_be_taken(file, path, max_bytes=max_bytes)
            if file.metadata.num_rows:
                yield from file.iter_batches(batch_size=BATCH_ROWS)
    except (pa.ArrowException, OverflowError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error


def _open(path: Path) -> pa.NativeFile:
    if is_remote(path):
        return pa.PythonFile(path.open("rb"), mode="r")
    try:
        return pa.OSFile(str(path))
    except OSError:
        path.open("rb").close()  # says why in the words of the system
        raise


def _parquet(source: pa.NativeFile) -> pq.ParquetFile:
    # Broken pages also come as OSError, which would be taken for a file system's.
    try:
        return _WholePages(source, page_checksum_verification=True, arrow_extensions_enabled=True)
    except OSError as error:
        raise pa.ArrowInvalid(str(error)) from error


class _WholePages(pq.ParquetFile):
    """A Parquet file whose broken pages raise ArrowInvalid."""

    def iter_batches(self, *args: object, **options: object) -> Iterator[pa.RecordBatch]:  # type: ignore[override]
        batches = super().iter_batches(*args, **options)  # type: ignore[arg-type]
        while True:
            try:
                batch = next(batches, None)
            except OSError as error:
                raise pa.ArrowInvalid(str(error)) from error
            if batch is None:
                return
            yield batch


def _refuse_what_cannot_be_taken(file: pq.ParquetFile, path: Path, *, max_bytes: int) -> None:
    groups = (file.metadata.row_group(number) for number in range(file.metadata.num_row_groups))
    unpacked = sum(max(group.total_byte_size, 0) for group in groups)
    if max(unpacked, file.metadata.num_rows * _ROW_BYTES) > max_bytes:
        raise too_large(path, max_bytes)
    names = file.schema_arrow.names
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise UnreadableFileError(
            f"{shown(path)}: columns named twice: {', '.join(doubled)}; give each a name of its own", waiting=False
        )


def _unreadable(path: Path, error: Exception) -> UnreadableFileError:
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    if "encrypt" in said.lower():
        return UnreadableFileError(
            f"{shown(path)}: the Parquet file is encrypted; deliver it without encryption", waiting=False
        )
    return UnreadableFileError(
        f"{shown(path)}: the Parquet file is broken or not complete ({said.rstrip('.')}); "
        "deliver the file again, whole",
        waiting=True,
    )
