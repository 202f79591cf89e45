"""What the sections on shop and customers show, drawn from the tables once for charts, sentences and data tables.

Every function returns a view, or `NoData` with the reason in words that a reader can act on.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from trasos_assets.reports import words
from trasos_assets.reports.source import Source

MAX_DAYS = 400
MAX_WEEKS = 13
MAX_COHORTS = 13
MAX_CHANNELS = 6
WEEK_DAYS = 7
MARKS = (7, 14, 30, 60, 90, 180, 365)

Row = dict[str, Any]


@dataclass(frozen=True)
class NoData:
    """Why a section has nothing to show, and what would change that."""

    reason: str


@dataclass(frozen=True)
class Daily:
    """Rows of ``daily_kpis``, the latest `MAX_DAYS`, in order of days."""

    days: Sequence[Row]

    def last(self, number: int, before: int = 0) -> Sequence[Row]:
        """``number`` days, ``before`` days before the end."""
        stop = len(self.days) - before
        return self.days[max(0, stop - number) : max(0, stop)]

    @property
    def has_visits(self) -> bool:
        """Whether the source says anything of people who did not buy."""
        return any(row["sessions"] for row in self.days)


def daily(source: Source) -> Daily | NoData:
    """Every day's numbers."""
    rows = source.rows("daily_kpis")
    if not rows:
        return NoData("No day has landed yet. Put events into landing/events/dt=YYYY-MM-DD/ and run `trasos run`.")
    return Daily(rows[-MAX_DAYS:])


@dataclass(frozen=True)
class Funnel:
    """The last whole week: steps of all sessions, of each channel (by size), and of all in the week before if known."""

    week: date
    steps: Sequence[Row]
    channels: Mapping[str, Sequence[Row]]
    previous: Sequence[Row]
    hidden_channels: int


def funnel(source: Source, data_through: date | None) -> Funnel | NoData:
    """The funnel of the last week that is over and had sessions."""
    rows = source.rows("conversion_funnel", dimension="all")
    if not rows:
        return NoData("No event of an item has landed yet: the funnel needs events with an item_id.")
    weeks = {week: list(steps) for week, steps in itertools.groupby(rows, key=lambda row: row["week"])}
    whole = [week for week, steps in weeks.items() if steps[0]["share"] is not None]
    if not whole:
        if any(steps[0]["entrants"] for steps in weeks.values()):
            through = f" The data reach to {words.day(data_through)}." if data_through else ""
            return NoData(f"No week, Monday to Sunday, has landed whole yet.{through}")
        return NoData("No session viewed an item: the funnel begins with a page_view or click that names one.")
    week = whole[-1]
    of_channels = source.rows("conversion_funnel", dimension="channel", week=week)
    channels = {key: list(steps) for key, steps in itertools.groupby(of_channels, key=lambda row: row["value"])}
    by_size = sorted(channels, key=lambda value: (-channels[value][0]["entrants"], value))
    kept = {value: channels[value] for value in by_size[:MAX_CHANNELS] if channels[value][0]["entrants"]}
    before = whole[-2] if len(whole) > 1 and (week - whole[-2]).days == WEEK_DAYS else None
    return Funnel(week, weeks[week], kept, weeks[before] if before else [], len(channels) - len(kept))


@dataclass(frozen=True)
class Cohorts:
    """The latest cohorts, each with its size and, from month 1, (returned, retention) or None where not over."""

    cohorts: Sequence[tuple[date, int, Sequence[tuple[int, float] | None]]]

    @property
    def months(self) -> int:
        """The longest row."""
        return max(len(cells) for _, _, cells in self.cohorts)

    @property
    def highest(self) -> float:
        """The highest retention of all cells, for the scale of colours."""
        return max(cell[1] for _, _, cells in self.cohorts for cell in cells if cell)


