"""The page about the search: whole, offline, and nothing in it is taken for markup."""

from __future__ import annotations

import json
import re
from datetime import date, datetime, timedelta
from pathlib import Path

from trasos_assets.recommender.search.ledger import TRIALS_SCHEMA, Trial, Window, rows_of
from trasos_assets.recommender.search.overview import in_short, overview
from trasos_assets.reports.search import render, write_search

HOSTILE = "</script><img src=x onerror=alert(1)>"
WINDOW = Window("new_items", 2, 1_234, date(2026, 1, 31), 7, date(2026, 3, 28))
DONE_AT = datetime(2026, 4, 1)


def trial(number: int, value: float | None, reason: str | None = None, state: str = "complete") -> Trial:
    parameters = {"neighbours": 20 + 7 * number, "k1": 0.5 * number % 3, "b": (number % 10) / 10}
    origin = "default" if number == 0 else "proposed"
    by_fold = () if value is None else (value, value)[: 2 if state == "complete" else 1]
    kept = value if state == "complete" else None
    at = DONE_AT + timedelta(minutes=number)
    return Trial(number, state, origin, parameters, by_fold, kept, 1.0, reason, at)  # pyright: ignore[reportArgumentType]


def searched(model: str = "item_knn_bm25"):
    trials = [trial(number, 0.01 * (number % 10) + 0.05) for number in range(12)]
    trials.append(trial(12, 0.04, "below the median", "pruned"))
    trials.append(trial(13, None, HOSTILE, "failed"))
    return overview(rows_of("study", model, trials, WINDOW))


def test_it_says_what_is_best_what_was_tried_and_what_decides() -> None:
    (one,) = searched()
    assert one.best is not None and one.best.number == 9
    assert (one.default, [one.count(state) for state in ("complete", "pruned", "failed")]) == (0.05, [12, 1, 1])
    assert set(one.importance) == {"neighbours", "k1", "b"}
    page = render([one])
    assert "NDCG@10 0.1400 on new items only; 0.0500 unsearched" in page
    assert "with 1,234 people judged" in page
    figures = json.loads(re.findall(r'id="figures">(.*?)</script>', page, re.DOTALL)[0])
    history = next(figure for name, figure in figures.items() if name.endswith("-history"))
    by_name = {trace["name"]: trace for trace in history["data"]}
    assert by_name["pruned"]["x"] == [12]
    assert by_name["best so far"]["y"][-1] == 0.14
    assert by_name["best so far"]["y"] == sorted(by_name["best so far"]["y"])
    assert sum(name.endswith("-importance") for name in figures) == 1


def test_nothing_in_it_is_taken_for_markup() -> None:
    page = render(searched(HOSTILE))
    assert "<img" not in page
    assert page.count("</script>") == 3
    assert "&lt;/script&gt;&lt;img" in page


def test_it_stands_alone_and_is_the_same_each_time(tmp_path: Path) -> None:
    page = write_search(searched(), tmp_path / "reports")
    assert sorted(path.name for path in page.parent.iterdir()) == ["plotly.min.js", "search.html"]
    text = page.read_text()
    assert "://" not in text
    assert write_search(searched(), tmp_path / "again").read_text() == text


def test_before_anything_was_searched_it_says_how() -> None:
    assert "run `trasos search`" in render(overview(TRIALS_SCHEMA.empty_table()))


def test_a_study_without_a_value_is_shown_with_its_failures() -> None:
    table = rows_of("study", "gone_model", [trial(0, None, "it broke", "failed")], WINDOW)
    (one,) = overview(table)
    assert (one.best, one.importance) == (None, {})
    page = render([one])
    assert "No value yet" in page and "it broke" in page


def test_parameters_in_short_are_read_at_a_glance() -> None:
    nested = {"alpha": 3.14159, "weights": {"half_life_days": None, "repeats": "once"}, "factors": 64}
    assert in_short(nested) == "alpha 3.142, weights.half_life_days none, weights.repeats once, factors 64"
