"""People leave a whole lake: nothing of them is left, all other rows and all KPIs stay, and nobody comes back."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.landing import ASSIGNMENT, EVENT
from trasos_assets.landing.simulator import Dirt, SimulationConfig, simulate
from trasos_assets_tests.defs.hashing import published_hashes
from trasos_assets_tests.defs.test_reliability import Runner
from trasos_assets_tests.defs.test_replay import assert_books_balance, printed, query
from trasos_assets_tests.landing.formats import write

KEY = "a secret that only these tests know"
DIRT = Dirt(duplicates=0.02, late=0.05, too_late=0.01, malformed=0.01, bots=1, conflicting=0.01, testers=1)
RUN = ["run"]
KPIS = (
    "daily_kpis",
    "conversion_funnel",
    "retention_cohorts",
    "time_to_return",
    "acquisition_cost",
    "experiment_results",
)
LEARNT = ("als_model", "leaderboard", "champion", "recommendations", "also_bought", "item_features")
"""What science learns from people it learns anew without them."""

STATES = ("event_keys", "event_states", "quarantined_events", "quarantined_records", "restatements")
"""Tables that name nobody in columns of their own: compared by what they hold of others elsewhere."""

MONDAY, TUESDAY, WEDNESDAY = "2026-01-05", "2026-01-06", "2026-01-07"
ANNA, BEN, CARA = "planted-customer-anna", "planted-customer-ben", "planted-visitor-cara"
SHARED, OWN = "planted-visitor-shared", "planted-visitor-anna"
SUFFIXES = ("csv", "csv.gz", "jsonl", "ndjson.zst", "parquet", "avro")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    runner = Runner(tmp_path_factory.mktemp("home"), TRASOS_ERASURE_KEY=KEY)
    yield runner
    runner.close()


def forget(*names: str) -> list[str]:
    return ["forget", *names, "--yes", "--reason", "asked for it"]


def planted(
    number: int, day: str, hour: int, visitor: str | None, customer: str | None, **fields: Any
) -> dict[str, Any]:
    moment = datetime.fromisoformat(day).replace(hour=hour, minute=number % 60, tzinfo=UTC)
    return {
        "event_id": f"planted-{number}",
        "event_type": "page_view",
        "occurred_at": moment,
        "received_at": moment,
        "visitor_id": visitor,
        "customer_id": customer,
        "item_id": "planted-item",
        **fields,
    }


def bought(order: str) -> dict[str, Any]:
    return {"event_type": "purchase", "order_id": order, "quantity": 2, "unit_price": Decimal("10.0000")}


ANNAS = [
    planted(1, MONDAY, 8, OWN, None, session_id="planted-session-anna"),
    planted(2, MONDAY, 9, OWN, ANNA, **bought("planted-order-anna")),
    planted(3, TUESDAY, 9, SHARED, ANNA),
    planted(4, TUESDAY, 10, SHARED, None),
    planted(5, WEDNESDAY, 9, None, ANNA, **bought("planted-order-again")),
    planted(6, WEDNESDAY, 10, CARA, None),
]
BENS = [
    planted(11, MONDAY, 8, SHARED, None),
    planted(12, MONDAY, 9, SHARED, BEN, **bought("planted-order-ben")),
    planted(13, TUESDAY, 15, SHARED, BEN),
    planted(14, WEDNESDAY, 15, SHARED, None),
]
BROKEN = [
    '{"event_id": "b1", "visitor_id": "planted-visitor-anna", "quantity": ',
    '{"event_id": "b2", "order_id": "planted-order-anna"}',
    '{"event_id": "b3", "visitor_id": "planted-visitor-shared", "customer_id": "planted-customer-ben", "slot": {}}',
    '{"event_id": "b4", "visitor_id": "v3", "item_id": "i", "friend": {"of": "planted-customer-anna"}}',
    "not even json, planted-visitor-cara",
    "not even json, planted-visitor-anna-2",
]
GONE_BROKEN = (0, 1, 3, 4)


def plant(data: Path) -> None:
    """Events of three people in every format, lines that cannot be read, and ids in places that nobody thinks of."""
    landing = data / "landing"
    for number, suffix in enumerate(SUFFIXES):
        for day in (MONDAY, TUESDAY, WEDNESDAY):
            rows = [
                row | {"event_id": f"{row['event_id']}-{number}"}
                for row in (*ANNAS, *BENS)
                if row["occurred_at"].date().isoformat() == day
            ]
            # One more of each file's own: copies of one event come last.
            write(landing / "events" / f"dt={day}" / f"planted-{number}.{suffix}", [*rows, rows[0]], EVENT)
    (landing / "events" / f"dt={TUESDAY}" / "broken.jsonl.gz").write_bytes(gzip.compress("\n".join(BROKEN).encode()))
    assigned = datetime(2026, 1, 5, tzinfo=UTC)
    units = [
        {"experiment": "planted", "unit_id": unit, "arm": arm, "assigned_at": assigned}
        for unit, arm in ((OWN, "control"), (BEN, "control"), (CARA, "new"), ("v1", "new"))
    ]
    write(landing / "assignments" / f"dt={MONDAY}" / "planted.parquet", units, ASSIGNMENT)


def plant_astray(data: Path) -> None:
    (data / "notes.txt").write_text(f"call {ANNA} back, not {ANNA}-2\n")
    with closing(sqlite3.connect(data / "dagster_home" / "stray.db")) as connection:
        connection.execute("CREATE TABLE notes (body TEXT)")
        connection.execute("INSERT INTO notes VALUES (?)", [f'{{"who": "{CARA}"}}'])
        connection.commit()


@dataclass(frozen=True)
class Lakes:
    """A lake before and after an erasure."""

    before: Path
    after: Path


@pytest.fixture(scope="module")
def week(runner: Runner, tmp_path_factory: pytest.TempPathFactory) -> Lakes:
    base = tmp_path_factory.mktemp("week")
    before, after = base / "before", base / "after"
    simulate(SimulationConfig(days=5, visitors=40, items=80, seed=5, dirt=DIRT), before / "landing")
    plant(before)
    runner.run((before, RUN, None))
    plant_astray(before)
    shutil.copytree(before, after)
    runner.run((after, forget(ANNA, CARA), None))
    return Lakes(before, after)


def files(data: Path, contract: Any) -> str:
    folder = data / "lake" / contract.owner / contract.name
    if contract.partitioned:
        return f"read_parquet('{folder}/day=*/part-0.parquet', hive_partitioning=true, hive_types={{day: DATE}})"
    return f"read_parquet('{folder}/part-0.parquet')"


def rows_lost_and_new(before: Path, after: Path, name: str, own: str = "false") -> tuple[int, int]:
    """Rows of a table that are gone although they are not ``own``, and rows that were not there before."""
    contract = CONTRACTS[name]
    columns = ", ".join(c for c in contract.column_names if c not in ("file_hash", "line"))
    old, new = files(before, contract), files(after, contract)
    with duckdb.connect() as connection:

        def count(sql: str) -> int:
            (found,) = connection.execute(f"SELECT count(*) FROM ({sql})").fetchone() or (0,)
            return found

        others = f"SELECT {columns} FROM {old} WHERE ({own}) IS NOT TRUE"
        return (
            count(f"{others} EXCEPT ALL SELECT {columns} FROM {new}"),
            count(f"SELECT {columns} FROM {new} EXCEPT ALL {others}"),
        )


def texts(data: Path) -> Iterator[tuple[Path, str]]:
    """Every file below a folder as text, read by other means than the erasure's own."""
    for path in sorted(data.rglob("*")):
        if not path.is_file():
            continue
        content = path.read_bytes()
        if path.suffix == ".parquet":
            with duckdb.connect() as connection:
                rows = connection.execute(f"SELECT to_json(t)::VARCHAR FROM read_parquet('{path}') t").fetchall()
            yield path, "\n".join(row for (row,) in rows)
        elif path.suffix == ".gz":
            yield path, gzip.decompress(content).decode("utf-8", "replace")
        elif path.suffix == ".zst":
            import zstandard

            yield path, zstandard.ZstdDecompressor().decompressobj().decompress(content).decode()
        elif path.suffix == ".avro":
            import fastavro

            with path.open("rb") as stream:
                yield path, json.dumps(list(fastavro.reader(stream)), default=str)
        yield path, content.decode("latin-1")


