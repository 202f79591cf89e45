import base64
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from trasos_assets.reports import CheckState, DashboardFacts, render, write_dashboard
from trasos_assets.reports.source import TABLES
from trasos_assets_tests.reports.hostile import NAMES, SCRIPT, hostile_facts, hostile_shop
from trasos_assets_tests.reports.shop import empty_tables, shop, shop_facts

NO_FACTS = DashboardFacts(None, "GBP")
SECTIONS = {
    "daily_kpis": ("conversion", "sales"),
    "conversion_funnel": ("funnel",),
    "retention_cohorts": ("retention",),
    "time_to_return": ("time-to-return",),
    "acquisition_cost": ("cost",),
    "experiment_results": ("uplift",),
    "leaderboard": ("leaderboard",),
    "also_bought": ("also-bought",),
}


class Page(HTMLParser):
    """What a browser would make of the page: elements with attributes, scripts, and the text of each article."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.articles: dict[str, str] = {}
        self.text = ""
        self._within: str | None = None
        self._in_script = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag == "script":
            self._in_script = True
            self.scripts.append("")
        if tag == "article":
            self._within = attributes.get("id")

    def handle_endtag(self, tag):
        if tag == "script":
            self._in_script = False

    def handle_data(self, data):
        if self._in_script:
            self.scripts[-1] += data
            return
        self.text += data
        if self._within:
            self.articles[self._within] = self.articles.get(self._within, "") + data

    @property
    def figures(self) -> dict[str, dict]:
        return json.loads(self.scripts[0])


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render(shop(), shop_facts()))


@pytest.fixture(scope="module")
def hostile_html() -> str:
    return render(hostile_shop(), hostile_facts())


def test_importing_the_package_loads_no_drawing_library():
    code = "import sys, trasos_assets.reports; print([m for m in ('plotly', 'jinja2', 'ibis') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_same_input_in_any_order_of_rows_gives_the_same_bytes(tmp_path: Path):
    tables = shop()
    turned = {name: table.take(list(range(table.num_rows))[::-1]) for name, table in tables.items()}
    facts = shop_facts()
    turned_facts = shop_facts(checks=facts.checks[::-1], row_counts=facts.row_counts[::-1])
    first = write_dashboard(tables, tmp_path / "a", facts=facts)
    second = write_dashboard(turned, tmp_path / "b", facts=turned_facts)
    assert first == tmp_path / "a" / "index.html"
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes() != render(shop(seed=4), facts).encode()


def test_two_files_are_written_and_nothing_else_is_left(tmp_path: Path):
    write_dashboard(shop(), tmp_path / "reports" / "dashboard", facts=shop_facts())
    write_dashboard(shop(), tmp_path / "reports" / "dashboard", facts=shop_facts())
    written = sorted(path.name for path in (tmp_path / "reports" / "dashboard").iterdir())
    assert written == ["index.html", "plotly.min.js"]


def test_a_write_that_fails_leaves_the_old_page_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    page = write_dashboard(shop(), tmp_path, facts=shop_facts())
    before = page.read_bytes()

    def full_disk(self, *_):
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_dashboard(shop(seed=9), tmp_path, facts=shop_facts())
    assert page.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


def test_page_asks_nothing_of_a_network(page: Page):
    asked = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in ("src", "href") and value
    ]
    assert [value for value in asked if not value.startswith("#")] == ["plotly.min.js"]
    assert not any(tag in ("link", "iframe", "img", "object", "base") for tag, _ in page.elements)
    html = render(shop(), shop_facts())
    assert not re.search(r"https?://|//cdn|@import|url\(", html)


def test_content_policy_names_the_one_script_of_the_page(page: Page):
    policy = next(a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(page.scripts[2].encode()).digest()).decode()
    assert policy and f"'sha256-{digest}'" in policy and "default-src 'none'" in policy
    assert not re.search(r"script-src[^;]*unsafe", policy)


def test_a_year_of_data_and_long_names_stay_within_300_kilobytes():
    assert len(render(shop(days=365), shop_facts(days=365)).encode()) <= 300_000
    assert len(render(hostile_shop(days=365), hostile_facts()).encode()) <= 300_000


def test_hostile_names_make_no_element_and_no_attribute(page: Page, hostile_html: str):
    hostile = Page(hostile_html)
    assert len(hostile.scripts) == 3
    known = {tag for tag, _ in page.elements} | {"ul", "li"}
    assert {tag for tag, _ in hostile.elements} <= known
    assert not any(name.startswith("on") for _, attributes in hostile.elements for name in attributes)
    assert not any("javascript:" in (a.get("href") or "") for _, a in hostile.elements)
    assert "<" not in hostile.scripts[0] and SCRIPT not in hostile_html


def test_hostile_names_are_shown_as_they_are(hostile_html: str):
    page = Page(hostile_html)
    # Only what has no place in a line is taken out: line breaks, and controls of the writing direction.
    lines = [" ".join(name.replace("\x00", " ").replace("\u202e", "").split()) for name in NAMES]
    assert [line for line in lines if line not in page.text] == []
    gallery = page.articles["also-bought"]
    assert "{{ 7 * 7 }}" in gallery and "=1+1" in gallery and "x" * 500 in gallery


def test_charts_get_hostile_names_escaped_and_cut(hostile_html: str):
    figures = Page(hostile_html).figures
    labels = [
        *figures["plot-funnel-channels"]["layout"]["yaxis"]["ticktext"],
        *figures["plot-leaderboard"]["layout"]["yaxis"]["ticktext"],
        *(trace["name"] for trace in figures["plot-cost"]["data"]),
    ]
    assert "&lt;script&gt;alert(1)&lt;/scr…" in labels
    assert not any("<" in label or ">" in label for label in labels)
    templates = [trace.get("hovertemplate", "") for figure in figures.values() for trace in figure["data"]]
    assert not any("alert" in template or "%{x} %{customdata}" in template for template in templates)


def test_a_month_that_is_not_over_is_blank_and_never_zero():
    tables = shop(days=100)
    assert None in tables["retention_cohorts"]["retention"].to_pylist()
    html = render(tables, shop_facts(days=100))
    heat = html[html.index('class="scroll heat"') : html.index("</figure>", html.index('class="scroll heat"'))]
    blanks = heat.count('<td class="blank"></td>')
    rows = tables["retention_cohorts"].to_pylist()
    known = sum(row["retention"] is not None and row["months_since"] > 0 for row in rows)
    cohorts = len({row["cohort_month"] for row in rows})
    assert heat.count('class="cell"') == known
    assert blanks == cohorts * max(row["months_since"] for row in rows) - known
    assert ">0.0\u00a0%<" not in heat


def test_an_open_week_has_no_cost_and_no_funnel():
    tables = shop(days=73)
    page = Page(render(tables, shop_facts(days=73)))
    traces = page.figures["plot-cost"]["data"]
    assert all(trace["y"][-1] is None and trace["y"][-2] is not None for trace in traces)
    assert "week of 9\u00a0Mar\u00a02026" in page.articles["funnel"]


def test_every_chart_is_told_in_a_sentence_and_stands_beside_a_data_table(page: Page):
    images = [attributes for tag, attributes in page.elements if tag == "figure" and attributes.get("role") == "img"]
    assert len(images) == len(page.figures) == 8
    assert all(len(attributes["aria-label"] or "") > 40 for attributes in images)
    html = render(shop(), shop_facts())
    for part in html.split("<article")[1:]:
        if 'role="img"' in part:
            assert "<details><summary>Data table" in part


def test_titles_say_the_finding_and_subtitles_the_definition(page: Page):
    daily = shop()["daily_kpis"].to_pylist()
    now, before = (
        sum(row["buyers"] for row in days) / sum(row["visitors"] for row in days)
        for days in (daily[-7:], daily[-14:-7])
    )
    text = page.articles["conversion"].replace("\u00a0", " ")
    assert f"Conversion was {100 * now:.1f} % in the last 7 days" in text
    assert f"{100 * abs(now - before):.1f} points {'above' if now > before else 'below'} the week before" in text
    assert "buyers / visitors; blank without visitors." in text


def test_trust_names_failures_by_team():
    checks = [
        CheckState("engineering", "raw_events", "contract", True, "ERROR"),
        CheckState("science", "leaderboard", "beats_popularity", False, "WARN"),
        CheckState("engineering", "clean_events", "nothing_lost", False, "ERROR"),
    ]
    broken = render(shop(), shop_facts(checks=checks))
    assert "2 of 3 checks failed: engineering 1, science 1" in broken and "badge broken" in broken
    assert "clean_events.nothing_lost" in broken
    assert "badge broken" not in render(shop(), shop_facts(checks=checks[:2]))
    assert "The only check passed" in render(shop(), shop_facts(checks=checks[:1]))
    assert "No check has run yet" in render(shop(), shop_facts(checks=[]))


@pytest.mark.parametrize("tables", [{}, empty_tables()], ids=["absent", "without rows"])
def test_without_data_every_section_says_why(tables):
    page = Page(render(tables, NO_FACTS))
    assert page.figures == {}
    for section in (section for ids in SECTIONS.values() for section in ids):
        assert "No data yet" in page.articles[section]
    assert "landing/marketing_spend" not in page.articles["sales"]
    assert "No day has landed yet" in page.text


@pytest.mark.parametrize("name", TABLES)
def test_one_empty_table_empties_its_own_sections_only(name: str):
    page = Page(render(shop() | {name: empty_tables()[name]}, shop_facts()))
    empty = {section for section, text in page.articles.items() if "No data yet" in text}
    assert empty == set(SECTIONS.get(name, ()))


@pytest.mark.parametrize("days", [1, 6, 8, 13, 30])
def test_few_days_give_a_page_without_comparisons_that_cannot_be_made(days: int):
    page = Page(render(shop(days), shop_facts(days)))
    assert ("the week before" in page.articles["conversion"]) == (days >= 14)
    assert ("No data yet" in page.articles["funnel"]) == (days < 7)
    assert "nan" not in page.text.lower()


def test_a_table_without_a_column_is_refused_by_name():
    tables = shop()
    tables["daily_kpis"] = tables["daily_kpis"].drop_columns(["net", "orders"])
    with pytest.raises(ValueError, match=r"daily_kpis lacks the columns net, orders.*analytics\.py"):
        render(tables, shop_facts())
