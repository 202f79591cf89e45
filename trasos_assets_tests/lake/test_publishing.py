"""Writers and readers of one table do nothing to each other, and a kill leaves what was before or what is after."""

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import ibis
import pyarrow.parquet as pq
import pytest

from trasos_assets.contracts.model import DAY, INT64, MONEY, TEXT, Column, Contract
from trasos_assets.lake.store import LakeError, LakeStore
from trasos_assets_tests.lake import publishing
from trasos_assets_tests.lake.publishing import BY_DAY, DAYS, KILLED_DAYS, WHOLE, stamped

SECONDS = float(os.environ.get("TRASOS_CONTENTION_SECONDS", "5"))


def _run(*words: object) -> subprocess.Popen:
    command = [sys.executable, "-m", publishing.__name__, *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _said(process: subprocess.Popen) -> dict:
    printed, _ = process.communicate(timeout=SECONDS + 240)
    assert process.returncode == 0
    return json.loads(printed.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("locked", [True, False], ids=["by turns", "at once"])
def test_two_write_and_two_read_and_every_read_sees_one_whole_version_of_every_partition(
    tmp_path: Path, locked: bool
) -> None:
    store = LakeStore(tmp_path, ibis.duckdb.connect())
    for contract in (BY_DAY, WHOLE):
        store.write(contract, stamped(store, contract, "first", 1000), DAYS if contract.partitioned else None)
    writers = [_run("write", tmp_path, int(locked), name) for name in ("ann", "bob")]
    readers = [_run("read", tmp_path, SECONDS, contract.name) for contract in (BY_DAY, WHOLE)]
    read = [_said(process) for process in readers]
    (tmp_path / publishing.STOP).touch()
    written = [_said(process) for process in writers]
    assert all(said["writes"] for said in written)
    for said in read:
        assert said["versions"] >= 2, "nothing changed while it was read, so nothing was tried"
        assert (said["mixed"], said["errors"]) == (0, [])
    if SECONDS > 10:
        print(written, read)


def _versions(root: Path, contract: Contract) -> list[str]:
    """The version of each partition, in order, read without the store; fails if one is mixed or not whole."""
    store = LakeStore(root, ibis.duckdb.connect())
    found = []
    for file in store.files(contract):
        rows = pq.ParquetFile(file).read()
        (version,) = set(rows["version"].to_pylist())
        assert rows.num_rows == int(version.split("/")[1])
        found.append(version.split("/")[0])
    return found


@pytest.mark.slow
def test_a_write_killed_at_any_step_leaves_every_partition_as_before_or_as_after(tmp_path: Path) -> None:
    said = _said(_run("kill", tmp_path))
    assert Counter(said["steps"]).keys() >= {"replace", "fsync", "mkdir", "rmtree", "copy", "link"}
    outcomes = set()
    for number, step in enumerate(said["steps"]):
        root = tmp_path / str(number)
        for contract in (BY_DAY, WHOLE):
            versions = _versions(root, contract)
            assert len(versions) == (len(KILLED_DAYS) if contract.partitioned else 1), step
            assert versions == sorted(versions, key=("new", "old").index), f"published out of order at {step}"
            outcomes.add((contract.name, versions.count("new")))
        store = LakeStore(root, ibis.duckdb.connect())
        for contract in (BY_DAY, WHOLE):
            store.write(contract, stamped(store, contract, "last", 7), KILLED_DAYS if contract.partitioned else None)
            assert set(_versions(root, contract)) == {"last"}
            assert not list(store.folder(contract).glob(".staging*")), f"staging left after {step}"
    # The kills were spread over the whole write: before, between and after the partitions.
    assert {(BY_DAY.name, count) for count in range(len(KILLED_DAYS) + 1)} | {
        (WHOLE.name, 0),
        (WHOLE.name, 1),
    } == outcomes


def test_a_read_keeps_the_version_it_began_with(tmp_path: Path) -> None:
    store = LakeStore(tmp_path, ibis.duckdb.connect())
    store.write(WHOLE, stamped(store, WHOLE, "old", 10))
    before = store.read(WHOLE)
    store.write(WHOLE, stamped(store, WHOLE, "new", 20))
    assert before.version.nunique().to_pyarrow().as_py() == 1
    assert (before.count().to_pyarrow().as_py(), store.read(WHOLE).count().to_pyarrow().as_py()) == (10, 20)


def test_what_a_read_pinned_is_removed_with_it(tmp_path: Path) -> None:
    store = LakeStore(tmp_path, ibis.duckdb.connect())
    store.write(BY_DAY, stamped(store, BY_DAY, "old", 10), DAYS)
    derived = store.read(BY_DAY).filter(ibis._.visit_id > 3).group_by("day").agg(n=ibis._.count())
    assert len(list((tmp_path / ".reading").rglob("*.parquet"))) == len(DAYS)
    assert set(derived.to_pyarrow()["n"].to_pylist()) == {6}
    del derived
    assert not list((tmp_path / ".reading").rglob("*.parquet"))


def test_a_lake_that_may_only_be_read_is_read_without_pins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LakeStore(tmp_path, ibis.duckdb.connect())
    store.write(BY_DAY, stamped(store, BY_DAY, "old", 10), DAYS)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("read-only file system")

    monkeypatch.setattr(os, "link", refuse)
    assert store.read(BY_DAY).count().to_pyarrow().as_py() == 10 * len(DAYS)
    assert not list((tmp_path / ".reading").rglob("*.parquet"))


def _with(contract: Contract, *columns: Column, drop: str = "", version: int = 1) -> Contract:
    names = {column.name for column in columns}
    kept = [column for column in contract.columns if column.name not in names | {drop}]
    return replace(contract, columns=(*kept, *columns), version=version)


@pytest.mark.parametrize("contract", [BY_DAY, WHOLE], ids=lambda contract: contract.name)
def test_a_column_that_may_be_null_can_be_added_and_older_partitions_read_as_null(
    tmp_path: Path, contract: Contract
) -> None:
    store = LakeStore(tmp_path, ibis.duckdb.connect())
    store.write(contract, stamped(store, contract, "old", 3), DAYS if contract.partitioned else None)
    wider = _with(contract, Column("note", TEXT, "New.", nullable=True))
    assert store.read(wider).note.notnull().sum().to_pyarrow().as_py() == 0
    rows = stamped(store, contract, "new", 3).mutate(note=ibis.literal("noted"))
    store.write(wider, rows, DAYS[:1] if contract.partitioned else None)
    assert store.read(wider).note.notnull().sum().to_pyarrow().as_py() == 3


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (_with(BY_DAY, drop="noise"), "drops noise"),
        (_with(BY_DAY, Column("visit_id", TEXT, "V.")), f"retypes visit_id from {INT64} to {TEXT}"),
        (_with(BY_DAY, Column("price", MONEY, "P.")), "adds price, which may not be null"),
        (_with(BY_DAY, Column("sound", INT64, "Renamed."), drop="noise"), "drops noise; adds sound"),
    ],
    ids=["drop", "retype", "required", "rename"],
)
def test_what_would_break_readers_is_refused_until_the_contract_has_a_new_version(
    tmp_path: Path, changed: Contract, says: str
) -> None:
    store = LakeStore(tmp_path, ibis.duckdb.connect())
    store.write(BY_DAY, stamped(store, BY_DAY, "old", 3), DAYS)
    with pytest.raises(LakeError) as refused:
        store.begin(changed, DAYS)
    assert f"contract {BY_DAY.name} v1" in str(refused.value)
    assert says in str(refused.value)
    assert "raise the contract's version to 2" in str(refused.value)
    assert not list(store.folder(BY_DAY).glob(".staging*"))
    store.discard(store.begin(replace(changed, version=2), DAYS))