def found_in(data: Path, ids: list[str]) -> dict[str, set[str]]:
    """Files in which one of the ids stands as a whole; short ones as a whole JSON value."""
    long = [re.escape(i) for i in ids if len(i) >= 8]
    short = [re.escape(i) for i in ids if len(i) < 8]
    parts = ([rf"(?<![\w-])(?:{'|'.join(long)})(?![\w-])"] if long else []) + (
        [rf'"(?:{"|".join(short)})\\?"'] if short else []
    )
    pattern = re.compile("|".join(parts))
    found: dict[str, set[str]] = {}
    for path, text in texts(data):
        if hits := set(pattern.findall(text)):
            found.setdefault(str(path.relative_to(data)), set()).update(hits)
    return found


def test_nothing_of_the_forgotten_is_left_in_any_format_and_those_beside_them_stay(week: Lakes) -> None:
    gone = [ANNA, OWN, CARA, "planted-session-anna", "planted-order-anna", "planted-order-again"]
    assert len(found_in(week.before, gone)) > 40, "nothing was planted"
    assert found_in(week.after, gone) == {}
    assert f"{ANNA}-2" in (week.after / "notes.txt").read_text()
    assert "the final scan found nothing" in printed(week.after)


def test_of_a_shared_visitor_the_others_events_stay_and_the_persons_own_go(week: Lakes) -> None:
    sql = (
        "SELECT DISTINCT regexp_extract(event_id, 'planted-[0-9]+') FROM {engineering.clean_events} "
        f"WHERE visitor_id = '{SHARED}' ORDER BY 1"
    )
    assert query(week.before, sql) == [(f"planted-{n}",) for n in (11, 12, 13, 14, 3, 4)]
    assert query(week.after, sql) == [(f"planted-{n}",) for n in (11, 12, 13, 14)]
    who = "SELECT DISTINCT customer_id FROM {engineering.identities} WHERE visitor_id = '" + SHARED + "'"
    assert query(week.after, who) == [(BEN,)]


