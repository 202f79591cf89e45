"""The people's rows in the lake's own tables: raw lines, and days that can no longer be built again from them."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date, timedelta
from typing import Any

import ibis

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.analytics import ORDER_LINES
from trasos_assets.contracts.engineering import (
    CLEAN_EVENTS,
    INTERACTIONS,
    LANDING_LEDGER,
    QUARANTINE_RELEASES,
    QUARANTINED_EVENTS,
    QUARANTINED_RECORDS,
    RAW_EVENTS,
)
from trasos_assets.contracts.landing import EVENT
from trasos_assets.contracts.model import Contract
from trasos_assets.erasure.patterns import pattern_of_lines
from trasos_assets.erasure.people import People, acts_of, lines_of
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing.entries import read_ledger, write_ledger
from trasos_assets.landing.quarantine import RAW
from trasos_assets.landing.releases import lateness_waivers
from trasos_assets.trust.restate import affected_days

Progress = Callable[[str, int, int], None]
_TOUCHED = "touched"
_OF_ACTS = (CLEAN_EVENTS, INTERACTIONS, ORDER_LINES)
_OF_TEXT = (QUARANTINED_EVENTS, QUARANTINED_RECORDS)


def affected_by_erasure(
    store: LakeStore, people: People, deliveries: Collection[str], *, dedup_days: int, late_days: int
) -> list[date]:
    """Received and occurred days whose tables change when the people's lines go.

    Besides the days of the lines themselves: days of events that a line was compared with, and of all lines of the
    files that become other deliveries, by whose names ties between copies of one event are broken.
    """
    days: set[date] = set()
    for dataset, contract in RAW.items():
        raw = store.read(contract)
        touched = lines_of(raw, dataset, people)
        if deliveries:
            touched |= raw.file_hash.isin(sorted(deliveries))
        if dataset != EVENT.dataset:
            days |= _days(raw.filter(touched), "day")
            continue
        received = sorted(_days(raw.filter(touched), "day"))
        if not received:
            continue
        around = timedelta(days=dedup_days)
        near = store.read(contract, first=received[0] - around, last=received[-1] + around)
        touched = lines_of(near, dataset, people)
        if deliveries:
            touched |= near.file_hash.isin(sorted(deliveries))
        marked = near.mutate(file_hash=touched.ifelse(_TOUCHED, near.file_hash))
        waivers = [(release.since, release.until) for release in lateness_waivers(store)]
        found = affected_days(marked, [_TOUCHED], dedup_days=dedup_days, late_days=late_days, unbounded=waivers)
        days |= _days(found, "day")
    clean = store.read(CLEAN_EVENTS)
    return sorted(days | _days(clean.filter(acts_of(clean, people)), "day"))


def _days(table: ibis.Table, column: str) -> set[date]:
    return set(table.select(column).distinct().to_pyarrow()[column].to_pylist())


def remove_from_raw(
    store: LakeStore,
    people: People,
    renamed: Mapping[str, str],
    *,
    removed: Callable[[str, date, int], None],
    progress: Progress | None = None,
) -> None:
    """Take the people's lines out of the raw tables, and give deliveries that were rewritten their new names.

    Lines after one that went move up, as they do in the file. A day is published whole or not at all, so that this can
    be called again after a kill at any moment.

    Args:
        store: the lake.
        people: who goes.
        renamed: delivery to its new name.
        removed: told the table, day and number of rows of every day before it is published.
        progress: told how far it is.
    """
    for dataset, contract in RAW.items():
        days = _days_to_rewrite(store, contract, dataset, people, renamed)
        with store.writing(contract.name):
            store.sweep(contract)
            for number, (day, rows) in enumerate(sorted(days.items())):
                if progress is not None:
                    progress(contract.name, number, len(days))
                raw = store.table_of(contract, [store.file(contract, day)])
                staged = store.stage(contract, _without(raw, dataset, people, renamed), [day])
                removed(contract.name, day, rows)
                store.publish(staged)


def _days_to_rewrite(
    store: LakeStore, contract: Contract, dataset: str, people: People, renamed: Mapping[str, str]
) -> dict[date, int]:
    """Days with lines that go or whose file has a new name; how many lines go."""
    raw = store.read(contract)
    marked = raw.select("day", own=lines_of(raw, dataset, people), moved=_in(raw.file_hash, renamed))
    by_day = marked.group_by("day").agg(rows=marked.own.sum(), moved=marked.moved.max())
    found = by_day.filter((by_day.rows > 0) | by_day.moved).to_pyarrow().to_pylist()
    return {row["day"]: int(row["rows"]) for row in found}


def _in(column: Any, values: Iterable[str]) -> Any:
    listed = sorted(values)
    return column.isin(listed) if listed else ibis.literal(False)


def _without(raw: ibis.Table, dataset: str, people: People, renamed: Mapping[str, str]) -> ibis.Table:
    marked = raw.mutate(own=lines_of(raw, dataset, people))
    in_file = ibis.window(group_by=["day", "file_hash"], order_by="line", preceding=None, following=0)
    moved = marked.mutate(before=marked.own.cast("int64").sum().over(in_file))
    kept = moved.filter(~moved.own)
    cases = [(kept.file_hash == old, new) for old, new in sorted(renamed.items())]
    name = ibis.cases(*cases, else_=kept.file_hash) if cases else kept.file_hash
    return kept.mutate(line=kept.line - kept.before, file_hash=name).select(*raw.columns)


def rename_in_books(store: LakeStore, renamed: Mapping[str, str]) -> None:
    """Releases of one delivery name it by its new name."""
    if not renamed or not store.exists(QUARANTINE_RELEASES):
        return
    with store.writing(QUARANTINE_RELEASES.name):
        releases = store.read(QUARANTINE_RELEASES)
        if not releases.filter(_in(releases.file_hash, renamed)).count().to_pyarrow().as_py():
            return
        cases = [(releases.file_hash == old, new) for old, new in sorted(renamed.items())]
        store.write(
            QUARANTINE_RELEASES, store.made(releases.mutate(file_hash=ibis.cases(*cases, else_=releases.file_hash)))
        )


def recount_ledger(store: LakeStore, deliveries: Collection[str]) -> None:
    """Deliveries that lost lines have as many rows as the raw tables hold of them now, whether their file is there or
    not.
    """
    with store.writing(LANDING_LEDGER.name):
        rows = read_ledger(store)
        counts: dict[str, int] = {}
        for contract in RAW.values():
            raw = store.read(contract)
            raw = raw.filter(_in(raw.file_hash, deliveries))
            held = raw.group_by("file_hash").agg(rows=raw.count()).to_pyarrow().to_pydict()
            counts |= dict(zip(held["file_hash"], held["rows"], strict=True))
        recounted = [
            row | {"rows_read": counts.get(row["delivery"], 0)}
            if row["rows_read"] is not None and row["delivery"] in deliveries and row["run_id"] is not None
            else row
            for row in rows
        ]
        if recounted != rows:
            write_ledger(store, recounted)


def remove_from_days(
    store: LakeStore, people: People, built_again: Collection[date], *, removed: Callable[[str, date, int], None]
) -> None:
    """Take the people's rows out of tables by day on days that will not be built again: what they were made of is gone.

    Args:
        store: the lake.
        people: who goes.
        built_again: days that are left to the ordinary way.
        removed: told the table, day and number of rows.
    """
    text = pattern_of_lines(people.ids)
    for contract in (*_OF_ACTS, *_OF_TEXT):
        table = store.read(contract)
        if contract in _OF_ACTS:
            own = acts_of(table, people)
        elif text is None:
            continue
        else:
            own = table.raw.re_search(text).fill_null(False)
        counted = table.filter(own).group_by("day").agg(rows=lambda t: t.count()).to_pyarrow().to_pylist()
        days = {row["day"]: row["rows"] for row in counted if row["day"] not in built_again}
        with store.writing(contract.name):
            for day, rows in sorted(days.items()):
                of_day = store.table_of(contract, [store.file(contract, day)])
                own = acts_of(of_day, people) if contract in _OF_ACTS else of_day.raw.re_search(text).fill_null(False)
                staged = store.stage(contract, of_day.filter(~own), [day])
                removed(contract.name, day, rows)
                store.publish(staged)


def rows_of(store: LakeStore, people: People) -> dict[str, int]:
    """Rows of the people in every table that names people, by table: what would go."""
    counts: dict[str, int] = {}
    for contract in CONTRACTS.values():
        if not store.exists(contract):
            continue
        table = store.read(contract)
        own = _own(table, contract, people)
        if own is not None:
            rows = int(table.filter(own).count().to_pyarrow().as_py())
            if rows:
                counts[contract.name] = rows
    return counts


def _own(table: ibis.Table, contract: Contract, people: People) -> Any:
    """Which rows of a table are the people's; None for a table that names nobody."""
    for dataset, raw in RAW.items():
        if contract is raw:
            return lines_of(table, dataset, people)
    if contract in _OF_TEXT:
        text = pattern_of_lines(people.ids)
        return table.raw.re_search(text).fill_null(False) if text else None
    if contract in _OF_ACTS:
        return acts_of(table, people)
    own = None
    for column in ("person_id", "visitor_id", "customer_id", "unit_id", "id"):
        if column in contract.pii and people.ids:
            found = table[column].isin(people.ids).fill_null(False)
            if column == "id":
                found &= table.side == "person"
            own = found if own is None else own | found
    return own


def events_of_stays(store: LakeStore, people: People) -> tuple[str, ...]:
    """Ids of events that are theirs though no id of theirs stands in them: done by a visitor whom others use too."""
    if not people.stays:
        return ()
    events: set[str] = set()
    for contract in (RAW_EVENTS, CLEAN_EVENTS):
        table = store.read(contract)
        alone = table.filter(acts_of(table, people) & table.customer_id.isnull() & table.visitor_id.isin(people.shared))
        found = alone.filter(alone.event_id.notnull()).select("event_id").distinct().to_pyarrow()
        events |= set(found["event_id"].to_pylist())
    return tuple(sorted(events))
