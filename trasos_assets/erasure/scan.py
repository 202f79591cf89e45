"""The final scan: every file under the data folder, unpacked and decoded, and no id in any of them.

It leans on nothing of the platform but the formats themselves, so that it also finds what the erasure knew nothing of:
gzip and zstd streams, tar bundles, Parquet and Avro, SQLite and DuckDB databases, and every other file as it is.
"""

# The functions of pyarrow.compute are made at run time.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import bz2
import csv
import io
import lzma
import re
import sqlite3
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import fastavro
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import zstandard

from trasos_assets.erasure.patterns import Finder, Kind, kind_of
from trasos_assets.erasure.unpacking import decompress, joined, text_columns, texts_of, zstd_unpacker
from trasos_assets.places import is_remote, names_below, shown

BLOCK_BYTES = 8 << 20
OVERLAP_BYTES = 4 << 10
_GZIP_BITS = 31
ID_COLUMNS = re.compile(r"(visitor|customer|unit|person|user|client)(_?id)?$|^id$", re.IGNORECASE)
LINE_COLUMNS = ("raw", "extra")
_PARQUET, _AVRO, _SQLITE, _DUCKDB, _GZIP, _ZSTD, _BZIP2, _XZ, _ZIP = (
    b"PAR1",
    b"Obj\x01",
    b"SQLite format 3\0",
    b"DUCK",
    b"\x1f\x8b",
    b"\x28\xb5\x2f\xfd",
    b"BZh",
    b"\xfd7zXZ\0",
    b"PK\x03\x04",
)
_BROKEN = (EOFError, OSError, ValueError, zlib.error, lzma.LZMAError, zstandard.ZstdError, pa.ArrowException)
Progress = Callable[[str, int, int], None]


@dataclass
class Scan:
    """What a scan saw: files and bytes, in which file how many ids were found, and what could not be decoded."""

    files: int = 0
    bytes: int = 0
    found: dict[str, int] = field(default_factory=dict)
    undecoded: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.found


def scan(roots: Iterable[Path], finder: Finder, progress: Progress | None = None, *, skip: Iterable[Path] = ()) -> Scan:
    """Look for whole ids in every file below some folders, which may be places in an object store.

    What cannot be decoded as what it seems to be is looked at as bytes, and named in ``undecoded``. ``skip`` names
    files that are left out, since they go right after the scan.
    """
    seen, left_out = Scan(), set(skip)
    for root in roots:
        names = names_below(root) if is_remote(root) or root.is_dir() else []
        for number, name in enumerate(names):
            if progress is not None:
                progress(f"scanning {name[-60:]}", number, len(names))
            path = root.joinpath(*name.split("/"))
            if path in left_out:
                continue
            looked = _Look(finder, seen, f"{shown(root)}/{name}")
            try:
                with path.open("rb") as stream:
                    ids = looked.at(stream, name, path if isinstance(path, Path) else None)
            except FileNotFoundError:
                continue  # a temporary file of a running process
            seen.files += 1
            if ids:
                seen.found[f"{shown(root)}/{name}"] = len(ids)
    return seen


def ids_in(path: Path, finder: Finder) -> set[str]:
    """Ids that one file of this machine holds, decoded."""
    with path.open("rb") as stream:
        return _Look(finder, Scan(), str(path)).at(stream, path.name, path)


