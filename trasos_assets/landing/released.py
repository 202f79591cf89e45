"""Events that a release let through although they came too late: received beyond the days that their day reads."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from datetime import date, timedelta

import ibis

from trasos_assets.contracts.engineering import EVENT_STATES, RAW_EVENTS
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing.releases import lateness_waivers
from trasos_assets.trust import classify


def states_beyond(store: LakeStore, days: list[date], *, late_days: int) -> ibis.Table | None:
    """States of the accepted lines that occurred on some days and were received later than these days read.

    None where no release allows for any, so that nothing is read: of new days always, since nothing is received before
    it occurred.
    """
    reach = days[-1] + timedelta(days=late_days)
    waivers = [release for release in lateness_waivers(store) if release.until > reach]
    received = [
        day
        for day in (store.days(EVENT_STATES) if waivers else ())
        if day > reach and any(release.touches(day, day) for release in waivers)
    ]
    if not received:
        return None
    states = store.table_of(EVENT_STATES, [store.file(EVENT_STATES, day) for day in received])
    return states.filter((states.state == classify.ACCEPTED) & states.occurred_day.between(days[0], days[-1]))


def accepted_of(
    raw_events: ibis.Table, event_states: ibis.Table, store: LakeStore, days: list[date], *, late_days: int
) -> ibis.Table:
    """Accepted events of some days: received within lateness, and those for which a release waived it."""

    def of_days(raw: ibis.Table, states: ibis.Table) -> ibis.Table:
        # Both sides: what is left of the lines of the days after is a few, and most of their rows need not be read.
        of_raw, of_states = (t.filter(t.occurred_day.between(days[0], days[-1])) for t in (raw, states))
        return classify.accepted_events(of_raw, of_states)

    accepted = of_days(raw_events, event_states)
    beyond = states_beyond(store, days, late_days=late_days)
    if beyond is None:
        return accepted
    received = beyond.select("day").distinct().to_pyarrow()["day"].to_pylist()
    raw = store.table_of(RAW_EVENTS, [store.file(RAW_EVENTS, day) for day in sorted(received)])
    return accepted.union(of_days(raw, beyond))
