"""The figures, as plain dictionaries that plotly.js draws: data and layout, names escaped, blanks left blank."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trasos_assets.reports import words
from trasos_assets.reports.template import BLUE, BLUE_BAND, COLOURS, GREEN, GRID, NEUTRAL, SYMBOLS, VERMILION
from trasos_assets.reports.views import MAX_DAYS, WEEK_DAYS, Cost, Curve, Daily, Funnel
from trasos_assets.reports.views_recommender import MAX_ARMS, MAX_MODELS, Board, Comparison

if TYPE_CHECKING:
    import plotly.graph_objects as go

Figure = dict[str, Any]

FLOAT_DIGITS = 6
MAX_MARKED_DAYS = 92
TARGETS = {"new_items": "new items only", "all_items": "repeats allowed"}


def conversion(daily: Daily) -> Figure:
    """Daily visitor conversion as points, its seven-day ratio as a line."""
    days = [row["day"].isoformat() for row in daily.days]
    by_day = [_percent(row["visitor_conversion"]) for row in daily.days]
    by_week = [_percent(share) for share in _trailing(daily, "buyers", "visitors")]
    figure = _figure()
    _add_daily(figure, days, by_day, by_week, hover="%{y:.2f} %")
    figure.update_yaxes(rangemode="tozero", ticksuffix=" %")
    return _plain(figure)


def sales(daily: Daily, currency: str) -> Figure:
    """Net revenue and orders by day, one above the other on one axis of days, with their seven-day means."""
    days = [row["day"].isoformat() for row in daily.days]
    figure = _figure()
    prefix = words.SYMBOLS.get(currency, "")
    net = [_number(row["net"]) for row in daily.days]
    orders = [row["orders"] for row in daily.days]
    _add_daily(figure, days, net, _trailing(daily, "net"), hover=f"{prefix}%{{y:,.0f}}")
    _add_daily(figure, days, orders, _trailing(daily, "orders"), hover="%{y:,.1f}", axis="y2", legend=False)
    unit = prefix or words.plotly_label(currency, 8)
    figure.update_layout(
        yaxis={"domain": [0.56, 1], "rangemode": "tozero", "title": {"text": f"Net revenue, {unit}"}},
        yaxis2={"domain": [0, 0.44], "rangemode": "tozero", "title": {"text": "Orders"}, "anchor": "x"},
        xaxis={"anchor": "y2"},
    )
    return _plain(figure)


def funnel_steps(funnel: Funnel) -> Figure:
    """Sessions at each step as bars, with their share of all that entered."""
    steps = list(funnel.steps)
    figure = _figure()
    figure.add_bar(
        orientation="h",
        y=[row["step_name"] for row in steps],
        x=[row["sessions"] for row in steps],
        marker={"color": BLUE},
        text=[
            # The first step is all of them; its bar leaves the least room.
            words.count(row["sessions"])
            + (f" · {words.percent(row['share'])}" if row["step"] > 1 and row["share"] else "")
            for row in steps
        ],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{text}<extra></extra>",
    )
    most = max(row["sessions"] for row in steps)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    # Room for the label of the longest bar, which stands outside of it.
    figure.update_xaxes(range=[0, most * 1.45], showticklabels=False)
    figure.update_layout(bargap=0.35, margin={"t": 8})
    return _plain(figure)


def funnel_channels(funnel: Funnel) -> Figure:
    """Share of each channel's sessions at the steps after the first, as dots on one line a channel."""
    figure = _figure()
    names = ["all", *funnel.channels]
    rows = [funnel.steps, *funnel.channels.values()]
    for number, step in enumerate(funnel.steps[1:]):
        figure.add_scatter(
            mode="markers",
            name=step["step_name"],
            x=[_percent(of_channel[number + 1]["share"]) for of_channel in rows],
            y=list(range(len(rows))),
            marker={"color": COLOURS[number], "symbol": SYMBOLS[number], "size": 11},
            hovertemplate="%{x:.1f} %",
        )
    figure.update_yaxes(
        autorange="reversed",
        tickvals=list(range(len(names))),
        ticktext=[words.plotly_label(name) for name in names],
    )
    figure.update_xaxes(rangemode="tozero", ticksuffix=" %", showgrid=True)
    return _plain(figure)


