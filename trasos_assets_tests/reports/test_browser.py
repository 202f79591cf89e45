"""The page in a real browser, from a file, without a network."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trasos_assets.reports import DashboardFacts, write_dashboard
from trasos_assets_tests.reports.hostile import hostile_facts, hostile_shop
from trasos_assets_tests.reports.shop import shop, shop_facts

pytestmark = pytest.mark.slow

CHROMIUM = os.environ.get("TRASOS_CHROMIUM") or shutil.which("chromium")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
LOAD_SECONDS = 10


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM:
        pytest.skip("no chromium: apt-get install chromium, or name one in TRASOS_CHROMIUM")
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright (extra dev)")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("dashboard")
    return {
        "year": write_dashboard(shop(365), root / "year", facts=shop_facts(365)),
        "hostile": write_dashboard(hostile_shop(), root / "hostile", facts=hostile_facts()),
        "empty": write_dashboard({}, root / "empty", facts=DashboardFacts(None, "GBP")),
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1440])
@pytest.mark.parametrize("name", ["year", "hostile", "empty"])
def test_page_opens_quietly_and_fits(browser: Any, pages: dict[str, Path], name: str, width: int, scheme: str):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: request.url.startswith("file:") or said.append(f"request: {request.url}"))
    page.goto(pages[name].as_uri())
    expected = page.evaluate("document.querySelectorAll('.plot').length")
    assert expected == (0 if name == "empty" else 8)
    page.wait_for_function(
        "n => document.querySelectorAll('.plot .main-svg .bglayer').length >= n",
        arg=expected,
        timeout=1000 * LOAD_SECONDS,
    )
    # Open details hold the widest tables.
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert said == []
    context.close()


def test_charts_show_hostile_names_as_text(browser: Any, pages: dict[str, Path]):
    page = browser.new_page()
    page.goto(pages["hostile"].as_uri())
    page.wait_for_selector("#plot-funnel-channels .ytick text")
    labels = page.eval_on_selector_all("#plot-funnel-channels .ytick text", "all => all.map((one) => one.textContent)")
    assert "<script>alert(1)</scr…" in labels
    assert page.evaluate("document.querySelectorAll('figure a, figure img, main img').length") == 0
    page.close()


def test_without_the_script_beside_it_the_page_says_what_is_missing(
    browser: Any, pages: dict[str, Path], tmp_path: Path
):
    alone = tmp_path / "index.html"
    alone.write_bytes(pages["year"].read_bytes())
    page = browser.new_page()
    page.goto(alone.as_uri())
    assert "needs plotly.min.js" in page.inner_text("#plot-conversion")
    page.close()


def test_colours_follow_the_theme_and_paper_is_always_light(browser: Any, pages: dict[str, Path]):
    fills = {}
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(pages["year"].as_uri())
        page.wait_for_selector("#plot-conversion .xtick text")
        read = "getComputedStyle(document.querySelector('#plot-conversion .xtick text')).fill"
        fills[scheme] = page.evaluate(read)
        page.emulate_media(media="print")
        fills[f"{scheme} printed"] = page.evaluate(read)
        page.close()
    assert fills["light"] != fills["dark"]
    assert fills["light printed"] == fills["dark printed"] == "rgb(68, 68, 68)"


def test_every_control_is_reached_by_keyboard(browser: Any, pages: dict[str, Path]):
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(pages["year"].as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("document.activeElement.tagName + (document.activeElement.closest('article')?.id || '')")
        )
    sections = page.eval_on_selector_all(
        "article[id]", "all => all.filter(a => a.querySelector('summary')).map(a => a.id)"
    )
    assert {f"SUMMARY{section}" for section in sections} <= reached
    page.close()
