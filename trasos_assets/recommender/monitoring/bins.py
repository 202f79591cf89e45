"""How people, what they do and what they are shown are distributed, before a model learned and since: in the engine.

Every feature becomes observations in bins, counted by person: so many people, so much of the data, and not more, as
the events of one person are no independent draws.
"""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any

import ibis

from trasos_assets.contracts.serving import MODEL
from trasos_assets.recommender.features import VIEWS
from trasos_assets.recommender.monitoring.windows import Serving, Windows

REFERENCE, CURRENT = "reference", "current"
LEARNED = (*VIEWS, "add_to_cart", "purchase")
"""Event types that a model learns from."""

NUMBER_BINS = 10
MOST_LABELS = 20
LABEL_PEOPLE = 5
OTHER, UNKNOWN, NEW_ITEMS = "other", "unknown", "items that were in no demand"
KNOWN_PEOPLE, NEW_PEOPLE = "known before", "not known before"
SCORES = "recommendation_scores"
EDGE_DIGITS = 9

OBSERVED = {
    "feature": "string",
    "bin": "int32",
    "label": "string",
    "low": "float64",
    "high": "float64",
    "side": "string",
    "person_id": "string",
    "n": "int64",
}
Make = Callable[[ibis.Table], ibis.Table]


def activity(events: ibis.Table, windows: Windows) -> ibis.Table:
    """Events of people in either window, with their ``side``.

    Args:
        events: ``clean_events`` of people, with ``person_id``; only the days of the windows are read.
        windows: which days.
    """
    since, until = ibis.literal(windows.reference_from), ibis.literal(windows.reference_through)
    first, last = ibis.literal(windows.current_from), ibis.literal(windows.current_through)
    # One plain range over both windows prunes days; the second condition leaves out those between them.
    near = events.filter(events.day.between(since, last))
    inside = near.filter((near.day <= until) | (near.day >= first))
    columns = ("day", "person_id", "session_id", "event_type", "item_id", "channel", "device")
    return inside.select(*columns, side=ibis.ifelse(inside.day <= until, REFERENCE, CURRENT))


def _observed(feature: str, table: ibis.Table) -> ibis.Table:
    """A table with ``bin``, ``label``, ``side``, ``person_id``, ``n`` and perhaps ``low`` and ``high``, by person."""
    for name in ("low", "high"):
        if name not in table.columns:
            table = table.mutate(**{name: ibis.null("float64")})
    by_person = table.group_by("bin", "label", "low", "high", "side", "person_id").agg(n=table.n.sum())
    by_person = by_person.mutate(feature=ibis.literal(feature))
    return by_person.select(**{name: by_person[name].cast(type_) for name, type_ in OBSERVED.items()})


def labelled(feature: str, table: ibis.Table, label: Any) -> ibis.Table:
    """Observations by a label, the most frequent of the reference first, the rest of many together as ``other``.

    So are labels of fewer than `LABEL_PEOPLE` people: a source may write anything there, a person's id too, and looks
    are kept when the person is forgotten.
    """
    named = table.select("side", "person_id", "n", label=label.fill_null(UNKNOWN))
    totals = named.group_by("label").agg(
        before=named.n.sum(where=named.side == REFERENCE).fill_null(0), people=named.person_id.nunique()
    )
    shared = totals.people >= LABEL_PEOPLE
    order = ibis.window(order_by=[shared.desc(), totals.before.desc(), totals.label])
    ranked = totals.mutate(shared=shared, place=ibis.row_number().over(order))
    kept = ranked.shared & (ranked.place < MOST_LABELS - 1)
    places = ranked.select(
        "label",
        bin=ibis.ifelse(kept, ranked.place, MOST_LABELS - 1),
        shown=ibis.ifelse(kept, ranked.label, OTHER),
    )
    return _observed(feature, named.join(places, "label").drop("label").rename(label="shown"))


def _bin_columns(value: Any, edges: Sequence[Any]) -> dict[str, Any]:
    """Bin of a value by edges that rise, equal ones allowed: (low, high] and the number of edges below it."""
    if not edges:
        return {"bin": ibis.literal(0, "int32"), "low": ibis.null("float64"), "high": ibis.null("float64")}
    below = sum((value > edge).cast("int32") for edge in edges)
    low = ibis.cases(*((below == number + 1, edge) for number, edge in enumerate(edges)), else_=ibis.null("float64"))
    high = ibis.cases(*((below == number, edge) for number, edge in enumerate(edges)), else_=ibis.null("float64"))
    return {"bin": below, "low": low.cast("float64"), "high": high.cast("float64")}


