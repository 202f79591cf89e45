"""What nobody reads, with what it costs: rows of the table unused_columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import ibis
import pyarrow as pa

from trasos_assets.contracts.model import Contract
from trasos_assets.contracts.storage import UNUSED_COLUMNS, WHOLE
from trasos_assets.storage.money import storage_cost
from trasos_assets.storage.sizes import Size
from trasos_assets.storage.tracing import Unread

SCHEMA: pa.Schema = ibis.schema(UNUSED_COLUMNS.types).to_pyarrow()


def unused_rows(
    found: Iterable[Unread],
    contracts: Mapping[str, Contract],
    sizes: Mapping[str, Size],
    price_gb_month: Decimal | None,
) -> list[dict[str, Any]]:
    """Rows of UNUSED_COLUMNS, the most bytes first.

    Args:
        found: as ``tracing.unread``.
        contracts: tables by name.
        sizes: of each table, with the bytes of its columns.
        price_gb_month: as set.
    """
    rows = []
    for one in found:
        size = sizes[one.table]
        held = size.bytes if one.column is None else size.columns.get(one.column, 0)
        rows.append(
            {
                "table_name": one.table,
                "column_name": WHOLE if one.column is None else one.column,
                "owner": contracts[one.table].owner,
                "bytes": held,
                "share": held / size.bytes if size.bytes else None,
                "storage_cost": storage_cost(held, price_gb_month),
                "why": one.why,
            }
        )
    return sorted(rows, key=lambda row: (-row["bytes"], row["table_name"], row["column_name"]))


def unused_table(rows: Iterable[dict[str, Any]]) -> ibis.Table:
    """The rows as a table."""
    return ibis.memtable(pa.Table.from_pylist(list(rows), schema=SCHEMA))
