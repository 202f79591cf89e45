"""Bundles of landed files: an uncompressed tar whose members keep their bytes, written whole and read back.

A member is called ``<delivery>/<file name>``, so that the ledger (and ``file_hash`` in the raw tables) leads to its
bytes, and plain ``tar`` can unpack it. It is read in its place, without being unpacked.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date
from pathlib import Path
from typing import IO, Any

from trasos_assets.landing.entries import identity
from trasos_assets.landing.streams import changed_at
from trasos_assets.places import hidden_for, is_remote, put_in_place, shown

_SHA256, _CHANGED = "TRASOS.sha256", "TRASOS.mtime_ns"
_BLOCK_BYTES = 1 << 20


class ArchiveError(Exception):
    """A bundle is broken or was asked for what it cannot do; the message names it and what to do."""


@dataclass(frozen=True)
class Member:
    """One bundled file: what it is, and where its bytes lie in its bundle."""

    bundle: Path
    dataset: str
    day: date
    delivery: str
    name: str
    size: int
    sha256: str
    mtime_ns: int
    offset: int

    @property
    def relative(self) -> str:
        """Path below landing that it was delivered under, and comes back to."""
        return f"{self.dataset}/dt={self.day}/{self.name}"

    @property
    def path(self) -> Path:
        """Where it can be read: opens like a path, without being unpacked."""
        return BundledFile(self)  # pyright: ignore[reportReturnType] - a Path in all but name


class _Slice(io.RawIOBase):
    """Some bytes of a stream as a stream of their own, which closes the stream below it."""

    def __init__(self, stream: IO[bytes], offset: int, size: int) -> None:
        self._stream, self._offset, self._size, self._at = stream, offset, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence])
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), max(0, self._size - self._at))
        if not wanted:
            return 0
        self._stream.seek(self._offset + self._at)
        found = self._stream.read(wanted)
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)

    def close(self) -> None:
        self._stream.close()
        super().close()


class BundledFile:
    """A member as what the readers of landed files take: a name, a text and ``open``."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.name = member.name

    def __str__(self) -> str:
        return f"{self.member.bundle}/{self.member.delivery}/{self.name}"

    def open(self, mode: str = "rb") -> IO[bytes]:
        """A seekable stream of its bytes; only for reading."""
        if mode != "rb":
            raise ValueError(f"{shown(str(self))} is part of a bundle and can only be read")
        return io.BufferedReader(_Slice(self.member.bundle.open("rb"), self.member.offset, self.member.size))


@dataclass(frozen=True)
class Source:
    """Where the bytes of a member to be written come from, and what they must turn out to be."""

    open: Callable[[], IO[bytes]]
    delivery: str
    name: str
    size: int
    sha256: str
    mtime_ns: int

    @classmethod
    def of_member(cls, member: Member) -> Source:
        """A file that stands in a bundle already."""
        known = (member.delivery, member.name, member.size, member.sha256, member.mtime_ns)
        return cls(lambda: member.path.open("rb"), *known)

    @classmethod
    def of_file(
        cls, path: Path, dataset: str, day: date, *, name: str | None = None, mtime_ns: int | None = None
    ) -> Source:
        """A file of a day's folder, read whole for its hash; ``name`` and time if they are not its own."""
        called = name or path.name
        with path.open("rb") as stream:
            size, sha256 = _hashed(stream)
        delivery = identity(f"{dataset}/dt={day}/{called}", size, sha256)
        changed = _changed_ns(path) if mtime_ns is None else mtime_ns
        return cls(lambda: path.open("rb"), delivery, called, size, sha256, changed)


def _changed_ns(path: Path) -> int:
    """When a file was last changed, in nanoseconds since 1970; 0 where its store does not say."""
    if not is_remote(path):
        return path.stat().st_mtime_ns
    remote: Any = path
    moment = changed_at(remote.fs.info(remote.path))
    return 0 if moment is None else int(moment.replace(tzinfo=UTC).timestamp() * 1_000_000) * 1_000