class _Look:
    """One look at one file; what is packed into it is looked at in the same way."""

    def __init__(self, finder: Finder, seen: Scan, told: str) -> None:
        self.finder = finder
        self.seen = seen
        self.told = told

    def at(self, stream: IO[bytes], name: str, path: Path | None = None) -> set[str]:
        """Ids in a stream, by what it begins with."""
        magic = stream.read(512)
        stream.seek(0)
        kind, look = self._kind_of(magic)
        self.seen.kinds[kind] = self.seen.kinds.get(kind, 0) + 1
        if look is None:
            return self._bytes(stream) | (self._csv(stream) if ".csv" in name else set())
        try:
            found = look(stream, name, path)
        except _BROKEN as error:
            self._undecoded(kind, error)
            found = set()
        stream.seek(0)
        # Broken or not, its bytes are looked at as well: footers and free pages hold text as it is.
        return found | self._bytes(stream)

    def _undecoded(self, kind: str, error: Exception) -> None:
        self.seen.undecoded[self.told] = f"{kind}: {str(error)[:200] or type(error).__name__}"

    def _kind_of(self, magic: bytes) -> tuple[str, Callable[[IO[bytes], str, Path | None], set[str]] | None]:
        if magic[257:262] == b"ustar":
            return "tar", lambda stream, name, path: self._tar(stream)
        if magic[8:12] == _DUCKDB:
            return "duckdb", lambda stream, name, path: self._duckdb(path)
        return next(((kind, look) for begins, kind, look in self._kinds() if magic.startswith(begins)), ("other", None))

    def _kinds(self) -> tuple[tuple[bytes, str, Callable[[IO[bytes], str, Path | None], set[str]]], ...]:
        packed: dict[bytes, tuple[str, Callable[[IO[bytes], IO[bytes]], None]]] = {
            _GZIP: ("gzip", lambda stream, out: decompress(stream, out, lambda: zlib.decompressobj(_GZIP_BITS))),
            _ZSTD: ("zstd", lambda stream, out: decompress(stream, out, zstd_unpacker)),
            _BZIP2: ("bzip2", lambda stream, out: decompress(stream, out, bz2.BZ2Decompressor)),
            _XZ: ("xz", lambda stream, out: decompress(stream, out, lzma.LZMADecompressor)),
        }
        return (
            (_PARQUET, "parquet", lambda stream, name, path: self._parquet(stream)),
            (_AVRO, "avro", lambda stream, name, path: self._avro(stream)),
            (_SQLITE, "sqlite", self._sqlite),
            *((begins, kind, self._unpacked(opened)) for begins, (kind, opened) in packed.items()),
            (_ZIP, "zip", lambda stream, name, path: self._zip(stream)),
        )

    def _bytes(self, stream: IO[bytes]) -> set[str]:
        """Ids in the bytes as they are; in what is no text only long ones, since short ones stand there by chance."""
        found: set[str] = set()
        rest = b""
        while block := stream.read(BLOCK_BYTES):
            self.seen.bytes += len(block)
            content = rest + block
            ids = self.finder.in_text(content)
            is_text = b"\0" not in content or content.startswith(_SQLITE)
            found |= ids if is_text else {value for value in ids if kind_of(value) is Kind.LONG}
            rest = content[-OVERLAP_BYTES:]
        return found

    def _unpacked(
        self, unpack: Callable[[IO[bytes], IO[bytes]], None]
    ) -> Callable[[IO[bytes], str, Path | None], set[str]]:
        def look(stream: IO[bytes], name: str, path: Path | None) -> set[str]:
            # On disk, since what is inside may have to be read from its end.
            with tempfile.TemporaryFile() as unpacked:
                try:
                    unpack(stream, unpacked)
                except _BROKEN as error:
                    # What came out before it broke is looked at.
                    self._undecoded("packed", error)
                unpacked.seek(0)
                return self.at(unpacked, name.rsplit(".", 1)[0])

        return look

    def _tar(self, stream: IO[bytes]) -> set[str]:
        found: set[str] = set()
        with tarfile.open(fileobj=stream) as bundle:
            for member in bundle:
                content = bundle.extractfile(member)
                if content is not None:
                    found |= self.at(content, member.name)  # type: ignore[arg-type]
        return found

    def _zip(self, stream: IO[bytes]) -> set[str]:
        found: set[str] = set()
        with zipfile.ZipFile(stream) as bundle:
            for member in bundle.namelist():
                found |= self.at(io.BytesIO(bundle.read(member)), member)
        return found

    def _parquet(self, stream: IO[bytes]) -> set[str]:
        found: set[str] = set()
        with closing(pq.ParquetFile(stream)) as file:
            for batch in file.iter_batches():
                table = pa.Table.from_batches([batch])
                if [table.column_names.count(name) for name in ("side", "id")] == [1, 1]:
                    # Factors of items stand beside those of people, under ids of their own.
                    table = table.filter(pc.equal(table["side"], "person"))
                for name, column in text_columns(table):
                    found |= self._column(name, column)
        return found

    def _column(self, name: str, column: pa.ChunkedArray) -> set[str]:
        """Ids in a column of text: as whole values where it holds ids of people, else as in any text."""
        values = pc.unique(column.combine_chunks()).drop_null().cast(pa.large_binary())
        last = name.rsplit(".", 1)[-1]
        if ID_COLUMNS.search(last):
            ids = pa.array([value.encode() for value in sorted(self.finder.ids)], pa.large_binary())
            held = values.filter(pc.is_in(values, value_set=ids)).to_pylist()
            return {value.decode() for value in held} | self._long(values)
        if last in LINE_COLUMNS:
            return self.finder.in_values(joined(values))
        return self._long(values) if last not in LINE_COLUMNS else set()

    def _long(self, values: pa.Array) -> set[str]:
        return {value for value in self.finder.in_text(joined(values)) if kind_of(value) is Kind.LONG}

    def _avro(self, stream: IO[bytes]) -> set[str]:
        found: set[str] = set()
        batch: dict[str, list[str]] = {}
        for number, record in enumerate(fastavro.reader(stream), start=1):
            for name, value in texts_of("", record):
                batch.setdefault(name, []).append(value)
            if number % 50_000 == 0:
                found |= self._batch(batch)
                batch = {}
        return found | self._batch(batch)

    def _batch(self, batch: dict[str, list[str]]) -> set[str]:
        return {v for name, values in batch.items() for v in self._column(name, pa.chunked_array([values]))}

    def _sqlite(self, stream: IO[bytes], name: str, path: Path | None) -> set[str]:
        found: set[str] = set()
        if path is None:
            with tempfile.NamedTemporaryFile(suffix=".sqlite") as copy:
                while block := stream.read(BLOCK_BYTES):
                    copy.write(block)
                copy.flush()
                return self._sqlite(stream, name, Path(copy.name))
        try:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
                connection.text_factory = bytes
                for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                    rows = connection.execute(f'SELECT * FROM "{table.decode()}"')  # noqa: S608 - its own tables
                    while several := rows.fetchmany(5_000):
                        values = [v for row in several for v in row if isinstance(v, bytes)]
                        found |= self.finder.in_text(b"\n".join(values))
        except sqlite3.Error as error:
            raise ValueError(str(error)) from error
        return found

    def _duckdb(self, path: Path | None) -> set[str]:
        """Its own tables; what its views show is in the files that they read."""
        import duckdb

        found: set[str] = set()
        if path is None:
            return found
        try:
            with duckdb.connect(str(path), read_only=True) as connection:
                columns = connection.execute(
                    "SELECT schema_name, table_name, column_name FROM duckdb_columns() JOIN duckdb_tables() "
                    "USING (schema_name, table_name) WHERE data_type IN ('VARCHAR', 'BLOB', 'JSON')"
                ).fetchall()
                for schema, table, column in columns:
                    names = (part.replace('"', '""') for part in (column, schema, table))
                    sql = 'SELECT DISTINCT "{}"::VARCHAR AS v FROM "{}"."{}"'.format(*names)  # noqa: S608 - its own
                    for batch in connection.execute(sql).to_arrow_reader(100_000):
                        found |= self._column(column, pa.chunked_array([batch.column("v")]))
        except duckdb.Error as error:
            raise ValueError(str(error)) from error
        return found

    def _csv(self, stream: IO[bytes]) -> set[str]:
        """Numbers of people in fields whose header says that they are such."""
        numbers = {value for value in self.finder.ids if kind_of(value) is Kind.NUMBER}
        if not numbers:
            return set()
        stream.seek(0)
        text = io.TextIOWrapper(stream, "utf-8", errors="replace", newline="")
        try:
            rows = csv.reader(text)
            header = next(rows, [])
            places = [place for place, name in enumerate(header) if ID_COLUMNS.search(name)]
            found: set[str] = set()
            for row in rows:
                fields: Sequence[str] = [row[p] for p in places] if len(row) == len(header) else row
                found |= numbers.intersection(fields)
            return found
        except csv.Error:
            return set()
        finally:
            text.detach()
