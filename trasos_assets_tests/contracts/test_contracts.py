"""What must hold of every contract, and of contracts as such."""

import ast
import dataclasses
import inspect
import re

import ibis
import pytest

from trasos_assets.contracts import CONTRACTS, Column, Contract, Rule
from trasos_assets.contracts.landing import FORMATS, LandingFormat
from trasos_assets.contracts.model import DAY, INT64, TEXT
from trasos_assets.contracts.schema import unique_key, violations
from trasos_assets.lake.parquet import duckdb_type
from trasos_assets_tests.conftest import Backend, MakeTable

ALL = pytest.mark.parametrize("contract", CONTRACTS.values(), ids=lambda contract: contract.name)
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
PERSONAL = {"visitor_id", "customer_id", "person_id", "session_id", "user_agent", "unit_id", "raw", "extra"}


def a_contract(**changes: object) -> Contract:
    given = {
        "name": "things",
        "owner": "science",
        "description": "Things.",
        "columns": (Column("id", TEXT, "The id."), Column("n", INT64, "How many.")),
        "primary_key": ("id",),
    }
    return Contract(**(given | changes))  # type: ignore[arg-type]


def test_no_two_contracts_share_a_name() -> None:
    from trasos_assets.contracts import (
        analytics,
        engineering,
        erasure,
        models,
        monitoring,
        reference,
        science,
        serving,
        storage,
    )

    modules = (analytics, engineering, erasure, models, monitoring, reference, science, serving, storage)
    listed = [c.name for module in modules for c in module.CONTRACTS]
    assert sorted(listed) == sorted(CONTRACTS)


def test_a_contract_stands_in_its_owners_module() -> None:
    from trasos_assets.contracts import analytics, engineering, models, monitoring, science, serving

    of_science = (science, models, serving, monitoring)
    for owner, modules in (("analytics", (analytics,)), ("engineering", (engineering,)), ("science", of_science)):
        assert {c.owner for module in modules for c in module.CONTRACTS} == {owner}


def test_every_contract_of_a_module_is_listed() -> None:
    from trasos_assets.contracts import analytics, engineering, erasure, science, storage

    for module in (analytics, engineering, erasure, science, storage):
        made = {value.name for value in vars(module).values() if isinstance(value, Contract)}
        assert made == {contract.name for contract in module.CONTRACTS}


@ALL
def test_names_are_words_and_everything_is_described(contract: Contract) -> None:
    assert all(NAME.fullmatch(name) for name in (contract.name, *contract.column_names))
    assert all(NAME.fullmatch(rule.name) for rule in contract.rules)
    assert contract.description.endswith(".")
    assert all(column.description for column in contract.columns)
    assert len({rule.name for rule in contract.rules}) == len(contract.rules)


@ALL
def test_primary_key_columns_are_never_null(contract: Contract) -> None:
    assert [name for name in contract.primary_key if contract.column(name).nullable] == []


@ALL
def test_columns_that_point_at_a_person_are_marked(contract: Contract) -> None:
    assert PERSONAL & set(contract.column_names) <= contract.pii


@ALL
def test_types_are_known_to_both_engines(contract: Contract, backend: Backend) -> None:
    for column in contract.columns:
        made = backend.sql(f"SELECT NULL::{duckdb_type(column.type)} AS c").schema()["c"]
        assert made == ibis.dtype(column.type), column.name


@ALL
def test_only_partitioned_tables_carry_their_partition(contract: Contract) -> None:
    if contract.partitioned:
        assert contract.types[DAY] == "date"
        assert not contract.column(DAY).nullable


@ALL
def test_an_empty_table_keeps_the_contract(contract: Contract, table: MakeTable) -> None:
    assert violations(contract, table(contract, [])) == []


@ALL
def test_rules_are_understood_by_the_engine_and_hold_for_nulls(contract: Contract, table: MakeTable) -> None:
    nulls = table(contract, [{}])
    for rule in contract.rules:
        held = nulls.select(holds=rule.holds(nulls).fill_null(True)).to_pyarrow()["holds"].to_pylist()
        if rule.name not in ("no_visitor_or_customer", "quarantined_without_reason"):  # they speak of nulls
            assert held == [True], rule.name


