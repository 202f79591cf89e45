"""A landed file without some of its lines reads as it did, less those lines, whatever its format."""

import gzip
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trasos_assets.contracts.landing import EVENT
from trasos_assets.erasure.people import ErasureError
from trasos_assets.erasure.rewrite import write_without
from trasos_assets.landing.blocks import UnreadableFileError
from trasos_assets_tests.conftest import new_backend
from trasos_assets_tests.erasure.files import event, rows_of, write

SUFFIXES = ("jsonl", "jsonl.gz", "ndjson.zst", "csv", "csv.gz", "csv.zst", "parquet", "avro")
ROWS = [
    event(
        number,
        visitor=f"v{number % 4}",
        customer="käthe" if number % 5 == 0 else None,
        user_agent='he said "no", then\nleft' if number % 3 == 0 else "plain",
        quantity=number or None,
        is_test=number % 2 == 0,
    )
    for number in range(20)
]
LIMIT = 1 << 30


def without(path: Path, drop: list[int], out: Path) -> int:
    out.parent.mkdir(parents=True, exist_ok=True)
    return write_without(path, EVENT, drop, out, max_bytes=LIMIT)


def values(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "line"} for row in rows]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("places", [[0], [19], [3, 4, 5, 11], list(range(20)), []], ids=len)
def test_the_lines_that_stay_read_as_they_did_and_are_numbered_anew(
    tmp_path: Path, suffix: str, places: list[int]
) -> None:
    path, out = write(tmp_path / f"events.{suffix}", ROWS, EVENT), tmp_path / "out" / f"events.{suffix}"
    backend = new_backend()
    before = rows_of(path, backend)
    left = without(path, [before[place]["line"] for place in places], out)
    after = rows_of(out, backend)
    assert left == len(after) == 20 - len(places)
    assert values(after) == [row for place, row in enumerate(values(before)) if place not in places]
    assert [row["line"] for row in after] == [row["line"] for row in before][: len(after)]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_file_and_lines_give_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"events.{suffix}", ROWS, EVENT)
    drop = [rows_of(path)[place]["line"] for place in (2, 7)]
    outs = [tmp_path / name / f"events.{suffix}" for name in ("one", "two")]
    for out in outs:
        without(path, drop, out)
    assert outs[0].read_bytes() == outs[1].read_bytes()


@settings(deadline=None, max_examples=30)
@given(
    lines=st.lists(
        st.sampled_from([b'{"event_id":"a"}', b"", b"  ", b"{broken", b'{"event_id":"b"}\r', b"\xff\xfe", b"a\rb"]),
        min_size=1,
        max_size=12,
    ),
    places=st.sets(st.integers(0, 11)),
    ends=st.booleans(),
)
def test_of_lines_of_any_kind_all_bytes_but_those_of_the_dropped_stay(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], places: set[int], ends: bool
) -> None:
    folder = tmp_path_factory.mktemp("lines")
    path, out = folder / "events.jsonl.gz", folder / "out.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n".join(lines) + (b"\n" if ends else b"")))
    chosen = sorted(place for place in places if place < len(lines) and lines[place].strip())
    without(path, [place + 1 for place in chosen], out)
    kept = [line for place, line in enumerate(lines) if place not in chosen]
    left = gzip.decompress(out.read_bytes())
    assert left.rstrip(b"\n") == b"\n".join(kept).rstrip(b"\n")


def test_records_of_csv_that_have_not_a_field_for_each_name_stay_as_they_are_and_in_their_place(
    tmp_path: Path,
) -> None:
    path, out = tmp_path / "events.csv", tmp_path / "out" / "events.csv"
    path.write_text(
        'event_id,visitor_id,item_id\ne1,v1,"a ""b"", c"\ntoo,few\ne2,v2,\none,two,three,four\n\ne3,v3,"x\ny"\n'
    )
    before = rows_of(path)
    assert [row["problems"] for row in before if row["event_id"] is None] == ["malformed", "malformed"]
    without(path, [3, 4], out)
    after = rows_of(out)
    assert values(after) == [row for row in values(before) if row["raw"] != "too,few" and row["event_id"] != "e2"]
    assert [row["line"] for row in after] == [2, 3, 4]


def test_a_number_that_no_line_has_is_refused_since_it_would_leave_a_line_that_is_to_go(tmp_path: Path) -> None:
    path = write(tmp_path / "events.jsonl", ROWS, EVENT)
    with pytest.raises(ErasureError, match="2 of its 20 lines were to go, but 1 did"):
        without(path, [3, 99], tmp_path / "out.jsonl")


def test_a_broken_file_is_not_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"event_id":"a"}\n' * 5_000)[:-20])
    with pytest.raises(UnreadableFileError):
        without(path, [1], tmp_path / "out.jsonl.gz")
