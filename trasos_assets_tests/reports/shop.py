"""Made-up tables of a believable shop for the tests of the dashboard, with the columns of their contracts."""

from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import ibis
import numpy as np
import pyarrow as pa

from trasos_assets.contracts import CONTRACTS
from trasos_assets.metrics.headlines import headlines
from trasos_assets.reports import CheckState, DashboardFacts, RowCount
from trasos_assets.reports.source import TABLES

HEADLINE_TABLES = ("daily_kpis", "acquisition_cost", "time_to_return")
FIRST_DAY = date(2026, 1, 5)
CHANNELS = ("paid_search", "organic", "social", "email", "direct")
NAMES = (
    *("Linen shirt, white", "Slim chinos, sand", "Wool coat, navy", "Silk scarf, rust", "Leather belt, brown"),
    *("Knit beanie, grey", "Trail sneaker, black", "Denim jacket, light", "Midi dress, green", "Canvas tote, ecru"),
    *("Rain parka, olive", "Merino sweater, red", "Pleated skirt, black", "Polo shirt, blue", "Running socks, 3 pairs"),
    *("Ankle boot, tan", "Swim shorts, coral", "Cashmere gloves, camel"),
)


def table(name: str, rows: Iterable[dict[str, Any]]) -> pa.Table:
    """Rows with the types of the contract; absent columns are null."""
    return pa.Table.from_pylist(list(rows), schema=ibis.schema(CONTRACTS[name].types).to_pyarrow())


def empty_tables() -> dict[str, pa.Table]:
    return {name: table(name, []) for name in TABLES}


def shop(days: int = 70, seed: int = 3) -> dict[str, pa.Table]:
    """Every table of the dashboard after so many days from a Monday."""
    rng = np.random.default_rng(seed)
    through = FIRST_DAY + timedelta(days=days - 1)
    return {
        "daily_kpis": table("daily_kpis", _daily(days, rng)),
        "conversion_funnel": table("conversion_funnel", _funnel(days, rng)),
        "retention_cohorts": table("retention_cohorts", _cohorts(through, rng)),
        "time_to_return": table("time_to_return", _curve(days, rng)),
        "acquisition_cost": table("acquisition_cost", _cost(days, rng)),
        "experiment_results": table("experiment_results", EXPERIMENTS),
        "leaderboard": table("leaderboard", leaderboard_rows()),
        "also_bought": table("also_bought", _pairs(rng)),
        "catalogue": table("catalogue", [{"item_id": f"i{n}", "name": name} for n, name in enumerate(NAMES)]),
        "watermark": table("watermark", [{"first_day": FIRST_DAY, "data_through": through}]),
    }


def shop_facts(days: int = 70, **changes: Any) -> DashboardFacts:
    """Facts that go with `shop`."""
    tables = shop(days)
    checks = [
        CheckState(owner, contract.name, check, True, "ERROR")
        for contract in CONTRACTS.values()
        for owner in (contract.owner,)
        for check in ("contract", "rows_not_lost")
    ]
    facts: dict[str, Any] = {
        "data_through": FIRST_DAY + timedelta(days=days - 1),
        "currency": "GBP",
        "headlines": headlines(*(ibis.memtable(tables[name]) for name in HEADLINE_TABLES)),
        "checks": [*checks, CheckState("science", "leaderboard", "beats_popularity", False, "WARN")],
        "row_counts": [
            RowCount(contract.owner, contract.name, 1000 + 137 * n) for n, contract in enumerate(CONTRACTS.values())
        ],
    }
    return DashboardFacts(**(facts | changes))


def _daily(days: int, rng: np.random.Generator) -> Iterable[dict[str, Any]]:
    for n in range(days):
        visitors = int(rng.poisson(3000 * (1.15 if n % 7 >= 5 else 1.0) * (1 + n / 400)))
        buyers = int(rng.binomial(visitors, 0.026 + 0.006 * n / days))
        orders = buyers + int(rng.binomial(buyers, 0.03))
        new = int(rng.binomial(buyers, 0.6))
        gross = Decimal(int(orders * rng.normal(6100, 300))) / 100
        cancelled = (gross * Decimal("0.04")).quantize(Decimal("0.01"))
        yield {
            "day": FIRST_DAY + timedelta(days=n),
            "visitors": visitors,
            "sessions": int(visitors * 1.2),
            "buyers": buyers,
            "orders": orders,
            "new_customers": new,
            "returning_customers": buyers - new,
            "units": orders * 2,
            "gross": gross,
            "cancelled": cancelled,
            "net": gross - cancelled,
            "visitor_conversion": buyers / visitors,
            "average_order_value": ((gross - cancelled) / orders).quantize(Decimal("0.0001")),
        }


def _funnel(days: int, rng: np.random.Generator) -> Iterable[dict[str, Any]]:
    steps = ("view", "cart", "checkout", "purchase")
    for n in range(0, days, 7):
        whole = n + 7 <= days
        for value, size, skill in (("all", 21000, 1.0), *zip(CHANNELS, SIZES, SKILLS, strict=True)):
            passed = entrants = int(rng.poisson(size))
            for step, (name, share) in enumerate(zip(steps, (1, 0.19, 0.45, 0.48), strict=True), start=1):
                passed = int(rng.binomial(passed, min(1.0, share * (skill if step == 2 else 1))))
                yield {
                    "week": FIRST_DAY + timedelta(days=n),
                    "dimension": "all" if value == "all" else "channel",
                    "value": value,
                    "step": step,
                    "step_name": name,
                    "sessions": passed,
                    "entrants": entrants,
                    "share": passed / entrants if whole else None,
                }