def test_after_a_new_version_the_old_one_is_refused(tmp_path: Path) -> None:
    store = LakeStore(tmp_path, ibis.duckdb.connect())
    newer = _with(WHOLE, drop="noise", version=2)
    store.write(newer, stamped(store, WHOLE, "new", 3).drop("noise"))
    with pytest.raises(LakeError, match="published with v2, by newer code"):
        store.begin(WHOLE)


def test_partitions_of_an_older_type_read_as_the_contract_says(tmp_path: Path) -> None:
    store = LakeStore(tmp_path, ibis.duckdb.connect())
    store.write(BY_DAY, stamped(store, BY_DAY, "old", 3), DAYS)
    retyped = _with(BY_DAY, Column("visit_id", TEXT, "Now text."), version=2)
    rows = stamped(store, BY_DAY, "new", 3).mutate(visit_id=ibis._.visit_id.cast("string"))
    store.write(retyped, rows, DAYS[:1])
    read = store.read(retyped)
    assert read.visit_id.type().is_string()
    assert sorted(read.filter(read[DAY] == DAYS[1]).visit_id.to_pyarrow().to_pylist()) == ["0", "1", "2"]


def test_a_garbled_record_of_a_contract_stops_nothing(tmp_path: Path) -> None:
    store = LakeStore(tmp_path, ibis.duckdb.connect())
    store.write(WHOLE, stamped(store, WHOLE, "old", 3))
    record = store.folder(WHOLE) / "_contract.json"
    whole = record.read_bytes()
    record.write_bytes(whole[:10])
    store.write(WHOLE, stamped(store, WHOLE, "new", 4))
    assert record.read_bytes() == whole
