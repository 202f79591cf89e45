"""What starts runs without a hand: the landing sensor, the automation sensor, the schedules."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import dagster as dg

from trasos_assets.defs.operations import plan
from trasos_assets.defs.operations.ingest import report_balance, report_ledger
from trasos_assets.defs.operations.jobs import (
    ingest_days,
    ingest_raw,
    refresh_tables,
    retrain_model,
    storage_upkeep,
    take_samples,
)
from trasos_assets.defs.operations.releases import report_releases
from trasos_assets.defs.operations.retraining import REASON_TAG, SCHEDULED_REASON
from trasos_assets.erasure.gate import gate
from trasos_assets.erasure.journal import refuse_unfinished
from trasos_assets.erasure.people import ErasureError
from trasos_assets.lake.days import first_day
from trasos_assets.lake.engine import open_lake
from trasos_assets.lake.format import open_format
from trasos_assets.landing.ledger import LandingError, read_ledger, settle, take_stock
from trasos_assets.landing.releases import pending_releases, settle_releases
from trasos_assets.settings import get_settings

BATCH_TAG, STAGE_TAG = "trasos/ingest", "trasos/stage"
STAGES = ("raw", "days", "tables")
FILES_PER_TICK = 500
LOST_AFTER_SECONDS = 3600
UNPLANNED = -1
UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 60, 3600


@dataclass
class Ingest:
    """The sensor's cursor: which batch of deliveries is under way, at which stage, and how often it failed."""

    batch: str = ""
    stage: str = ""
    deliveries: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()
    runs: int = 0
    asked_at: float = 0
    failures: int = 0
    failed: tuple[str, ...] = ()
    not_before: float = 0

    @classmethod
    def load(cls, cursor: str | None) -> Ingest:
        """The state in a cursor; a new one if there is none or it cannot be read."""
        try:
            return cls(**json.loads(cursor)) if cursor else cls()
        except (ValueError, TypeError):
            return cls()

    def dump(self) -> str:
        """The state as a cursor."""
        return json.dumps(asdict(self))


def _stage_of(context: dg.SensorEvaluationContext, state: Ingest) -> str:
    """unplanned, running, failed or done: how the runs of the current stage stand."""
    if state.runs == UNPLANNED:
        return "unplanned"
    tags = {BATCH_TAG: state.batch, STAGE_TAG: state.stage}
    runs = context.instance.get_runs(dg.RunsFilter(tags=tags))
    if any(run.status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED) for run in runs):
        return "failed"
    if len(runs) < state.runs:
        return "failed" if time.time() - state.asked_at > LOST_AFTER_SECONDS else "running"
    return "done" if all(run.status == dg.DagsterRunStatus.SUCCESS for run in runs) else "running"


def _plan_stage(context: dg.SensorEvaluationContext, state: Ingest) -> list[plan.PlannedRun]:
    settings, store = get_settings(), open_lake()
    pending = [row for row in read_ledger(store) if row["delivery"] in state.deliveries]
    first = first_day(settings)
    days = plan.lake_days(store, pending, first)
    repository = context.repository_def
    if repository is None:
        raise dg.DagsterInvariantViolationError("the landing sensor runs inside a code location only")
    graph = repository.asset_graph
    releases = [release for release in pending_releases(store) if release.release_id in state.releases]
    if state.stage == "raw":
        open_format(settings.lake_dir, start_date=first, timezone=settings.timezone)
        return plan.raw_runs(store, settings, pending, days, releases=releases)
    if state.stage == "days":
        standing = plan.standings(context.instance, plan.BY_DAY_NAMES)
        outdated = plan.outdated_by_code(graph, standing, plan.BY_DAY_NAMES)
        unfinished = plan.unfinished_days(graph, context.instance)
        return plan.day_runs(store, settings, pending, days, releases=releases, outdated=outdated, rebuild=unfinished)
    names = [key.path[-1] for key in graph.materializable_asset_keys]
    last = plan.table_run(
        graph, store, plan.standings(context.instance, names), present=plan.products_present(settings), retrain=False
    )
    return [last] if last else []


def _requests(state: Ingest, runs: list[plan.PlannedRun]) -> list[dg.RunRequest]:
    tags = {BATCH_TAG: state.batch, STAGE_TAG: state.stage}
    return [
        dg.RunRequest(
            run_key=f"{state.batch}:{state.stage}:{number}",
            job_name=run.job,
            asset_selection=[dg.AssetKey(name) for name in run.assets],
            tags=run.tags | tags | {"trasos/why": run.why},
        )
        for number, run in enumerate(runs)
    ]


def _advance(context: dg.SensorEvaluationContext, state: Ingest) -> dg.SensorResult | dg.SkipReason:
    """From the current stage on, ask for the runs of the first stage that has any."""
    while state.stage:
        if state.stage == "tables" and _refreshing(context):
            context.update_cursor(state.dump())
            return dg.SkipReason(f"ingest {state.batch}: another run refreshes tables; what it leaves comes after it")
        runs = _plan_stage(context, state)
        if runs:
            state.runs, state.asked_at = len(runs), time.time()
            return dg.SensorResult(run_requests=_requests(state, runs), cursor=state.dump())
        _finish_stage(context, state)
    context.update_cursor(state.dump())
    return dg.SkipReason(f"ingest {state.batch} is complete")


