"""Files as they are now, under names that nobody replaces.

DuckDB opens a file several times in one query, for its footer and again for its data; Spark plans by sizes that it
looked up before. Were the file replaced in between, the footer of one version would be applied to the bytes of another.
A hard link costs no bytes and keeps the version that it was made of, whatever takes the place of the first name.
"""

from __future__ import annotations

import os
import shutil
import socket
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from trasos_assets.lake.locks import alive

_FOLDER = ".reading"


def pinned(files: Sequence[Path], root: Path, folder: Path) -> list[Path]:
    """Hard links to files below ``root``, in ``folder`` as they stand below the root; what is gone is left out.

    On a file system without hard links, or that may not be written, the files themselves.
    """
    links = []
    made: set[Path] = set()
    try:
        for file in files:
            link = folder / file.relative_to(root)
            if link.parent not in made:
                link.parent.mkdir(parents=True, exist_ok=True)
                made.add(link.parent)
            with suppress(FileNotFoundError):
                os.link(file, link)
                links.append(link)
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        return list(files)
    return links


def new_folder(local: Path) -> Path:
    """The name of a folder for one read of this process, below the lake's local folder."""
    return local / _FOLDER / f"{socket.gethostname()}-{os.getpid()}" / uuid.uuid4().hex[:12]


def sweep(local: Path) -> None:
    """Remove the pins of processes on this machine that are gone."""
    for folder in (local / _FOLDER).glob(f"{socket.gethostname()}-*"):
        pid = folder.name.rsplit("-", 1)[-1]
        if pid.isdigit() and not alive(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
