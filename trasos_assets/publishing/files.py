"""Versions of the lists as files: Parquet and JSON lines with their schema, a manifest, and one pointer to read first.

    published/current.json                  {"version": ..., "path": "versions/<version>", "history": [...]}
    published/versions/<version>/manifest.json
    published/versions/<version>/<table>.parquet, <table>.jsonl.gz, <table>.schema.json

A version is named by the day of its data and a hash of all that it holds, so the same lists have the same version and
are not written twice. It is written under a hidden name, put in place whole, and only then the pointer is swapped: a
reader that follows the pointer never meets half a version, whenever the writer is killed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import IO, Any

import duckdb
import pyarrow.parquet as pq
from filelock import FileLock

from trasos_assets.contracts.model import Contract
from trasos_assets.places import hidden_for, is_remote, make_folder, names_below, put_in_place, shown
from trasos_assets.publishing.schema import json_schema

FORMAT = 1
POINTER, MANIFEST, VERSIONS = "current.json", "manifest.json", "versions"
_STAGING = ".staging-"
_VERSION = re.compile(r"\d{8}-[0-9a-f]{12}")
_HASH_DIGITS = 12
_BLOCK = 8 << 20


class PublishError(Exception):
    """Nothing was published, or not where it was asked for; the message says why and what to do, and no password."""


@dataclass(frozen=True)
class Published:
    """A version that stands; ``history``: all that are kept, the latest first; ``changed``: this call published it."""

    version: str
    folder: Path
    manifest: Mapping[str, Any]
    history: tuple[str, ...]
    changed: bool

    @property
    def rows(self) -> dict[str, int]:
        """Rows by table."""
        return {name: told["rows"] for name, told in self.manifest["tables"].items()}


def current(target: Path) -> Published | None:
    """The version that the pointer names; None before the first."""
    pointer = _pointer(target)
    return None if pointer is None else _standing(target, pointer["version"], pointer["history"], changed=False)


def publish_files(
    tables: Mapping[str, tuple[Contract, Path]],
    target: Path,
    *,
    as_of: date,
    keep: int,
    lock: AbstractContextManager[object] | None = None,
) -> Published:
    """Publish the tables' Parquet files as a version, unless the current version holds the very same.

    Args:
        tables: name to contract and the one Parquet file of the table, on this machine or in a store.
        target: where versions stand; a folder, or a place in an object store.
        as_of: last day of the data.
        keep: how many versions stand afterwards, this one among them.
        lock: held meanwhile, so that one publisher is at work; by default a file in ``target``, then a folder.

    Raises:
        PublishError: a table was never built.
    """
    if keep < 1:
        raise ValueError(f"keep must be at least 1, got {keep}")
    missing = [name for name, (_, file) in tables.items() if not file.exists()]
    if missing:
        raise PublishError(f"{', '.join(sorted(missing))} were never built; run `trasos run` first")
    make_folder(target)
    with _lock_in(target) if lock is None else lock:
        version = f"{as_of:%Y%m%d}-{_digest(tables)}"
        pointer = _pointer(target)
        _sweep(target)
        if pointer is not None and pointer["version"] == version and _whole(target, version):
            _prune(target, pointer["history"][:keep])
            return _standing(target, version, pointer["history"][:keep], changed=False)
        if not _whole(target, version):
            _write(tables, target, version, as_of)
        history = [version, *(v for v in (pointer or {}).get("history", ()) if v != version)][:keep]
        _put(
            target / POINTER,
            _json({"format": FORMAT, "version": version, "path": f"{VERSIONS}/{version}", "history": history}),
        )
        _prune(target, history)
        return _standing(target, version, history, changed=True)


def verify(published: Published) -> list[str]:
    """What of a version is not as its manifest says, in sentences; none if it is whole."""
    found = []
    for name, told in published.manifest["tables"].items():
        for kind, file in told["files"].items():
            path = published.folder / file["path"]
            if not path.exists():
                found.append(f"{name}: {file['path']} is missing")
            elif _sha256(path) != file["sha256"]:
                found.append(f"{name}: {file['path']} ({kind}) is not what was published")
    return found


def unpublish(target: Path) -> bool:
    """Remove the pointer and every version, e.g. because people in them are to be forgotten; whether there was one."""
    names = names_below(target) if is_remote(target) or target.is_dir() else []
    ours = [name for name in names if name == POINTER or name.startswith((f"{VERSIONS}/", _STAGING))]
    # The pointer goes first: a reader finds nothing, and not half of something.
    for name in sorted(ours, key=lambda name: name != POINTER):
        target.joinpath(*name.split("/")).unlink(missing_ok=True)
    if not is_remote(target):
        for folder in (target / VERSIONS, *target.glob(f"{_STAGING}*")):
            shutil.rmtree(folder, ignore_errors=True)
    return bool(ours)


def _lock_in(target: Path) -> AbstractContextManager[object]:
    if is_remote(target):
        raise PublishError(f"{shown(target)} is no folder: name a lock of this machine")
    return FileLock(target / ".lock")


def _digest(tables: Mapping[str, tuple[Contract, Path]]) -> str:
    digest = hashlib.sha256(f"format {FORMAT}\n".encode())
    for name, (contract, file) in sorted(tables.items()):
        digest.update(f"{name} {_json(json_schema(contract)).decode()} {_sha256(file)}\n".encode())
    return digest.hexdigest()[:_HASH_DIGITS]


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _json(told: Any) -> bytes:
    return (json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _pointer(target: Path) -> dict[str, Any] | None:
    try:
        told = json.loads((target / POINTER).read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise PublishError(
            f"{shown(target)}/{POINTER} cannot be read ({type(error).__name__}); remove it and publish again"
        ) from error
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise PublishError(
            f"{shown(target)}/{POINTER} is not of format {FORMAT}: it was published by other code; publish elsewhere, "
            "or remove it"
        )
    return told


def _whole(target: Path, version: str) -> bool:
    """Whether a version stands there: its manifest is put in place with, or after, everything else."""
    return (target / VERSIONS / version / MANIFEST).exists()


def _standing(target: Path, version: str, history: Iterable[str], *, changed: bool) -> Published:
    folder = target / VERSIONS / version
    try:
        return Published(version, folder, json.loads((folder / MANIFEST).read_bytes()), tuple(history), changed)
    except (FileNotFoundError, ValueError) as error:
        raise PublishError(
            f"{shown(folder)} is named by {POINTER} but not whole; remove {POINTER} and publish again"
        ) from error


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """A folder of this machine to write a version in, beside its place where that is on this machine too."""
    if is_remote(target):
        with tempfile.TemporaryDirectory(prefix="trasos-publishing-") as folder:
            yield Path(folder)
        return
    folder = target / f"{_STAGING}{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(tables: Mapping[str, tuple[Contract, Path]], target: Path, version: str, as_of: date) -> None:
    with _staging(target) as folder:
        told = {name: _write_table(folder, contract, file) for name, (contract, file) in sorted(tables.items())}
        manifest = {"format": FORMAT, "version": version, "as_of": as_of.isoformat(), "tables": told}
        (folder / MANIFEST).write_bytes(_json(manifest))
        place = target / VERSIONS / version
        if is_remote(target):
            names = sorted(file.name for file in folder.iterdir())
            for name in sorted(names, key=lambda name: name == MANIFEST):
                put_in_place(folder / name, place / name)
            return
        place.parent.mkdir(exist_ok=True)
        # What is there without a manifest is a remnant, and no reader was ever sent to it.
        shutil.rmtree(place, ignore_errors=True)
        folder.rename(place)


def _write_table(folder: Path, contract: Contract, file: Path) -> dict[str, Any]:
    parquet, lines = folder / f"{contract.name}.parquet", folder / f"{contract.name}.jsonl.gz"
    schema = folder / f"{contract.name}.schema.json"
    with file.open("rb") as source, parquet.open("wb") as copy:
        _copy(source, copy)
    schema.write_bytes(_json(json_schema(contract)))
    columns = ", ".join(f'"{name}"' for name in contract.column_names)
    with duckdb.connect(config={"threads": 1}) as connection:
        source_text, target_text = (str(path).replace("'", "''") for path in (parquet, lines))
        connection.execute(
            f"COPY (SELECT {columns} FROM read_parquet('{source_text}')) "  # noqa: S608 - names of a contract
            f"TO '{target_text}' (FORMAT json, COMPRESSION gzip, DATEFORMAT '%Y-%m-%d')"
        )
    files = {"parquet": parquet, "json_lines": lines, "json_schema": schema}
    return {
        "rows": pq.read_metadata(parquet).num_rows,
        "primary_key": list(contract.primary_key),
        "contract_version": contract.version,
        "files": {
            kind: {"path": path.name, "bytes": path.stat().st_size, "sha256": _sha256(path)}
            for kind, path in files.items()
        },
    }


def _copy(source: IO[bytes], copy: IO[bytes]) -> None:
    while block := source.read(_BLOCK):
        copy.write(block)


def _put(place: Path, content: bytes) -> None:
    hidden = hidden_for(place, of=f"-{os.getpid()}")
    hidden.write_bytes(content)
    put_in_place(hidden, place)


def _sweep(target: Path) -> None:
    """What writers left that were killed; no other one is at work, for this one has the lock."""
    if not is_remote(target):
        for left in (*target.glob(f"{_STAGING}*"), *target.glob(f".{POINTER}*.part")):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)


def _prune(target: Path, kept: list[str]) -> None:
    names = names_below(target / VERSIONS)
    standing = {name.split("/")[0] for name in names}
    if not is_remote(target) and (target / VERSIONS).is_dir():
        # Folders without a file too: a writer may have been killed between the files and their folder.
        standing |= {folder.name for folder in (target / VERSIONS).iterdir()}
    for version in sorted(standing - set(kept)):
        if not _VERSION.fullmatch(version):
            continue
        folder = target / VERSIONS / version
        # Its manifest goes first: half of a version is none.
        (folder / MANIFEST).unlink(missing_ok=True)
        for name in names:
            if name.startswith(f"{version}/"):
                (target / VERSIONS).joinpath(*name.split("/")).unlink(missing_ok=True)
        if not is_remote(target):
            shutil.rmtree(folder, ignore_errors=True)
