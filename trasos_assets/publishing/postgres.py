"""A published version in PostgreSQL: loaded beside the one that is read, then swapped in by changing one row.

    <schema>.<table>               views that the shop reads: the columns of the contract, one version
    <schema>.published_versions    which versions are loaded, and which one the views show
    <schema>_versions.*            the versions themselves: a partition each, of one table for each form of columns

The views read the partition of the version that ``published_versions`` marks. A version's partitions and its row are
committed together, so a publisher that is killed leaves nothing behind, or a whole version that nobody reads yet. To
swap is to update rows, so readers and publisher never wait for each other, and a snapshot holds one version: that of a
statement, or that of a whole transaction where it is REPEATABLE READ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from trasos_assets.contracts.model import Contract
from trasos_assets.publishing.database import Connection, Database
from trasos_assets.publishing.files import Published, PublishError

WRITE_AS = "postgresql://user:password@host:5432/database"
_CONNECT_SECONDS = 10
_SWAP_SECONDS = 60.0


@dataclass(frozen=True)
class InPostgres:
    """What a database shows now, and whether this call made it so; ``left`` are old versions that others still use."""

    version: str
    changed: bool
    rows: Mapping[str, int]
    left: tuple[str, ...] = ()


def publish_postgres(
    dsn: str,
    published: Published,
    contracts: Mapping[str, Contract],
    *,
    schema: str,
    on_wait: Callable[[str], object] | None = None,
    swap_seconds: float = _SWAP_SECONDS,
) -> InPostgres:
    """Make the views of a database show a published version; does nothing if they do already.

    Versions that are not kept as files any more are dropped, so that whoever was forgotten goes here too.

    Args:
        dsn: connection string or URL.
        published: the version as files.
        contracts: of its tables, by name.
        schema: where the views stand; made if it is not there.
        on_wait: told that another publisher is at work.
        swap_seconds: how long to try to get between the readers of views whose columns changed.

    Raises:
        PublishError: psycopg is missing, the database cannot be reached or refuses something, or a table arrived with
            other rows than were sent. The views show what they showed before.
    """
    driver = _driver()
    names = list(published.manifest["tables"])
    with _errors(dsn), _connected(driver, dsn) as connection:
        work = Database(driver, connection, schema, published.version)
        work.lock(on_wait)
        work.make_book()
        stale = [name for name in names if not work.reads(name, contracts[name])]
        if work.shown() == published.version and not stale:
            return InPostgres(published.version, False, published.rows, tuple(work.prune(published.history)))
        if not work.loaded():
            work.load(published, contracts)
        work.swap(stale, contracts, swap_seconds)
        return InPostgres(published.version, True, published.rows, tuple(work.prune(published.history)))


def _driver() -> Any:
    try:
        import psycopg
    except ImportError as error:
        raise PublishError(
            "publishing to PostgreSQL needs psycopg, which is not installed; pip install 'trasos-assets[postgres]'"
        ) from error
    return psycopg


@contextmanager
def _errors(dsn: str) -> Iterator[None]:
    """Errors of the driver as sentences that hold neither connection string nor password."""
    psycopg = _driver()
    try:
        yield
    except psycopg.Error as error:
        # Not chained: a traceback would show the driver's own arguments.
        raise PublishError(_sentence(psycopg, error, dsn)) from None


def _sentence(psycopg: Any, error: Exception, dsn: str) -> str:
    try:
        secret = psycopg.conninfo.conninfo_to_dict(dsn).get("password")
    except psycopg.Error:
        return f"TRASOS_PUBLISH_POSTGRES is no connection string; write it as {WRITE_AS}"
    if isinstance(error, psycopg.OperationalError) and getattr(error, "sqlstate", None) is None:
        # In the driver's own words there may be what it took for a host: of a password with an @, its second half.
        return (
            "PostgreSQL cannot be reached; is it up, and TRASOS_PUBLISH_POSTGRES right? Write it as "
            f"{WRITE_AS}, other signs of the password than letters and digits as %XX (@ is %40)"
        )
    # The driver tells of a row that was refused in further lines: they may hold a person.
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    for hidden in (dsn, secret):
        text = text.replace(str(hidden), "***") if hidden else text
    return f"PostgreSQL refused to publish: {text}; what was published before stands"


@contextmanager
def _connected(psycopg: Any, dsn: str) -> Iterator[Connection]:
    psycopg.conninfo.conninfo_to_dict(dsn)
    with psycopg.connect(
        dsn, autocommit=True, connect_timeout=_CONNECT_SECONDS, application_name="trasos publish"
    ) as connection:
        connection.execute("SET client_min_messages = warning")
        yield connection
