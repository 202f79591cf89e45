"""Raw event lines for tests, with everything filled in that a good line needs."""

from datetime import date, datetime, timedelta
from typing import Any

DAY = date(2026, 3, 10)
NOON = datetime(2026, 3, 10, 12)


def line(number: int = 1, *, file: str = "f1", received: date = DAY, **fields: Any) -> dict[str, Any]:
    """One line of RAW_EVENTS: a page view of visitor v1 at noon of its folder's day, received a second later."""
    noon = datetime(received.year, received.month, received.day, 12)
    row = {
        "day": received,
        "file_hash": file,
        "line": number,
        "event_id": f"e{number}",
        "event_type": "page_view",
        "occurred_at": noon,
        "received_at": noon + timedelta(seconds=1),
        "visitor_id": "v1",
    } | fields
    if "occurred_day" not in row and row["occurred_at"] is not None:
        row["occurred_day"] = row["occurred_at"].date()
    return row


def unread(number: int, problem: str, raw: str, *, file: str = "f1", received: date = DAY) -> dict[str, Any]:
    """A line none of whose fields could be read."""
    return {"day": received, "file_hash": file, "line": number, "problems": problem, "raw": raw}