@ALL
def test_the_schema_names_owner_and_every_column(contract: Contract) -> None:
    schema = contract.schema
    assert list(schema.columns) == list(contract.column_names)
    assert schema.metadata == {"owner": contract.owner, "version": contract.version}
    assert schema.unique == list(unique_key(contract))
    assert {name for name, column in schema.columns.items() if column.metadata["pii"]} == set(contract.pii)


@ALL
def test_a_null_where_none_may_be_is_found_in_every_column(contract: Contract, table: MakeTable) -> None:
    required = {f"{column.name}_is_never_null" for column in contract.columns if not column.nullable}
    assert required <= {violation.rule for violation in violations(contract, table(contract, [{}]))}


@pytest.mark.parametrize("landing", FORMATS.values(), ids=lambda f: f.dataset)
def test_a_raw_table_takes_every_landed_column_and_lets_it_be_absent(landing: LandingFormat) -> None:
    raw = CONTRACTS[f"raw_{landing.dataset}"]
    for column in landing.columns:
        assert raw.column(column.name) == column.optional()
    assert {"file_hash", "line", "extra", "problems", "raw"} <= set(raw.column_names)


@pytest.mark.parametrize("landing", FORMATS.values(), ids=lambda f: f.dataset)
def test_no_landed_column_is_named_like_the_books_of_raw(landing: LandingFormat) -> None:
    assert not {c.name for c in landing.columns} & {"day", "file_hash", "line", "extra", "problems", "raw"}


def test_contracts_load_without_pandera_or_dagster() -> None:
    from trasos_assets.contracts import analytics, engineering, erasure, landing, model, science, storage

    for module in (analytics, engineering, erasure, landing, model, science, storage):
        for node in ast.parse(inspect.getsource(module)).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] in ("pandera", "dagster") for name in names), module.__name__


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match=r"things: columns named twice: \['id'\]"):
        a_contract(columns=(Column("id", TEXT, ""), Column("id", TEXT, "")))


@pytest.mark.parametrize("key", [(), ("nothing",)])
def test_a_primary_key_that_names_no_column_is_refused(key: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="primary key names no column"):
        a_contract(primary_key=key)


def test_a_partitioned_table_needs_its_day() -> None:
    with pytest.raises(ValueError, match="needs a column 'day'"):
        a_contract(partition="occurred")


@pytest.mark.parametrize("changes", [{"keep_days": 400}, {"keep_days": 0, "partition": "received"}])
def test_only_days_of_a_table_by_day_are_kept_for_a_time(changes: dict[str, object]) -> None:
    day = Column("day", "date", "The day.")
    with pytest.raises(ValueError, match="keep_days is a number of days, of a table partitioned by day"):
        a_contract(columns=(Column("id", TEXT, "The id."), day), **changes)


def test_an_unknown_column_is_named() -> None:
    with pytest.raises(KeyError, match="contract things has no column 'x'"):
        a_contract().column("x")


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"columns": (Column("id", TEXT, "The id."), Column("n", INT64, "How many.", nullable=True))},
        {"columns": (Column("id", TEXT, "The id."), Column("n", "int32", "How many."))},
        {"columns": (Column("n", INT64, "How many."), Column("id", TEXT, "The id."))},
        {"primary_key": ("id", "n")},
        {"rules": (Rule("negative_n", lambda t: t.n >= 0),)},
    ],
    ids=["version", "nullable", "type", "order", "key", "rule"],
)
def test_the_digest_changes_with_what_decides_on_rows(change: dict[str, object]) -> None:
    assert a_contract(**change).digest() != a_contract().digest()


def test_the_digest_does_not_change_with_words() -> None:
    other = dataclasses.replace(a_contract(), description="Other words.", freshness=None)
    assert other.digest() == a_contract().digest()
