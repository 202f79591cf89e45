"""The Dagster instance below the data folder: the one that the UI shows and that `trasos run` records into."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg

from trasos_assets.settings import Settings

EVENT_BATCH_SIZE = 1000  # switches the batches of lake/event_log.py on
INSTANCE_CONFIG = """\
# Written once by trasos; edit freely. https://docs.dagster.io/deployment/oss/oss-instance-configuration
telemetry:
  enabled: false
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
  config:
    max_concurrent_runs: 1
freshness:
  enabled: true
nux:
  enabled: false
event_log_storage:
  module: trasos_assets.lake.event_log
  class: BatchedSqliteEventLogStorage
"""


def prepare_home(settings: Settings) -> Path:
    """Create the instance's folder and point DAGSTER_HOME at it."""
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    config = home / "dagster.yaml"
    if not config.exists():
        config.write_text(INSTANCE_CONFIG)
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", str(EVENT_BATCH_SIZE))
    # Sub-processes of the UI find the same data whatever folder they start in.
    os.environ["TRASOS_DATA_DIR"] = str(settings.data_dir)
    return home


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The instance of these settings."""
    prepare_home(settings)
    return dg.DagsterInstance.get()
