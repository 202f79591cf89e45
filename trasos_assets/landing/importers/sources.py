"""CSV sources: find the files, check every stream to its end, and load them into DuckDB in their own order.

Nothing here knows what the columns mean. A loaded source is the table ``source_rows`` with the source's columns as
VARCHAR and three of its own: ``__seq`` (order over all files), ``__document`` (file name without endings) and ``__row``
(ordinal within the document, from 1).
"""

from __future__ import annotations

import codecs
import csv
import gzip
import itertools
import re
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import duckdb

from trasos_assets.landing.importers.model import ImportSourceError
from trasos_assets.landing.writer import Progress

ENDINGS = (".csv.gz", ".csv")
DELIMITERS = (",", ";", "\t", "|")
CHUNK_BYTES = 1 << 20
MAX_HEADER_BYTES = 1 << 20
SHOWN_EXAMPLES = 3
MALFORMED = "malformed_line"

_READ = """
    SELECT $seen + row_number() OVER () AS __seq, *
    FROM read_csv($files, columns = $columns, auto_detect = false, header = true, delim = $delimiter, quote = '"',
                  escape = '"', encoding = $encoding, nullstr = '', filename = '__file',
                  ignore_errors = true, store_rejects = true)
"""


@dataclass(frozen=True)
class CsvFile:
    """One file of a source as found by reading it whole: its encoding, delimiter and column names."""

    path: Path
    document: str
    encoding: str
    delimiter: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Loaded:
    """A loaded source: how many rows it has, and how many lines were no row of it."""

    columns: tuple[str, ...]
    rows: int
    malformed: int
    malformed_examples: tuple[str, ...]

    @property
    def rows_read(self) -> int:
        """Rows, readable or not."""
        return self.rows + self.malformed

    def resolve(self, name: str) -> str | None:
        """The source's own spelling of a column name, case aside; ``None`` if it has no such column."""
        return {column.lower(): column for column in self.columns}.get(name.lower())


