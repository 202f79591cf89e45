"""Hostile and disordered landings through the real ingest: it succeeds, says the same as its parts, harms nothing."""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from trasos_assets_tests.defs.hashing import published_hashes
from trasos_assets_tests.defs.test_reliability import RUN, Runner, states_of_runs
from trasos_assets_tests.landing.any_order import (
    BOT_EVENTS,
    DAYS,
    DEDUP_DAYS,
    FIRST,
    LATE_DAYS,
    LINES,
    LONG_AGO,
    folder_of,
)
from trasos_assets_tests.landing.corpus import DAY, FIRST_DAY, MAX_FILE_BYTES, TIMEZONE, land
from trasos_assets_tests.landing.test_adversarial import CASES, FILE_CASES, Judged, Place, corpus_settings, judge
from trasos_assets_tests.landing.test_any_order import OF_THE_EVENTS

pytestmark = pytest.mark.slow

UNESCAPED = re.compile(r"<script>alert|<img src=x|<svg onload|</script><script", re.IGNORECASE)


@dataclass(frozen=True)
class Ingested:
    """What `trasos run` made of the corpus, and what the pure functions made of it."""

    base: Path
    data: Path
    judged: Judged
    seconds: float

    @property
    def printed(self) -> str:
        return (self.data / "printed.log").read_text(errors="replace")

    def rows(self, table: str) -> list[dict]:
        with duckdb.connect(str(self.data / "trasos.duckdb"), read_only=True) as connection:
            return connection.execute(f"SELECT * FROM {table}").to_arrow_table().to_pylist()


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ingested]:
    base = tmp_path_factory.mktemp("adversarial_ingest")
    data, alone = base / "data", corpus_settings(base / "alone")
    # A lake that reaches from one change of the clocks to the next would spend minutes on its empty days.
    cases = [case for case in CASES if case.day == DAY]
    planted = land(data / "landing", cases, FILE_CASES)
    land(alone.landing_dir, cases, FILE_CASES)
    runner = Runner(
        data,
        TRASOS_START_DATE=FIRST_DAY,
        TRASOS_TIMEZONE=TIMEZONE,
        TRASOS_MAX_FILE_BYTES=str(MAX_FILE_BYTES),
    )
    (done,) = runner.run((data, RUN, None))
    runner.close()
    yield Ingested(base, data, judge(alone, planted), done["seconds"])


def test_every_run_succeeds_and_every_product_is_written(ingested: Ingested) -> None:
    assert set(states_of_runs(ingested.data)) == {"SUCCESS"}
    assert (ingested.data / "reports" / "dashboard" / "index.html").stat().st_size > 10_000
    assert (ingested.data / "trasos.duckdb").exists()


def test_every_line_ends_in_the_lake_as_the_functions_judge_it(ingested: Ingested) -> None:
    path_of = {row["delivery"]: row["path"] for row in ingested.rows("engineering.landing_ledger")}

    def placed(table: str) -> dict[Place, dict]:
        return {(path_of[row["file_hash"]], row["line"]): row for row in ingested.rows(f"engineering.{table}")}

    states = {place: (row["state"], row["reasons"]) for place, row in placed("event_states").items()}
    expected = {place: state for place, state in ingested.judged.states.items() if place[0].startswith("events/")}
    assert states == expected
    refused = placed("quarantined_events") | placed("quarantined_records")
    assert {place: row["reasons"] for place, row in refused.items()} == {
        place: row["reasons"] for place, row in ingested.judged.refused.items()
    }
    accepted = sum(state == "accepted" for state, _ in expected.values())
    assert len(ingested.rows("engineering.clean_events")) == accepted
    raw = [
        place
        for dataset in ("events", "catalogue", "marketing_spend", "assignments")
        for place in placed(f"raw_{dataset}")
    ]
    assert sorted(raw) == sorted(ingested.judged.raw)


