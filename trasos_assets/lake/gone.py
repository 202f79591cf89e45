"""What retention took from the lake: days that are not missing, and that nothing may be built over.

A day of raw lines that was removed cannot be made again, and a table by day that is made of it would come out empty. So
the book of retention decides which days are expected, which may be built, and which deliveries come too late for all.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq

from trasos_assets.contracts.engineering import (
    EVENT_KEYS,
    QUARANTINED_RECORDS,
    RAW_ASSIGNMENTS,
    RAW_CATALOGUE,
    RAW_EVENTS,
    RAW_MARKETING_SPEND,
)
from trasos_assets.contracts.storage import REMOVED, RETENTION, TABLE
from trasos_assets.lake.store import LakeError, LakeStore

_OF_RECORDS = {c.name for c in (RAW_CATALOGUE, RAW_MARKETING_SPEND, RAW_ASSIGNMENTS, QUARANTINED_RECORDS)}
SCHEMA: pa.Schema = ibis.schema(RETENTION.types).to_pyarrow()
Row = dict[str, Any]


def read_book(store: LakeStore) -> list[Row]:
    """Every row of the book of retention, by kind, name and day."""
    file = store.file(RETENTION)
    if not store.storage.exists(file):
        return []
    held = pq.read_table(io.BytesIO(store.storage.read_bytes(file)))
    return held.select(SCHEMA.names).cast(SCHEMA).sort_by([(n, "ascending") for n in RETENTION.primary_key]).to_pylist()


@dataclass(frozen=True)
class Gone:
    """Days that retention removed, by table."""

    days: dict[str, frozenset[date]] = field(default_factory=dict)
    dedup_days: int = 0

    @classmethod
    def of(cls, store: LakeStore, *, dedup_days: int) -> Gone:
        """What the book of a lake says; ``dedup_days`` as in ``classify.event_states``."""
        days: dict[str, set[date]] = {}
        for row in read_book(store):
            if row["kind"] == TABLE and row["state"] == REMOVED:
                days.setdefault(row["name"], set()).add(row["day"])
        return cls({name: frozenset(found) for name, found in days.items()}, dedup_days)

    def of_table(self, name: str) -> frozenset[date]:
        """Days of one table."""
        return self.days.get(name, frozenset())

    @property
    def sealed_through(self) -> date | None:
        """Last day of which nothing that events are made of can be built again; what is there of it stays as it is.

        Raw lines are gone, or ids that the states of the day would have to be compared with.
        """
        ends = [max(self.days[RAW_EVENTS.name])] if RAW_EVENTS.name in self.days else []
        if EVENT_KEYS.name in self.days:
            ends.append(max(self.days[EVENT_KEYS.name]) + timedelta(days=self.dedup_days))
        return max(ends, default=None)

    def sealed(self, day: date) -> bool:
        """Whether a day is sealed."""
        end = self.sealed_through
        return end is not None and day <= end

    def barred(self, name: str, days: Iterable[date]) -> set[date]:
        """Of some days those on which a table by day may not be built: its own that were removed, and sealed ones.

        Reference data are made of no events, and are never sealed.
        """
        own = self.of_table(name)
        return {day for day in days if day in own or (name not in _OF_RECORDS and self.sealed(day))}

    def refuse(self, name: str, days: Iterable[date]) -> None:
        """Stop a table from being published over days on which it may not be built: it would be made of nothing.

        Raises:
            LakeError: there is such a day among them.
        """
        barred = sorted(self.barred(name, days))
        if barred:
            raise LakeError(
                f"table {name} cannot be built on {len(barred)} days from {barred[0]} to {barred[-1]}: retention "
                "removed what they are made of. What is published of them stays; choose days after them"
            )

    def closed_through(self, late_days: int) -> date | None:
        """Last received day for which events may no longer land: they could touch a day that is sealed."""
        end = self.sealed_through
        return None if end is None else end + timedelta(days=max(self.dedup_days, late_days))
