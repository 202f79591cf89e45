"""The sections of the page: which question is asked of which table, and what answers it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from trasos_assets.contracts import CONTRACTS
from trasos_assets.reports import charts, findings, tables, views, views_recommender
from trasos_assets.reports.facts import DashboardFacts, trust_of
from trasos_assets.reports.parts import Content, FigureView, Section
from trasos_assets.reports.source import Source


@dataclass(frozen=True)
class _Plan:
    """How one section is made: ``build`` gets the view that ``view`` found, unless that is `views.NoData`."""

    id: str
    goal: str
    question: str
    table: str
    columns: Sequence[str]
    view: Callable[[Source, DashboardFacts], Any]
    build: Callable[[Any, DashboardFacts], Content]
    subtitle: str = ""
    wide: bool = False


GOALS = {
    "convert": "Turn visitors into customers",
    "return": "Make customers return sooner",
    "recommend": "What the recommender adds",
}


def sections(source: Source, facts: DashboardFacts) -> list[Section]:
    """All sections in the order of the page."""
    return [_section(plan, source, facts) for plan in _PLANS]


def _section(plan: _Plan, source: Source, facts: DashboardFacts) -> Section:
    from trasos_assets.metrics.definitions import DEFINITIONS

    of_table = {entry.column: entry for entry in DEFINITIONS if entry.table == plan.table}
    definitions = [of_table[column] for column in plan.columns if column in of_table]
    subtitle = plan.subtitle
    if not subtitle:
        first = definitions[0]
        subtitle = f"{first.name}: {first.formula}" + (f" Window: {first.window}." if first.window else "")
    view = plan.view(source, facts)
    if isinstance(view, views.NoData):
        content, empty = Content(title="No data yet"), view.reason
    else:
        content, empty = plan.build(view, facts), ""
    return Section(
        id=plan.id,
        goal=plan.goal,
        question=plan.question,
        title=content.title,
        subtitle=subtitle,
        table=plan.table,
        owner=CONTRACTS[plan.table].owner,
        trust=trust_of(facts.checks, (plan.table,)),
        definitions=definitions,
        figures=content.figures,
        heat_map=content.heat_map,
        shown_table=content.shown_table,
        data_table=content.data_table,
        note=content.note,
        empty=empty,
        wide=plan.wide,
    )


def _conversion(daily: views.Daily, facts: DashboardFacts) -> Content:
    title = findings.conversion(daily)
    sentence = f"Line chart of visitor conversion by day. {title}."
    figure = FigureView("plot-conversion", sentence, 330, charts.conversion(daily))
    return Content(title, [figure], data_table=tables.traffic(daily))


def _sales(daily: views.Daily, facts: DashboardFacts) -> Content:
    title = findings.sales(daily, facts.currency)
    sentence = f"Two line charts by day, net revenue above orders. {title}."
    figure = FigureView("plot-sales", sentence, 330, charts.sales(daily, facts.currency))
    return Content(title, [figure], data_table=tables.sales(daily, facts.currency))


def _funnel(funnel: views.Funnel, facts: DashboardFacts) -> Content:
    title = findings.funnel(funnel)
    steps = FigureView(
        "plot-funnel",
        f"Bar chart of sessions at each step of the funnel. {title}.",
        260,
        charts.funnel_steps(funnel),
        "All sessions that viewed an item, step by step",
    )
    by_channel = FigureView(
        "plot-funnel-channels",
        "Dot chart of the share of sessions that reached cart, checkout and purchase, one line a channel. "
        "The data table below holds the numbers.",
        max(260, 90 + 30 * (len(funnel.channels) + 1)),
        charts.funnel_channels(funnel),
        "Share of viewing sessions that reached each later step, by channel",
    )
    hidden = funnel.hidden_channels
    note = f"{hidden} smaller or silent channels are not drawn." if hidden else ""
    return Content(title, [steps, by_channel], data_table=tables.funnel(funnel), note=note)


def _cost(cost: views.Cost, facts: DashboardFacts) -> Content:
    title = findings.acquisition_cost(cost, facts.currency)
    figure = FigureView(
        "plot-cost",
        f"Bar chart of acquisition cost by week and channel, with the blended cost as a line. {title}.",
        300,
        charts.acquisition_cost(cost, facts.currency),
    )
    note = "Channels without spend count in the blended cost only. An open week has no cost per customer yet."
    if cost.hidden_channels:
        note += f" {cost.hidden_channels} channels with less spend are not drawn."
    return Content(title, [figure], data_table=tables.cost(cost, facts.currency), note=note)


def _retention(cohorts: views.Cohorts, facts: DashboardFacts) -> Content:
    note = "A blank cell is a month that is not over."
    return Content(findings.retention(cohorts), heat_map=tables.heat_map(cohorts), note=note)


def _time_to_return(curve: views.Curve, facts: DashboardFacts) -> Content:
    title = findings.time_to_return(curve)
    sentence = f"Kaplan-Meier step chart of the share of customers with a second order, with its 95 % band. {title}."
    figure = FigureView("plot-return", sentence, 280, charts.time_to_return(curve))
    return Content(title, [figure], shown_table=tables.at_risk(curve), data_table=tables.curve(curve))


def _uplift(comparisons: list[views_recommender.Comparison], facts: DashboardFacts) -> Content:
    title = findings.uplift(comparisons)
    shown = min(len(comparisons), views_recommender.MAX_ARMS)
    sentence = f"Forest plot of the difference to control with 95 % intervals. {title}."
    figure = FigureView("plot-uplift", sentence, 130 + 76 * shown, charts.uplift(comparisons))
    hidden = len(comparisons) - shown
    note = f"{hidden} further arms are in the data table." if hidden else ""
    return Content(title, [figure], data_table=tables.uplift(comparisons), note=note)


def _leaderboard(board: views_recommender.Board, facts: DashboardFacts) -> Content:
    title = findings.leaderboard(board)
    shown = min(len(board.models), views_recommender.MAX_MODELS)
    height = max(220, 80 + (24 * len(board.targets) + 16) * shown)
    sentence = f"Bar chart of NDCG at 10 by model and target. {title}."
    figure = FigureView("plot-leaderboard", sentence, height, charts.leaderboard(board))
    return Content(title, [figure], data_table=tables.leaderboard(board))


def _also_bought(pairs: list[views_recommender.Pair], facts: DashboardFacts) -> Content:
    return Content(findings.also_bought(pairs), shown_table=tables.also_bought(pairs))


_PLANS = (
    _Plan(
        id="conversion",
        goal="convert",
        question="Do visitors become buyers?",
        table="daily_kpis",
        columns=("visitor_conversion", "buyers", "visitors", "sessions"),
        view=lambda source, facts: views.daily(source),
        build=_conversion,
    ),
    _Plan(
        id="sales",
        goal="convert",
        question="What does the shop earn?",
        table="daily_kpis",
        columns=("net", "orders", "gross", "cancelled", "average_order_value", "new_customers", "returning_customers"),
        view=lambda source, facts: views.daily(source),
        build=_sales,
    ),
    _Plan(
        id="funnel",
        goal="convert",
        question="Where do sessions drop out?",
        table="conversion_funnel",
        columns=("share", "sessions", "entrants"),
        view=lambda source, facts: views.funnel(source, facts.data_through),
        build=_funnel,
        wide=True,
    ),
    _Plan(
        id="cost",
        goal="convert",
        question="What does a new customer cost?",
        table="acquisition_cost",
        columns=("cac", "cost", "new_customers"),
        view=lambda source, facts: views.cost(source),
        build=_cost,
        wide=True,
    ),
    _Plan(
        id="retention",
        goal="return",
        question="Do customers come back?",
        table="retention_cohorts",
        columns=("retention", "returned", "customers"),
        view=lambda source, facts: views.cohorts(source, facts.data_through),
        build=_retention,
        wide=True,
    ),
    _Plan(
        id="time-to-return",
        goal="return",
        question="How long until they return?",
        table="time_to_return",
        columns=("not_returned", "at_risk", "returned", "censored", "lower", "upper"),
        view=lambda source, facts: views.curve(source),
        build=_time_to_return,
        wide=True,
        subtitle="Share with a second valid order by days since the first (1 − Kaplan–Meier); customers not yet back "
        "are censored at the last day that landed, not counted as lost or left out.",
    ),
    _Plan(
        id="uplift",
        goal="recommend",
        question="What do the experiments really change?",
        table="experiment_results",
        columns=("difference", "rate", "people", "successes", "relative_uplift", "p_value", "difference_lower"),
        view=lambda source, facts: views_recommender.comparisons(source),
        build=_uplift,
        subtitle="Conversion minus conversion of the control arm, by everybody assigned, exposed or not (intention to "
        "treat), with Newcombe’s 95 % interval.",
    ),
    _Plan(
        id="leaderboard",
        goal="recommend",
        question="Which model ranks best?",
        table="leaderboard",
        columns=(),
        view=lambda source, facts: views_recommender.board(source),
        build=_leaderboard,
        subtitle="NDCG@10, mean over people: how high the items bought after a day stand in the list made before it; "
        "1 is a perfect order. Global time splits, mean over folds, everybody who bought, full ranking. The "
        "leaderboard page beside this one has segments, intervals and costs.",
    ),
    _Plan(
        id="also-bought",
        goal="recommend",
        question="Which products belong together?",
        table="also_bought",
        columns=(),
        view=lambda source, facts: views_recommender.pairs(source),
        build=_also_bought,
        subtitle="Pairs of products in one order, chosen by orders together × log(lift); lift is how many times more "
        "often than by chance they meet. From baskets alone, no model.",
        wide=True,
    ),
)