def _ranges(low: Any, high: Any) -> Any:
    """What a bin of numbers is called."""

    def shown(edge: Any) -> Any:
        return edge.round(4).cast("string")

    return ibis.cases(
        (low.isnull() & high.isnull(), "all"),
        (low.isnull(), ibis.literal("up to ") + shown(high)),
        (high.isnull(), ibis.literal("above ") + shown(low)),
        else_=shown(low) + " to " + shown(high),
    )


def numbered(feature: str, table: ibis.Table, value: Any, edges: Sequence[float] | None = None) -> ibis.Table:
    """Observations of a number in the tenths of its reference (fewer where values repeat), or between given ``edges``.

    Edges are quantiles that the engine finds in the reference, so that no bin of it is thin.
    """
    valued = table.select("side", "person_id", "n", value=value.cast("float64"))
    valued = valued.filter(valued.value.notnull())
    if edges is None:
        before = valued.filter(valued.side == REFERENCE)
        tenths = {
            f"edge_{n}": before.value.quantile(n / NUMBER_BINS).cast("float64").round(EDGE_DIGITS)
            for n in range(1, NUMBER_BINS)
        }
        valued = valued.cross_join(before.agg(**tenths))
        # Without a reference there are no edges, and nothing to compare with.
        valued = valued.filter(valued[next(iter(tenths))].notnull())
        columns = _bin_columns(valued.value, [valued[name] for name in tenths])
    else:
        columns = _bin_columns(valued.value, [ibis.literal(edge, "float64") for edge in edges])
    binned = valued.mutate(**columns)
    return _observed(feature, binned.mutate(label=_ranges(binned.low, binned.high)))


def popularity(interactions: ibis.Table, windows: Windows) -> ibis.Table:
    """Demand by tenths of it: bin 0 holds the items that took the first tenth of all demand, and so on.

    Items are ranked on the first half of the reference and counted on the second (``Windows.ranking_through`` says
    why); what was in no demand on the first half has a bin of its own.
    """
    early = interactions.day <= ibis.literal(windows.ranking_through)
    ranked = interactions.filter(early & (interactions.side == REFERENCE))
    demand = ranked.group_by("item_id").agg(n=ranked.n.sum())
    order = ibis.window(order_by=[demand.n.desc(), demand.item_id], rows=(None, 0))
    running = demand.mutate(through=demand.n.sum().over(order), whole=demand.n.sum().over(ibis.window()))
    tenth = ((running.through - running.n) * NUMBER_BINS / running.whole).floor().cast("int32")
    places = running.select("item_id", place=tenth)
    joined = interactions.filter(~early).left_join(places, "item_id").drop("item_id_right")
    # Nothing is new where nothing was ranked: then there is no reference.
    joined = joined.filter(places.count().as_scalar() > 0)
    place = joined.place.fill_null(NUMBER_BINS)
    named = ibis.ifelse(place == NUMBER_BINS, NEW_ITEMS, ibis.literal("demand tenth ") + (place + 1).cast("string"))
    return _observed("item_popularity", joined.mutate(bin=place, label=named))


def new_people(acts: ibis.Table, customer_features: ibis.Table, windows: Windows, first_day: date) -> ibis.Table:
    """People known to the model or not: seen up to the last day that it learned from.

    The reference asks the same question one age of the model earlier, over as many days: were the model as old then as
    it is now, whom would it have known? In a lake that has no whole reference before that day everybody would have been
    new: then there is no reference.
    """
    seen = customer_features.select("person_id", "first_seen_on")
    came = acts.select("day", "side", "person_id")
    late = windows.reference_through - timedelta(days=max(1, windows.current_length) - 1)
    is_late = came.day >= ibis.literal(late)
    if windows.known_before - timedelta(days=windows.reference_days - 1) < first_day:
        is_late = ibis.literal(False)
    came = came.filter((came.side == CURRENT) | is_late)
    people = came.select("side", "person_id").distinct().join(seen, "person_id")
    limit = ibis.ifelse(
        people.side == CURRENT, ibis.literal(windows.reference_through), ibis.literal(windows.known_before)
    )
    known = people.first_seen_on <= limit
    return _observed(
        "known_people",
        people.mutate(
            bin=ibis.ifelse(known, 0, 1),
            label=ibis.ifelse(known, KNOWN_PEOPLE, NEW_PEOPLE),
            n=ibis.literal(1, "int64"),
        ),
    )


