"""What the data say, as sentences: the titles of the sections, made from the same views as the charts."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from trasos_assets.reports import words
from trasos_assets.reports.charts import TARGETS
from trasos_assets.reports.views import WEEK_DAYS, Cohorts, Cost, Curve, Daily, Funnel, Row
from trasos_assets.reports.views_recommender import Board, Comparison, Pair

RETURN_DAYS = 30
THE_WEEK_BEFORE = "the week before"


def conversion(daily: Daily) -> str:
    """Visitor conversion of the last seven days against the seven before."""
    last = daily.last(WEEK_DAYS)
    now, before = _conversion(last), _conversion(daily.last(WEEK_DAYS, before=WEEK_DAYS))
    span = _span(len(last))
    if now is None:
        return f"Nobody visited in {span}, so there is no conversion"
    if not daily.has_visits:
        return f"The source holds no visits, so conversion only says that {words.percent(now)} of those seen bought"
    if before is None or len(daily.days) < 2 * WEEK_DAYS:
        return f"Conversion was {words.percent(now)} in {span}"
    change = now - before
    size = words.points(abs(change))
    return f"Conversion was {words.percent(now)} in {span}, {words.versus(change, size, THE_WEEK_BEFORE)}"


def sales(daily: Daily, currency: str) -> str:
    """Net revenue and orders of the last seven days against the seven before."""
    last, earlier = daily.last(WEEK_DAYS), daily.last(WEEK_DAYS, before=WEEK_DAYS)
    net, orders = _total(last, "net"), _total(last, "orders")
    said = f"{words.plural(orders, 'order')} brought {words.money(net, currency)} net in {_span(len(last))}"
    before = _total(earlier, "net")
    if len(earlier) < WEEK_DAYS or before <= 0:
        return said
    change = float(net / before) - 1
    return f"{said}, {words.versus(change, words.percent(abs(change)), THE_WEEK_BEFORE)}"


def funnel(funnel: Funnel) -> str:
    """Share of sessions that end in a purchase, against the week before, and the best channel."""
    last = funnel.steps[-1]
    week = f"the week of {words.day(funnel.week)}"
    said = f"{words.percent(last['share'])} of sessions that viewed an item ended in a purchase in {week}"
    if funnel.previous and funnel.previous[-1]["share"] is not None:
        change = last["share"] - funnel.previous[-1]["share"]
        said += f", {words.versus(change, words.points(abs(change)), THE_WEEK_BEFORE)}"
    if len(funnel.channels) > 1:
        best = max(funnel.channels, key=lambda channel: funnel.channels[channel][-1]["share"])
        share = funnel.channels[best][-1]["share"]
        said += f"; {words.name(best)} sells best at {words.percent(share)}"
    return said


def acquisition_cost(cost: Cost, currency: str) -> str:
    """Blended cost of the last whole week against the week before, and the cheapest and dearest paid channel."""
    weeks = cost.whole_weeks
    if not weeks:
        return "No whole week has both spend and new customers yet, so there is no cost per customer"
    week = weeks[-1]
    now = cost.blended[week]["cac"]
    said = f"Winning a customer cost {words.money(now, currency)} in the week of {words.day(week)}"
    if len(weeks) > 1 and (week - weeks[-2]).days == WEEK_DAYS:
        change = now - cost.blended[weeks[-2]]["cac"]
        said += f", {words.versus(change, words.money(abs(change), currency, digits=2), THE_WEEK_BEFORE)}"
    known = {
        channel: of_weeks[week]["cac"]
        for channel, of_weeks in cost.channels.items()
        if week in of_weeks and of_weeks[week]["cac"] is not None and of_weeks[week]["cost"] > 0
    }
    if len(known) > 1:
        cheapest, dearest = min(known, key=lambda channel: known[channel]), max(known, key=lambda c: known[c])
        said += (
            f"; of the paid channels {words.name(cheapest)} is cheapest at {words.money(known[cheapest], currency)}, "
            f"{words.name(dearest)} dearest at {words.money(known[dearest], currency)}"
        )
    return said


def retention(cohorts: Cohorts) -> str:
    """Retention in the first month after, over all cohorts for which that month is over."""
    month = next(n for n in range(cohorts.months) if any(_cell(cells, n) for _, _, cells in cohorts.cohorts))
    known = [(size, _cell(cells, month)) for _, size, cells in cohorts.cohorts]
    returned = sum(cell[0] for _, cell in known if cell)
    customers = sum(size for size, cell in known if cell)
    after = "the month after their first order" if month == 0 else f"month {month + 1} after their first order"
    number = sum(1 for _, cell in known if cell)
    return (
        f"{words.percent(returned / customers)} of customers ordered again in {after} "
        f"({words.plural(number, 'cohort')} for which it is over)"
    )


def time_to_return(curve: Curve) -> str:
    """Share back within 30 days (or the longest mark that the data reach), and the median."""
    reached = [mark for mark in curve.marks if mark <= RETURN_DAYS]
    mark = reached[-1] if reached else curve.rows[-1]["days"]
    point = curve.at(mark)
    if point is None or mark == 0:
        return "The data reach too few days back to say when customers return"
    said = f"{words.percent(1 - point['not_returned'])} of customers return within {words.plural(mark, 'day')}"
    if curve.median is not None:
        return f"{said}; half are back after {words.plural(curve.median, 'day')}"
    return f"{said}; the data are too young to see half of them back"


def uplift(comparisons: Sequence[Comparison]) -> str:
    """What one experiment changed; of several, how many arms differ and which differs most."""
    clear = [pair for pair in comparisons if pair.is_clear]
    if len(comparisons) > 1 and not clear:
        return f"None of {words.count(len(comparisons))} arms differs from its control beyond chance"
    chosen = max(clear or comparisons, key=lambda pair: abs(pair.arm["difference"]))
    arm = chosen.arm
    size = words.points(abs(arm["difference"]))
    direction = "more" if arm["difference"] >= 0 else "less"
    interval = f"95{words.NBSP}% interval {words.points_range(arm['difference_lower'], arm['difference_upper'])}"
    names = f"{words.name(arm['arm'])} of {words.name(arm['experiment'])}"
    if not clear:
        return f"{names} cannot be told from {words.name(chosen.control['arm'])} yet: {size} {direction}, {interval}"
    said = f"{names} converts {size} {direction} than {words.name(chosen.control['arm'])} ({interval})"
    if len(comparisons) > 1:
        differ = "differs" if len(clear) == 1 else "differ"
        return f"{words.count(len(clear))} of {words.count(len(comparisons))} arms {differ} beyond chance: {said}"
    return said


def leaderboard(board: Board) -> str:
    """The best model on the first target, and by how much it beats the next."""
    target = board.targets[0]
    ranked = [
        (board.values[model, target]["value"], model) for model in board.models if (model, target) in board.values
    ]
    value, best = ranked[0]
    said = f"{words.name(best)} ranks best ({TARGETS.get(target, words.name(target))}): NDCG@10 {value:.3f}"
    if len(ranked) == 1:
        return f"{said}; nothing to compare it with yet"
    runner_up, name = ranked[1]
    if runner_up <= 0:
        return f"{said}, before {words.name(name)}"
    lead = value / runner_up - 1
    return f"{said}, {words.versus(lead, words.percent(lead), words.name(name))}"


def also_bought(pairs: Sequence[Pair]) -> str:
    """The pair that says most."""
    best = pairs[0]
    return (
        f"Customers who bought {words.name(best.item)} also bought {words.name(best.also)}: "
        f"together in {words.plural(best.orders_together, 'order')}, {best.lift:,.1f} times what chance gives"
    )


def _cell(cells: Sequence[tuple[int, float] | None], number: int) -> tuple[int, float] | None:
    return cells[number] if number < len(cells) else None


def _span(days: int) -> str:
    return f"the last {words.plural(days, 'day')}" if days != 1 else "the one day that landed"


def _total(days: Sequence[Row], column: str) -> Decimal:
    return sum((Decimal(row[column]) for row in days), Decimal(0))


def _conversion(days: Sequence[Row]) -> float | None:
    visitors = _total(days, "visitors")
    return float(_total(days, "buyers") / visitors) if visitors else None
