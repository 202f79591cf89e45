"""A process that starts `trasos run` many times over, cheaply, and kills each run where it is told to.

Run as a program it loads everything that `trasos run` loads, opens nothing, and then reads one JSON list of jobs a
line. Each job is a fork that runs the command on a data folder of its own; jobs of one line run at the same time. A
fork costs milliseconds where a process that imports everything anew costs seconds, and dies by the same signal.

A job: ``{"data": folder, "arguments": ["run", ...], "kill": null | {"at": label, "call": n, "when": moment} |
{"after": seconds}}``, and ``"environment": {...}`` where the data are elsewhere. Answer: one JSON list with
``killed``, ``code`` and ``seconds`` of each; what was printed is in the folder's ``printed.log``, how often each
primitive was called in ``calls.json`` if the run ended by itself.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

BEFORE, AFTER, TORN = "before", "after", "torn"
MOMENTS = {"Path.write_text": (BEFORE, TORN, AFTER)}
"""When a process can die at a call; before and after it unless said otherwise here."""


class Primitives:
    """Counts calls of what an ingest writes with, and ends the process at the one it was told."""

    def __init__(self, kill: dict[str, Any] | None) -> None:
        self.kill = kill or {}
        self.calls: Counter[str] = Counter()

    def watch(self, owner: Any, name: str, label: str) -> None:
        """Wrap a function or method where its callers look it up."""
        original = getattr(owner, name)

        @functools.wraps(original)
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls[label] += 1
            moment = self.kill.get("when") if self.due(label) else None
            if moment == BEFORE:
                die()
            if moment == TORN:
                path, text = args[0], args[1]
                with path.open("w") as stream:
                    stream.write(text[: len(text) // 2])
                die()
            done = original(*args, **kwargs)
            if moment == AFTER:
                die()
            return done

        setattr(owner, name, counted)

    def due(self, label: str) -> bool:
        """Whether this is the call to die at."""
        return self.kill.get("at") == label and self.kill.get("call") == self.calls[label]

    def watch_commits(self) -> None:
        """Commits of the instance's databases; the event comes before the commit."""
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        def before_commit(_: Any) -> None:
            self.calls["commit"] += 1
            if self.due("commit"):
                die()

        event.listen(Engine, "commit", before_commit)

    def watch_all(self) -> None:
        """Everything that changes what is on disk."""
        from trasos_assets.defs.operations import ingest
        from trasos_assets.lake import storage, store
        from trasos_assets.lake.engines.duckdb import DuckDBEngine
        from trasos_assets.lake.event_log import BatchedSqliteEventLogStorage
        from trasos_assets.landing import ledger
        from trasos_assets.publishing import files as published

        self.watch(os, "replace", "os.replace")
        self.watch(Path, "write_text", "Path.write_text")
        self.watch(Path, "mkdir", "Path.mkdir")
        self.watch(DuckDBEngine, "_copy", "DuckDBEngine._copy")
        self.watch(storage.LocalStorage, "publish", "LocalStorage.publish")
        self.watch(storage.LocalStorage, "write_bytes", "LocalStorage.write_bytes")
        self.watch(storage.ObjectStorage, "publish", "ObjectStorage.publish")
        self.watch(store.LakeStore, "begin", "LakeStore.begin")
        self.watch(store.LakeStore, "add", "LakeStore.add")
        self.watch(store.LakeStore, "publish", "LakeStore.publish")
        self.watch(store.LakeStore, "discard", "LakeStore.discard")
        self.watch(os, "fsync", "os.fsync")
        self.watch(published, "put_in_place", "published.put_in_place")
        self.watch(ledger, "_write", "ledger._write")
        self.watch(ledger, "read_ledger", "ledger.read_ledger")
        self.watch(ingest, "settle", "settle")
        self.watch(ingest, "execute", "execute")
        self.watch(BatchedSqliteEventLogStorage, "store_event", "store_event")
        self.watch(BatchedSqliteEventLogStorage, "store_event_batch", "store_event_batch")
        self.watch_commits()


def die() -> NoReturn:
    """End this process as a power cut would: nothing is closed, flushed or told."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a killed process went on")


def _child(job: dict[str, Any]) -> NoReturn:
    data = Path(job["data"])
    os.setpgid(0, 0)
    log = os.open(data / "printed.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    code = 70
    try:
        from trasos_assets.cli import app
        from trasos_assets.settings import get_settings

        os.environ["TRASOS_DATA_DIR"] = str(data)
        os.environ.update(job.get("environment") or {})
        get_settings.cache_clear()
        primitives = Primitives(job["kill"])
        primitives.watch_all()
        code = app(args=job["arguments"], standalone_mode=False) or 0
        (data / "calls.json").write_text(json.dumps(primitives.calls))
        from trasos_assets.lake import engine

        engine._open.close()
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _sweep_up(pid: int) -> None:
    """End what the dead process left of its own group, so that nothing of it works on."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def carry_out(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run jobs at the same time, each in a fork; wait for all."""
    sys.stdout.flush()
    sys.stderr.flush()
    started, pids, results = time.monotonic(), {}, {}
    for number, job in enumerate(jobs):
        pid = os.fork()
        if pid == 0:
            _child(job)
        pids[pid] = number
    deadlines = {pid: started + (jobs[n]["kill"] or {}).get("after", float("inf")) for pid, n in pids.items()}
    while len(results) < len(jobs):
        for pid, number in pids.items():
            if number in results:
                continue
            if time.monotonic() >= deadlines[pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                _sweep_up(pid)
                killed = os.WIFSIGNALED(status)
                code = os.WTERMSIG(status) if killed else os.WEXITSTATUS(status)
                results[number] = {"killed": killed, "code": code, "seconds": time.monotonic() - started}
        time.sleep(0.005)
    return [results[number] for number in range(len(jobs))]


def _load_everything() -> None:
    """Import what a run imports, and build the definitions, without a connection, an instance or a thread."""
    import warnings

    warnings.filterwarnings("ignore")
    import dagster_duckdb  # noqa: F401
    import ibis.backends.duckdb  # noqa: F401
    import pandera.ibis  # noqa: F401
    import plotly.graph_objects  # noqa: F401
    import scipy.stats  # noqa: F401

    import trasos_assets.cli
    import trasos_assets.contracts.schema
    import trasos_assets.defs.operations.ingest
    import trasos_assets.defs.operations.instance
    import trasos_assets.defs.operations.summary
    import trasos_assets.metrics.headlines
    import trasos_assets.recommender.evaluation
    import trasos_assets.recommender.models.als
    import trasos_assets.reports.dashboard
    import trasos_assets.reports.facts  # noqa: F401
    from trasos_assets.definitions import assembled

    assembled().resolve_asset_graph()
    for job in ("ingest_raw", "ingest_days", "refresh_tables"):
        assembled().resolve_job_def(job)


def main() -> None:
    """Serve jobs until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not end up among the answers
    _load_everything()
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(carry_out(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
