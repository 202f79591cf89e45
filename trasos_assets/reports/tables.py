"""The data tables under the charts: the same numbers, for those who read rather than look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trasos_assets.reports import words
from trasos_assets.reports.charts import TARGETS
from trasos_assets.reports.facts import DashboardFacts, Trust, teams_of, trust_of
from trasos_assets.reports.views import Cohorts, Cost, Curve, Daily, Funnel
from trasos_assets.reports.views_recommender import Board, Comparison, Pair

MAX_ROWS = 100
Cell = str | None


@dataclass(frozen=True)
class DataTable:
    """Cells as text, None for blank; the first ``text_columns`` are text, the others numbers aligned right."""

    caption: str
    headers: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    text_columns: int = 1
    note: str = ""


@dataclass(frozen=True)
class HeatCell:
    """One cell: its text, what it counts, and its depth of colour from 0 to 1."""

    text: str
    detail: str
    depth: float


@dataclass(frozen=True)
class HeatMap:
    """A table coloured by value; a None cell is blank."""

    caption: str
    corner: str
    headers: Sequence[str]
    rows: Sequence[tuple[str, str, Sequence[HeatCell | None]]]


@dataclass(frozen=True)
class TeamHealth:
    """What one team published and how its checks stand."""

    team: str
    trust: Trust
    rows: int
    tables: Sequence[tuple[str, int]]


def traffic(daily: Daily) -> DataTable:
    """Visitors and buyers by day, latest first."""
    rows = [
        (
            row["day"].isoformat(),
            words.count(row["visitors"]),
            words.count(row["sessions"]),
            words.count(row["buyers"]),
            _percent(row["visitor_conversion"]),
        )
        for row in reversed(daily.days)
    ]
    return _cut("Visitors and buyers by day", ("Day", "Visitors", "Sessions", "Buyers", "Conversion"), rows)


def sales(daily: Daily, currency: str) -> DataTable:
    """Orders and revenue by day, latest first."""
    rows = [
        (
            row["day"].isoformat(),
            words.count(row["orders"]),
            words.count(row["new_customers"]),
            words.count(row["returning_customers"]),
            words.money(row["gross"], currency, digits=2),
            words.money(row["cancelled"], currency, digits=2),
            words.money(row["net"], currency, digits=2),
            _money(row["average_order_value"], currency),
        )
        for row in reversed(daily.days)
    ]
    headers = ("Day", "Orders", "New", "Returning", "Gross", "Cancelled", "Net", "Order value")
    return _cut("Orders and revenue by day", headers, rows)


def funnel(funnel: Funnel) -> DataTable:
    """Sessions and shares of every channel at every step."""
    rows = [
        (words.clean(channel), row["step_name"], words.count(row["sessions"]), _percent(row["share"]))
        for channel, steps in {"all": funnel.steps, **funnel.channels}.items()
        for row in steps
    ]
    caption = f"Funnel of the week of {words.day(funnel.week)}"
    return DataTable(caption, ("Channel", "Step", "Sessions", "Share"), rows, text_columns=2)


def cost(cost: Cost, currency: str) -> DataTable:
    """Cost, customers won and cost per customer, latest week first."""
    rows = [
        (
            week.isoformat(),
            words.clean(channel),
            words.money(of_weeks[week]["cost"], currency, digits=2),
            words.count(of_weeks[week]["new_customers"]),
            _money(of_weeks[week]["cac"], currency),
        )
        for week in reversed(cost.weeks)
        for channel, of_weeks in (("all (blended)", cost.blended), *cost.channels.items())
        if week in of_weeks
    ]
    headers = ("Week", "Channel", "Cost", "New customers", "Cost per customer")
    return _cut("Acquisition cost by week and channel", headers, rows, text_columns=2)


def heat_map(cohorts: Cohorts) -> HeatMap:
    """Retention by cohort and months since; the deepest colour is the highest retention shown."""
    highest = cohorts.highest or 1.0
    rows = [
        (
            words.month(month),
            words.count(size),
            [
                cell
                and HeatCell(
                    words.percent(cell[1]),
                    f"{words.count(cell[0])} of {words.count(size)} customers",
                    round(cell[1] / highest, 3),
                )
                for cell in [*cells, *[None] * (cohorts.months - len(cells))]
            ],
        )
        for month, size, cells in cohorts.cohorts
    ]
    headers = [str(number) for number in range(1, cohorts.months + 1)]
    caption = "Retention: share of each month's new customers that ordered again so many months later"
    return HeatMap(caption, "First order", headers, rows)


def at_risk(curve: Curve) -> DataTable:
    """Back and still observed after round numbers of days."""
    rows = [
        (
            words.count(days),
            words.count(curve.at_risk(days)),
            words.percent(1 - point["not_returned"]),
            _interval(_rest(point["upper"]), _rest(point["lower"])),
        )
        for days in curve.marks
        if (point := curve.at(days)) is not None
    ]
    headers = ("Within days", "At risk", "Returned", "95 % band")
    return DataTable("Returned within so many days, and customers at risk then", headers, rows)


def curve(curve: Curve) -> DataTable:
    """Every step of the curve."""
    rows = [
        (
            words.count(row["days"]),
            words.count(row["at_risk"]),
            words.count(row["returned"]),
            words.count(row["censored"]),
            words.percent(row["not_returned"]),
            _interval(row["lower"], row["upper"]),
        )
        for row in curve.rows
    ]
    headers = ("Days", "At risk", "Returned", "Censored", "Not returned", "95 % band")
    return _cut("Kaplan-Meier estimate by days since the first order", headers, rows)


def uplift(comparisons: Sequence[Comparison]) -> DataTable:
    """Every arm beside its control."""
    rows = [
        (
            words.clean(pair.arm["experiment"]),
            words.clean(pair.arm["arm"]),
            words.clean(pair.control["arm"]),
            f"{words.count(pair.arm['people'])} / {words.count(pair.control['people'])}",
            _percent(pair.arm["rate"]),
            _percent(pair.control["rate"]),
            words.points(pair.arm["difference"], sign=True),
            words.points_range(pair.arm["difference_lower"], pair.arm["difference_upper"]),
            _percent(pair.arm["relative_uplift"]),
            None if pair.arm["p_value"] is None else f"{pair.arm['p_value']:.4f}",
        )
        for pair in comparisons
    ]
    headers = (
        *("Experiment", "Arm", "Control", "People (arm / control)", "Rate", "Rate of control", "Difference"),
        *("95 % interval", "Relative", "p-value"),
    )
    return _cut("Arms beside their control", headers, rows, text_columns=3)


def leaderboard(board: Board) -> DataTable:
    """NDCG@10 by model and target, with the people and days behind it."""
    rows = [
        (
            words.clean(model),
            words.clean(TARGETS.get(target, target)),
            f"{row['train_through'].isoformat()} / {row['test_through'].isoformat()}",
            f"{row['value']:.4f}",
            words.count(row["people"]),
        )
        for target in board.targets
        for model in board.models
        if (row := board.values.get((model, target)))
    ]
    headers = ("Model", "Target", "Learned through / judged through", "NDCG@10", "People")
    return _cut("Models by target", headers, rows, text_columns=3)


def also_bought(pairs: Sequence[Pair]) -> DataTable:
    """The gallery of pairs."""
    rows = [
        (
            words.clean(pair.item),
            words.clean(pair.also),
            words.count(pair.orders_together),
            words.percent(pair.orders_together / pair.item_orders) if pair.item_orders else None,
            f"{pair.lift:,.1f} ×",
        )
        for pair in pairs
    ]
    headers = ("Customers who bought", "also bought", "Orders with both", "Of orders with the first", "Lift")
    return DataTable("Customers who bought this also bought", headers, rows, text_columns=2)


def health(facts: DashboardFacts) -> list[TeamHealth]:
    """Tables, rows and checks by team."""
    counts = sorted(facts.row_counts)
    teams = teams_of([*(owner for owner, _, _ in counts), *(check[0] for check in facts.checks)])
    return [
        TeamHealth(
            team,
            trust_of([check for check in facts.checks if check[0] == team]),
            sum(rows for owner, _, rows in counts if owner == team),
            [(table, rows) for owner, table, rows in counts if owner == team],
        )
        for team in teams
    ]


def _cut(caption: str, headers: Sequence[str], rows: Sequence[Sequence[Cell]], text_columns: int = 1) -> DataTable:
    note = f"The first {MAX_ROWS} of {words.count(len(rows))} rows." if len(rows) > MAX_ROWS else ""
    return DataTable(caption, headers, rows[:MAX_ROWS], text_columns, note)


def _percent(share: float | None) -> Cell:
    return None if share is None else words.percent(share)


def _money(value: words.Number | None, currency: str) -> Cell:
    return None if value is None else words.money(value, currency, digits=2)


def _rest(share: float | None) -> float | None:
    return None if share is None else 1 - share


def _interval(lower: float | None, upper: float | None) -> Cell:
    return None if lower is None or upper is None else f"{words.percent(lower)} to {words.percent(upper)}"
