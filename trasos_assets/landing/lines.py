"""Landed files as lines: whole, numbered, and never half of a broken file.

A file is read in blocks of complete lines. What cannot be read to its end (a truncated gzip, a file over the size
limit) raises before anything of it is used.
"""

# The functions of pyarrow.compute are made at run time.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trasos_assets.landing.blocks import UnreadableFileError

BLOCK_BYTES = 32 << 20
MAX_LINE_BYTES = 256 << 20  # memory for one line; a line that is merely long is kept and quarantined
SUFFIXES = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz", ".json", ".json.gz")
_BOM = b"\xef\xbb\xbf"


def file_signature(path: Path) -> str:
    """Size, times and inode: what shows that a file was touched without reading it."""
    stat = path.stat()
    return f"{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ctime_ns}-{stat.st_ino}"


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb")  # type: ignore[return-value]


def blocks(path: Path, *, max_bytes: int, size: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Decompressed content in blocks of about ``size`` bytes that end at a line's end, without a byte order mark.

    Raises:
        UnreadableFileError: the file is truncated, no gzip in spite of its name, too large, or one endless line.
    """
    rest: list[bytes] = []
    held, total = 0, 0
    try:
        with _open(path) as stream:
            while block := stream.read(size):
                if not total:
                    block = block.removeprefix(_BOM)
                total += len(block)
                if total > max_bytes:
                    raise UnreadableFileError(
                        f"{path}: over {max_bytes:,} bytes when decompressed; split it, or raise TRASOS_MAX_FILE_BYTES",
                        waiting=False,
                    )
                cut = block.rfind(b"\n") + 1
                if cut:
                    yield b"".join((*rest, block[:cut]))
                    rest, held = [], 0
                rest.append(block[cut:])
                held += len(block) - cut
                if held > MAX_LINE_BYTES:
                    raise UnreadableFileError(
                        f"{path}: a line of over {MAX_LINE_BYTES:,} bytes; deliver one JSON object per line",
                        waiting=False,
                    )
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UnreadableFileError(
            f"{path}: the gzip stream is broken or not complete ({error}); deliver the file again, whole", waiting=True
        ) from error
    except OSError as error:
        raise UnreadableFileError(
            f"{path}: cannot be read ({error.strerror}); mend its permissions or deliver it again", waiting=True
        ) from error
    if held:
        yield b"".join(rest)


def numbered(content: bytes, *, first: int) -> tuple[pa.Table, int]:
    """A table of ``line`` (int64, from ``first``) and ``text`` of some lines, and how many lines there are.

    Blank lines are counted but left out; bytes that are no UTF-8 become U+FFFD.
    """
    whole = pa.array([content.removesuffix(b"\n")], pa.large_binary())
    try:
        whole = whole.cast(pa.large_string())
    except pa.ArrowInvalid:
        whole = pa.array([content.removesuffix(b"\n").decode("utf-8", errors="replace")], pa.large_string())
    lines = pc.list_flatten(pc.split_pattern(whole, "\n"))
    text = pc.utf8_rtrim(lines, characters="\r")
    table = pa.table({"line": pa.array(np.arange(first, first + len(lines), dtype=np.int64)), "text": text})
    return table.filter(pc.not_equal(pc.utf8_trim_whitespace(text), "")), len(lines)


def numbered_lines(path: Path, *, max_bytes: int) -> Iterator[pa.Table]:
    """Tables of ``line`` (int64, from 1) and ``text``, a block at a time; blank lines are counted but left out.

    Raises:
        UnreadableFileError: as ``blocks``.
    """
    first = 1
    for block in blocks(path, max_bytes=max_bytes):
        table, lines = numbered(block, first=first)
        first += lines
        yield table


def count_lines(path: Path, *, max_bytes: int) -> int:
    """Number of lines that hold anything; reads the whole file, and so proves that it can be read.

    Raises:
        UnreadableFileError: as ``blocks``.
    """
    return sum(table.num_rows for table in numbered_lines(path, max_bytes=max_bytes))
