"""What the people had added to the KPIs, kept as sums before their rows go."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

from typing import Any

import ibis
import pyarrow as pa

from trasos_assets.contracts.engineering import CLEAN_EVENTS, RAW_EVENTS, WATERMARK
from trasos_assets.contracts.erasure import ERASED_TOTALS
from trasos_assets.contracts.reference import ASSIGNMENTS
from trasos_assets.erasure.people import People, acts_of, lines_of, units_of
from trasos_assets.lake.store import LakeStore
from trasos_assets.metrics import acquisition, experiments, funnel, kpis, retention
from trasos_assets.metrics import orders as order_definitions
from trasos_assets.metrics.erased import KEYS
from trasos_assets.settings import Settings
from trasos_assets.trust.identity import identities, person_of_unit, with_person

_ROW = ("metric", *KEYS, "measure")


def told_totals(events: ibis.Table, assignments: ibis.Table, watermark: ibis.Table, *, max_hours: int) -> ibis.Table:
    """Every cell of every KPI of some events and assignments, as rows of ``erased_totals`` but for the erasure."""
    from trasos_assets.metrics import returns  # scipy's statistics take a second to import

    who = identities(events)
    orders = order_definitions.orders(with_person(order_definitions.order_lines(events), who))
    cells: list[tuple[Any, ibis.Table]] = [
        (kpis.CELLS, kpis.day_cells(with_person(events, who), orders)),
        (funnel.CELLS, funnel.funnel_cells(events, max_hours=max_hours)),
        (retention.CELLS, retention.cohort_cells(orders, watermark)),
        (returns.CELLS, returns.return_cells(orders, watermark)),
        (acquisition.CELLS, acquisition.won_cells(orders)),
        (experiments.CELLS, experiments.arm_cells(person_of_unit(assignments, who), orders)),
    ]
    return ibis.union(*(shape.told(table) for shape, table in cells))


def keep_totals(store: LakeStore, settings: Settings, people: People, erasure: str) -> int:
    """Enter into ``erased_totals`` by how much the people raised each cell; returns the number of cells.

    To be called before anything of them goes. What the same erasure entered before is replaced.
    """
    events, assignments = store.read(CLEAN_EVENTS), store.read(ASSIGNMENTS)
    watermark = store.read(WATERMARK)
    raw = store.read(RAW_EVENTS)
    # Lines of others that name the people in their text go too.
    named = raw.filter(lines_of(raw, "events", people) & ~acts_of(raw, people)).select("event_id", day="occurred_day")
    left = events.filter(~acts_of(events, people)).anti_join(named, ["day", "event_id"])
    left_assigned = assignments.filter(~units_of(assignments, people))
    hours = settings.session_max_hours
    # Made one after the other: both at once would need twice the memory.
    before = told_totals(events, assignments, watermark, max_hours=hours).to_pyarrow()
    after = told_totals(left, left_assigned, watermark, max_hours=hours)
    after = after.mutate(amount=-after.amount).to_pyarrow()
    moved = ibis.memtable(before).union(ibis.memtable(after))
    raised = moved.group_by(list(_ROW)).aggregate(amount=moved.amount.sum().cast("decimal(18, 4)"))
    raised = raised.filter(raised.amount != 0).mutate(erasure=ibis.literal(erasure))
    with store.writing(ERASED_TOTALS.name):
        held = store.read(ERASED_TOTALS)
        held = held.filter(held.erasure != erasure)
        columns = list(ERASED_TOTALS.column_names)
        kept = held.select(columns).to_pyarrow()
        fresh = raised.select(columns).to_pyarrow().cast(kept.schema)
        store.write(ERASED_TOTALS, ibis.memtable(pa.concat_tables([kept, fresh])))
    return len(fresh)


def fold_totals(store: LakeStore) -> None:
    """Add up what all erasures left, so that the table does not tell one from another."""
    with store.writing(ERASED_TOTALS.name):
        held = store.read(ERASED_TOTALS)
        if not held.filter(held.erasure != "").count().to_pyarrow().as_py():
            return
        folded = held.group_by(list(_ROW)).aggregate(amount=held.amount.sum().cast("decimal(18, 4)"))
        folded = folded.filter(folded.amount != 0).mutate(erasure=ibis.literal(""))
        table = folded.select(list(ERASED_TOTALS.column_names)).to_pyarrow()
        store.write(ERASED_TOTALS, ibis.memtable(table))
