"""The Spark session of this process, and plain words where there cannot be one."""

from __future__ import annotations

import atexit
import functools
import importlib.util
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from trasos_assets.lake.errors import LakeError

OLDEST_JAVA = 17
SPARK_READS_NO_STORE = (
    "TRASOS_ENGINE=spark reads a folder that all its workers see; a lake in an object store needs Hadoop's connector "
    "for it, which this release does not set up. Unset TRASOS_ENGINE, or set TRASOS_DATA_DIR to a shared folder"
)
_LOG = """\
rootLogger.level = error
rootLogger.appenderRef.stderr.ref = stderr
logger.gateway.name = org.apache.spark.api.python.PythonGatewayServer
logger.gateway.level = error
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{HH:mm:ss} Spark: %m%n%ex{1}
"""
WAIT_FOR_MASTER = 5.0
WAIT_FOR_WORKERS = 60.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_JAVA_FIX = "install one (Debian: apt-get install openjdk-17-jre-headless), or set JAVA_HOME to it"


def missing_for_spark() -> str | None:
    """What this machine lacks for Spark, and how to get it; None if nothing."""
    if importlib.util.find_spec("pyspark") is None:
        return "TRASOS_ENGINE=spark needs pyspark: pip install 'trasos-assets[spark]'"
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java")
    if java is None or not shutil.which(java):
        where = f"no {java} is there" if java else "none was found"
        return f"TRASOS_ENGINE=spark needs Java {OLDEST_JAVA} or newer, and {where}; {_JAVA_FIX}"
    version = _java_version(java)
    if version is None or version < OLDEST_JAVA:
        found = "does not say its version" if version is None else f"is Java {version}"
        return f"TRASOS_ENGINE=spark needs Java {OLDEST_JAVA} or newer, and {java} {found}; {_JAVA_FIX}"
    return None


def _java_version(java: str) -> int | None:
    try:
        told = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=True).stderr
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', told)
    return int(found.group(1)) if found else None


def _hosts(master: str) -> list[tuple[str, int]]:
    """Hosts and ports of ``spark://host:port,host:port``; none for other masters."""
    if not master.startswith("spark://"):
        return []
    parts = (part.rpartition(":") for part in master.removeprefix("spark://").split(","))
    return [(host.strip("[]"), int(port)) for host, _, port in parts if port.isdigit()]


def _on_this_machine(master: str) -> bool:
    hosts = _hosts(master)
    return master.startswith("local") or (bool(hosts) and all(host in _LOOPBACK for host, _ in hosts))


def _require_master(master: str) -> None:
    """Look whether a standalone master listens: Spark itself tries for a minute and then says little."""
    hosts = _hosts(master)
    if master.startswith("spark://") and not hosts:
        raise LakeError(f"TRASOS_SPARK_MASTER={master} is no master; it reads spark://host:port")
    for host in hosts:
        try:
            socket.create_connection(host, timeout=WAIT_FOR_MASTER).close()
            return
        except OSError:
            continue
    if hosts:
        raise LakeError(
            f"no Spark master answers at {master}; start one, or set TRASOS_SPARK_MASTER to another, or unset "
            "TRASOS_ENGINE"
        )


def _logging(scratch: Path) -> str:
    """The option that keeps Spark quiet but for errors, unless its SPARK_CONF_DIR says how to log."""
    if Path(os.environ.get("SPARK_CONF_DIR", "/nowhere"), "log4j2.properties").exists():
        return ""
    file = scratch / "log4j2.properties"
    file.write_text(_LOG)
    return f" -Dlog4j2.configurationFile={file.as_uri()}"


