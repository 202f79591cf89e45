"""What forgotten people had added to a number stays in it: KPIs are sums, and a sum names nobody.

Every KPI is made of cells, additive counts and sums by its keys. An erasure keeps, for each cell, by how much the
people it removed had raised it; the KPI is then computed of the cells of those who are left and of these amounts.
"""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ibis
from ibis import Table

from trasos_assets.metrics.shapes import cast_in_engine

KEYS = ("period", "label", "value", "number")
_ABSENT: Mapping[str, str | int] = {"period": "", "label": "", "value": "", "number": 0}


@dataclass(frozen=True)
class Cells:
    """The shape of one KPI's cells: which of its columns stands under which key of ``erased_totals``, and what is
    added up.
    """

    metric: str
    keys: Mapping[str, str]
    measures: Sequence[str]

    def told(self, cells: Table) -> Table:
        """Cells as rows of ``erased_totals`` but for the erasure: one row a cell and measure, zeros left out."""
        columns = {
            key: ibis.literal(_ABSENT[key], "string" if isinstance(_ABSENT[key], str) else "int32") for key in KEYS
        }
        for column, key in self.keys.items():
            columns[key] = cells[column].cast("int32" if key == "number" else "string")
        rows = ibis.union(
            *(
                cells.select(
                    metric=ibis.literal(self.metric),
                    **columns,
                    measure=ibis.literal(measure),
                    amount=cast_in_engine(cells[measure], "decimal(18, 4)"),
                )
                for measure in self.measures
            )
        )
        return rows.filter(rows.amount != 0)

    def erased(self, totals: Table, like: Table) -> Table:
        """The erased amounts as cells, one row for each key, with the column types of ``like``."""
        of = totals.filter(totals.metric == self.metric)
        summed = of.group_by(list(self.keys.values())).aggregate(
            **{measure: of.amount.sum(where=of.measure == measure).fill_null(0) for measure in self.measures}
        )
        keys = {column: cast_in_engine(summed[key], str(like[column].type())) for column, key in self.keys.items()}
        return summed.select(**keys, **{m: cast_in_engine(summed[m], str(like[m].type())) for m in self.measures})

    def with_erased(self, cells: Table, totals: Table | None) -> Table:
        """Cells of those who are left and of the forgotten together; the cells as they are without ``totals``."""
        if totals is None:
            return cells
        slim = cells.select(*self.keys, *self.measures)
        both = slim.union(self.erased(totals, slim))
        added = both.group_by(list(self.keys)).aggregate(**{m: both[m].sum() for m in self.measures})
        return added.select(*self.keys, **{m: cast_in_engine(added[m], str(slim[m].type())) for m in self.measures})
