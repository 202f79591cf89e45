from pathlib import Path

import pytest

from trasos_assets.contracts import CONTRACTS
from trasos_assets.metrics.definitions import DEFINITIONS, parse_definitions
from trasos_assets.metrics.page import metrics_page

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
TABLES = (
    "daily_kpis",
    "conversion_funnel",
    "retention_cohorts",
    "time_to_return",
    "acquisition_cost",
    "experiment_results",
)
ONE = """[[metric]]
table = "daily_kpis"
column = "orders"
name = "Orders"
question = "How many?"
formula = "Orders."
window = "the day"
unit = "orders"
direction = "up"
owner = "analytics"
"""


def test_the_page_in_the_docs_is_the_one_that_the_definitions_give() -> None:
    assert PAGE.read_text(encoding="utf-8") == metrics_page(), (
        "docs/metrics.md is out of date; run: python -m trasos_assets.metrics.page > docs/metrics.md"
    )


@pytest.mark.parametrize("table", TABLES)
def test_every_number_of_a_kpi_table_is_defined(table: str) -> None:
    contract = CONTRACTS[table]
    numbers = {
        column.name
        for column in contract.columns
        if column.name not in contract.primary_key and column.type not in ("string", "date")
    }
    assert {definition.column for definition in DEFINITIONS if definition.table == table} == numbers


def test_definitions_name_columns_that_exist_and_the_owner_of_their_table() -> None:
    for definition in DEFINITIONS:
        assert definition.column in CONTRACTS[definition.table].column_names
        assert definition.owner == CONTRACTS[definition.table].owner


def test_shares_say_what_they_are_divided_by() -> None:
    for definition in DEFINITIONS:
        if definition.column in ("visitor_conversion", "share", "retention", "rate", "cac", "average_order_value"):
            assert definition.numerator
            assert definition.denominator


def test_the_page_names_every_definition_once() -> None:
    page = metrics_page()
    for definition in DEFINITIONS:
        assert page.count(f"(`{definition.key}`)") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ONE.replace('unit = "orders"\n', ""), "daily_kpis.orders.*lacks.*unit"),
        (ONE + 'colour = "red"\n', "unknown fields.*colour"),
        (ONE.replace('"up"', '"sideways"'), "direction of daily_kpis.orders.*use one of up, down, neither"),
        (ONE + ONE, "defined twice"),
    ],
)
def test_a_faulty_definition_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_definitions(text)
