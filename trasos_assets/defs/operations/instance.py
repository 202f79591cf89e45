"""The Dagster instance below the data folder: the one that the UI shows and that `trasos run` records into."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dagster as dg
from filelock import FileLock

from trasos_assets.lake.files import write_whole
from trasos_assets.settings import Settings

EVENT_BATCH_SIZE = 1000  # switches the batches of lake/event_log.py on
PROCESS_TAG = "trasos/process"
CLOCK_SLACK_SECONDS = 2
UNDER_WAY = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
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
        write_whole(config, INSTANCE_CONFIG)
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", str(EVENT_BATCH_SIZE))
    # Sub-processes of the UI find the same data whatever folder they start in.
    os.environ["TRASOS_DATA_DIR"] = str(settings.data_dir)
    if settings.local_dir != settings.data_dir:
        os.environ["TRASOS_LOCAL_DIR"] = str(settings.local_dir)
    return home


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The instance of these settings."""
    home = prepare_home(settings)
    # Its databases are made at the first opening; two processes at once would make them into each other.
    with FileLock(home / ".opening.lock"):
        return dg.DagsterInstance.get()


def _start_of(pid: int) -> float | None:
    """When a process on this machine began, in seconds since 1970; None if there is none, 0 if nobody can say."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    try:
        # The name, in brackets, may hold blanks; the start is the 20th field after it, in clock ticks since boot.
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    except (OSError, ValueError, IndexError, StopIteration):
        return 0
    return int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")


def _process_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> int | None:
    """The process that carries out a run: as its tag says, else as it wrote into its log when it began."""
    if PROCESS_TAG in run.tags:
        return int(run.tags[PROCESS_TAG])
    for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        data: Any = entry.dagster_event.event_specific_data if entry.dagster_event else None
        pid = getattr(data, "metadata", {}).get("pid")
        if pid is not None:
            return int(pid.value)
    return None


def close_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark as failed the runs whose process is gone; returns their ids.

    A killed process leaves its run as if it were under way, for ever: it would take the one place that the queue of
    the daemon has, and the landing sensor would wait for its end.
    """
    closed = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=UNDER_WAY)):
        run = record.dagster_run
        pid = _process_of(instance, run)
        if pid is None or pid == os.getpid():
            continue
        began = _start_of(pid)
        # A process that began after the run is another one with the same number.
        if began is None or began > record.create_timestamp.timestamp() + CLOCK_SLACK_SECONDS:
            instance.report_run_failed(run, f"process {pid} ended before the run did; what it left undone comes again")
            closed.append(run.run_id)
    return closed
