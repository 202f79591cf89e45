"""Verdicts on what a candidate is worth: for science, and for analytics who answer for what the shop shows."""

from __future__ import annotations

from trasos_assets.recommender.done.model import Evidence, Paired, Thresholds, Verdict

CHANCE = 0.5
LEAST_KNOWN, ERRORS = 0.52, 4
"""Share of pairs that vectors must get right, and by how many standard errors of a coin's share they must be above it:
shuffled vectors of a small shop come to 0.51."""
NEWER_DAYS, NO_REASON = (
    "it knows newer days",
    "it knows no newer day, and TRASOS_NON_INFERIORITY_REASON names no reason",
)


def _too_few(found: Paired | None, least: int, against: str) -> Verdict | None:
    people = 0 if found is None else found.people
    if found is not None and found.low is not None and people >= least:
        return None
    said = f"too little to judge by: {people} people compared with {against}, at least {least} are asked for"
    return Verdict(False, None if found is None else found.difference, 0.0, said, judged=False)


def _interval(found: Paired) -> str:
    return f"{found.difference:+.4f} NDCG@10 ({found.low:+.4f} to {found.high:+.4f}, {found.people:,} people)"


def beats_popularity(evidence: Evidence, thresholds: Thresholds) -> Verdict:
    """The lower end of the paired interval against recent popularity, held against 0."""
    found = evidence.against_popularity
    few = _too_few(found, thresholds.people, "recent popularity")
    if few is not None or found is None or found.low is None:
        return few or Verdict(False, None, 0.0, "not compared", judged=False)
    verb = "beats" if found.low > 0 else "does not beat"
    return Verdict(found.low > 0, found.low, 0.0, f"{verb} recent popularity: {_interval(found)}")


def beats_champion(evidence: Evidence, thresholds: Thresholds) -> Verdict:
    """The lower end of the paired interval against the champion, held against 0, then against the margin."""
    if evidence.cannot_serve_here is not None:
        return Verdict(
            True, None, 0.0, f"first here: the champion is {evidence.cannot_serve_here}, which Spark cannot serve"
        )
    if evidence.champion is None:
        return Verdict(True, None, 0.0, "first: no other model serves")
    if evidence.serves:
        return Verdict(True, None, 0.0, "it serves already")
    newer = evidence.champion_through is not None and evidence.last_day > evidence.champion_through
    why = thresholds.reason.strip() or (NEWER_DAYS if newer else "")
    if evidence.same_model and not evidence.rolled_back:
        said = f"the champion's own model and parameters, fitted again: {why}"
        return Verdict(bool(why), 0.0, 0.0, said if why else f"the champion fitted again; {NO_REASON}")
    if not evidence.champion_is_on_board:
        said = "not compared with what serves: the leaderboard judged another champion, or none; run retrain_model"
        return Verdict(False, None, 0.0, said, judged=False)
    found = evidence.against_champion
    few = _too_few(found, thresholds.people, "the champion")
    if few is not None or found is None or found.low is None:
        return few or Verdict(False, None, 0.0, "not compared", judged=False)
    if found.low > 0:
        return Verdict(True, found.low, 0.0, f"beats the champion: {_interval(found)}")
    if evidence.rolled_back:
        said = f"does not beat the model that was rolled back to, and nothing less replaces it: {_interval(found)}"
        return Verdict(False, found.low, 0.0, said)
    least = -thresholds.margin
    if found.low >= least and why:
        return Verdict(True, found.low, least, f"not worse than the champion, and {why}: {_interval(found)}")
    said = f"may be worse than the champion by more than {thresholds.margin:g}: {_interval(found)}"
    if found.low >= least:
        said = f"no better than the champion; {NO_REASON}: {_interval(found)}"
    return Verdict(False, found.low, least, said)


def knows(evidence: Evidence, _: Thresholds) -> Verdict:
    """The share of pairs that the stored vectors tell from chance."""
    share = evidence.known_pairs
    if share is None:
        return Verdict(True, None, LEAST_KNOWN, "no vectors of people and items are stored of it", judged=False)
    least = max(LEAST_KNOWN, CHANCE + ERRORS * (CHANCE * (1 - CHANCE) / max(1, evidence.pairs)) ** 0.5)
    said = f"{share:.1%} of what people turned to scores above what others did ({CHANCE:.0%} is chance)"
    return Verdict(share >= least, share, least, said)


def trained_on_the_past(evidence: Evidence, _: Thresholds) -> Verdict:
    """Days learned from beyond those that it may know, in the fit or on the leaderboard."""
    ahead = (evidence.last_day - evidence.as_of).days
    said = f"learned from {evidence.first_day} to {evidence.last_day}, data reach {evidence.as_of}"
    if ahead > 0:
        return Verdict(False, float(ahead), 0.0, f"leaked future: {said}")
    if evidence.leaks:
        said = f"leaked future: in {evidence.leaks} rows of the leaderboard it learned from days that it is judged by"
        return Verdict(False, float(evidence.leaks), 0.0, said)
    return Verdict(True, float(max(ahead, 0)), 0.0, said)


def coverage(evidence: Evidence, thresholds: Thresholds) -> Verdict:
    """Share of the items that the lists could show and do."""
    lists = evidence.lists
    if lists.reachable == 0 or lists.served == 0:
        return Verdict(False, None, thresholds.coverage, "nobody of the sample is served", judged=False)
    share = lists.items / lists.reachable
    said = f"lists of {lists.served:,} people show {lists.items:,} of {lists.reachable:,} items that they could"
    return Verdict(share >= thresholds.coverage, share, thresholds.coverage, said)


def popularity(evidence: Evidence, thresholds: Thresholds) -> Verdict:
    """Buyers of the items shown, against those of the most bought."""
    share = evidence.lists.popularity
    if share is None:
        return Verdict(False, None, thresholds.popularity, "nobody bought anything yet", judged=False)
    said = f"items shown have {share:.1%} of the buyers of the most bought ones"
    return Verdict(share <= thresholds.popularity, share, thresholds.popularity, said)


def cold(evidence: Evidence, thresholds: Thresholds) -> Verdict:
    """Whether new people get lists, and the upper end of their interval where they are the candidate's own."""
    lists, found = evidence.lists, evidence.cold_against_popularity
    if lists.cold == 0:
        return Verdict(True, None, 1.0, "nobody of the sample is new", judged=False)
    share = lists.cold_served / lists.cold
    if share < 1:
        return Verdict(
            False, share, 1.0, f"{lists.cold - lists.cold_served:,} of {lists.cold:,} new people get no list"
        )
    if lists.cold_own == 0:
        return Verdict(True, share, 1.0, f"all {lists.cold:,} new people get a list, by recent popularity")
    if found is None or found.high is None or found.people < thresholds.people:
        people = 0 if found is None else found.people
        return Verdict(True, share, 1.0, f"all {lists.cold:,} new people get a list; {people} bought: too few to judge")
    said = f"for new people against recent popularity: {_interval(found)}"
    return Verdict(found.high >= -thresholds.margin, found.high, -thresholds.margin, said)
