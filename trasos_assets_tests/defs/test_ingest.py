"""The whole line through the command, as a user runs it: real `trasos` processes on folders of their own."""

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from trasos_assets.contracts import CONTRACTS
from trasos_assets_tests.defs.hashing import published_hashes

TRASOS = Path(sys.executable).with_name("trasos")
DATASETS = ("events", "catalogue", "marketing_spend", "assignments")
DAYS = [f"2026-01-{day:02d}" for day in range(5, 13)]

pytestmark = pytest.mark.slow


def trasos(data: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"TRASOS_DATA_DIR": str(data), "COLUMNS": "200", "TRASOS_THREADS": "2"}
    done = subprocess.run([TRASOS, *arguments], env=environment, capture_output=True, text=True, check=False)
    if check:
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def query(data: Path, sql: str) -> list[dict]:
    return json.loads(trasos(data, "query", sql, "--format", "json").stdout)


def land(source: Path, data: Path, days: list[str]) -> None:
    for dataset in DATASETS:
        for day in days:
            folder = source / dataset / f"dt={day}"
            if folder.exists():
                shutil.copytree(folder, data / "landing" / dataset / f"dt={day}", dirs_exist_ok=True)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("simulated")
    trasos(out, "simulate", "--days", "8", "--visitors", "400", "--seed", "3", "--out", str(out), "--dirt", "light")
    return out


@pytest.fixture(scope="module")
def whole(simulated, tmp_path_factory) -> Path:
    """A lake of all eight days in one ingest."""
    data = tmp_path_factory.mktemp("whole")
    land(simulated, data, DAYS)
    trasos(data, "run")
    return data


def test_run_leaves_dashboard_warehouse_and_every_table(whole):
    assert (whole / "reports" / "dashboard" / "index.html").exists()
    assert (whole / "dagster_home").is_dir()
    with duckdb.connect(str(whole / "trasos.duckdb"), read_only=True) as connection:
        views = connection.execute("SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal").fetchall()
        views = [view for view in views if view != ("main", "about")]
        assert len(views) == len(CONTRACTS)
        for schema, view in views:
            connection.execute(f'SELECT * FROM "{schema}"."{view}"').fetchall()


def test_every_line_that_landed_is_accounted_for(whole, simulated):
    truth = json.loads((simulated / "truth.json").read_text())
    states = query(whole, "SELECT state, count(*)::INT AS n FROM engineering.event_states GROUP BY 1")
    counted = {row["state"]: row["n"] for row in states}
    assert sum(counted.values()) == truth["lines"]["events"]
    assert query(whole, "SELECT count(*)::INT n FROM engineering.clean_events") == [{"n": counted["accepted"]}]
    assert query(whole, "SELECT count(*)::INT n FROM engineering.quarantined_events") == [{"n": counted["quarantined"]}]


def test_a_second_run_finds_nothing_to_do_and_changes_no_byte(whole):
    before = published_hashes(whole)
    done = trasos(whole, "run")
    assert "nothing new has landed and every table is up to date" in done.stderr
    assert published_hashes(whole) == before


def test_building_every_day_again_writes_the_same_bytes(whole):
    before = published_hashes(whole)
    done = trasos(whole, "run", "--from", DAYS[0], "--to", DAYS[-1])
    assert "ingest_days" in done.stderr
    assert published_hashes(whole) == before


def test_a_lake_made_a_day_at_a_time_has_the_same_bytes(whole, simulated, tmp_path, monkeypatch):
    land(simulated, tmp_path, DAYS)
    monkeypatch.setenv("TRASOS_PORTION_ROWS", "1")
    trasos(tmp_path, "run")
    assert published_hashes(tmp_path) == published_hashes(whole)


def test_days_that_land_one_after_the_other_give_the_same_lake_and_touch_only_what_depends_on_them(
    whole, simulated, tmp_path
):
    land(simulated, tmp_path, DAYS[:6])
    trasos(tmp_path, "run")
    before = {file: (tmp_path / "lake" / file).stat().st_mtime_ns for file in published_hashes(tmp_path)}
    land(simulated, tmp_path, DAYS[6:7])
    trasos(tmp_path, "run")
    touched = {
        file.split("day=")[1][:10]
        for file, time in before.items()
        if "day=" in file and (tmp_path / "lake" / file).stat().st_mtime_ns != time
    }
    # The new day holds late events of up to three days before; the days before those stay as they are.
    assert touched <= {"2026-01-08", "2026-01-09", "2026-01-10"}
    untouched = tmp_path / "lake" / "engineering" / "clean_events" / "day=2026-01-05" / "part-0.parquet"
    assert untouched.stat().st_mtime_ns == before["engineering/clean_events/day=2026-01-05/part-0.parquet"]
    land(simulated, tmp_path, DAYS[7:])
    trasos(tmp_path, "run")
    assert published_hashes(tmp_path) == published_hashes(whole)


