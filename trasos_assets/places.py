"""Where data are: a folder of this machine, or a place in an object store that fsspec knows (``s3://bucket/prefix``).

A place of a store is a UPath, which acts as a Path. Its credentials and endpoint come from the environment alone and
stand in no name, error or setting.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_USER = re.compile(r"(?<=://)[^/@\s]*@|\?.*$")
# Other processes write the same store: a listing that was true a moment ago may not be any more.
_NO_MEMORY: dict[str, Any] = {"use_listings_cache": False}
_LOCAL = ("file", "local")
_STORES = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl")
_EXTRAS: dict[str, str] = dict.fromkeys(("s3", "s3a"), "pip install 'trasos-assets[s3]'")


class PlaceError(Exception):
    """A store cannot be used; the message says why and what to do, and holds no credentials."""


def is_remote(path: Path) -> bool:
    """Whether a path is one of an fsspec store (a UPath that is no ``pathlib.Path``)."""
    return not isinstance(path, Path)


def shown(path: Path | str) -> str:
    """A path or URL as it may be shown: without the user, password or token that a URL may carry."""
    text = str(path)
    return _USER.sub("", text) if "://" in text else text


def store_of(url: str) -> str:
    """The protocol of a URL.

    Raises:
        ValueError: fsspec knows none of that name; the URL itself, which may hold a password, is not repeated.
    """
    from fsspec import available_protocols

    protocol = url.split("://")[0]
    if protocol not in available_protocols():
        raise ValueError(f"{protocol!r} is no store that fsspec knows; use s3://, gs://, abfs://, file:// or a path")
    return protocol


def place(text: str | Path) -> Path:
    """An absolute folder of this machine, or the place that a URL names (a UPath, a Path in all but name).

    Raises:
        ValueError: the URL's store is unknown, it names no bucket, or it holds a user, password or query.
    """
    url = str(text)
    if "://" not in url:
        return Path(text).expanduser().absolute()
    protocol, _, below = url.partition("://")
    if store_of(url) in _LOCAL:
        return Path(below).expanduser().absolute()
    if _USER.search(url):
        raise ValueError("a URL with a user, password or query; put credentials and endpoint into the environment")
    if not below.strip("/"):
        raise ValueError(f"{protocol}:// names no bucket; write it as {protocol}://bucket/prefix")
    return store_path(url)


def store_path(url: str) -> Path:
    """The UPath of a URL, with listings that are looked up anew each time."""
    from upath import UPath

    options = _NO_MEMORY if url.split("://")[0] in _STORES else {}
    return UPath(url.rstrip("/"), **options)  # pyright: ignore[reportReturnType] - a Path in all but name


def name_of(path: Path) -> str:
    """A folder name made of a store's URL: readable, and another one for another URL."""
    url = str(path)
    readable = re.sub(r"[^A-Za-z0-9]+", "-", url).strip("-").lower()[:60]
    return f"{readable}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"


@contextmanager
def reaching(path: Path) -> Iterator[None]:
    """Turn what goes wrong on the way to a store into an error that says what to mend. For a folder, nothing.

    Raises:
        PlaceError: a package is missing, the bucket is not there, credentials are refused or the store not reached.
    """
    if not is_remote(path):
        yield
        return
    try:
        yield
    except ImportError as error:
        protocol = str(path).split("://")[0]
        fix = _EXTRAS.get(protocol, f"install the fsspec package of {protocol}://")
        raise PlaceError(f"{shown(path)} needs a package that is not installed; {fix}") from error
    except PermissionError as error:
        raise PlaceError(
            f"{shown(path)}: the store refuses these credentials; set those of the environment "
            "(for S3 AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN or AWS_PROFILE) or the bucket's policy"
        ) from error
    except FileNotFoundError as error:
        if _bucket_is_there(path):
            raise
        bucket = getattr(path, "drive", "") or shown(path)
        raise PlaceError(
            f"{shown(path)}: there is no bucket {bucket!r} on that store; create it, or mend TRASOS_DATA_DIR"
        ) from error
    except (PlaceError, ValueError, KeyError, TypeError, FileExistsError):
        raise
    except Exception as error:
        if not _of_the_way(error):
            raise
        raise PlaceError(f"{shown(path)} cannot be reached ({_kind(error)}); {_way_fix(error)}") from error


def _kind(error: Exception) -> str:
    return type(error).__name__


def _of_the_way(error: Exception) -> bool:
    """Whether an error is of the connection or the store's client, not of our own doing."""
    return isinstance(error, OSError) or type(error).__module__.split(".")[0] in ("botocore", "aiobotocore", "aiohttp")


def _way_fix(error: Exception) -> str:
    if "Credentials" in _kind(error):
        return "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    return "is its endpoint right (AWS_ENDPOINT_URL) and does the store answer?"


def _bucket_is_there(path: Any) -> bool:
    bucket = path.path.strip("/").split("/")[0]
    try:
        return not bucket or bool(path.fs.exists(bucket))
    except Exception:
        return False


def require(path: Path) -> None:
    """Look at a store once, before anything is done with it; a folder is made when it is needed.

    Raises:
        PlaceError: as ``reaching``.
    """
    if not is_remote(path):
        return
    with reaching(path):
        remote: Any = path
        try:
            remote.fs.ls(remote.path, detail=False)
        except FileNotFoundError:
            # An empty prefix is no error, a bucket that is not there is one.
            if not _bucket_is_there(path):
                raise


def make_folder(folder: Path) -> None:
    """Make a folder; on an object store there are none, and asking for one could create a bucket."""
    if not is_remote(folder):
        folder.mkdir(parents=True, exist_ok=True)


def names_below(folder: Path) -> list[str]:
    """Paths of all files below a folder, relative to it, in order; one listing on a store, none if it is not there."""
    if is_remote(folder):
        remote: Any = folder
        remote.fs.invalidate_cache(remote.path)
        root = remote.path.rstrip("/")
        return sorted(name[len(root) :].lstrip("/") for name in remote.fs.find(remote.path))
    return sorted(found.relative_to(folder).as_posix() for found in folder.rglob("*") if found.is_file())


def _on_this_machine(path: Path) -> Path | None:
    """A path of this machine, a ``file://`` one too; None for a store."""
    if not is_remote(path):
        return path
    remote: Any = path
    return Path(remote.path) if remote.protocol in _LOCAL else None


def hidden_for(target: Path, *, of: str = "") -> Path:
    """A file of this machine to write what ``put_in_place`` then makes ``target``.

    Beside a local target under a hidden name, which ``of`` makes another one for each writer; for a store in the folder
    for temporary files.
    """
    local = _on_this_machine(target)
    if local is not None:
        local.parent.mkdir(parents=True, exist_ok=True)
        return local.with_name(f".{local.name}{of}.part")
    descriptor, name = tempfile.mkstemp(prefix="trasos-", suffix=f"-{target.name}")
    os.close(descriptor)
    return Path(name)


def put_in_place(hidden: Path, target: Path) -> None:
    """Give a file that was written under another name its own, in place of what is there: one rename, or one put."""
    local = _on_this_machine(target)
    if local is not None:
        hidden.replace(local)
        return
    remote: Any = target
    try:
        remote.fs.put_file(str(hidden), remote.path)
    finally:
        hidden.unlink(missing_ok=True)
