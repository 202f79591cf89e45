"""How much is held where: every table from its Parquet footers, every other place from its listing."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from trasos_assets.contracts.landing import FORMATS
from trasos_assets.contracts.model import Contract
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing.archive import ARCHIVE
from trasos_assets.places import is_remote
from trasos_assets.settings import Settings

_LOOKS_AT_ONCE = 8


@dataclass(frozen=True)
class Size:
    """Bytes, files and, of a table, rows and the bytes of each column; ``columns`` hold what compressed data take."""

    bytes: int
    files: int
    rows: int | None = None
    columns: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Something that is no table and takes room: a folder or a file, and the team that owns it."""

    name: str
    owner: str
    path: Path


def table_size(store: LakeStore, contract: Contract) -> Size:
    """What the published partitions of a table hold; one that is removed meanwhile is left out."""
    total = files = rows = 0
    columns: Counter[str] = Counter()
    for size, footer in looked_at(store, store.files(contract)):
        total, files, rows = total + size, files + 1, rows + footer.num_rows
        for group in range(footer.num_row_groups):
            chunks = footer.row_group(group)
            for number in range(chunks.num_columns):
                chunk = chunks.column(number)
                # A list's column has a path such as factors.list.element.
                columns[chunk.path_in_schema.split(".")[0]] += chunk.total_compressed_size
    return Size(total, files, rows, dict(columns))


def looked_at(store: LakeStore, files: Iterable[Path]) -> Iterator[tuple[int, pq.FileMetaData]]:
    """Bytes and footers of files in their order, several looked at at once; one that is gone meanwhile is left out."""

    def look(file: Path) -> tuple[int, pq.FileMetaData] | None:
        try:
            return store.storage.size(file), store.storage.footer(file)
        except FileNotFoundError:
            return None

    with ThreadPoolExecutor(_LOOKS_AT_ONCE, thread_name_prefix="footer") as pool:
        yield from (found for found in pool.map(look, files) if found is not None)


def places(settings: Settings) -> list[Place]:
    """What lies beside the lake's tables, in order of name."""
    landing = settings.landing_dir
    found = [
        Place("dagster_home", "engineering", settings.dagster_home),
        Place("reports", "analytics", settings.reports_dir),
        Place("samples", "engineering", settings.samples_dir),
        Place("spill", "engineering", settings.local_dir / "lake" / ".spill"),
        Place("warehouse", "engineering", settings.warehouse_path),
    ]
    for dataset in FORMATS:
        found.append(Place(f"landing/{dataset}", "engineering", landing / dataset))
        found.append(Place(f"landing_archive/{dataset}", "engineering", landing / ARCHIVE / dataset))
    return sorted(found, key=lambda place: place.name)


def place_size(path: Path) -> Size:
    """Bytes and files of a folder or file, links not followed; none if it is not there."""
    sizes = list(_remote_sizes(path) if is_remote(path) else _local_sizes(path))
    return Size(sum(sizes), len(sizes))


def _local_sizes(path: Path) -> Iterator[int]:
    if path.is_file():
        yield path.stat().st_size
        return
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                yield Path(folder, name).lstat().st_size
            except FileNotFoundError:
                continue  # databases come and go with their journals


def _remote_sizes(path: Any) -> Iterator[int]:
    path.fs.invalidate_cache(path.path)
    for info in path.fs.find(path.path, detail=True).values():
        if info.get("type", "file") == "file":
            yield int(info.get("size") or 0)
