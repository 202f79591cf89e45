"""Writers' locks: one writer of a table at a time, among all processes that see the same file system."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def held(folder: Path, name: str, *, on_wait: object = None) -> Iterator[None]:
    """Hold the lock of that name; a second writer waits and is told who holds it.

    ``on_wait`` is called with a sentence when the lock is taken by another process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    holder = folder / f"{name}.holder"
    lock = FileLock(folder / f"{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        who = holder.read_text() if holder.exists() else "another process"
        if callable(on_wait):
            on_wait(f"{name} is being written by {who}; waiting for it to finish")
        lock.acquire()
    try:
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}")
        yield
    finally:
        lock.release()


def alive(pid: int) -> bool:
    """Whether a process of that number runs on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