def time_to_return(curve: Curve) -> Figure:
    """The Kaplan-Meier steps of the share that has returned, with their band; the axis is cut at `MAX_DAYS`."""
    rows = [row for row in curve.rows if row["days"] <= MAX_DAYS]
    banded = [row for row in rows if row["lower"] is not None and row["upper"] is not None]
    figure = _figure()
    line = {"shape": "hv", "width": 0}
    # The share that returned is 1 - not returned, so the band's ends change places.
    for edge, fill in (("upper", None), ("lower", "tonexty")):
        figure.add_scatter(
            mode="lines",
            x=[row["days"] for row in banded],
            y=[_percent(1 - row[edge]) for row in banded],
            line=line,
            fill=fill,
            fillcolor=BLUE_BAND,
            name="95 % band",
            showlegend=edge == "lower",
            hoverinfo="skip",
        )
    figure.add_scatter(
        mode="lines",
        name="returned",
        x=[row["days"] for row in rows],
        y=[_percent(1 - row["not_returned"]) for row in rows],
        line={"shape": "hv", "width": 2.5, "color": BLUE},
        hovertemplate="%{y:.1f} % within %{x} days<extra></extra>",
    )
    figure.update_yaxes(rangemode="tozero", ticksuffix=" %")
    figure.update_xaxes(rangemode="tozero", title={"text": "Days since the first order"})
    return _plain(figure)


def acquisition_cost(cost: Cost, currency: str) -> Figure:
    """Cost of a customer by week, bars by channel and the blended cost as a line; an open week has none."""
    weeks = [words.day_and_month(week) for week in cost.weeks]
    prefix = words.SYMBOLS.get(currency, "")
    figure = _figure()
    for number, (channel, of_weeks) in enumerate(cost.channels.items()):
        figure.add_bar(
            name=words.plotly_label(channel),
            x=weeks,
            y=[_number(of_weeks[week]["cac"]) if week in of_weeks else None for week in cost.weeks],
            marker={"color": COLOURS[number % len(COLOURS)]},
            hovertemplate=f"{prefix}%{{y:,.2f}}",
        )
    figure.add_scatter(
        mode="lines+markers",
        name="blended",
        x=weeks,
        y=[_number(cost.blended[week]["cac"]) for week in cost.weeks],
        line={"color": NEUTRAL, "width": 2.5, "dash": "dot"},
        marker={"size": 7},
        hovertemplate=f"{prefix}%{{y:,.2f}}",
    )
    unit = prefix or words.plotly_label(currency, 8)
    figure.update_layout(barmode="group", bargap=0.25, hovermode="x unified")
    figure.update_xaxes(type="category", tickangle=0, nticks=6, title={"text": "Week from Monday"})
    figure.update_yaxes(rangemode="tozero", title={"text": f"Cost per new customer, {unit}"})
    return _plain(figure)


def uplift(comparisons: Sequence[Comparison]) -> Figure:
    """A forest plot: difference to control in points, its interval, and the people behind it."""
    shown = comparisons[:MAX_ARMS]
    places = list(range(len(shown)))
    figure = _figure()
    for clear, name, colour in ((True, "interval leaves out 0", GREEN), (False, "interval holds 0", NEUTRAL)):
        chosen = [place for place in places if shown[place].is_clear is clear]
        arms = [shown[place].arm for place in chosen]
        figure.add_scatter(
            mode="markers",
            name=name,
            x=[_percent(arm["difference"]) for arm in arms],
            y=chosen,
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [_percent(arm["difference_upper"] - arm["difference"]) for arm in arms],
                "arrayminus": [_percent(arm["difference"] - arm["difference_lower"]) for arm in arms],
                "thickness": 2.5,
                "width": 6,
                "color": colour,
            },
            marker={"color": colour, "size": 12, "symbol": "diamond" if clear else "circle-open"},
            text=[f"{words.points(arm['difference'], sign=True)}" for arm in arms],
            hovertemplate="%{text}<extra></extra>",
            showlegend=bool(chosen),
        )
    for place, pair in zip(places, shown, strict=True):
        label = (
            f"{words.plotly_label(pair.arm['experiment'], 24)}: {words.plotly_label(pair.arm['arm'], 16)} vs "
            f"{words.plotly_label(pair.control['arm'], 16)}<br>"
            f"n = {words.count(pair.arm['people'])} vs {words.count(pair.control['people'])}"
        )
        figure.add_annotation(
            text=label,
            x=0,
            xref="paper",
            xanchor="left",
            y=place,
            yshift=28,
            showarrow=False,
            align="left",
            bgcolor=GRID,
        )
    figure.add_vline(x=0, line={"color": NEUTRAL, "width": 1.5, "dash": "dash"})
    figure.update_yaxes(range=[len(shown) - 0.6, -0.9], showticklabels=False, showgrid=False)
    figure.update_xaxes(showgrid=True, ticksuffix=" pts", title={"text": "Difference to control, percentage points"})
    return _plain(figure)


