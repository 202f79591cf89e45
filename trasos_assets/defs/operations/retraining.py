"""What trains the model beside its weekly schedule: requests that monitoring wrote down, each carried out once."""

from __future__ import annotations

import dagster as dg

from trasos_assets.contracts.monitoring import REASONS, RETRAINING_REQUESTS
from trasos_assets.defs.operations.jobs import retrain_model
from trasos_assets.lake.engine import open_lake
from trasos_assets.settings import get_settings

REASON_TAG, WHY_TAG, AS_OF_TAG = "trasos/retraining", "trasos/why", "trasos/requested_as_of"
"""Of a training's run: one of `REASONS`, that reason in words, and the last day of data behind the request."""

SCHEDULED_REASON = REASONS[4]
WHY_LENGTH = 240
LOOKS_EVERY_SECONDS = 300
UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


@dg.sensor(
    name="retraining_sensor",
    job=retrain_model,
    minimum_interval_seconds=LOOKS_EVERY_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Trains the model when retraining_requests asks for it (drift, staleness, new data, a missed "
    "schedule): once a request, with its reason in the run's tags.",
)
def retraining_sensor(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Ask for one training that meets all that waits, unless one is under way.

    The cool-down, and how long drift must last, are days of data and stand behind the table; the run's key is the day
    and the reasons of the request, so that however often the sensor looks, it is carried out once. One that failed is
    asked for anew by later data.
    """
    from trasos_assets.recommender.monitoring.requests import waiting_requests

    store = open_lake(get_settings())
    waiting = waiting_requests(store.read(RETRAINING_REQUESTS).to_pyarrow().to_pylist())
    if not waiting:
        return dg.SkipReason("nothing asks for a new model")
    running = context.instance.get_runs(dg.RunsFilter(job_name=retrain_model.name, statuses=UNDER_WAY), limit=1)
    if running:
        return dg.SkipReason(f"the model is being trained by run {running[0].run_id}")
    as_of = waiting[0]["requested_as_of"].isoformat()
    reasons = [row["reason"] for row in waiting]
    why = "; ".join(f"{row['reason']}: {row['detail']}" for row in waiting)
    return dg.RunRequest(
        run_key=f"{as_of}:{'+'.join(sorted(reasons))}",
        tags={REASON_TAG: reasons[0], WHY_TAG: why[:WHY_LENGTH], AS_OF_TAG: as_of},
    )