@contextmanager
def engine(timezone: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB of its own, spilling to a temporary folder, that reads naive times in ``timezone``."""
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ImportSourceError(f"{timezone!r} is no IANA time zone; use a name such as Europe/London") from error
    with tempfile.TemporaryDirectory(prefix="trasos-import-") as spill:
        connection = duckdb.connect(config={"temp_directory": spill, "autoinstall_known_extensions": "false"})
        try:
            connection.execute(f"SET TimeZone = '{timezone}'")
            connection.execute("SET preserve_insertion_order = true")
            yield connection
        finally:
            connection.close()


def document_name(path: Path) -> str:
    """The file's name without ``.csv`` or ``.csv.gz``."""
    for ending in ENDINGS:
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.stem


def find_files(source: Path) -> list[Path]:
    """The CSV files of a source (a file, or a folder of them), by name.

    Raises ``ImportSourceError`` if there are none, or if two have the same name but for their ending, because rows
    are identified by it.
    """
    if not source.exists():
        raise ImportSourceError(f"{source} does not exist; name a CSV file or a folder of .csv or .csv.gz files")
    if source.is_file():
        return [source]
    files = sorted(p for p in source.iterdir() if p.is_file() and p.name.lower().endswith(ENDINGS) and p.name[0] != ".")
    if not files:
        raise ImportSourceError(f"{source} holds no .csv or .csv.gz file; name the folder in which the files lie")
    by_document: dict[str, Path] = {}
    for path in files:
        other = by_document.setdefault(document_name(path), path)
        if other is not path:
            raise ImportSourceError(
                f"{other} and {path.name} would give their rows the same ids; remove one of them or rename it"
            )
    return files


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def inspect(path: Path, *, delimiter: str | None = None, encoding: str | None = None) -> CsvFile:
    """Read a file to its end and say how it is written: UTF-8 if every byte of it is, else Latin-1.

    Raises ``ImportSourceError`` for a gzip stream that is cut short or broken (the engine would silently take its
    first half), a file without a header, a doubled column name, or text that is not in the ``encoding`` asked for.
    """
    zipped = _is_gzip(path)
    if zipped != path.name.lower().endswith(".gz"):
        fix = "rename it to end in .csv.gz" if zipped else "its name ends in .gz but it is not compressed; rename it"
        raise ImportSourceError(f"{path}: the name and the content disagree about gzip; {fix}")
    head = bytearray()
    decoder = codecs.getincrementaldecoder("utf-8")()
    is_utf8 = True
    try:
        with gzip.open(path, "rb") if zipped else path.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                if len(head) < MAX_HEADER_BYTES:
                    head += chunk
                if is_utf8:
                    try:
                        decoder.decode(chunk)
                    except UnicodeDecodeError:
                        is_utf8 = False
        if is_utf8:
            try:
                decoder.decode(b"", final=True)
            except UnicodeDecodeError:
                is_utf8 = False
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ImportSourceError(f"{path}: the gzip stream is cut short or broken ({error}); fetch it again") from error
    if encoding == "utf-8" and not is_utf8:
        raise ImportSourceError(f"{path} is not UTF-8; set the encoding to latin-1 or convert the file")
    found = encoding or ("utf-8" if is_utf8 else "latin-1")
    first_line = bytes(head).split(b"\n", 1)[0].decode(found, errors="replace").lstrip("\ufeff").rstrip("\r")
    if not first_line.strip():
        raise ImportSourceError(f"{path} has no header line; its first line must name the columns")

    def fields(separator: str) -> tuple[str, ...]:
        return tuple(name.strip() for name in next(csv.reader([first_line], delimiter=separator)))

    used = delimiter or max(DELIMITERS, key=lambda separator: len(fields(separator)))
    columns = fields(used)
    lowered = [name.lower() for name in columns]
    doubled = sorted({name for name in columns if lowered.count(name.lower()) > 1 or not name})
    if doubled:
        raise ImportSourceError(f"{path}: columns without a name or named twice in the header: {doubled}; rename them")
    return CsvFile(path, document_name(path), found, used, columns)


def require_columns(csv_file: CsvFile, required: Sequence[str], *, wanted_by: str) -> None:
    """Raise ``ImportSourceError`` naming file, missing columns and present ones if ``required`` are not all there."""
    present = {column.lower() for column in csv_file.columns}
    missing = [name for name in required if name.lower() not in present]
    if missing:
        raise ImportSourceError(
            f"{csv_file.path}: no column {', '.join(missing)}, which {wanted_by} needs; "
            f"the file has {', '.join(csv_file.columns)}"
        )


def inspect_all(
    source: Path, *, delimiter: str | None = None, encoding: str | None = None, progress: Progress | None = None
) -> list[CsvFile]:
    """Find and inspect the files of a source; they must agree on their column names, in any order."""
    paths = find_files(source)
    files: list[CsvFile] = []
    for number, path in enumerate(paths, start=1):
        files.append(inspect(path, delimiter=delimiter, encoding=encoding))
        if {c.lower() for c in files[-1].columns} != {c.lower() for c in files[0].columns}:
            raise ImportSourceError(
                f"{path} has the columns {', '.join(files[-1].columns)}, but {files[0].path.name} has "
                f"{', '.join(files[0].columns)}; import them from two folders"
            )
        if progress is not None:
            progress("checking files", number, len(paths))
    return files


def _refuse_open_quotes(connection: duckdb.DuckDBPyConnection) -> None:
    # The engine counts an open quote as one bad line, however many good lines it swallowed up to the next quote.
    found = connection.sql("""
        SELECT file_path, line FROM reject_errors JOIN reject_scans USING (scan_id, file_id)
        WHERE error_type = 'UNQUOTED VALUE' ORDER BY ALL LIMIT 1
    """).fetchall()
    for path, line in found:
        raise ImportSourceError(
            f"{path}, line {line}: a quote is not closed, or text follows a closing quote, so lines after it cannot be "
            'told apart; double the quotes inside quoted fields ("3"" plate")'
        )


def load(connection: duckdb.DuckDBPyConnection, files: Sequence[CsvFile]) -> Loaded:
    """Load inspected files into the table ``source_rows``; lines with too few or too many fields are counted apart."""
    seen = 0
    layouts = itertools.groupby(files, key=lambda f: (f.encoding, f.delimiter, f.columns))
    for number, ((encoding, delimiter, columns), group) in enumerate(layouts):
        parameters = {
            "seen": seen,
            "files": [str(f.path) for f in group],
            "columns": dict.fromkeys(columns, "VARCHAR"),
            "delimiter": delimiter,
            "encoding": encoding,
        }
        into = "INSERT INTO loaded BY NAME" if number else "CREATE TABLE loaded AS"
        try:
            connection.execute(into + _READ, parameters)
        except duckdb.Error as error:
            named = re.search(r"^\s*file = (.+)$", str(error), re.MULTILINE)
            raise ImportSourceError(
                f"{named.group(1) if named else files[0].path.parent}: the lines cannot be told apart; write the file "
                f"with one kind of line end and quotes around fields that hold one ({str(error).splitlines()[0]})"
            ) from error
        (seen,) = connection.sql("SELECT count(*) FROM loaded").fetchall()[0]
    _refuse_open_quotes(connection)
    connection.execute("CREATE TABLE documents (__file VARCHAR, __document VARCHAR)")
    connection.executemany("INSERT INTO documents VALUES (?, ?)", [(str(f.path), f.document) for f in files])
    connection.execute("""
        CREATE VIEW source_rows AS
        SELECT loaded.* EXCLUDE (__file), __document,
               row_number() OVER (PARTITION BY __document ORDER BY __seq) AS __row
        FROM loaded JOIN documents USING (__file)
    """)
    bad = connection.sql("""
        SELECT DISTINCT file_path, line FROM reject_errors JOIN reject_scans USING (scan_id, file_id) ORDER BY ALL
    """)
    malformed = bad.aggregate("count(*)").fetchall()[0][0]
    examples = tuple(f"{Path(path).name}:{line}" for path, line in bad.limit(SHOWN_EXAMPLES).fetchall())
    return Loaded(files[0].columns, seen, malformed, examples)
