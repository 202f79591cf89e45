import json
import re
from html.parser import HTMLParser

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from trasos_assets.recommender import standings
from trasos_assets.recommender.evaluation import EVALUATIONS_SCHEMA, evaluate
from trasos_assets.reports.leaderboard import PAGE, render, write_leaderboard
from trasos_assets_tests.recommender.tables import two_tastes
from trasos_assets_tests.recommender.test_evaluation import models

HOSTILE = '<img src=x onerror="alert(1)"></script><script>alert(2)</script>'


def tables(evaluations: pa.Table) -> dict[str, pa.Table]:
    return {
        "leaderboard": standings.leaderboard(evaluations, resamples=100),
        "model_comparisons": standings.comparisons(evaluations, baselines=("popularity",), resamples=100),
        "model_costs": standings.costs(evaluations),
    }


@pytest.fixture(scope="module")
def evaluations() -> pa.Table:
    return evaluate(two_tastes(people=150), models=models(), test_days=5, folds=2, aliases={"champion": "als"})


@pytest.fixture(scope="module")
def page(evaluations) -> str:
    return render(tables(evaluations))


class Text(HTMLParser):
    """Text by element, and the rows of tables."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.titles: list[str] = []
        self.inside: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.inside.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "h3":
            self.titles.append("")

    def handle_endtag(self, tag):
        if tag in self.inside:
            while self.inside.pop() != tag:
                pass

    def handle_data(self, data):
        if {"td", "th"} & set(self.inside):
            self.rows[-1][-1] += data.strip()
        elif "h3" in self.inside:
            self.titles[-1] += data


def figures(html: str) -> dict:
    found = re.search(r'<script type="application/json" id="figures">(.*?)</script>', html, re.S)
    assert found
    return json.loads(found[1])


def test_the_best_model_is_named_and_its_row_has_the_leaderboards_numbers(evaluations, page) -> None:
    board = tables(evaluations)["leaderboard"].to_pylist()
    whole = {"fold": "mean", "segment": "all", "metric": "ndcg", "k": 10, "target": "new_items"}
    rows = [row for row in board if all(row[name] == value for name, value in whole.items())]
    best = max(rows, key=lambda row: row["value"])
    told = Text(page)
    assert f"{best['model']} {best['value']:.4f}" in told.titles[0]
    row = next(row for row in told.rows if row[:2] == [best["model"], "new items only"])
    assert row[2:4] == [f"{best['value']:.4f}", f"{best['low']:.4f} to {best['high']:.4f}"]


def test_every_model_is_drawn_with_its_interval_and_the_champion_apart(page) -> None:
    found = figures(page)
    assert set(found) == {"standing-new_items", "standing-all_items", "difference-new_items", "difference-all_items"}
    standing = found["standing-new_items"]
    assert sorted(standing["layout"]["yaxis"]["ticktext"]) == ["als", "champion", "popularity", "popularity_recent"]
    others, champion = standing["data"]
    assert (len(others["x"]), len(champion["x"])) == (3, 1)
    assert all(length > 0 for length in others["error_x"]["array"] + champion["error_x"]["arrayminus"])


def test_of_two_references_against_each_other_one_direction_is_shown(page) -> None:
    labels = figures(page)["difference-new_items"]["layout"]["yaxis"]["ticktext"]
    pairs = [frozenset(label.split(" − ")) for label in labels]
    assert len(pairs) == len(set(pairs)) and frozenset(("champion", "popularity")) in pairs
    assert "champion − popularity" in labels


def test_all_segments_folds_metrics_and_costs_stand_in_tables(page) -> None:
    told = Text(page)
    first = {tuple(row[:2]) for row in told.rows}
    assert {("new items only", segment) for segment in ("all", "warm", "cold", "cold items")} <= first
    assert {("repeats allowed", fold) for fold in ("1", "2")} <= first
    headers = [row for row in told.rows if row[:2] == ["Model", "Target"]]
    assert any(row[-2:] == ["Coverage", "Gini"] for row in headers)
    assert any('"factors": 8' in row[1] for row in told.rows if len(row) > 1 and row[0] == "als")


def test_a_name_cannot_leave_its_place(evaluations) -> None:
    named = pc.if_else(pc.equal(evaluations["model"], "als"), HOSTILE, evaluations["model"])
    at = evaluations.schema.get_field_index("model")
    html = render(tables(evaluations.set_column(at, "model", named)))
    assert "<img" not in html and html.count("</script>") == 3
    labels = figures(html)["standing-new_items"]["layout"]["yaxis"]["ticktext"]
    assert [label[:7] for label in labels if "img" in label] == ["&lt;img"]


def test_the_page_asks_nothing_of_the_network_and_is_the_same_for_the_same_tables(evaluations, page, tmp_path) -> None:
    assert not [part for part in ('src="http', 'href="http', "@import", "url(http") if part in page]
    shuffled = {name: table.take(list(range(table.num_rows))[::-1]) for name, table in tables(evaluations).items()}
    assert render(shuffled) == page
    written = write_leaderboard(tables(evaluations), tmp_path / "reports")
    assert written == tmp_path / "reports" / PAGE and written.read_text() == page
    assert (tmp_path / "reports" / "plotly.min.js").stat().st_size > 1_000_000
    assert sorted(file.name for file in written.parent.iterdir()) == [PAGE, "plotly.min.js"]


def test_before_anything_was_compared_the_page_says_what_is_missing() -> None:
    html = render(tables(EVALUATIONS_SCHEMA.empty_table()))
    assert "No model has been compared yet" in html and figures(html) == {}


def test_a_table_without_a_column_is_named(evaluations) -> None:
    whole = tables(evaluations)
    with pytest.raises(ValueError, match="table leaderboard lacks truth_share"):
        render(whole | {"leaderboard": whole["leaderboard"].drop(["truth_share"])})
    with pytest.raises(ValueError, match="table model_costs lacks all"):
        render({name: table for name, table in whole.items() if name != "model_costs"})
