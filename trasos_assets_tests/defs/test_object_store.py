"""The whole line with its data in an S3-compatible store on loopback: byte for byte as with a folder."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.model import DAY
from trasos_assets.lake.query import run_query
from trasos_assets.lake.warehouse import at_hand
from trasos_assets.publishing.files import current, verify
from trasos_assets.reports.model_card import FOLDER as PAGES_OF_MODELS
from trasos_assets.settings import Settings
from trasos_assets_tests.defs.hashing import LEFT_OUT, is_compared, published_hashes
from trasos_assets_tests.defs.killing import AFTER
from trasos_assets_tests.defs.test_reliability import DAYS, RUN, Hashes, Runner, land, states_of_runs
from trasos_assets_tests.s3_server import SECRET, Request, S3Server, s3_server

BUCKET = "trasos"
PREFIX = "shops/one two"
URL = f"s3://{BUCKET}/{PREFIX}"
SIMULATE = ["simulate", "--days", str(len(DAYS)), "--visitors", "60", "--seed", "7"]

pytestmark = pytest.mark.slow


class StoreRunner(Runner):
    """Carries out commands on a data folder, or with data in the store and only the rest in that folder."""

    server: S3Server

    def on_store(self, local: Path, arguments: list[str], kill: dict[str, Any] | None = None) -> str:
        """One command with its data in the store; returns what it printed. Who is not killed must succeed."""
        assert self.process.stdin is not None
        local.mkdir(exist_ok=True)
        log = local / "printed.log"
        before = log.stat().st_size if log.exists() else 0
        environment = self.server.environment | {"TRASOS_DATA_DIR": URL, "TRASOS_LOCAL_DIR": str(local)}
        job = {"data": str(local), "arguments": arguments, "kill": kill, "environment": environment}
        self.process.stdin.write(json.dumps([job]) + "\n")
        self.process.stdin.flush()
        (result,) = self._answer()
        said = log.read_bytes()[before:].decode()
        assert result["killed"] == (kill is not None), said[-4000:]
        assert kill is not None or result["code"] == 0, said[-4000:]
        return said


@dataclass
class Stored:
    """What the tests share: a folder's line, the store, and what has been done with it so far."""

    runner: StoreRunner
    server: S3Server
    files: Any
    base: Path
    folder: Path
    before: Hashes
    after: Hashes
    log: dict[str, list[Request]] = field(default_factory=dict)

    def hashes(self) -> Hashes:
        """As ``published_hashes`` of a folder."""
        root = f"{BUCKET}/{PREFIX}/lake/"
        below = {name[len(root) :]: name for name in self.files.find(root)}
        return {
            file: hashlib.sha256(self.files.cat_file(name)).hexdigest()
            for file, name in below.items()
            if is_compared(file)
        }

    @property
    def left_out(self) -> set[str]:
        """Files of tables with a history or a clock, by their path below the folder's lake."""
        lake = self.folder / "lake"
        files = {file.relative_to(lake).as_posix() for file in lake.rglob("part-0.parquet")}
        return {file for file in files if LEFT_OUT & set(file.split("/"))}

    def names(self, place: str) -> list[str]:
        """Paths of the objects below a place of the data."""
        root = f"{BUCKET}/{PREFIX}/"
        return sorted(name.removeprefix(root) for name in self.files.find(f"{root}{place}"))

    def version_of_candidate(self) -> str:
        """The version of the model that asked to serve in the folder's line."""
        sql = "SELECT model_version AS v FROM science.candidate"
        return json.loads(run_query(self.folder / "trasos.duckdb", sql, "json", lake=self.folder / "lake"))[0]["v"]

    def land(self, days: list[str]) -> None:
        """Copy days of what was simulated into the landing place."""
        root = f"{BUCKET}/simulated/"
        for name in self.files.find(root):
            if any(f"/dt={day}/" in name for day in days):
                self.files.copy(name, f"{BUCKET}/{PREFIX}/landing/{name[len(root) :]}")

    def settings(self, local: Path) -> Settings:
        """Of the store, for this process."""
        return Settings(data_dir=URL, local_dir=local)  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    base = tmp_path_factory.mktemp("store")
    with s3_server(base) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        files = server.files(BUCKET)
        folder, simulated = base / "folder", base / "simulated"
        folder.mkdir()
        runner = StoreRunner(folder)
        runner.server = server
        runner.run((folder, [*SIMULATE, "--out", str(simulated)], None))
        land(simulated, folder, DAYS[:-1])
        runner.on_store(base / "local", [*SIMULATE, "--out", f"s3://{BUCKET}/simulated"])
        there = {
            name.removeprefix(f"{BUCKET}/simulated/"): files.cat_file(name)
            for name in files.find(f"{BUCKET}/simulated")
        }
        here = {p.relative_to(simulated).as_posix(): p.read_bytes() for p in simulated.rglob("*") if p.is_file()}
        assert there == here
        runner.run((folder, RUN, None))
        before = published_hashes(folder)
        land(simulated, folder, DAYS[-1:])
        shutil.copytree(folder, base / "later")
        runner.run((base / "later", RUN, None))
        result = Stored(runner, server, files, base, folder, before, published_hashes(base / "later"))
        result.land(DAYS[:-1])
        seen = server.seen()
        runner.on_store(base / "local", RUN)
        result.log["first"] = server.requests(seen)
        yield result
        runner.close()


