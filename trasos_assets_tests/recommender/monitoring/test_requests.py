import itertools
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trasos_assets.contracts.monitoring import RETRAINING_REQUESTS
from trasos_assets.contracts.schema import violations
from trasos_assets.recommender.monitoring import requests
from trasos_assets.recommender.monitoring.requests import Need, Patience, Standing, Trained
from trasos_assets_tests.conftest import make_table, new_backend
from trasos_assets_tests.recommender.monitoring.tables import day
from trasos_assets_tests.recommender.monitoring.test_looks import looked

PATIENCE = Patience(looks=2, stale_days=21, new_share=0.25, schedule_days=9, cooldown_days=3)


def standing(on: int, *, age: int = 5, learned: int = 1_000, new: int = 0, version: str | None = "v1") -> Standing:
    return Standing(day(on), version, age if version else None, learned, new)


def reasons(found) -> list[str]:
    return [need.reason for need in found]


def test_every_reason_is_told_with_its_figures():
    looks = [looked(n, "prices", "drifted") for n in (29, 30)]
    found = requests.needs(looks, standing(30, age=25, new=400), Trained("c1", day(18)), PATIENCE)
    assert reasons(found) == ["drift", "staleness", "new_data", "missed_schedule"]
    details = " ".join(need.detail for need in found)
    for told in ("prices (PSI 0.30)", "25 days old", "40%", "12 days old"):
        assert told in details


def test_nothing_is_asked_for_within_bounds():
    looks = [looked(29, "prices", "drifted"), looked(30, "prices", "watch")]
    assert requests.needs(looks, standing(30, age=21, new=249), Trained("c1", day(21)), PATIENCE) == []


@pytest.mark.parametrize(("version", "trained"), [(None, Trained("c1", day(0))), ("v1", None)])
def test_before_there_is_a_model_nothing_is_asked_for(version, trained):
    looks = [looked(n, "prices", "drifted") for n in (29, 30)]
    assert requests.needs(looks, standing(30, version=version, new=900), trained, PATIENCE) == []


def after(book, wanted, on, trained):
    return requests.next_requests(book, [Need(reason, "why") for reason in wanted], standing(on), trained, PATIENCE)


def told(book) -> list[tuple]:
    return [(row["requested_as_of"], row["reason"], row["fulfilled_by"]) for row in book]


def test_a_request_is_written_once_rests_for_the_cool_down_and_is_met_by_the_next_candidate():
    old = Trained("c1", day(20), "schedule")
    book = after([], ["drift"], 30, old)
    assert told(book) == [(day(20), "schedule", "c1"), (day(30), "drift", None)]
    assert after(book, ["drift"], 30, old) == book
    assert after(book, ["drift", "staleness"], 32, old) == book
    failed = after(book, ["drift"], 33, old)
    assert told(failed)[2:] == [(day(33), "drift", None)]
    assert [row["requested_as_of"] for row in requests.waiting_requests(failed)] == [day(33)]

    new = Trained("c2", day(33), "drift")
    met = after(failed, ["drift"], 33, new)
    assert told(met) == [(day(20), "schedule", "c1"), (day(30), "drift", "c2"), (day(33), "drift", "c2")]
    assert requests.waiting_requests(met) == []
    # The gate may have refused c2, so the drift goes on: after the cool-down it is asked for again.
    assert after(met, ["drift"], 35, new) == met
    assert told(after(met, ["drift"], 36, new))[-1] == (day(36), "drift", None)


def test_reasons_of_one_day_are_one_request():
    book = after([], ["drift"], 30, Trained("c1", day(20)))
    book = after(book, ["drift", "staleness"], 30, Trained("c1", day(20)))
    assert [row["reason"] for row in requests.waiting_requests(book)] == ["drift", "staleness"]


def test_an_older_candidate_does_not_meet_a_request():
    book = after([], ["drift"], 30, Trained("c1", day(20)))
    again = after(book, [], 31, Trained("c1b", day(29)))
    assert told(again)[1] == (day(30), "drift", None)
    assert told(again)[2] == (day(29), "by_hand", "c1b")


@pytest.mark.parametrize("reason", ["schedule", "by_hand", "drift", "what nobody knows"])
def test_a_training_that_nobody_asked_for_is_recorded_once_with_its_reason(reason):
    trained = Trained("c1", day(30), reason)
    book = after([], [], 30, trained)
    assert told(book) == [(day(30), reason if reason != "what nobody knows" else "by_hand", "c1")]
    assert after(book, [], 30, trained) == book


steps = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.booleans(),
        st.lists(st.sampled_from(["drift", "staleness", "new_data"]), unique=True),
    ),
    max_size=25,
)


@given(steps)
@settings(max_examples=60, deadline=None)
def test_the_book_only_grows_keeps_its_contract_and_never_asks_within_the_cool_down(walk):
    book, on, trained = [], 0, None
    for ahead, trains, wanted in walk:
        on += ahead
        if trains:
            trained = Trained(f"c{on}", day(on), "schedule")
        wanted = wanted if trained else []
        grown = after(book, wanted, on, trained)
        assert [(r["requested_as_of"], r["reason"]) for r in grown[: len(book)]] == [
            (r["requested_as_of"], r["reason"]) for r in book
        ]
        assert after(grown, wanted, on, trained) == grown
        book = grown
    asked = sorted({row["requested_as_of"] for row in book if row["reason"] not in ("schedule", "by_hand")})
    assert all(later - sooner >= timedelta(days=3) for sooner, later in itertools.pairwise(asked))
    assert [row["sequence"] for row in book] == list(range(1, len(book) + 1))


def test_the_book_keeps_its_contract():
    book = after(after([], ["drift"], 30, Trained("c1", day(20))), [], 31, Trained("c2", day(31)))
    rows = requests.requests_table(book).to_pylist()
    assert violations(RETRAINING_REQUESTS, make_table(new_backend(), RETRAINING_REQUESTS, rows)) == []
