"""From a contract to a Pandera schema, and from Pandera's errors to sentences without personal data."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ibis

from trasos_assets.contracts.model import DAY, Contract, Rule


@contextmanager
def _as_it_was() -> Iterator[None]:
    """Undo what an import does beside: Pandera imports pyspark where there is one and binds it to the loopback."""
    before = dict(os.environ)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield
    os.environ.clear()
    os.environ.update(before)


with _as_it_was():
    import pandera.errors
    import pandera.ibis as pa

SHOWN_FAILURES = 5


@dataclass(frozen=True)
class Violation:
    """One broken promise: which rule, how many rows where known, and a few of them with personal data hashed."""

    rule: str
    message: str


def _check(rule: Rule) -> pa.Check:
    def holds(data: pa.IbisData) -> ibis.Table:
        return data.table.select(holds=rule.holds(data.table).fill_null(ibis.literal(True)))

    # Without a bound on failure cases Pandera drags every failing row through Python.
    return pa.Check(holds, name=rule.name, n_failure_cases=SHOWN_FAILURES)


def unique_key(contract: Contract) -> tuple[str, ...]:
    """The primary key, unique within a partition: beyond the horizon a reused event id is another event."""
    return (
        (DAY, *contract.primary_key)
        if contract.partitioned and DAY not in contract.primary_key
        else contract.primary_key
    )


def pandera_schema(contract: Contract) -> pa.DataFrameSchema:
    """Columns, nullability, primary key and rules as one Pandera schema.

    Array types are unknown to Pandera's Ibis engine: such a column is declared without a type here, and the store
    casts it to the contract's type when it writes.
    """
    columns = {
        column.name: pa.Column(
            None if column.type.startswith("array") else ibis.dtype(column.type),
            nullable=column.nullable,
            description=column.description,
            metadata={"pii": column.pii},
        )
        for column in contract.columns
    }
    return pa.DataFrameSchema(
        columns,
        checks=[_check(rule) for rule in contract.rules],
        unique=list(unique_key(contract)),  # Column(unique=True) passes duplicates on Ibis; frame-level unique works
        strict=True,
        name=contract.name,
        description=contract.description,
        metadata={"owner": contract.owner, "version": contract.version},
    )


def masked(value: object) -> str:
    """A stand-in for a personal value that is the same for the same value: the first 8 hex digits of its hash."""
    return "#" + hashlib.sha256(str(value).encode()).hexdigest()[:8]


def _shown(contract: Contract, error: pandera.errors.SchemaError) -> str:
    cases: Any = error.failure_cases
    if not hasattr(cases, "columns") or "failure_case" not in cases.columns:
        return ""
    shown = []
    for case in list(cases["failure_case"])[:SHOWN_FAILURES]:
        if isinstance(case, dict):
            key = {k: case[k] for k in contract.primary_key if k in case}
            shown.append(str({k: masked(v) if k in contract.pii else str(v) for k, v in key.items()}))
    return f" e.g. {'; '.join(shown)}" if shown else ""


def _shape_violations(contract: Contract, table: ibis.Table) -> list[Violation]:
    """Columns that are missing, unknown or of another type; Pandera's own messages do not name them."""
    found = {name: dtype.copy(nullable=True) for name, dtype in table.schema().items()}
    broken = []
    for name, type_ in contract.types.items():
        if name not in found:
            broken.append(Violation(f"{name}_is_present", f"{contract.name}: column {name} is missing"))
        elif found[name] != ibis.dtype(type_):
            text = f"{contract.name}: column {name} is {found[name]}, not {type_}"
            broken.append(Violation(f"{name}_has_its_type", text))
    for name in found:
        if name not in contract.types:
            text = f"{contract.name}: column {name} is unknown to the contract"
            broken.append(Violation(f"{name}_is_known", text))
    return broken


def _kept_at_a_glance(contract: Contract, table: ibis.Table) -> bool:
    """Whether a table of the right shape keeps its contract, found in two queries over the whole of it.

    Pandera asks a query a column and a rule, which costs as much as making the table. It is left to say what is wrong
    when something is.
    """
    faults = {f"null_{c.name}": table[c.name].isnull().sum() for c in contract.columns if not c.nullable}
    faults |= {
        f"broken_{number}": (~rule.holds(table).fill_null(ibis.literal(True))).sum()
        for number, rule in enumerate(contract.rules)
    }
    found = table.agg(rows=table.count(), **faults).to_pyarrow().to_pylist()[0]
    # Of no rows Pandera reads the sum, which is null, as a null in the column.
    if not found.pop("rows"):
        return True
    if any(found.values()):
        return False
    key = list(unique_key(contract))
    return table.group_by(key).having(table.count() > 1).agg().limit(1).count().to_pyarrow().as_py() == 0


def violations(contract: Contract, table: ibis.Table) -> list[Violation]:
    """Validate a whole table in the engine; empty if it keeps the contract.

    Messages name the rule and the primary keys of a few rows, never a personal value. A table with other columns than
    the contract's is not looked into.
    """
    if broken := _shape_violations(contract, table):
        return broken
    return [] if _kept_at_a_glance(contract, table) else _named_violations(contract, table)


def _named_violations(contract: Contract, table: ibis.Table) -> list[Violation]:
    """What Pandera finds, in words."""
    try:
        contract.schema.validate(table, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        found = []
        for error in errors.schema_errors:
            reason = error.reason_code.name.lower() if error.reason_code else "broken"
            name = getattr(error.check, "name", None) or str(error.check)
            if reason == "duplicates":
                name = "primary_key_is_unique"
                text = f"{contract.name}: rows share the primary key {', '.join(contract.primary_key)}"
            elif reason == "dataframe_check":
                text = f"{contract.name}: rule {name} is broken{_shown(contract, error)}"
            elif reason == "series_contains_nulls":
                column = getattr(error.schema, "name", "?")
                name = f"{column}_is_never_null"
                text = f"{contract.name}: column {column} holds nulls"
            else:
                text = f"{contract.name}: {reason.replace('_', ' ')} ({name})"
                if not contract.pii:  # Pandera's own words may hold values
                    text += f": {error}"
            found.append(Violation(str(name), text))
        return found
    return []
