"""Small files that are written whole or not at all."""

import os
from pathlib import Path
from typing import Any

from trasos_assets.places import is_remote


def write_whole(path: Path, text: str) -> None:
    """Write a file so that whoever reads it finds all of it, whenever this process or the machine dies.

    On an object store it is one put.
    """
    if is_remote(path):
        remote: Any = path
        remote.fs.pipe_file(remote.path, text.encode())
        return
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with scratch.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    scratch.replace(path)
