"""The leaderboard as a page: models with their intervals, against each other, by segment and fold, and their costs."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.models import LEADERBOARD, MODEL_COMPARISONS, MODEL_COSTS
from trasos_assets.reports.dashboard import SCRIPT, _package_text, _replace
from trasos_assets.reports.leaderboard_parts import K, Row, facts_of, parts_of

PAGE = "leaderboard.html"
TABLES = (LEADERBOARD.name, MODEL_COMPARISONS.name, MODEL_COSTS.name)


def write_leaderboard(tables: Mapping[str, pa.Table], out: Path) -> Path:
    """Write ``out/leaderboard.html`` and ``out/plotly.min.js`` beside it; returns the page's path.

    Args:
        tables: those of `TABLES` by name with the columns of their contracts, in any order of rows.
        out: the folder, made if it is not there, or a place in an object store.

    The same tables give the same bytes. Each file is replaced whole, the script before the page that needs it.

    Raises:
        ValueError: a table is missing, or lacks columns of its contract.
        OSError: the folder cannot be written.
    """
    from plotly.offline import get_plotlyjs

    page = render(tables)
    _replace(out / SCRIPT, get_plotlyjs())
    _replace(out / PAGE, page)
    return out / PAGE


def render(tables: Mapping[str, pa.Table]) -> str:
    """The page as HTML, everything in it escaped; see `write_leaderboard`."""
    import jinja2
    from markupsafe import Markup

    board, compared, costs = (_rows(tables, name) for name in TABLES)
    parts = parts_of(board, compared, costs)
    script = _package_text("page.js")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    figures = {figure.id: figure.plot for part in parts for figure in part.figures}
    return environment.from_string(_package_text("leaderboard.html.j2")).render(
        parts=parts,
        facts=facts_of(board),
        plotly_script=SCRIPT,
        style=Markup(_package_text("page.css")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        figures=Markup(_in_script(figures)),
    )


def _in_script(figures: Mapping[str, Any]) -> str:
    """JSON that no text in it can end: within a script element only ``<`` could."""
    text = json.dumps(figures, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _rows(tables: Mapping[str, pa.Table], name: str) -> list[Row]:
    """Rows by primary key; of metrics at one k only."""
    contract = CONTRACTS[name]
    if name not in tables or (missing := [c for c in contract.column_names if c not in tables[name].column_names]):
        raise ValueError(f"table {name} lacks {'all' if name not in tables else ', '.join(missing)} of its columns")
    table = tables[name].select(contract.column_names)
    if "k" in contract.column_names:
        table = table.filter(pc.field("k") == K)
    return table.sort_by([(column, "ascending") for column in contract.primary_key]).to_pylist()
