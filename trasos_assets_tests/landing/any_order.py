"""A lake in the small on which the platform's functions carry out ingests, and lines whose order must not matter.

Only the wiring of ``trasos_assets/defs`` is written once more here (``BY_DAY``: which days a table by day reads);
everything else is the platform's own: ledger, plan of days, readers, store, classify.
"""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any, ClassVar

import ibis
import pytest

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.analytics import ORDER_LINES
from trasos_assets.contracts.engineering import (
    CLEAN_EVENTS,
    EVENT_KEYS,
    EVENT_STATES,
    INTERACTION_TYPES,
    INTERACTIONS,
    LANDING_LEDGER,
    QUARANTINED_EVENTS,
    RAW_EVENTS,
)
from trasos_assets.contracts.model import Contract
from trasos_assets.defs.operations import plan
from trasos_assets.lake.days import every_day
from trasos_assets.lake.parquet import select_from_files
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing.ledger import pending_deliveries, settle, take_stock
from trasos_assets.landing.parse import read_deliveries
from trasos_assets.metrics import orders as order_definitions
from trasos_assets.settings import Settings
from trasos_assets.trust import bots, classify, marks
from trasos_assets_tests.conftest import Backend, new_backend

FIRST = date(2026, 1, 1)
DAYS = 5
LONG_AGO = 1_767_225_600
LATE_DAYS, DEDUP_DAYS, BOT_EVENTS = 1, 2, 4
ENGINE = new_backend()  # property tests cannot have one each

Lines = tuple[tuple[int, bytes], ...]


def _at(day: int, hour: int, minute: int = 0) -> str:
    return f"{FIRST + timedelta(days=day)}T{hour:02d}:{minute:02d}:00Z"


def _line(
    event_id: str, received: int, *, happened: int | None = None, hour: int = 12, **fields: Any
) -> tuple[int, bytes]:
    """A line of the folder of one day; ``happened`` is the day on which it happened."""
    row = {
        "event_id": event_id,
        "event_type": "page_view",
        "occurred_at": _at(received if happened is None else happened, hour),
        "received_at": _at(received, hour, 1),
        "visitor_id": f"v{int(hashlib.md5(event_id.encode()).hexdigest(), 16) % 3}",
        "item_id": "i1",
    } | fields
    return received, json.dumps(row).encode()


def _buy(event_id: str, received: int, order: str, price: float, **fields: Any) -> tuple[int, bytes]:
    bought = {"event_type": "purchase", "order_id": order, "quantity": 2, "unit_price": price}
    return _line(event_id, received, **bought | fields)


LINES: Lines = (
    *(_line(f"plain {day} {n}", day, hour=8 + n) for day in range(DAYS) for n in range(2)),
    # One visitor at the limit of what a person does in a day, and one event over it that comes late.
    *(_line(f"busy {n}", 2, hour=n, visitor_id="busy") for n in range(BOT_EVENTS)),
    _line("busy late", 3, happened=2, hour=23, visitor_id="busy", received_at=_at(3, 1)),
    # The same id: at the same moment, received later, with another payload, on neighbouring days, beyond the horizon.
    *(_line("twice", 1),) * 2,
    _line("again", 1),
    _line("again", 1, received_at=_at(1, 13)),
    _line("conflict", 1, slot="a"),
    _line("conflict", 1, slot="b"),
    _line("conflict over days", 1, slot="a", received_at=_at(1, 15)),
    _line("conflict over days", 2, slot="b", happened=1),
    _line("late copy", 0),
    _line("late copy", 1, happened=0, received_at=_at(1, 10)),
    *(_line("chain", day, slot=f"{day}") for day in (0, 2, 4)),
    _line("reused", 0, slot="before"),
    _line("reused", 4, slot="after"),
    _line("mended", 1, quantity=0),
    _line("mended", 2, happened=1, quantity=1),
    # Late by what is allowed, by a minute more, and from before the lake began.
    _line("late", 2, happened=1),
    _line("just in time", 3, happened=2, hour=10, received_at=_at(3, 10)),
    _line("too late", 3, happened=1),
    _line("before all", 0, happened=-1),
    _line("clock ahead", 1, happened=2),
    _buy("buy 1", 1, "o1", 19.99),
    _buy("buy 2", 1, "o1", 0.01, item_id="i2"),
    _buy("buy 2", 2, "o1", 0.02, item_id="i2", happened=1, received_at=_at(2, 14)),
    _buy("cancel", 2, "o1", 19.99, event_type="cancellation", quantity=1),
    _buy("buy late", 3, "o2", 5, happened=2, customer_id="c2"),
    _buy("buy nothing", 3, "o3", 5, order_id=None),
    _line("login 1", 1, event_type="login", visitor_id="v0", customer_id="c1"),
    _line("login 2", 4, event_type="login", visitor_id="v0", customer_id="c2"),
    (1, b"no JSON"),
    (1, b'{"event_id": "half'),
    (3, b"no JSON"),
    (2, b'{"event_id": "bad", "quantity": "x"}'),
    (4, b"\xff\xfe\x00"),
)


def _settings(data_dir: Path) -> Settings:
    return Settings(  # pyright: ignore[reportCallIssue] - every field has a default
        data_dir=data_dir,
        start_date=FIRST,
        timezone="UTC",
        currency="GBP",
        late_days=LATE_DAYS,
        dedup_days=DEDUP_DAYS,
        bot_events_per_day=BOT_EVENTS,
        max_line_bytes=1_000_000,
        max_file_bytes=1 << 30,
    )


