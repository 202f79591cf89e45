"""Where a lake's files are: a folder of this machine, or an object store. A partition appears whole or not at all."""

from __future__ import annotations

import os
import shutil
import socket
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow.parquet as pq

from trasos_assets.lake import pins
from trasos_assets.lake.locks import alive
from trasos_assets.lake.objects import reads_of

_STAGING = ".staging"


class Storage(Protocol):
    """What the table store asks of the place where its files are.

    ``local`` is a folder of this machine: locks, spills and what is not published yet are below it. ``filesystem`` is
    the fsspec file system by which an engine reads an object store, None for a folder.
    """

    root: Path
    local: Path
    filesystem: Any

    def names(self, folder: Path, file: str) -> list[str]:
        """Names of the subfolders of a folder that hold a file of some name, in order."""
        ...

    def exists(self, file: Path) -> bool:
        """Whether there is such a file."""
        ...

    def size(self, file: Path) -> int:
        """Its bytes."""
        ...

    def footer(self, file: Path) -> pq.FileMetaData:
        """What a Parquet file says of itself; raises what pyarrow raises where it is none."""
        ...

    def read_bytes(self, file: Path) -> bytes:
        """All of a small file."""
        ...

    def write_bytes(self, file: Path, content: bytes) -> None:
        """A small file, whole or not at all, and safe when this returns."""
        ...

    def pinned(self, files: Sequence[Path]) -> tuple[list[Path], Path | None]:
        """The files under names that keep their versions, and the folder to remove when they have been read.

        The folder is None where nothing needs to be removed.
        """
        ...

    def staging(self, folder: Path) -> Path:
        """A new folder of this machine for files that are to be published below ``folder``."""
        ...

    def sweep(self, folder: Path) -> list[Path]:
        """Remove staging folders for ``folder`` whose process on this machine is gone; returns what was removed."""
        ...

    def publish(self, staged: Path, target: Path) -> None:
        """Put a staged file in the place of what is there, in one step, and safely so when this returns."""
        ...

    def published(self, folder: Path) -> None:
        """Make sure that new folders in a folder outlast a loss of power."""
        ...

    def remove(self, file: Path) -> None:
        """Remove a file, and its folder if that held nothing else. No error if there is none."""
        ...


class LocalStorage:
    """A folder: staging beside the table, published by rename."""

    filesystem = None

    def __init__(self, root: Path) -> None:
        self.root = root
        self.local = root

    def names(self, folder: Path, file: str) -> list[str]:
        """As ``Storage`` says."""
        if not folder.is_dir():
            return []
        return sorted(entry.name for entry in folder.iterdir() if (entry / file).exists())

    def exists(self, file: Path) -> bool:
        """As ``Storage`` says."""
        return file.exists()

    def size(self, file: Path) -> int:
        """As ``Storage`` says."""
        return file.stat().st_size

    def footer(self, file: Path) -> pq.FileMetaData:
        """As ``Storage`` says."""
        return pq.read_metadata(file)

    def read_bytes(self, file: Path) -> bytes:
        """As ``Storage`` says."""
        return file.read_bytes()

    def write_bytes(self, file: Path, content: bytes) -> None:
        """As ``Storage`` says."""
        file.parent.mkdir(parents=True, exist_ok=True)
        scratch = file.with_name(f".{file.name}.{os.getpid()}")
        with scratch.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        scratch.replace(file)
        fsync(file.parent)

    def pinned(self, files: Sequence[Path]) -> tuple[list[Path], Path | None]:
        """Hard links, and the folder that holds them."""
        folder = pins.new_folder(self.local)
        links = pins.pinned(files, self.root, folder)
        return links, folder

    def staging(self, folder: Path) -> Path:
        """Beside the published files: a rename does not leave the file system."""
        return _new_staging(folder)

    def sweep(self, folder: Path) -> list[Path]:
        """As ``Storage`` says."""
        return list(_swept(folder))

    def publish(self, staged: Path, target: Path) -> None:
        """One rename."""
        target.parent.mkdir(parents=True, exist_ok=True)
        staged.replace(target)
        fsync(target.parent)

    def published(self, folder: Path) -> None:
        """As ``Storage`` says."""
        fsync(folder)

    def remove(self, file: Path) -> None:
        """As ``Storage`` says."""
        file.unlink(missing_ok=True)
        if file.parent.is_dir() and not any(file.parent.iterdir()):
            file.parent.rmdir()


