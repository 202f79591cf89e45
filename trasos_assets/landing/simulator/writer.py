"""Landing files, fast and with the same bytes every time: lines made in the engine, gzip on every core.

A line holds only the fields that it has. Days are compressed each as one stream in a fixed order, so neither the
number of threads nor their timing can be seen in the files; the gzip header holds neither time nor name.
"""

from __future__ import annotations

import os
import zlib
from collections import Counter, deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import duckdb
import numpy as np
import pyarrow as pa

from trasos_assets.contracts.landing import EVENT_TYPES
from trasos_assets.landing.simulator.config import SimulationConfig
from trasos_assets.landing.simulator.dirt import BOT_AGENTS, UNKNOWN_ITEMS
from trasos_assets.landing.simulator.events import Columns
from trasos_assets.landing.simulator.journeys import SLOTS
from trasos_assets.landing.simulator.traffic import AGENTS, CAMPAIGNS, CHANNELS, COUNTRIES
from trasos_assets.places import hidden_for, put_in_place

# Level 1 is three times as fast as the default 6 and its files a quarter larger.
GZIP_LEVEL = 1
GZIP_CONTAINER = 31
ROWS_A_BATCH = 16_384
FILE_NAMES = {
    "events": "events.jsonl.gz",
    "catalogue": "catalogue.jsonl.gz",
    "marketing_spend": "spend.jsonl.gz",
    "assignments": "assignments.jsonl.gz",
}

_TIME = "strftime({}, '%Y-%m-%dT%H:%M:%S.%gZ')"
_PENCE = "({0} // 100) || '.' || lpad(CAST({0} % 100 AS VARCHAR), 2, '0')"


def contexts() -> list[str]:
    """JSON of channel, campaign, device, country and agent for every context code; bots and testers last."""
    people = [
        f',"channel":"{CHANNELS[channel]}"'
        + (f',"campaign":"{campaign}"' if campaign else "")
        + f',"device":"{device}","country":"{country}","user_agent":"{agent}"'
        for channel, campaign, _ in CAMPAIGNS
        for device, agent in AGENTS
        for country in COUNTRIES
    ]
    bots = [f',"user_agent":"{agent}"' for agent in BOT_AGENTS]
    return [*people, *bots, f',"device":"desktop","country":"GB","user_agent":"{AGENTS[2][1]}","is_test":true']


def _event_sql(currency: str) -> str:
    """One line of text a row of ``batch``; a null field makes its whole term null, and concat leaves it out."""
    line = f"""concat(
        '{{"event_id":"e', number, '","event_type":"', type, '","occurred_at":"', {_TIME.format("occurred")},
        '","received_at":"', {_TIME.format("received")}, '","visitor_id":"v', visitor, '"',
        ',"customer_id":"c' || customer || '"', ',"session_id":"s' || session || '"', ',"item_id":"' || item || '"',
        ',"quantity":' || quantity, ',"unit_price":' || {_PENCE.format("price")} || ',"currency":"{currency}"',
        ',"order_id":"o' || "order" || '"', ',"request_id":"r' || request || '","slot":"' || slot || '"',
        ',"position":' || position, context, '}}')"""
    return f"""
        WITH lines AS (SELECT flaw, type, {line} AS line FROM batch)
        SELECT CASE
            WHEN flaw IS NULL THEN line
            WHEN flaw = 0 THEN line[:length(line) // 2]
            WHEN flaw = 1 THEN '[' || json_quote(line) || ']'
            WHEN flaw = 2 THEN replace(line, '","event_type"', '","quantity":"many","event_type"')
            WHEN flaw = 3 THEN replace(line, '"event_type":"' || type || '"', '"event_type":"teleport"')
            ELSE '{{' || line[strpos(line, '"event_type"'):] END || chr(10) AS line
        FROM lines"""  # noqa: S608 - every part is a constant of this package or a checked currency


_SPEND_SQL = f"""
    SELECT concat('{{"spend_day":"', strftime(day, '%Y-%m-%d'), '","channel":"', channel, '","campaign":"', campaign,
        '","cost":', {_PENCE.format("pence")}, ',"currency":"', currency, '","clicks":', clicks, '}}', chr(10)) AS line
    FROM batch"""  # noqa: S608 - every part is a constant of this package
_ASSIGNMENT_SQL = f"""
    SELECT concat('{{"experiment":"', experiment, '","unit_id":"v', visitor, '","arm":"', arm, '","assigned_at":"',
        {_TIME.format("assigned")}, '"}}', chr(10)) AS line
    FROM batch"""  # noqa: S608 - every part is a constant of this package
_CATALOGUE_SQL = f"""
    SELECT concat('{{"item_id":"', item, '","name":"', name, '","kind":"', kind, '"',
        ',"category":"' || category || '"',
        ',"brand":"' || brand || '"', ',"season":"' || season || '"', ',"price":', {_PENCE.format("pence")},
        ',"currency":"', currency, '"', ',"stock":' || stock, ',"available":', available, '}}', chr(10)) AS line
    FROM batch"""  # noqa: S608 - every part is a constant of this package


def _coded(codes: np.ndarray, texts: list[str]) -> pa.Array:
    """Texts by code, null where the code is below 0."""
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32), mask=codes < 0), pa.array(texts))


