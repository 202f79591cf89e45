"""The figures of the report on a sample, as plain dictionaries that plotly.js draws."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from trasos_assets.reports import words
from trasos_assets.reports.template import BLUE, GREEN, NEUTRAL, VERMILION, register_template
from trasos_assets.samples.fidelity import Compared
from trasos_assets.samples.popularity import Popularity

Figure = dict[str, Any]
NORMAL_95 = 1.96


def differences(compared: Sequence[Compared]) -> Figure:
    """Sample less whole in percentage points, a row each, over a bar where 95 % of samples of this size have it."""
    figure = _figure()
    shown = [one for one in compared if one.difference is not None]
    places = list(range(len(shown)))
    figure.add_scatter(
        mode="markers",
        name="expected of samples of this size (95 %)",
        x=[0] * len(shown),
        y=places,
        error_x={
            "type": "data",
            "array": [_points(NORMAL_95 * (one.error or 0)) for one in shown],
            "thickness": 9,
            "width": 0,
            "color": "rgba(122,130,140,0.35)",
        },
        marker={"color": "rgba(122,130,140,0.35)", "size": 9, "symbol": "square"},
        hoverinfo="skip",
    )
    for beyond, name, colour, symbol in (
        (False, "this sample", GREEN, "diamond"),
        (True, "this sample, beyond chance", VERMILION, "x"),
    ):
        chosen = [place for place in places if (shown[place].is_noise is False) is beyond]
        figure.add_scatter(
            mode="markers",
            name=name,
            x=[_points(shown[place].difference or 0) for place in chosen],
            y=chosen,
            marker={"color": colour, "symbol": symbol, "size": 11},
            hovertemplate="%{x:+.3f} points<extra></extra>",
            showlegend=bool(chosen),
        )
    figure.update_yaxes(
        autorange="reversed", tickvals=places, ticktext=[words.plotly_label(one.name) for one in shown], showgrid=False
    )
    figure.update_xaxes(showgrid=True, zeroline=True, ticksuffix=" pts", title={"text": "Sample less whole"})
    return _plain(figure)


def steps(compared: Sequence[Compared]) -> Figure:
    """Share of sessions at each step, in the whole and in the sample with its 95 % error."""
    figure = _figure()
    names = [words.plotly_label(one.name) for one in compared]
    figure.add_bar(
        name="whole",
        x=names,
        y=[_percent(one.whole) for one in compared],
        marker={"color": NEUTRAL},
        hovertemplate="%{y:.2f} %",
    )
    figure.add_bar(
        name="sample",
        x=names,
        y=[_percent(one.sample) for one in compared],
        error_y={
            "type": "data",
            "array": [_percent(NORMAL_95 * one.error) if one.error is not None else 0 for one in compared],
            "thickness": 2,
            "width": 6,
            "color": NEUTRAL,
        },
        marker={"color": BLUE},
        hovertemplate="%{y:.2f} %",
    )
    figure.update_layout(barmode="group", bargap=0.35)
    figure.update_yaxes(rangemode="tozero", ticksuffix=" %")
    return _plain(figure)


def concentration(popularity: Popularity) -> Figure:
    """Share of all pairs of person and item that the most popular items have, in the whole and in the sample."""
    figure = _figure()
    for number, (name, colour, dash) in enumerate((("whole", NEUTRAL, "dot"), ("sample", BLUE, "solid")), start=1):
        figure.add_scatter(
            mode="lines",
            name=name,
            x=[_percent(point[0]) for point in popularity.curve],
            y=[_percent(point[number]) for point in popularity.curve],
            line={"color": colour, "width": 2.5, "dash": dash},
            hovertemplate="the top %{x:.0f} % have %{y:.1f} %",
        )
    figure.update_xaxes(ticksuffix=" %", title={"text": "Most popular items"})
    figure.update_yaxes(ticksuffix=" %", rangemode="tozero")
    return _plain(figure)


def _figure() -> Any:
    import plotly.graph_objects as go

    return go.Figure(layout={"template": register_template()})


def _plain(figure: Any) -> Figure:
    return json.loads(json.dumps(figure.to_plotly_json(), allow_nan=False))


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 4)


def _points(difference: float) -> float:
    return round(100 * difference, 5)
