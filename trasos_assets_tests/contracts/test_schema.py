"""Validation of whole tables: every break is found, named, and told without personal data."""

from decimal import Decimal
from typing import Any

import pytest

from trasos_assets.contracts.model import FLOAT64, INT64, MONEY, TEXT, VECTOR, Column, Contract, Rule
from trasos_assets.contracts.schema import masked, violations
from trasos_assets_tests.conftest import Backend, MakeTable

CONTRACT = Contract(
    name="carts",
    owner="analytics",
    description="Carts.",
    columns=(
        Column("person_id", TEXT, "Who.", pii=True),
        Column("n", INT64, "Which."),
        Column("value", MONEY, "How much.", nullable=True),
        Column("share", FLOAT64, "Of it.", nullable=True),
        Column("factors", VECTOR, "Numbers.", nullable=True),
    ),
    primary_key=("person_id", "n"),
    rules=(
        Rule("negative_value", lambda t: t.value >= 0),
        Rule("share_out_of_range", lambda t: (t.share >= 0) & (t.share <= 1)),
    ),
)
SECRET = "ann.smith@example.org"
GOOD = {"person_id": SECRET, "n": 1, "value": Decimal("1.5"), "share": 0.5, "factors": [1.0]}
COLUMNS = {
    "person_id": f"'{SECRET}'",
    "n": "1::BIGINT",
    "value": "1::DECIMAL(18, 4)",
    "share": "0.5::DOUBLE",
    "factors": "[1::FLOAT]",
}


def of_columns(backend: Backend, changes: dict[str, str | None]) -> list[tuple[str, str]]:
    chosen = {name: sql for name, sql in (COLUMNS | changes).items() if sql is not None}
    backend.raw_sql("CREATE TABLE t AS SELECT " + ", ".join(f"{sql} AS {name}" for name, sql in chosen.items()))
    return [(v.rule, v.message) for v in violations(CONTRACT, backend.table("t"))]


def test_a_good_table_has_no_violations(table: MakeTable) -> None:
    assert violations(CONTRACT, table(CONTRACT, [GOOD, GOOD | {"n": 2}])) == []


def test_nulls_in_nullable_columns_break_no_rule(table: MakeTable) -> None:
    assert violations(CONTRACT, table(CONTRACT, [{"person_id": "a", "n": 1}])) == []


@pytest.mark.parametrize(
    ("rows", "rule", "message"),
    [
        ([GOOD, GOOD], "primary_key_is_unique", "carts: rows share the primary key person_id, n"),
        ([GOOD | {"n": None}], "n_is_never_null", "carts: column n holds nulls"),
        ([GOOD | {"value": Decimal("-1")}], "negative_value", "carts: rule negative_value is broken"),
        ([GOOD | {"share": float("nan")}], "share_out_of_range", "carts: rule share_out_of_range is broken"),
        ([GOOD | {"share": float("inf")}], "share_out_of_range", "carts: rule share_out_of_range is broken"),
        ([GOOD | {"share": float("-inf")}], "share_out_of_range", "carts: rule share_out_of_range is broken"),
    ],
    ids=["duplicate", "null", "rule", "nan", "inf", "-inf"],
)
def test_a_broken_promise_is_named(table: MakeTable, rows: list[dict[str, Any]], rule: str, message: str) -> None:
    found = violations(CONTRACT, table(CONTRACT, rows))
    assert [violation.rule for violation in found] == [rule]
    assert found[0].message.startswith(message)


def test_every_broken_promise_is_told_at_once(table: MakeTable) -> None:
    rows = [GOOD, GOOD, GOOD | {"n": None}, GOOD | {"n": 4, "value": Decimal("-1"), "share": 2.0}]
    assert {violation.rule for violation in violations(CONTRACT, table(CONTRACT, rows))} == {
        "primary_key_is_unique",
        "n_is_never_null",
        "negative_value",
        "share_out_of_range",
    }


@pytest.mark.parametrize(
    ("changes", "rule", "message"),
    [
        ({"value": None}, "value_is_present", "carts: column value is missing"),
        ({"colour": "'red'"}, "colour_is_known", "carts: column colour is unknown to the contract"),
        ({"n": "'1'"}, "n_has_its_type", "carts: column n is string, not int64"),
        ({"n": "1::INTEGER"}, "n_has_its_type", "carts: column n is int32, not int64"),
        (
            {"value": "1::DECIMAL(10, 2)"},
            "value_has_its_type",
            "carts: column value is decimal(10, 2), not decimal(18, 4)",
        ),
        (
            {"factors": "[1::DOUBLE]"},
            "factors_has_its_type",
            "carts: column factors is array<float64>, not array<float32>",
        ),
    ],
    ids=["missing", "unknown", "text", "narrow", "decimal", "array"],
)
def test_another_shape_is_named(backend: Backend, changes: dict[str, str | None], rule: str, message: str) -> None:
    assert of_columns(backend, changes) == [(rule, message)]


def test_an_empty_table_of_another_shape_is_no_good_table(backend: Backend) -> None:
    backend.raw_sql("CREATE TABLE t AS SELECT 'a' AS person_id, 1::BIGINT AS n WHERE false")
    assert {v.rule for v in violations(CONTRACT, backend.table("t"))} == {
        "value_is_present",
        "share_is_present",
        "factors_is_present",
    }


@pytest.mark.parametrize(
    "rows",
    [
        [GOOD, GOOD],
        [GOOD | {"n": None}],
        [GOOD | {"value": Decimal("-1")}],
        [GOOD | {"value": Decimal("-1"), "n": None}],
    ],
)
def test_no_message_holds_a_personal_value(table: MakeTable, rows: list[dict[str, Any]]) -> None:
    found = violations(CONTRACT, table(CONTRACT, rows))
    assert found
    assert not any(SECRET in violation.message for violation in found)


def test_a_broken_rule_shows_the_keys_of_a_few_rows_with_personal_ones_hashed(table: MakeTable) -> None:
    rows = [GOOD | {"n": n, "value": Decimal("-1")} for n in range(1000)]
    (found,) = violations(CONTRACT, table(CONTRACT, rows))
    assert masked(SECRET) in found.message
    assert 1 <= found.message.count("person_id") <= 5


def test_a_mask_is_the_same_for_the_same_value_and_tells_nothing_of_it() -> None:
    assert masked(SECRET) == masked(SECRET) != masked("bob")
    assert len(masked(SECRET)) == 9


def test_personal_values_of_the_wrong_type_do_not_leak(backend: Backend) -> None:
    found = of_columns(backend, {"person_id": f"['{SECRET}']"})
    assert found == [("person_id_has_its_type", "carts: column person_id is array<string>, not string")]
