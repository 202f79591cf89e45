"""Landed files as streams of bytes: unpacked by their suffix, on any store, and never half of a broken file.

What is cut short raises at its end, whatever the library below would let pass: gzip members and zstd frames must be
whole, and a file that is named as packed but holds nothing is no whole one either.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import zstandard
from isal import igzip, isal_zlib

from trasos_assets.landing.blocks import UnreadableFileError
from trasos_assets.places import is_remote, shown

PACKED = {".gz": "gzip", ".zst": "zstd"}
BUFFER_BYTES = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"
# A zstd block of 4 bytes may unpack to 128 KB: what is fed at once bounds what comes out to 256 MB.
_ZSTD_FEED_BYTES = 8 << 10
_BROKEN: tuple[type[Exception], ...] = (
    EOFError,
    gzip.BadGzipFile,
    zlib.error,
    isal_zlib.error,  # pyright: ignore[reportAssignmentType] - its stub calls the class an instance
    zstandard.ZstdError,
)

# What a store says of an object, first the names that change with the content alone.
_TAGS = ("ETag", "etag", "e_tag", "generation", "md5Hash", "md5", "checksum")
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")


def packing(path: Path) -> str | None:
    """``gzip``, ``zstd`` or None, by the suffix."""
    return PACKED.get("." + path.name.rsplit(".", 1)[-1])


class _ZstdStream(io.RawIOBase):
    """The frames of a zstd file one after the other; raises EOFError if the last one is not whole."""

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = packed
        self._frame: Any = None
        self._unpacked = memoryview(b"")
        self._fed = b""

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._packed.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        while not self._unpacked:
            fed = self._fed or self._packed.read(_ZSTD_FEED_BYTES)
            self._fed = b""
            if not fed:
                if self._frame is not None:
                    raise EOFError("the last frame is cut short")
                return 0
            if self._frame is None:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            self._unpacked = memoryview(self._frame.decompress(fed))
            if self._frame.eof:
                self._fed, self._frame = self._frame.unused_data, None
        size = min(len(buffer), len(self._unpacked))
        buffer[:size] = self._unpacked[:size]
        self._unpacked = self._unpacked[size:]
        return size


class _GzipStream(igzip.IGzipFile):
    """A gzip file that closes the file below it, which ``GzipFile`` leaves to whoever opened it."""

    def __init__(self, packed: IO[bytes]) -> None:
        super().__init__(fileobj=packed, mode="rb")
        self._packed = packed

    def close(self) -> None:
        super().close()
        self._packed.close()


def open_stream(path: Path) -> IO[bytes]:
    """The file's content, unpacked if its name ends in ``.gz`` or ``.zst``.

    Reads below ``reading(path)`` so that what is broken is named.
    """
    packed: IO[bytes] = path.open("rb")
    kind = packing(path)
    if kind is None:
        return packed
    try:
        magic = packed.read(len(_GZIP_MAGIC))
        packed.seek(0)
        if not magic:
            raise EOFError("it holds nothing")
        if kind == "gzip":
            if magic != _GZIP_MAGIC[: len(magic)]:
                raise gzip.BadGzipFile(f"Not a gzipped file ({magic!r})")
            return _GzipStream(packed)  # pyright: ignore[reportReturnType] - a BinaryIO in all but name
        return io.BufferedReader(_ZstdStream(packed), BUFFER_BYTES)  # pyright: ignore[reportReturnType]
    except BaseException:
        packed.close()
        raise


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a file is read into an error that names the file and the fix.

    Raises:
        UnreadableFileError: a packed stream is broken, cut short or none at all; or the file cannot be read.
    """
    try:
        yield
    except _BROKEN as error:
        if packing(path) is None:
            raise
        if "too much memory" in str(error):
            raise UnreadableFileError(
                f"{shown(path)}: its zstd window is over 128 MB; compress it without --long", waiting=False
            ) from error
        raise UnreadableFileError(
            f"{shown(path)}: the {packing(path)} stream is broken or not complete ({error}); "
            "deliver the file again, whole",
            waiting=True,
        ) from error
    except OSError as error:
        raise UnreadableFileError(
            f"{shown(path)}: cannot be read ({why_not(error)}); mend its permissions or deliver it again", waiting=True
        ) from error


def why_not(error: OSError) -> str:
    """What an error of a file system says, without the path or URL that it may name."""
    return error.strerror or type(error).__name__


class BoundedStream:
    """A stream that refuses to give more than ``max_bytes``: what it unpacks to is not known before."""

    def __init__(self, stream: IO[bytes], path: Path, *, max_bytes: int) -> None:
        self._stream = stream
        self._path = path
        self._max_bytes = max_bytes
        self._given = 0

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, none at the end.

        Raises:
            UnreadableFileError: there are more than ``max_bytes``.
        """
        block = self._stream.read(size)
        self._given += len(block)
        if self._given > self._max_bytes:
            raise too_large(self._path, self._max_bytes)
        return block

    def close(self) -> None:
        """Close the stream below."""
        self._stream.close()


def too_large(path: Path, max_bytes: int) -> UnreadableFileError:
    """The error of a file that holds more than the settings allow."""
    return UnreadableFileError(
        f"{shown(path)}: over {max_bytes:,} bytes when decompressed; split it, or raise TRASOS_MAX_FILE_BYTES",
        waiting=False,
    )


def instant(value: object) -> datetime | None:
    """A time as a store gives it (epoch seconds, datetime or ISO text) as naive UTC; None if it is none."""
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, int | float):
            value = datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    if not isinstance(value, datetime):
        return None
    return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value


def changed_at(info: Mapping[str, Any]) -> datetime | None:
    """When an object was last changed, as far as its store says so (naive UTC)."""
    return next((found for name in _TIMES if (found := instant(info.get(name))) is not None), None)


def signature_of(info: Mapping[str, Any]) -> str:
    """What shows that an object was touched, from what its store says of it: size and tag, else size and times."""
    tags = [str(info[name]).strip('"') for name in _TAGS if info.get(name)]
    times = [f"{found:%Y%m%dT%H%M%S.%f}" for name in _TIMES if (found := instant(info.get(name))) is not None]
    marks = tags[:1] or [*times, *([str(info["ino"])] if info.get("ino") else [])]
    return "-".join([str(int(info.get("size") or 0)), *marks])


def file_signature(path: Path) -> str:
    """Size, times and inode of a local file, size and tag or times of an object: shows a change without reading it."""
    if is_remote(path):
        store: Any = path
        store.fs.invalidate_cache(store.parent.path)
        return signature_of(store.fs.info(store.path))
    stat = path.stat()
    return f"{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ctime_ns}-{stat.st_ino}"
