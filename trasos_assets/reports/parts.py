"""What the page is made of, ready for the template: sections, figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trasos_assets.reports.charts import Figure
from trasos_assets.reports.facts import Trust
from trasos_assets.reports.tables import DataTable, HeatMap

if TYPE_CHECKING:
    from trasos_assets.metrics.definitions import MetricDefinition


@dataclass(frozen=True)
class FigureView:
    """One chart: its place on the page, what it shows in a sentence, its height in CSS pixels."""

    id: str
    sentence: str
    height: int
    plot: Figure
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """One question and its answer. ``empty`` is the reason if there is none yet."""

    id: str
    goal: str
    question: str
    title: str
    subtitle: str
    table: str
    owner: str
    trust: Trust
    definitions: Sequence[MetricDefinition]
    figures: Sequence[FigureView] = ()
    heat_map: HeatMap | None = None
    shown_table: DataTable | None = None
    data_table: DataTable | None = None
    note: str = ""
    empty: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Content:
    """What a section has to say beside its heading."""

    title: str
    figures: Sequence[FigureView] = ()
    heat_map: HeatMap | None = None
    shown_table: DataTable | None = None
    data_table: DataTable | None = None
    note: str = ""
