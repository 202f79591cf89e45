"""The report on a sample: one page for a browser without a network, and the same numbers as JSON."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

from trasos_assets.reports import words
from trasos_assets.reports.parts import FigureView
from trasos_assets.reports.tables import DataTable
from trasos_assets.samples import charts
from trasos_assets.samples.fidelity import FEW_CASES, FEW_PEOPLE, Compared, Fidelity
from trasos_assets.samples.place import KIND, MARK
from trasos_assets.samples.popularity import BEYOND_NOISE, TOP, Expected

PAGE, SCRIPT = "fidelity.html", "plotly.min.js"
DIGITS = 6
FORMAT = 1
_VERDICTS = {True: "chance", False: "beyond chance", None: "not known"}


def write_report(found: Fidelity, folder: Path) -> None:
    """Write ``fidelity.json``, ``fidelity.html`` and the script that draws its charts. The same input, the same bytes.

    Raises:
        OSError: the folder cannot be written.
    """
    from plotly.offline import get_plotlyjs

    (folder / MARK).write_text(as_json(found), encoding="utf-8")
    (folder / SCRIPT).write_text(get_plotlyjs(), encoding="utf-8")
    (folder / PAGE).write_text(render(found), encoding="utf-8")


def as_json(found: Fidelity) -> str:
    """The numbers, rounded to six digits; ``is_noise`` says of each whether chance explains it."""
    record = {"kind": KIND, "format": FORMAT, "beyond_noise": found.beyond_noise(), **asdict(found)}
    for one, row in _pairs(found, record):
        row["is_noise"] = one.is_noise
        row |= {"difference": one.difference} if isinstance(one, Compared) else {"range": one.range}
    return json.dumps(_rounded(record), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _pairs(found: Fidelity, record: dict[str, Any]) -> list[tuple[Compared | Expected, dict[str, Any]]]:
    """Every compared figure with the record that it became."""
    pairs: list[tuple[Compared | Expected, dict[str, Any]]] = []
    if found.people:
        pairs.append((found.people, record["people"]))
    if found.mix:
        pairs += zip(found.mix.shares, record["mix"]["shares"], strict=True)
    pairs += zip(found.funnel or (), record["funnel"] or (), strict=True)
    if found.popularity:
        names = ("rank_correlation", "gini", "top_share")
        pairs += [(getattr(found.popularity, name), record["popularity"][name]) for name in names]
    return pairs


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(part) for part in value]
    if isinstance(value, float):
        return round(value, DIGITS)
    return value.isoformat() if hasattr(value, "isoformat") else value


def render(found: Fidelity) -> str:
    """The page as HTML, everything in it escaped."""
    import jinja2
    from markupsafe import Markup

    script, style = (_text("trasos_assets.reports", name) for name in ("page.js", "page.css"))
    parts = _parts(found)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"count": words.count, "day": words.day, "percent": words.percent}
    return environment.from_string(_text("trasos_assets.samples", "fidelity.html.j2")).render(
        found=found,
        unlike=found.beyond_noise(),
        parts=parts,
        tables=_tables(found),
        few=FEW_PEOPLE,
        few_cases=FEW_CASES,
        beyond=f"{BEYOND_NOISE:g}",
        plotly_script=SCRIPT,
        style=Markup(style),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        figures=Markup(_script_json([part["figure"] for part in parts if part["figure"]])),
    )


def _text(package: str, name: str) -> str:
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def _script_json(figures: Sequence[FigureView]) -> str:
    text = json.dumps({figure.id: figure.plot for figure in figures}, ensure_ascii=False, allow_nan=False)
    for sign in "<>&\u2028\u2029":  # within a script element only `<` could end it
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _parts(found: Fidelity) -> list[dict[str, Any]]:
    """Sections: question, answer, figure, data table, and why there is nothing to say."""
    return [_mix(found), _funnel(found), _popularity(found)]


def _part(id_: str, question: str, title: str, **more: Any) -> dict[str, Any]:
    return {"id": id_, "question": question, "title": title, "subtitle": "", "figure": None, "table": None} | more


def _mix(found: Fidelity) -> dict[str, Any]:
    question = "Do people do the same things?"
    if found.mix is None or found.mix.distance is None:
        return _part("mix", question, "Nothing to compare", subtitle=_absent("clean_events and identities"))
    expected = found.mix.distance_expected
    title = f"Event types differ by {words.percent(found.mix.distance)} in total"
    title += f"; {words.percent(expected)} is expected of samples of this size" if expected is not None else ""
    height = 90 + 30 * len(found.mix.shares)
    sentence = f"Share of each event type, sample less whole. {title}."
    return _part(
        "mix",
        question,
        title,
        subtitle="Total variation distance: half the sum of the absolute differences. Without bots and testers.",
        figure=FigureView("mix-figure", sentence, height, charts.differences(found.mix.shares)),
        table=_compared("Events by type", "Event type", "events", found.mix.shares),
    )


def _funnel(found: Fidelity) -> dict[str, Any]:
    question = "Do they come as far?"
    if not found.funnel:
        return _part("funnel", question, "Nothing to compare", subtitle=_absent("clean_events and identities"))
    last = found.funnel[-1]
    title = (
        f"{words.percent(last.sample)} of sessions buy, {words.percent(last.whole)} in the whole"
        if last.sample is not None and last.whole is not None
        else "The sample has no session that viewed an item"
    )
    sentence = f"Share of sessions with a view that took each later step, whole and sample. {title}."
    return _part(
        "funnel",
        question,
        title,
        subtitle="Sessions with a view of an item that took each later step, all weeks together.",
        figure=FigureView("funnel-figure", sentence, 300, charts.steps(found.funnel)),
        table=_compared("Sessions by step", "Step", "sessions", found.funnel),
    )


def _popularity(found: Fidelity) -> dict[str, Any]:
    question = "Are the same items popular?"
    shown = found.popularity
    if shown is None or not shown.curve:
        return _part("popularity", question, "Nothing to compare", subtitle=_absent("training_interactions"))
    correlation = shown.rank_correlation
    title = (
        f"Items rank alike with a correlation of {correlation.sample:.2f}"
        if correlation.sample is not None
        else "Items cannot be ranked"
    )
    if correlation.sample is not None and (expected := correlation.range):
        title += f"; {expected[0]:.2f} to {min(1, expected[1]):.2f} is expected of samples of this size"
    rows = [
        _expected("Rank correlation of items (Spearman)", correlation),
        _expected("Gini coefficient of items", shown.gini),
        _expected(f"Share of the top {TOP:.0%} of items", shown.top_share),
    ]
    sentence = f"Share of all pairs of person and item by the most popular items, whole and sample. {title}."
    headers = ("Figure", "Whole", "Sample", "95 % of samples of this size", "Difference is")
    return _part(
        "popularity",
        question,
        title,
        subtitle="Popularity is the number of people who had to do with an item; "
        f"{words.count(shown.items_sampled)} of {words.count(shown.items)} items are touched in the sample.",
        figure=FigureView("popularity-figure", sentence, 320, charts.concentration(shown)),
        table=DataTable("Item popularity", headers, rows),
    )


def _absent(tables: str) -> str:
    return f"The sample, or the lake, has no rows of {tables}."


def _compared(caption: str, first: str, what: str, rows: Sequence[Compared]) -> DataTable:
    headers = (first, "Whole", "Sample", "Difference", "Standard error", f"{what} here", "Difference is")
    cells = [
        (
            words.clean(row.name),
            None if row.whole is None else words.percent(row.whole),
            None if row.sample is None else words.percent(row.sample),
            None if row.difference is None else _points(row.difference, "+"),
            None if row.error is None else _points(row.error),
            words.count(row.count_sample),
            _VERDICTS[row.is_noise],
        )
        for row in rows
    ]
    return DataTable(caption, headers, cells)


def _points(difference: float, sign: str = "") -> str:
    """Percentage points to the hundredth: errors are small beside the shares they are of."""
    return f"{100 * difference:{sign}.2f}{words.NBSP}points".replace("-", words.MINUS)


def _expected(name: str, one: Expected) -> tuple[str | None, ...]:
    whole, sample = (None if value is None else f"{value:.3f}" for value in (one.whole, one.sample))
    expected = f"{one.range[0]:.3f} to {min(1, one.range[1]):.3f}" if one.range else None
    return name, whole, sample, expected, _VERDICTS[one.is_noise]


def _tables(found: Fidelity) -> DataTable:
    rows = [
        (
            f"{table.team}.{table.name}",
            table.rule,
            words.count(table.rows_sample),
            words.count(table.rows_whole),
            words.percent(table.rows_sample / table.rows_whole) if table.rows_whole else None,
        )
        for table in sorted(found.tables, key=lambda table: (table.team, table.name))
    ]
    return DataTable(
        "Rows of every table", ("Table", "What is here", "Rows here", "Rows in the lake", "Share"), rows, 2
    )
