"""What a contract is: the one description of a table that everything else is derived from.

Column schema in the Dagster UI, types written to Parquet, Pandera validation, the blocking check, row rules of the
quarantine, retention, freshness, ownership and the docs all read from here. Pandera is imported when a table is first
validated, not when definitions load (it takes longer to import than everything else but Dagster).
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandera.ibis as pandera_ibis

Owner = Literal["engineering", "science", "analytics"]
Partition = Literal["none", "received", "occurred"]

TEXT = "string"
INT32 = "int32"
INT64 = "int64"
FLOAT32 = "float32"
FLOAT64 = "float64"
BOOLEAN = "boolean"
DATE = "date"
TIMESTAMP = "timestamp(6)"
MONEY = "decimal(18, 4)"
VECTOR = "array<float32>"

DAY = "day"


@dataclass(frozen=True)
class Column:
    """One column: an Ibis type, whether it may be null, whether it points at a person."""

    name: str
    type: str
    description: str
    nullable: bool = False
    pii: bool = False

    def optional(self) -> Column:
        """The same column, nullable."""
        return replace(self, nullable=True)


@dataclass(frozen=True)
class Rule:
    """What must hold in every row.

    ``holds`` maps a table to a boolean column; null counts as "holds", because a column's own ``nullable`` speaks of
    nulls. ``name`` is the reason a person reads in the quarantine, so it names the fault: ``negative_unit_price``.

    ``waivable`` maps a table to the rows that stay usable downstream without the rule: in those, a release from the
    quarantine may waive it. A rule without it is never waived.
    """

    name: str
    holds: Callable[[Any], Any]  # ibis.Table to ibis.Value, but Ibis types columns without their operators
    description: str = ""
    waivable: Callable[[Any], Any] | None = None


@dataclass(frozen=True)
class Contract:
    """Everything that producers and consumers of one table have agreed on."""

    name: str
    owner: Owner
    description: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    rules: tuple[Rule, ...] = ()
    partition: Partition = "none"
    freshness: timedelta | None = timedelta(hours=36)
    keep_days: int | None = None
    """Days by the watermark after which retention removes a day of the table; None keeps all. Only for tables by day,
    and only where no table without partitions reads all days."""

    served_to: str | None = None
    """Who reads it outside the platform, where nobody can see which columns."""

    version: int = 1
    volatile: bool = False
    kinds: tuple[str, ...] = field(default=("duckdb", "parquet"))

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        doubled = {name for name in names if names.count(name) > 1}
        if doubled:
            raise ValueError(f"contract {self.name}: columns named twice: {sorted(doubled)}")
        missing = set(self.primary_key) - set(names)
        if missing or not self.primary_key:
            raise ValueError(f"contract {self.name}: primary key names no column: {sorted(missing)}")
        if self.partitioned and DAY not in names:
            raise ValueError(f"contract {self.name}: a table partitioned by day needs a column {DAY!r}")
        if self.keep_days is not None and (not self.partitioned or self.keep_days < 1):
            raise ValueError(f"contract {self.name}: keep_days is a number of days, of a table partitioned by day")

    @property
    def partitioned(self) -> bool:
        """Whether the table has one Parquet file a day."""
        return self.partition != "none"

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names in the order in which they are written."""
        return tuple(column.name for column in self.columns)

    @property
    def types(self) -> dict[str, str]:
        """Column name to Ibis type, in order."""
        return {column.name: column.type for column in self.columns}

    @property
    def pii(self) -> frozenset[str]:
        """Columns that point at a person: never shown in previews, metadata, logs or errors."""
        return frozenset(column.name for column in self.columns if column.pii)

    def column(self, name: str) -> Column:
        """The column of that name; ``KeyError`` if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"contract {self.name} has no column {name!r}")

    def digest(self) -> str:
        """Hash of all that decides which rows and bytes the contract admits."""
        parts = [
            self.name,
            str(self.version),
            repr([(c.name, c.type, c.nullable) for c in self.columns]),
            repr(self.primary_key),
            self.partition,
            *(f"{rule.name}:{inspect.getsource(rule.holds)}" for rule in self.rules),
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    @functools.cached_property
    def schema(self) -> pandera_ibis.DataFrameSchema:
        """The Pandera schema that a staged table is validated against, checks pushed into the engine."""
        from trasos_assets.contracts.schema import pandera_schema

        return pandera_schema(self)
