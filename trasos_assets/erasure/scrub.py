"""Files that nobody thinks of: Dagster's databases, logs and stray text that hold an id lose the id, not the record."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from trasos_assets.erasure.patterns import Finder
from trasos_assets.erasure.people import ErasureError

_SQLITE = b"SQLite format 3\0"
_WAIT_SECONDS = 60
_MOST_TEXT_BYTES = 1 << 30


def scrub(paths: Iterable[Path], finder: Finder) -> dict[str, int]:
    """Put a mark in place of every id in databases and text files; returns changed rows (1 for a text) by file.

    Files that are neither are left as they are: the final scan names them.

    Raises:
        ErasureError: a database is in use for too long.
    """
    changed: dict[str, int] = {}
    for path in paths:
        try:
            with path.open("rb") as stream:
                beginning = stream.read(len(_SQLITE))
        except FileNotFoundError:
            continue
        rows = _database(path, finder) if beginning == _SQLITE else _text(path, finder)
        if rows:
            changed[str(path)] = rows
    return changed


def _text(path: Path, finder: Finder) -> int:
    if path.stat().st_size > _MOST_TEXT_BYTES:
        return 0
    content = path.read_bytes()
    if b"\0" in content:
        return 0
    clean = finder.without(content)
    if clean == content:
        return 0
    hidden = path.with_name(f".erasing-{path.name}")
    hidden.write_bytes(clean)
    hidden.chmod(path.stat().st_mode & 0o777)
    hidden.replace(path)
    return 1


def _database(path: Path, finder: Finder) -> int:
    """Rows of a SQLite database whose text was changed; what is free in the file is given back, the journal emptied."""
    changed = 0
    try:
        with closing(sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)) as connection:
            connection.text_factory = bytes
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            connection.execute("BEGIN IMMEDIATE")
            for (name,) in tables:
                changed += _table(connection, name.decode(), finder)
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        raise ErasureError(
            f"{path} cannot be cleaned ({error}); stop `trasos ui` and whatever else uses it, then "
            "`trasos forget --resume`"
        ) from error
    return changed


def _table(connection: sqlite3.Connection, table: str, finder: Finder) -> int:
    told = '"' + table.replace('"', '""') + '"'
    try:
        rows = connection.execute(f"SELECT rowid, * FROM {told}")  # noqa: S608 - its own tables
    except sqlite3.OperationalError:
        return 0  # a table without rowids is one of settings, not of events
    names = [column[0] for column in rows.description[1:]]
    changes = []
    while several := rows.fetchmany(2_000):
        together = b"\n".join(v for row in several for v in row[1:] if isinstance(v, bytes))
        if not finder.in_text(together):
            continue
        for rowid, *values in several:
            clean = {
                n: c
                for n, v in zip(names, values, strict=True)
                if isinstance(v, bytes) and (c := finder.without(v)) != v
            }
            if clean:
                changes.append((rowid, clean))
    for rowid, clean in changes:
        assignments = ", ".join('"' + name.replace('"', '""') + '" = CAST(? AS TEXT)' for name in clean)
        connection.execute(f"UPDATE {told} SET {assignments} WHERE rowid = ?", (*clean.values(), rowid))  # noqa: S608
    return len(changes)
