"""Small published tables in which every row says which version it is of."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import ibis
import pyarrow as pa
import pyarrow.parquet as pq

from trasos_assets.contracts.model import Contract
from trasos_assets.contracts.serving import CONTRACTS

SERVED = {contract.name: contract for contract in CONTRACTS}
FIRST = date(2026, 1, 1)


def tables_of(folder: Path, number: int, rows: int = 50) -> dict[str, tuple[Contract, Path]]:
    """Parquet files whose rows all bear the day FIRST + number; ``rows`` + number of them a table."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, contract in SERVED.items():
        count = rows + number
        columns = {
            column.name: [_value(contract, column.name, n, number) for n in range(count)] for column in contract.columns
        }
        file = folder / f"{name}.parquet"
        pq.write_table(pa.table(columns, schema=ibis.schema(contract.types).to_pyarrow()), file)
        found[name] = (contract, file)
    return found


def _value(contract: Contract, name: str, n: int, number: int) -> object:
    if name == "as_of":
        return FIRST + timedelta(days=number)
    if contract.column(name).nullable and n % 3 == 0:
        return None
    kind = contract.column(name).type
    if kind == "string":
        return {"person_id": f"p{n}", "item_id": f"i{n}"}.get(name, ("", 'quoted "text", with\na line', "plain")[n % 3])
    return n + 1 if kind.startswith("int") else (n + number) / 7
