"""Processes that write, read and are killed, for ``test_publishing``: ``python -m … write|read|kill``."""

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import ibis

from trasos_assets.contracts.model import DATE, DAY, FLOAT64, INT64, TEXT, Column, Contract
from trasos_assets.lake.engines.duckdb import DuckDBEngine
from trasos_assets.lake.store import LakeStore

STOP = "stop"
ENOUGH, PATIENCE = 3, 90
DAYS = [date(2026, 1, 1) + timedelta(number) for number in range(4)]
KILLED_DAYS = DAYS[:2]
_COLUMNS = (
    Column("visit_id", INT64, "Numbered."),
    Column("version", TEXT, "Writer, and how many rows it wrote into the partition."),
    Column("noise", FLOAT64, "Makes files differ in size."),
)
BY_DAY = Contract(
    "visits", "engineering", "By day.", (Column(DAY, DATE, "Day."), *_COLUMNS), ("visit_id",), (), "received"
)
WHOLE = Contract("visitors", "engineering", "Whole.", _COLUMNS, ("visit_id",))


def stamped(store: LakeStore, contract: Contract, version: str, rows: int) -> ibis.Table:
    """Rows that say in each partition which version they are of and how many there are."""
    columns = f"i::BIGINT AS visit_id, '{version}/{rows}' AS version, random() AS noise"
    if not contract.partitioned:
        return store.backend.sql(f"SELECT {columns} FROM range({rows}) t(i)")
    days = ", ".join(f"(DATE '{day}')" for day in DAYS)
    return store.backend.sql(f"SELECT day, {columns} FROM range({rows}) t(i), (VALUES {days}) d(day)")


def write(root: Path, locked: bool, name: str) -> dict[str, Any]:
    """Write both tables again and again, until a file says that it is enough."""
    store = LakeStore(root, ibis.duckdb.connect())
    number = 0
    while not (root / STOP).exists():
        number += 1
        for contract in (BY_DAY, WHOLE):
            rows = stamped(store, contract, f"{name}-{number}", 1_000 + 7_919 * number % 50_000)
            with store.writing(contract.name) if locked else contextlib.nullcontext():
                store.write(contract, rows, DAYS if contract.partitioned else None)
    return {"writes": number}


def read(root: Path, seconds: float, contract: Contract) -> dict[str, Any]:
    """Read a table again and again, and look whether each partition is of one version and whole.

    As long as it was told to, and until it has seen a few versions, which takes longer on a busy machine.
    """
    store = LakeStore(root, ibis.duckdb.connect())
    began, reads, mixed, versions, errors = time.monotonic(), 0, 0, set(), []
    while (took := time.monotonic() - began) < seconds or (len(versions) < ENOUGH and took < PATIENCE):
        reads += 1
        try:
            table = store.read(contract)
            partitioned = table.group_by(DAY) if contract.partitioned else table
            found = partitioned.agg(
                versions=table.version.nunique(),
                version=table.version.max(),
                rows=table.count(),
                noise=table.noise.sum(),
            )
            partitions = found.to_pyarrow().to_pylist()
        except Exception as error:
            errors.append(str(error)[:200])
            continue
        whole = [row["versions"] == 1 and row["rows"] == int(row["version"].split("/")[1]) for row in partitions]
        mixed += len(partitions) != (len(DAYS) if contract.partitioned else 1) or not all(whole)
        versions |= {row["version"] for row in partitions}
    return {"reads": reads, "mixed": mixed, "versions": len(versions), "errors": errors}


class _Steps:
    """Counts what touches the disk, and ends the process before the step of some number."""

    def __init__(self, last: int | None) -> None:
        self.last = last
        self.seen: list[str] = []

    def watch(self, owner: Any, attribute: str, name: str) -> None:
        step: Callable[..., Any] = getattr(owner, attribute)

        def stepped(*args: Any, **kwargs: Any) -> Any:
            if len(self.seen) == self.last:
                os.kill(os.getpid(), signal.SIGKILL)
            self.seen.append(name)
            return step(*args, **kwargs)

        setattr(owner, attribute, stepped)


def _write_again(root: Path, last: int | None) -> list[str]:
    steps = _Steps(last)
    for owner, attribute in ((os, "replace"), (os, "fsync"), (os, "mkdir"), (os, "link"), (shutil, "rmtree")):
        steps.watch(owner, attribute, attribute)
    steps.watch(DuckDBEngine, "_copy", "copy")
    store = LakeStore(root, ibis.duckdb.connect())
    for contract in (BY_DAY, WHOLE):
        rows = store.read(contract).mutate(version=ibis.literal("new/50"))
        store.write(contract, rows, KILLED_DAYS if contract.partitioned else None)
    return steps.seen


def _old(root: Path) -> None:
    store = LakeStore(root, ibis.duckdb.connect())
    for contract in (BY_DAY, WHOLE):
        store.write(contract, stamped(store, contract, "old", 50), KILLED_DAYS if contract.partitioned else None)


def _in_a_child(what: Callable[[], None]) -> int:
    """How a child of this process ended that did something: DuckDB's threads do not outlive a fork."""
    if os.fork() == 0:
        try:
            what()
        finally:
            os._exit(0)
    return os.wait()[1]


def kill(root: Path) -> dict[str, Any]:
    """One undisturbed write to count its steps, then one process for each that dies before it."""
    old, recorded = root / "old", root / "steps.json"
    _in_a_child(lambda: _old(old))
    shutil.copytree(old, root / "whole")
    _in_a_child(lambda: recorded.write_text(json.dumps(_write_again(root / "whole", None))) and None)
    steps = json.loads(recorded.read_text())
    for number in range(len(steps)):
        folder = root / str(number)
        shutil.copytree(old, folder)
        status = _in_a_child(lambda folder=folder, number=number: _write_again(folder, number) and None)
        assert os.WIFSIGNALED(status), f"step {number} did not kill"
    return {"steps": steps}


if __name__ == "__main__":
    role, root, *rest = sys.argv[1:]
    if role == "write":
        outcome = write(Path(root), bool(int(rest[0])), rest[1])
    elif role == "read":
        outcome = read(Path(root), float(rest[0]), {c.name: c for c in (BY_DAY, WHOLE)}[rest[1]])
    else:
        outcome = kill(Path(root))
    print(json.dumps(outcome))