def test_bad_input_is_named_with_its_fix_and_the_rest_is_processed(simulated, tmp_path):
    land(simulated, tmp_path, DAYS[:3])
    events = tmp_path / "landing" / "events" / f"dt={DAYS[1]}"
    good = gzip.decompress((events / "events.jsonl.gz").read_bytes())
    (events / "half.jsonl.gz").write_bytes(gzip.compress(good)[: len(good) // 40])
    (events / "notes.docx").write_bytes(b"not events")
    (events / "odd.jsonl").write_text(
        '{"event_id": "odd-1", "event_type": "teleport", "occurred_at": '
        f'"{DAYS[1]}T10:00:00Z", "received_at": "{DAYS[1]}T10:00:01Z", "visitor_id": "v"}}\nno json\n'
    )
    stray = tmp_path / "landing" / "event" / f"dt={DAYS[1]}"
    stray.mkdir(parents=True)
    (stray / "x.jsonl").write_text("{}\n")
    done = trasos(tmp_path, "run")
    for said in (
        "half.jsonl.gz",
        "deliver the file again",
        "notes.docx",
        "unknown file type",
        "unknown data set 'event'",
    ):
        assert said in done.stderr, said
    reasons = query(tmp_path, "SELECT reasons, event_id FROM engineering.quarantined_events WHERE event_id = 'odd-1'")
    assert reasons == [{"reasons": "unknown_event_type", "event_id": "odd-1"}]
    lines = len(good.splitlines())
    kept = query(tmp_path, f"SELECT count(*)::INT n FROM engineering.raw_events WHERE day = '{DAYS[1]}'")
    assert kept == [{"n": lines + 2}]
    (events / "half.jsonl.gz").write_bytes(gzip.compress(good))
    trasos(tmp_path, "run")
    states = query(
        tmp_path,
        f"SELECT state, count(*)::INT n FROM engineering.event_states WHERE day = '{DAYS[1]}' GROUP BY 1 ORDER BY 1",
    )
    counted = {row["state"]: row["n"] for row in states}
    assert counted["duplicate"] >= lines - counted["quarantined"]
    assert sum(counted.values()) == 2 * lines + 2


def test_a_missing_landing_folder_is_an_error_that_says_how_to_fill_it(tmp_path):
    done = trasos(tmp_path, "run", check=False)
    assert done.returncode == 1
    assert "trasos simulate" in done.stderr
    assert "trasos import" in done.stderr


def test_an_empty_landing_folder_is_no_error(tmp_path):
    (tmp_path / "landing").mkdir()
    assert "nothing new has landed" in trasos(tmp_path, "run").stderr


def test_a_setting_that_cannot_be_is_named(tmp_path):
    environment = os.environ | {"TRASOS_DATA_DIR": str(tmp_path), "TRASOS_TIMEZONE": "Mars/Olympus"}
    done = subprocess.run([TRASOS, "run"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "TRASOS_TIMEZONE" in done.stderr
    assert "Europe/London" in done.stderr


def test_a_lost_raw_day_comes_again_from_landing_or_fails_with_its_files_named(whole, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(whole, data)
    before = published_hashes(data)
    shutil.rmtree(data / "lake" / "engineering" / "raw_events" / f"day={DAYS[2]}")
    trasos(data, "run")
    assert published_hashes(data) == before
    shutil.rmtree(data / "lake" / "engineering" / "raw_events" / f"day={DAYS[2]}")
    shutil.rmtree(data / "landing" / "events" / f"dt={DAYS[2]}")
    assert trasos(data, "run", check=False).returncode == 1
    assert "every_line_is_stored" in trasos(data, "health", check=False).stdout


TAMPERED_RUN = """
from trasos_assets.definitions import assembled
from trasos_assets.defs.operations.ingest import IngestOutcome, execute
from trasos_assets.defs.operations.instance import open_instance
from trasos_assets.defs.operations.plan import PlannedRun
from trasos_assets.landing.ledger import Stock
from trasos_assets.settings import get_settings

outcome = IngestOutcome(Stock((), (), 0))
tables = PlannedRun("refresh_tables", ("orders", "daily_kpis"), "test")
execute(assembled(), open_instance(get_settings()), tables, outcome)
print(outcome.success, [check.check_name for check in outcome.checks if not check.passed])
"""


def test_a_broken_contract_publishes_nothing_fails_the_run_and_stops_what_follows(whole, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(whole, data)
    lines = data / "lake" / "analytics" / "order_lines" / f"day={DAYS[-1]}" / "part-0.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE t AS SELECT * EXCLUDE (day) FROM '{lines}'")
        connection.execute("UPDATE t SET order_id = NULL")
        connection.execute(f"COPY t TO '{lines}' (FORMAT parquet)")
    before = published_hashes(data)
    environment = os.environ | {"TRASOS_DATA_DIR": str(data)}
    command = [sys.executable, "-W", "ignore", "-c", TAMPERED_RUN]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "False ['keeps_contract']", done.stdout + done.stderr[-3000:]
    assert published_hashes(data) == before
    health = trasos(data, "health", check=False)
    assert health.returncode == 1
    assert "order_id" in health.stdout
