"""Landed files as lines: whole, numbered, and never half of a broken file.

A file is read in blocks of complete lines. What cannot be read to its end (a truncated gzip, a file over the size
limit) raises before anything of it is used.
"""

# The functions of pyarrow.compute are made at run time.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trasos_assets.landing.blocks import MARKED, UnreadableFileError
from trasos_assets.landing.streams import BoundedStream, open_stream, reading
from trasos_assets.places import shown

BLOCK_BYTES = 4 << 20
MAX_LINE_BYTES = 256 << 20  # memory for one line; a line that is merely long is kept and quarantined
_BOM = b"\xef\xbb\xbf"


def blocks(path: Path, *, max_bytes: int, size: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Unpacked content in blocks of about ``size`` bytes that end at a line's end, without a byte order mark.

    Raises:
        UnreadableFileError: the file is truncated, not packed as its name says, too large, or one endless line.
    """
    rest: list[bytes] = []
    held = 0
    first = True
    with reading(path), open_stream(path) as opened:
        stream = BoundedStream(opened, path, max_bytes=max_bytes)
        while block := stream.read(size):
            if first:
                block, first = block.removeprefix(_BOM), False
            cut = block.rfind(b"\n") + 1
            if cut:
                yield b"".join((*rest, block[:cut]))
                rest, held = [], 0
            rest.append(block[cut:])
            held += len(block) - cut
            if held > MAX_LINE_BYTES:
                raise UnreadableFileError(
                    f"{shown(path)}: a line of over {MAX_LINE_BYTES:,} bytes; deliver one JSON object per line",
                    waiting=False,
                )
    if held:
        yield b"".join(rest)


def numbered(content: bytes, *, first: int) -> tuple[pa.Table, int]:
    """A table of ``line`` (int64, from ``first``) and ``text`` of some lines, and how many lines there are.

    Blank lines are counted but left out; bytes that are no UTF-8 become NO_UTF8.
    """
    whole = pa.array([content.removesuffix(b"\n")], pa.large_binary())
    try:
        whole = whole.cast(pa.large_string())
    except pa.ArrowInvalid:
        whole = pa.array([content.removesuffix(b"\n").decode("utf-8", errors=MARKED)], pa.large_string())
    lines = pc.list_flatten(pc.split_pattern(whole, "\n"))
    text = pc.utf8_rtrim(lines, characters="\r")
    table = pa.table({"line": pa.array(np.arange(first, first + len(lines), dtype=np.int64)), "text": text})
    return table.filter(pc.not_equal(pc.utf8_trim_whitespace(text), "")), len(lines)
