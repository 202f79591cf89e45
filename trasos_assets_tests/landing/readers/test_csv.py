"""CSV: no record is lost, none stops another, and a file that ends inside of quotes is not taken."""

import csv as standard
import io
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from trasos_assets.contracts.landing import EVENT
from trasos_assets.landing.blocks import NO_UTF8, UnreadableFileError
from trasos_assets.landing.readers import csv

BIG = 1 << 30


def landed(folder: Path, content: bytes) -> Path:
    path = folder / "a.csv"
    path.write_bytes(content)
    return path


def read(path: Path) -> list[tuple[int, str]]:
    found = [
        (row["line"], row["text"])
        for block in csv.read_blocks(path, EVENT, max_bytes=BIG)
        for row in block.rows.to_pylist()
    ]
    assert csv.count_rows(path, EVENT, max_bytes=BIG) == len(found)
    return found


def fields(path: Path) -> list[tuple[int, dict[str, str]]]:
    return [(line, json.loads(text)) for line, text in read(path)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"event_id,device\na,b\n", [(2, {"event_id": "a", "device": "b"})]),
        (b"event_id,device\na,b", [(2, {"event_id": "a", "device": "b"})]),
        (b"\xef\xbb\xbfevent_id,device\r\na,b\r\n", [(2, {"event_id": "a", "device": "b"})]),
        (b"event_id\ra\rb\r", [(2, {"event_id": "a"}), (3, {"event_id": "b"})]),
        (b'"event_id","a ""b""\n,c"\n1,2\n', [(2, {"event_id": "1", 'a "b"\n,c': "2"})]),
        (b'\n\nevent_id,x\n\n"a\r\nb","c,""d"""\n\n\n', [(2, {"event_id": "a\r\nb", "x": 'c,"d"'})]),
        (b"event_id\n\na\n\n\nb\n", [(2, {"event_id": "a"}), (3, {"event_id": "b"})]),
        (b'event_id,x\n"",""\n,\n', [(2, {}), (3, {})]),
        (b"event_id,x\n a , \n", [(2, {"event_id": " a ", "x": " "})]),
        ('event_id\n5" pipe\né\n'.encode(), [(2, {"event_id": '5" pipe'}), (3, {"event_id": "é"})]),
        (b"event_id\na\x00b\x01\n", [(2, {"event_id": "a\x00b\x01"})]),
        (b"event_id\n", []),
        (b"event_id", []),
    ],
)  # fmt: skip
def test_a_record_becomes_an_object_of_its_fields_that_are_not_empty(
    tmp_path: Path, content: bytes, expected: list[tuple[int, dict[str, str]]]
) -> None:
    assert fields(landed(tmp_path, content)) == expected


def test_a_record_with_too_many_or_too_few_fields_is_kept_as_its_text_and_stops_no_other(tmp_path: Path) -> None:
    content = b'event_id,device\na,b\nc\nd,e,f\n"g\nh",i,j\n\xff,\xfe,1\nk,l\n'
    assert read(landed(tmp_path, content)) == [
        (2, '{"event_id":"a","device":"b"}'),
        (3, "c"),
        (4, "d,e,f"),
        (5, '"g\nh",i,j'),
        (6, f"{NO_UTF8},{NO_UTF8},1"),
        (7, '{"event_id":"k","device":"l"}'),
    ]


def test_json_in_a_csv_file_is_a_wrong_record_and_not_an_event(tmp_path: Path) -> None:
    ((line, text),) = read(landed(tmp_path, b'event_id,device,x\n {"event_id":"a","device":"b"}\n'))
    assert line == 2
    assert text == 'not 3 fields:  {"event_id":"a","device":"b"}'


def test_bytes_that_are_no_utf8_harm_no_other_record(tmp_path: Path) -> None:
    assert fields(landed(tmp_path, b"event_id\na\n\xff\xc3\nb\n\xc3")) == [
        (2, {"event_id": "a"}),
        (3, {"event_id": NO_UTF8 * 2}),
        (4, {"event_id": "b"}),
        (5, {"event_id": NO_UTF8}),
    ]


@pytest.mark.parametrize("end", [b'b,"c', b'"c\nd,e\nf,g\n', b'b,"c""\n', b'"', b'b,c,"d'])
def test_a_file_that_ends_inside_of_quotes_waits_and_names_the_record(tmp_path: Path, end: bytes) -> None:
    path = landed(tmp_path, b"event_id,device\na,b\n" + end)
    with pytest.raises(UnreadableFileError, match="ends inside of quotes that open in record 3; deliver") as error:
        csv.count_rows(path, EVENT, max_bytes=BIG)
    assert error.value.waiting


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it has no header line: .* begin the file with the names of its fields, separated by commas"),
        (b"\n\n", "it has no header line"),
        (b"e1,page_view,2026-01-01\n", "it has no header line: none of its first fields is one of events"),
        (b"event_id;event_type\n1;2\n", "it has no header line"),
        (b"event_id,x,event_id,x\n", "its header names 'event_id', 'x' twice; give each column a name"),
        (b"event_id,,\n", "its header has no name for column 2"),
        (b'event_id,"x\n', "its header cannot be read"),
        ("event_id,x\n1,2\n".encode("utf-16"), "its header is no UTF-8; write the file as UTF-8"),
    ],
)
def test_a_header_that_cannot_be_used_is_refused_with_the_fix(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(UnreadableFileError, match=said) as error:
        read(landed(tmp_path, content))
    assert str(error.value).startswith(f"{tmp_path}/a.csv: ")
    assert not error.value.waiting


def test_an_endless_header_or_record_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(csv, "HEADER_BYTES", 1000)
    with pytest.raises(UnreadableFileError, match="a record of over 1,000 bytes; close its quotes") as error:
        read(landed(tmp_path, b'event_id\n"' + b"x" * 5000 + b'"\n'))
    assert not error.value.waiting
    with pytest.raises(UnreadableFileError, match="its header is over 1,000 bytes"):
        read(landed(tmp_path, b"event_id," * 500))


_CELLS = st.text(st.sampled_from('ab",\n\r é😀\x01\\{'), max_size=6)


@given(
    rows=st.lists(st.lists(_CELLS, min_size=1, max_size=4), max_size=30),
    block=st.integers(64, 200),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
)
@hypothesis_settings(max_examples=150, deadline=None)
def test_records_are_those_that_pythons_own_writer_wrote_whatever_the_blocks(
    rows: list[list[str]], block: int, end: str
) -> None:
    text = io.StringIO(newline="")
    standard.writer(text, quoting=standard.QUOTE_ALL, lineterminator=end).writerows([["event_id", "device"], *rows])
    expected = [
        {name: cell for name, cell in zip(("event_id", "device"), row, strict=True) if cell} if len(row) == 2 else None
        for row in rows
    ]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as small:
        path = landed(Path(folder), text.getvalue().encode())
        small.setattr(csv, "BLOCK_BYTES", block)
        found = read(path)
    assert [line for line, _ in found] == list(range(2, len(rows) + 2))
    for (_, line), wanted in zip(found, expected, strict=True):
        if wanted is None:
            assert not line.lstrip().startswith("{")
        else:
            assert json.loads(line) == wanted


def test_a_mark_of_byte_order_that_begins_the_first_value_is_part_of_it(tmp_path: Path) -> None:
    assert fields(landed(tmp_path, "event_id,device\n\ufeffa,b\n\ufeffc,d\n".encode())) == [
        (2, {"event_id": "\ufeffa", "device": "b"}),
        (3, {"event_id": "\ufeffc", "device": "d"}),
    ]
