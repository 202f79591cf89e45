"""What must hold of the Spark engine: it means, writes and reads the same as DuckDB, and says plainly why it cannot."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trasos_assets.contracts.engineering import (
    EVENT_KEYS,
    EVENT_STATES,
    LANDING_LEDGER,
    QUARANTINED_EVENTS,
    RAW_EVENTS,
)
from trasos_assets.contracts.model import (
    BOOLEAN,
    DATE,
    FLOAT64,
    INT32,
    INT64,
    MONEY,
    TEXT,
    TIMESTAMP,
    VECTOR,
    Column,
    Contract,
    Rule,
)
from trasos_assets.contracts.schema import violations
from trasos_assets.lake.days import every_day
from trasos_assets.lake.engines import spark_session
from trasos_assets.lake.engines.spark import SparkEngine
from trasos_assets.lake.errors import LakeError
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing.ledger import pending_deliveries, settle, take_stock
from trasos_assets.landing.parse import read_deliveries
from trasos_assets.landing.quarantine import BY, Watch, counts, lines_like, prospect, refused, require_lines
from trasos_assets.landing.reread import read_again
from trasos_assets.settings import Settings
from trasos_assets.trust import classify
from trasos_assets.trust.releases import Release
from trasos_assets_tests.conftest import new_backend
from trasos_assets_tests.lake.engines.spark_cluster import QUICK_JAVA, require_spark
from trasos_assets_tests.landing.test_reread import DAY, LIMIT, LINES, asking

pytestmark = pytest.mark.slow

WHOLE = Contract(
    name="everything",
    owner="engineering",
    description="A column of every type.",
    columns=(
        Column("id", TEXT, "Which."),
        Column("n", INT32, "Number.", nullable=True),
        Column("many", INT64, "Larger number.", nullable=True),
        Column("money", MONEY, "Money.", nullable=True),
        Column("at", TIMESTAMP, "When.", nullable=True),
        Column("on_day", DATE, "Day.", nullable=True),
        Column("share", FLOAT64, "Share.", nullable=True),
        Column("flag", BOOLEAN, "Flag.", nullable=True),
        Column("factors", VECTOR, "Numbers.", nullable=True),
    ),
    primary_key=("id",),
)
BY_DAY = Contract(
    name="visits",
    owner="engineering",
    description="Visits.",
    columns=(Column("day", DATE, "Day."), Column("id", TEXT, "Which."), Column("money", MONEY, "Money.")),
    primary_key=("id",),
    partition="occurred",
)
DAYS = every_day(date(2026, 1, 1), date(2026, 1, 4))
EMPTY = dict.fromkeys(WHOLE.column_names)
ROWS: list[dict[str, Any]] = [
    EMPTY
    | {
        "id": "b ${x} \u2028🧵",
        "n": -1,
        "many": 2**40,
        "money": Decimal("-12345678901234.1234"),
        "at": datetime(9999, 12, 31, 23, 59, 59, 999999),
        "on_day": date(9999, 12, 31),
        "share": 0.1,
        "flag": False,
        "factors": [0.5, -1.0],
    },
    EMPTY | {"id": "a", "at": datetime(1, 1, 1), "on_day": date(1582, 10, 10), "money": Decimal("0.0001")},
    EMPTY | {"id": "c\x0b"},
]


@pytest.fixture
def door() -> Any:
    return new_backend()


@pytest.fixture
def engine(door: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SparkEngine]:
    require_spark()
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", QUICK_JAVA)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    made = SparkEngine("local[2]", "2GB", scratch, door)
    yield made
    made.release()


@pytest.fixture
def on_spark(engine: SparkEngine, tmp_path: Path) -> LakeStore:
    return LakeStore(tmp_path / "lake [of] {braces}*", engine)


@pytest.fixture
def on_duckdb(on_spark: LakeStore, door: Any) -> LakeStore:
    return LakeStore(on_spark.root, door)


def rows_of(contract: Contract, rows: list[dict[str, Any]]) -> ibis.Table:
    return ibis.memtable(pa.Table.from_pylist(rows, schema=ibis.schema(contract.types).to_pyarrow()))


def visits(money: str, days: list[date] = DAYS) -> ibis.Table:
    rows = [{"day": day, "id": f"v{n}", "money": Decimal(money)} for n in (2, 0, 1) for day in days]
    return rows_of(BY_DAY, rows)


@pytest.mark.parametrize("writer", ["on_spark", "on_duckdb"])
def test_each_engine_reads_to_the_last_digit_what_the_other_wrote(writer: str, request: pytest.FixtureRequest) -> None:
    stores = {name: request.getfixturevalue(name) for name in ("on_spark", "on_duckdb")}
    stores[writer].write(WHOLE, rows_of(WHOLE, ROWS))
    stores[writer].write(BY_DAY, visits("2.5"), DAYS)
    read = [store.read(WHOLE).order_by("id").to_pyarrow().to_pylist() for store in stores.values()]
    assert read[0] == read[1] == sorted(ROWS, key=lambda row: row["id"])
    by_day = [store.read(BY_DAY).order_by("day", "id").to_pyarrow().to_pylist() for store in stores.values()]
    assert by_day[0] == by_day[1]
    assert [row["day"] for row in by_day[0]] == [day for day in DAYS for _ in range(3)]


def test_a_partition_is_one_sorted_file_of_the_contracts_types_and_nothing_else_is_left(on_spark: LakeStore) -> None:
    on_spark.write(WHOLE, rows_of(WHOLE, ROWS * 1))
    on_spark.write(BY_DAY, visits("1", DAYS[:2] + DAYS[3:]), DAYS[:3])
    written = pq.read_table(on_spark.file(WHOLE))
    expected = ibis.schema(WHOLE.types).to_pyarrow()
    plain = [name for name in expected.names if name != "factors"]
    assert [written.schema.field(name).type for name in plain] == [expected.field(name).type for name in plain]
    assert written.schema.field("factors").type.value_type == pa.float32()
    assert written["id"].to_pylist() == sorted(row["id"] for row in ROWS)
    assert pq.read_metadata(on_spark.file(WHOLE)).row_group(0).column(0).compression == "ZSTD"
    for day, ids in zip(DAYS[:3], (["v0", "v1", "v2"], ["v0", "v1", "v2"], []), strict=True):
        file = pq.ParquetFile(on_spark.file(BY_DAY, day))
        assert file.read()["id"].to_pylist() == ids
        assert file.schema_arrow.names == ["id", "money"]
        assert file.schema_arrow.field("money").type == pa.decimal128(18, 4)
    assert on_spark.days(BY_DAY) == DAYS[:3]
    kept = {path.name for path in on_spark.root.rglob("*") if path.is_file() and path.suffix == ".parquet"}
    assert kept == {"part-0.parquet"}
    assert not list(on_spark.root.rglob("*spark-*"))


def test_columns_are_matched_by_name_and_those_of_no_file_are_null(on_spark: LakeStore) -> None:
    folder = on_spark.folder(WHOLE)
    folder.mkdir(parents=True)
    older = pa.table({"many": pa.array([7], pa.int64()), "id": ["x"]})
    pq.write_table(older, on_spark.file(WHOLE))
    (row,) = on_spark.read(WHOLE).to_pyarrow().to_pylist()
    assert row == EMPTY | {"id": "x", "many": 7}


def test_a_table_that_was_never_published_reads_as_empty(on_spark: LakeStore) -> None:
    read = on_spark.read(WHOLE)
    assert dict(read.schema()) == {name: ibis.dtype(type_) for name, type_ in WHOLE.types.items()}
    assert read.count().to_pyarrow().as_py() == 0


def test_what_the_door_parsed_is_spark_s_until_it_is_staged(on_spark: LakeStore, engine: SparkEngine) -> None:
    on_spark.door.raw_sql(
        "CREATE TEMP TABLE parsed AS SELECT DATE '2026-01-01' + (i % 4)::INT AS day, 'v' || i AS id, "
        "1.25::DECIMAL(18, 4) AS money FROM range(9) r(i)"
    )
    taken = on_spark.taken(on_spark.door.table("parsed"))
    assert "parsed" not in on_spark.door.list_tables()
    assert list(engine.scratch.iterdir())
    on_spark.write(BY_DAY, taken, DAYS)
    assert on_spark.rows_by_day(BY_DAY, DAYS) == dict(zip(DAYS, (3, 2, 2, 2), strict=True))
    assert not list(engine.scratch.iterdir())


@pytest.mark.parametrize("keep", [lambda store, table: store.made(table), lambda store, table: table.cache()])
def test_a_table_made_now_is_deaf_to_what_its_source_becomes(
    on_spark: LakeStore, engine: SparkEngine, keep: Callable[[LakeStore, ibis.Table], ibis.Table]
) -> None:
    on_spark.write(BY_DAY, visits("1"), DAYS)
    made = keep(on_spark, on_spark.read(BY_DAY))
    for day in DAYS:
        on_spark.file(BY_DAY, day).unlink()
    assert made.money.sum().to_pyarrow().as_py() == Decimal(12)
    del made
    engine.release()
    assert not list(engine.scratch.iterdir())


TEXTS = ["v", " v ", "\x0b\x0cx\t", "a'b\\", "va\n", None, "", "GoogleBot", "Cubot", "é,🧵,\u2028", "%_", "${x}"]
TIMES = [datetime(2026, 3, 29, 1, 30, 0, 500000), datetime(1, 1, 9), datetime(9999, 12, 31, 23, 59, 59, 999999), None]
HALVES = [1.00005, 12.50125, 2.00005, 0.1 + 0.2, -1.00005, None]

MEANINGS: dict[str, Callable[[ibis.Table], dict[str, Any]]] = {
    "text": lambda t: {
        "stripped": t.s.strip(),
        "joined": ibis.literal("\x02").join([t.s, t.s]),
        "digest": (t.s + "\x01\x0b\x07\x0c\\").hexdigest("md5"),
        "long": t.s.length(),
        "holds": t.s.contains("'b\\"),
        "found": t.s.re_search(r"(?i)(^|[^u])bot"),
        "padded": t.s.lpad(5, "0"),
        "cut": t.s.substr(1, 2),
        "same": t.s == "${x}",
    },
    "times": lambda t: {
        "text": t.at.cast("string"),
        "fixed": t.at.strftime("%Y-%m-%d %H:%M:%S.%f").lpad(26, "0"),
        "minute": t.at.truncate("m"),
        "week": t.at.date().truncate("W").cast("date"),
        "later": t.at - ibis.interval(minutes=30),
        "days": t.at.date().delta(ibis.date(1970, 1, 1), unit="day"),
        "before": (t.at.date() - ibis.interval(days=3)).cast("date"),
        "moved": (ibis.date(2026, 1, 1) + t.n.as_interval("D")).cast("date"),
    },
    "numbers": lambda t: {
        "rounded": t.f.round(4),
        "divided": t.n / t.n.nullif(0),
        "amount": (t.n.cast("decimal(18, 4)") * t.n).cast("decimal(18, 4)"),
        "floor": (t.n // 12).cast("int32"),
    },
    "json": lambda t: {
        "json": ibis.struct({"s": t.s, "n": t.n, "b": t.n > 0, "m": t.n.cast("decimal(18, 4)")})
        .cast("json")
        .cast("string")
    },
    "extremes": lambda t: {
        "greatest": ibis.greatest(t.n, ibis.literal(3)),
        "alone": ibis.greatest(t.n) + ibis.least(t.n),
        "least": ibis.least(t.n, t.n.nullif(2)),
        "list": ibis.array([t.s, ibis.literal("all")]).length(),
    },
}


@pytest.mark.parametrize("meaning", MEANINGS)
def test_an_expression_means_the_same_on_both_engines(engine: SparkEngine, door: Any, meaning: str) -> None:
    many = max(len(TEXTS), len(TIMES), len(HALVES))
    rows = [
        {"n": n, "s": TEXTS[n % len(TEXTS)], "at": TIMES[n % len(TIMES)], "f": HALVES[n % len(HALVES)]}
        for n in range(many)
    ]
    types = {"n": "int64", "s": "string", "at": "timestamp(6)", "f": "float64"}
    table = ibis.memtable(pa.Table.from_pylist(rows, schema=ibis.schema(types).to_pyarrow()))
    asked = table.select("n", **MEANINGS[meaning](table)).order_by("n")
    assert engine.backend.to_pyarrow(asked).to_pylist() == door.to_pyarrow(asked).to_pylist()


def test_aggregates_and_windows_mean_the_same_on_both_engines(engine: SparkEngine, door: Any) -> None:
    rows = [{"who": f"p{n % 3}", "n": n, "s": TEXTS[n % len(TEXTS)]} for n in range(24)]
    table = ibis.memtable(rows)
    summed = table.group_by("who").agg(
        first=ibis.struct({"s": table.s, "n": table.n}).argmin(ibis.struct({"s": table.s.fill_null(""), "n": table.n})),
        texts=table.s.nunique(where=table.n > 5),
        some=(table.n > 5).sum(),
    )
    by_number = ibis.range_window(group_by="who", order_by=table.n, preceding=4, following=2)
    near = table.select(
        "n", least=table.s.min().over(by_number), before=table.s.lag().over(group_by="who", order_by="n")
    )
    spread = table.select("n", part=ibis.range(0, table.n % 4).unnest())
    for asked, key in ((summed, ["who"]), (near, ["n"]), (spread, ["n", "part"])):
        ordered = asked.order_by(key)
        assert engine.backend.to_pyarrow(ordered).to_pylist() == door.to_pyarrow(ordered).to_pylist()


@pytest.mark.parametrize("empty", [1, 2, 3])
def test_a_table_in_chunks_keeps_all_rows_though_the_first_chunks_are_empty(engine: SparkEngine, empty: int) -> None:
    rows = pa.table({"id": [f"e{n}" for n in range(9)], "n": range(9)})
    chunks = [*[rows.slice(0, 0)] * empty, *(rows.slice(n, 1) for n in range(9))]
    table = ibis.memtable(pa.concat_tables(chunks))
    assert engine.backend.to_pyarrow(table.order_by("n")).to_pylist() == rows.to_pylist()


def test_a_day_s_ids_that_differ_in_one_have_another_hash(engine: SparkEngine) -> None:
    ids = ibis.memtable({"id": [f"e{n}" for n in range(1000)]})
    whole, less = (engine.backend.to_pyarrow(t.agg(h=t.id.hash().bit_xor())) for t in (ids, ids.filter(ids.id != "e7")))
    assert whole["h"][0] != less["h"][0]


def test_a_broken_contract_is_told_in_the_same_words(on_spark: LakeStore, on_duckdb: LakeStore) -> None:
    ruled = replace(BY_DAY, rules=(Rule("negative_money", lambda t: t.money >= 0),))
    rows = [
        {"day": DAYS[0], "id": "a", "money": Decimal(-1)},
        {"day": DAYS[0], "id": "a", "money": Decimal(1)},
        {"day": DAYS[1], "id": "b", "money": None},
    ]
    on_spark.write(ruled, rows_of(ruled, rows), DAYS)
    told = [sorted(v.message for v in violations(ruled, store.read(ruled))) for store in (on_spark, on_duckdb)]
    assert told[0] == told[1]
    assert len(told[0]) == 3
    kept = on_spark.read(ruled)
    assert violations(ruled, kept.filter(kept.money >= 0)) == []


def through_the_quarantine(store: LakeStore, settings: Settings) -> list[Any]:
    """All that is said of lines that were too long, and what becomes of them, when the limit is raised."""
    cautious, bold = (settings.model_copy(update={"max_line_bytes": limit}) for limit in (LIMIT, 10 * LIMIT))
    release = asking("line_too_long")

    def judged(releases: list[Release]) -> None:
        raw = store.read(RAW_EVENTS)
        keys = classify.event_keys(raw, late_days=3, currency="GBP", first_day=DAY, releases=releases)
        store.write(EVENT_KEYS, keys, [DAY])
        store.write(EVENT_STATES, classify.event_states(store.read(EVENT_KEYS), dedup_days=7), [DAY])
        store.write(QUARANTINED_EVENTS, classify.quarantined_events(raw, store.read(EVENT_STATES)), [DAY])

    folder = settings.landing_dir / "events" / f"dt={DAY}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lines.jsonl").write_text("\n".join(LINES) + "\n", encoding="utf-8")
    take_stock(store, cautious, first_day=DAY)
    deliveries = pending_deliveries(store, cautious, "events", DAY, DAY)
    limits = {"max_line_bytes": LIMIT, "max_file_bytes": cautious.max_file_bytes}
    landed = store.taken(read_deliveries(store.door, "events", deliveries, timezone="UTC", **limits))
    store.write(RAW_EVENTS, landed, [DAY])
    settle(store, [delivery.delivery for delivery in deliveries], run_id="first", days=[DAY])
    judged([])
    ledger = store.read(LANDING_LEDGER)
    told: list[Any] = [counts(refused(store), by, ledger) for by in BY]
    told += [lines_like(store, limit=3), require_lines(store, release), prospect(store, bold, release, first_day=DAY)]
    watch = Watch(store, release)
    store.write(RAW_EVENTS, read_again(store, bold, RAW_EVENTS, "events", store.read(RAW_EVENTS), [release]), [DAY])
    judged([release])
    return [*told, watch.outcome(), store.read(RAW_EVENTS).order_by("line").to_pyarrow().to_pylist()]


def test_a_release_from_the_quarantine_is_carried_out_the_same(
    on_spark: LakeStore, door: Any, settings: Settings, tmp_path: Path
) -> None:
    spark = through_the_quarantine(on_spark, settings)
    assert spark == through_the_quarantine(LakeStore(tmp_path / "other", door), settings)
    assert spark[-2].leaving == {"accepted": 2}


def java_that_says(folder: Path, version: str) -> Path:
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    java.chmod(0o755)
    return folder


def test_without_pyspark_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'trasos-assets[spark]'" in (spark_session.missing_for_spark() or "")


@pytest.mark.parametrize(("version", "found"), [("11.0.2", "Java 11"), ("1.8.0_292", "Java 8"), ("?", "its version")])
def test_an_old_java_is_refused_with_the_fix(
    version: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setenv("JAVA_HOME", str(java_that_says(tmp_path, version)))
    missing = spark_session.missing_for_spark() or ""
    assert found in missing and "openjdk-17-jre-headless" in missing and "JAVA_HOME" in missing


@pytest.mark.parametrize("home", [None, "/nowhere"])
def test_no_java_is_said_with_the_fix(home: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    if home:
        monkeypatch.setenv("JAVA_HOME", home)
    assert "openjdk-17-jre-headless" in (spark_session.missing_for_spark() or "")


def test_a_newer_java_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setenv("JAVA_HOME", str(java_that_says(tmp_path, "21.0.1")))
    assert spark_session.missing_for_spark() is None


@pytest.mark.parametrize("master", ["spark://127.0.0.1:9", "spark://nonsense"])
def test_a_master_that_does_not_answer_is_named_at_once(master: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark_session, "missing_for_spark", lambda: None)
    spark_session.require_spark.cache_clear()
    with pytest.raises(LakeError, match=master):
        spark_session.require_spark(master)


@pytest.mark.parametrize(
    ("written", "java"), [("4GB", "3814m"), ("900MiB", "900m"), ("1.5 GiB", "1536m"), ("10KB", "512m")]
)
def test_memory_is_told_to_java_in_its_own_words(written: str, java: str) -> None:
    assert spark_session._java_memory(written) == java


def test_an_object_store_is_refused_in_words(engine: SparkEngine) -> None:
    with pytest.raises(LakeError, match="shared folder"):
        engine.reach(None)  # type: ignore[arg-type] - whichever it is


def test_the_command_says_what_is_missing_without_a_traceback(tmp_path: Path) -> None:
    environment = os.environ | {
        "TRASOS_DATA_DIR": str(tmp_path / "data"),
        "TRASOS_ENGINE": "spark",
        "JAVA_HOME": str(java_that_says(tmp_path / "java", "11.0.2")),
    }
    (tmp_path / "data" / "landing").mkdir(parents=True)
    command = [sys.executable, "-m", "trasos_assets.cli", "run"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 1
    assert "Java 17" in said and "Traceback" not in said


def test_duckdb_does_without_pyspark() -> None:
    code = "import sys, trasos_assets.definitions as d; d.assembled(); assert 'pyspark' not in sys.modules"
    environment = {name: value for name, value in os.environ.items() if name != "TRASOS_ENGINE"}
    assert subprocess.run([sys.executable, "-c", code], env=environment, timeout=120).returncode == 0
