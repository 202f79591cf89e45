"""Which columns a function of tables reads, found by calling it on made-up tables and watching.

What it returns is an expression, and what it asks the engine for on the way (a Python model that takes its input out
of the engine) is one too: both say which columns they read. The tables hold one row each, so that a function that ends
early on empty input goes on. A function that fails on them counts as reading all of its inputs.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
from ibis.backends.duckdb import Backend

from trasos_assets.contracts.model import DATE, DAY, Contract
from trasos_assets.lake.store import LakeStore
from trasos_assets.storage.reading import Reads, columns_read, merged

MADE_UP_DAY = date(2026, 1, 1)
_VALUES: dict[str, Any] = {
    "string": "x",
    "int32": 1,
    "int64": 1,
    "float32": 1.0,
    "float64": 1.0,
    "boolean": True,
    DATE: MADE_UP_DAY,
    "timestamp(6)": datetime(2026, 1, 1, 12),
    "decimal(18, 4)": Decimal(1),
    "array<float32>": [1.0],
}

_ALS_MODEL = {"model": "als", "parameters": json.dumps({"factors": 1}), "payload": None}
_SIDES = ({"side": "person"}, {"side": "item"})
TOLD_APART: dict[str, tuple[dict[str, Any], ...]] = {
    "als_model": _SIDES,
    "champion_model": _SIDES,
    "candidate": (_ALS_MODEL,),
    "champion": ({name: _ALS_MODEL[name] for name in ("model", "parameters")},),
}
"""Rows of tables whose readers tell rows apart by a value, or read what is in it, and fail on one that cannot be."""


@dataclass(frozen=True)
class Reader:
    """Something that reads tables: an asset, a check, a report or a command.

    ``function`` takes tables by the names of its parameters, and ``store`` and ``days`` where it names them;
    ``staged`` is the table that its first parameter stands for, of a check. ``all_of`` are tables of which it takes
    every column.
    """

    name: str
    function: Callable[..., Any] | None = None
    staged: str | None = None
    all_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """What one reader reads; ``guessed`` says why all columns had to be assumed."""

    reader: str
    reads: Reads
    guessed: str | None = None


class WatchingBackend(Backend):
    """DuckDB that remembers which columns were read by what it was asked to compute."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.watched: list[Reads] = []

    def compile(self, expr: Any, /, **options: Any) -> Any:
        """As DuckDB does; whatever is computed, or handed on as SQL, is compiled first."""
        self.watched.append(columns_read(expr))
        return super().compile(expr, **options)

    def create_table(self, name: str, /, obj: Any = None, **options: Any) -> Any:
        """As DuckDB does; an expression that is cached becomes a table."""
        if isinstance(obj, ibis.Expr):
            self.watched.append(columns_read(obj))
        return super().create_table(name, obj, **options)


class MadeUpLake(LakeStore):
    """A lake whose tables hold one made-up row each; it has no files, and nothing can be written to it."""

    def __init__(self, contracts: Iterable[Contract]) -> None:
        self.watching: WatchingBackend = WatchingBackend().connect()  # pyright: ignore[reportAttributeAccessIssue]
        super().__init__(Path("/nonexistent/made-up"), self.watching)
        self.contracts = {contract.name: contract for contract in contracts}
        for contract in self.contracts.values():
            schema = ibis.schema(contract.types).to_pyarrow()
            row = {name: _VALUES[kind] for name, kind in contract.types.items()}
            rows = [row | told for told in TOLD_APART.get(contract.name, ({},))]
            self.watching.con.register("made_up", pa.Table.from_pylist(rows, schema=schema))
            self.watching.raw_sql(f'CREATE TABLE "{contract.name}" AS SELECT * FROM made_up')  # noqa: S608 - contracts'
            self.watching.con.unregister("made_up")

    def read(self, contract: Contract, *, first: date | None = None, last: date | None = None) -> ibis.Table:
        """The made-up table, whatever the days."""
        return self.watching.table(contract.name)

    def table_of(self, contract: Contract, files: Iterable[Path]) -> ibis.Table:
        """The made-up table, whatever the files."""
        return self.read(contract)

    def days(self, contract: Contract) -> list[date]:
        """One made-up day."""
        return [MADE_UP_DAY]

    def made(self, table: ibis.Table) -> ibis.Table:
        """The expression as it is, so that it can be looked into."""
        return table

    def taken(self, table: ibis.Table) -> ibis.Table:
        """The same table."""
        return table


def found_reads(reader: Reader, lake: MadeUpLake) -> Found:
    """What a reader reads, by name of table, seen by calling it on the tables of a made-up lake."""
    known = lake.contracts
    everything = {name: set(known[name].column_names) for name in reader.all_of if name in known}
    if reader.function is None:
        return Found(reader.name, everything)
    names = list(inspect.signature(reader.function).parameters)
    inputs = [reader.staged] if reader.staged else []
    inputs += [name for name in names[len(inputs) :] if name in known]
    lake.watching.watched.clear()
    around: dict[str, Any] = {"store": lake, "days": [MADE_UP_DAY]} | {name: lake.read(known[name]) for name in inputs}
    given = [around[reader.staged]] if reader.staged else []
    try:
        result = reader.function(*given, **{name: around[name] for name in names[len(given) :] if name in around})
        last = [columns_read(result)] if isinstance(result, ibis.Expr) else []
    except Exception as error:
        whole = {name: set(known[name].column_names) for name in inputs}
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        return Found(reader.name, merged([*lake.watching.watched, whole, everything]), guessed=said[:200])
    reads = merged([*lake.watching.watched, *last, everything, *({name: ()} for name in inputs)])
    return Found(reader.name, {name: columns for name, columns in reads.items() if name in known})


@dataclass(frozen=True)
class Unread:
    """A column, or with ``column`` None a whole table, that no reader reads."""

    table: str
    column: str | None
    why: str


def unread(
    found: Iterable[Found], contracts: Sequence[Contract], *, own: Iterable[Found] = (), outside: Iterable[str] = ()
) -> list[Unread]:
    """Tables and columns that nobody reads, in order of table and column.

    Args:
        found: what the readers downstream read.
        contracts: the tables that there are. Their primary keys and ``day`` are never named: rows need them.
        own: what the tables' own checks read of them, which keeps no column alive but is said.
        outside: ``table`` or ``table.column`` that people read where nobody can see it.
    """
    reads = merged(one.reads for one in found)
    checked = merged(one.reads for one in own)
    listed = set(outside)
    gone: list[Unread] = []
    for contract in contracts:
        if contract.served_to is not None or contract.name in listed:
            continue
        read = reads.get(contract.name)
        needed = {*contract.primary_key, DAY}
        of_outside = {name for name in contract.column_names if f"{contract.name}.{name}" in listed}
        if read is None and not of_outside:
            gone.append(Unread(contract.name, None, "no table, check, report or command reads it"))
            continue
        for name in contract.column_names:
            if name in needed or name in (read or ()) or name in of_outside:
                continue
            only = name in checked.get(contract.name, ())
            why = "only checks of the table itself read it" if only else "no table, check, report or command reads it"
            gone.append(Unread(contract.name, name, why))
    return sorted(gone, key=lambda one: (one.table, one.column or ""))
