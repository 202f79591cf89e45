"""One trial after the other: proposals depend on the past alone, and only equal folds are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from trasos_assets.recommender.search.ledger import COMPLETE, Trial
from trasos_assets.recommender.search.spaces import Number, Steps
from trasos_assets.recommender.search.study import (
    RANDOM_TRIALS,
    UNPRUNED_TRIALS,
    Study,
    importances,
    next_trial,
    said,
    seed_of,
)

SPACE = (Number("x", 0.0, 1.0), Number("y", 0.0, 1.0))
STUDY = Study("study", "model", SPACE, seed=3)


def past(values: Sequence[Sequence[float]]) -> list[Trial]:
    """Complete trials with these values by fold."""
    rng = np.random.default_rng(0)
    return [
        Trial(
            number,
            COMPLETE,
            "proposed",
            dict(zip("xy", rng.random(2).tolist(), strict=True)),
            tuple(by_fold),
            sum(by_fold) / len(by_fold),
            0.0,
            None,
            datetime(2026, 1, 1),
        )
        for number, by_fold in enumerate(values)
    ]


def test_the_same_past_gives_the_same_proposal_before_and_after_it_learns() -> None:
    for length in (0, 3, RANDOM_TRIALS, RANDOM_TRIALS + 5):
        history = past([(0.1 * number, 0.2) for number in range(length)])
        once, again = (next_trial(STUDY, history, lambda _: [0.5, 0.5], 2).parameters for _ in range(2))
        other = next_trial(replace(STUDY, seed=4), history, lambda _: [0.5, 0.5], 2).parameters
        assert once == again != other


def test_seeds_differ_between_trials_and_models() -> None:
    seeds = {seed_of(replace(STUDY, model=model), number) for model in ("als", "bpr") for number in range(50)}
    assert len(seeds) == 100
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_folds_of_another_difficulty_do_not_save_a_bad_trial() -> None:
    """The first fold is easy, the second hard: good there is no excuse for nothing here."""
    history = past([(0.9, 0.3, 0.3)] * UNPRUNED_TRIALS)
    trial = next_trial(STUDY, history, lambda _: iter([0.9, 0.0, 0.3]), 3)
    assert (trial.state, trial.fold_values) == ("pruned", (0.9, 0.0))
    assert trial.reason == "below the median of the complete trials after fold 2 of 3"


def test_a_trial_at_the_median_or_above_is_judged_to_the_end() -> None:
    history = past([(0.9, 0.3), (0.1, 0.0), (0.5, 0.1), (0.5, 0.1)])
    trial = next_trial(STUDY, history, lambda _: iter([0.5, 0.7]), 2)
    assert (trial.state, trial.value, trial.reason) == ("complete", pytest.approx(0.6), None)


def test_nothing_is_pruned_before_there_is_something_to_compare_with_nor_after_the_last_fold() -> None:
    few = past([(0.9, 0.9)] * (UNPRUNED_TRIALS - 1))
    assert next_trial(STUDY, few, lambda _: iter([0.0, 0.0]), 2).state == "complete"
    enough = past([(0.5, 0.9)] * UNPRUNED_TRIALS)
    assert next_trial(STUDY, enough, lambda _: iter([0.5, 0.0]), 2).state == "complete"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_no_number_fails_the_trial(value: float) -> None:
    trial = next_trial(STUDY, [], lambda _: iter([0.5, value]), 2)
    assert (trial.state, trial.value, trial.fold_values) == ("failed", None, (0.5,))
    assert trial.reason == "the value of fold 2 is not a number"


def test_what_failed_does_not_teach_but_counts() -> None:
    failed = next_trial(STUDY, [], lambda _: iter([float("nan")]), 1)
    assert next_trial(STUDY, [failed], lambda _: [0.5], 1).number == 1


def test_an_interruption_is_no_failure() -> None:
    def score(_: object):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next_trial(STUDY, [], score, 1)


def test_parameters_outside_of_the_space_are_left_to_the_sampler() -> None:
    study = replace(STUDY, first=(("default", {"x": 0.25, "y": 7.0, "z": 1}), ("former", {"x": 2.0})))
    trial = next_trial(study, [], lambda _: [0.5], 1)
    assert (trial.origin, trial.parameters["x"]) == ("default", 0.25)
    assert 0 <= trial.parameters["y"] <= 1
    assert [origin for origin, _ in study.points_first()] == ["default"]


def test_importance_lies_with_the_parameter_that_decides() -> None:
    rng = np.random.default_rng(1)
    history = []
    for number, (x, y) in enumerate(rng.random((40, 2)).tolist()):
        history.append(replace(past([(x,)])[0], number=number, parameters={"x": x, "y": y}, value=x, fold_values=(x,)))
    shares = importances(STUDY, history)
    assert list(shares) == ["x", "y"]
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["x"] > 0.8


def test_importance_is_not_told_of_few_or_equal_trials() -> None:
    assert importances(STUDY, past([(0.1 * n,) for n in range(RANDOM_TRIALS - 1)])) == {}
    assert importances(STUDY, past([(0.5,)] * 20)) == {}


def test_steps_are_proposed_from_their_values_only() -> None:
    study = Study("s", "m", (Steps("inner.way", ("a", None)),), seed=0)
    history: list[Trial] = []
    for _ in range(12):
        history.append(next_trial(study, history, lambda found: [1.0 if found["inner"]["way"] is None else 0.2], 1))
    assert {trial.parameters["inner"]["way"] for trial in history} == {"a", None}


def test_an_error_of_a_library_is_named_by_kind_and_place_ours_in_full() -> None:
    from trasos_assets.recommender.models import ALSConfig
    from trasos_assets.recommender.search.objective import folds_of

    def caught(function) -> Exception:
        try:
            function()
        except Exception as error:
            return error
        raise AssertionError

    assert "factors and iterations must be at least 1" in said(caught(lambda: ALSConfig(factors=0)))
    assert said(caught(lambda: int("p123"))) == "ValueError"
    within = said(caught(lambda: folds_of([object()], "new_items")))  # pyright: ignore[reportArgumentType]
    assert within.startswith("AttributeError")
