"""The card of a model: what it was made of, how good it is and for whom, what it had to be, and who signed it off.

After Mitchell et al. (2019), "Model cards for model reporting". One page without a script, and the same as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from trasos_assets.contracts.models import MEAN_FOLD, RANKING_METRICS, SEGMENTS, TARGETS
from trasos_assets.reports import words
from trasos_assets.reports.dashboard import _package_text, _replace

FOLDER = "models"
FORMAT = 1
K = 10
LIMITS = (
    "It learned from what this shop's people did, shown what the shop showed them: what was never shown was never "
    "bought, and offline figures judge it by that.",
    "Figures are of the days named and of people who bought then; they promise nothing for other seasons, and no "
    "effect on sales: that takes an experiment with a holdout.",
    "People without an interaction get what is popular; items without one are not recommended by vectors.",
)

Row = dict[str, Any]
Tables = Mapping[str, Sequence[Row]]


def card_of(tables: Tables, *, serves: bool, promoted: str | None, signed_by: Sequence[str]) -> Row | None:
    """The card of the candidate as plain values; None while there is none.

    ``tables`` holds the rows of candidate, definition_of_done, leaderboard, model_comparisons and model_costs;
    ``promoted`` is the reason for which it was, None if it never was.
    """
    told = next(iter(tables["candidate"]), None)
    if told is None:
        return None
    name, version = told["model"], told["model_version"]
    criteria = [row for row in tables["definition_of_done"] if row["model_version"] == version]
    board = [row for row in tables["leaderboard"] if row["model"] == name and row["fold"] == MEAN_FOLD]
    compared = [row for row in tables["model_comparisons"] if row["model"] == name and row["fold"] == MEAN_FOLD]
    judged_through = max((row["test_through"] for row in board), default=None)
    card = {
        "format": FORMAT,
        "model": name,
        "model_version": version,
        "serves": serves,
        "promoted": promoted,
        "refused": [f"{row['criterion']}: {row['reason']}" for row in criteria if not row["passed"]],
        "data": {
            "first_day": told["first_day"],
            "last_day": told["last_day"],
            "as_of": told["as_of"],
            "rows": told["rows"],
            "source_hash": told["source_hash"],
        },
        "code": {
            "code_version": told["code_version"],
            "parts": told["parts"],
            "parts_hash": told["parts_hash"],
            "als_version": told["als_version"],
        },
        "parameters": json.loads(told["parameters"]),
        "judged_through": judged_through,
        "metrics": [_metric(row) for row in board if row["segment"] == "all" and row["k"] == K],
        "segments": [_metric(row) | {"segment": row["segment"]} for row in board if _is_headline(row)],
        "comparisons": [
            {n: row[n] for n in ("against", "target", "difference", "low", "high", "p_holm", "people")}
            for row in compared
            if _is_headline(row) and row["segment"] == "all"
        ],
        "costs": [
            {n: row[n] for n in ("fold", "fit_seconds", "fit_peak_bytes", "serve_seconds_per_1000")}
            for row in tables["model_costs"]
            if row["model"] == name
        ],
        "criteria": [
            {n: row[n] for n in ("criterion", "owner", "passed", "judged", "value", "threshold", "reason", "must")}
            for row in criteria
        ],
        "limits": [*LIMITS, *_own_limits(criteria)],
        "signed_off_by": list(signed_by),
    }
    order = {target: number for number, target in enumerate(TARGETS)}
    for rows in (card["metrics"], card["segments"]):
        rows.sort(key=lambda row: (order.get(row["target"], 9), _place(row)))
    card["comparisons"].sort(key=lambda row: (order.get(row["target"], 9), row["against"]))
    return card


def card_lacks(card: Row, criteria: Sequence[str]) -> list[str]:
    """What a card must hold and this one does not: verdicts on all ``criteria``, and figures."""
    judged = {row["criterion"] for row in card["criteria"]}
    lacking = [name for name in criteria if name not in judged]
    return lacking + [part for part in ("metrics", "segments", "comparisons", "costs") if not card[part]]


def _is_headline(row: Row) -> bool:
    return row["metric"] == "ndcg" and row["k"] == K


def _place(row: Row) -> tuple[int, int]:
    known = (*RANKING_METRICS, row["metric"])
    return known.index(row["metric"]), SEGMENTS.index(row["segment"]) if row.get("segment") in SEGMENTS else 0


def _metric(row: Row) -> Row:
    return {name: row[name] for name in ("target", "metric", "k", "value", "low", "high", "people")}


def _own_limits(criteria: Sequence[Row]) -> list[str]:
    return [f"Not judged: {row['must']} ({row['reason']})" for row in criteria if not row["judged"]]


def write_card(card: Row, reports: Path) -> Path:
    """Write ``models/<version>.html`` and ``.json`` below the reports folder; the page's path.

    Raises:
        OSError: the folder cannot be written.
    """
    folder = reports / FOLDER
    text = json.dumps(card, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False, default=_plain)
    _replace(folder / f"{card['model_version']}.json", text + "\n")
    page = folder / f"{card['model_version']}.html"
    _replace(page, render(card))
    return page


def written_again(reports: Path, version: str, *, serves: bool, signed_by: Sequence[str]) -> Path | None:
    """Write the card of a version once more, as it stands by now; None if there is no card of it."""
    stored = reports / FOLDER / f"{version}.json"
    if not stored.exists():
        return None
    card = json.loads(stored.read_text(encoding="utf-8"))
    return write_card(card | {"serves": serves, "signed_off_by": list(signed_by)}, reports)


def _plain(value: Any) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"a card holds no {type(value).__name__}")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}".replace("-", words.MINUS)


def render(card: Row) -> str:
    """The card as HTML, everything in it escaped."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_package_text),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": words.count, "clean": words.clean, "number": _number}
    style = Markup(_package_text("page.css"))
    return environment.get_template("model_card.html.j2").render(card=card, style=style, k=K)
