"""The UI and its daemon as a user runs them: assets materialise from the UI, a dropped file flows through by itself."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

TRASOS = Path(sys.executable).with_name("trasos")
DATASETS = ("events", "catalogue", "marketing_spend", "assignments")
DAYS = [f"2026-01-{day:02d}" for day in range(5, 10)]
PATIENCE_SECONDS = 240
REPOSITORY = {"repositoryLocationName": "trasos_assets", "repositoryName": "__repository__"}
LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
RUNS = "{ runsOrError { ... on Runs { results { runId status jobName tags { key value } } } } }"

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(data: Path) -> Iterator[str]:
    """`trasos ui` on a free loopback port; yields the address of its GraphQL."""
    port = free_port()
    environment = os.environ | {"TRASOS_DATA_DIR": str(data)}
    log = (data / "ui.log").open("w")
    process = subprocess.Popen(
        [TRASOS, "ui", "--port", str(port)], env=environment, stdout=log, stderr=log, start_new_session=True
    )
    try:
        waited_for(lambda: answers(port), "the UI to answer", data)
        yield f"http://127.0.0.1:{port}/graphql"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        log.close()


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=2) as response:
            return response.status == 200
    except OSError:
        return False


def ask(address: str, query: str, **variables) -> dict:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        answer = json.load(response)
    assert "errors" not in answer, answer["errors"]
    return answer["data"]


def runs(address: str) -> list[dict]:
    return ask(address, RUNS)["runsOrError"]["results"]


def waited_for(condition, what: str, data: Path):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(2)
    raise AssertionError(f"waited {PATIENCE_SECONDS} s for {what}; {(data / 'ui.log').read_text()[-3000:]}")


def days_of(data: Path, table: str) -> set[str]:
    file = data / "lake" / "analytics" / table / "part-0.parquet"
    return {str(row[0]) for row in duckdb.sql(f"SELECT DISTINCT day FROM '{file}'").fetchall()}


def land(source: Path, data: Path, days: list[str]) -> None:
    for dataset in DATASETS:
        for day in days:
            shutil.copytree(source / dataset / f"dt={day}", data / "landing" / dataset / f"dt={day}")


def test_assets_materialise_from_the_ui_and_a_dropped_day_flows_through_to_the_kpis(tmp_path):
    simulated, data = tmp_path / "simulated", tmp_path / "data"
    environment = os.environ | {"TRASOS_DATA_DIR": str(data)}
    arguments = ["--days", str(len(DAYS)), "--visitors", "300", "--seed", "5", "--out", str(simulated)]
    subprocess.run([TRASOS, "simulate", *arguments], env=environment, check=True, capture_output=True)
    land(simulated, data, DAYS[:-1])
    subprocess.run([TRASOS, "run"], env=environment, check=True, capture_output=True)
    assert days_of(data, "daily_kpis") == set(DAYS[:-1])

    with serving(data) as address:
        selector = {**REPOSITORY, "pipelineName": "__ASSET_JOB", "assetSelection": [{"path": ["retention_cohorts"]}]}
        launched = ask(address, LAUNCH, params={"selector": selector, "mode": "default", "runConfigData": "{}"})
        started = launched["launchPipelineExecution"]
        assert started["__typename"] == "LaunchRunSuccess", started
        run_id = started["run"]["runId"]
        by_hand = waited_for(
            lambda: next(
                (r for r in runs(address) if r["runId"] == run_id and r["status"] in ("SUCCESS", "FAILURE")), 0
            ),
            "the materialisation from the UI",
            data,
        )
        assert by_hand["status"] == "SUCCESS"

        land(simulated, data, DAYS[-1:])
        waited_for(lambda: DAYS[-1] in days_of(data, "daily_kpis"), "the new day in daily_kpis", data)

        def settled() -> bool:
            return all(run["status"] in ("SUCCESS", "FAILURE", "CANCELED") for run in runs(address))

        waited_for(settled, "all runs to end", data)
        assert {run["status"] for run in runs(address)} == {"SUCCESS"}
        by_sensor = [tag["value"] for run in runs(address) for tag in run["tags"] if tag["key"] == "trasos/stage"]
        assert by_sensor.count("raw") == 1
        assert by_sensor.count("days") >= 1

    # The ledger has settled every file, and the warehouse shows the new day.
    with duckdb.connect(str(data / "trasos.duckdb"), read_only=True) as connection:
        through = connection.execute("SELECT data_through::VARCHAR FROM engineering.watermark").fetchone()
        assert through == (DAYS[-1],)
        states = connection.execute("SELECT DISTINCT state FROM engineering.landing_ledger").fetchall()
        assert states == [("accepted",)]
