"""The model at work: what it does by day, how far the world has moved since it learned, when to train again."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from collections.abc import Iterator
from typing import Any

import dagster as dg
import ibis

from trasos_assets.contracts.monitoring import DRIFT, DRIFT_BINS, MODEL_MONITORING, RETRAINING_REQUESTS
from trasos_assets.contracts.science import TRAINING_INTERACTIONS
from trasos_assets.lake.code import source_digest
from trasos_assets.lake.engine import Lake
from trasos_assets.lake.store import LakeStore
from trasos_assets.lake.table import ANY_TABLE, PROMISE, WARN, TableCheck, refresh_condition, table
from trasos_assets.settings import get_settings
from trasos_assets.trust.bots import people_only
from trasos_assets.trust.identity import with_person

_EVENT_COLUMNS = (
    *("day", "occurred_at", "visitor_id", "customer_id", "session_id", "event_type", "item_id", "channel", "device"),
)


def _empty(types: dict[str, str]) -> ibis.Table:
    return ibis.memtable([], schema=types)


def _stale(model_monitoring: ibis.Table) -> ibis.Table:
    from trasos_assets.recommender.monitoring.live import stale

    return stale(model_monitoring, get_settings().model_stale_days)


@table(
    MODEL_MONITORING,
    parameters=("model_stale_days",),
    checks=[
        TableCheck(
            "model_is_not_stale",
            _stale,
            "The serving model learned from the last TRASOS_MODEL_STALE_DAYS days.",
            severity=WARN,
        )
    ],
)
def model_monitoring(
    clean_events: ibis.Table,
    catalogue_history: ibis.Table,
    watermark: ibis.Table,
    champion: ibis.Table,
    recommendations: ibis.Table,
    item_features: ibis.Table,
    customer_features: ibis.Table,
    store: LakeStore,
) -> ibis.Table:
    """Exposure of every day, and what stood in the lists on the days when somebody looked."""
    from trasos_assets.metrics.shapes import calendar
    from trasos_assets.recommender.monitoring import live
    from trasos_assets.recommender.monitoring.windows import lake_days, serving_model

    covered = lake_days(watermark)
    if covered is None:
        return _empty(MODEL_MONITORING.types)
    through = covered[1]
    exposed = live.exposure(people_only(clean_events), catalogue_history, calendar(watermark), through)
    serving = serving_model(champion)
    now = live.lists_now(serving, recommendations, item_features, customer_features, through)
    return live.model_monitoring(exposed, now, store.read(MODEL_MONITORING))


@table(DRIFT_BINS, parameters=("drift_reference_days", "drift_days"))
def drift_bins(
    clean_events: ibis.Table,
    identities: ibis.Table,
    catalogue: ibis.Table,
    customer_features: ibis.Table,
    recommendations: ibis.Table,
    champion: ibis.Table,
    watermark: ibis.Table,
    store: LakeStore,
) -> ibis.Table:
    """Every feature in bins: the last days that the serving model learned from, and the days since."""
    from trasos_assets.recommender.monitoring import bins, looks
    from trasos_assets.recommender.monitoring.windows import Windows, lake_days, serving_model

    covered, serving, settings = lake_days(watermark), serving_model(champion), get_settings()
    if covered is None or serving is None:
        return _empty(DRIFT_BINS.types)
    windows = Windows.of(
        serving.trained_through,
        covered[1],
        first_day=covered[0],
        reference_days=settings.drift_reference_days,
        current_days=settings.drift_days,
    )
    near = clean_events.filter(
        clean_events.day.between(ibis.literal(windows.reference_from), ibis.literal(windows.current_through))
    )
    events = with_person(people_only(near).select(*_EVENT_COLUMNS), identities)
    acts = store.made(bins.activity(events, windows))
    observed = store.made(
        bins.of_people(acts, catalogue, customer_features, windows, first_day=covered[0], made=store.made)
    )
    kept = looks.kept_scores(store.read(DRIFT_BINS), serving)
    scores = looks.score_bins(recommendations, serving, kept)
    return looks.drift_bins([bins.counted(observed), scores], serving, windows)


def _drifted(drift: ibis.Table) -> ibis.Table:
    last = drift.filter((drift.as_of == drift.as_of.max().as_scalar()) & (drift.state == "drifted"))
    return last.select("feature", "psi", "js", "moved_most", "moved_from", "moved_to")


@table(
    DRIFT,
    parameters=("drift_psi", "drift_js", "drift_alpha", "drift_people"),
    checks=[
        TableCheck(
            "inputs_have_not_drifted",
            _drifted,
            "No watched feature has drifted since the serving model learned.",
            severity=WARN,
        )
    ],
)
def drift(drift_bins: ibis.Table, store: LakeStore) -> ibis.Table:
    """How far every feature has moved, beside earlier looks."""
    from trasos_assets.recommender.monitoring.drift import Thresholds
    from trasos_assets.recommender.monitoring.looks import judged, next_looks

    settings = get_settings()
    thresholds = Thresholds(settings.drift_psi, settings.drift_js, settings.drift_alpha, settings.drift_people)
    rows = judged(drift_bins.to_pyarrow().to_pylist(), thresholds)
    return ibis.memtable(next_looks(store.read(DRIFT).to_pyarrow(), rows))


def _reason_of(instance: dg.DagsterInstance | None, asset: str) -> str:
    """Why the run that made the last materialisation of an asset was started, as its tag says."""
    from trasos_assets.defs.operations.retraining import REASON_TAG
    from trasos_assets.recommender.monitoring.requests import BY_HAND

    if instance is None:
        return BY_HAND
    records = instance.fetch_materializations(dg.AssetKey(asset), limit=1).records
    run = instance.get_run_by_id(records[0].run_id) if records else None
    return run.tags.get(REASON_TAG, BY_HAND) if run else BY_HAND


@table(
    RETRAINING_REQUESTS,
    parameters=("drift_looks", "model_stale_days", "retraining_new_share", "retraining_cooldown_days"),
)
def retraining_requests(
    drift: ibis.Table,
    interactions: ibis.Table,
    champion: ibis.Table,
    candidate: ibis.Table,
    watermark: ibis.Table,
    store: LakeStore,
    instance: dg.DagsterInstance | None = None,
) -> ibis.Table:
    """Why the model was trained, and why it should be again."""
    from trasos_assets.recommender.monitoring import requests
    from trasos_assets.recommender.monitoring.windows import lake_days, serving_model

    settings = get_settings()
    book = store.read(RETRAINING_REQUESTS).to_pyarrow().to_pylist()
    covered, serving = lake_days(watermark), serving_model(champion)
    if covered is None:
        return ibis.memtable(requests.requests_table(book))
    through = covered[1]
    last = candidate.select("model_version", "as_of").to_pyarrow().to_pylist()
    trained = None
    if last:
        trained = requests.Trained(last[0]["model_version"], last[0]["as_of"], _reason_of(instance, "candidate"))
    promised = TRAINING_INTERACTIONS.freshness
    patience = requests.Patience(
        looks=settings.drift_looks,
        stale_days=settings.model_stale_days,
        new_share=settings.retraining_new_share,
        cooldown_days=settings.retraining_cooldown_days,
        schedule_days=promised.days if promised else settings.model_stale_days,
    )
    learned, new = _new_data(interactions, trained.through if trained else through)
    standing = requests.Standing(
        through,
        serving.model_version if serving else None,
        (through - serving.trained_through).days if serving else None,
        learned,
        new,
    )
    wanted = requests.needs(drift.to_pyarrow().to_pylist(), standing, trained, patience)
    return ibis.memtable(requests.requests_table(requests.next_requests(book, wanted, standing, trained, patience)))


def _new_data(interactions: ibis.Table, learned: Any) -> tuple[int, int]:
    """Interactions up to the last day that the last candidate learned from, and those after it."""
    from trasos_assets.recommender.monitoring.bins import LEARNED

    kinds = interactions.filter(interactions.interaction_type.isin(LEARNED))
    counts = kinds.agg(
        learned=(kinds.day <= ibis.literal(learned)).sum().fill_null(0),
        new=(kinds.day > ibis.literal(learned)).sum().fill_null(0),
    )
    row = counts.to_pyarrow().to_pylist()[0]
    return int(row["learned"]), int(row["new"])


_PAGE_TABLES = (MODEL_MONITORING.name, DRIFT.name, DRIFT_BINS.name, RETRAINING_REQUESTS.name)
_STANDS_ALONE = "page_asks_nothing_of_the_network"


def _write(tables: dict[str, ibis.Table], lake: Lake):
    from trasos_assets.reports.monitoring import write_monitoring

    return write_monitoring({name: tables[name].to_pyarrow() for name in _PAGE_TABLES}, lake.settings.reports_dir)


@dg.asset(
    ins={name: dg.AssetIn(key=name, dagster_type=ANY_TABLE, input_manager_key="lake_io") for name in _PAGE_TABLES},
    description="The model at work as one offline page: live metrics by day, drift, and why it was trained.",
    kinds={"html"},
    code_version=source_digest(_write),
    freshness_policy=PROMISE,
    automation_condition=refresh_condition(),
    check_specs=[
        dg.AssetCheckSpec(_STANDS_ALONE, asset="monitoring_page", description="The page asks nothing of the network.")
    ],
)
def monitoring_page(lake: Lake, **tables: ibis.Table) -> Iterator[Any]:
    """Write the page from the published tables."""
    page = _write(tables, lake)
    html = page.read_text()
    yield dg.Output(
        None, metadata={"page": dg.MetadataValue.url(page.as_uri()), "path": dg.MetadataValue.path(str(page))}
    )
    outside = [part for part in ("<script", 'src="', 'href="http', "@import", "url(") if part in html]
    yield dg.AssetCheckResult(
        check_name=_STANDS_ALONE,
        passed=not outside,
        severity=WARN,
        metadata={"points_outside": ", ".join(outside) or "no"},
    )
