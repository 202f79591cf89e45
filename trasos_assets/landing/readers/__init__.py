"""Readers of landed files, one a format: each gives blocks of numbered rows, whatever the file holds.

Which reader a file gets is said by its suffix. A row's values do not depend on the format it came in.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trasos_assets.contracts.landing import LandingFormat
from trasos_assets.landing.blocks import Block

PACKINGS = ("", ".gz", ".zst")
JSON_LINES = tuple(base + packing for base in (".jsonl", ".ndjson", ".json") for packing in PACKINGS)
CSV = tuple(".csv" + packing for packing in PACKINGS)
PARQUET = (".parquet",)
AVRO = (".avro",)
SUFFIXES = (*JSON_LINES, *CSV, *PARQUET, *AVRO)
OPEN_ENDED = (".jsonl", ".ndjson", ".json", ".csv")
"""Suffixes of files that do not show by themselves whether they are whole."""


def read_blocks(path: Path, landing: LandingFormat, *, max_bytes: int, max_line_bytes: int) -> Iterator[Block]:
    """The rows of a landed file in blocks, in order.

    Args:
        path: the file, on this machine or any fsspec store (UPath).
        landing: the format of its data set.
        max_bytes: what the file may hold when unpacked.
        max_line_bytes: rows whose text may be longer come as text, so that the door can refuse them.

    Raises:
        UnreadableFileError: the file cannot be read whole, or is of none of SUFFIXES.
    """
    if path.name.endswith(CSV):
        from trasos_assets.landing.readers import csv

        return csv.read_blocks(path, landing, max_bytes=max_bytes)
    if path.name.endswith(PARQUET):
        from trasos_assets.landing.readers import parquet

        return parquet.read_blocks(path, landing, max_bytes=max_bytes, max_line_bytes=max_line_bytes)
    if path.name.endswith(AVRO):
        from trasos_assets.landing.readers import avro

        return avro.read_blocks(path, landing, max_bytes=max_bytes, max_line_bytes=max_line_bytes)
    from trasos_assets.landing import json_lines

    return json_lines.read_blocks(path, landing, max_bytes=max_bytes, max_line_bytes=max_line_bytes)


def count_rows(path: Path, landing: LandingFormat, *, max_bytes: int) -> int:
    """Number of rows of a landed file; reads all of it, and so proves that it can be read.

    Raises:
        UnreadableFileError: as ``read_blocks``.
    """
    if path.name.endswith(CSV):
        from trasos_assets.landing.readers import csv

        return csv.count_rows(path, landing, max_bytes=max_bytes)
    if path.name.endswith(PARQUET):
        from trasos_assets.landing.readers import parquet

        return parquet.count_rows(path, max_bytes=max_bytes)
    if path.name.endswith(AVRO):
        from trasos_assets.landing.readers import avro

        return avro.count_rows(path, max_bytes=max_bytes)
    from trasos_assets.landing import json_lines

    return json_lines.count_rows(path, max_bytes=max_bytes)