def test_files_in_trouble_are_named_with_their_remedy_and_the_others_are_settled(ingested: Ingested) -> None:
    ledger = {row["path"]: row for row in ingested.rows("engineering.landing_ledger")}
    for path, row in ingested.judged.ledger.items():
        assert ledger[path]["state"] == ("accepted" if row["state"] == "pending" else row["state"]), path
        assert ledger[path]["reason"] == row["reason"]


def test_hostile_names_are_shown_and_not_obeyed(ingested: Ingested) -> None:
    pages = list((ingested.data / "reports").rglob("*.html"))
    assert pages
    for page in pages:
        found = UNESCAPED.search(page.read_text())
        assert found is None, (page, found)
    whole = "".join(page.read_text() for page in pages)
    assert re.search(r"(&lt;|\\u003c)script(&gt;|\\u003e)alert\(1\)", whole), "no hostile name came as far as a page"


def test_nothing_is_written_outside_the_data_folder_nor_where_a_name_points(ingested: Ingested) -> None:
    assert {path.name for path in ingested.base.iterdir()} == {"data", "alone"}
    beside = {path.name for path in ingested.data.iterdir()}
    made = {"landing", "lake", "reports", "published", "trasos.duckdb", "dagster_home"}
    assert beside <= made | {"printed.log", "calls.json"}
    assert not Path("/tmp/owned").exists()
    parts = re.compile(r"(engineering|science|analytics)/[a-z_]+(/day=\d{4}-\d{2}-\d{2})?/part-0\.parquet")
    lake = ingested.data / "lake"
    files = [str(path.relative_to(lake)) for path in lake.rglob("*.parquet")]
    assert len(files) > 90
    assert not [file for file in files if not parts.fullmatch(file)]


def test_the_command_says_what_it_did_without_any_text_that_a_terminal_would_obey(ingested: Ingested) -> None:
    assert "Traceback" not in ingested.printed
    assert "markup of the terminal.jsonl" in ingested.printed
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e]", ingested.printed)


def test_the_same_lines_in_other_files_order_and_batches_make_the_same_lake(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    base = tmp_path_factory.mktemp("any_order")
    whole, split = base / "whole", base / "split"
    days = range(DAYS)
    for day in days:
        _land(whole, f"{folder_of(day)}/all.jsonl", [text for of, text in LINES if of == day])
    runner = Runner(
        whole,
        TRASOS_START_DATE=str(FIRST),
        TRASOS_LATE_DAYS=str(LATE_DAYS),
        TRASOS_DEDUP_DAYS=str(DEDUP_DAYS),
        TRASOS_BOT_EVENTS_PER_DAY=str(BOT_EVENTS),
    )
    runner.run((whole, RUN, None))
    # Backwards in time, every other line first and backwards; then files again as copies, others extended.
    batches: list[list[tuple[int, str, int, int]]] = [
        [(day, "b.jsonl.gz", 1, 2) for day in reversed(days) if day % 2],
        [(day, "a.jsonl", 0, 2) for day in reversed(days)],
        [
            *((day, "b.jsonl.gz", 1, 2) for day in days if not day % 2),
            *((day, "copy.jsonl", 0, 2) for day in days),
            *((day, "a.jsonl", 0, 1) for day in days if day % 3),
        ],
    ]
    for batch in batches:
        for day, name, start, step in batch:
            lines = [text for of, text in reversed(LINES) if of == day]
            _land(split, f"{folder_of(day)}/{name}", lines[start::step])
        runner.run((split, RUN, None))
    runner.close()
    of_files = {"raw_events", "event_keys", "event_states", "quarantined_events"}
    found, expected = (
        {file: digest for file, digest in published_hashes(data).items() if file.split("/")[1] not in of_files}
        for data in (split, whole)
    )
    assert {contract.name for contract in OF_THE_EVENTS} <= {file.split("/")[1] for file in expected}
    assert found == expected


def _land(data: Path, path: str, lines: list[bytes]) -> None:
    file = data / "landing" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    content = b"\n".join(lines) + b"\n"
    file.write_bytes(gzip.compress(content, mtime=0) if path.endswith(".gz") else content)
    os.utime(file, (LONG_AGO, LONG_AGO))
