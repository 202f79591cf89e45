"""Take the pictures of the README from the running thing, in a headless browser.

    TRASOS_DATA_DIR=data python docs/take_screenshots.py

The data folder must have seen a `trasos run`. Starts `trasos ui` on a free loopback port and ends it again; writes
docs/images/{asset-graph,asset-graph-whole,asset,dashboard}.png. Needs Chromium (TRASOS_CHROMIUM, or `chromium` on the
path) and the extra `dev`. Takes about a minute.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from urllib.parse import quote

from trasos_assets.settings import get_settings

IMAGES = Path(__file__).parent / "images"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
SECONDS_TO_START = 180
MAX_BYTES = 400_000
ASSET, PAGE = (1440, 975), (1440, 1520)
NAVIGATION, HEAD, CONTROLS, MARGIN = 70, 110, 50, 24
GROUPS = ("engineering", "science", "analytics")
ASSET_SHOWN = "recommendations"
MAIN_LINE = (
    *("raw_events", "event_keys", "event_states", "quarantined_events", "clean_events", "interactions"),
    *("training_interactions", "als_model", "leaderboard", "definition_of_done", "champion", "recommendations"),
    "also_bought",
    *("order_lines", "orders", "daily_kpis", "conversion_funnel", "retention_cohorts", "time_to_return"),
    "kpi_dashboard",
)
DRAWN = """() => {
    const boxes = [...document.querySelectorAll('foreignObject')].map(drawn => drawn.getBoundingClientRect());
    return {
        left: Math.min(...boxes.map(box => box.left)), top: Math.min(...boxes.map(box => box.top)),
        right: Math.max(...boxes.map(box => box.right)), bottom: Math.max(...boxes.map(box => box.bottom)),
    };
}"""


@dataclass(frozen=True)
class GraphView:
    """What to show of the graph: assets (all if none are named), direction, and size of the window."""

    assets: tuple[str, ...]
    direction: str
    viewport: tuple[int, int]


GRAPHS = {
    "asset-graph.png": GraphView(MAIN_LINE, "horizontal", (2560, 1600)),
    "asset-graph-whole.png": GraphView((), "vertical", (3400, 1000)),
}


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(port: int) -> Iterator[str]:
    """The address of `trasos ui`, running while inside; its own process group is ended afterwards, and no other."""
    trasos = Path(sys.executable).with_name("trasos")
    address = f"http://127.0.0.1:{port}"
    with TemporaryFile("w+") as said:
        server = subprocess.Popen(
            [str(trasos), "ui", "--port", str(port)], stdout=said, stderr=said, start_new_session=True
        )
        try:
            give_up = time.monotonic() + SECONDS_TO_START
            while not answers(f"{address}/server_info"):
                if server.poll() is not None or time.monotonic() > give_up:
                    said.seek(0)
                    raise SystemExit(f"the UI did not come up on {address}; it said:\n{said.read()[-4000:]}")
                time.sleep(1)
            yield address
        finally:
            os.killpg(server.pid, signal.SIGINT)
            try:
                server.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)


def answers(url: str) -> bool:
    """Whether something answers there."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


def shoot_graph(browser: Any, address: str, name: str, view: GraphView) -> None:
    """The global lineage with every group open, cut to what is drawn."""
    width, height = view.viewport
    page = browser.new_page(viewport={"width": width, "height": height})
    # The page reads its own settings from here, so nothing has to be clicked: no navigation, what a node shows.
    for key, value in {
        "dagster-nav-collapsed": "true",
        "large-screen-nav-open": "false",
        "asset-graph-direction": json.dumps(view.direction),
        "asset-node-facets": json.dumps(["owner", "checks"]),
    }.items():
        page.add_init_script(f"localStorage.setItem({json.dumps(key)}, {json.dumps(value)})")
    chosen = " or ".join(f'key:"{asset}"' for asset in view.assets)
    path = f"/asset-groups~{quote(chosen)}/" if chosen else "/asset-groups"
    opened = ",".join(f"global@global:{group}" for group in GROUPS)
    page.goto(f"{address}{path}?expanded={opened}")
    page.wait_for_selector("foreignObject", timeout=60_000)
    page.locator("button:near([placeholder^='Jump to'])").first.click()
    page.wait_for_timeout(3_000)
    page.mouse.dblclick(width - 300, height - 20)  # on the background: fits the drawing into the window
    page.wait_for_timeout(6_000)
    box = page.evaluate(DRAWN)
    page.screenshot(path=IMAGES / name, clip=within(box, width, height))
    page.close()


def within(box: dict[str, float], width: int, height: int) -> dict[str, float]:
    """The box with a margin, as far as it lies in the window and below its head."""
    left, top = max(NAVIGATION, box["left"] - MARGIN), max(HEAD, box["top"] - MARGIN)
    right, bottom = min(width - CONTROLS, box["right"] + MARGIN), min(height, box["bottom"] + MARGIN)
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}


def shoot_asset(browser: Any, address: str) -> None:
    """One table: owner, group, columns, checks, what the last run wrote."""
    page = browser.new_page(viewport={"width": ASSET[0], "height": ASSET[1]})
    page.goto(f"{address}/assets/{ASSET_SHOWN}")
    page.wait_for_timeout(10_000)
    page.screenshot(path=IMAGES / "asset.png")
    page.close()


def shoot_dashboard(browser: Any, file: Path) -> None:
    """The top of the dashboard, in light colours."""
    page = browser.new_page(viewport={"width": PAGE[0], "height": PAGE[1]}, color_scheme="light")
    page.goto(file.as_uri())
    page.wait_for_function(
        "[...document.querySelectorAll('.plot')].every(plot => plot.querySelector('svg.main-svg'))", timeout=30_000
    )
    page.wait_for_timeout(1_000)
    page.screenshot(path=IMAGES / "dashboard.png")
    page.close()


def main() -> None:
    """Take all three."""
    from playwright.sync_api import sync_playwright

    dashboard = get_settings().reports_dir / "dashboard" / "index.html"
    if not dashboard.exists():
        raise SystemExit(f"there is no dashboard at {dashboard}; run `trasos run` first")
    chromium = os.environ.get("TRASOS_CHROMIUM") or shutil.which("chromium")
    if not chromium:
        raise SystemExit("no Chromium: apt-get install chromium, or name one in TRASOS_CHROMIUM")
    port = int(os.environ.get("TRASOS_SCREENSHOT_PORT", "0")) or free_port()
    IMAGES.mkdir(exist_ok=True)
    with serving(port) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        for name, view in GRAPHS.items():
            shoot_graph(browser, address, name, view)
        shoot_asset(browser, address)
        shoot_dashboard(browser, dashboard)
        browser.close()
    for image in sorted(IMAGES.glob("*.png")):
        size = image.stat().st_size
        print(f"{image.name}: {size / 1000:.0f} kB{', more than it should be' if size > MAX_BYTES else ''}")


if __name__ == "__main__":
    main()
