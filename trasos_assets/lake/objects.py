"""How DuckDB reads an object store: every query sees one whole version of a file, in as few requests as can be.

DuckDB opens a file several times in one query, for its footer and again for its data, and asks for its size each time.
Between two of these another process may replace the object: the footer of one version would then be applied to the
bytes of another. Here the first look of a query pins a version. A small file is fetched whole, once, and every further
opening is served from memory; of a large one parts are read, on condition that it still is the pinned version.
"""

from __future__ import annotations

import functools
import hashlib
import io
import re
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any

from fsspec import AbstractFileSystem
from fsspec.utils import glob_translate

WHOLE_BYTES = 8 << 20
"""A file up to this size is fetched whole."""

MEMORY_BYTES = 256 << 20
"""Fetched files are kept up to this size in all, the least recently opened go first."""

BLOCK_BYTES = 1 << 20
LISTED_SECONDS = 1.0
"""A query asks for hundreds of files one by one: their folder is listed once within this time."""

_TAGS = ("ETag", "etag", "e_tag", "generation", "md5Hash", "md5")
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")
_PARTITION = re.compile(r"^[^/=]+=[^/]*$")


class ObjectReplacedError(OSError):
    """An object was replaced while a query read it; asked again, the query sees the new one."""


@dataclass
class _Pin:
    """The version of a file that the queries under way read."""

    info: Mapping[str, Any]
    size: int
    opened: bool = False
    digest: bytes | None = None
    """Of the content, once it was fetched whole."""


