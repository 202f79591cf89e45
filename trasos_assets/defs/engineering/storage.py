"""What the data cost, and what keeps that in bounds: retention, compaction, the ledger of storage, unread columns."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg
import ibis

from trasos_assets.contracts.storage import COMPACTION, PLANNED, RETENTION, STORAGE_LEDGER, UNUSED_COLUMNS
from trasos_assets.lake.store import LakeStore
from trasos_assets.lake.table import SCHEDULED, WARN, TableCheck, table
from trasos_assets.settings import get_settings


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _waiting(retention: ibis.Table) -> ibis.Table:
    settings = get_settings()
    over = _now() - timedelta(days=settings.retention_grace_days + 1)
    waiting = retention.filter((retention.state == PLANNED) & (retention.planned_at < ibis.literal(over)))
    return waiting.select("kind", "name", "day", "bytes", "planned_at")


@table(
    RETENTION,
    tags=SCHEDULED,
    checks=[
        TableCheck(
            "no_removal_waits",
            _waiting,
            "What was planned is removed once its days of grace are over; it waits while TRASOS_RETENTION is dry.",
            severity=WARN,
        )
    ],
)
def retention(store: LakeStore) -> ibis.Table:
    """Plan what is older than it is kept; remove what was planned and has waited, where TRASOS_RETENTION is on."""
    from trasos_assets.storage.retention import book_table, meet

    return book_table(meet(store, get_settings(), now=_now()).book)


@table(COMPACTION, tags=SCHEDULED, deps=[RETENTION.name])
def compaction(store: LakeStore) -> ibis.Table:
    """Bundle landing files of closed days, rewrite partitions of another form, sweep what dead processes left."""
    from trasos_assets.storage.compaction import compact

    return compact(store, get_settings(), now=_now())


@table(STORAGE_LEDGER, tags=SCHEDULED, deps=[COMPACTION.name])
def storage_ledger(store: LakeStore, instance: dg.DagsterInstance) -> ibis.Table:
    """Measure everything; the rows of today are replaced, those of other days kept."""
    from trasos_assets.defs.operations.compute import step_seconds
    from trasos_assets.storage.ledger import compute_since, held_ledger, measure, next_ledger

    settings = get_settings()
    today = datetime.now(ZoneInfo(settings.timezone)).date()
    held = held_ledger(store)
    since = compute_since(held, today)
    computed = step_seconds(instance, since, timezone=settings.timezone)
    measured = measure(store, settings)
    return ibis.memtable(next_ledger(held, measured, computed, since=since, today=today, settings=settings))


@table(UNUSED_COLUMNS, tags=SCHEDULED, deps=[STORAGE_LEDGER.name])
def unused_columns(store: LakeStore) -> ibis.Table:
    """Follow every column to whoever reads it, and list those without a reader."""
    from trasos_assets.defs.operations.readers import unread_columns
    from trasos_assets.storage.unused import unused_table

    return unused_table(unread_columns(store, get_settings()).rows)
