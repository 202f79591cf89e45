"""Reference data: catalogue, spend, assignments; who is who; how far the data reaches."""

from datetime import datetime
from zoneinfo import ZoneInfo

import dagster as dg
import ibis

from trasos_assets.contracts.engineering import IDENTITIES, QUARANTINED_RECORDS, RESTATEMENTS, WATERMARK
from trasos_assets.contracts.erasure import ERASED_TOTALS
from trasos_assets.contracts.landing import ASSIGNMENT, CATALOGUE, MARKETING_SPEND
from trasos_assets.contracts.reference import ASSIGNMENTS, CATALOGUE_HISTORY, ITEM_CATALOGUE, SPEND
from trasos_assets.lake.store import LakeStore
from trasos_assets.lake.table import WARN, TableCheck, table
from trasos_assets.landing import snapshots
from trasos_assets.settings import get_settings
from trasos_assets.trust import classify, identity
from trasos_assets.trust import restatements as restated

FRESH_DAYS = 2


@table(QUARANTINED_RECORDS, parameters=("currency",))
def quarantined_records(
    raw_catalogue: ibis.Table, raw_marketing_spend: ibis.Table, raw_assignments: ibis.Table
) -> ibis.Table:
    """Refused lines of all reference data."""
    currency = get_settings().currency
    landed = ((raw_catalogue, CATALOGUE), (raw_marketing_spend, MARKETING_SPEND), (raw_assignments, ASSIGNMENT))
    return ibis.union(*(classify.quarantined_records(raw, form, currency=currency) for raw, form in landed))


@table(CATALOGUE_HISTORY, parameters=("currency",))
def catalogue_history(raw_catalogue: ibis.Table) -> ibis.Table:
    """Every state of every item."""
    records = classify.accepted_records(raw_catalogue, CATALOGUE, currency=get_settings().currency)
    return snapshots.catalogue_history(records)


def _items_lost(catalogue: ibis.Table, catalogue_history: ibis.Table) -> ibis.Table:
    return catalogue_history.anti_join(catalogue, "item_id").select("item_id", "valid_from")


@table(
    ITEM_CATALOGUE,
    checks=[TableCheck("every_item_has_a_state", _items_lost, "Every item of the history has a latest state.")],
)
def catalogue(catalogue_history: ibis.Table) -> ibis.Table:
    """The latest state of every item."""
    return snapshots.latest_catalogue(catalogue_history)


@table(SPEND, parameters=("currency",))
def marketing_spend(raw_marketing_spend: ibis.Table) -> ibis.Table:
    """Cost of every campaign and day."""
    records = classify.accepted_records(raw_marketing_spend, MARKETING_SPEND, currency=get_settings().currency)
    return snapshots.latest_spend(records)


@table(ASSIGNMENTS)
def assignments(raw_assignments: ibis.Table) -> ibis.Table:
    """The arm of every unit."""
    records = classify.accepted_records(raw_assignments, ASSIGNMENT, currency=get_settings().currency)
    return snapshots.first_assignments(records)


@table(IDENTITIES)
def identities(clean_events: ibis.Table) -> ibis.Table:
    """Which customer a visitor was, and when."""
    return identity.identities(clean_events)


@table(RESTATEMENTS, deps=[ERASED_TOTALS.name])
def restatements(
    clean_events: ibis.Table, event_states: ibis.Table, identities: ibis.Table, store: LakeStore
) -> ibis.Table:
    """What late events did to the numbers of their days."""
    return restated.restatements(clean_events, event_states, identities, store.read(ERASED_TOTALS))


@table(WATERMARK)
def watermark(event_states: ibis.Table, clean_events: ibis.Table) -> ibis.Table:
    """The days that the lake covers.

    The last received day is that of the latest line, whatever became of it: a day of nothing but refused lines has
    landed too.
    """
    received = event_states.agg(first_day=event_states.day.min(), data_through=event_states.day.max())
    covered = received.filter(received.data_through.notnull())
    return covered.cross_join(clean_events.agg(last_event_at=clean_events.occurred_at.max()))


@dg.asset_check(
    asset=WATERMARK.name,
    description="The lake reaches to the day before yesterday at least, by the events' own days, not by run times.",
)
def events_are_fresh(watermark: ibis.Table) -> dg.AssetCheckResult:
    """Freshness by event time: a re-run of an old day makes an asset fresh, but not its events."""
    today = datetime.now(ZoneInfo(get_settings().timezone)).date()
    reached = watermark.to_pyarrow().to_pylist()
    through = reached[0]["data_through"] if reached else None
    behind = (today - through).days if through else None
    fresh = behind is not None and behind <= FRESH_DAYS
    return dg.AssetCheckResult(
        passed=fresh,
        severity=WARN,
        description=None
        if fresh
        else f"data through {through}, {behind} days behind {today}: is the backend delivering?",
        metadata={"data_through": str(through), "days_behind": -1 if behind is None else behind},
    )