def _hashed(stream: IO[bytes], sink: IO[bytes] | None = None) -> tuple[int, str]:
    """Size and SHA-256 of what a stream still holds, which is copied into ``sink`` if there is one."""
    digest, size = hashlib.sha256(), 0
    while block := stream.read(_BLOCK_BYTES):
        digest.update(block)
        size += len(block)
        if sink is not None:
            sink.write(block)
    return size, digest.hexdigest()


@contextmanager
def _named(bundle: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, KeyError, ValueError) as error:
        raise ArchiveError(
            f"{shown(bundle)} is no whole bundle ({error}); restore it from a backup. The lines of its files are in "
            "the raw table, so nothing but the files themselves is lost"
        ) from error


def read_bundle(bundle: Path, dataset: str, day: date) -> list[Member]:
    """The members of a bundle in their order; none if it is not there.

    Raises:
        ArchiveError: it cannot be read.
    """
    if not bundle.exists():
        return []
    found = []
    with _named(bundle), bundle.open("rb") as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
        for one in tar:
            delivery, name = one.name.split("/", 1)
            marks = one.pax_headers
            found.append(
                Member(
                    bundle,
                    dataset,
                    day,
                    delivery,
                    name,
                    one.size,
                    marks[_SHA256],
                    int(marks[_CHANGED]),
                    one.offset_data,
                )
            )
    return found


def write_bundle(bundle: Path, dataset: str, day: date, sources: Sequence[Source]) -> None:
    """Put a bundle of these sources in the place of what is there, read back first; none removes it."""
    if not sources:
        if bundle.exists():
            bundle.unlink()
        return
    unique = {source.delivery: source for source in sources}
    hidden = hidden_for(bundle)
    try:
        with hidden.open("wb") as out:
            with tarfile.open(fileobj=out, mode="w:", format=tarfile.PAX_FORMAT) as tar:
                for source in sorted(unique.values(), key=lambda s: (s.name, s.delivery)):
                    with source.open() as stream:
                        tar.addfile(_header(source), stream)
            out.flush()
            os.fsync(out.fileno())
        _require_same(hidden, dataset, day, sources)
        put_in_place(hidden, bundle)
    finally:
        hidden.unlink(missing_ok=True)
    if is_remote(bundle):
        _require_same(bundle, dataset, day, sources)
    else:
        _fsync_folder(bundle.parent)


def _header(source: Source) -> tarfile.TarInfo:
    header = tarfile.TarInfo(f"{source.delivery}/{source.name}")
    header.size, header.mtime, header.mode = source.size, source.mtime_ns // 1_000_000_000, 0o644
    header.pax_headers = {_SHA256: source.sha256, _CHANGED: str(source.mtime_ns)}
    return header


def _require_same(bundle: Path, dataset: str, day: date, sources: Sequence[Source]) -> None:
    expected = {source.delivery: (source.size, source.sha256) for source in sources}
    found = {}
    for member in read_bundle(bundle, dataset, day):
        with member.path.open("rb") as stream:
            found[member.delivery] = _hashed(stream)
    if found != expected:
        wrong = sorted(key for key in {*found, *expected} if found.get(key) != expected.get(key))
        raise ArchiveError(
            f"{shown(bundle)}: {len(wrong)} files do not read back as they were ({', '.join(wrong[:5])}); nothing was "
            "removed. Look at the disk, and try again"
        )


def unpack(member: Member, target: Path) -> None:
    """Write a member to a place of its own, with its bytes proved and the time it had.

    Raises:
        ArchiveError: its bytes are not what was bundled.
    """
    hidden = hidden_for(target)
    try:
        with member.path.open("rb") as stream, hidden.open("wb") as out:
            found = _hashed(stream, out)
            out.flush()
            os.fsync(out.fileno())
        if found != (member.size, member.sha256):
            raise ArchiveError(
                f"{shown(member.bundle)}: {member.name} is not what was bundled; restore the bundle from a backup"
            )
        if member.mtime_ns:
            os.utime(hidden, ns=(member.mtime_ns, member.mtime_ns))
        put_in_place(hidden, target)
    finally:
        hidden.unlink(missing_ok=True)
    if not is_remote(target):
        _fsync_folder(target.parent)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
