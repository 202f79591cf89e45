"""What the Dagster UI shows of a table: column schema, row counts, a preview without personal data."""

from __future__ import annotations

from typing import Any

import dagster as dg
import ibis

from trasos_assets.contracts.model import Contract
from trasos_assets.lake.store import LakeStore, Staged

PREVIEW_ROWS = 5
_SHOWN_CHARACTERS = 60


def column_schema(contract: Contract) -> dg.TableSchema:
    """The contract's columns as Dagster shows them."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=column.type,
                description=column.description + (" (personal)" if column.pii else ""),
                constraints=dg.TableColumnConstraints(
                    nullable=column.nullable, unique=contract.primary_key == (column.name,)
                ),
                tags={"pii": ""} if column.pii else None,
            )
            for column in contract.columns
        ],
        constraints=dg.TableConstraints(
            other=[f"primary key: {', '.join(contract.primary_key)}", *(rule.name for rule in contract.rules)]
        ),
    )


def definition_metadata(contract: Contract) -> dict[str, Any]:
    """Metadata that holds whatever the table holds."""
    return {
        "dagster/column_schema": column_schema(contract),
        "contract_version": contract.version,
        "primary_key": ", ".join(contract.primary_key),
        "partition": contract.partition,
        "personal_columns": ", ".join(sorted(contract.pii)) or "none",
        "keep_days": contract.keep_days if contract.keep_days is not None else "for ever",
    }


def _cell(value: object) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def preview(contract: Contract, table: ibis.Table, rows: int = PREVIEW_ROWS) -> dg.MetadataValue:
    """The first rows as a Markdown table, personal columns left out."""
    shown = [name for name in contract.column_names if name not in contract.pii]
    records = table.select(shown).limit(rows).to_pyarrow().to_pylist()
    lines = ["| " + " | ".join(shown) + " |", "|" + "---|" * len(shown)]
    for record in records:
        lines.append(
            "| " + " | ".join(_cell(record[name]).replace("|", "\\|").replace("\n", " ") for name in shown) + " |"
        )
    return dg.MetadataValue.md("\n".join(lines))


def written_metadata(store: LakeStore, staged: Staged) -> dict[str, Any]:
    """Row count, bytes, where, and a preview of what a write is about to publish."""
    metadata: dict[str, Any] = {
        "dagster/row_count": staged.rows,
        "bytes": staged.bytes,
        "path": dg.MetadataValue.path(str(store.folder(staged.contract))),
        "preview": preview(staged.contract, store.staged_table(staged)),
    }
    if staged.days:
        metadata |= {
            "partitions": len(staged.days),
            "first_day": staged.days[0].isoformat(),
            "last_day": staged.days[-1].isoformat(),
        }
    return metadata
