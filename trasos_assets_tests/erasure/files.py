"""Landed events of several people in every format, and what the door reads of a file."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from ibis.backends.duckdb import Backend

from trasos_assets.contracts.landing import EVENT
from trasos_assets.landing.parse import Delivery, read_deliveries
from trasos_assets_tests.conftest import new_backend
from trasos_assets_tests.landing.formats import write

DAY = date(2026, 3, 9)


def event(number: int, *, visitor: str | None = None, customer: str | None = None, **fields: Any) -> dict[str, Any]:
    """A whole event of somebody."""
    moment = datetime(2026, 3, 9, 8, tzinfo=UTC) + timedelta(minutes=number)
    return {
        "event_id": f"e{number}",
        "event_type": "page_view",
        "occurred_at": moment,
        "received_at": moment,
        "visitor_id": visitor,
        "customer_id": customer,
        "item_id": f"i{number % 3}",
        "unit_price": Decimal("1.5000"),
        **fields,
    }


def rows_of(path: Path, backend: Backend | None = None) -> list[dict[str, Any]]:
    """Everything that the door reads of a file of events but the file's name, in the order of its lines."""
    engine = backend or new_backend()
    read = read_deliveries(
        engine,
        "events",
        [Delivery("d", "events", path, DAY)],
        timezone="UTC",
        max_line_bytes=1_000_000,
        max_file_bytes=1 << 30,
    )
    return read.drop("file_hash").order_by("line").to_pyarrow().to_pylist()


__all__ = ["DAY", "EVENT", "event", "rows_of", "write"]