class QuickStore(LakeStore):
    """The store without what makes up most of a small example: Ibis compiling the same SQL again, waiting for the disk.

    Each contract is read through one view whose files change, so that the SQL of a table by day stays as it is.
    """

    compiled: ClassVar[dict[str, str]] = {}
    tables: ClassVar[dict[str, ibis.Table]] = {}

    def table_of(self, contract: Contract, files: Iterable[Path]) -> ibis.Table:
        view = f"any_order_{contract.name}"
        self.backend.raw_sql(f"CREATE OR REPLACE TEMP VIEW {view} AS {select_from_files(contract, files)}")
        if contract.name not in self.tables:
            self.tables[contract.name] = self.backend.table(view)
        return self.tables[contract.name]

    def _typed_select(self, contract: Contract, table: ibis.Table) -> str:
        if contract in (RAW_EVENTS, LANDING_LEDGER):  # made of tables in memory, whose names change
            return super()._typed_select(contract, table)
        if contract.name not in self.compiled:
            self.compiled[contract.name] = super()._typed_select(contract, table)
        return self.compiled[contract.name]


class Shop:
    """A lake on which the platform's functions carry out ingests as ``defs`` does, on the suite's one engine."""

    built: ClassVar[dict[str, ibis.Table]] = {}

    def __init__(self, data: Path, backend: Backend) -> None:
        self.settings = _settings(data)
        self.store = QuickStore(self.settings.lake_dir, backend)
        self.settings.landing_dir.mkdir(parents=True)

    def land(self, path: str, content: bytes) -> None:
        file = self.settings.landing_dir / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress(content, mtime=0) if path.endswith(".gz") else content)
        os.utime(file, (LONG_AGO, LONG_AGO))  # a file that has just grown is waited for

    def ingest(self) -> None:
        """One ingest, stage by stage: what is pending, raw tables, the days that it affects, the books."""
        stock = take_stock(self.store, self.settings, first_day=FIRST)
        assert not stock.troubled
        days = plan.lake_days(self.store, stock.pending, FIRST)
        for run in plan.raw_runs(self.store, self.settings, stock.pending, days):
            assert run.assets == (RAW_EVENTS.name,)
            self._write(RAW_EVENTS.name, run)
        for run in plan.day_runs(self.store, self.settings, stock.pending, days):
            for name in run.assets:
                self._write(name, run)
        settle(self.store, [row["delivery"] for row in stock.pending], run_id="run")

    def _write(self, name: str, run: plan.PlannedRun) -> None:
        assert run.first is not None
        assert run.last is not None
        first, last, contract = run.first, run.last, CONTRACTS[name]
        if contract is RAW_EVENTS:
            made = self._raw(first, last)
        else:
            reads, build = BY_DAY[name]
            tables = [
                self.store.read(read, first=first - timedelta(days=before), last=last + timedelta(days=after))
                for read, before, after in reads
            ]
            if name not in self.built:
                self.built[name] = build(*tables)
            made = self.built[name]
        self.store.write(contract, made, every_day(first, last))

    def _raw(self, first: date, last: date) -> ibis.Table:
        held = self.store.read(RAW_EVENTS, first=first, last=last)
        pending = pending_deliveries(self.store, self.settings, "events", first, last)
        if not pending:
            return held
        landed = read_deliveries(
            self.store.backend,
            "events",
            pending,
            timezone=self.settings.timezone,
            max_line_bytes=self.settings.max_line_bytes,
            max_file_bytes=self.settings.max_file_bytes,
        )
        return held.filter(held.file_hash.notin([delivery.delivery for delivery in pending])).union(landed)


def _interactions(clean_events: ibis.Table) -> ibis.Table:
    people = bots.people_only(clean_events)
    acts = people.filter(people.event_type.isin(INTERACTION_TYPES) & people.item_id.notnull())
    return acts.select(
        *("day", "event_id", "occurred_at", "visitor_id", "customer_id", "item_id"),
        interaction_type="event_type",
        quantity=acts.quantity.fill_null(1),
    )


BY_DAY: dict[str, tuple[tuple[tuple[Contract, int, int], ...], Callable[..., ibis.Table]]] = {
    EVENT_KEYS.name: (
        ((RAW_EVENTS, 0, 0),),
        lambda raw: classify.event_keys(raw, late_days=LATE_DAYS, currency="GBP", first_day=FIRST),
    ),
    EVENT_STATES.name: (
        ((EVENT_KEYS, DEDUP_DAYS, DEDUP_DAYS),),
        lambda keys: classify.event_states(keys, dedup_days=DEDUP_DAYS),
    ),
    QUARANTINED_EVENTS.name: (((RAW_EVENTS, 0, 0), (EVENT_STATES, 0, 0)), classify.quarantined_events),
    CLEAN_EVENTS.name: (
        ((RAW_EVENTS, 0, LATE_DAYS), (EVENT_STATES, 0, LATE_DAYS)),
        lambda raw, states: marks.marked_events(classify.accepted_events(raw, states), _settings(Path())),
    ),
    INTERACTIONS.name: (((CLEAN_EVENTS, 0, 0),), _interactions),
    ORDER_LINES.name: (((CLEAN_EVENTS, 0, 0),), order_definitions.order_lines),
}
"""Tables by day: what each reads, with how many days before and after its own, and how it is made of it."""


@contextmanager
def new_shop() -> Iterator[Shop]:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", lambda descriptor: None)
        yield Shop(Path(folder), ENGINE)
    for (table,) in ENGINE.con.execute("SELECT table_name FROM duckdb_tables()").fetchall():
        ENGINE.con.execute(f'DROP TABLE IF EXISTS "{table}"')


def folder_of(day: int) -> str:
    """Folder of a received day, by its number."""
    return f"events/dt={FIRST + timedelta(days=day)}"
