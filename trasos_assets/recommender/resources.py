"""What a piece of work takes: wall clock, and how far the process's memory grew meanwhile."""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

_STATM = Path("/proc/self/statm")
_PAUSE_SECONDS = 0.005


class Meter:
    """``with Meter() as meter: ...``, then ``meter.seconds`` and ``meter.peak_bytes``.

    ``peak_bytes`` is the most that resident memory stood above its start, sampled 200 times a second by a thread.
    Native memory counts too, which ``tracemalloc`` misses, and so does memory used again after it was given back,
    which the process's own high-water mark misses. What the process holds free is given back first, where it can be:
    what fits into it would not show. None where the system has no /proc.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.peak_bytes: int | None = None
        self._done = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        give_back()
        self._before = resident_bytes()
        self.peak_bytes = None if self._before is None else 0
        if self._before is not None:
            self._watch.start()
        self._start = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = time.perf_counter() - self._start
        self._note()
        self._done.set()
        if self._before is not None:
            self._watch.join()

    def _look(self) -> None:
        while not self._done.wait(_PAUSE_SECONDS):
            self._note()

    def _note(self) -> None:
        now = resident_bytes()
        if now is not None and self._before is not None:
            self.peak_bytes = max(self.peak_bytes or 0, now - self._before)


def give_back() -> None:
    """Return memory that was freed to the system, as far as the C library (glibc alone) can; it keeps a lot by itself.

    Work on arrays of some megabytes leaves several times what it held between two of them.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def resident_bytes() -> int | None:
    """Memory of this process that is in RAM; None where the system does not tell by /proc."""
    try:
        pages = int(_STATM.read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
