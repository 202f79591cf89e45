"""The page about the search: what was tried for each model, what came of it, which parameters decide."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trasos_assets.places import hidden_for, put_in_place
from trasos_assets.reports import words
from trasos_assets.reports.parts import FigureView
from trasos_assets.reports.tables import DataTable
from trasos_assets.reports.template import BLUE, GREEN, NEUTRAL, VERMILION, register_template

if TYPE_CHECKING:
    from trasos_assets.recommender.search.ledger import Trial
    from trasos_assets.recommender.search.overview import Searched

PAGE, SCRIPT = "search.html", "plotly.min.js"
TARGETS = {"new_items": "new items only", "all_items": "repeats allowed"}
HISTORY_HEIGHT, BAR_HEIGHT, FRAME_HEIGHT = 300, 30, 90
_OUTCOMES = (("complete", BLUE, "circle"), ("pruned", VERMILION, "x"))


def write_search(searched: Sequence[Searched], out: Path) -> Path:
    """Write ``out/search.html`` and ``out/plotly.min.js``; returns the page's path. Each file is replaced whole.

    Raises:
        OSError: the folder cannot be written.
    """
    from plotly.offline import get_plotlyjs

    _replace(out / SCRIPT, get_plotlyjs())
    _replace(out / PAGE, render(searched))
    return out / PAGE


def render(searched: Sequence[Searched]) -> str:
    """The page as HTML, everything in it escaped; the same input gives the same page."""
    import jinja2
    from markupsafe import Markup

    script = _text("page.js")
    parts = [_part(one) for one in searched]
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"day": words.day}
    figures = {figure.id: figure.plot for part in parts for figure in part["figures"]}
    return environment.from_string(_text("search.html.j2")).render(
        parts=parts,
        summary=_summary(searched),
        trials=words.count(sum(len(one.trials) for one in searched)),
        as_of=max((one.as_of for one in searched), default=None),
        plotly_script=SCRIPT,
        style=Markup(_text("page.css")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        figures=Markup(_script_json(figures)),
    )


def _text(name: str) -> str:
    return resources.files("trasos_assets.reports").joinpath(name).read_text(encoding="utf-8")


def _script_json(figures: dict[str, Any]) -> str:
    text = json.dumps(figures, ensure_ascii=False, allow_nan=False)
    for sign in "<>&\u2028\u2029":  # within a script element only `<` could end it
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _replace(path: Path, text: str) -> None:
    """Writes elsewhere, then swaps: a reader sees the old page or the new one."""
    unfinished = hidden_for(path, of=f".{os.getpid()}")
    try:
        unfinished.write_text(text, encoding="utf-8", newline="\n")
        put_in_place(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _summary(searched: Sequence[Searched]) -> DataTable:
    rows = [
        (
            words.clean(one.model),
            TARGETS.get(one.target, words.clean(one.target)),
            _parameters(one.best),
            _number(one.best.value if one.best else None),
            _number(one.default),
            *(words.count(one.count(state)) for state in ("complete", "pruned", "failed")),
        )
        for one in searched
    ]
    headers = ("Model", "Target", "Best parameters", "NDCG@10", "Unsearched", "Complete", "Pruned", "Failed")
    return DataTable("Best parameters of every model", headers, rows, 3)


def _part(one: Searched) -> dict[str, Any]:
    model = words.clean(one.model)
    best = one.best.value if one.best else None
    title = f"NDCG@10 {best:.4f} on {TARGETS.get(one.target, one.target)}" if best is not None else "No value yet"
    if best is not None and one.default is not None:
        title += f"; {one.default:.4f} unsearched"
    id_ = f"model-{hashlib.sha256(one.model.encode()).hexdigest()[:8]}"
    sentence = f"Value of every trial of {model} and the best so far. {title}."
    figures = [FigureView(f"{id_}-history", sentence, HISTORY_HEIGHT, _history(one))]
    if one.importance:
        height = FRAME_HEIGHT + BAR_HEIGHT * len(one.importance)
        sentence = f"Share of each parameter of {model} in what decides over a good value."
        figures.append(FigureView(f"{id_}-importance", sentence, height, _importance(one)))
    table = DataTable(
        f"Trials of {model}",
        ("Trial", "From", "Outcome", "Parameters", "NDCG@10", "By fold", "Seconds"),
        [_row(trial) for trial in one.trials],
        4,
    )
    return {
        "id": id_,
        "model": model,
        "title": title,
        "subtitle": f"Mean over {words.plural(one.folds, 'fold')} with {words.count(one.people)} people judged, up to "
        f"{words.day(one.as_of)}, all of them before the days that the leaderboard tests on. Of a pruned trial the "
        "mean of the folds that it was judged on is shown.",
        "figures": figures,
        "table": table,
    }


def _row(trial: Trial) -> tuple[str | None, ...]:
    outcome = trial.state if trial.reason is None else f"{trial.state}: {trial.reason}"
    by_fold = ", ".join(f"{value:.4f}" for value in trial.fold_values)
    return (
        words.count(trial.number),
        trial.origin,
        words.clean(outcome),
        _parameters(trial),
        _number(trial.value),
        by_fold or None,
        f"{trial.seconds:,.1f}",
    )


def _parameters(trial: Trial | None) -> str | None:
    from trasos_assets.recommender.search.overview import in_short

    return None if trial is None else words.clean(in_short(trial.parameters))


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.4f}"


def _history(one: Searched) -> dict[str, Any]:
    """Each trial as a point, and the best value so far as a line. Of a pruned trial the mean of its folds is shown."""
    figure = _figure()
    for state, colour, symbol in _OUTCOMES:
        chosen = [trial for trial in one.trials if trial.state == state and trial.fold_values]
        figure.add_scatter(
            mode="markers",
            name=state,
            x=[trial.number for trial in chosen],
            y=[round(sum(trial.fold_values) / len(trial.fold_values), 6) for trial in chosen],
            marker={"color": colour, "symbol": symbol, "size": 9},
            hovertemplate="trial %{x}: %{y:.4f}<extra></extra>",
            showlegend=bool(chosen),
        )
    best: float | None = None
    places, values = [], []
    for trial in one.trials:
        if trial.value is not None:
            best = trial.value if best is None else max(best, trial.value)
        if best is not None:
            places.append(trial.number)
            values.append(round(best, 6))
    figure.add_scatter(
        mode="lines", name="best so far", x=places, y=values, line={"color": GREEN, "shape": "hv"}, hoverinfo="skip"
    )
    if one.default is not None:
        figure.add_hline(y=round(one.default, 6), line={"color": NEUTRAL, "dash": "dot", "width": 1.5})
    figure.update_xaxes(title={"text": "Trial"})
    figure.update_yaxes(title={"text": "NDCG@10"}, tickformat=".3f")
    return _plain(figure)


def _importance(one: Searched) -> dict[str, Any]:
    figure = _figure()
    figure.add_bar(
        orientation="h",
        y=[words.plotly_label(name) for name in one.importance],
        x=[round(100 * share, 2) for share in one.importance.values()],
        marker={"color": BLUE},
        hovertemplate="%{x:.1f} %<extra></extra>",
    )
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(rangemode="tozero", ticksuffix=" %", title={"text": "Importance (PED-ANOVA)"})
    figure.update_layout(bargap=0.35, margin={"t": 8})
    return _plain(figure)


def _figure() -> Any:
    import plotly.graph_objects as go

    return go.Figure(layout={"template": register_template()})


def _plain(figure: Any) -> dict[str, Any]:
    return json.loads(json.dumps(figure.to_plotly_json(), allow_nan=False))
