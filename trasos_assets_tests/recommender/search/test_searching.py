"""The search finds what was planted, spends the same on every model, goes on where it was, and sees no test day."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trasos_assets.recommender.search import SearchError, TooYoungError, best_parameters, spaces
from trasos_assets.recommender.search.ledger import TRIALS_SCHEMA
from trasos_assets.recommender.search.searching import merged, seen_through
from trasos_assets.recommender.search.study import RANDOM_TRIALS, REASON_LENGTH
from trasos_assets.recommender.splits import folds
from trasos_assets_tests.recommender.search.planted import (
    BEST_HEIGHT,
    DAYS,
    PEOPLE,
    TEST_DAYS,
    Planted,
    bread_every_day,
    day,
    planted_plan,
    rank_of,
    registered,
    run,
    timeless,
)
from trasos_assets_tests.recommender.tables import interactions, purchases


class Killed(KeyboardInterrupt):
    pass


def killer(after: int, kept: list[pa.Table]):
    """Keeps what it is given, and kills the search after so many trials."""

    def keep(trials: pa.Table) -> None:
        kept.append(trials)
        if len(kept) == after:
            raise Killed

    return keep


def test_the_planted_optimum_is_found() -> None:
    with registered():
        trials = run(planted_plan(trials=30))
    best = best_parameters(trials, "planted")
    assert best is not None
    assert rank_of(best["height"]) == 1
    assert abs(best["height"] / BEST_HEIGHT - 1) < 0.6
    rows = trials.to_pylist()
    value = next(row["value"] for row in rows if json.loads(row["parameters"]) == best)
    assert value == 1.0
    far = [rank_of(json.loads(row["parameters"])["height"]) for row in rows]
    # What it has learned it uses: proposals get nearer than the random ones were.
    assert sum(far[-10:]) / 10 < sum(far[:RANDOM_TRIALS]) / RANDOM_TRIALS


def test_the_unsearched_parameters_are_tried_first_so_that_the_best_is_never_worse() -> None:
    with registered():
        trials = run(planted_plan(trials=1)).to_pylist()
    assert [(row["origin"], json.loads(row["parameters"])) for row in trials] == [
        ("default", {"height": 100.0, "idle": 3, "inner": {"way": "a"}})
    ]


@pytest.mark.parametrize("after", [1, 3, RANDOM_TRIALS, RANDOM_TRIALS + 1, 13])
def test_a_search_that_was_killed_goes_on_as_if_it_had_not_been(after: int) -> None:
    plan = planted_plan(trials=16)
    with registered():
        undisturbed = run(plan)
        kept: list[pa.Table] = []
        with pytest.raises(Killed):
            run(plan, keep=killer(after, kept))
        assert kept[-1].num_rows == after
        steps = []
        resumed = run(plan, held=kept[-1], watch=steps.append)
    assert timeless(resumed) == timeless(undisturbed)
    assert (steps[0].done, steps[0].last) == (after, None)
    assert [step.done for step in steps] == list(range(after, 17))


def test_a_search_that_is_complete_makes_no_trial_and_a_larger_budget_only_the_rest() -> None:
    with registered():
        done = run(planted_plan(trials=10))
        Planted.fits.clear()
        assert run(planted_plan(trials=10), held=done).equals(done)
        assert Planted.fits == []
        more = run(planted_plan(trials=14), held=done)
        assert timeless(more) == timeless(run(planted_plan(trials=14)))


def test_another_seed_proposes_otherwise() -> None:
    with registered():
        one, other = (run(planted_plan(trials=4, seed=seed)).to_pylist() for seed in (1, 2))
    assert one[0]["parameters"] == other[0]["parameters"]
    assert {row["parameters"] for row in one[1:]}.isdisjoint(row["parameters"] for row in other[1:])


def test_every_model_gets_the_same_budget_whatever_becomes_of_its_trials() -> None:
    class Fragile(Planted):
        def fit(self, train: pa.Table, *, as_of: Any = None) -> Planted:
            if self.config.idle % 2:
                raise ValueError("odd")
            return super().fit(train, as_of=as_of)

    with registered(Fragile, "fragile"), registered(Planted, "planted"):
        trials = run(planted_plan(models=("fragile", "planted"), trials=15))
    states = {name: [r["state"] for r in trials.to_pylist() if r["model"] == name] for name in ("fragile", "planted")}
    assert {name: len(of_model) for name, of_model in states.items()} == {"fragile": 15, "planted": 15}
    assert {"failed", "complete"} <= set(states["fragile"])
    assert "failed" not in states["planted"]


def test_a_trial_that_fails_is_recorded_with_its_reason_and_is_not_fatal() -> None:
    class Failing(Planted):
        def fit(self, train: pa.Table, *, as_of: Any = None) -> Planted:
            raise RuntimeError("of p1 and p2, " * 100)

    with registered(Failing):
        trials = run(planted_plan(trials=3))
    rows = trials.to_pylist()
    assert [row["state"] for row in rows] == ["failed"] * 3
    assert all(row["value"] is None and row["fold_values"] == "[]" for row in rows)
    # What it says may be of people: only what comes out of the platform's own code is quoted.
    assert all(row["reason"].startswith("RuntimeError") and "p1" not in row["reason"] for row in rows)
    assert all(len(row["reason"]) <= REASON_LENGTH for row in rows)
    assert best_parameters(trials, "planted") is None


def test_a_config_that_refuses_its_parameters_says_why() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(spaces.SPACES, "item_knn_bm25", (spaces.Number("b", 2.0, 3.0),))
        trials = run(planted_plan(models=("item_knn_bm25",), trials=2)).to_pylist()
    assert [row["state"] for row in trials] == ["failed"] * 2
    assert all("b from 0 to 1" in row["reason"] for row in trials)


def test_a_pruned_trial_was_judged_on_fewer_folds_and_can_not_be_the_best() -> None:
    with registered():
        trials = run(planted_plan(trials=24)).to_pylist()
        fits = len(Planted.fits)
    pruned = [row for row in trials if row["state"] == "pruned"]
    assert pruned
    judged = [len(json.loads(row["fold_values"])) for row in trials]
    assert fits == sum(judged) < 3 * 24
    assert all(len(json.loads(row["fold_values"])) < 3 and row["value"] is None for row in pruned)
    complete = [row["value"] for row in trials if row["state"] == "complete"]
    assert all(
        sum(json.loads(row["fold_values"])) / len(json.loads(row["fold_values"])) < max(complete) for row in pruned
    )


def test_no_day_is_seen_that_the_leaderboard_tests_on() -> None:
    rows = bread_every_day()
    plan = planted_plan(trials=3)
    tested = folds(rows, test_days=TEST_DAYS, folds=2)
    first_tested = min(split.train_through for split in tested)
    assert seen_through(rows, plan) == first_tested == day(DAYS - 1 - 2 * TEST_DAYS)
    with registered():
        trials = run(plan, rows).to_pylist()
        lasts = {(last, as_of) for _, last, as_of in Planted.fits}
    assert {row["as_of"] for row in trials} == {first_tested}
    assert lasts == {(through, through) for through in (day(14), day(19), day(24))}
    assert {row["train_through"] for row in trials} == {day(14)}
    assert {(row["folds"], row["people"]) for row in trials} == {(3, 3 * PEOPLE)}


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["p0", "p1", "new"]), st.sampled_from(["bread", "cake"]), st.integers(30, DAYS - 1)),
        max_size=30,
    )
)
def test_whatever_happens_on_test_days_changes_no_trial(later: list[tuple[str, str, int]]) -> None:
    before = [(f"p{person}", "bread", on) for person in range(6) for on in range(30)]
    plan = planted_plan(trials=3, through=day(DAYS - 1))
    with registered():
        # An interaction on the last day keeps the windows where they are.
        calm = run(plan, purchases([*before, ("p0", "bread", DAYS - 1)]))
        busy = run(plan, purchases([*before, ("p0", "bread", DAYS - 1), *later]))
    assert timeless(calm) == timeless(busy)


def test_other_data_or_other_code_begins_a_new_study_with_the_best_of_the_former_one() -> None:
    with registered():
        first = run(planted_plan(trials=12))
        best = best_parameters(first, "planted")
        for changed in (
            run(planted_plan(trials=3), rows=bread_every_day(DAYS + 7), held=first),
            run(planted_plan(trials=3), held=first, code="other"),
        ):
            new = changed.slice(12).to_pylist()
            assert changed.slice(0, 12).equals(first)
            assert {row["study"] for row in new}.isdisjoint(first["study"].to_pylist())
            assert [row["origin"] for row in new] == ["former", "default", "proposed"]
            assert json.loads(new[0]["parameters"]) == best
            assert best_parameters(changed, "planted") == best


def test_a_former_best_that_is_the_default_is_tried_once() -> None:
    with registered():
        first = run(planted_plan(trials=1))
        again = run(planted_plan(trials=2), held=first, code="other").slice(1).to_pylist()
    assert [row["origin"] for row in again] == ["former", "proposed"]


def test_a_weight_of_what_never_happens_is_not_searched() -> None:
    bought = bread_every_day()
    viewed = interactions((f"p{person}", "bread", on, 1, 0, 1) for person in range(6) for on in range(DAYS))
    plan = planted_plan(models=("item_knn_cosine",), trials=1)
    searched = [json.loads(run(plan, rows).to_pylist()[0]["parameters"])["weights"] for rows in (bought, viewed)]
    assert [sorted(weights) for weights in searched] == [
        ["half_life_days", "repeats"],
        ["half_life_days", "repeats", "view"],
    ]


def test_what_only_repeats_is_judged_on_repeats() -> None:
    plan = planted_plan(models=("personal_repeat",), trials=2, target="new_items")
    rows = run(plan).to_pylist()
    assert {row["target"] for row in rows} == {"all_items"}
    assert [row["value"] for row in rows] == [1.0, 1.0]


def test_too_few_days_and_unknown_models_are_refused_in_words() -> None:
    plan = planted_plan()
    with registered():
        with pytest.raises(TooYoungError, match="fewer than two days"):
            run(plan, bread_every_day(1))
        with pytest.raises(TooYoungError, match="TRASOS_TEST_DAYS"):
            run(plan, bread_every_day(2))
        with pytest.raises(SearchError, match="nothing of oracle is searched"):
            run(planted_plan(models=("oracle",)))


def test_nobody_to_be_judged_is_said_and_no_trial_is_made() -> None:
    """On new items nobody buys anything new."""
    kept: list[pa.Table] = []
    with registered(), pytest.raises(TooYoungError, match="nobody can be judged on new_items"):
        run(planted_plan(target="new_items"), keep=kept.append)
    assert kept == []


def test_parameters_are_merged_deeply_and_nothing_is_changed_in_place() -> None:
    whole = {"a": 1, "inner": {"b": 2, "c": 3}}
    assert merged(whole, {"inner": {"c": 4}}) == {"a": 1, "inner": {"b": 2, "c": 4}}
    assert whole == {"a": 1, "inner": {"b": 2, "c": 3}}


def test_a_row_without_those_before_it_is_made_again() -> None:
    with registered():
        whole = run(planted_plan(trials=5))
        torn = whole.filter(pa.array([True, True, False, True, False]))
        assert timeless(run(planted_plan(trials=5), held=torn)) == timeless(whole)
    assert whole.schema == TRIALS_SCHEMA