def _refreshing(context: dg.SensorEvaluationContext) -> bool:
    """Whether a run on tables without partitions is under way: the automation sensor may have been first."""
    by_day = {*plan.RAW_NAMES, *plan.BY_DAY_NAMES}
    runs = context.instance.get_runs(dg.RunsFilter(statuses=UNDER_WAY))
    return any({key.path[-1] for key in run.asset_selection or ()} - by_day for run in runs)


def _finish_stage(context: dg.SensorEvaluationContext, state: Ingest) -> None:
    if state.stage == "days":
        tags = {BATCH_TAG: state.batch, STAGE_TAG: state.stage}
        runs = context.instance.get_runs(dg.RunsFilter(tags=tags))
        store = open_lake()
        settle(store, state.deliveries, run_id=state.batch, days=plan.days_of(runs))
        report_balance(context.instance, store)
        if state.releases:
            settle_releases(store, state.releases)
            report_releases(context.instance, store, changed=True)
        state.failures, state.failed, state.not_before = 0, (), 0
    number = STAGES.index(state.stage) + 1
    state.stage, state.runs = STAGES[number] if number < len(STAGES) else "", UNPLANNED


def _pause(state: Ingest) -> str:
    """End a failed ingest; returns what happens next, in words."""
    failed = f"ingest {state.batch} failed in stage {state.stage!r}; the failed run says why"
    stage, state.stage = state.stage, ""
    if stage == "tables":
        return f"{failed}. Everything by day is built; the tables come with the next ingest or the morning's refresh"
    state.failures += 1
    wait = min(FIRST_PAUSE_SECONDS * 2 ** (state.failures - 1), LONGEST_PAUSE_SECONDS)
    state.failed, state.not_before = (*state.deliveries, *state.releases), time.time() + wait
    return f"{failed}. Its files and releases stay pending and come again in {wait:.0f} s, or with the next new file"


@dg.sensor(
    name="landing_sensor",
    jobs=[ingest_raw, ingest_days, refresh_tables],
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Takes new files from landing, and lines released from the quarantine, through the three stages of an "
    "ingest, one batch at a time.",
)
def landing_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Move the ingest that is under way to its next stage, or begin one if files have landed or lines were released."""
    state = Ingest.load(context.cursor)
    if state.stage:
        stands = _stage_of(context, state)
        if stands == "running":
            return dg.SkipReason(f"ingest {state.batch}: stage {state.stage!r} is under way")
        if stands == "failed":
            reason = _pause(state)
            context.update_cursor(state.dump())
            return dg.SkipReason(reason)
        if stands == "done":
            _finish_stage(context, state)
        return _advance(context, state)
    settings, store = get_settings(), open_lake()
    try:
        refuse_unfinished(store)
        admit = gate(store, settings)
        stock = take_stock(store, settings, first_day=first_day(settings), limit=FILES_PER_TICK, admit=admit)
    except (LandingError, ErasureError) as error:
        return dg.SkipReason(str(error))
    trouble = f"; {len(stock.troubled)} in trouble, see landing_ledger" if stock.troubled else ""
    deliveries = tuple(sorted(row["delivery"] for row in stock.pending))
    releases = tuple(release.release_id for release in pending_releases(store))
    if not deliveries and not releases:
        return dg.SkipReason(f"nothing new among {stock.files} files{trouble}")
    if {*deliveries, *releases} <= set(state.failed) and time.time() < state.not_before:
        return dg.SkipReason(f"{len(deliveries)} files and {len(releases)} releases wait for the next try{trouble}")
    report_ledger(context.instance, stock, settings)
    report_releases(context.instance, store, changed=bool(releases))
    state.deliveries, state.releases, state.stage, state.runs = deliveries, releases, STAGES[0], UNPLANNED
    identity = "\0".join((*deliveries, *releases, str(state.failures), str(time.time_ns())))
    state.batch = hashlib.sha256(identity.encode()).hexdigest()[:12]
    return _advance(context, state)


automation_sensor = dg.AutomationConditionSensorDefinition(
    "automation_sensor",
    target=dg.AssetSelection.all(),
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=60,
    description="Refreshes tables without partitions after what they are made of, when its blocking checks passed.",
)


@dg.schedule(
    job=refresh_tables,
    cron_schedule="0 6 * * *",
    execution_timezone=get_settings().timezone,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every morning: all tables without partitions but the model's, and the checks that watch the clock.",
)
def daily_refresh(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run of everything that is of no other cadence."""
    graph = context.repository_def.asset_graph
    return dg.RunRequest(
        asset_selection=[
            key
            for key in graph.materializable_asset_keys
            if graph.get(key).partitions_def is None
            and graph.get(key).tags.get(plan.WEEKLY_TAG[0]) not in (plan.WEEKLY_TAG[1], plan.OWN_SCHEDULE)
        ]
    )


def _schedule(
    name: str, job: Any, cron: str, description: str, tags: Mapping[str, str] | None = None
) -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name=name,
        job=job,
        cron_schedule=cron,
        execution_timezone=get_settings().timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=description,
        tags=tags,
    )


weekly_retraining = _schedule(
    "weekly_retraining",
    retrain_model,
    "0 5 * * 1",
    "Every Monday before the morning's refresh: training data, model, leaderboard, champion.",
    tags={REASON_TAG: SCHEDULED_REASON},
)
weekly_samples = _schedule(
    "weekly_samples",
    take_samples,
    "0 7 * * 1",
    "Every Monday after the morning's refresh: the sample for data scientists, from tables that fit.",
)
daily_upkeep = _schedule(
    "daily_upkeep",
    storage_upkeep,
    "0 4 * * *",
    "Every night: retention, compaction, what everything costs, what nobody reads.",
)
