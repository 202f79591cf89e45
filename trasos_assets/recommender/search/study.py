"""A study: trial after trial of one model, proposed by Optuna's TPE, given up early by its median rule.

What is proposed depends on the finished trials, the seed and the trial's number, and on nothing else: Optuna's own
state lives for one trial only. So a study that was killed and goes on from its stored trials makes the trials that it
would have made undisturbed. Optuna is imported when a study runs, for it is slow to load.
"""

from __future__ import annotations

import hashlib
import math
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trasos_assets.recommender.search.ledger import COMPLETE, FAILED, PRUNED, Origin, State, Trial
from trasos_assets.recommender.search.spaces import Number, Point, Space, parameters_of, point_of

if TYPE_CHECKING:
    import optuna

RANDOM_TRIALS = 8
"""Trials before TPE begins to learn; those of the former study and of the defaults among them."""

UNPRUNED_TRIALS = 4
"""Complete trials before any is given up."""

REASON_LENGTH = 300
PACKAGE = Path(__file__).parents[2]

Score = Callable[[Mapping[str, Any]], Iterable[float]]
"""From parameters to the value on one fold after the other, each computed when it is asked for."""


@dataclass(frozen=True)
class Study:
    """One model's search over one window of data.

    ``first`` are parameters to be tried before anything is proposed, with where they are from; what they leave open,
    or have out of bounds, the sampler fills in.
    """

    name: str
    model: str
    space: Space
    seed: int
    first: Sequence[tuple[Origin, Mapping[str, Any]]] = ()

    def points_first(self) -> list[tuple[Origin, Point]]:
        """The points of ``first``, without repeats."""
        found: list[tuple[Origin, Point]] = []
        for origin, parameters in self.first:
            point = point_of(self.space, parameters)
            if point and all(point != earlier for _, earlier in found):
                found.append((origin, point))
        return found


def seed_of(study: Study, number: int) -> int:
    """The seed of one trial: 32 bits of a hash."""
    text = f"{study.seed}/{study.model}/{number}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def next_trial(study: Study, history: Sequence[Trial], score: Score, folds: int) -> Trial:
    """Propose, judge fold by fold, and give up where the median of the complete trials was better by then.

    ``history`` are the trials 0, 1, ... before this one. A configuration that fails, or whose value is not a number,
    is a failed trial with its reason. Only ``KeyboardInterrupt`` and its like pass through.
    """
    began = time.perf_counter()
    running, origin = _asked(study, history)
    parameters = parameters_of(study.space, running.params)
    values: list[float] = []
    state: State = COMPLETE
    reason = None
    try:
        for value in score(parameters):
            if not math.isfinite(value):
                state, reason = FAILED, f"the value of fold {len(values) + 1} is not a number"
                break
            values.append(float(value))
            # The sum so far, not the value: folds differ in difficulty, and Optuna compares the best value reported
            # up to a fold. A sum of what is never negative is its own best, so trials are compared on equal folds.
            running.report(sum(values), len(values) - 1)
            if len(values) < folds and running.should_prune():
                state = PRUNED
                reason = f"below the median of the complete trials after fold {len(values)} of {folds}"
                break
    except Exception as error:
        state, reason = FAILED, said(error)
    return Trial(
        number=len(history),
        state=state,
        origin=origin,
        parameters=parameters,
        fold_values=tuple(values),
        value=sum(values) / len(values) if state == COMPLETE and values else None,
        seconds=time.perf_counter() - began,
        reason=reason,
        finished_at=datetime.now(UTC).replace(tzinfo=None),
    )


def importances(study: Study, history: Sequence[Trial]) -> dict[str, float]:
    """Share of each dimension in what decides over a good value, by PED-ANOVA (Watanabe, Bansal and Hutter 2023).

    They add up to 1, the largest first; empty with fewer than ``RANDOM_TRIALS`` complete trials, or where all values
    are alike.
    """
    complete = [trial for trial in history if trial.state == COMPLETE]
    if len(complete) < RANDOM_TRIALS or len({trial.value for trial in complete}) < 2:
        return {}
    import optuna

    told = _told(study, history)
    names = [dimension.name for dimension in study.space]
    found = optuna.importance.get_param_importances(told, params=names)
    shares = {name: float(share) for name, share in found.items()}
    return {} if any(not math.isfinite(share) for share in shares.values()) else shares


def said(error: Exception) -> str:
    """An error in one line: its message where it is ours, else its kind and where it came from.

    Ours name no person; what a library says of the data might.
    """
    frames = traceback.extract_tb(error.__traceback__)
    if frames and Path(frames[-1].filename).is_relative_to(PACKAGE):
        lines = str(error).splitlines() or [""]
        return f"{type(error).__name__}: {lines[0]}"[:REASON_LENGTH]
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(PACKAGE)]
    place = f" below {Path(ours[-1].filename).relative_to(PACKAGE.parent)}:{ours[-1].lineno}" if ours else ""
    return f"{type(error).__name__}{place}"[:REASON_LENGTH]


def _distributions(space: Space) -> dict[str, optuna.distributions.BaseDistribution]:
    from optuna.distributions import FloatDistribution, IntDistribution

    found: dict[str, optuna.distributions.BaseDistribution] = {}
    for dimension in space:
        if not isinstance(dimension, Number):
            found[dimension.name] = IntDistribution(0, len(dimension.values) - 1)
        elif dimension.whole:
            found[dimension.name] = IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
        else:
            found[dimension.name] = FloatDistribution(dimension.low, dimension.high, log=dimension.log)
    return found


def _told(study: Study, history: Sequence[Trial]) -> optuna.Study:
    """Optuna's study, in memory, that knows the finished trials."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    distributions = _distributions(study.space)
    states = {
        COMPLETE: optuna.trial.TrialState.COMPLETE,
        PRUNED: optuna.trial.TrialState.PRUNED,
        FAILED: optuna.trial.TrialState.FAIL,
    }
    told = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(n_startup_trials=RANDOM_TRIALS, seed=seed_of(study, len(history))),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED_TRIALS),
    )
    for trial in history:
        told.add_trial(
            optuna.trial.create_trial(
                state=states[trial.state],
                value=trial.value,
                params=point_of(study.space, trial.parameters),
                distributions=distributions,
                intermediate_values={
                    step: sum(trial.fold_values[: step + 1]) for step in range(len(trial.fold_values))
                },
            )
        )
    return told


def _asked(study: Study, history: Sequence[Trial]) -> tuple[optuna.Trial, Origin]:
    """The next trial of Optuna's study, and where its parameters come from."""
    told = _told(study, history)
    first = study.points_first()
    origin: Origin = "proposed"
    if len(history) < len(first):
        origin, point = first[len(history)]
        told.enqueue_trial(point)
    return told.ask(_distributions(study.space)), origin