def test_lines_that_cannot_be_read_go_only_if_they_hold_an_id_as_a_whole(week: Lakes) -> None:
    landed = week.after / "landing" / "events" / f"dt={TUESDAY}" / "broken.jsonl.gz"
    left = [line for place, line in enumerate(BROKEN) if place not in GONE_BROKEN]
    assert gzip.decompress(landed.read_bytes()).decode().splitlines() == left


def test_the_kpis_are_what_they_were_and_the_books_balance(week: Lakes) -> None:
    for name in KPIS:
        assert rows_lost_and_new(week.before, week.after, name) == (0, 0), name
    assert_books_balance(week.after)
    folded = query(week.after, "SELECT DISTINCT erasure FROM {engineering.erased_totals}")
    assert folded == [("",)]
    (unbalanced,) = query(
        week.after,
        "SELECT count(*) FROM {engineering.landing_ledger} WHERE state = 'accepted' "
        "AND rows_read != accepted + duplicate + quarantined",
    )
    assert unbalanced == (0,)


def test_every_other_persons_rows_are_untouched(week: Lakes) -> None:
    mine = f"visitor_id IN ('{OWN}', '{CARA}') OR customer_id = '{ANNA}'"
    stay = f"(visitor_id = '{SHARED}' AND regexp_extract(event_id, 'planted-[0-9]+') IN ('planted-3', 'planted-4'))"
    named = " OR ".join(
        f"{column} LIKE '%{part}'"
        for column, part in (
            ("extra", "planted-customer-anna%"),
            ("raw", "planted-order-anna%"),
            ("raw", 'visitor-anna"%'),
            ("raw", "visitor-cara"),
        )
    )
    nobody = "(event_id = 'b2')"
    own = {
        "raw_events": f"{mine} OR {stay} OR {named} OR {nobody}",
        "clean_events": f"{mine} OR {stay} OR event_id = 'b4'",
        "interactions": f"{mine} OR {stay} OR event_id = 'b4'",
        "order_lines": mine,
        "orders": mine,
        "assignments": f"unit_id IN ('{OWN}', '{CARA}')",
        "raw_assignments": f"unit_id IN ('{OWN}', '{CARA}')",
        "customer_features": f"person_id IN ('{ANNA}', '{CARA}')",
        "training_interactions": f"person_id IN ('{ANNA}', '{CARA}')",
    }
    for name, condition in own.items():
        lost, new = rows_lost_and_new(week.before, week.after, name, condition)
        # Another's line that named her is gone too, and with it that person's look at one item.
        allowed = 1 if name in ("customer_features", "training_interactions") else 0
        assert (lost <= allowed, new <= allowed) == (True, True), (name, lost, new)
    for name in ("catalogue", "catalogue_history", "marketing_spend", "watermark"):
        assert rows_lost_and_new(week.before, week.after, name) == (0, 0), name


def test_the_next_ingest_finds_nothing_to_do_and_a_whole_rebuild_gives_the_same_tables(
    week: Lakes, runner: Runner, tmp_path: Path
) -> None:
    data, anew = tmp_path / "data", tmp_path / "anew"
    shutil.copytree(week.after, data)
    runner.run((data, RUN, None))
    assert published_hashes(data) == published_hashes(week.after), "rewritten files were taken for new deliveries"
    assert printed(data).count("ingest_raw") == 1
    shutil.copytree(week.after, anew)
    for table in (anew / "lake").glob("[a-z]*/*"):
        if table.name not in ("suppressions", "erased_totals"):
            shutil.rmtree(table)
    shutil.rmtree(anew / "dagster_home")
    runner.run((data, ["run", "--from", MONDAY, "--to", "2026-01-09"], None), (anew, RUN, None))
    assert published_hashes(data) == published_hashes(week.after)
    assert published_hashes(anew) == published_hashes(week.after), "what landing holds is not what the raw tables held"


