"""Every declared space fits its model's config, and a point is its parameters and back to the last bit."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trasos_assets.recommender.models import registry
from trasos_assets.recommender.search.searching import merged
from trasos_assets.recommender.search.spaces import (
    REPEATS_ONLY,
    SPACES,
    Number,
    Space,
    Steps,
    parameters_of,
    point_of,
    space_of,
)

UNSEARCHED = {"popularity"}
"""Models without a parameter."""


def points(space: Space) -> st.SearchStrategy[dict[str, Any]]:
    places: dict[str, st.SearchStrategy[Any]] = {}
    for dimension in space:
        if isinstance(dimension, Steps):
            places[dimension.name] = st.integers(0, len(dimension.values) - 1)
        elif dimension.whole:
            places[dimension.name] = st.integers(int(dimension.low), int(dimension.high))
        else:
            places[dimension.name] = st.floats(dimension.low, dimension.high)
    return st.fixed_dictionaries(places)


def test_every_model_is_searched_or_has_nothing_to_search() -> None:
    assert set(registry.MODELS) - set(SPACES) == UNSEARCHED
    assert set(SPACES) <= set(registry.MODELS)
    assert set(SPACES) >= REPEATS_ONLY


@pytest.mark.parametrize("model", list(SPACES))
@given(data=st.data())
def test_any_point_is_a_config_of_the_model_and_comes_back_from_json(model: str, data: st.DataObject) -> None:
    space = space_of(model)
    point = data.draw(points(space))
    parameters = parameters_of(space, point)
    default = registry.plain(registry.kind_of(model).default)
    config = registry.configured(model, merged(default, parameters))
    assert point_of(space, registry.plain(config)) == point
    assert point_of(space, json.loads(json.dumps(parameters))) == point


@pytest.mark.parametrize("model", list(SPACES))
def test_bounds_are_bounds_and_the_unsearched_parameters_lie_within(model: str) -> None:
    space = space_of(model)
    names = [dimension.name for dimension in space]
    assert len(set(names)) == len(names)
    for dimension in space:
        if isinstance(dimension, Number):
            assert dimension.low < dimension.high
            assert dimension.low > 0 or not dimension.log
    default = registry.plain(registry.kind_of(model).default)
    assert set(point_of(space, default)) == set(names)


@pytest.mark.parametrize(
    ("name", "low", "high", "log"),
    [("factors", 32, 256, True), ("alpha", 1, 100, True), ("regularization", 0.1, 300, True)],
)
def test_als_is_searched_between_the_agreed_bounds(name: str, low: float, high: float, log: bool) -> None:
    found = next(dimension for dimension in SPACES["als"] if dimension.name == name)
    assert isinstance(found, Number)
    assert (found.low, found.high, found.log) == (low, high, log)
    weights = {"weights.view", "weights.cart", "weights.half_life_days"}
    assert weights < {dimension.name for dimension in SPACES["als"]}


def test_weights_of_absent_kinds_are_left_out() -> None:
    names = {dimension.name for dimension in space_of("als", absent={"views", "carts"})}
    assert "weights.view" not in names and "weights.cart" not in names
    assert "weights.view" in {dimension.name for dimension in space_of("als", absent={"carts"})}


def test_a_model_without_a_space_is_refused_with_those_that_have_one() -> None:
    with pytest.raises(ValueError, match=r"nothing of 'popularity' is searched; searched are .*als"):
        space_of("popularity")


@pytest.mark.parametrize("value", [None, True, "2", 0.5, 11, float("nan")])
def test_what_is_no_number_between_the_bounds_has_no_place(value: Any) -> None:
    assert Number("n", 1, 10).place(value) is None
    assert point_of((Number("n", 1, 10),), {"n": value}) == {}
