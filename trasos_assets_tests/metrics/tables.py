"""Hand-made tables for the tests of metrics, and what every result must satisfy."""

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import ibis
import pyarrow as pa

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.model import TEXT, Column, Contract
from trasos_assets.contracts.schema import violations
from trasos_assets.metrics.orders import order_lines, orders

PERSON = Column("person_id", TEXT, "Customer if known, else visitor.", pii=True)


class Shop:
    """A DuckDB backend and the shop's tables in it, from rows as dictionaries; absent columns are null."""

    def __init__(self) -> None:
        self.backend = ibis.duckdb.connect()
        self._tables = 0

    def table(self, contract: Contract, rows: Iterable[dict[str, Any]], *, person: bool = False) -> ibis.Table:
        columns = (*contract.columns, PERSON) if person else contract.columns
        schema = ibis.schema({column.name: column.type for column in columns}).to_pyarrow()
        unknown = {name for row in rows for name in row} - set(schema.names)
        assert not unknown, f"{contract.name} has no columns {unknown}"
        self._tables += 1
        name = f"{contract.name}_{self._tables}"
        self.backend.con.register("incoming", pa.Table.from_pylist(list(rows), schema=schema))
        self.backend.con.execute(f"CREATE TABLE {name} AS SELECT * FROM incoming")
        self.backend.con.unregister("incoming")
        return self.backend.table(name)

    def events(self, rows: Iterable[dict[str, Any]]) -> ibis.Table:
        """Clean events with a person, ids and times filled in where a row leaves them out."""
        return self.table(CONTRACTS["clean_events"], [_event(n, row) for n, row in enumerate(rows)], person=True)

    def watermark(self, first_day: str, through: str) -> ibis.Table:
        row = {"first_day": date.fromisoformat(first_day), "data_through": date.fromisoformat(through)}
        return self.table(CONTRACTS["watermark"], [row])

    def no_watermark(self) -> ibis.Table:
        return self.table(CONTRACTS["watermark"], [])

    def orders(self, rows: Iterable[dict[str, Any]]) -> ibis.Table:
        """Orders as the product makes them, from purchase and cancellation events."""
        return self.kept(orders(with_person(order_lines(self.events(rows)))))

    def kept(self, table: ibis.Table) -> ibis.Table:
        """The same rows as a table of their own, as the store would hand them on."""
        self._tables += 1
        name = f"kept_{self._tables}"
        self.backend.con.execute(f"CREATE TABLE {name} AS {ibis.to_sql(table, dialect='duckdb')}")
        return self.backend.table(name)

    def spend(self, rows: Iterable[tuple[str, str, str]]) -> ibis.Table:
        return self.table(
            CONTRACTS["marketing_spend"],
            [
                {"spend_day": date.fromisoformat(day), "channel": channel, "campaign": f"c{n}", "cost": Decimal(cost)}
                for n, (day, channel, cost) in enumerate(rows)
            ],
        )


def with_person(table: ibis.Table) -> ibis.Table:
    """The simplest rule of who a person is."""
    return table.mutate(person_id=ibis.coalesce(table.customer_id, table.visitor_id))


def purchase(at: str, order: str, who: str, price: str = "10", quantity: int = 1, **more: Any) -> dict[str, Any]:
    return _line("purchase", at, order, who, price, quantity, more)


def cancellation(at: str, order: str, who: str, price: str = "10", quantity: int = 1, **more: Any) -> dict[str, Any]:
    return _line("cancellation", at, order, who, price, quantity, more)


def seen(at: str, who: str, event_type: str = "page_view", **more: Any) -> dict[str, Any]:
    return {"at": at, "customer_id": who, "event_type": event_type, **more}


def result(contract_name: str, table: ibis.Table) -> list[dict[str, Any]]:
    """The rows of a result by primary key, after checking that it keeps its contract.

    Columns in order, types as Ibis sees them, no violations.
    """
    contract = CONTRACTS[contract_name]
    assert table.schema() == ibis.schema(contract.types)
    rows = table.to_pyarrow()
    backend = ibis.duckdb.connect()
    backend.con.register("rows", rows)
    assert violations(contract, backend.table("rows")) == []
    return rows.sort_by([(name, "ascending") for name in contract.primary_key]).to_pylist()


def engine_types(shop: Shop, table: ibis.Table) -> dict[str, str]:
    """Column to type as DuckDB itself would write it."""
    described = shop.backend.con.execute(f"DESCRIBE {ibis.to_sql(table, dialect='duckdb')}").fetchall()
    return {row[0]: row[1] for row in described}


def money(text: str) -> Decimal:
    return Decimal(text).quantize(Decimal("0.0001"))


def _line(kind: str, at: str, order: str, who: str, price: str, quantity: int, more: dict[str, Any]) -> dict[str, Any]:
    line = {"event_type": kind, "at": at, "order_id": order, "customer_id": who, "item_id": "shirt"}
    return line | {"unit_price": Decimal(price), "quantity": quantity} | more


def _event(number: int, row: dict[str, Any]) -> dict[str, Any]:
    row = dict(row)
    occurred_at = datetime.fromisoformat(row.pop("at"))
    person = row.get("customer_id") or row.get("visitor_id")
    defaults = {
        "event_id": f"e{number:05}",
        "occurred_at": occurred_at,
        "received_at": occurred_at,
        "day": occurred_at.date(),
        "person_id": person,
    }
    return defaults | row
