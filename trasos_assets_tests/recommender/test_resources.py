import platform
import time

import numpy as np
import pytest

from trasos_assets.recommender.resources import Meter, give_back, resident_bytes

MEGABYTE = 1 << 20

needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators give back by themselves")


def leave_free(megabytes: int) -> np.ndarray:
    """Fill the heap and free all but its end, which the allocator then keeps; returns the end."""
    pieces = [np.ones(64 << 10, np.uint8) for _ in range(megabytes * 16)]
    return pieces.pop()


@needs_glibc
def test_memory_that_was_freed_is_given_back() -> None:
    end = leave_free(200)
    before = resident_bytes()
    give_back()
    after = resident_bytes()
    assert before is not None and after is not None and end.all()
    assert before - after > 150 * MEGABYTE


@needs_glibc
def test_what_the_process_held_free_does_not_hide_what_work_takes() -> None:
    end = leave_free(200)
    with Meter() as meter:
        held = [np.ones(64 << 10, np.uint8) for _ in range(100 * 16)]
    assert len(held) == 1600 and end.all()
    assert meter.peak_bytes is not None and 80 * MEGABYTE < meter.peak_bytes < 150 * MEGABYTE


def test_the_most_that_was_held_meanwhile_counts_and_not_what_is_left() -> None:
    with Meter() as meter:
        held = np.ones(100 * MEGABYTE, np.uint8)
        time.sleep(0.05)
        del held
    assert meter.seconds >= 0.05
    assert meter.peak_bytes is None or 80 * MEGABYTE < meter.peak_bytes < 150 * MEGABYTE
