"""The tables behind the page: checked against their contracts, and read in a fixed order."""

# pyarrow.compute makes its functions at import time, out of a type checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from trasos_assets.contracts import CONTRACTS

TABLES = (
    "daily_kpis",
    "conversion_funnel",
    "retention_cohorts",
    "time_to_return",
    "acquisition_cost",
    "experiment_results",
    "leaderboard",
    "also_bought",
    "catalogue",
    "watermark",
)
CATALOGUE_COLUMNS = ("item_id", "name")


class Source:
    """The dashboard's tables by name. One that is absent reads as empty; columns beyond the contract are ignored.

    Raises:
        ValueError: a table lacks a column of its contract.
    """

    def __init__(self, tables: Mapping[str, pa.Table]) -> None:
        self._tables: dict[str, pa.Table] = {}
        for name in TABLES:
            columns = CATALOGUE_COLUMNS if name == "catalogue" else tuple(c.name for c in CONTRACTS[name].columns)
            table = tables.get(name)
            if table is None:
                table = pa.table({column: pa.array([], pa.null()) for column in columns})
            missing = sorted(set(columns) - set(table.column_names))
            if missing:
                raise ValueError(
                    f"table {name} lacks the columns {', '.join(missing)}; pass it as its contract says "
                    f"(trasos_assets/contracts/{CONTRACTS[name].owner}.py)"
                )
            self._tables[name] = table.select(columns)

    def table(self, name: str) -> pa.Table:
        """One table with the columns of its contract, in no particular order."""
        return self._tables[name]

    def rows(self, name: str, **equal: Any) -> list[dict[str, Any]]:
        """Rows whose columns equal the given values, by primary key. For tables that are small or filtered small."""
        table = self._tables[name]
        if not table.num_rows:
            return []
        for column, value in equal.items():
            table = table.filter(pc.equal(table[column], pa.scalar(value)))
        keys = [(column, "ascending") for column in CONTRACTS[name].primary_key]
        return table.sort_by(keys).to_pylist()

    def item_names(self, item_ids: Iterable[str]) -> dict[str, str]:
        """Name of each item in the catalogue; its id where the catalogue has no name."""
        wanted = sorted(set(item_ids))
        names = {item_id: item_id for item_id in wanted}
        catalogue = self._tables["catalogue"]
        if wanted and catalogue.num_rows:
            found = catalogue.filter(
                pc.is_in(catalogue["item_id"], value_set=pa.array(wanted, catalogue["item_id"].type))
            )
            names |= {row["item_id"]: row["name"] for row in found.to_pylist() if row["name"]}
        return names
