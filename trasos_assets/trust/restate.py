"""Which days must be built again because of new deliveries, and no others."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false

from collections.abc import Iterable
from datetime import date

import ibis


def affected_days(
    raw_events: ibis.Table,
    deliveries: list[str],
    *,
    dedup_days: int,
    late_days: int,
    unbounded: Iterable[tuple[date, date]] = (),
) -> ibis.Table:
    """One column ``day``: received days whose states, and occurred days whose events, new deliveries may change.

    Args:
        raw_events: raw rows of the new deliveries and of ``dedup_days`` received days around them.
        deliveries: ``file_hash`` of the new deliveries.
        dedup_days: as in ``classify.event_states``.
        late_days: as in ``classify.event_keys``.
        unbounded: first and last received day of lines that may be as late as they like, since a release said so.

    A new line touches its own days; where it shares an event id with an older line, the older line's days too.
    """
    slim = raw_events.select("day", "file_hash", "event_id", "occurred_day")
    new = slim.filter(slim.file_hash.isin(deliveries))
    ids = new.filter(new.event_id.notnull()).select(event_id="event_id", new_day="day").distinct()
    span = ibis.interval(days=dedup_days)
    older = slim.filter(slim.file_hash.notin(deliveries))
    rivals = older.join(ids, "event_id").filter(
        lambda t: t.day.between((t.new_day - span).cast("date"), (t.new_day + span).cast("date"))
    )
    touched = new.select("day", "occurred_day").union(rivals.select("day", "occurred_day"))
    late = ibis.interval(days=late_days)
    in_time = touched.occurred_day.between((touched.day - late).cast("date"), touched.day)
    for first, last in unbounded:
        in_time = in_time | ((touched.occurred_day <= touched.day) & touched.day.between(first, last))
    occurred = touched.filter(in_time.fill_null(False))
    return touched.select("day").union(occurred.select(day="occurred_day")).distinct().order_by("day")
