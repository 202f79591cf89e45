"""One publisher's work in PostgreSQL, step by step; ``postgres`` says in which order, and what stands where."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from trasos_assets.contracts.model import Contract
from trasos_assets.publishing.files import Published, PublishError
from trasos_assets.publishing.schema import postgres_type

BOOK, VERSION = "published_versions", "published_version"
# Under PostgreSQL's deadlock_timeout (1 s): where a reader and a swap wait for each other, the swap gives way.
_LOCK_MILLISECONDS = 400
_BATCH_ROWS = 100_000
_MOST_NAME = 63
Connection = Any


class Database:
    """One publisher's connection; everything named is quoted."""

    def __init__(self, psycopg: Any, connection: Connection, schema: str, version: str) -> None:
        self.psycopg, self.sql = psycopg, psycopg.sql
        self.connection, self.schema, self.version = connection, schema, version
        if len(self.inner) > _MOST_NAME:
            raise PublishError(f"TRASOS_PUBLISH_SCHEMA {schema!r} is too long; take at most 40 letters")

    def run(self, text: str, *values: Any, **names: Any) -> Any:
        """A statement with identifiers ``{name}`` and values ``%s``."""
        parts = {
            name: self.sql.Identifier(*value) if isinstance(value, tuple) else self.sql.Identifier(value)
            for name, value in names.items()
        }
        return self.connection.execute(self.sql.SQL(text).format(**parts), values or None)

    @property
    def book(self) -> tuple[str, str]:
        """The table of versions."""
        return (self.schema, BOOK)

    @property
    def inner(self) -> str:
        """The schema of the versions' tables."""
        return f"{self.schema}_versions"

    def whole(self, contract: Contract) -> tuple[str, str]:
        """The table whose partitions are the versions, for the contract's columns as they are now."""
        told = repr([(c.name, c.type, c.nullable) for c in contract.columns]) + repr(contract.primary_key)
        return (self.inner, f"{contract.name}_{hashlib.sha256(told.encode()).hexdigest()[:8]}")

    def lock(self, on_wait: Callable[[str], object] | None) -> None:
        """One publisher a schema; the lock goes with the connection, however it ends."""
        digest = hashlib.sha256(f"trasos publish {self.schema}".encode()).digest()
        key = int.from_bytes(digest[:8], "big", signed=True)
        if not self.run("SELECT pg_try_advisory_lock(%s)", key).fetchone()[0]:
            if on_wait is not None:
                on_wait("another publisher is at work in this database; waiting for its end")
            self.run("SELECT pg_advisory_lock(%s)", key)

    def make_book(self) -> None:
        """Schema and table of versions, if they are not there."""
        with self.connection.transaction():
            for name in (self.schema, self.inner):
                if not self.run("SELECT 1 FROM pg_namespace WHERE nspname = %s", name).fetchone():
                    self.run("CREATE SCHEMA {schema}", schema=name)
            self.run(
                "CREATE TABLE IF NOT EXISTS {book} (sequence bigint GENERATED ALWAYS AS IDENTITY, "
                "version text PRIMARY KEY, as_of date NOT NULL, tables jsonb NOT NULL, "
                "is_current boolean NOT NULL DEFAULT false, loaded_at timestamptz NOT NULL DEFAULT now())",
                book=self.book,
            )

    def shown(self) -> str | None:
        """The version that the views show."""
        row = self.run("SELECT version FROM {book} WHERE is_current", book=self.book).fetchone()
        return row[0] if row else None

    def reads(self, name: str, contract: Contract) -> bool:
        """Whether the view of a table stands, and reads the table of the contract's columns."""
        view = self.sql.Identifier(self.schema, name).as_string(self.connection)
        found = self.run("SELECT pg_get_viewdef(to_regclass(%s))", view).fetchone()[0]
        return found is not None and self.whole(contract)[1] in found

    def loaded(self) -> bool:
        """Whether the version stands, read or not."""
        return bool(self.run("SELECT 1 FROM {book} WHERE version = %s", self.version, book=self.book).fetchone())

    def load(self, published: Published, contracts: Mapping[str, Contract]) -> None:
        """The version's partitions and its row in the book, or nothing."""
        told = published.manifest["tables"]
        self._drop(self._unbooked())
        with self.connection.transaction():
            for name, table in told.items():
                own = self._load_table(contracts[name], published.folder / table["files"]["parquet"]["path"])
                count = self.run("SELECT count(*) FROM {table}", table=own).fetchone()[0]
                if count != table["rows"]:
                    raise PublishError(f"{name}: {table['rows']:,} rows were sent and {count:,} arrived; publish again")
                self.run("ANALYZE {table}", table=own)
            self.run(
                "INSERT INTO {book} (version, as_of, tables) VALUES (%s, %s, %s)",
                *(self.version, published.manifest["as_of"], json.dumps(dict(told))),
                book=self.book,
            )

    def _load_table(self, contract: Contract, file: Any) -> tuple[str, str]:
        """The version's partition of one table; its name."""
        sql, whole, own = self.sql, self.whole(contract), (self.inner, f"{contract.name}_{self.version}")
        columns = [
            sql.SQL("{} {}{}").format(
                sql.Identifier(c.name), sql.SQL(postgres_type(c.type)), sql.SQL("" if c.nullable else " NOT NULL")
            )
            for c in contract.columns
        ]
        key = sql.SQL(", ").join(map(sql.Identifier, contract.primary_key))
        self.connection.execute(
            sql.SQL(
                "CREATE TABLE IF NOT EXISTS {whole} ({version} text NOT NULL, {columns}, "
                "PRIMARY KEY ({version}, {key})) PARTITION BY LIST ({version})"
            ).format(
                whole=sql.Identifier(*whole),
                version=sql.Identifier(VERSION),
                columns=sql.SQL(", ").join(columns),
                key=key,
            )
        )
        self.run("CREATE TABLE {own} (LIKE {whole} INCLUDING ALL)", own=own, whole=whole)
        version = sql.Literal(self.version)
        default = sql.SQL("ALTER TABLE {} ALTER {} SET DEFAULT {}")
        self.connection.execute(default.format(sql.Identifier(*own), sql.Identifier(VERSION), version))
        names = sql.SQL(", ").join(map(sql.Identifier, contract.column_names))
        copy = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(sql.Identifier(*own), names)
        with (
            file.open("rb") as stream,
            pq.ParquetFile(stream) as parquet,
            self.connection.cursor() as cursor,
            cursor.copy(copy) as sending,
        ):
            for batch in parquet.iter_batches(_BATCH_ROWS, columns=list(contract.column_names)):
                sending.write(_csv(batch))
        attach = sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES IN ({})")
        self.connection.execute(attach.format(sql.Identifier(*whole), sql.Identifier(*own), version))
        return own

    def swap(self, stale: Collection[str], contracts: Mapping[str, Contract], seconds: float) -> None:
        """Let the views show the version. Views are only made or replaced for ``stale`` tables, whose columns changed:
        that has to wait until nobody reads them, gives way to readers, and is tried until the time is over.
        """
        deadline, pause = time.monotonic() + seconds, 0.02
        while True:
            try:
                with self.connection.transaction():
                    for name in stale:
                        self._make_view(name, contracts[name])
                    self.run(
                        "UPDATE {book} SET is_current = (version = %s) WHERE is_current <> (version = %s)",
                        *(self.version, self.version),
                        book=self.book,
                    )
                return
            except self.psycopg.errors.LockNotAvailable:
                if time.monotonic() > deadline:
                    raise PublishError(
                        f"the columns of {', '.join(stale)} changed, and transactions have been reading these views of "
                        f"{self.schema} for {seconds:.0f} s; the version is loaded, and shown by the next "
                        "`trasos publish`. End transactions that idle (pg_stat_activity)"
                    ) from None
                time.sleep(pause)
                pause = min(1.0, pause * 2)

    def _make_view(self, name: str, contract: Contract) -> None:
        """Replace a view where its columns stay (new ones may follow them), so that rights stay; else make it anew."""
        sql = self.sql
        self.connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_MILLISECONDS}ms'")
        view = sql.Identifier(self.schema, name)
        rows = self.run(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = to_regclass(%s) "
            "AND attnum > 0 ORDER BY attnum",
            view.as_string(self.connection),
        ).fetchall()
        wanted = [(c.name, _formatted(postgres_type(c.type))) for c in contract.columns]
        if rows != wanted[: len(rows)]:
            self.connection.execute(sql.SQL("DROP VIEW {}").format(view))
        self.connection.execute(
            sql.SQL(
                "CREATE OR REPLACE VIEW {} AS SELECT {} FROM {} WHERE {} = (SELECT version FROM {} WHERE is_current)"
            ).format(
                view,
                sql.SQL(", ").join(map(sql.Identifier, contract.column_names)),
                sql.Identifier(*self.whole(contract)),
                sql.Identifier(VERSION),
                sql.Identifier(*self.book),
            )
        )

    def prune(self, kept: Collection[str]) -> list[str]:
        """Drop all versions but these and the one that is shown; returns those that somebody still uses."""
        # Out of the book first: a version that is in it is whole.
        self.run("DELETE FROM {book} WHERE NOT is_current AND version <> ALL(%s)", list(kept), book=self.book)
        return self._drop(self._unbooked())

    def _unbooked(self) -> dict[str, list[str]]:
        """Partitions by version, of versions that are not in the book."""
        rows = self.run(
            "SELECT c.relname, regexp_replace(c.relname, '^.*_', '') FROM pg_class c JOIN pg_namespace n "
            "ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relkind = 'r' "
            "AND regexp_replace(c.relname, '^.*_', '') NOT IN (SELECT version FROM {book}) ORDER BY 1",
            self.inner,
            book=self.book,
        ).fetchall()
        found: dict[str, list[str]] = {}
        for name, version in rows:
            found.setdefault(version, []).append(name)
        return found

    def _drop(self, partitions: Mapping[str, Sequence[str]]) -> list[str]:
        """Drop partitions; versions of which some are still in use. Each alone, so that no reader meets two locks."""
        left = []
        for version, names in partitions.items():
            for name in names:
                try:
                    with self.connection.transaction():
                        self.connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_MILLISECONDS}ms'")
                        # No CASCADE: what others have built on it is theirs.
                        self.run("DROP TABLE {table}", table=(self.inner, name))
                except (self.psycopg.errors.LockNotAvailable, self.psycopg.errors.DependentObjectsStillExist):
                    left.append(version)
        return sorted(set(left))


def _formatted(kind: str) -> str:
    """A type as PostgreSQL's format_type writes it."""
    if kind.startswith("numeric"):
        return kind.replace(" ", "")
    return "timestamp(6) without time zone" if kind == "timestamp(6)" else kind


def _csv(batch: pa.RecordBatch) -> bytes:
    """Rows for COPY: text in quotes, so that an empty one is not taken for null, which stands as nothing."""
    sink = io.BytesIO()
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")
    pyarrow.csv.write_csv(pa.Table.from_batches([batch]), sink, options)
    return sink.getvalue()
