"""Small plots as SVG, drawn here and shown without a script: lines over days, and bars side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from trasos_assets.reports import words

WIDTH, HEIGHT = 320, 90
BAR_HEIGHT = 7


@dataclass(frozen=True)
class LinePlot:
    """One line over days: stretches of points for ``polyline``, lone points, and the labels of its ends.

    ``sentence`` says what is to be seen, for those who do not see it.
    """

    title: str
    sentence: str
    last: str
    definition: str
    stretches: Sequence[str]
    dots: Sequence[tuple[str, str]]
    top: str
    first_day: str
    last_day: str


@dataclass(frozen=True)
class BarPair:
    """One bin: its label, both shares in words and as widths of 0 to 100."""

    label: str
    before: str
    after: str
    before_width: float
    after_width: float


def line_plot(
    title: str,
    days: Sequence[date],
    values: Sequence[float | None],
    *,
    unit: str = "share",
    definition: str = "",
) -> LinePlot:
    """A line from 0 to the largest value, broken where a day has none."""
    known = [value for value in values if value is not None]
    most = max(known, default=0.0) or 1.0
    step = WIDTH / max(1, len(days) - 1)
    stretches: list[list[str]] = [[]]
    for place, value in enumerate(values):
        if value is None:
            stretches.append([])
        else:
            stretches[-1].append(f"{place * step:.1f},{1 + (HEIGHT - 2) * (1 - value / most):.1f}")
    alone = [stretch[0].split(",") for stretch in stretches if len(stretch) == 1]
    last = next((value for value in reversed(values) if value is not None), None)
    shown = "not known yet" if last is None else in_words(last, unit)
    over = f"from {words.day(days[0])} to {words.day(days[-1])}" if days else "no days"
    return LinePlot(
        title=title,
        sentence=f"{title}, {over}: last {shown}" + (f", highest {in_words(max(known), unit)}" if known else ""),
        last=shown,
        definition=definition,
        stretches=[" ".join(stretch) for stretch in stretches if len(stretch) > 1],
        dots=[(x, y) for x, y in alone],
        top=in_words(most, unit) if known else "",
        first_day=words.day_and_month(days[0]) if days else "",
        last_day=words.day_and_month(days[-1]) if days else "",
    )


def in_words(value: float, unit: str) -> str:
    """A share as a percentage, days as days, anything else as a number of two decimals."""
    if unit == "share":
        return words.percent(value)
    return words.plural(value, "day") if unit == "days" else f"{value:.2f}"


def bar_pairs(labels: Sequence[str], before: Sequence[int], after: Sequence[int]) -> list[BarPair]:
    """Shares of the same bins on two sides, on one scale."""
    sides = [
        [count / total for count in side] if (total := sum(side)) else [0.0] * len(side) for side in (before, after)
    ]
    most = max([0.0, *sides[0], *sides[1]]) or 1.0
    return [
        BarPair(
            words.name(label),
            words.percent(one) if sum(before) else "",
            words.percent(other) if sum(after) else "",
            round(100 * one / most, 2),
            round(100 * other / most, 2),
        )
        for label, one, other in zip(labels, *sides, strict=True)
    ]
