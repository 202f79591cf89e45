from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from trasos_assets.reports import charts, findings, tables, views, views_recommender, words
from trasos_assets.reports.facts import DashboardFacts
from trasos_assets.reports.source import Source
from trasos_assets.reports.tiles import spark_paths, tiles
from trasos_assets_tests.reports.shop import EXPERIMENTS, FIRST_DAY, shop, shop_facts, table


def said(text: str) -> str:
    return text.replace(words.NBSP, " ")


def source(**rows: list[dict[str, Any]]) -> Source:
    return Source({name: table(name, of_table) for name, of_table in rows.items()})


def day(
    number: int, *, visitors: int = 1000, buyers: int = 30, net: str = "600", sessions: int = 1100
) -> dict[str, Any]:
    counts = dict.fromkeys(("new_customers", "units"), buyers)
    return counts | {
        "day": FIRST_DAY + timedelta(days=number),
        "visitors": visitors,
        "sessions": sessions,
        "buyers": buyers,
        "orders": buyers,
        "returning_customers": 0,
        "gross": Decimal(net),
        "cancelled": Decimal(0),
        "net": Decimal(net),
        "visitor_conversion": buyers / visitors if visitors else None,
        "average_order_value": None,
    }


def daily(*days: dict[str, Any]) -> views.Daily:
    found = views.daily(source(daily_kpis=list(days)))
    assert isinstance(found, views.Daily)
    return found


def test_conversion_is_a_ratio_of_sums_against_the_week_before():
    # One busy day with a low share: a mean of daily shares would say 3.6 %.
    before = [day(n, buyers=20) for n in range(7)]
    now = [day(n, buyers=40) for n in range(7, 13)] + [day(13, visitors=4000, buyers=40)]
    assert said(findings.conversion(daily(*before, *now))) == (
        "Conversion was 2.8 % in the last 7 days, 0.8 points above the week before"
    )


def test_conversion_without_visits_or_visitors_claims_nothing():
    bought_only = [day(n, visitors=30, sessions=0) for n in range(14)]
    assert said(findings.conversion(daily(*bought_only))).startswith("The source holds no visits")
    nobody = [day(n, visitors=0, buyers=0, net="0") for n in range(14)]
    assert findings.conversion(daily(*nobody)).startswith("Nobody visited")
    assert charts.conversion(daily(*nobody))["data"][0]["y"] == [None] * 14


def test_seven_day_line_is_blank_until_seven_days_have_landed():
    line = charts.conversion(daily(*(day(n) for n in range(8))))["data"][1]["y"]
    assert line == [None] * 6 + [3.0, 3.0]


def test_revenue_that_cancellations_turn_negative_is_told_as_such():
    days = [day(n, net="-10") for n in range(14)]
    assert said(findings.sales(daily(*days), "GBP")) == "210 orders brought −£70.00 net in the last 7 days"


def curve(*steps: tuple[int, int, int, int, float]) -> views.Curve:
    names = ("days", "at_risk", "returned", "censored", "not_returned")
    rows = [{"segment": "all", **dict(zip(names, step, strict=True))} for step in steps]
    found = views.curve(source(time_to_return=rows))
    assert isinstance(found, views.Curve)
    return found


def test_return_is_read_from_the_steps_and_not_beyond_them():
    steps = curve((0, 100, 0, 10, 1.0), (5, 90, 45, 0, 0.5), (40, 45, 0, 45, 0.5))
    assert (
        said(findings.time_to_return(steps)) == "50.0 % of customers return within 30 days; half are back after 5 days"
    )
    assert steps.marks == [7, 14, 30] and [steps.at_risk(mark) for mark in steps.marks] == [45, 45, 45]
    assert steps.at(41) is None and steps.at(4) == steps.rows[0]
    young = curve((0, 100, 0, 0, 1.0), (9, 100, 10, 90, 0.9))
    assert said(findings.time_to_return(young)) == (
        "0.0 % of customers return within 7 days; the data are too young to see half of them back"
    )
    assert findings.time_to_return(curve((0, 5, 0, 5, 1.0))).startswith("The data reach too few days")


def test_band_of_returned_is_the_band_of_not_returned_turned_round():
    rows = shop(70)["time_to_return"].to_pylist()
    found = views.curve(Source({"time_to_return": table("time_to_return", rows)}))
    assert isinstance(found, views.Curve)
    point = found.at(30)
    assert point is not None
    shown = next(row for row in tables.at_risk(found).rows if row[0] == "30")
    assert shown[3] == f"{words.percent(1 - point['upper'])} to {words.percent(1 - point['lower'])}"


def cohort(month: int, since: int, customers: int, returned: int | None) -> dict[str, Any]:
    share = None if returned is None else returned / customers
    keys = {"cohort_month": date(2026, month, 1), "months_since": since, "customers": customers}
    return keys | {"returned": returned, "retention": share}


