"""The pages that contracts write say what the contracts say."""

from datetime import date
from pathlib import Path

import pytest

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.landing import FORMATS
from trasos_assets.contracts.page import main, tables_page, with_fields
from trasos_assets.trust import classify

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_tables_is_the_one_that_the_contracts_give() -> None:
    assert (DOCS / "tables.md").read_text(encoding="utf-8") == tables_page(), (
        "docs/tables.md is out of date; run: python -m trasos_assets.contracts.page > docs/tables.md"
    )


def test_the_fields_on_the_landing_page_are_those_of_the_format() -> None:
    page = (DOCS / "landing.md").read_text(encoding="utf-8")
    assert page == with_fields(page), (
        "docs/landing.md is out of date; run: python -m trasos_assets.contracts.page docs/landing.md"
    )
    for dataset, landing in FORMATS.items():
        assert f"<!-- fields of {dataset} -->" in page
        for column in landing.columns:
            assert f"| `{column.name}` |" in page


def test_every_reason_of_the_quarantine_is_explained_with_its_fix() -> None:
    explained = (DOCS / "landing.md").read_text(encoding="utf-8").partition("## Why a line is in the quarantine")[2]
    rules = {rule.name for landing in FORMATS.values() for rule in landing.rules}
    lateness = {rule.name for rule in classify._lateness(3, date(2026, 1, 1))}
    others = {"missing_<field>", "invalid_<field>", "foreign_currency", classify.CONFLICT, *classify.UNREAD}
    missing = {name for name in rules | lateness | others if f"`{name}`" not in explained}
    assert not missing


def test_every_table_has_one_section_with_its_facts() -> None:
    page = tables_page()
    for contract in CONTRACTS.values():
        assert page.count(f"\n### {contract.name}\n") == 1
        section = page.partition(f"\n### {contract.name}\n")[2].partition("\n### ")[0]
        assert f"- Owner: {contract.owner}\n" in section
        assert contract.description in section
        for column in contract.columns:
            (row,) = [line for line in section.splitlines() if line.startswith(f"| `{column.name}` |")]
            cells = [cell.strip() for cell in row.split(" | ")]
            assert (cells[1], cells[2], cells[3]) == (
                column.type,
                "yes" if column.nullable else "",
                "yes" if column.pii else "",
            )
        for rule in contract.rules:
            assert f"`{rule.name}`" in section


def test_fields_are_written_between_their_marks_and_nothing_else_is_touched(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- fields of assignments -->\nstale\n<!-- end -->\nafter\n", encoding="utf-8")
    main([str(page)])
    written = page.read_text(encoding="utf-8")
    assert written.startswith("before\n<!-- fields of assignments -->\n| field |")
    assert written.endswith("<!-- end -->\nafter\n")
    assert "stale" not in written
    assert "| `unit_id` | string | required |" in written


def test_a_mark_of_an_unknown_data_set_is_refused() -> None:
    with pytest.raises(KeyError, match="returns"):
        with_fields("<!-- fields of returns -->\n<!-- end -->")
