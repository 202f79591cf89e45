"""What both importers count in the same way: rejected rows by reason, and the days that were landed."""

from __future__ import annotations

import duckdb

from trasos_assets.landing.importers.sources import MALFORMED, SHOWN_EXAMPLES, Loaded


def count_rejections(
    connection: duckdb.DuckDBPyConnection, loaded: Loaded
) -> tuple[dict[str, int], dict[str, tuple[str, ...]]]:
    """Rejected rows by reason, and the place of the first few of each.

    Reads the table ``lines (__seq, __document, __row, reason)``; a null reason means the row was taken.
    """
    found = connection.execute(
        """
        SELECT reason, count(*) AS rows, list(__document || ':' || __row ORDER BY __seq)[:$shown] AS examples
        FROM lines WHERE reason IS NOT NULL GROUP BY reason ORDER BY rows DESC, reason
        """,
        {"shown": SHOWN_EXAMPLES},
    ).fetchall()
    counts = {reason: rows for reason, rows, _ in found}
    examples = {reason: tuple(places) for reason, _, places in found}
    if loaded.malformed:
        counts[MALFORMED] = loaded.malformed
        examples[MALFORMED] = loaded.malformed_examples
    return counts, examples


def landed_days(connection: duckdb.DuckDBPyConnection) -> tuple[str | None, str | None]:
    """First and last landing day of the table ``events (landing_day)`` as ``YYYY-MM-DD``; null if it is empty."""
    ((first, last),) = connection.sql(
        "SELECT CAST(min(landing_day) AS VARCHAR), CAST(max(landing_day) AS VARCHAR) FROM events"
    ).fetchall()
    return first, last
