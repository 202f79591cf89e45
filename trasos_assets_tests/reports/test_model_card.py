"""The card holds what a reader has to know of a model, as JSON and as a page on which nothing is obeyed."""

import json
from datetime import date
from pathlib import Path
from typing import Any

from trasos_assets.reports.model_card import card_lacks, card_of, render, write_card, written_again

DAY = date(2026, 1, 30)
HOSTILE = '<script>alert("x")</script>'
TOLD: dict[str, Any] = {
    "model": "als",
    "model_version": "0123456789ab",
    "parameters": json.dumps({"factors": 8, "weights": {"view": 0.4}}),
    "payload": None,
    "als_version": "0123456789ab",
    "parts": 180,
    "parts_hash": "feed",
    "rows": 1196,
    "first_day": date(2026, 1, 1),
    "last_day": DAY,
    "source_hash": "beef",
    "code_version": "c0de",
    "as_of": DAY,
}


def verdict(name: str, *, passed: bool = True, judged: bool = True, reason: str = "as it should be") -> dict[str, Any]:
    row = {"criterion": name, "owner": "science", "passed": passed, "judged": judged, "reason": reason}
    return row | {"value": 0.1, "threshold": 0.0, "must": "It must.", "model_version": TOLD["model_version"]}


def scored(metric: str = "ndcg", segment: str = "all", model: str = "als", **more: Any) -> dict[str, Any]:
    row = {"model": model, "fold": "mean", "segment": segment, "target": "new_items", "metric": metric, "k": 10}
    row |= {"value": 0.1234567, "low": 0.1, "high": 0.2, "people": 1234, "test_through": DAY}
    return row | more


def compared(**more: Any) -> dict[str, Any]:
    row = {"against": "popularity_recent", "difference": -0.01, "low": -0.02, "high": 0.0, "p_holm": 0.03}
    return scored() | row | more


def card(**more: Any) -> dict[str, Any]:
    tables: dict[str, Any] = {
        "candidate": [TOLD],
        "definition_of_done": [
            verdict("pads_no_list"),
            verdict("serves_new_people", judged=False, reason="nobody new"),
        ],
        "leaderboard": [scored(), scored("recall"), scored(segment="cold"), scored(model="bpr"), scored(fold="1")],
        "model_comparisons": [compared(), compared(segment="cold"), compared(metric="recall")],
        "model_costs": [
            {"model": "als", "fold": 1, "fit_seconds": 1.5, "fit_peak_bytes": None, "serve_seconds_per_1000": 0.25}
        ],
    }
    found = card_of(tables | more, serves=True, promoted="first", signed_by=["Ada"])
    assert found is not None
    return found


def test_the_card_has_what_the_candidate_was_made_of_and_its_own_figures_only() -> None:
    found = card()
    assert found["data"] == {
        "first_day": TOLD["first_day"],
        "last_day": DAY,
        "as_of": DAY,
        "rows": 1196,
        "source_hash": "beef",
    }
    assert found["code"]["code_version"] == "c0de" and found["parameters"]["weights"] == {"view": 0.4}
    assert [row["metric"] for row in found["metrics"]] == ["ndcg", "recall"]
    assert [row["segment"] for row in found["segments"]] == ["all", "cold"]
    assert [row["against"] for row in found["comparisons"]] == ["popularity_recent"]
    assert found["refused"] == [] and found["signed_off_by"] == ["Ada"]
    assert any("nobody new" in limit for limit in found["limits"])


def test_verdicts_on_another_candidate_are_not_on_the_card() -> None:
    stale = verdict("pads_no_list", passed=False) | {"model_version": "another"}
    assert card(definition_of_done=[stale])["criteria"] == []


def test_there_is_no_card_before_there_is_a_candidate() -> None:
    names = ("candidate", "definition_of_done", "leaderboard", "model_comparisons", "model_costs")
    assert card_of(dict.fromkeys(names, ()), serves=False, promoted=None, signed_by=[]) is None


def test_nothing_on_the_page_is_obeyed_and_it_asks_nothing_of_the_network() -> None:
    told = TOLD | {"parameters": json.dumps({HOSTILE: HOSTILE})}
    refused = verdict("pads_no_list", passed=False, reason=HOSTILE)
    page = render(
        card(candidate=[told], definition_of_done=[refused]) | {"signed_off_by": [HOSTILE], "promoted": HOSTILE}
    )
    assert "<script" not in page and page.count("&lt;script&gt;") >= 4
    assert 'src="http' not in page and 'href="http' not in page and "@import" not in page


def test_the_page_says_whether_it_serves_and_rounds_for_display_only(tmp_path: Path) -> None:
    path = write_card(card(), tmp_path)
    page = path.read_text()
    assert "0.1235" in page and "0.1234567" not in page and "1,234" in page and "\u22120.0100" in page
    stored = json.loads(path.with_suffix(".json").read_text())
    assert stored["metrics"][0]["value"] == 0.1234567 and stored["data"]["as_of"] == "2026-01-30"
    again = write_card(card(), tmp_path)
    assert again == path and again.read_text() == page


def test_a_card_is_brought_up_to_the_history_and_keeps_the_rest(tmp_path: Path) -> None:
    path = write_card(card(), tmp_path)
    assert written_again(tmp_path, TOLD["model_version"], serves=False, signed_by=["Ada", "Ben"]) == path
    stored = json.loads(path.with_suffix(".json").read_text())
    assert (stored["serves"], stored["signed_off_by"]) == (False, ["Ada", "Ben"])
    assert stored["criteria"] == json.loads(json.dumps(card()["criteria"]))
    assert "does not serve" in path.read_text()
    assert written_again(tmp_path, "unknown", serves=True, signed_by=[]) is None


def test_a_model_that_nobody_could_judge_has_a_card_that_says_so() -> None:
    page = render(card(leaderboard=[], model_comparisons=[], model_costs=[]))
    assert "Nobody could be judged" in page


def test_a_card_without_a_verdict_or_without_figures_says_what_it_lacks() -> None:
    asked = ("pads_no_list", "serves_new_people")
    assert card_lacks(card(), asked) == []
    assert card_lacks(card(leaderboard=[], definition_of_done=[verdict("pads_no_list")]), asked) == [
        "serves_new_people",
        "metrics",
        "segments",
    ]
