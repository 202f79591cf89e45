"""A row's values do not depend on the format it came in."""

import tempfile
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from upath import UPath

from trasos_assets.contracts.landing import FORMATS, LandingFormat
from trasos_assets.contracts.model import BOOLEAN, DATE, INT32, INT64, MONEY, TEXT, TIMESTAMP, Column
from trasos_assets.landing import readers
from trasos_assets.landing.blocks import UnreadableFileError, arrow_types
from trasos_assets.landing.parse import Delivery, read_deliveries
from trasos_assets_tests.conftest import new_backend
from trasos_assets_tests.landing.formats import write

DAY = date(2026, 1, 2)
BIG = 1 << 30
KINDS = ("jsonl", "jsonl.gz", "jsonl.zst", "ndjson", "json", "csv", "csv.gz", "csv.zst", "parquet", "avro")
_TIMES = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))
# CSV cannot tell an empty text from an absent one, so texts here hold something.
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    TEXT: st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
    | st.sampled_from(["{", "[1]", '{"a":1}', 'a"b', "a,b", "a\r\nb", "null", "1e5", "-", "\\", "\ufeff", "\u2028"]),
    INT32: st.integers(-(2**31), 2**31 - 1),
    INT64: st.integers(-(2**63), 2**63 - 1),
    # JSON numbers pass through a double: fifteen digits are what every format can carry.
    MONEY: st.decimals(-(10**10), 10**10, places=4),
    TIMESTAMP: _TIMES | st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
    DATE: st.dates(date(1, 1, 1), date(9999, 12, 31)),
    BOOLEAN: st.booleans(),
}


def rows_of(landing: LandingFormat) -> st.SearchStrategy[list[dict[str, Any]]]:
    def value(column: Column) -> st.SearchStrategy[Any]:
        return st.none() | _VALUES[column.type] if column.nullable else _VALUES[column.type]

    return st.lists(st.fixed_dictionaries({column.name: value(column) for column in landing.columns}), max_size=20)


BACKEND = new_backend()


def raw_rows(path: Path, dataset: str, *, max_line_bytes: int = 1_000_000) -> list[dict[str, Any]]:
    """What the door makes of a file, in order, without what says where it came from."""
    delivery = Delivery("d1", dataset, path, DAY)
    landed = read_deliveries(
        BACKEND, dataset, [delivery], timezone="UTC", max_line_bytes=max_line_bytes, max_file_bytes=BIG
    )
    found = landed.order_by("line").to_pyarrow().to_pylist()
    return [{name: value for name, value in row.items() if name not in ("file_hash", "line")} for row in found]


@pytest.mark.parametrize("dataset", FORMATS)
def test_every_format_gives_the_same_raw_rows(dataset: str) -> None:
    landing = FORMATS[dataset]

    @given(rows=rows_of(landing))
    @hypothesis_settings(max_examples=10, deadline=None)
    def holds(rows: list[dict[str, Any]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            found = {kind: raw_rows(write(Path(folder) / f"a.{kind}", rows, landing), dataset) for kind in KINDS}
            for row, made in zip(rows, found["parquet"], strict=True):
                expected = {
                    name: value.replace(tzinfo=None) if isinstance(value, datetime) else value
                    for name, value in row.items()
                }
                assert {name: made[name] for name in expected} == expected
                assert (made["problems"], made["extra"], made["raw"]) == (None, None, None)
            for kind in KINDS:
                assert found[kind] == found["parquet"], kind

    holds()


def some_events(count: int = 30) -> list[dict[str, Any]]:
    start = datetime(2026, 1, 2, tzinfo=UTC)
    return [
        {
            "event_id": f"e{number}",
            "event_type": "purchase",
            "occurred_at": start + timedelta(seconds=number),
            "received_at": start + timedelta(seconds=number, microseconds=5),
            "visitor_id": f"v{number % 7}",
            "quantity": 1 + number % 3,
            "unit_price": Decimal("19.9900") if number % 2 else None,
            "is_test": False,
        }
        for number in range(count)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_counted_as_they_are_read_and_numbered_in_order(tmp_path: Path, kind: str) -> None:
    landing = FORMATS["events"]
    path = write(tmp_path / f"a.{kind}", some_events(), landing)
    blocks = list(readers.read_blocks(path, landing, max_bytes=BIG, max_line_bytes=1_000_000))
    first = 2 if "csv" in kind else 1
    assert [line for block in blocks for line in block.rows["line"].to_pylist()] == list(range(first, first + 30))
    assert readers.count_rows(path, landing, max_bytes=BIG) == 30


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "avro"])
def test_rows_that_fit_the_format_need_no_text(tmp_path: Path, kind: str) -> None:
    landing = FORMATS["events"]
    path = write(tmp_path / f"a.{kind}", some_events(), landing)
    (block,) = readers.read_blocks(path, landing, max_bytes=BIG, max_line_bytes=1_000_000)
    assert block.typed
    types = arrow_types(landing)
    for name in set(block.rows.column_names) - {"line"}:
        found = block.rows[name].type
        assert found == types[name] or (str(types[name]), str(found)) == ("string", "large_string")


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_on_any_store_reads_the_same(tmp_path: Path, kind: str) -> None:
    landing = FORMATS["events"]
    local = write(tmp_path / f"a.{kind}", some_events(), landing)
    for url in (f"memory://{tmp_path.name}", f"file://{tmp_path}/copy"):
        remote: Any = UPath(url) / f"a.{kind}"
        remote.parent.mkdir(parents=True, exist_ok=True)
        remote.write_bytes(local.read_bytes())
        assert raw_rows(remote, "events") == raw_rows(local, "events")
        assert readers.count_rows(remote, landing, max_bytes=BIG) == 30


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_over_the_limit_is_refused_with_the_fix(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / f"a.{kind}", some_events(300), FORMATS["events"])
    with pytest.raises(UnreadableFileError, match=r"over 1,000 bytes when decompressed; .*TRASOS_MAX_FILE_BYTES") as e:
        readers.count_rows(path, FORMATS["events"], max_bytes=1000)
    assert not e.value.waiting


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.endswith(("gz", "zst", "parquet", "avro"))])
def test_a_file_that_is_cut_short_waits(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / f"a.{kind}", some_events(300), FORMATS["events"])
    whole = path.read_bytes()
    for cut in (0, 1, 3, 5, len(whole) // 3, len(whole) // 2, len(whole) - 9, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(UnreadableFileError, match=r"deliver the file again, whole") as error:
            readers.count_rows(path, FORMATS["events"], max_bytes=BIG)
        assert error.value.waiting, cut


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_gone_is_named(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UnreadableFileError, match=rf"gone\.{kind}: cannot be read \(No such file") as error:
        readers.count_rows(tmp_path / f"gone.{kind}", FORMATS["events"], max_bytes=BIG)
    assert error.value.waiting


def test_every_suffix_has_a_reader(tmp_path: Path) -> None:
    for suffix in readers.SUFFIXES:
        path = write(tmp_path / f"a{suffix}", some_events(3), FORMATS["events"])
        assert readers.count_rows(path, FORMATS["events"], max_bytes=BIG) == 3, suffix


def test_a_row_whose_text_would_be_too_long_is_refused_whatever_it_came_in(tmp_path: Path) -> None:
    rows = some_events(3)
    rows[1]["user_agent"] = "x" * 5000
    for kind in KINDS:
        found = raw_rows(write(tmp_path / f"a.{kind}", rows, FORMATS["events"]), "events", max_line_bytes=4000)
        assert [row["problems"] for row in found] == [None, "line_too_long", None], kind
