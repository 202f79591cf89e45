"""The lines of a file as text, read the patient way."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from trasos_assets.landing.lines import blocks, numbered


def numbered_lines(path: Path, *, max_bytes: int) -> Iterator[pa.Table]:
    """Tables of ``line`` (int64, from 1) and ``text``; blank lines are counted but left out."""
    first = 1
    for block in blocks(path, max_bytes=max_bytes):
        table, lines = numbered(block, first=first)
        first += lines
        yield table
