"""What a candidate must be to serve, as data: one criterion a row, each with the team that asks for it.

A criterion looks at ``Evidence`` and ``Thresholds`` and gives a verdict. Where there is too little to judge by, it says
so: quality that cannot be judged is not there (not passed), what cannot go wrong for want of cases is (passed). Only a
candidate of which every criterion holds is promoted; a refused one leaves serving what serves.
"""

from __future__ import annotations

from typing import Any

from trasos_assets.recommender.done import operation, quality
from trasos_assets.recommender.done.model import Criterion, Evidence, Owner, Thresholds

DIGITS = 6

CRITERIA: tuple[Criterion, ...] = (
    Criterion(
        "beats_recent_popularity",
        "science",
        "Judged on days that it did not see, it is better than recent popularity at NDCG@10 for new items: the lower "
        "end of the paired interval is above 0.",
        quality.beats_popularity,
        ("done_people",),
    ),
    Criterion(
        "holds_against_the_champion",
        "science",
        "It is better than the champion on the same days and people, or not worse by more than the margin for a "
        "reason that is named.",
        quality.beats_champion,
        ("non_inferiority_margin", "non_inferiority_reason", "done_people"),
    ),
    Criterion(
        "vectors_know_their_data",
        "science",
        "The very vectors that would serve score what a person turned to above what others did.",
        quality.knows,
    ),
    Criterion(
        "trained_on_the_past",
        "science",
        "It learned from days up to as_of and none later, and on the leaderboard from no day that it is judged by.",
        quality.trained_on_the_past,
    ),
    Criterion(
        "serves_new_people",
        "science",
        "Everyone new gets a list; if it is the candidate's own, the interval against recent popularity does not end "
        "below minus the margin.",
        quality.cold,
        ("non_inferiority_margin", "done_people"),
    ),
    Criterion(
        "reaches_the_catalogue",
        "analytics",
        "Its lists show a fair share of the items for sale.",
        quality.coverage,
        ("done_coverage",),
    ),
    Criterion(
        "is_not_popularity_in_disguise",
        "analytics",
        "Its lists are not nothing but the most bought items.",
        quality.popularity,
        ("done_popularity",),
    ),
    Criterion("has_finite_numbers", "engineering", "No vector and no score is NaN or infinite.", operation.finite),
    Criterion(
        "pads_no_list",
        "engineering",
        "Ranks run from 1 without gaps, no item comes twice, short lists stay short.",
        operation.whole_lists,
    ),
    Criterion(
        "shows_nothing_bought", "engineering", "Nobody is shown what they have bought.", operation.nothing_bought
    ),
    Criterion(
        "shows_what_is_for_sale",
        "engineering",
        "Only available products are shown, no services.",
        operation.all_for_sale,
    ),
    Criterion(
        "is_reproducible",
        "engineering",
        "Fitted again to the same days with the same parameters, it is the same to the last bit.",
        operation.reproducible,
    ),
    Criterion(
        "answers_in_time",
        "engineering",
        "A list takes no longer than the budget, on the machine that trains.",
        operation.latency,
        ("done_latency_ms",),
    ),
    Criterion(
        "fits_in_memory",
        "engineering",
        "What is stored of it stays within the budget.",
        operation.memory,
        ("done_memory_mb",),
    ),
)
OWNERS: dict[str, Owner] = {criterion.name: criterion.owner for criterion in CRITERIA}


def judged(evidence: Evidence, thresholds: Thresholds) -> list[dict[str, Any]]:
    """Every criterion's verdict, in the order of ``CRITERIA``.

    Each has criterion, owner, passed, judged, value, threshold (both rounded to 6 digits), reason and must.
    """
    rows = []
    for criterion in CRITERIA:
        verdict = criterion.judge(evidence, thresholds)
        rows.append(
            {
                "criterion": criterion.name,
                "owner": criterion.owner,
                "passed": bool(verdict.passed),
                "judged": verdict.judged,
                "value": None if verdict.value is None else round(float(verdict.value), DIGITS),
                "threshold": None if verdict.threshold is None else round(float(verdict.threshold), DIGITS),
                "reason": verdict.reason,
                "must": criterion.must,
            }
        )
    return rows


def is_done(verdicts: list[dict[str, Any]]) -> bool:
    """Whether a candidate may serve: every criterion was looked at, and every one holds."""
    return {row["criterion"] for row in verdicts} == set(OWNERS) and all(row["passed"] for row in verdicts)


def refusals(verdicts: list[dict[str, Any]]) -> list[str]:
    """What speaks against a candidate, each with its criterion."""
    return [f"{row['criterion']}: {row['reason']}" for row in verdicts if not row["passed"]]