class ObjectStorage:
    """A store behind fsspec (S3 and its like): staged on this machine, published by one put.

    Args:
        root: a UPath, which acts as a Path.
        local: a folder of this machine.
    """

    def __init__(self, root: Any, local: Path) -> None:
        self.root = root
        self.local = local
        self.filesystem = reads_of(root.fs)
        self._store = root.fs

    def names(self, folder: Any, file: str) -> list[str]:
        """One listing of everything below the folder."""
        found = self.filesystem.listing(folder.path)
        return sorted({path.rsplit("/", 2)[-2] for path in found if path.rsplit("/", 1)[-1] == file})

    def exists(self, file: Any) -> bool:
        """By a new listing: what is read of the file then is what was there at this moment, or later."""
        return file.path in self.filesystem.listing(file.parent.path)

    def size(self, file: Any) -> int:
        """As ``Storage`` says; of a staged file too."""
        return file.stat().st_size if isinstance(file, Path) else self.filesystem.size(file.path)

    def footer(self, file: Any) -> pq.FileMetaData:
        """As ``Storage`` says; of a staged file too."""
        if isinstance(file, Path):
            return pq.read_metadata(file)
        with self.filesystem.open(file.path) as stream:
            return pq.read_metadata(stream)

    def read_bytes(self, file: Any) -> bytes:
        """As ``Storage`` says."""
        return self._store.cat_file(file.path)

    def write_bytes(self, file: Any, content: bytes) -> None:
        """One put."""
        self._store.pipe_file(file.path, content)
        self.filesystem.forget(file.path)

    def pinned(self, files: Sequence[Path]) -> tuple[list[Path], Path | None]:
        """The files as they are: ``filesystem`` gives each query one version of every file."""
        return list(files), None

    def staging(self, folder: Any) -> Path:
        """Below the local folder, as the table stands below the root."""
        return _new_staging(self._staging_place(folder))

    def sweep(self, folder: Any) -> list[Path]:
        """As ``Storage`` says."""
        return list(_swept(self._staging_place(folder)))

    def publish(self, staged: Path, target: Any) -> None:
        """One put: the object is as before or there whole. Over 100 MB one upload in parts, seen once complete."""
        self._store.put_file(str(staged), target.path)
        self.filesystem.forget(target.path)
        staged.unlink()

    def published(self, folder: Any) -> None:
        """Nothing to do: what was put is safe."""

    def remove(self, file: Any) -> None:
        """As ``Storage`` says."""
        if self._store.exists(file.path):
            self._store.rm_file(file.path)
        self.filesystem.forget(file.path)

    def _staging_place(self, folder: Any) -> Path:
        return self.local / _STAGING / folder.path.removeprefix(self.root.path).strip("/")


def storage_at(root: Path, local: Path | None = None) -> Storage:
    """The storage of a lake's root: a Path, or the UPath of an object store with a folder of this machine beside it."""
    if isinstance(root, Path):
        return LocalStorage(root)
    if local is None:
        raise ValueError("an object store needs a folder of this machine for staging and locks")
    return ObjectStorage(root, local)


def _new_staging(place: Path) -> Path:
    folder = place / f"{_STAGING}-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    return folder


def _swept(place: Path) -> Iterator[Path]:
    for staging in place.glob(f"{_STAGING}-{socket.gethostname()}-*"):
        if not alive(int(staging.name.split("-")[-2])):
            shutil.rmtree(staging, ignore_errors=True)
            yield staging


def fsync(path: Path) -> None:
    """Make a file, or a folder's entries, outlast a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
