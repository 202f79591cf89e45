"""What the UI shows of a table: its columns and a preview, and nothing personal."""

from pathlib import Path

import pytest

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.model import TEXT, Column, Contract
from trasos_assets.lake.metadata import column_schema, definition_metadata, preview, written_metadata
from trasos_assets.lake.store import LakeStore
from trasos_assets_tests.conftest import MakeTable

SECRET = "ann.smith@example.org"
NOTES = Contract(
    name="notes",
    owner="science",
    description="Notes.",
    columns=(Column("id", TEXT, "Which."), Column("who", TEXT, "Who.", pii=True), Column("text", TEXT, "What.")),
    primary_key=("id",),
)


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=lambda contract: contract.name)
def test_every_column_is_shown_with_its_type_and_personal_ones_are_marked(contract: Contract) -> None:
    schema = column_schema(contract)
    assert {column.name: column.type for column in schema.columns} == contract.types
    assert {column.name for column in schema.columns if "pii" in (column.tags or {})} == set(contract.pii)
    assert definition_metadata(contract)["primary_key"] == ", ".join(contract.primary_key)


def test_a_preview_leaves_personal_columns_out(table: MakeTable) -> None:
    text = str(preview(NOTES, table(NOTES, [{"id": "1", "who": SECRET, "text": "hello"}])).value)
    assert text == "| id | text |\n|---|---|\n| 1 | hello |"


def test_a_preview_stays_a_table_whatever_the_text_holds(table: MakeTable) -> None:
    rows = [{"id": str(n), "who": "x", "text": "a|b\nc" + "d" * 500} for n in range(20)]
    lines = str(preview(NOTES, table(NOTES, rows)).value).split("\n")
    assert len(lines) == 2 + 5
    assert all(line.replace("\\|", "").count("|") == 3 and len(line) < 90 for line in lines)


def test_a_write_tells_rows_bytes_and_place_and_no_personal_value(
    store: LakeStore, table: MakeTable, tmp_path: Path
) -> None:
    staged = store.stage(NOTES, table(NOTES, [{"id": "1", "who": SECRET, "text": "hello"}]))
    metadata = written_metadata(store, staged)
    assert metadata["dagster/row_count"] == 1
    assert metadata["bytes"] == staged.files[0].stat().st_size
    assert metadata["path"].value == str(tmp_path / "lake" / "science" / "notes")
    assert "partitions" not in metadata
    assert SECRET not in str(metadata)
