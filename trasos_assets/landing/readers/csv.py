"""CSV files as blocks of text: a header line, commas, quotes as in RFC 4180, UTF-8 with or without a byte order mark.

A record becomes a JSON object of strings, an empty field an absent one. A record with too many or too few fields
becomes a row of its own text, which is no JSON object and so is refused by name; it stops no other.
"""

# The functions of pyarrow.compute are made at run time.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import codecs
import csv
import io
import itertools
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from trasos_assets.contracts.landing import LandingFormat
from trasos_assets.landing.blocks import MARKED, Block, UnreadableFileError
from trasos_assets.landing.readers.columnar import LINE, text_rows
from trasos_assets.landing.streams import BoundedStream, open_stream, reading
from trasos_assets.places import shown

BLOCK_BYTES = 16 << 20
HEADER_BYTES = 1 << 20
_READ_BYTES = 4 << 20
_BOM = b"\xef\xbb\xbf"
# A last record of our own: if it does not come back as the last one, the file ended inside of quotes.
_END = b"\x1eend of the file\x1e"


@dataclass(frozen=True)
class _Records:
    """Some records: those with a field for each name, under their numbers, and the texts of the others."""

    fields: pa.RecordBatch
    numbers: np.ndarray
    wrong: list[tuple[int, str]]


def read_blocks(path: Path, landing: LandingFormat, *, max_bytes: int) -> Iterator[Block]:
    """Records as text blocks; ``line`` is the number of the record: the header is 1, blank lines do not count.

    Raises:
        UnreadableFileError: the file is packed and broken, ends inside of quotes, is over ``max_bytes``, has no usable
            header, or a record of over BLOCK_BYTES.
    """
    with reading(path), closing(_bounded(path, max_bytes)) as stream:
        names, rest = _header(stream, path, landing)
        for records in _parsed(rest, stream, path, len(names)):
            columns = [
                pc.if_else(pc.equal(pc.binary_length(values), 0), None, values) for values in records.fields.columns
            ]
            rows = text_rows(pa.RecordBatch.from_arrays(columns, names), landing, pa.array(records.numbers))
            if records.wrong:
                rows = pa.concat_tables([rows, _refused(records.wrong, len(names))]).sort_by(LINE)
            yield Block(rows, typed=False)


def count_rows(path: Path, landing: LandingFormat, *, max_bytes: int) -> int:
    """Number of records after the header; reads the whole file, and so proves that it can be read.

    Raises:
        UnreadableFileError: as ``read_blocks``.
    """
    with reading(path), closing(_bounded(path, max_bytes)) as stream:
        names, rest = _header(stream, path, landing)
        return sum(records.fields.num_rows + len(records.wrong) for records in _parsed(rest, stream, path, len(names)))


def _bounded(path: Path, max_bytes: int) -> BoundedStream:
    return BoundedStream(open_stream(path), path, max_bytes=max_bytes)


def _header(stream: BoundedStream, path: Path, landing: LandingFormat) -> tuple[list[str], bytes]:
    """Names of the columns, and what was read beyond them."""
    start = b""
    while len(start) < HEADER_BYTES and (block := stream.read(HEADER_BYTES - len(start))):
        start += block
    content = start.removeprefix(_BOM).lstrip(b"\r\n")
    end = _first_end(content)
    if end is None and len(start) == HEADER_BYTES:
        raise _refusal(
            path, f"its header is over {HEADER_BYTES:,} bytes", "begin the file with the names of its fields"
        )
    try:
        text = content[:end].decode("utf-8")
        names = next(csv.reader(io.StringIO(text, newline=""), strict=True), [])
    except UnicodeDecodeError as error:
        raise _refusal(path, "its header is no UTF-8", "write the file as UTF-8") from error
    except csv.Error as error:
        raise _refusal(path, f"its header cannot be read ({error})", "mend its quotes") from error
    known = {column.name for column in landing.columns}
    doubled = sorted({name for name in names if names.count(name) > 1})
    if not known.intersection(names):
        raise _refusal(
            path,
            f"it has no header line: none of its first fields is one of {landing.dataset}",
            "begin the file with the names of its fields, separated by commas",
        )
    if "" in names:
        raise _refusal(path, f"its header has no name for column {names.index('') + 1}", "give each column a name")
    if doubled:
        raise _refusal(
            path, f"its header names {', '.join(map(repr, doubled))} twice", "give each column a name of its own"
        )
    return names, content[end:] if end is not None else b""


def _first_end(content: bytes) -> int | None:
    """Where the first line break outside of quotes stands."""
    at = quotes = 0
    for line in content.splitlines(keepends=True):
        quotes += line.count(b'"')
        at += len(line)
        if line.endswith((b"\n", b"\r")) and quotes % 2 == 0:
            return at
    return None


