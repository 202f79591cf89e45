"""What must be in a sample together: which columns of which table point at rows of another."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import ibis

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.model import DAY
from trasos_assets.samples.masking import masked_columns, unmasked_values
from trasos_assets.samples.rules import LINE, RAW
from trasos_assets.samples.selection import ITEM, Reader, item_columns

_LINE = (DAY, *LINE)


@dataclass(frozen=True)
class Reference:
    """Rows of ``table`` point by ``columns`` at rows of ``target`` with the same values in ``target_columns``."""

    table: str
    columns: tuple[str, ...]
    target: str
    target_columns: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.table} ({', '.join(self.columns)}) to {self.target}"


def references() -> tuple[Reference, ...]:
    """Every reference between two tables of the lake."""
    found = [
        Reference("order_lines", ("order_id",), "orders", ("order_id",)),
        Reference("orders", ("order_id",), "order_lines", ("order_id",)),
        Reference("order_lines", (DAY, "event_id"), "clean_events", (DAY, "event_id")),
        Reference("interactions", (DAY, "event_id"), "clean_events", (DAY, "event_id")),
        Reference("clean_events", ("order_id",), "orders", ("order_id",)),
        Reference("raw_events", _LINE, "event_states", _LINE),
        Reference("raw_events", _LINE, "event_keys", _LINE),
        Reference("event_states", _LINE, "raw_events", _LINE),
        Reference("event_keys", _LINE, "raw_events", _LINE),
        Reference("quarantined_events", _LINE, "event_states", _LINE),
    ]
    for contract in CONTRACTS.values():
        names = contract.column_names
        if "person_id" in names and contract.name != "customer_features":
            found.append(Reference(contract.name, ("person_id",), "customer_features", ("person_id",)))
        if contract.name not in RAW:
            targets = sorted({"catalogue", "item_features"} - {contract.name})
            items = item_columns(contract)
            found += [Reference(contract.name, (item,), target, (ITEM,)) for item in items for target in targets]
        if "file_hash" in names and contract.name != "quarantine_releases":
            found.append(Reference(contract.name, ("file_hash",), "landing_ledger", ("delivery",)))
    return tuple(found)


def dangling(reference: Reference, tables: Reader) -> ibis.Table:
    """The values by which rows of a table point at nothing, a row each time; nulls point at nothing and are fine."""
    pointing = tables(CONTRACTS[reference.table]).select(*reference.columns).drop_null()
    target = tables(CONTRACTS[reference.target])
    named = dict(zip(reference.columns, reference.target_columns, strict=True))
    return pointing.anti_join(target.select(**{name: target[other] for name, other in named.items()}), list(named))


def broken_promises(whole: Reader, sample: Reader, names: Collection[str]) -> list[str]:
    """What is wrong with a sample, in sentences: personal values that show, and references that it lost.

    Args:
        whole: the lake.
        sample: the masked sample, whose tables are asked many small questions.
        names: the tables that it has.

    A reference may point at nothing in the lake too (an item that the catalogue does not know), so one is lost if more
    of them do so in the sample than in the whole.
    """
    found = []
    for name in names:
        contract = CONTRACTS[name]
        if masked_columns(contract) and (shown := _count(unmasked_values(contract, sample(contract)))):
            found.append(f"{shown} rows of {name} show a personal value")
    for reference in references():
        if {reference.table, reference.target} <= set(names):
            lost = _count(dangling(reference, sample))
            if lost and lost > _count(dangling(reference, whole)):
                found.append(f"{lost} references of {reference} point at nothing")
    return found


def _count(table: ibis.Table) -> int:
    return int(table.count().to_pyarrow().as_py())
