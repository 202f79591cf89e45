"""What late events did to the numbers of the days on which they happened."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false

import ibis

from trasos_assets.contracts.engineering import RESTATED_COUNTS, RESTATED_MONEY, RESTATEMENTS
from trasos_assets.metrics.erased import Cells
from trasos_assets.metrics.kpis import CELLS, sales, traffic
from trasos_assets.metrics.orders import order_lines, orders
from trasos_assets.metrics.shapes import conformed, money, of_people
from trasos_assets.trust.classify import ACCEPTED, DUPLICATE
from trasos_assets.trust.identity import with_person

_EVENT = ["day", "event_id"]
_VERSION = ["day", "known_by"]


def late_events(event_states: ibis.Table) -> ibis.Table:
    """``day``, ``event_id`` and ``known_on`` of the accepted events that were not known on the day they happened.

    An event is known on the day of the folder it landed in or, if it took a release from the quarantine, on that of the
    release; of a line that landed more than once, on the first of these days, whichever copy counts. The folder of the
    next morning is late too, if only by a minute.
    """
    known = ibis.greatest(event_states.day, event_states.released_on.fill_null(event_states.day))
    lines = event_states.select("state", "event_id", day="occurred_day", known_on=known)
    late = lines.filter((lines.state == ACCEPTED) & (lines.known_on > lines.day)).drop("state")
    copies = lines.filter(lines.state == DUPLICATE)
    first = copies.group_by(_EVENT).agg(copied_on=copies.known_on.min())
    joined = late.left_join(first, _EVENT)
    known = ibis.least(joined.known_on, joined.copied_on.fill_null(joined.known_on))
    found = joined.select(*_EVENT, known_on=known)
    return found.filter(found.known_on > found.day)


def restatements(
    clean_events: ibis.Table, event_states: ibis.Table, identities: ibis.Table, erased: ibis.Table | None = None
) -> ibis.Table:
    """One row a day and later day on which more of its events became known (RESTATEMENTS).

    ``before`` and ``after`` are the numbers of `metrics.kpis` over the events of the day that were known by then; all
    else is as known today: who is who, who is a bot, which sessions there were, what was ordered and cancelled on other
    days. So a row holds what its late events did and nothing else, the rows of a day follow one another, and the last
    ``after`` is what ``daily_kpis`` says of the day. What people who were forgotten had added to the day
    (``erased_totals``) is in all of them.
    """
    late = late_events(event_states)
    added = late.group_by("day", known_by="known_on").agg(events_added=late.count())
    on_time = added.select("day", known_by="day", events_added=ibis.literal(0, "int64")).distinct()
    versions = added.union(on_time)
    days = on_time.select("day")
    steps = versions.select(*_VERSION)
    came = _traffic_of(_dated(of_people(clean_events.semi_join(days, "day")), late), identities, steps)
    bought = _sales_of(_dated(order_lines(clean_events), late), identities, steps)
    numbers = versions.left_join(came, _VERSION).drop("day_right", "known_by_right").left_join(bought, _VERSION)
    kept = {name: numbers[name].fill_null(0) for name in RESTATED_COUNTS}
    kept |= {name: money(numbers[name]) for name in RESTATED_MONEY}
    told = numbers.select(*_VERSION, "events_added", **kept)
    if erased is not None:
        added_by_erased = Cells(CELLS.metric, CELLS.keys, list(kept)).erased(erased, told)
        both = told.left_join(added_by_erased, "day")
        told = both.select(
            *_VERSION, "events_added", **{name: both[name] + both[f"{name}_right"].fill_null(0) for name in kept}
        )
    in_order = ibis.window(group_by="day", order_by=told.known_by)
    named = {f"{name}_before": told[name].lag().over(in_order) for name in kept}
    named |= {f"{name}_after": told[name] for name in kept}
    rows = told.select("day", "events_added", restated_on="known_by", **named)
    return conformed(RESTATEMENTS, rows.filter(rows.events_added > 0))


def _dated(events: ibis.Table, late: ibis.Table) -> ibis.Table:
    """Events with ``known_on``, which is their own day for all that are not late."""
    joined = events.left_join(late, _EVENT)
    return joined.mutate(known_on=ibis.coalesce(joined.known_on, joined.day)).select(*events.columns, "known_on")


def _traffic_of(people: ibis.Table, identities: ibis.Table, versions: ibis.Table) -> ibis.Table:
    """`traffic` of every version of a day."""
    columns = ("day", "occurred_at", "visitor_id", "customer_id", "session_id", "event_type", "known_on")
    people = with_person(people.select(*columns), identities)
    # Of what is counted once only the first sight matters, so that versions multiply little.
    seen = people.group_by("day", "person_id", "session_id", "event_type").agg(known_on=people.known_on.min())
    known = seen.inner_join(versions, ["day", seen.known_on <= versions.known_by])
    return traffic(known, *_VERSION)


def _sales_of(lines: ibis.Table, identities: ibis.Table, versions: ibis.Table) -> ibis.Table:
    """`sales` of every version of a day: its orders without the lines of the day that came to be known later."""
    lines = with_person(lines, identities)
    of_version = lines.select("day", "order_id").distinct().inner_join(versions, "day")
    of_version = of_version.select("order_id", "known_by", version_day="day")
    known = of_version.inner_join(lines, "order_id")
    known = known.filter((known.day != known.version_day) | (known.known_on <= known.known_by))
    version = known.version_day.cast("string") + "\u0002" + known.known_by.cast("string") + "\u0002"
    placed = orders(known.mutate(order_id=version + known.order_id))
    parts = placed.order_id.split("\u0002")
    placed = placed.mutate(version_day=parts[0].cast("date"), known_by=parts[1].cast("date"))
    return sales(placed.filter(placed.day == placed.version_day), *_VERSION)
