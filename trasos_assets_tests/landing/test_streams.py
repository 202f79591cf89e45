"""Packed files: whole or not at all, whatever the library below would let pass."""

import gzip
import io
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from upath import UPath

from trasos_assets.landing.blocks import UnreadableFileError
from trasos_assets.landing.streams import (
    BoundedStream,
    file_signature,
    is_remote,
    open_stream,
    reading,
    shown,
    signature_of,
)

CONTENT = b"".join(b"line %d of many\n" % n for n in range(2000))


def zstd(content: bytes, **options: int) -> bytes:
    return zstandard.ZstdCompressor(**options).compress(content)


def skippable(content: bytes) -> bytes:
    return b"\x50\x2a\x4d\x18" + len(content).to_bytes(4, "little") + content


PACK = {"gz": gzip.compress, "zst": zstd}


def unpacked(path: Path, size: int = 1 << 16) -> bytes:
    with reading(path), open_stream(path) as stream:
        return b"".join(iter(lambda: stream.read(size), b""))


def landed(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.fixture(params=["local", "memory", "file"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "local":
        return tmp_path
    url = f"memory://{tmp_path.name}" if request.param == "memory" else f"file://{tmp_path}"
    root = UPath(url)
    root.mkdir(parents=True, exist_ok=True)
    return root  # type: ignore[return-value]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
def test_content_comes_unpacked_from_any_store(folder: Path, name: str) -> None:
    pack = PACK.get(name.rsplit(".", 1)[-1], lambda content: content)
    assert unpacked(landed(folder, name, pack(CONTENT))) == CONTENT
    assert unpacked(landed(folder, name, pack(CONTENT)), size=7) == CONTENT


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.gz", gzip.compress(b"a\n") + gzip.compress(b"") + gzip.compress(b"b\n")),
        ("a.gz", gzip.compress(b"a\nb\n") + b"\0" * 512),
        ("a.zst", zstd(b"a\n") + zstd(b"") + zstd(b"b\n")),
        ("a.zst", skippable(b"made by") + zstd(b"a\n") + skippable(b"") + zstd(b"b\n") + skippable(b"end")),
    ],
    ids=["gzip members", "gzip padded", "zstd frames", "zstd with skippable frames"],
)
def test_parts_that_were_joined_are_read_to_the_end(tmp_path: Path, name: str, content: bytes) -> None:
    assert unpacked(landed(tmp_path, name, content)) == b"a\nb\n"


def test_zstd_of_every_kind_of_writer_is_read(tmp_path: Path) -> None:
    streamed = zstandard.ZstdCompressor(write_content_size=False, write_checksum=True).compressobj()
    assert unpacked(landed(tmp_path, "a.zst", streamed.compress(CONTENT) + streamed.flush())) == CONTENT
    assert unpacked(landed(tmp_path, "b.zst", zstd(CONTENT * 100, level=19, threads=2))) == CONTENT * 100


@given(cut=st.integers(0, 10_000), kind=st.sampled_from(["gz", "zst"]), parts=st.integers(1, 3))
@hypothesis_settings(max_examples=150, deadline=None)
def test_a_packed_file_cut_anywhere_waits_and_its_beginning_is_never_taken_for_the_whole(
    cut: int, kind: str, parts: int
) -> None:
    pieces = [PACK[kind](CONTENT[n :: parts + 1]) for n in range(parts)]
    borders = {sum(map(len, pieces[:n])): n for n in range(1, parts + 1)}
    whole = b"".join(pieces)
    at = cut % len(whole)
    with tempfile.TemporaryDirectory() as folder:
        path = landed(Path(folder), f"a.jsonl.{kind}", whole[:at])
        if at in borders:  # nothing in the file tells that there was more
            assert unpacked(path) == b"".join(CONTENT[n :: parts + 1] for n in range(borders[at]))
            return
        with pytest.raises(UnreadableFileError, match=r"stream is broken or not complete .*; deliver") as error:
            unpacked(path)
        assert error.value.waiting


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_every_cut_of_a_short_file_is_found(tmp_path: Path, kind: str) -> None:
    whole = PACK[kind](b'{"event_id": "e1"}\n' * 3)
    for cut in range(len(whole)):
        with pytest.raises(UnreadableFileError):
            unpacked(landed(tmp_path, f"a.jsonl.{kind}", whole[:cut]))
    assert unpacked(landed(tmp_path, f"a.jsonl.{kind}", whole)) == b'{"event_id": "e1"}\n' * 3


def test_the_library_below_ends_a_truncated_zstd_silently(tmp_path: Path) -> None:
    """The reason for a reader of our own; once this fails, zstandard's may do."""
    path = landed(tmp_path, "a.zst", zstd(CONTENT * 1000)[:-20])
    with path.open("rb") as packed:
        taken = zstandard.ZstdDecompressor().stream_reader(packed).read()
    assert len(taken) < len(CONTENT * 1000)
    with pytest.raises(UnreadableFileError):
        unpacked(path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("plain.jsonl.gz", b"{}\n", r"the gzip stream is broken .*Not a gzipped file"),
        ("plain.jsonl.zst", b'{"a": 1, "b": 2}\n', r"the zstd stream is broken .*Unknown frame descriptor"),
        ("empty.jsonl.gz", b"", r"the gzip stream is broken .*holds nothing"),
        ("empty.jsonl.zst", b"", r"the zstd stream is broken .*holds nothing"),
        ("after.jsonl.zst", zstd(b"{}\n") + b"garbage", r"the zstd stream is broken"),
        ("after.jsonl.gz", gzip.compress(b"{}\n", mtime=0) + b"garbage", r"the gzip stream is broken"),
    ],
)
def test_what_is_not_packed_as_its_name_says_waits_and_is_named(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    with pytest.raises(UnreadableFileError, match=said) as error:
        unpacked(landed(tmp_path, name, content))
    assert name in str(error.value)
    assert error.value.waiting


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_a_flipped_byte_is_not_taken(tmp_path: Path, kind: str) -> None:
    pack = gzip.compress if kind == "gz" else lambda content: zstd(content, write_checksum=True)
    content = bytearray(pack(CONTENT))
    content[len(content) // 2] ^= 0xFF
    with pytest.raises(UnreadableFileError):
        unpacked(landed(tmp_path, f"a.{kind}", bytes(content)))


def test_a_zstd_window_that_would_fill_the_memory_is_refused_with_the_fix(tmp_path: Path) -> None:
    wide = zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    path = landed(tmp_path, "a.zst", packer.compress(CONTENT) + packer.flush())
    with pytest.raises(UnreadableFileError, match="window is over 128 MB; compress it without --long") as error:
        unpacked(path)
    assert not error.value.waiting


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_a_bomb_is_unpacked_a_piece_at_a_time_and_refused_at_the_limit(tmp_path: Path, kind: str) -> None:
    path = landed(tmp_path, f"bomb.jsonl.{kind}", PACK[kind](b"\n" * (50 << 20)))
    assert path.stat().st_size < 100_000
    stream = BoundedStream(open_stream(path), path, max_bytes=1_000_000)
    with pytest.raises(
        UnreadableFileError, match=r"over 1,000,000 bytes when decompressed; .*TRASOS_MAX_FILE_BYTES"
    ) as e:
        while stream.read(1 << 16):
            pass
    assert not e.value.waiting
    stream.close()


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match=r"gone\.jsonl: cannot be read \(No such file") as error:
        unpacked(tmp_path / "gone.jsonl")
    assert error.value.waiting


def test_what_a_reader_does_wrong_is_not_called_a_broken_stream(tmp_path: Path) -> None:
    with pytest.raises(EOFError), reading(tmp_path / "a.jsonl"):
        raise EOFError


def test_the_file_below_is_closed_with_the_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[io.IOBase] = []
    really = Path.open

    def watched(self: Path, *args: Any, **options: Any) -> io.IOBase:
        opened.append(really(self, *args, **options))
        return opened[-1]

    monkeypatch.setattr(Path, "open", watched)
    for kind in PACK:
        path = tmp_path / f"a.{kind}"
        path.write_bytes(PACK[kind](CONTENT))
        unpacked(path)
        path.write_bytes(b"")
        with pytest.raises(UnreadableFileError):
            unpacked(path)
    assert opened
    assert all(file.closed for file in opened)


def test_a_signature_changes_when_the_file_is_touched_or_replaced(folder: Path) -> None:
    path = landed(folder, "a.jsonl", b"a\n")
    before = file_signature(path)
    assert file_signature(path) == before
    path.write_bytes(b"b\n")
    after = file_signature(path)
    assert after != before
    path.write_bytes(b"longer\n")
    assert file_signature(path).split("-")[0] == "7"


def test_a_tag_of_the_content_is_all_that_counts_where_a_store_gives_one() -> None:
    listed = {"size": 3, "ETag": '"abc"', "LastModified": datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)}
    headed = {"size": 3, "ETag": '"abc"', "LastModified": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)}
    assert signature_of(listed) == signature_of(headed) == "3-abc"


def test_times_of_a_store_are_compared_as_times_however_they_are_given() -> None:
    seconds = datetime(2026, 1, 2, tzinfo=UTC).timestamp()
    given = [seconds, datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00", datetime(2026, 1, 2)]
    assert {signature_of({"size": 1, "mtime": value}) for value in given} == {"1-20260102T000000.000000"}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://key:secret@bucket/landing", "s3://bucket/landing"),
        ("https://me:pw@host/landing?sig=token", "https://host/landing"),
        ("memory://landing/a@b", "memory://landing/a@b"),
        ("/home/me@work/landing?", "/home/me@work/landing?"),
    ],
)
def test_no_password_is_shown(url: str, expected: str) -> None:
    assert shown(url) == expected


def test_only_a_url_is_remote(tmp_path: Path) -> None:
    assert not is_remote(tmp_path)
    assert not is_remote(UPath(tmp_path))  # type: ignore[arg-type]
    assert is_remote(UPath("memory://a"))  # type: ignore[arg-type]
