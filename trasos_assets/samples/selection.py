"""Which rows of each table are in a sample, as Ibis expressions; nothing is masked here.

A person is in the sample by a hash of its id, and everything about it comes along: its visitors and customers, its
events, its orders. An order belongs to one person (that of its first line, as ``orders`` says), so all its lines and
their events go with it, whoever sent them. An item is in the sample if one of the sample's rows of people names it.
"""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Protocol

import ibis

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.analytics import ORDERS
from trasos_assets.contracts.engineering import CLEAN_EVENTS, IDENTITIES, QUARANTINED_RECORDS
from trasos_assets.contracts.model import DAY, Contract
from trasos_assets.contracts.serving import ALSO_BOUGHT
from trasos_assets.samples.rules import RAW_EVENTS, RECORDS, REFUSED_RECORDS, Rule, holds_items, line_key, rule_of
from trasos_assets.trust.identity import person_of_unit, with_person

ITEM, ALSO_ITEM = "item_id", "also_item_id"


def item_columns(contract: Contract) -> tuple[str, ...]:
    """The columns that name items: the row's own, and those beside it."""
    return tuple(name for name in contract.column_names if name == ITEM or name.endswith(f"_{ITEM}"))


Sampled = Callable[[Any], Any]
"""From a text column to whether each value is in the sample."""


class Reader(Protocol):
    """Gives a table by its contract; of some days only, where days are named."""

    def __call__(self, contract: Contract, *, first: date | None = None, last: date | None = None) -> ibis.Table:
        """The table; without rows if there is none yet."""
        ...


def select_rows(
    contract: Contract,
    whole: Reader,
    sample: Reader,
    sampled: Sampled,
    *,
    first: date | None = None,
    last: date | None = None,
) -> ibis.Table:
    """The rows of a table that are in the sample, with the contract's columns.

    Args:
        contract: the table.
        whole: the lake.
        sample: what of the sample is there already, masked or not: the tables of ``rules.needed``.
        sampled: who is in the sample, as ``SampleKey.sampled`` says.
        first: first day, of a table by day.
        last: last day.
    """
    rows = whole(contract, first=first, last=last)
    rule = rule_of(contract)
    if rule is Rule.WHOLE:
        return rows
    if rule is Rule.PERSON:
        return rows.filter(sampled(rows.person_id))
    if rule is Rule.IDENTITY:
        return rows.filter(sampled(rows.customer_id))
    if rule is Rule.ACTS:
        return _acts(contract, rows, whole, sampled, first, last)
    if rule is Rule.UNIT:
        of_units = person_of_unit(rows, whole(IDENTITIES))
        return of_units.filter(sampled(_somebody(of_units))).select(*contract.column_names)
    if rule is Rule.LINES:
        return rows.semi_join(_sampled_lines(contract, sample, first, last), _line_of(contract))
    if rule is Rule.PAIRS:
        return rows.semi_join(touched_items(sample), ITEM)
    items = all_items(sample)
    if rule is Rule.FACTORS:
        people = rows.filter((rows.side == "person") & sampled(rows.id))
        of_items = rows.filter(rows.side == "item").semi_join(items.rename(id=ITEM), "id")
        # What a model has beside vectors is text that speaks of no single person.
        return people.union(of_items).union(rows.filter(rows.side.notin(("person", "item"))))
    chosen = rows
    for column in item_columns(contract):
        chosen = chosen.semi_join(items.rename({column: ITEM}) if column != ITEM else items, column)
    if contract.name not in RECORDS:
        return chosen
    # A refused line need not name an item at all: it stands for itself.
    refused = rows.semi_join(refused_records(contract, whole, first, last), line_key(contract)).anti_join(items, ITEM)
    return chosen.union(refused.filter(sampled(_line_name(refused))))


def _acts(
    contract: Contract, rows: ibis.Table, whole: Reader, sampled: Sampled, first: date | None, last: date | None
) -> ibis.Table:
    who = with_person(rows, whole(IDENTITIES))
    if "order_id" not in contract.column_names:
        events = whole(CLEAN_EVENTS, first=first, last=last)
        orders_of = events.filter(events.order_id.notnull()).select(DAY, "event_id", "order_id")
        who = who.left_join(orders_of, [DAY, "event_id"], rname="{name}_of_order")
    orders = whole(ORDERS).select(known_order="order_id", buyer="person_id")
    joined = who.left_join(orders, who.order_id == orders.known_order)
    person = ibis.coalesce(joined.buyer, _somebody(joined))
    return joined.filter(sampled(person)).select(*contract.column_names)


def _somebody(rows: ibis.Table) -> Any:
    """The person; of a landed line that names none the line itself, so that a share of such lines is there too."""
    if "file_hash" not in rows.columns:
        return rows.person_id
    return ibis.coalesce(rows.person_id, _line_name(rows))


def _line_name(rows: ibis.Table) -> Any:
    return rows.file_hash + ":" + rows.line.cast("string")


def _line_of(contract: Contract) -> list[str]:
    return [*line_key(contract), *(["dataset"] if "dataset" in contract.column_names else [])]


def _sampled_lines(contract: Contract, sample: Reader, first: date | None, last: date | None) -> ibis.Table:
    if "dataset" not in contract.column_names:
        return sample(CONTRACTS[RAW_EVENTS], first=first, last=last).select(*line_key(contract))
    parts = [
        sample(CONTRACTS[name], first=first, last=last).select(
            *line_key(contract), dataset=ibis.literal(name.removeprefix("raw_"))
        )
        for name in RECORDS
    ]
    return ibis.union(*parts)


def refused_records(contract: Contract, whole: Reader, first: date | None, last: date | None) -> ibis.Table:
    """Keys of the refused lines of a raw table other than that of events."""
    records = whole(CONTRACTS[REFUSED_RECORDS], first=first, last=last)
    of_this = records.filter(records.dataset == contract.name.removeprefix("raw_"))
    return of_this.select(*line_key(QUARANTINED_RECORDS))


def touched_items(sample: Reader) -> ibis.Table:
    """Items, each once, that the sample's rows of people name."""
    named = [sample(contract).select(ITEM) for contract in CONTRACTS.values() if holds_items(contract)]
    items = ibis.union(*named, distinct=True)
    return items.filter(items.item_id.notnull())


def all_items(sample: Reader) -> ibis.Table:
    """The sample's items, each once: those that its people have to do with, and those shown beside them."""
    beside = sample(ALSO_BOUGHT).select(item_id=ALSO_ITEM)
    return ibis.union(touched_items(sample), beside, distinct=True)


def reader_of(tables: Mapping[str, ibis.Table]) -> Reader:
    """A reader of tables that are at hand."""

    def read(contract: Contract, *, first: date | None = None, last: date | None = None) -> ibis.Table:
        table = tables[contract.name]
        if first is not None:
            table = table.filter(table[DAY] >= ibis.literal(first))
        if last is not None:
            table = table.filter(table[DAY] <= ibis.literal(last))
        return table

    return read
