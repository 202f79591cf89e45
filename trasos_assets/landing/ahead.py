"""The next items are made by another thread while the last ones are used."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from queue import Empty, Full, Queue
from typing import TypeVar

T = TypeVar("T")
_LOOK_SECONDS = 0.1


def made_ahead(items: Iterable[T], *, depth: int = 1) -> Iterator[T]:
    """The items in their order, up to ``depth`` of them made before they are asked for.

    What making one raises is raised here, after the items before it. Whoever stops early stops the making too.
    """
    queue: Queue[tuple[bool, T | BaseException | None]] = Queue(maxsize=depth)
    stopped = threading.Event()

    def put(entry: tuple[bool, T | BaseException | None]) -> bool:
        while not stopped.is_set():
            try:
                queue.put(entry, timeout=_LOOK_SECONDS)
            except Full:
                continue
            return True
        return False

    def make() -> None:
        try:
            for item in items:
                if not put((True, item)):
                    return
        except BaseException as error:
            put((False, error))
        else:
            put((False, None))

    maker = threading.Thread(target=make, name="made ahead", daemon=True)
    maker.start()
    try:
        while True:
            good, item = queue.get()
            if good:
                yield item  # type: ignore[misc]
            elif item is None:
                return
            else:
                raise item  # type: ignore[misc]
    finally:
        stopped.set()
        while maker.is_alive():
            try:
                queue.get(timeout=_LOOK_SECONDS)
            except Empty:
                continue
