import re

import pytest

from trasos_assets.recommender.interactions import EventWeights
from trasos_assets.recommender.models import ALSConfig
from trasos_assets.recommender.versions import model_version

INPUTS = {"training_interactions": "aa", "code": "bb"}


def test_version_is_twelve_hex_digits_and_stays_the_same() -> None:
    assert re.fullmatch("[0-9a-f]{12}", model_version(INPUTS, {"factors": 64}))
    # A fixed value: a change here makes every stored version of the past another one.
    assert model_version(INPUTS, {"factors": 64, "alpha": 3.0}) == "6f5a69b6545f"


def test_version_does_not_depend_on_the_order_of_keys() -> None:
    one = model_version(INPUTS, {"factors": 64, "alpha": 3.0})
    assert model_version(dict(reversed(INPUTS.items())), {"alpha": 3.0, "factors": 64}) == one


def test_any_change_of_input_or_parameter_gives_another_version() -> None:
    configs = [ALSConfig(), ALSConfig(seed=1), ALSConfig(weights=EventWeights(view=0))]
    versions = [model_version(INPUTS, config) for config in configs]
    versions += [model_version(INPUTS | {"code": "cc"}, ALSConfig()), model_version({}, ALSConfig())]
    assert len(set(versions)) == len(versions)


def test_values_without_a_stable_text_are_refused() -> None:
    with pytest.raises(TypeError):
        model_version(INPUTS, {"model": object()})
    with pytest.raises(ValueError):
        model_version(INPUTS, {"alpha": float("nan")})
