"""Jobs: the three stages of an ingest, the weekly retraining, and releases from the quarantine."""

from datetime import date

import dagster as dg
from pydantic import Field

from trasos_assets.contracts import CONTRACTS, storage
from trasos_assets.contracts.engineering import QUARANTINE_RELEASES
from trasos_assets.contracts.landing import EVENT
from trasos_assets.contracts.models import TRIALS
from trasos_assets.defs.operations.plan import BY_DAY_NAMES, OWN_SCHEDULE, RAW_NAMES, WEEKLY_TAG
from trasos_assets.lake.engine import Lake
from trasos_assets.landing.quarantine import delivery_of, require_lines
from trasos_assets.landing.releases import make_release, record_release
from trasos_assets.trust.releases import ReleaseError

ingest_raw = dg.define_asset_job(
    "ingest_raw",
    selection=dg.AssetSelection.assets(*RAW_NAMES),
    description="Stage one of an ingest: new files into the raw tables, by received day.",
)
ingest_days = dg.define_asset_job(
    "ingest_days",
    selection=dg.AssetSelection.assets(*BY_DAY_NAMES),
    description="Stage two of an ingest: every table by day, over the days that new files affect.",
)
refresh_tables = dg.define_asset_job(
    "refresh_tables",
    selection=dg.AssetSelection.all()
    - dg.AssetSelection.assets(*(c.name for c in CONTRACTS.values() if c.partitioned))
    - dg.AssetSelection.tag(WEEKLY_TAG[0], OWN_SCHEDULE),
    description="Stage three of an ingest: every table without partitions.",
)
storage_upkeep = dg.define_asset_job(
    "storage_upkeep",
    selection=dg.AssetSelection.assets(*(contract.name for contract in storage.CONTRACTS)),
    description="Retention, compaction, what everything costs, and what nobody reads.",
)
retrain_model = dg.define_asset_job(
    "retrain_model",
    selection=dg.AssetSelection.tag("trasos/cadence", "weekly"),
    description="Training data, model, leaderboard and champion; what depends on them refreshes by itself.",
)
search_models = dg.define_asset_job(
    "search_models",
    selection=dg.AssetSelection.assets(TRIALS.name),
    description="Searches the parameters of every model, on days before those that the leaderboard tests on. "
    "A search that was interrupted goes on.",
)
take_samples = dg.define_asset_job(
    "take_samples",
    selection=dg.AssetSelection.assets("samples"),
    description="The sample for data scientists, of the lake as it stands.",
)


class ReleaseConfig(dg.Config):
    """Which lines leave the quarantine, why, and on whose word."""

    reason: str = Field(description="The reason for which the lines are in the quarantine, e.g. too_late.")
    since: str = Field(description="First received day, YYYY-MM-DD.")
    by: str = Field(description="Who releases them.")
    until: str | None = Field(None, description="Last received day; today if left out.")
    dataset: str = Field(EVENT.dataset, description="The landed data set.")
    file: str | None = Field(None, description="One file only: its path below landing/, or its hash.")
    waive: bool = Field(False, description="Take the rule as kept; otherwise the lines are read and judged again.")
    note: str | None = Field(None, description="Why.")


def _day(text: str | None, name: str) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError as error:
        raise dg.Failure(f"{name}: {text!r} is no day; write it as 2026-01-31", allow_retries=False) from error


@dg.op(description="Records a release; the landing sensor carries it out within the next ticks.")
def release_from_quarantine(context: dg.OpExecutionContext, config: ReleaseConfig, lake: Lake) -> None:
    """Check what is asked for, and write it into the book of releases."""
    since = _day(config.since, "since")
    if since is None:
        raise dg.Failure("since: name the first received day", allow_retries=False)
    store = lake.store
    try:
        asked = make_release(
            dataset=config.dataset,
            reason=config.reason,
            since=since,
            until=_day(config.until, "until"),
            file_hash=delivery_of(store, config.file) if config.file else None,
            waived=config.waive,
            released_by=config.by,
            note=config.note,
            timezone=lake.settings.timezone,
        )
        lines = require_lines(store, asked)
    except ReleaseError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    release = record_release(store, asked)
    context.log_event(
        dg.AssetMaterialization(
            QUARANTINE_RELEASES.name,
            metadata={"release_id": release.release_id, "reason": release.reason, "lines": lines},
        )
    )
    context.log.info(f"{lines} lines are released ({release.release_id}); the landing sensor carries it out")


@dg.job(
    name="replay_quarantine",
    description="Releases lines from the quarantine after the cause was mended, or with their rule waived. "
    "It records the release; the landing sensor takes the lines through the three stages of an ingest.",
)
def replay_quarantine() -> None:
    """Record one release."""
    release_from_quarantine()
