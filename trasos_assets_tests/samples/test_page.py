"""The report can be read by people and programs, whatever names are in it, and asks nothing of the network."""

import json
import re
from datetime import date

import numpy as np
import pytest

from trasos_assets.samples.fidelity import Compared, Fidelity, Mix, SampledTable
from trasos_assets.samples.page import as_json, render
from trasos_assets.samples.popularity import GROUPS, popularity
from trasos_assets.samples.readme import readme

HOSTILE = "</script><img src=x onerror=alert(1)>&\u2028"


def report(*, name: str = "page_view", error: float | None = 0.01, difference: float = 0.005) -> Fidelity:
    shares = (
        Compared(name, 0.6, 0.6 + difference, error, 600, 61),
        Compared("click", 0.4, 0.4 - difference, error, 400, 39),
    )
    groups = np.random.default_rng(1).binomial(4, 0.1, (50, GROUPS))
    items = popularity(np.arange(1, 51) + 50, groups, np.ones(50, np.int64), share=0.1, seed=1)
    return Fidelity(
        share=0.1,
        seed=42,
        data_through=date(2026, 1, 11),
        people=Compared("people", 0.1, 0.104, 0.01, 1_000, 104),
        mix=Mix(shares, abs(difference), 0.008),
        funnel=(Compared("cart", 0.3, 0.31, error, 90, 10), Compared("purchase", 0.1, 0.08, error, 30, 2)),
        popularity=items,
        tables=(SampledTable("analytics", "orders", "rows of sampled people", 30, 2),),
    )


NOTHING = Fidelity(0.01, 1, None, None, None, None, None, (SampledTable("analytics", "orders", "whole", 0, 0),))


def test_the_page_says_the_numbers_in_words_and_tables() -> None:
    page = render(report())
    assert "104 of 1,000 people" in page
    assert "Event types differ by" in page
    assert page.count("<table") == 4
    assert page.count('role="img" aria-label=') == 3
    assert 'lang="en"' in page


def test_a_difference_beyond_chance_stands_at_the_top() -> None:
    assert "no difference beyond chance" in render(report())
    assert "beyond chance: share of page_view" in render(report(difference=0.1))


@pytest.mark.parametrize("found", [report(), report(name=HOSTILE, difference=0.2), report(error=None), NOTHING])
def test_names_cannot_break_the_page_and_nothing_points_outside(found: Fidelity) -> None:
    page = render(found)
    assert "<img" not in page
    for outside in ('src="http', 'href="http', "@import", "url(http"):
        assert outside not in page
    figures = re.search(r'<script type="application/json" id="figures">(.*?)</script>', page, re.DOTALL)
    assert figures is not None
    drawn = json.loads(figures.group(1))
    assert set(drawn) == set(re.findall(r'class="plot" id="([\w-]+)"', page))


def test_the_numbers_are_there_for_programs() -> None:
    found = json.loads(as_json(report(difference=0.1)))
    assert found["kind"] == "trasos sample"
    assert found["beyond_noise"][:2] == ["share of page_view", "share of click"]
    assert found["mix"]["shares"][0]["is_noise"] is False
    assert found["mix"]["shares"][0]["difference"] == 0.1
    assert found["data_through"] == "2026-01-11"
    low, high = found["popularity"]["gini"]["range"]
    assert low <= found["popularity"]["gini"]["mean"] <= high
    assert json.loads(as_json(NOTHING))["mix"] is None


def test_a_sample_of_nothing_is_told_as_such() -> None:
    page = render(NOTHING)
    assert page.count("Nothing to compare") == 3
    assert "| analytics.orders | 0 | 0 | whole |" in readme(NOTHING)


def test_the_readme_warns_that_the_data_are_no_less_personal() -> None:
    text = readme(report(difference=0.1))
    assert "pseudonymous data" in text
    assert "Beyond what chance makes: share of page_view" in text
