"""Everything that reads tables: assets and their checks, the dashboard, the platform's own commands and books."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import ibis

from trasos_assets.contracts import CONTRACTS, erasure, storage
from trasos_assets.contracts.engineering import LANDING_LEDGER, QUARANTINE_RELEASES, WATERMARK
from trasos_assets.contracts.models import LEADERBOARD, MODEL_COMPARISONS, MODEL_COSTS, TRIALS
from trasos_assets.lake.store import LakeStore
from trasos_assets.lake.table import FUNCTIONS
from trasos_assets.settings import Settings
from trasos_assets.storage.sizes import table_size
from trasos_assets.storage.tracing import Found, MadeUpLake, Reader, Unread, found_reads, unread
from trasos_assets.storage.unused import unused_rows

_NOT_CALLED = tuple(contract.name for contract in storage.CONTRACTS)
"""Tables whose functions act (they remove, move and measure), and read no other table."""


@dataclass(frozen=True)
class Reading:
    """Who reads what: rows of unused_columns, and the readers of which every column had to be assumed."""

    rows: list[dict[str, Any]]
    unread: list[Unread]
    guessed: list[Found]


def _days_of_an_ingest(raw_events: ibis.Table) -> ibis.Table:
    from trasos_assets.trust.restate import affected_days

    return affected_days(raw_events, ["x"], dedup_days=7, late_days=3)


def _refused_lines(store: LakeStore) -> ibis.Table:
    from trasos_assets.landing.quarantine import refused

    return refused(store)


def _lines_of_releases(store: LakeStore) -> ibis.Table:
    lines = (
        store.read(CONTRACTS[name]).select("day", "file_hash", "line", "problems", "raw", "release_id")
        for name in CONTRACTS
        if name.startswith("raw_")
    )
    return ibis.union(*lines)


def _counts_of_files(store: LakeStore, days: list[date]) -> None:
    from trasos_assets.landing.counts import counted

    counted(store, days)


def _names_on_the_page(catalogue: ibis.Table) -> ibis.Table:
    from trasos_assets.reports.source import CATALOGUE_COLUMNS

    return catalogue.select(*CATALOGUE_COLUMNS)


def readers_outside_the_graph() -> list[Reader]:
    """Who reads tables without being made of them: the dashboard, the ingest, the commands.

    The warehouse and samples serve or copy what is there: that is no use of a column. An erasure looks for people.
    """
    from trasos_assets.reports.source import TABLES

    books = (LANDING_LEDGER.name, QUARANTINE_RELEASES.name)
    kept = (*_NOT_CALLED, *(contract.name for contract in erasure.CONTRACTS))
    return [
        Reader("kpi_dashboard", all_of=tuple(name for name in TABLES if name != "catalogue")),
        Reader("kpi_dashboard: names", _names_on_the_page),
        Reader("the ingest's books", all_of=books),
        Reader("the ingest's plan", _days_of_an_ingest),
        Reader("the ingest's counts", _counts_of_files),
        Reader("trasos quarantine", _refused_lines),
        Reader("trasos quarantine replay", _lines_of_releases),
        Reader("trasos run", all_of=(LEADERBOARD.name, WATERMARK.name)),
        Reader("leaderboard_page", all_of=(LEADERBOARD.name, MODEL_COMPARISONS.name, MODEL_COSTS.name)),
        Reader("trasos search", all_of=(TRIALS.name,)),
        Reader("trasos storage, trasos forget", all_of=kept),
    ]


def traced() -> tuple[list[Found], list[Found]]:
    """What every reader reads; and apart from it what tables' own checks read of their own table.

    A table that reads itself, to keep what it holds, is no reader of itself. The definitions must be loaded.
    """
    lake = MadeUpLake(CONTRACTS.values())
    downstream = [found_reads(reader, lake) for reader in readers_outside_the_graph()]
    own = []
    for name, of_table in FUNCTIONS.items():
        if name not in CONTRACTS or name in _NOT_CALLED:
            continue
        found = found_reads(Reader(name, of_table.compute), lake)
        downstream.append(_without(found, name))
        for check in of_table.checks:
            found = found_reads(Reader(f"{name}.{check.name}", check.find, staged=name), lake)
            downstream.append(_without(found, name))
            own.append(Found(found.reader, {name: found.reads.get(name, set())}))
    return downstream, own


def _without(found: Found, name: str) -> Found:
    others = {table: columns for table, columns in found.reads.items() if table != name}
    return Found(found.reader, others, found.guessed)


def listed(setting: str) -> list[str]:
    """Tables and columns of TRASOS_READ_OUTSIDE.

    Raises:
        ValueError: one of them is not there.
    """
    names = [name.strip() for name in setting.split(",") if name.strip()]
    for name in names:
        table, _, column = name.partition(".")
        if table not in CONTRACTS or (column and column not in CONTRACTS[table].column_names):
            raise ValueError(f"TRASOS_READ_OUTSIDE names {name!r}, which no contract has; write table or table.column")
    return names


def unread_columns(store: LakeStore, settings: Settings) -> Reading:
    """Columns and tables without a reader, with their bytes in a lake.

    Raises:
        ValueError: as ``listed``.
    """
    from trasos_assets.definitions import assembled

    assembled()
    outside = listed(settings.read_outside)
    downstream, own = traced()
    found = unread(downstream, list(CONTRACTS.values()), own=own, outside=outside)
    sizes = {name: table_size(store, CONTRACTS[name]) for name in {one.table for one in found}}
    rows = unused_rows(found, CONTRACTS, sizes, settings.price_gb_month)
    return Reading(rows, found, [one for one in downstream if one.guessed])
