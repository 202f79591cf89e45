"""Only what is done may serve: every criterion refuses what it is there for, and nothing else does."""

from datetime import date

import pytest

from trasos_assets.contracts.models import DEFINITION_OF_DONE
from trasos_assets.recommender.definition_of_done import CRITERIA, OWNERS, is_done, judged, refusals
from trasos_assets.recommender.done.model import Paired, Thresholds
from trasos_assets.settings import Settings
from trasos_assets_tests.recommender.done.evidence import GOOD, refused_by, spoiled

WORSE = Paired(-0.02, -0.03, -0.01, 900)
DAY = date(2026, 1, 30)
LEVEL = Paired(0.001, -0.004, 0.006, 900)


def test_a_candidate_that_keeps_every_criterion_is_done() -> None:
    verdicts = judged(GOOD, Thresholds())
    assert is_done(verdicts) and refusals(verdicts) == []
    assert [row["criterion"] for row in verdicts] == list(OWNERS) == [criterion.name for criterion in CRITERIA]
    assert set(verdicts[0]) | {"model", "model_version", "as_of"} == set(DEFINITION_OF_DONE.column_names)


def test_every_team_asks_for_something_and_thresholds_are_settings() -> None:
    assert set(OWNERS.values()) == {"engineering", "science", "analytics"}
    assert {name for criterion in CRITERIA for name in criterion.settings} <= set(Settings.model_fields)
    assert len(OWNERS) == len(CRITERIA)


@pytest.mark.parametrize(
    ("criterion", "spoil"),
    [
        ("beats_recent_popularity", {"against_popularity": Paired(0.001, -0.0001, 0.002, 900)}),
        ("beats_recent_popularity", {"against_popularity": Paired(0.0, 0.0, 0.0, 900)}),
        ("holds_against_the_champion", {"against_champion": WORSE}),
        ("vectors_know_their_data", {"known_pairs": 0.51}),
        ("vectors_know_their_data", {"known_pairs": 0.55, "pairs": 1_000}),
        ("trained_on_the_past", {"last_day": date(2026, 1, 31)}),
        ("trained_on_the_past", {"leaks": 3}),
        ("serves_new_people", {"cold_served": 49}),
        ("serves_new_people", {"cold_own": 50, "cold_against_popularity": WORSE}),
        ("serves_new_people", {"cold_own": 50, "cold_against_popularity": Paired(-0.03, -0.04, -0.0051, 900)}),
        ("reaches_the_catalogue", {"items": 25}),
        ("is_not_popularity_in_disguise", {"popularity": 1.0}),
        ("has_finite_numbers", {"not_finite": 1}),
        ("pads_no_list", {"padded": 1}),
        ("shows_nothing_bought", {"bought": 1}),
        ("shows_what_is_for_sale", {"not_for_sale": 1}),
        ("is_reproducible", {"refit_hash": "b"}),
        ("answers_in_time", {"milliseconds": 51.0}),
        ("fits_in_memory", {"megabytes": 5_000.0}),
    ],
)
def test_a_planted_fault_is_refused_by_its_own_criterion_and_by_no_other(criterion: str, spoil: dict) -> None:
    assert list(refused_by(spoiled(**spoil))) == [criterion]


def test_every_criterion_has_a_planted_fault() -> None:
    parametrized = test_a_planted_fault_is_refused_by_its_own_criterion_and_by_no_other.pytestmark[0].args[1]
    assert {criterion for criterion, _ in parametrized} == set(OWNERS)


def test_no_candidate_is_done_of_which_a_criterion_was_left_out() -> None:
    verdicts = judged(GOOD, Thresholds())
    assert not is_done(verdicts[1:]) and not is_done([])


def test_quality_that_cannot_be_judged_is_not_there_but_raises_no_alarm() -> None:
    few = Paired(0.3, 0.2, 0.4, 99)
    for found in (few, None, Paired(None, None, None, 0)):
        row = judged(spoiled(against_popularity=found), Thresholds())[0]
        assert (row["passed"], row["judged"]) == (False, False)
        assert "too little to judge by" in row["reason"]
    assert refused_by(spoiled(against_popularity=few), Thresholds(people=99)) == {}


