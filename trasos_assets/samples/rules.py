"""How each table is sampled, told from its contract's columns alone; and what a sample consists of."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import StrEnum

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.landing import FORMATS
from trasos_assets.contracts.model import DAY, TEXT, Contract

LINE = ("file_hash", "line")
_ACTOR = {"visitor_id", "customer_id"}
RAW_EVENTS = "raw_events"
RECORDS = tuple(f"raw_{dataset}" for dataset in FORMATS if dataset != "events")
RAW = (RAW_EVENTS, *RECORDS)
LEFT_OUT = ("suppressions", "erased_totals")
"""Tables of which nothing is handed out: they speak of people who were erased."""
JUDGED_EVENTS, REFUSED_RECORDS = "event_states", "quarantined_records"


class SampleError(Exception):
    """A sample that cannot be taken as asked for; the message says why and what to do."""


class Rule(StrEnum):
    """By what a row is in the sample. The value is what a reader of the sample is told."""

    PERSON = "rows of sampled people"
    ACTS = "rows of sampled people; lines of an order go with the order"
    UNIT = "rows of units that are sampled people"
    IDENTITY = "rows of sampled customers"
    FACTORS = "rows of sampled people and of the sample's items"
    PAIRS = "rows of items that the sample's people have to do with"
    ITEMS = "rows of the sample's items"
    LINES = "lines whose raw line is in the sample"
    WHOLE = "whole: it speaks of no single person"


NEEDS: dict[Rule, tuple[Rule, ...]] = {
    Rule.PAIRS: (Rule.PERSON, Rule.ACTS),
    Rule.ITEMS: (Rule.PERSON, Rule.ACTS, Rule.PAIRS),
    Rule.FACTORS: (Rule.PERSON, Rule.ACTS, Rule.PAIRS),
}
"""Which items are in a sample is told by the rows of its people: such tables are sampled after theirs."""


def rule_of(contract: Contract) -> Rule:
    """The rule of a table, by the columns that its contract names.

    Raises:
        SampleError: the table points at persons by columns that no rule knows.
    """
    names = set(contract.column_names)
    if {"side", "id"} <= names:
        return Rule.FACTORS
    if "person_id" in names:
        return Rule.PERSON
    if "unit_id" in names:
        return Rule.UNIT
    if names >= _ACTOR and "occurred_at" in names and "event_id" in names:
        return Rule.ACTS
    if names >= _ACTOR and "valid_from" in names:
        return Rule.IDENTITY
    if names >= set(LINE) and names & {"event_id", "dataset"}:
        return Rule.LINES
    if {"item_id", "also_item_id"} <= names:
        return Rule.PAIRS
    if "item_id" in names:
        return Rule.ITEMS
    if contract.pii - {"raw", "extra"}:
        raise SampleError(
            f"table {contract.name} has personal columns ({', '.join(sorted(contract.pii))}), but no rule says which "
            "of its rows belong to a sampled person; give it a rule in trasos_assets/samples/rules.py"
        )
    return Rule.WHOLE


def holds_items(contract: Contract) -> bool:
    """Whether the items of a table's rows are the sample's items: rows of people, other than lines as they landed."""
    return (
        contract.name not in RAW
        and "item_id" in contract.column_names
        and rule_of(contract) in (Rule.PERSON, Rule.ACTS)
    )


def needed(contract: Contract) -> tuple[str, ...]:
    """Tables that are sampled before this one because its rows follow theirs."""
    rule = rule_of(contract)
    if rule is Rule.LINES:
        return (RAW_EVENTS,) if "dataset" not in contract.column_names else RECORDS
    before = [other for other in CONTRACTS.values() if rule_of(other) in NEEDS.get(rule, ())]
    return tuple(c.name for c in before if holds_items(c) or rule_of(c) is Rule.PAIRS)


def in_order(names: Iterable[str]) -> list[Contract]:
    """The named tables and those they need, every table after those that it needs."""
    done: dict[str, Contract] = {}

    def take(name: str) -> None:
        if name not in done:
            for other in needed(CONTRACTS[name]):
                take(other)
            done[name] = CONTRACTS[name]

    for name in names:
        take(name)
    return list(done.values())


def chosen_tables(asked: Iterable[str] | None) -> list[str]:
    """Names of the tables asked for, ``team.table`` or ``table``; all tables if None.

    Raises:
        SampleError: there is no such table; the message names those that look like it.
    """
    if asked is None:
        return [name for name in CONTRACTS if name not in LEFT_OUT]
    full = {f"{contract.owner}.{name}": name for name, contract in CONTRACTS.items()}
    names = []
    for text in (part.strip() for part in asked):
        name = full.get(text, text)
        if name not in CONTRACTS:
            alike = difflib.get_close_matches(text.rsplit(".", 1)[-1], CONTRACTS, n=3)
            hint = f"did you mean {' or '.join(alike)}?" if alike else f"there are {', '.join(sorted(CONTRACTS))}"
            raise SampleError(f"there is no table {text!r}; {hint}")
        if name in LEFT_OUT:
            raise SampleError(f"table {name} speaks of people who were erased: nothing of it is handed out")
        names.append(name)
    if not names:
        raise SampleError("no table is named; leave --tables out for all of them")
    return list(dict.fromkeys(names))


def texts_as_landed(contract: Contract) -> tuple[str, ...]:
    """Text columns of a raw table that hold what a source wrote, as against what the platform added."""
    if contract.name not in RAW:
        return ()
    landed = {column.name for column in FORMATS[contract.name.removeprefix("raw_")].columns}
    return tuple(column.name for column in contract.columns if column.type == TEXT and column.name in landed)


def line_key(contract: Contract) -> list[str]:
    """The columns that name a landed line within its data set."""
    return [DAY, *LINE] if DAY in contract.column_names else list(LINE)
