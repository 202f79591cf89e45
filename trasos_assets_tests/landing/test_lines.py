"""Landed files as lines: every line once, under its number, or an error that names the file."""

import gzip
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from trasos_assets.landing import lines
from trasos_assets.landing.blocks import NO_UTF8, UnreadableFileError
from trasos_assets.landing.json_lines import count_rows as count_lines
from trasos_assets.landing.lines import blocks
from trasos_assets.landing.streams import file_signature
from trasos_assets_tests.landing.texts import numbered_lines

BIG = 1 << 30


def read(path: Path, max_bytes: int = BIG) -> list[tuple[int, str]]:
    return [
        (number, text)
        for table in numbered_lines(path, max_bytes=max_bytes)
        for number, text in zip(table["line"].to_pylist(), table["text"].to_pylist(), strict=True)
    ]


def landed(folder: Path, content: bytes, name: str = "a.jsonl") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a\nb\n", [(1, "a"), (2, "b")]),
        (b"a\nb", [(1, "a"), (2, "b")]),
        (b"\xef\xbb\xbfa\nb\n", [(1, "a"), (2, "b")]),
        (b"a\r\nb\r\n", [(1, "a"), (2, "b")]),
        (b"\n\na\n \t\r\n\xc2\xa0\nb\n\n", [(3, "a"), (6, "b")]),
        (b"", []),
        (b"\n", []),
        (b"\xef\xbb\xbf", []),
        (b" a \n", [(1, " a ")]),
        (b"a\x00b\n", [(1, "a\x00b")]),
        (b"a\rb\xe2\x80\xa8c\x0bd\n", [(1, "a\rb\u2028c\x0bd")]),
        ("é😀\n".encode(), [(1, "é😀")]),
    ],
    ids=[
        "plain",
        "no end",
        "BOM",
        "CRLF",
        "blank",
        "zero bytes",
        "newline",
        "BOM only",
        "blanks",
        "NUL",
        "CR",
        "UTF-8",
    ],
)
def test_every_line_comes_under_its_number(
    tmp_path: Path, name: str, content: bytes, expected: list[tuple[int, str]]
) -> None:
    path = landed(tmp_path, content, name)
    assert read(path) == expected
    assert count_lines(path, max_bytes=BIG) == len(expected)


def test_bytes_that_are_no_utf8_are_marked_and_harm_no_other_line(tmp_path: Path) -> None:
    path = landed(tmp_path, b'good\n{"a": "\xff\xfe"}\n\xc3\nlast\n')
    assert read(path) == [(1, "good"), (2, f'{{"a": "{NO_UTF8 * 2}"}}'), (3, NO_UTF8), (4, "last")]


@given(
    parts=st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\r\n", b"\xc3\xa9", b"\xff", b" ", b"\x00"]), max_size=40),
    block=st.integers(1, 7),
    zipped=st.booleans(),
)
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_borders_of_blocks_change_no_line_and_no_number(
    monkeypatch: pytest.MonkeyPatch, parts: list[bytes], block: int, zipped: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder, monkeypatch.context() as patched:
        path = landed(Path(folder), b"".join(parts), "a.jsonl.gz" if zipped else "a.jsonl")
        whole = read(path)
        patched.setattr(lines, "BLOCK_BYTES", block)
        assert read(path) == whole
        assert b"".join(blocks(path, max_bytes=BIG)) == b"".join(parts)


@given(texts=st.lists(st.text(st.characters(blacklist_characters="\n\r"), min_size=1).filter(str.strip), max_size=20))
@hypothesis_settings(max_examples=40, deadline=None)
def test_any_text_comes_through_unchanged(texts: list[str]) -> None:
    encoded = [text.encode("utf-8", "ignore").decode() for text in texts]
    wanted = [(n, text) for n, text in enumerate(encoded, 1) if text.strip()]
    with tempfile.TemporaryDirectory() as folder:
        path = landed(Path(folder), ("\n".join(encoded) + "\n").encode())
        assert [text for _, text in read(path)] == [
            text.removeprefix("\ufeff") if n == 1 else text for n, text in wanted
        ]


@pytest.mark.parametrize("missing", [1, 8, 50])
def test_a_truncated_gzip_waits_and_its_first_half_is_never_taken_for_the_whole(tmp_path: Path, missing: int) -> None:
    path = tmp_path / "half.jsonl.gz"
    path.write_bytes(gzip.compress(b"".join(b"line %d of many\n" % n for n in range(1000)))[:-missing])
    with pytest.raises(UnreadableFileError, match=r"half\.jsonl\.gz: the gzip stream is broken .* deliver") as error:
        count_lines(path, max_bytes=BIG)
    assert error.value.waiting


def test_what_is_no_gzip_in_spite_of_its_name_is_named(tmp_path: Path) -> None:
    path = tmp_path / "plain.jsonl.gz"
    path.write_bytes(b"a\nb\n")
    with pytest.raises(UnreadableFileError, match=r"plain\.jsonl\.gz: .*Not a gzipped file") as error:
        read(path)
    assert error.value.waiting


def test_a_gzip_with_a_flipped_byte_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "flipped.jsonl.gz"
    content = bytearray(gzip.compress(b"".join(b"line %d of many\n" % n for n in range(1000))))
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(UnreadableFileError, match=r"flipped\.jsonl\.gz"):
        read(path)


def test_gzip_files_that_were_joined_are_read_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "joined.jsonl.gz"
    path.write_bytes(gzip.compress(b"a\n") + gzip.compress(b"b\n"))
    assert read(path) == [(1, "a"), (2, "b")]


def test_a_bomb_is_refused_before_it_is_unpacked_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BLOCK_BYTES", 1 << 16)
    path = landed(tmp_path, b"\n" * (50 << 20), "bomb.jsonl.gz")
    assert path.stat().st_size < 100_000
    with pytest.raises(
        UnreadableFileError, match=r"bomb\.jsonl\.gz: over 1,000,000 bytes .*TRASOS_MAX_FILE_BYTES"
    ) as error:
        read(path, max_bytes=1_000_000)
    assert not error.value.waiting


def test_the_size_limit_itself_is_allowed(tmp_path: Path) -> None:
    path = landed(tmp_path, b"12345678\n")
    assert read(path, max_bytes=9) == [(1, "12345678")]
    with pytest.raises(UnreadableFileError):
        read(path, max_bytes=8)


def test_a_line_without_end_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "BLOCK_BYTES", 100)
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 1000)
    assert read(landed(tmp_path, b"x" * 1000)) == [(1, "x" * 1000)]
    with pytest.raises(
        UnreadableFileError, match="a line of over 1,000 bytes; deliver one JSON object per line"
    ) as error:
        read(landed(tmp_path, b"a\n" + b"x" * 1200))
    assert not error.value.waiting


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match=r"gone\.jsonl: cannot be read \(No such file") as error:
        read(tmp_path / "gone.jsonl")
    assert error.value.waiting


def test_a_signature_changes_when_the_file_is_touched_or_replaced(tmp_path: Path) -> None:
    path = landed(tmp_path, b"a\n")
    before = file_signature(path)
    assert file_signature(path) == before
    path.write_bytes(b"b\n")
    after = file_signature(path)
    assert after != before
    other = landed(tmp_path, b"b\n", "b.jsonl")
    other.replace(path)
    assert file_signature(path) != after
