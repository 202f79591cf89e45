"""Jobs: the three stages of an ingest, and the weekly retraining."""

import dagster as dg

from trasos_assets.contracts import CONTRACTS
from trasos_assets.defs.operations.plan import BY_DAY_NAMES, RAW_NAMES

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
    - dg.AssetSelection.assets(*(c.name for c in CONTRACTS.values() if c.partitioned)),
    description="Stage three of an ingest: every table without partitions.",
)
retrain_model = dg.define_asset_job(
    "retrain_model",
    selection=dg.AssetSelection.tag("trasos/cadence", "weekly"),
    description="Training data, model, leaderboard and champion; what depends on them refreshes by itself.",
)