def _known(values: np.ndarray) -> pa.Array:
    """Numbers, null below 0."""
    return pa.array(values, mask=values < 0)


def _compress(target: Path, pieces: list[memoryview]) -> None:
    """Write one file whole or not at all: under a hidden name first."""
    hidden = hidden_for(target)
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_CONTAINER)
    with hidden.open("wb") as file:
        for piece in pieces:
            file.write(packer.compress(piece))
        file.write(packer.flush())
    put_in_place(hidden, target)


class LandingWriter:
    """Writes batches of rows as landing files; ``lines`` counts what was written by data set.

    Use as a context manager: leaving it waits for the files and raises what went wrong with any of them.
    """

    def __init__(self, config: SimulationConfig, item_ids: np.ndarray, out: Path, threads: int) -> None:
        self.config, self.out = config, out
        self.lines: Counter[str] = Counter(dict.fromkeys(FILE_NAMES, 0))
        self._threads = threads or os.cpu_count() or 1
        self._con = duckdb.connect(":memory:", config={"threads": self._threads})
        self._pool = ThreadPoolExecutor(self._threads)
        self._running: deque[Future[None]] = deque()
        self._items = [*item_ids.tolist(), *(f"unknown-{number:02d}" for number in range(UNKNOWN_ITEMS))]
        self._contexts = contexts()
        self._origin = np.datetime64(config.start, "ms")

    def __enter__(self) -> LandingWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown(wait=True, cancel_futures=error is not None)
        self._con.close()
        if error is None:
            self._settle(0)

    def _settle(self, allowed: int) -> None:
        while len(self._running) > allowed:
            self._running.popleft().result()

    def _write(self, dataset: str, sql: str, batch: pa.Table, day: np.ndarray) -> None:
        """Write the rows, which are sorted by ``day``, as one file a day."""
        if not batch.num_rows:
            return
        # The engine scans Arrow by record batch: one big batch would be rendered by one thread.
        self._con.register("batch", pa.Table.from_batches(batch.to_batches(max_chunksize=ROWS_A_BATCH)))
        text = self._con.sql(sql).to_arrow_table().column("line").combine_chunks().cast(pa.large_string())
        self._con.unregister("batch")
        _, offsets, data = text.buffers()
        ends = np.frombuffer(offsets, dtype=np.int64)[text.offset : text.offset + len(text) + 1]
        days, first = np.unique(day, return_index=True)
        bounds = [*first.tolist(), len(day)]
        for which, at in enumerate(days.tolist()):
            piece = memoryview(data)[ends[bounds[which]] : ends[bounds[which + 1]]]
            target = self.out / dataset / f"dt={self.config.day(at)}" / FILE_NAMES[dataset]
            self._running.append(self._pool.submit(_compress, target, [piece]))
        self.lines[dataset] += len(text)
        # A bound on what waits for compression is a bound on memory.
        self._settle(2 * max(self._threads, len(days)))

    def _times(self, ms: np.ndarray) -> np.ndarray:
        return self._origin + ms.astype("timedelta64[ms]")

    def events(self, events: Columns, day: np.ndarray) -> None:
        """Write events, sorted by the day on which they land."""
        batch = {
            "type": _coded(events["type"], list(EVENT_TYPES)),
            "occurred": self._times(events["occurred"]),
            "received": self._times(events["received"]),
            "item": _coded(events["item"], self._items),
            "slot": _coded(events["slot"], list(SLOTS)),
            "context": _coded(events["context"], self._contexts),
            **{
                name: _known(events[name])
                for name in ("number", "visitor", "customer", "session", "quantity", "price", "order", "request")
            },
            "position": _known(events["position"]),
            "flaw": _known(events["flaw"]),
        }
        self._write("events", _event_sql(self.config.currency), pa.table(batch), day)

    def assignments(self, experiment: str, visitor: np.ndarray, arm: list[str], assigned: np.ndarray) -> None:
        """Write arms of visitors on the day of their assignment, sorted by time."""
        by_time = np.lexsort((visitor, assigned))
        assigned = assigned[by_time]
        batch = {
            "experiment": pa.array([experiment]).take(pa.array(np.zeros(len(visitor), dtype=np.int32))),
            "visitor": visitor[by_time],
            "arm": pa.array(arm, pa.string()).take(pa.array(by_time)),
            "assigned": self._times(assigned),
        }
        self._write("assignments", _ASSIGNMENT_SQL, pa.table(batch), assigned // 86_400_000)

    def spend(self, day: np.ndarray, columns: dict[str, pa.Array | np.ndarray]) -> None:
        """Write spend rows (channel, campaign, pence, clicks), sorted by day."""
        currency = pa.array([self.config.currency] * len(day))
        batch = {"day": self._times(day * 86_400_000), "currency": currency, **columns}
        self._write("marketing_spend", _SPEND_SQL, pa.table(batch), day)

    def catalogue(self, day: np.ndarray, columns: dict[str, pa.Array | np.ndarray]) -> None:
        """Write states of items, sorted by day."""
        currency = pa.array([self.config.currency] * len(day), pa.string())
        self._write("catalogue", _CATALOGUE_SQL, pa.table({"currency": currency, **columns}), day)
