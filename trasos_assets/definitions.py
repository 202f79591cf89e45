"""The code location: everything below defs/, and the resources it runs on."""

import functools
from pathlib import Path

import dagster as dg

from trasos_assets.defs.operations.progress import progress_logger
from trasos_assets.lake.engine import Lake
from trasos_assets.lake.io_manager import LakeIOManager


def resources() -> dict[str, object]:
    """The resources of every asset, to be overridden in tests."""
    lake = Lake()
    return {"lake": lake, "lake_io": LakeIOManager(lake=lake)}


@functools.cache
def assembled() -> dg.Definitions:
    """All definitions, built once a process; the folder of a definition is its owner."""
    folder = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
    # Small steps in one process: a process a step costs more in imports than the step itself.
    own = dg.Definitions(
        resources=resources(),
        executor=dg.in_process_executor,
        loggers={"console": dg.colored_console_logger.configured({"log_level": "INFO"}), "progress": progress_logger},
    )
    return dg.Definitions.merge(folder, own)


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads."""
    return assembled()
