"""The KPI dashboard: one page and one script beside it, for a browser without a network."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import pyarrow as pa

from trasos_assets.places import hidden_for, is_remote, put_in_place
from trasos_assets.reports import tables as data_tables
from trasos_assets.reports import views, words
from trasos_assets.reports.facts import DashboardFacts, trust_of
from trasos_assets.reports.parts import Section
from trasos_assets.reports.sections import GOALS, sections
from trasos_assets.reports.source import Source
from trasos_assets.reports.tiles import SPARK_HEIGHT, SPARK_WIDTH, tiles

PAGE, SCRIPT = "index.html", "plotly.min.js"


def write_dashboard(tables: Mapping[str, pa.Table], out: Path, *, facts: DashboardFacts) -> Path:
    """Writes ``out/index.html`` and ``out/plotly.min.js`` and returns the page's path.

    Args:
        tables: the tables of `source.TABLES` by name with the columns of their contracts, in any order of rows. One
            that is absent or empty makes its section say why there is nothing to show.
        out: the folder, made if it is not there, or a place in an object store.
        facts: what is in no table: data_through, currency, headlines, checks and row counts.

    The same input gives the same bytes. Each file is replaced whole, the script before the page that needs it.

    Raises:
        ValueError: a table lacks columns of its contract.
        OSError: the folder cannot be written.
    """
    from plotly.offline import get_plotlyjs

    page = render(tables, facts)
    _replace(out / SCRIPT, get_plotlyjs())
    _replace(out / PAGE, page)
    return out / PAGE


def fetched(page: Path, folder: Path) -> Path:
    """The page where a browser of this machine can open it: a copy in ``folder`` if it is in an object store."""
    if not is_remote(page):
        return page
    remote: Any = page
    folder.mkdir(parents=True, exist_ok=True)
    for name in (SCRIPT, PAGE):
        remote.fs.get_file(remote.with_name(name).path, str(folder / name))
    return folder / PAGE


def render(tables: Mapping[str, pa.Table], facts: DashboardFacts) -> str:
    """The page as HTML; `write_dashboard` says what it takes and raises."""
    import jinja2
    from markupsafe import Markup

    source = Source(tables)
    parts = sections(source, facts)
    script = _package_text("page.js")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_package_text),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": words.count, "plural": words.plural, "clean": words.clean, "day": words.day}
    return environment.get_template("page.html.j2").render(
        facts=facts,
        trust=trust_of(facts.checks),
        tiles=tiles(facts, views.daily(source)),
        spark_width=SPARK_WIDTH,
        spark_height=SPARK_HEIGHT,
        goals={goal: (title, [part for part in parts if part.goal == goal]) for goal, title in GOALS.items()},
        health=data_tables.health(facts),
        first_day=next((row["first_day"] for row in source.rows("watermark")), None),
        plotly_script=SCRIPT,
        style=Markup(_package_text("page.css")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        figures=Markup(_script_json(parts)),
    )


def _script_json(parts: Sequence[Section]) -> str:
    """The figures by id as JSON that no text in it can end: within a script element only ``<`` could."""
    figures = {figure.id: figure.plot for part in parts for figure in part.figures}
    text = json.dumps(figures, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _package_text(name: str) -> str:
    return resources.files("trasos_assets.reports").joinpath(name).read_text(encoding="utf-8")


def _replace(path: Path, text: str) -> None:
    """Writes elsewhere, then swaps: a reader sees the old page or the new one, never half of one."""
    # The process id keeps two writers apart; who swaps last was last.
    unfinished = hidden_for(path, of=f".{os.getpid()}")
    try:
        unfinished.write_text(text, encoding="utf-8", newline="\n")
        put_in_place(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
