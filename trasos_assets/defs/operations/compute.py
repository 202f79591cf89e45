"""What the steps of runs took, from the event log: by day on which they began."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, time
from decimal import Decimal
from zoneinfo import ZoneInfo

import dagster as dg

_RUNS_AT_ONCE = 200


def step_seconds(instance: dg.DagsterInstance, since: date, *, timezone: str) -> dict[tuple[date, str], Decimal]:
    """Seconds by day and step, of steps that began on ``since`` or later and have ended.

    Only runs that were touched since then are looked at, each by one question to its part of the log: a log of years
    costs no more than one of days.
    """
    zone = ZoneInfo(timezone)
    begin = datetime.combine(since, time(), zone)
    touched = dg.RunsFilter(updated_after=begin.astimezone(UTC))
    found: dict[tuple[date, str], Decimal] = defaultdict(Decimal)
    cursor: str | None = None
    while records := instance.get_run_records(touched, limit=_RUNS_AT_ONCE, cursor=cursor):
        for record in records:
            for step in instance.get_run_step_stats(record.dagster_run.run_id):
                if step.start_time is None or step.end_time is None:
                    continue
                day = datetime.fromtimestamp(step.start_time, zone).date()
                if day >= since:
                    found[day, step.step_key] += Decimal(max(0.0, step.end_time - step.start_time))
        cursor = records[-1].dagster_run.run_id
    return dict(found)
