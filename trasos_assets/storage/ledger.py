"""The ledger of storage: one row a day and table or place, kept for ever, so that growth shows."""

# The functions of pyarrow.compute are made at run time.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.compute as pc

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.storage import GROWTH_WINDOWS, PLACE, STORAGE_LEDGER, TABLE
from trasos_assets.lake.store import LakeStore
from trasos_assets.settings import Settings
from trasos_assets.storage.growth import forecast, growth
from trasos_assets.storage.money import compute_cost, seconds, storage_cost
from trasos_assets.storage.sizes import Size, place_size, places, table_size

SCHEMA: pa.Schema = ibis.schema(STORAGE_LEDGER.types).to_pyarrow()
LOG_DAYS = 28
"""How far back the first ledger looks for what was computed."""

_PAGES = ("kpi_dashboard", "leaderboard_page", "model_card", "monitoring_page")
_STEPS_OF_PLACES = {"warehouse": "warehouse", "samples": "samples"} | dict.fromkeys(_PAGES, "reports")
_OTHER_STEPS = "dagster_home"
Row = dict[str, Any]
Name = tuple[str, str]
"""Kind and name of a table or place."""


@dataclass(frozen=True)
class Measured:
    """What one look at everything found: the size and owner of every table and place."""

    sizes: dict[Name, Size]
    owners: dict[Name, str]


def measure(store: LakeStore, settings: Settings) -> Measured:
    """Look at every table and place."""
    sizes: dict[Name, Size] = {}
    owners: dict[Name, str] = {}
    for contract in CONTRACTS.values():
        sizes[TABLE, contract.name], owners[TABLE, contract.name] = table_size(store, contract), contract.owner
    for place in places(settings):
        sizes[PLACE, place.name], owners[PLACE, place.name] = place_size(place.path), place.owner
    return Measured(sizes, owners)


def held_ledger(store: LakeStore) -> pa.Table:
    """The ledger as it is published; columns that it did not have when it was written are null."""
    return store.read(STORAGE_LEDGER).to_pyarrow().cast(SCHEMA)


def compute_since(held: pa.Table, today: date) -> date:
    """First day whose computing is to be counted anew: the ledger's last one, on which more may have run since."""
    last = pc.max(held["as_of"]).as_py()
    return today - timedelta(days=LOG_DAYS) if last is None else min(last, today)


def name_of_step(step: str) -> Name:
    """The table or place that a step of a run works for; a check's step is named after its table."""
    if step in CONTRACTS:
        return TABLE, step
    if step in _STEPS_OF_PLACES:
        return PLACE, _STEPS_OF_PLACES[step]
    known = {**{name: (TABLE, name) for name in CONTRACTS}, **{s: (PLACE, p) for s, p in _STEPS_OF_PLACES.items()}}
    of_check = [name for name in known if step.startswith(f"{name}_")]
    return known[max(of_check, key=len)] if of_check else (PLACE, _OTHER_STEPS)


def next_ledger(
    held: pa.Table,
    measured: Measured,
    computed: Mapping[tuple[date, str], Decimal],
    *,
    since: date,
    today: date,
    settings: Settings,
) -> pa.Table:
    """The ledger after a measurement.

    Args:
        held: the ledger before.
        measured: what is there today.
        computed: seconds by day and step, complete from ``since`` on.
        since: as ``compute_since``.
        today: the day of the measurement; a row of it that is there is replaced.
        settings: prices and currency.

    A day that computed but was not measured has rows without bytes.
    """
    spent: dict[tuple[date, Name], Decimal] = defaultdict(Decimal)
    for (day, step), took in computed.items():
        if since <= day <= today:
            spent[day, name_of_step(step)] += took
    earlier = pc.less(held["as_of"], pa.scalar(since))
    again = held.filter(pc.and_(pc.invert(earlier), pc.less(held["as_of"], pa.scalar(today)))).to_pylist()
    rows = {(row["as_of"], (row["kind"], row["name"])): row for row in again}
    for day, name in spent:
        if day < today:
            rows.setdefault((day, name), _unmeasured(day, name, measured.owners, settings))
    for key, row in rows.items():
        # Never less than before: the log may have been cut meanwhile.
        row["compute_seconds"] = max(row["compute_seconds"] or Decimal(), seconds(spent.get(key, Decimal())))
        row["compute_cost"] = compute_cost(row["compute_seconds"], settings.price_compute_hour)
    history = _history(held, today)
    of_today = held.filter(pc.equal(held["as_of"], pa.scalar(today))).to_pylist()
    already = {(row["kind"], row["name"]): row["compute_seconds"] for row in of_today}
    for name, size in measured.sizes.items():
        if size.files or name[0] == TABLE or (today, name) in spent:
            took = max(already.get(name, Decimal()), seconds(spent.get((today, name), Decimal())))
            row = _unmeasured(today, name, measured.owners, settings)
            rows[today, name] = row | _told(size, [*history.get(name, ()), (today, size.bytes)], took, today, settings)
    fresh = pa.Table.from_pylist(list(rows.values()), schema=SCHEMA)
    return pa.concat_tables([held.filter(earlier), fresh])


def _unmeasured(day: date, name: Name, owners: Mapping[Name, str], settings: Settings) -> Row:
    row = dict.fromkeys(SCHEMA.names) | {"as_of": day, "kind": name[0], "name": name[1]}
    return row | {"owner": owners.get(name, "engineering"), "currency": settings.currency}


def _told(size: Size, measures: Iterable[tuple[date, int]], took: Decimal, today: date, settings: Settings) -> Row:
    points = list(measures)
    short, long = (growth(points, today, window) for window in GROWTH_WINDOWS)
    ahead = forecast(size.bytes, short, long)
    return {
        "bytes": size.bytes,
        "files": size.files,
        "rows": size.rows,
        "compute_seconds": took,
        "growth_7d": short,
        "growth_28d": long,
        "forecast_bytes": ahead,
        "storage_cost": storage_cost(size.bytes, settings.price_gb_month),
        "forecast_cost": storage_cost(ahead, settings.price_gb_month),
        "compute_cost": compute_cost(took, settings.price_compute_hour),
    }


def _history(held: pa.Table, today: date) -> dict[Name, list[tuple[date, int]]]:
    """Bytes of every table and place on the days before today that the longest window looks at."""
    begin = pa.scalar(today - timedelta(days=max(GROWTH_WINDOWS)))
    near = pc.and_(pc.greater_equal(held["as_of"], begin), pc.less(held["as_of"], pa.scalar(today)))
    recent = held.filter(pc.and_(near, pc.is_valid(held["bytes"]))).select(["as_of", "kind", "name", "bytes"])
    found: dict[Name, list[tuple[date, int]]] = defaultdict(list)
    for row in recent.to_pylist():
        found[row["kind"], row["name"]].append((row["as_of"], row["bytes"]))
    return found