def of_people(
    acts: ibis.Table,
    catalogue: ibis.Table,
    customer_features: ibis.Table,
    windows: Windows,
    first_day: date,
    made: Make,
) -> ibis.Table:
    """Observations of every feature of what people do.

    Args:
        acts: what ``activity`` gave.
        catalogue: category and price of items.
        customer_features: when people were first seen.
        windows: which days.
        first_day: first day of the lake.
        made: computes a table now, because several features ask for it.
    """
    one = ibis.literal(1, "int64")
    events = acts.group_by("side", "person_id", "event_type").agg(n=acts.count())
    learned = acts.filter(acts.event_type.isin(LEARNED) & acts.item_id.notnull())
    by_item = learned.group_by("side", "day", "person_id", "item_id").agg(n=learned.count())
    attributes = catalogue.select("item_id", "category", "price")
    by_item = made(by_item.left_join(attributes, "item_id").drop("item_id_right"))
    by_day = by_item.group_by("side", "person_id", "day").agg(times=by_item.n.sum()).mutate(n=one)
    sessions = acts.group_by("side", "person_id", "session_id").agg(
        channel=acts.channel.max(), device=acts.device.max()
    )
    sessions = sessions.mutate(n=one)
    spread = by_item.select("side", "person_id", "n", "category", "price")
    return ibis.union(
        labelled("event_types", events, events.event_type),
        labelled("channels", sessions, sessions.channel),
        labelled("devices", sessions, sessions.device),
        labelled("categories", spread, spread.category),
        numbered("interactions_a_day", by_day, by_day.times),
        numbered("prices", spread, spread.price),
        popularity(by_item, windows),
        new_people(acts, customer_features, windows, first_day),
    )


def of_scores(recommendations: ibis.Table, serving: Serving, edges: Sequence[float] | None) -> ibis.Table:
    """Observations of the scores that the serving model gives now; of fallbacks none, their scores are of other kinds.

    ``edges`` are those of the scores with which it began; None if it begins now: then these are the reference too.
    """
    own = recommendations.filter(
        (recommendations.source == MODEL) & (recommendations.model_version == serving.model_version)
    )
    own = own.select("person_id", "score", n=ibis.literal(1, "int64"))
    scored = own.mutate(side=ibis.literal(CURRENT))
    if edges is None:
        scored = scored.union(own.mutate(side=ibis.literal(REFERENCE)))
    return numbered(SCORES, scored, scored.score, edges)


def counted(observed: ibis.Table) -> ibis.Table:
    """Observations as counts a bin and, of every feature, the effective number of people on either side.

    Kish: n_eff = (sum of n)^2 / (sum of n^2) over people with n observations each. One person's events are taken as
    wholly alike, which errs on the side of no alarm.
    """
    before, after = observed.side == REFERENCE, observed.side == CURRENT
    bins = observed.group_by("feature", "bin", "label", "low", "high").agg(
        reference_count=observed.n.sum(where=before).fill_null(0),
        current_count=observed.n.sum(where=after).fill_null(0),
    )
    people = observed.group_by("feature", "side", "person_id").agg(n=observed.n.sum())
    people = people.mutate(square=people.n * people.n)
    sizes = people.group_by("feature").agg(
        **{
            f"{name}_{total}": people[column].sum(where=people.side == side).fill_null(0)
            for name, side in ((REFERENCE, REFERENCE), (CURRENT, CURRENT))
            for total, column in (("sum", "n"), ("squares", "square"))
        }
    )

    def effective(side: str) -> Any:
        total = sizes[f"{side}_sum"].cast("float64")
        return (total * total / sizes[f"{side}_squares"].nullif(0).cast("float64")).fill_null(0.0).round(EDGE_DIGITS)

    sizes = sizes.select("feature", reference_people=effective(REFERENCE), current_people=effective(CURRENT))
    return bins.join(sizes, "feature")
