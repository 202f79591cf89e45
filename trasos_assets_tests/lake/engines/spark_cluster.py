"""A real Spark cluster on the loopback: one standalone master and two workers, processes that can be killed.

``with spark_cluster(folder) as cluster:`` starts it from the pip package of pyspark and always takes it down again.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from trasos_assets.lake.engines.spark_session import missing_for_spark

HOST = "127.0.0.1"
SETUP = "apt-get install openjdk-17-jre-headless && make setup"
# Short runs: most of what the second compiler would do comes too late to pay.
QUICK_JAVA = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=512m"
QUICK_SPARK = """\
spark.sql.shuffle.partitions 2
spark.executor.memory 700m
"""


def require_spark() -> None:
    """Skip the test that asks where pyspark or Java is missing."""
    if missing := missing_for_spark():
        pytest.skip(f"{missing} (for the tests: {SETUP})")


def spark_environment(folder: Path) -> dict[str, str]:
    """Environment of a process that runs Spark on tables of a few thousand rows."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spark-defaults.conf").write_text(QUICK_SPARK)
    return {"SPARK_CONF_DIR": str(folder), "SPARK_LOCAL_IP": HOST, "JAVA_TOOL_OPTIONS": QUICK_JAVA}


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        return taken.getsockname()[1]


@dataclass
class Cluster:
    """Processes of a cluster: each leads a group, in which a worker's executors are too."""

    port: int
    web_port: int
    folder: Path
    master: subprocess.Popen[bytes] | None = None
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """What TRASOS_SPARK_MASTER is set to."""
        return f"spark://{HOST}:{self.port}"

    def alive_workers(self) -> int:
        """As the master sees it; -1 while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.web_port}/json/", timeout=5) as answer:
                return int(json.load(answer)["aliveworkers"])
        except OSError:
            return -1

    def kill_a_worker(self) -> None:
        """SIGKILL for a worker and its executors, as when their machine is gone."""
        _kill(self.workers.pop())


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def spark_cluster(folder: Path, *, workers: int = 2, seconds: float = 120) -> Iterator[Cluster]:
    """A master and workers of one core each, whose files and logs are below ``folder``."""
    import pyspark

    home = Path(pyspark.__file__).parent
    environment = os.environ | spark_environment(folder / "conf") | {"SPARK_HOME": str(home)}
    environment |= {"SPARK_LOCAL_DIRS": str(folder / "local")}
    cluster = Cluster(_free_port(), _free_port(), folder)

    def start(name: str, *command: str) -> subprocess.Popen[bytes]:
        with (folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                [str(home / "bin" / "spark-class"), *command],
                env=environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    try:
        deploy = "org.apache.spark.deploy"
        ports = ("--port", str(cluster.port), "--webui-port", str(cluster.web_port))
        cluster.master = start("master", f"{deploy}.master.Master", "--host", HOST, *ports)
        for number in range(workers):
            size = ("-c", "1", "-m", "1g", "-d", str(folder / f"work-{number}"), "--webui-port", "0")
            worker = start(f"worker-{number}", f"{deploy}.worker.Worker", "--host", HOST, *size, cluster.url)
            cluster.workers.append(worker)
        until = time.monotonic() + seconds
        while cluster.alive_workers() < workers:
            if time.monotonic() > until or any(p.poll() is not None for p in (cluster.master, *cluster.workers)):
                logs = "\n".join(log.read_text()[-2000:] for log in sorted(folder.glob("*.log")))
                raise RuntimeError(f"the cluster did not come up within {seconds} s:\n{logs}")
            time.sleep(0.2)
        yield cluster
    finally:
        for process in (*cluster.workers, cluster.master):
            if process is not None:
                _kill(process)
