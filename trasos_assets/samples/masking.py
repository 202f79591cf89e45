"""What of a row a sample does not show: ids become names that stand for them, texts of people are left out."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

from datetime import date
from typing import Any

import ibis

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.landing import EVENT_TYPES
from trasos_assets.contracts.model import TEXT, Contract
from trasos_assets.samples.keys import PSEUDONYM_DIGITS, SampleKey
from trasos_assets.samples.rules import JUDGED_EVENTS, RAW, RAW_EVENTS, line_key, texts_as_landed
from trasos_assets.samples.selection import Reader, refused_records

REPLACED = "(masked)"
NO_FIELDS = "{}"
FREE_TEXT = {"raw": REPLACED, "note": REPLACED, "extra": NO_FIELDS}
"""Text of any content, by what stands in its place: an object stays one."""

ALSO_PERSONAL = ("event_id", "order_id", "request_id", "payload_hash", "released_by")
"""Beside the columns that contracts tag: with these the shop's own systems, or a guess, lead back to a person.

An order's id is on the customer's bill, event ids of imported data hold it, and the hash of a payload tells whether a
guessed visitor is the right one.
"""


def masked_columns(contract: Contract) -> tuple[str, ...]:
    """Columns whose values a sample replaces, by names that stand for them or by ``FREE_TEXT``."""
    personal = {*contract.pii, *ALSO_PERSONAL, *FREE_TEXT}
    return tuple(column.name for column in contract.columns if column.name in personal)


def masked(
    contract: Contract,
    rows: ibis.Table,
    key: SampleKey,
    whole: Reader,
    *,
    first: date | None = None,
    last: date | None = None,
) -> ibis.Table:
    """The same rows without personal data; the contract holds of them as before.

    Args:
        contract: the table.
        rows: some of its rows.
        key: under which names ids go.
        whole: the lake, to tell which landed lines were refused.
        first: first day of the rows, of a table by day.
        last: last day.

    A line that was refused may hold anything in any field (a shifted column, a free text where a word was expected),
    so that of its texts only ids, under their names, and known event types are kept. Null stays null.
    """
    columns = {name: _stand_in(contract, rows, name, key) for name in masked_columns(contract)}
    if contract.name in (RAW_EVENTS, "quarantined_events"):
        columns["event_type"] = _known(rows.event_type)
    if contract.name not in RAW:
        return rows.mutate(**columns)
    marked = _with_mark(contract, rows, whole, first, last)
    for name in texts_as_landed(contract):
        if name not in columns:
            columns[name] = ibis.ifelse(marked.trusted, marked[name], _replaced(marked[name], REPLACED))
    return marked.mutate(**columns).select(*contract.column_names)


def _stand_in(contract: Contract, rows: ibis.Table, name: str, key: SampleKey) -> Any:
    if contract.column(name).type != TEXT:
        raise TypeError(f"column {name} of {contract.name} is personal and no text: say in samples/masking.py how")
    if name in FREE_TEXT:
        return _replaced(rows[name], FREE_TEXT[name])
    hidden = key.pseudonyms(rows[name])
    if "side" in contract.column_names:  # the ids of items stand beside those of people
        return ibis.ifelse(rows.side == "person", hidden, rows[name])
    return hidden


def _replaced(value: Any, stand_in: str) -> Any:
    return ibis.ifelse(value.notnull(), ibis.literal(stand_in), ibis.null("string"))


def _known(event_type: Any) -> Any:
    return ibis.ifelse(event_type.isin(EVENT_TYPES), event_type, _replaced(event_type, REPLACED))


def _with_mark(
    contract: Contract, rows: ibis.Table, whole: Reader, first: date | None, last: date | None
) -> ibis.Table:
    """Raw lines with ``trusted``: whether every rule holds of the line, so that its texts are what they should be."""
    key = line_key(contract)
    if contract.name == RAW_EVENTS:
        states = whole(CONTRACTS[JUDGED_EVENTS], first=first, last=last)
        trusted = states.filter(states.state != "quarantined").select(*key, marked=ibis.literal(True))
        joined = rows.left_join(trusted, key, rname="{name}_of_state")
        return joined.mutate(trusted=joined.marked.notnull()).select(*rows.columns, "trusted")
    refused = refused_records(contract, whole, first, last).mutate(marked=ibis.literal(True))
    joined = rows.left_join(refused, key, rname="{name}_of_state")
    return joined.mutate(trusted=joined.marked.isnull() & joined.problems.isnull()).select(*rows.columns, "trusted")


def unmasked_values(contract: Contract, rows: ibis.Table) -> ibis.Table:
    """Rows of a masked table with a value that is none of those which masking gives; of a table that is masked none."""
    found = []
    for name in masked_columns(contract):
        if name in FREE_TEXT:
            held = rows[name] == FREE_TEXT[name]
        else:
            held = rows[name].re_search(f"^[0-9a-f]{{{PSEUDONYM_DIGITS}}}$")
            if "side" in contract.column_names:
                held = held | (rows.side != "person")
        found.append(rows[name].notnull() & ~held)
    return rows.filter(ibis.or_(*found)) if found else rows.limit(0)
