"""From the lake to everywhere that the lists are published."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from trasos_assets.contracts.serving import CONTRACTS
from trasos_assets.lake.store import LakeStore
from trasos_assets.publishing.files import Published, publish_files
from trasos_assets.publishing.postgres import InPostgres, publish_postgres
from trasos_assets.settings import Settings

SERVED = {contract.name: contract for contract in CONTRACTS}
LOCK = "published"
"""Name of the writers' lock that a publisher holds, among those of the tables."""


@dataclass(frozen=True)
class Done:
    """What stands where; ``postgres`` is None where none is set."""

    files: Published
    postgres: InPostgres | None


def publish(
    store: LakeStore,
    settings: Settings,
    as_of: date,
    *,
    postgres: str | None = None,
    on_wait: Callable[[str], object] | None = None,
) -> Done:
    """Publish the lists as they stand in the lake: as files, and in PostgreSQL where a database is named.

    Args:
        store: the lake.
        settings: where to; ``publish_dir``, ``publish_postgres``, ``publish_schema``, ``publish_keep``.
        as_of: last day of the data.
        postgres: connection string in place of the setting's.
        on_wait: told that another publisher is at work.

    Raises:
        PublishError: a table was never built, or the database refused; see ``publish_files``, ``publish_postgres``.
    """
    tables = {name: (contract, store.file(contract)) for name, contract in SERVED.items()}
    files = publish_files(
        tables,
        settings.published_dir,
        as_of=as_of,
        keep=settings.publish_keep,
        lock=store.writing(LOCK, on_wait=on_wait),
    )
    secret = settings.publish_postgres.get_secret_value() if settings.publish_postgres else ""
    dsn = postgres or secret
    if not dsn:
        return Done(files, None)
    shown = publish_postgres(dsn, files, SERVED, schema=settings.publish_schema, on_wait=on_wait)
    return Done(files, shown)