def cohorts(source: Source, data_through: date | None) -> Cohorts | NoData:
    """Retention by month of the first order; month 0, which is always 100 %, is left out."""
    rows = source.rows("retention_cohorts")
    if not rows:
        return NoData("Nobody has placed a first order yet.")
    found = []
    for month, of_month in itertools.groupby(rows, key=lambda row: row["cohort_month"]):
        cells = list(of_month)
        later = [
            None if cell["retention"] is None else (cell["returned"], cell["retention"])
            for cell in cells
            if 1 <= cell["months_since"] <= MAX_COHORTS - 1
        ]
        found.append((month, cells[0]["customers"], later))
    found = found[-MAX_COHORTS:]
    if not any(cell for _, _, cells in found for cell in cells):
        first = words.month(found[0][0])
        through = f"; the data reach to {words.day(data_through)}" if data_through else ""
        return NoData(
            f"No cohort has a whole later month behind it yet. The first is {first}{through}: a month that is not over "
            "stays blank, because it would look like a fall that is none."
        )
    return Cohorts(found)


@dataclass(frozen=True)
class Curve:
    """Kaplan-Meier rows of all customers, in order of days."""

    rows: Sequence[Row]

    def at(self, days: int) -> Row | None:
        """The estimate after so many days; None beyond the last day on which anyone was observed."""
        if days > self.rows[-1]["days"] and self.rows[-1]["not_returned"] > 0:
            return None
        nobody_yet = {"not_returned": 1.0, "lower": None, "upper": None}
        return next((row for row in reversed(self.rows) if row["days"] <= days), nobody_yet)

    def at_risk(self, days: int) -> int:
        """People not yet returned and observed for at least so many days."""
        return next((row["at_risk"] for row in self.rows if row["days"] >= days), 0)

    @property
    def marks(self) -> list[int]:
        """The round numbers of days that somebody was observed for without a return."""
        return [days for days in MARKS if self.at_risk(days)]

    @property
    def median(self) -> int | None:
        """Days after which half have returned; None if the curve does not fall so far."""
        return next((row["days"] for row in self.rows if row["not_returned"] <= 0.5), None)


def curve(source: Source) -> Curve | NoData:
    """Time to the second order, of all customers."""
    rows = source.rows("time_to_return", segment="all")
    if not rows:
        return NoData("Nobody has placed a first order yet.")
    return Curve(rows)


@dataclass(frozen=True)
class Cost:
    """Weeks, the blended row of each, and the rows of each channel that cost anything, dearest first."""

    weeks: Sequence[date]
    blended: dict[date, Row]
    channels: dict[str, dict[date, Row]]
    hidden_channels: int

    @property
    def whole_weeks(self) -> list[date]:
        """Weeks with a known blended cost."""
        return [week for week in self.weeks if self.blended[week]["cac"] is not None and self.blended[week]["cost"] > 0]


def cost(source: Source) -> Cost | NoData:
    """Acquisition cost of the last weeks."""
    rows = source.rows("acquisition_cost")
    if not rows:
        return NoData("No week has landed yet.")
    weeks = sorted({row["week"] for row in rows})[-MAX_WEEKS:]
    by_channel: dict[str, dict[date, Row]] = {}
    for row in rows:
        if row["week"] in weeks:
            by_channel.setdefault(row["channel"], {})[row["week"]] = row
    blended = by_channel.pop("all", {})
    spend = {channel: sum(row["cost"] for row in of_weeks.values()) for channel, of_weeks in by_channel.items()}
    paid = sorted((channel for channel in spend if spend[channel] > 0), key=lambda channel: (-spend[channel], channel))
    if not paid or len(blended) < len(weeks):
        return NoData("No marketing spend has been reported. Put it into landing/marketing_spend/dt=YYYY-MM-DD/.")
    kept = {channel: by_channel[channel] for channel in paid[:MAX_CHANNELS]}
    return Cost(weeks, blended, kept, len(paid) - len(kept))
