"""Items made ahead come whole, in order, with their errors, and nothing goes on being made for nobody."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trasos_assets.landing.ahead import made_ahead


@given(items=st.lists(st.integers(), max_size=30), depth=st.integers(1, 4))
def test_every_item_comes_once_and_in_order(items: list[int], depth: int) -> None:
    assert list(made_ahead(iter(items), depth=depth)) == items


def test_what_fails_is_raised_after_the_items_before_it() -> None:
    def broken() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("third")

    found = []
    with pytest.raises(ValueError, match="third"):
        found.extend(made_ahead(broken()))
    seen = []
    with pytest.raises(ValueError, match="third"):
        for item in made_ahead(broken()):
            seen.append(item)
    assert seen == [1, 2]


def test_the_next_item_is_made_while_one_is_used() -> None:
    second = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        second.set()
        yield 2

    ahead = made_ahead(items())
    assert next(ahead) == 1
    assert second.wait(timeout=10)
    assert list(ahead) == [2]


def test_whoever_stops_early_stops_the_making_and_what_is_open_is_closed() -> None:
    closed = threading.Event()
    made = []

    def endless() -> Iterator[int]:
        try:
            while True:
                made.append(len(made))
                yield made[-1]
        finally:
            closed.set()

    before = threading.active_count()
    source = endless()
    ahead = made_ahead(source, depth=2)
    assert next(ahead) == 0
    ahead.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    assert len(made) < 10
    source.close()
    assert closed.is_set()