def _settings(master: str, memory: str, scratch: Path) -> dict[str, str]:
    """What a session is made with; executors' memory and cores are the cluster's, by its spark-defaults.conf."""
    settings = {
        "spark.app.name": "trasos",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.memory": memory,
        # Whoever fetches a result has seen to it that it fits in memory.
        "spark.driver.maxResultSize": "0",
        # Tasks of many iterations carry the plan of all of them, which Java reads by recursion.
        "spark.driver.extraJavaOptions": f"-Duser.timezone=UTC -Xss4m{_logging(scratch)}",
        "spark.executor.extraJavaOptions": "-Duser.timezone=UTC -Xss4m",
        "spark.local.dir": str(scratch),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.sql.catalogImplementation": "in-memory",
        # What the numbers are: names as they are written, errors where DuckDB has errors, no calendar but Gregory's.
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "true",
        "spark.sql.caseSensitive": "true",
        "spark.sql.variable.substitute": "false",
        "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
        "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        # Plain files: no checksum beside each, no marker, and no job to list a few hundred of them.
        "spark.hadoop.fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem",
        "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
        "spark.sql.sources.parallelPartitionDiscovery.threshold": "10000",
    }
    if _on_this_machine(master):
        settings |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    return settings


@functools.cache
def require_spark(master: str) -> None:
    """Look, once, whether a session can be made, without making one.

    Raises:
        LakeError: pyspark or Java is missing, or the master does not answer.
    """
    if missing := missing_for_spark():
        raise LakeError(missing)
    _require_master(master)


def connect(master: str, memory: str, scratch: Path) -> Any:
    """The session of this process; a process has one, whatever is asked for later.

    Args:
        master: ``local[*]``, ``spark://host:port``, or another that Spark knows.
        memory: of this process's Java, as DuckDB writes it, e.g. 4GB or 900MiB.
        scratch: where this process spills.

    Raises:
        LakeError: pyspark or Java is missing, the master does not answer, or no worker takes the work.
    """
    require_spark(master)
    chosen = _settings(master, _java_memory(memory), scratch)
    if "spark.driver.host" in chosen:
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    # Python on the workers: what serves a model's lists there is this package.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    # Every failed query would be logged as a page of JSON beside the error that it raises.
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        # pyspark warns of every pandas newer than its own; nothing here passes through pandas.
        warnings.simplefilter("ignore", FutureWarning)
        from pyspark.sql import SparkSession

        builder: Any = SparkSession.builder
        for name, value in chosen.items():
            builder = builder.config(name, value)
        try:
            session = builder.master(master).getOrCreate()
        except Exception as error:
            raise LakeError(f"no Spark session on {master}: {str(error).splitlines()[0]}") from error
    atexit.register(session.stop)
    _require_workers(session, master)
    # Where what was computed over many iterations is put down, so that a lost worker does not begin at the first.
    session.sparkContext.setCheckpointDir(str(scratch / "checkpoints"))
    if not session.sparkContext.getConf().contains("spark.sql.shuffle.partitions"):
        session.conf.set("spark.sql.shuffle.partitions", max(4, 2 * session.sparkContext.defaultParallelism))
    return session


def _require_workers(session: Any, master: str) -> None:
    """Wait for the first executor of a cluster: without any, the first table would wait for ever."""
    if not master.startswith("spark://"):
        return
    context = session.sparkContext._jsc.sc()
    until = time.monotonic() + WAIT_FOR_WORKERS
    while context.getExecutorMemoryStatus().size() < 2:  # the driver is one of them
        if time.monotonic() > until:
            session.stop()
            raise LakeError(
                f"no worker of {master} took this application within {WAIT_FOR_WORKERS:.0f} s; start a worker, "
                "free one, or ask for less memory or fewer cores in spark-defaults.conf"
            )
        time.sleep(0.1)


def _java_memory(limit: str) -> str:
    """DuckDB's way to write memory in Java's, in mebibytes."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?\s*", limit, re.IGNORECASE)
    if not found:
        raise LakeError(f"TRASOS_MEMORY_LIMIT={limit} is no amount of memory; write e.g. 4GB")
    number, unit, binary = float(found.group(1)), found.group(2).upper(), bool(found.group(3))
    size = number * (1024 if binary else 1000) ** ("KMGT".index(unit) + 1 if unit else 0)
    return f"{max(512, int(size / 2**20))}m"