def test_every_table_is_that_of_a_folder_byte_for_byte(stored: Stored) -> None:
    assert len(stored.before) > 40
    assert stored.hashes() == stored.before


def test_a_partition_is_published_by_one_put_and_nothing_else_becomes_visible(stored: Stored) -> None:
    requests = stored.log["first"]
    assert not [r for r in requests if "uploads" in r.query or "uploadId" in r.query], "parts were uploaded"
    assert not [r for r in requests if r.method == "PUT" and r.status != 200]
    root = f"{BUCKET}/{PREFIX}/"
    puts = Counter(r.path.removeprefix(root) for r in requests if r.method == "PUT")
    once = {f"lake/{file}" for file in stored.before}
    assert {path: puts[path] for path in once} == dict.fromkeys(once, 1)
    beside = {path for path in set(puts) - once if not path.endswith("/_contract.json")}
    ledger = "lake/engineering/landing_ledger/part-0.parquet"
    assert {path: puts[path] for path in beside - {ledger}} == dict.fromkeys(beside - {ledger}, 1)
    known = {"lake/_format.json", "trasos.duckdb", *(f"lake/{file}" for file in stored.left_out)}
    known |= {path for of in ("reports", "published") for path in stored.names(of)}
    assert beside == known
    assert {path for path in beside if path.startswith("reports/")} >= {
        "reports/dashboard/index.html",
        "reports/leaderboard.html",
        "reports/monitoring.html",
        f"reports/{PAGES_OF_MODELS}/{stored.version_of_candidate()}.html",
    }
    order = [r.path.removeprefix(root) for r in requests if r.method == "PUT"]
    for page in ("reports/dashboard/index.html", "reports/leaderboard.html"):
        assert order.index(f"{page.rpartition('/')[0]}/plotly.min.js") < order.index(page)
    assert not [path for path in puts if "staging" in path or "/." in path]
    assert not [r for r in requests if r.method == "DELETE"]


def test_the_published_lists_are_those_of_a_folder_and_their_pointer_is_put_last(stored: Stored) -> None:
    settings = stored.settings(stored.base / "local")
    there, here = current(settings.published_dir), current(stored.folder / "published")
    assert there is not None and here is not None
    assert (there.version, there.manifest, verify(there)) == (here.version, here.manifest, [])
    files = {file.name: file.read_bytes() for file in here.folder.iterdir()}
    version = f"published/versions/{here.version}"
    assert {name: (there.folder / name).read_bytes() for name in files} == files
    lists = (stored.folder / "lake" / "science" / "recommendations" / "part-0.parquet").read_bytes()
    assert files["recommendations.parquet"] == lists
    root = f"{BUCKET}/{PREFIX}/"
    puts = [r.path.removeprefix(root) for r in stored.log["first"] if r.method == "PUT"]
    puts = [path for path in puts if path.startswith("published/")]
    assert len(puts) == len(files) + 1
    assert puts[-2:] == [f"{version}/manifest.json", "published/current.json"]
    seen = stored.server.seen()
    said = stored.runner.on_store(stored.base / "local", ["publish"])
    assert f"stands already: version {here.version}" in said
    assert not [r for r in stored.server.requests(seen) if r.method in ("PUT", "POST", "DELETE")]


def test_the_store_is_asked_little_more_than_once_for_a_file(stored: Stored) -> None:
    requests = stored.log["first"]
    files = len(stored.before)
    got = Counter(r.path for r in requests if r.method == "GET" and r.path.endswith("part-0.parquet"))
    of_tables = {path: count for path, count in got.items() if "landing_ledger" not in path}
    # A file is fetched whole when it is first read; whatever reads it then, reads it from memory.
    assert sum(of_tables.values()) <= 1.5 * files, of_tables
    asked = Counter("list" if "list-type" in r.query else r.method for r in requests)
    # Reading by DuckDB's own ways over fsspec would take some 200 calls a file.
    assert asked["HEAD"] < 8 * files
    assert asked["list"] < 20 * len(CONTRACTS)


