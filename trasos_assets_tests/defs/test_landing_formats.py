"""Files of every format, in a store of their own, through the command: taken, counted, and the books add up."""

import gzip
import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trasos_assets.contracts.landing import FORMATS
from trasos_assets_tests.defs.test_ingest import TRASOS
from trasos_assets_tests.landing.formats import write

DAY = "dt=2026-01-02"
PASSWORD = "s3cret-Password"

pytestmark = pytest.mark.slow


def events(names: str) -> list[dict[str, Any]]:
    start = datetime(2026, 1, 2, 10, tzinfo=UTC)
    return [
        {
            "event_id": name,
            "event_type": "page_view",
            "occurred_at": start + timedelta(seconds=ord(name)),
            "received_at": start + timedelta(seconds=ord(name) + 1),
            "visitor_id": f"v-{name}",
            "item_id": "i1",
            "unit_price": Decimal("1.5000"),
        }
        for name in names
    ]


def test_files_of_every_format_are_taken_from_a_store_and_every_line_is_counted(tmp_path: Path) -> None:
    landing, data = tmp_path / "bucket", tmp_path / "data"
    environment = os.environ | {
        "TRASOS_DATA_DIR": str(data),
        "TRASOS_LANDING_URL": f"file://{landing}",
        "TRASOS_THREADS": "2",
        "COLUMNS": "200",
    }

    def trasos(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([TRASOS, *arguments], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done

    def books() -> dict[str, tuple[Any, ...]]:
        columns = "path, state, rows_read, accepted, duplicate, quarantined"
        sql = f"SELECT {columns} FROM engineering.landing_ledger WHERE state <> 'superseded'"
        rows = json.loads(trasos("query", sql, "--format", "json").stdout)
        return {Path(row.pop("path")).name: tuple(row.values()) for row in rows}

    format_ = FORMATS["events"]
    folder = landing / "events" / DAY
    write(folder / "1.parquet", events("abc"), format_)
    write(folder / "2.avro", events("cd"), format_)
    write(folder / "3.csv.gz", events("de"), format_)
    write(folder / "4.jsonl.zst", events("ef"), format_)
    with gzip.open(folder / "5.csv.gz", "wb") as stream:
        stream.write(b"event_id,event_type,visitor_id\nx,page_view\ny,page_view,v\n")
    write(folder / "6.parquet", events("z"), format_).write_bytes(b"PAR1 cut short")
    items = [
        {"item_id": "i1", "kind": "product", "available": True},
        {"item_id": "i2", "kind": "toy", "available": True},
    ]
    write(landing / "catalogue" / DAY / "c.csv", items, FORMATS["catalogue"])
    assert "6.parquet: the Parquet file is broken or not complete" in trasos("run").stderr
    first = books()
    assert first["6.parquet"] == ("waiting", None, None, None, None)
    assert first["c.csv"] == ("accepted", 2, 1, 0, 1)
    assert first["5.csv.gz"] == ("accepted", 2, 0, 0, 2)
    good = [first[name] for name in ("1.parquet", "2.avro", "3.csv.gz", "4.jsonl.zst")]
    assert [row[:2] for row in good] == [("accepted", 3), ("accepted", 2), ("accepted", 2), ("accepted", 2)]
    assert (sum(row[2] for row in good), sum(row[3] for row in good), sum(row[4] for row in good)) == (6, 3, 0)
    # The winner of an id is the earliest received: a later delivery of older receipts takes events from the others.
    earlier = [row | {"received_at": row["received_at"] - timedelta(milliseconds=500)} for row in events("abcdef")]
    write(folder / "7.ndjson.gz", earlier, format_)
    write(folder / "6.parquet", events("z"), format_)
    trasos("run")
    second = books()
    assert second["7.ndjson.gz"] == ("accepted", 6, 6, 0, 0)
    assert [second[name][3] for name in ("1.parquet", "2.avro", "3.csv.gz", "4.jsonl.zst")] == [3, 2, 2, 2]
    assert second["6.parquet"] == ("accepted", 1, 1, 0, 0)
    assert all(row[1] == sum(row[2:]) for row in second.values() if row[0] == "accepted")
    assert "every_file_adds_up" not in trasos("health").stdout  # only what failed is named
    assert trasos("run").stderr.count("nothing new has landed") == 1


def test_a_url_that_cannot_be_used_is_named_without_its_password(tmp_path: Path) -> None:
    for url in (f"nowhere://me:{PASSWORD}@host/landing", f"sftp://me:{PASSWORD}@localhost:1/landing"):
        environment = os.environ | {"TRASOS_DATA_DIR": str(tmp_path), "TRASOS_LANDING_URL": url, "COLUMNS": "200"}
        done = subprocess.run([TRASOS, "run"], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert PASSWORD not in done.stdout + done.stderr
        assert "landing" in done.stderr.lower()