def leaderboard(board: Board) -> Figure:
    """NDCG@10 of every model as bars, one colour a target."""
    models = list(board.models[:MAX_MODELS])
    figure = _figure()
    for target, colour in zip(board.targets, (BLUE, VERMILION, *COLOURS[2:]), strict=False):
        values = [board.values.get((model, target)) for model in models]
        figure.add_bar(
            orientation="h",
            name=words.plotly_label(TARGETS.get(target, target)),
            y=list(range(len(models))),
            x=[_number(row["value"]) if row else None for row in values],
            text=[f"{row['value']:.3f}" if row else "" for row in values],
            textposition="outside",
            cliponaxis=False,
            marker={"color": colour},
            hovertemplate="%{x:.4f}",
        )
    highest = max(row["value"] for row in board.values.values())
    figure.update_yaxes(
        autorange="reversed",
        showgrid=False,
        tickvals=list(range(len(models))),
        ticktext=[words.plotly_label(model) for model in models],
    )
    figure.update_xaxes(range=[0, (highest or 1) * 1.2], showticklabels=False)
    figure.update_layout(barmode="group", bargap=0.3)
    return _plain(figure)


def _add_daily(
    figure: go.Figure, days: list, by_day: list, by_week: list, *, hover: str, axis: str = "y", legend: bool = True
) -> None:
    figure.add_scatter(
        mode="lines+markers" if len(days) <= MAX_MARKED_DAYS else "lines",
        name="day",
        x=days,
        y=by_day,
        yaxis=axis,
        line={"color": NEUTRAL, "width": 1},
        marker={"color": NEUTRAL, "size": 4},
        opacity=0.7,
        hovertemplate=hover,
        showlegend=legend,
    )
    figure.add_scatter(
        mode="lines",
        name=f"last {WEEK_DAYS} days",
        x=days,
        y=by_week,
        yaxis=axis,
        line={"color": BLUE, "width": 3},
        hovertemplate=hover,
        showlegend=legend,
    )
    figure.update_layout(hovermode="x unified")


def _trailing(daily: Daily, numerator: str, denominator: str | None = None) -> list[float | None]:
    """Over the seven days that end on each day: the ratio of two sums, or the mean; None until seven have landed."""
    result: list[float | None] = []
    for stop in range(1, len(daily.days) + 1):
        window = daily.days[max(0, stop - WEEK_DAYS) : stop]
        below = sum(row[denominator] for row in window) if denominator else WEEK_DAYS
        above = sum(row[numerator] for row in window)
        result.append(_number(above / below) if len(window) == WEEK_DAYS and below else None)
    return result


def _figure() -> go.Figure:
    import plotly.graph_objects as go

    from trasos_assets.reports.template import register_template

    return go.Figure(layout={"template": register_template()})


def _plain(figure: go.Figure) -> Figure:
    """Plain lists and numbers: what JSON would say on every machine, whatever encoder is installed."""
    return json.loads(json.dumps(figure.to_plotly_json(), allow_nan=False))


def _percent(share: Any) -> float | None:
    return None if share is None else round(100 * float(share), 4)


def _number(value: Any) -> float | None:
    return None if value is None else round(float(value), FLOAT_DIGITS)