def _tag(info: Mapping[str, Any]) -> str | None:
    return next((str(info[name]) for name in _TAGS if info.get(name)), None)


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two looks at an object saw the same version, as far as the store tells."""
    if _tag(one) or _tag(other):
        return _tag(one) == _tag(other)
    return one.get("size") == other.get("size") and [one.get(n) for n in _TIMES] == [other.get(n) for n in _TIMES]


class ObjectReads(AbstractFileSystem):
    """A reading file system over one of fsspec's, to be registered with DuckDB in its place."""

    cachable = False

    def __init__(self, store: Any) -> None:
        super().__init__()
        self.store = store
        self.protocol = store.protocol
        self._listings: dict[str, tuple[float, dict[str, Mapping[str, Any]]]] = {}
        self._pins: dict[str, _Pin] = {}
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._fetching: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.RLock()

    def _strip(self, path: str) -> str:
        return str(self.store._strip_protocol(path))

    def listing(self, folder: str) -> dict[str, Mapping[str, Any]]:
        """What the store says of every file below a folder, by path: one look, remembered for the queries after it."""
        root = self._strip(folder)
        self.store.invalidate_cache(root)
        found: dict[str, Mapping[str, Any]] = {
            path: info for path, info in self.store.find(root, detail=True).items() if info.get("type") == "file"
        }
        with self._lock:
            self._listings[root] = (time.monotonic(), found)
            for path in [path for path in self._pins if path.startswith(root.rstrip("/") + "/")]:
                if path not in found or not _same(self._pins[path].info, found[path]):
                    self._drop(path)
        return found

    def _drop(self, path: str) -> None:
        self._pins.pop(path, None)
        self._kept.pop(path, None)

    def forget(self, path: str) -> None:
        """The object was replaced or removed by this process: the next look asks the store."""
        name = self._strip(path)
        with self._lock:
            self._drop(name)
            for root in [root for root in self._listings if name.startswith(root.rstrip("/") + "/")]:
                del self._listings[root]

    def _lately(self, root: str) -> dict[str, Mapping[str, Any]]:
        with self._lock:
            at, found = self._listings.get(root, (0.0, {}))
        return found if at and time.monotonic() - at < LISTED_SECONDS else self.listing(root)

    def _pin(self, path: str, info: Mapping[str, Any]) -> None:
        with self._lock:
            held = self._pins.get(path)
            if held is None or not _same(held.info, info):
                self._pins[path] = _Pin(info, int(info["size"]))
                self._kept.pop(path, None)

    def glob(self, path: str, maxdepth: int | None = None, **_: Any) -> list[str]:
        """Files of a name or pattern. DuckDB asks for it at the beginning of a query: versions are pinned here."""
        wanted = self._strip(path)
        plain = wanted.split("*")[0].split("?")[0].split("[")[0]
        if plain == wanted:
            found = {wanted: info} if (info := self._lately(_table(wanted)).get(wanted)) else {}
        else:
            matches = re.compile(glob_translate(wanted)).match
            found = {name: info for name, info in self._lately(plain.rpartition("/")[0]).items() if matches(name)}
        for name, info in found.items():
            self._pin(name, info)
        return sorted(found)

    def _pinned(self, path: str) -> _Pin:
        name = self._strip(path)
        with self._lock:
            held = self._pins.get(name)
        if held is None:
            self._pin(name, self._lately(_table(name)).get(name) or self.store.info(name))
            held = self._pins[name]
        return held

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Of the pinned version."""
        held = self._pinned(path)
        return {**held.info, "size": held.size}

    def size(self, path: str) -> int:
        """Of the pinned version."""
        return self._pinned(path).size

    def exists(self, path: str, **_: Any) -> bool:
        """Whether there is such a file, or one that a query reads."""
        try:
            self._pinned(path)
        except FileNotFoundError:
            return False
        return True

    def isfile(self, path: str) -> bool:
        """As ``exists``."""
        return self.exists(path)

    def modified(self, path: str) -> datetime:
        """When the pinned version was written."""
        info = self._pinned(path).info
        time_of = next((info[name] for name in _TIMES if isinstance(info.get(name), datetime)), None)
        return time_of or datetime.fromtimestamp(0, UTC)

    def open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        """The pinned version.

        Raises:
            PermissionError: it is to be written: what this file system is for is reading.
            ObjectReplacedError: it is not there any more.
        """
        if mode != "rb":
            raise PermissionError(f"{path} is opened for reading only")
        name = self._strip(path)
        held = self._pinned(name)
        with self._lock:
            fetching = self._fetching[name]
        with fetching:
            file = io.BytesIO(self._whole(name, held)) if held.size <= WHOLE_BYTES else self._parts(name, held)
            held.opened = True
        return file

    def _whole(self, name: str, held: _Pin) -> bytes:
        with self._lock:
            content = self._kept.get(name) if self._pins.get(name) is held else None
            if content is not None:
                self._kept.move_to_end(name)
                return content
        content = self.store.cat_file(name)
        digest = hashlib.sha256(content).digest()
        if held.digest not in (None, digest):
            raise _replaced(name)
        # Nothing was read of it yet: what came now is the version that this query reads, newer than listed or not.
        held.digest, held.size = digest, len(content)
        with self._lock:
            if self._pins.get(name) is held:
                self._kept[name] = content
            while sum(map(len, self._kept.values())) > MEMORY_BYTES and len(self._kept) > 1:
                self._kept.popitem(last=False)
        return content

    def _parts(self, name: str, held: _Pin) -> IO[bytes]:
        file = self.store.open(name, "rb", block_size=BLOCK_BYTES, cache_type="readahead")
        now = getattr(file, "details", None) or self.store.info(name)
        if not _same(now, held.info):
            if held.opened:
                file.close()
                raise _replaced(name)
            held.info, held.size = now, int(now["size"])
        return file


def _replaced(name: str) -> ObjectReplacedError:
    return ObjectReplacedError(f"{name} was replaced while it was read; ask again")


def _table(path: str) -> str:
    """The folder that holds all partitions of a file's table."""
    folder = path.rpartition("/")[0]
    while _PARTITION.match(folder.rpartition("/")[2]):
        folder = folder.rpartition("/")[0]
    return folder


def was_replaced(error: BaseException) -> bool:
    """Whether an error says that an object was replaced while it was read; DuckDB passes ours on under its own name."""
    text = f"{type(error).__name__} {error}"
    return "ObjectReplacedError" in text or "FileExpired" in text


@functools.cache
def reads_of(store: Any) -> ObjectReads:
    """The one reading file system over a file system of fsspec in this process."""
    return ObjectReads(store)