def test_retention_weighs_cohorts_by_their_size_and_leaves_open_months_out():
    rows = [cohort(1, 0, 100, 100), cohort(1, 1, 100, 10), cohort(2, 0, 300, 300), cohort(2, 1, 300, 90)]
    rows += [cohort(1, 2, 100, 0), cohort(3, 0, 50, 50), cohort(3, 1, 50, None)]
    found = views.cohorts(source(retention_cohorts=rows), date(2026, 4, 10))
    assert isinstance(found, views.Cohorts)
    assert said(findings.retention(found)) == (
        "25.0 % of customers ordered again in the month after their first order (2 cohorts for which it is over)"
    )
    shown = [[cell and said(cell.text) for cell in cells] for _, _, cells in tables.heat_map(found).rows]
    assert shown == [["10.0 %", "0.0 %"], ["30.0 %", None], [None, None]]


def test_cohorts_without_a_later_month_that_is_over_have_no_data_yet():
    found = views.cohorts(source(retention_cohorts=[cohort(1, 0, 10, None)]), date(2026, 1, 30))
    assert isinstance(found, views.NoData) and "Jan" in found.reason


def test_uplift_is_claimed_only_where_the_interval_leaves_out_zero():
    clear = views_recommender.comparisons(source(experiment_results=list(EXPERIMENTS[:2])))
    assert isinstance(clear, list)
    assert said(findings.uplift(clear)) == (
        "treatment of recommendations converts 2.4 points more than holdout (95 % interval 0.5 to 4.0 points)"
    )
    unclear = views_recommender.comparisons(source(experiment_results=list(EXPERIMENTS[2:])))
    assert isinstance(unclear, list)
    assert said(findings.uplift(unclear)).startswith("banner of free_returns cannot be told from control yet")
    both = charts.uplift([*clear, *unclear])["data"]
    assert [trace["y"] for trace in both] == [[0], [1]]
    assert both[0]["error_x"]["array"] == [1.64] and both[0]["error_x"]["arrayminus"] == [1.86]


def test_an_experiment_without_control_is_compared_with_nothing():
    found = views_recommender.comparisons(source(experiment_results=[dict(EXPERIMENTS[0])]))
    assert isinstance(found, views.NoData)


def test_a_model_that_loses_is_not_called_best():
    rows = [
        {"model": model, "target": "new_items", "metric": "ndcg", "k": 10, "value": value, "people": 10}
        | {"fold": fold, "segment": segment, "train_through": FIRST_DAY, "test_through": FIRST_DAY + timedelta(days=7)}
        for model, value in (("als", 0.05), ("popularity", 0.06), ("silent", None))
        for fold, segment in (("mean", "all"), ("1", "all"), ("mean", "warm"))
    ]
    for row in rows:
        if (row["fold"], row["segment"]) != ("mean", "all") and row["model"] == "als":
            row["value"] = 0.9
    found = views_recommender.board(source(leaderboard=rows))
    assert isinstance(found, views_recommender.Board)
    assert said(findings.leaderboard(found)) == (
        "popularity ranks best (new items only): NDCG@10 0.060, 20.0 % above als"
    )
    assert [row[0] for row in tables.leaderboard(found).rows] == ["popularity", "als"]


def test_each_pair_of_products_stands_once_under_its_names():
    def pair(item: str, also: str, together: int, lift: float, rank: int = 1) -> dict[str, Any]:
        counts = {"orders_together": together, "item_orders": 40, "also_orders": 50}
        return {"item_id": item, "also_item_id": also, "rank": rank, "lift": lift, "as_of": FIRST_DAY} | counts

    rows = [pair("a", "b", 20, 4.0), pair("b", "a", 20, 4.0), pair("c", "a", 30, 1.1), pair("a", "c", 99, 9.0, rank=2)]
    catalogue = pa.table({"item_id": ["a", "b", "c"], "name": ["Coat", None, "Hat"]})
    found = views_recommender.pairs(Source({"also_bought": table("also_bought", rows), "catalogue": catalogue}))
    assert isinstance(found, list)
    assert [(pair.item, pair.also) for pair in found] == [("Coat", "b"), ("Hat", "Coat")]


def test_cost_without_spend_says_where_to_put_it():
    rows = [
        {"week": FIRST_DAY, "channel": channel, "cost": Decimal(0), "new_customers": 3, "cac": Decimal(0)}
        for channel in ("all", "direct")
    ]
    found = views.cost(source(acquisition_cost=rows))
    assert isinstance(found, views.NoData) and "landing/marketing_spend" in found.reason


def test_tiles_say_which_way_is_better():
    facts = shop_facts()
    found = {tile.name: tile for tile in tiles(facts, views.daily(Source(shop())))}
    cost = next(headline for headline in facts.headlines if headline.name == "blended_cac")
    assert cost.value is not None and cost.previous is not None
    assert found["Acquisition cost"].verdict == ("bad" if cost.value > cost.previous else "good")
    assert found["Back within 30 days"].change == "" and found["Visitor conversion"].spark


def test_a_tile_without_a_value_shows_none():
    facts = shop_facts(days=5)
    found = tiles(facts, views.daily(Source(shop(5))))
    assert {tile.value for tile in found if tile.name in ("Orders", "Net revenue")} == {""}
    assert tiles(DashboardFacts(None, "GBP"), views.NoData("none")) == []


@pytest.mark.parametrize(
    ("values", "stretches"), [([1.0, 2.0, None, 3.0, 1.0], 2), ([1.0], 0), ([], 0), ([None, None], 0), ([2.0, 2.0], 1)]
)
def test_sparkline_breaks_where_there_is_no_value(values: list[float | None], stretches: int):
    assert len(spark_paths(values)) == stretches
