"""Dagster's SQLite event log, with a batch of events written in one transaction.

A run over a year of days stores thousands of events. Stock SQLite storage opens, commits and closes a database for
each of them, twice, which takes longer than the work itself; it has no batch write of its own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from dagster import EventLogEntry, Field, StringSource
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy.engine import Connection


class BatchedSqliteEventLogStorage(SqliteEventLogStorage):
    """Stock storage but for ``store_event_batch``: connections stay open, and commit once, over a batch."""

    _held: dict[str, Connection] | None = None
    _batch: ExitStack

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        # The stock lock is held as long as a connection is open, so a batch that holds several would wait for itself.
        self._batch_lock = threading.RLock()
        super().__init__(base_dir, inst_data)
        self._db_lock: Any = self._batch_lock

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Any
    ) -> BatchedSqliteEventLogStorage:
        """Made by the instance from its dagster.yaml; the stock method would make stock storage."""
        # Below DAGSTER_HOME unless told otherwise, so that a data folder can be moved or copied.
        home = Path(os.environ.get("DAGSTER_HOME", ""))
        return cls(config_value.get("base_dir") or str(home / "history" / "runs"), inst_data)

    @classmethod
    def config_type(cls) -> Any:
        """``base_dir`` as in stock storage, but optional."""
        return {"base_dir": Field(StringSource, is_required=False)}

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events in one transaction a database."""
        with self._batch_lock, ExitStack() as batch:
            self._held, self._batch = {}, batch
            batch.callback(setattr, self, "_held", None)
            for event in events:
                self.store_event(event)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._batch_lock:  # another thread waits for the end of the batch, and does not write into it
            if self._held is None:
                with super()._connect(shard) as connection:
                    yield connection
                return
            if shard not in self._held:
                self._held[shard] = self._batch.enter_context(super()._connect(shard))
            yield self._held[shard]