def _refusal(path: Path, fault: str, fix: str) -> UnreadableFileError:
    return UnreadableFileError(f"{shown(path)}: {fault}; {fix}", waiting=False)


class _Content(io.RawIOBase):
    """What stands after the header as UTF-8, and the record that marks its end."""

    def __init__(self, start: bytes, rest: BoundedStream, columns: int) -> None:
        end = b",".join([_END] + [b""] * (columns - 1))
        # The parser takes one mark of byte order away: ours, or it would be one that the first value begins with.
        self._blocks = itertools.chain([_BOM], _utf8(start, rest), [b"\n" + end + b"\n"])
        self._held = memoryview(b"")

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        # Always as much as was asked for: a block of less than a line trips the parser up. And never an end within a
        # CRLF: the parser drops the line feed that the next block begins with then, in quotes too.
        parts: list[memoryview] = []
        while size > 0 and (held := self._held or memoryview(next(self._blocks, b""))):
            parts.append(held[:size])
            self._held = held[size:]
            size -= len(parts[-1])
        if parts and parts[-1][-1:] == b"\r":
            parts[-1] = parts[-1][:-1]
            self._held = memoryview(b"\r" + self._held.tobytes())
        return b"".join(parts)


def _utf8(start: bytes, rest: BoundedStream) -> Iterator[bytes]:
    """Content in blocks; bytes that are no UTF-8 become NO_UTF8 so that the record is kept and explained."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors=MARKED)
    block = start or rest.read(_READ_BYTES)
    while block:
        if text := decoder.decode(block):
            yield text.encode()
        block = rest.read(_READ_BYTES)
    if text := decoder.decode(b"", final=True):
        yield text.encode()


def _parsed(start: bytes, stream: BoundedStream, path: Path, columns: int) -> Iterator[_Records]:
    wrong: list[tuple[int, str]] = []

    def keep(row: pacsv.InvalidRow) -> str:
        wrong.append((row.number + 1, row.text))  # the header is the first record
        return "skip"

    names = [f"c{place}" for place in range(columns)]
    first, ended = 2, False
    held: _Records | None = None  # until it is sure that its last record is no swallowed end of the file
    try:
        reader = pacsv.open_csv(
            _Content(start, stream, columns),
            # On one thread, because only there the number of a wrong row is known.
            read_options=pacsv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES, column_names=names),
            parse_options=pacsv.ParseOptions(newlines_in_values=True, invalid_row_handler=keep),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
        for batch in reader:
            numbers = _numbers(batch.num_rows, first, wrong)
            if batch.num_rows and batch.column(0)[-1].as_py() == _END.decode():
                ended, batch, numbers = True, batch.slice(0, batch.num_rows - 1), numbers[:-1]
            due = [row for row in wrong if ended or (len(numbers) and row[0] < numbers[-1])]
            wrong[:] = wrong[len(due) :]
            first = int(numbers[-1]) + 1 if len(numbers) else first
            if held is not None:
                yield held
            held = _Records(batch, numbers, due)
    except pa.ArrowInvalid as error:
        if "straddling" in str(error):
            fault = f"a record of over {BLOCK_BYTES:,} bytes"
            raise _refusal(path, fault, "close its quotes, or deliver smaller records") from error
        raise _refusal(
            path, f"it cannot be read as CSV ({error})", "deliver it again, with a comma between fields"
        ) from error
    if not ended:
        last = max([first - 1, *(number for number, _ in wrong)])
        raise UnreadableFileError(
            f"{shown(path)}: ends inside of quotes that open in record {last}; deliver the file again, whole",
            waiting=True,
        )
    if held is not None:
        yield held


def _numbers(rows: int, first: int, wrong: list[tuple[int, str]]) -> np.ndarray:
    """Numbers of the next rows, without those of the records that are wrong."""
    numbers = np.arange(first, first + rows + len(wrong), dtype=np.int64)
    if wrong:
        numbers = np.setdiff1d(numbers, np.array([number for number, _ in wrong]), assume_unique=True)
    return numbers[:rows]


def _refused(wrong: list[tuple[int, str]], columns: int) -> pa.Table:
    """Rows of records that have not a field for each name; one that looks like JSON is marked, or it would be read."""
    texts = [f"not {columns} fields: {text}" if text.lstrip().startswith("{") else text for _, text in wrong]
    return pa.table(
        {LINE: pa.array([number for number, _ in wrong], pa.int64()), "text": pa.array(texts, pa.large_string())}
    )
