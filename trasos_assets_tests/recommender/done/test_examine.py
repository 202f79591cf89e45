"""Whom a candidate is held against."""

from datetime import date

import pytest

from trasos_assets.recommender import champions
from trasos_assets.recommender.done.examine import to_beat

DAY = date(2026, 1, 30)


def served(model: str) -> list[dict]:
    told = {"model": model, "model_version": "v1", "parameters": "{}", "parts": 2, "as_of": DAY}
    return champions.promoted([], told, passed=True, reason="", as_of=DAY)


@pytest.mark.parametrize("on_spark", [False, True])
def test_what_serves_must_be_beaten_but_the_fallback_is_no_champion(on_spark: bool) -> None:
    (row,) = served("als")
    assert to_beat([row], on_spark=on_spark) == (row, None)
    assert to_beat(served(champions.FALLBACK), on_spark=on_spark) == to_beat([], on_spark=on_spark) == (None, None)


def test_on_spark_a_champion_that_cannot_serve_there_is_nobody_to_beat() -> None:
    (row,) = served("blend")
    assert to_beat([row], on_spark=True) == (None, "blend")
    assert to_beat([row], on_spark=False) == (row, None)
