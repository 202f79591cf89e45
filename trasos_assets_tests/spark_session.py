"""One local Spark session for every test of a process that asks for one: starting a JVM costs more than most tests.

Ask for it with ``spark_session()`` or ``spark_backend()`` in a test or a fixture; they skip, with the fix, where Spark
cannot run. Both are as the platform makes them.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from trasos_assets.lake.engines.spark_sql import SparkBackend

MASTER, MEMORY = "local[2]", "2GB"


@functools.cache
def scratch_folder() -> Path:
    """Where this process's Spark spills, gone with the process."""
    folder = tempfile.TemporaryDirectory(prefix="trasos-spark-")
    _folders.append(folder)
    return Path(folder.name)


_folders: list[Any] = []


def spark_session() -> SparkSession:
    """The session of this process on ``local[2]``: UTC, loopback only, no UI, 4 shuffle partitions."""
    from trasos_assets.lake.engines.spark_session import connect, missing_for_spark

    missing = missing_for_spark()
    if missing:
        pytest.skip(missing)
    return connect(MASTER, MEMORY, scratch_folder())


@functools.cache
def _backend() -> SparkBackend:
    from trasos_assets.lake.engines.spark_sql import SparkBackend

    backend = SparkBackend()
    backend.scratch = scratch_folder()
    backend.do_connect(spark_session())
    return backend


def spark_backend() -> SparkBackend:
    """The platform's Ibis backend on that session."""
    spark_session()
    return _backend()
