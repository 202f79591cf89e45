"""The leaderboard's figures, as plain dictionaries that plotly.js draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trasos_assets.contracts.models import CHAMPION_NAME
from trasos_assets.reports import words
from trasos_assets.reports.charts import FLOAT_DIGITS, Figure, _figure, _plain
from trasos_assets.reports.template import BLUE, GREEN, NEUTRAL, VERMILION

ALPHA = 0.05


def intervals(rows: Sequence[dict[str, Any]]) -> Figure:
    """Every model's value as a point with its interval, in the order of ``rows``; the champion stands out."""
    figure = _figure()
    for name, champion, colour, symbol in (("model", False, BLUE, "circle"), ("champion", True, VERMILION, "diamond")):
        chosen = [(place, row) for place, row in enumerate(rows) if (row["model"] == CHAMPION_NAME) is champion]
        figure.add_scatter(
            mode="markers",
            name=name,
            x=[_rounded(row["value"]) for _, row in chosen],
            y=[place for place, _ in chosen],
            error_x=_ends([row for _, row in chosen], "value", colour),
            marker={"color": colour, "size": 10, "symbol": symbol},
            hovertemplate="%{x:.4f}<extra></extra>",
            showlegend=False,
        )
    return _framed(figure, [words.plotly_label(row["model"]) for row in rows], "NDCG@10")


def differences(rows: Sequence[dict[str, Any]]) -> Figure:
    """A forest plot of paired differences; filled where they are beyond chance after Holm."""
    figure = _figure()
    for clear, name, colour, symbol in (
        (True, "beyond chance (Holm, 5 %)", GREEN, "diamond"),
        (False, "may be chance", NEUTRAL, "circle-open"),
    ):
        chosen = [(place, row) for place, row in enumerate(rows) if (row["p_holm"] < ALPHA) is clear]
        figure.add_scatter(
            mode="markers",
            name=name,
            x=[_rounded(row["difference"]) for _, row in chosen],
            y=[place for place, _ in chosen],
            error_x=_ends([row for _, row in chosen], "difference", colour),
            marker={"color": colour, "size": 10, "symbol": symbol},
            hovertemplate="%{x:+.4f}<extra></extra>",
            showlegend=bool(chosen),
        )
    figure.add_vline(x=0, line={"color": NEUTRAL, "width": 1.5, "dash": "dash"})
    labels = [f"{words.plotly_label(row['model'])} − {words.plotly_label(row['against'])}" for row in rows]
    return _framed(figure, labels, "Difference of NDCG@10")


def _ends(rows: Sequence[dict[str, Any]], middle: str, colour: str) -> dict[str, Any]:
    def length(row: dict[str, Any], end: str) -> float:
        return 0.0 if row[end] is None else _rounded(abs(row[end] - row[middle]))

    return {
        "type": "data",
        "symmetric": False,
        "array": [length(row, "high") for row in rows],
        "arrayminus": [length(row, "low") for row in rows],
        "thickness": 2.5,
        "width": 6,
        "color": colour,
    }


def _framed(figure: Any, labels: Sequence[str], title: str) -> Figure:
    figure.update_yaxes(
        range=[len(labels) - 0.4, -0.6], tickvals=list(range(len(labels))), ticktext=list(labels), showgrid=False
    )
    figure.update_xaxes(showgrid=True, title={"text": title})
    return _plain(figure)


def _rounded(value: float) -> float:
    return round(float(value), FLOAT_DIGITS)