def test_the_warehouse_serves_every_table_to_this_machine_and_to_another(stored: Stored) -> None:
    settings = stored.settings(stored.base / "local")
    other = stored.settings(stored.base / "other machine")
    folder = Settings(data_dir=stored.folder)
    assert not other.warehouse_path.exists()
    for contract in CONTRACTS.values():
        if contract.volatile:
            continue
        sql = f"SELECT count(*) AS n, sum(hash(t)::HUGEINT)::VARCHAR AS h FROM {contract.owner}.{contract.name} AS t"
        expected = run_query(folder.warehouse_path, sql, "json", lake=folder.lake_dir)
        assert run_query(at_hand(settings), sql, "json", lake=settings.lake_dir) == expected, contract.name
        if contract.name in ("daily_kpis", "clean_events"):
            assert run_query(at_hand(other), sql, "json", lake=other.lake_dir) == expected
    assert other.warehouse_path.read_bytes() == settings.warehouse_path.read_bytes()


def test_a_query_prints_the_rows_and_reads_nothing_beyond_the_lake(stored: Stored) -> None:
    sql = "SELECT count(*) AS days FROM analytics.daily_kpis"
    said = stored.runner.on_store(stored.base / "local", ["query", sql, "--format", "csv"])
    assert said.strip().endswith(f"days\n{len(DAYS) - 1}")
    settings = stored.settings(stored.base / "local")
    for forbidden in (
        f"SELECT * FROM read_text('{URL}/reports/dashboard/index.html')",
        "SELECT * FROM read_text('/etc/hostname')",
    ):
        with pytest.raises(Exception, match=r"(?i)permission|cannot access|disabled"):
            run_query(at_hand(settings), forbidden, lake=settings.lake_dir)


def test_the_dashboard_is_that_of_a_folder_and_its_place_is_printed(stored: Stored) -> None:
    page = stored.files.cat_file(f"{BUCKET}/{PREFIX}/reports/dashboard/index.html")
    assert page == (stored.folder / "reports" / "dashboard" / "index.html").read_bytes()
    said = stored.runner.on_store(stored.base / "local", ["dashboard", "--path"])
    assert said.strip().endswith(f"{URL}/reports/dashboard/index.html")


def test_a_run_killed_in_mid_publish_leaves_every_table_readable_and_the_next_one_repairs(stored: Stored) -> None:
    local = stored.base / "local"
    stored.land(DAYS[-1:])
    seen = stored.server.seen()
    stored.runner.on_store(local, RUN, {"at": "ObjectStorage.publish", "call": 9, "when": AFTER})
    found, known = stored.hashes(), (stored.before, stored.after)
    assert found not in known, "the kill came before or after all was done"
    assert set(stored.before) <= set(found)
    assert not [file for file, digest in found.items() if digest not in [version.get(file) for version in known]]
    settings = stored.settings(local)
    for contract in CONTRACTS.values():
        run_query(at_hand(settings), f"FROM {contract.owner}.{contract.name}", "csv", lake=settings.lake_dir)
    before, after = current(stored.folder / "published"), current(stored.base / "later" / "published")
    assert before is not None and after is not None and before.version != after.version
    stored.runner.on_store(local, RUN, {"at": "published.put_in_place", "call": 6, "when": AFTER})
    standing = current(settings.published_dir)
    assert standing is not None and (standing.version, verify(standing)) == (before.version, [])
    assert len(stored.names(f"published/versions/{after.version}")) == 6
    stored.runner.on_store(local, RUN)
    standing = current(settings.published_dir)
    assert standing is not None and (standing.version, verify(standing)) == (after.version, [])
    assert stored.hashes() == stored.after
    assert "FAILURE" in states_of_runs(local)
    assert not list((local / "lake").rglob("part-0.parquet")), "staged files were left"
    assert not [r for r in stored.server.requests(seen) if r.method == "DELETE" or "uploads" in r.query]
    seen = stored.server.seen()
    stored.runner.on_store(local, RUN)
    assert not [r.path for r in stored.server.requests(seen) if r.method in ("PUT", "POST", "DELETE")], (
        "an idle run wrote"
    )


def test_no_secret_is_written_down(stored: Stored) -> None:
    stored.runner.on_store(stored.base / "local", ["health"])
    written = [path for path in (stored.base / "local").rglob("*") if path.is_file()]
    assert len(written) > 5
    assert not [path for path in written if SECRET.encode() in path.read_bytes()]
    assert not [name for name in stored.files.find(BUCKET) if SECRET.encode() in stored.files.cat_file(name)]
    assert SECRET not in repr(stored.settings(stored.base))


def test_days_are_partitions_of_the_store_as_of_a_folder(stored: Stored) -> None:
    found = {file for file in stored.hashes() if f"/{DAY}=" in file}
    assert {file.split(f"{DAY}=")[1].split("/")[0] for file in found} == set(DAYS)
