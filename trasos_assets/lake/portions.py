"""A run over many days, made a portion at a time: its memory does not grow with the days."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta

import dagster as dg
import ibis

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.model import DAY
from trasos_assets.lake.store import LakeStore

Weigh = Callable[[LakeStore, Sequence[date]], Mapping[date, int]]
"""How many rows each of some days takes to make."""


def portions_of(
    store: LakeStore, days: Sequence[date] | None, inputs: Mapping[str, ibis.Table], *, weigh: Weigh | None, limit: int
) -> list[list[date]] | list[None]:
    """The days of a run in portions of about ``limit`` rows; one portion of None for a table without partitions.

    Without ``weigh`` a day weighs the most rows that one of the inputs has of it.
    """
    if days is None:
        return [None]
    if weigh is not None:
        weights = weigh(store, days)
    else:
        counted = [store.rows_by_day(CONTRACTS[name], days) for name in inputs if CONTRACTS[name].partitioned]
        weights = {day: max((rows[day] for rows in counted), default=0) for day in days}
    portions: list[list[date]] = [[]]
    held = 0
    for day in days:
        if portions[-1] and held + weights.get(day, 0) > limit:
            portions.append([])
            held = 0
        portions[-1].append(day)
        held += weights.get(day, 0)
    return portions


def near(
    inputs: Mapping[str, ibis.Table], days: Sequence[date] | None, mappings: Mapping[str, dg.PartitionMapping]
) -> dict[str, ibis.Table]:
    """Of every input by day, the days that some days are made of, as its partition mapping says."""
    limited = dict(inputs)
    for name, table in inputs.items():
        if days and CONTRACTS[name].partitioned:
            mapping = mappings.get(name)
            windowed = isinstance(mapping, dg.TimeWindowPartitionMapping)
            first = days[0] + timedelta(days=mapping.start_offset if windowed else 0)
            last = days[-1] + timedelta(days=mapping.end_offset if windowed else 0)
            limited[name] = table.filter(table[DAY].between(ibis.literal(first), ibis.literal(last)))
    return limited