def test_a_redelivery_does_not_bring_anybody_back_not_even_into_landing(
    week: Lakes, runner: Runner, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(week.after, data)
    for path in sorted((week.before / "landing" / "events").rglob("*planted*")):
        again = data / "landing" / path.relative_to(week.before / "landing")
        shutil.copy2(path, again)
        again.with_name(f"again-{path.name}").write_bytes(path.read_bytes())
    shutil.copy2(
        week.before / "landing" / "events" / f"dt={TUESDAY}" / "broken.jsonl.gz",
        data / "landing" / "events" / f"dt={TUESDAY}" / "broken-again.jsonl.gz",
    )
    (data / "landing" / "events" / f"dt={TUESDAY}" / "fresh.jsonl").write_text(json.dumps({"visitor_id": OWN}) + "\n")
    runner.run((data, RUN, None))
    assert "holds lines of people who were forgotten" in printed(data), "a file that may still be written was replaced"
    long_ago = 1_700_000_000
    for path in (data / "landing").rglob("*.*"):
        os.utime(path, (long_ago, long_ago))
    runner.run((data, RUN, None))
    assert found_in(data, [ANNA, OWN, CARA]) == {}
    for name in ("clean_events", "interactions", "orders", "identities"):
        assert rows_lost_and_new(week.after, data, name) == (0, 0), name
    for name in KPIS:
        assert rows_lost_and_new(week.after, data, name) == (0, 0), name
    assert_books_balance(data)


@pytest.mark.parametrize("share", [0.03, 0.4, 0.9])
def test_an_erasure_that_was_killed_goes_on_and_ends_as_if_it_had_not_been(
    week: Lakes, runner: Runner, tmp_path: Path, share: float
) -> None:
    calls = json.loads((week.after / "calls.json").read_text())["os.replace"]
    data = tmp_path / "data"
    shutil.copytree(week.before, data)
    kill = {"at": "os.replace", "call": max(2, int(share * calls)), "when": "after" if share < 0.5 else "before"}
    (killed,) = runner.run((data, forget(ANNA, CARA), kill))
    assert killed["killed"]
    with pytest.raises(AssertionError, match="trasos forget --resume"):
        runner.run((data, RUN, None))
    runner.run((data, ["forget", "--resume"], None))
    assert published_hashes(data) == published_hashes(week.after)
    assert found_in(data, [ANNA, OWN, CARA]) == {}
    totals = "SELECT * FROM {engineering.erased_totals} ORDER BY ALL"
    assert query(data, totals) == query(week.after, totals)
    runner.run((data, RUN, None))
    assert published_hashes(data) == published_hashes(week.after)


def test_twenty_random_people_of_thirty_days_leave_no_byte(runner: Runner, tmp_path: Path) -> None:
    data, before = tmp_path / "data", tmp_path / "before"
    simulate(SimulationConfig(days=30, visitors=150, items=80, seed=7, dirt=DIRT), data / "landing")
    runner.run((data, RUN, None))
    shutil.copytree(data, before)
    everybody = sorted(p for (p,) in query(data, "SELECT person_id FROM {science.customer_features}"))
    names = random.Random(11).sample(everybody, 20)
    listed = ", ".join(f"'{name}'" for name in names)
    who = query(data, f"SELECT visitor_id, customer_id FROM {{engineering.identities}} WHERE customer_id IN ({listed})")
    ids = sorted({*names, *(visitor for visitor, _ in who)})
    assert len(found_in(before, ids)) > 60
    runner.run((data, forget(*names), None))
    assert found_in(data, ids) == {}
    for name in KPIS:
        assert rows_lost_and_new(before, data, name) == (0, 0), name
    own = ", ".join(f"'{i}'" for i in ids)
    of_columns = {
        "visitor_id": ("raw_events", "clean_events", "interactions", "order_lines", "identities"),
        "person_id": ("orders", "customer_features", "training_interactions"),
        "unit_id": ("assignments", "raw_assignments"),
    }
    for column, names_of in of_columns.items():
        for name in names_of:
            condition = f"{column} IN ({own})" + (f" OR customer_id IN ({own})" if column == "visitor_id" else "")
            if name == "raw_events":
                condition += rf""" OR regexp_matches(raw, '"({"|".join(ids)})(\\?"|$)')"""
            lost, new = rows_lost_and_new(before, data, name, condition)
            assert (lost, new) == (0, 0), name
    assert_books_balance(data)
    proof = json.loads(next((data / "reports" / "erasure").glob("*.json")).read_text())
    assert proof["success"]
    assert proof["ids"] == len(ids)
    assert len(proof["persons"]) == 20
