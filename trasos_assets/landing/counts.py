"""What became of the lines of each file, counted from the tables that decide it."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import ibis

from trasos_assets.contracts.engineering import (
    EVENT_STATES,
    QUARANTINED_RECORDS,
    RAW_ASSIGNMENTS,
    RAW_CATALOGUE,
    RAW_MARKETING_SPEND,
)
from trasos_assets.contracts.model import Contract
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing.entries import ACCEPTED, SUPERSEDED, Row

EVENTS = "events"
SHOWN = 20
_RECORDS = {c.name.removeprefix("raw_"): c for c in (RAW_CATALOGUE, RAW_MARKETING_SPEND, RAW_ASSIGNMENTS)}
_NONE = {"accepted": 0, "duplicate": 0, "quarantined": 0}


@dataclass(frozen=True)
class Counts:
    """Lines by state of each delivery, and the days of a data set on which they were counted."""

    lines: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    days: frozenset[tuple[str, date]] = frozenset()

    def enter(self, row: Row) -> Row:
        """A ledger's row with its counts: of a file that was taken, or that a run stored although it was replaced."""
        counted = (row["dataset"], row["received_day"]) in self.days
        if counted and row["state"] == ACCEPTED:
            return row | self.lines.get(row["delivery"], _NONE)
        if counted and row["state"] == SUPERSEDED and row["run_id"] is not None and row["delivery"] in self.lines:
            return row | self.lines[row["delivery"]]
        return row


def counted(store: LakeStore, days: Iterable[date]) -> Counts:
    """Lines by state of every delivery of some received days, as far as these days are published.

    Events have the state that ``event_states`` gives them; a record of reference data is quarantined or accepted.
    """
    wanted = sorted(set(days))
    lines: dict[str, dict[str, int]] = {}
    known: set[tuple[str, date]] = set()
    published = _published(store, EVENT_STATES, wanted)
    if published:
        known |= {(EVENTS, day) for day in published}
        states = _of_days(store, EVENT_STATES, published)
        by_state = {name: (states.state == name).sum() for name in _NONE}
        lines |= _by_delivery(states.group_by("file_hash").agg(**by_state))
    for dataset, contract in _RECORDS.items():
        published = _published(store, contract, wanted)
        published = [day for day in published if store.file(QUARANTINED_RECORDS, day).exists()]
        if not published:
            continue
        known |= {(dataset, day) for day in published}
        refused = _of_days(store, QUARANTINED_RECORDS, published)
        refused = refused.filter(refused.dataset == dataset)
        landed = _of_days(store, contract, published)
        joined = landed.group_by("file_hash").agg(landed=landed.count())
        joined = joined.left_join(refused.group_by("file_hash").agg(refused=refused.count()), "file_hash")
        quarantined = joined.refused.fill_null(0)
        judged = joined.select(
            "file_hash",
            accepted=joined.landed - quarantined,
            duplicate=ibis.literal(0, "int64"),
            quarantined=quarantined,
        )
        lines |= _by_delivery(judged)
    return Counts(lines, frozenset(known))


def counted_late(store: LakeStore, rows: Sequence[Row]) -> list[Row] | None:
    """The rows with counts that are missing, for they were taken before counts were kept; None if none can be made."""
    days = uncounted_days(rows)
    counts = counted(store, days) if days else Counts()
    return [counts.enter(row) for row in rows] if counts.days else None


def uncounted_days(rows: Iterable[Row]) -> set[date]:
    """Received days of files that were taken and whose lines nobody has counted."""
    return {row["received_day"] for row in rows if row["state"] == ACCEPTED and row["accepted"] is None}


def rows_out_of_balance(rows: Iterable[Row]) -> list[Row]:
    """Rows of files that were taken but whose lines read are not accepted, duplicate and quarantined ones together."""
    taken = (row for row in rows if row["state"] == ACCEPTED)
    parts = ("accepted", "duplicate", "quarantined")
    return [
        row
        for row in taken
        if any(row[part] is None for part in parts) or row["rows_read"] != sum(row[part] for part in parts)
    ]


def imbalance_in_words(rows: Iterable[Row]) -> str | None:
    """Which taken files do not add up, and how to have them counted again; None if all do."""
    found = rows_out_of_balance(rows)
    if not found:
        return None
    shown = "; ".join(
        f"{row['path']}: {row['rows_read']} rows read, but {row['accepted']} accepted, {row['duplicate']} duplicate "
        f"and {row['quarantined']} quarantined"
        for row in found[:SHOWN]
    )
    days = sorted(row["received_day"] for row in found)
    return (
        f"{len(found)} files do not add up; `trasos run --from {days[0]} --to {days[-1]}` builds their days again and "
        f"counts anew. {shown}"
    )


def _published(store: LakeStore, contract: Contract, days: Iterable[date]) -> list[date]:
    return [day for day in days if store.file(contract, day).exists()]


def _of_days(store: LakeStore, contract: Contract, days: Iterable[date]) -> ibis.Table:
    return store.table_of(contract, [store.file(contract, day) for day in days])


def _by_delivery(counts: ibis.Table) -> dict[str, dict[str, int]]:
    return {row.pop("file_hash"): row for row in counts.to_pyarrow().to_pylist()}
