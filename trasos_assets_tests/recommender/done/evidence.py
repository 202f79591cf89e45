"""Evidence on a candidate that is as it should be, to be spoiled in one place."""

from dataclasses import replace
from datetime import date
from typing import Any

from trasos_assets.recommender.definition_of_done import judged
from trasos_assets.recommender.done.model import Evidence, Lists, Paired, Thresholds

GOOD_LISTS = Lists(
    people=1_000,
    served=1_000,
    cold=50,
    cold_served=50,
    cold_own=0,
    padded=0,
    bought=0,
    not_for_sale=0,
    items=300,
    reachable=400,
    popularity=0.5,
    milliseconds=0.2,
)
GOOD = Evidence(
    model="als",
    against_popularity=Paired(0.03, 0.02, 0.04, 900),
    against_champion=Paired(0.01, 0.002, 0.02, 900),
    champion="0123456789ab",
    serves=False,
    same_model=False,
    champion_through=date(2026, 1, 23),
    champion_is_on_board=True,
    rolled_back=False,
    cannot_serve_here=None,
    cold_against_popularity=None,
    leaks=0,
    first_day=date(2026, 1, 1),
    last_day=date(2026, 1, 30),
    as_of=date(2026, 1, 30),
    known_pairs=0.8,
    pairs=20_000,
    not_finite=0,
    parts_hash="a",
    refit_hash="a",
    lists=GOOD_LISTS,
    megabytes=10.0,
)


def refused_by(evidence: Evidence, thresholds: Thresholds | None = None) -> dict[str, str]:
    """Criteria that do not hold, with their reasons."""
    rows = judged(evidence, thresholds or Thresholds())
    return {row["criterion"]: row["reason"] for row in rows if not row["passed"]}


def spoiled(**changed: Any) -> Evidence:
    """Good evidence but for some fields; those of its lists are given as they are named there."""
    lists = {name: changed.pop(name) for name in list(changed) if hasattr(GOOD_LISTS, name)}
    return replace(GOOD, lists=replace(GOOD_LISTS, **lists), **changed)