def test_what_cannot_go_wrong_for_want_of_cases_passes_unjudged() -> None:
    nobody_new = spoiled(cold=0, cold_served=0, known_pairs=None, refit_hash=None)
    unjudged = {row["criterion"] for row in judged(nobody_new, Thresholds()) if not row["judged"]}
    assert unjudged == {"serves_new_people", "vectors_know_their_data", "is_reproducible"}
    assert refused_by(nobody_new) == {}


def test_lists_of_nobody_prove_nothing() -> None:
    nobody = spoiled(people=0, served=0, items=0, reachable=0, popularity=None)
    assert {"pads_no_list", "reaches_the_catalogue", "is_not_popularity_in_disguise"} <= set(refused_by(nobody))


def test_no_worse_than_the_champion_needs_a_margin_and_a_reason() -> None:
    same_days = spoiled(against_champion=LEVEL, champion_through=DAY)
    assert refused_by(same_days, Thresholds(reason="it costs half as much")) == {}
    for reason in ("", " "):
        said = refused_by(same_days, Thresholds(reason=reason))["holds_against_the_champion"]
        assert "TRASOS_NON_INFERIORITY_REASON" in said
    assert "by more than 0.003" in refused_by(same_days, Thresholds(margin=0.003))["holds_against_the_champion"]
    better = spoiled(against_champion=Paired(0.01, 0.001, 0.02, 900))
    assert refused_by(better, Thresholds(margin=0, reason="")) == {}


def test_the_first_model_and_a_refit_of_the_champion_need_no_comparison() -> None:
    uncompared = {"against_champion": None}
    assert refused_by(spoiled(champion=None, **uncompared)) == {}
    assert refused_by(spoiled(serves=True, **uncompared)) == {}
    assert refused_by(spoiled(same_model=True, **uncompared)) == {}
    assert list(refused_by(spoiled(**uncompared))) == ["holds_against_the_champion"]


def test_newer_days_are_a_reason_only_where_they_are_newer() -> None:
    assert Settings.model_fields["non_inferiority_reason"].default == Thresholds().reason == ""
    for like in ({"against_champion": LEVEL}, {"same_model": True, "against_champion": None}):
        assert refused_by(spoiled(**like)) == {}
        assert "it knows newer days" in judged(spoiled(**like), Thresholds())[1]["reason"]
        for through in (DAY, date(2026, 2, 1), None):
            said = refused_by(spoiled(champion_through=through, **like))["holds_against_the_champion"]
            assert "it knows no newer day" in said and "TRASOS_NON_INFERIORITY_REASON" in said


def test_a_champion_that_the_leaderboard_did_not_judge_is_not_compared_with() -> None:
    row = judged(spoiled(champion_is_on_board=False), Thresholds(reason="a reason"))[1]
    assert (row["passed"], row["judged"]) == (False, False)
    assert row["reason"].startswith("not compared with what serves")


def test_only_what_beats_it_replaces_a_model_that_somebody_went_back_to() -> None:
    reasons = Thresholds(reason="it costs half as much")
    assert refused_by(spoiled(rolled_back=True)) == {}
    for like in ({"against_champion": LEVEL}, {"same_model": True, "against_champion": Paired(0.0, 0.0, 0.0, 900)}):
        assert refused_by(spoiled(**like), reasons) == {}
        said = refused_by(spoiled(rolled_back=True, **like), reasons)["holds_against_the_champion"]
        assert said.startswith("does not beat the model that was rolled back to")


def test_a_champion_that_cannot_serve_here_is_nobody_to_beat() -> None:
    row = judged(spoiled(cannot_serve_here="blend", against_champion=None, champion_is_on_board=False), Thresholds())[1]
    assert row["passed"] and "blend, which Spark cannot serve" in row["reason"]


def test_the_reason_of_a_leak_names_the_days() -> None:
    reason = refused_by(spoiled(last_day=date(2026, 2, 3)))["trained_on_the_past"]
    assert reason.startswith("leaked future") and "2026-02-03" in reason and "2026-01-30" in reason
