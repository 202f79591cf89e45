"""The engine of a process: one connection, spilling to disk, shared by inputs, assets, checks and IO manager."""

import functools
import os
import re
import shutil
from contextlib import ExitStack
from pathlib import Path

import dagster as dg
import ibis
from dagster_duckdb import DuckDBResource

from trasos_assets.lake import pins
from trasos_assets.lake.locks import alive
from trasos_assets.lake.store import LakeStore
from trasos_assets.places import place
from trasos_assets.settings import Settings, get_settings

_open = ExitStack()  # keeps the resource's connection alive: Ibis expressions die with it


def _memory_limit(setting: str) -> str:
    """DuckDB wants bytes; a share such as 60% is taken of the machine's memory (or of its cgroup's limit)."""
    if not (match := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", setting)):
        return setting
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cgroup = Path("/sys/fs/cgroup/memory.max")
    if cgroup.exists() and (limit := cgroup.read_text().strip()).isdigit():
        total = min(total, int(limit))
    return f"{int(total * float(match.group(1)) / 100 / 2**20)}MiB"


@functools.cache
def connect(temp_directory: Path, memory_limit: str, threads: int) -> "ibis.backends.duckdb.Backend":
    """One in-memory Ibis backend per process and setting, built on the dagster-duckdb resource."""
    temp_directory.mkdir(parents=True, exist_ok=True)
    config: dict[str, str | int] = {
        "memory_limit": _memory_limit(memory_limit),
        "temp_directory": str(temp_directory),
    }
    if threads:
        config["threads"] = threads
    resource = DuckDBResource(database=":memory:", connection_config=config)
    backend = ibis.duckdb.from_connection(_open.enter_context(resource.get_connection()))
    # Not part of the connection's config: the extension that knows time zones is loaded only after it.
    backend.raw_sql("SET TimeZone = 'UTC'")
    backend.raw_sql("SET enable_progress_bar = false")
    # The system keeps files that were read in memory that it can take back; DuckDB would keep them once more, in memory
    # that models cannot have meanwhile.
    backend.raw_sql("SET enable_external_file_cache = false")
    return backend


def spill_folder(root: Path) -> Path:
    """Where this process spills, below ``root``; folders of processes that are gone are removed.

    DuckDB names its temporary files alike in every process: two that spill into one folder overwrite each other.
    """
    own = root / str(os.getpid())
    for folder in root.glob("*"):
        if folder.name.isdigit() and folder != own and not alive(int(folder.name)):
            shutil.rmtree(folder, ignore_errors=True)
    own.mkdir(parents=True, exist_ok=True)
    return own


def open_lake(settings: Settings | None = None) -> LakeStore:
    """The lake of the given settings (of this process by default) on this process's engine.

    Raises:
        LakeError: TRASOS_ENGINE=spark, and Spark cannot run here or cannot read this lake.
    """
    chosen = settings or get_settings()
    local = chosen.lake_dir if isinstance(chosen.lake_dir, Path) else chosen.local_dir / "lake"
    spill = spill_folder(local / ".spill")
    backend = connect(spill, chosen.memory_limit, chosen.threads)
    pins.sweep(local)
    if chosen.engine == "duckdb":
        return LakeStore(chosen.lake_dir, backend, local=local)
    # Not imported before it is asked for: it leads to pyspark.
    from trasos_assets.lake.engines.spark import SparkEngine

    memory = _memory_limit(chosen.memory_limit)
    return LakeStore(chosen.lake_dir, SparkEngine(chosen.spark_master, memory, spill, backend), local=local)


class Lake(dg.ConfigurableResource):
    """The lake as a Dagster resource."""

    data_dir: str = ""

    @property
    def settings(self) -> Settings:
        """The settings with this resource's data folder, if it was given one."""
        here = get_settings()
        return here.model_copy(update={"data_dir": place(self.data_dir)}) if self.data_dir else here

    @property
    def store(self) -> LakeStore:
        """The table store."""
        return open_lake(self.settings)