SIZES, SKILLS = (8000, 6000, 4000, 2000, 1000), (1.0, 1.1, 0.7, 1.5, 1.2)


def _cohorts(through: date, rng: np.random.Generator) -> Iterable[dict[str, Any]]:
    last = (through + timedelta(days=1)).year * 12 + (through + timedelta(days=1)).month - 1
    first = FIRST_DAY.year * 12 + FIRST_DAY.month - 1
    for cohort in range(first, through.year * 12 + through.month):
        customers = int(rng.poisson(1500))
        for k in range(through.year * 12 + through.month - cohort):
            over = cohort + k < last
            returned = (customers if k == 0 else int(rng.binomial(customers, 0.24 * 0.85**k))) if over else None
            yield {
                "cohort_month": date(cohort // 12, cohort % 12 + 1, 1),
                "months_since": k,
                "customers": customers,
                "returned": returned,
                "retention": None if returned is None else returned / customers,
            }


def _curve(days: int, rng: np.random.Generator) -> Iterable[dict[str, Any]]:
    for segment, at_risk in (("all", 9000), ("channel:email", 900)):
        share = 1.0
        for day in range(days):
            returned = int(rng.binomial(at_risk, 0.011 if day else 0.004))
            censored = min(at_risk - returned, int(rng.poisson(at_risk * 1.4 / (days - day))))
            share *= 1 - returned / at_risk if at_risk else 1.0
            half = 1.96 * (share * (1 - share) / 4000) ** 0.5
            yield {
                "segment": segment,
                "days": day,
                "at_risk": at_risk,
                "returned": returned,
                "censored": censored,
                "not_returned": share,
                "lower": max(0.0, share - half) if share < 1 else None,
                "upper": min(1.0, share + half) if share < 1 else None,
            }
            at_risk -= returned + censored


def _cost(days: int, rng: np.random.Generator) -> Iterable[dict[str, Any]]:
    for n in range(0, days, 7):
        total, won = Decimal(0), 0
        rows = []
        for channel, base in zip(CHANNELS, (1600, 0, 1100, 150, 0), strict=True):
            cost = Decimal(int(base * 100 * rng.uniform(0.85, 1.15))) / 100
            new = int(rng.poisson(90))
            total, won = total + cost, won + new
            rows.append((channel, cost, new))
        for channel, cost, new in (*rows, ("all", total, won)):
            yield {
                "week": FIRST_DAY + timedelta(days=n),
                "channel": channel,
                "cost": cost,
                "new_customers": new,
                "cac": (cost / new).quantize(Decimal("0.0001")) if n + 7 <= days and new else None,
            }


EXPERIMENTS = (
    {"experiment": "recommendations", "arm": "holdout", "metric": "conversion", "people": 1204, "successes": 96}
    | {"rate": 96 / 1204},
    {"experiment": "recommendations", "arm": "treatment", "metric": "conversion", "people": 4810, "successes": 497}
    | {"rate": 497 / 4810, "difference": 0.0236, "difference_lower": 0.0050, "difference_upper": 0.0400}
    | {"relative_uplift": 0.296, "p_value": 0.0137},
    {"experiment": "free_returns", "arm": "control", "metric": "conversion", "people": 2991, "successes": 268}
    | {"rate": 268 / 2991},
    {"experiment": "free_returns", "arm": "banner", "metric": "conversion", "people": 3023, "successes": 285}
    | {"rate": 285 / 3023, "difference": 0.0047, "difference_lower": -0.0099, "difference_upper": 0.0193}
    | {"relative_uplift": 0.052, "p_value": 0.5284},
)


def leaderboard_rows() -> list[dict[str, Any]]:
    """Three models on two targets."""
    values = {
        ("als", "new_items"): 0.0977,
        ("popularity", "new_items"): 0.0329,
        ("popularity_recent", "new_items"): 0.0918,
        ("als", "all_items"): 0.2801,
        ("popularity", "all_items"): 0.0790,
        ("popularity_recent", "all_items"): 0.1452,
    }
    return [
        {
            "model": model,
            "fold": "mean",
            "segment": "all",
            "target": target,
            "metric": "ndcg",
            "k": k,
            "value": value,
            "low": value - 0.01,
            "high": value + 0.01,
            "people": 1215,
            "truth_share": 0.98,
            "source_through": FIRST_DAY + timedelta(days=62),
            "truth_from": FIRST_DAY + timedelta(days=63),
            "train_through": FIRST_DAY + timedelta(days=62),
            "test_through": FIRST_DAY + timedelta(days=69),
        }
        for (model, target), value in values.items()
        for k in (10, 20)
    ]


def _pairs(rng: np.random.Generator) -> Iterable[dict[str, Any]]:
    partner = np.roll(np.arange(len(NAMES)), 1)
    for item, also in enumerate(partner):
        for rank, other in enumerate((int(also), int((also + 3) % len(NAMES))), start=1):
            if other != item:
                yield {
                    "item_id": f"i{item}",
                    "rank": rank,
                    "also_item_id": f"i{other}",
                    "orders_together": int(rng.integers(12, 90)) // rank,
                    "item_orders": int(rng.integers(120, 400)),
                    "also_orders": int(rng.integers(120, 400)),
                    "lift": round(float(rng.uniform(1.4, 9)), 6),
                    "as_of": FIRST_DAY,
                }
