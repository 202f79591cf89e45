"""Verdicts on whether a candidate can be run: for engineering."""

from __future__ import annotations

from trasos_assets.recommender.done.model import Evidence, Thresholds, Verdict


def reproducible(evidence: Evidence, _: Thresholds) -> Verdict:
    """The hash of what is stored against that of a second fit; not judged where there was none."""
    if evidence.refit_hash is None or evidence.parts_hash is None:
        return Verdict(True, None, None, "not fitted again: on Spark, or refused for something else", judged=False)
    same = evidence.refit_hash == evidence.parts_hash
    said = "a second fit to the same days gives the same model to the last bit"
    return Verdict(same, float(same), 1.0, said if same else "a second fit to the days up to as_of gives another model")


def finite(evidence: Evidence, _: Thresholds) -> Verdict:
    """Numbers that are NaN or infinite."""
    found = evidence.not_finite
    said = "every stored number is finite" if not found else f"{found:,} stored numbers or scores are not finite"
    return Verdict(found == 0, float(found), 0.0, said)


def whole_lists(evidence: Evidence, _: Thresholds) -> Verdict:
    """Places that are padded or repeated."""
    return _without(evidence, evidence.lists.padded, "are padded, repeat an item or a rank, or have no score")


def nothing_bought(evidence: Evidence, _: Thresholds) -> Verdict:
    """Places taken by what the person bought before."""
    return _without(evidence, evidence.lists.bought, "were bought by the person before")


def all_for_sale(evidence: Evidence, _: Thresholds) -> Verdict:
    """Places taken by what cannot be bought."""
    return _without(evidence, evidence.lists.not_for_sale, "are unavailable, services or unknown")


def _without(evidence: Evidence, rows: int, fault: str) -> Verdict:
    if evidence.lists.served == 0:
        return Verdict(False, None, 0.0, "nobody of the sample is served", judged=False)
    said = f"{rows:,} places in the lists of {evidence.lists.served:,} people {fault}"
    return Verdict(rows == 0, float(rows), 0.0, said)


def latency(evidence: Evidence, thresholds: Thresholds) -> Verdict:
    """Milliseconds for a person's list against the budget."""
    took = evidence.lists.milliseconds
    said = f"{took:.2f} ms for a person's list, mean over {evidence.lists.people:,} at once"
    return Verdict(took <= thresholds.latency_ms, took, thresholds.latency_ms, said)


def memory(evidence: Evidence, thresholds: Thresholds) -> Verdict:
    """Megabytes against the budget."""
    took = evidence.megabytes
    said = f"{took:,.1f} MB, the larger of what is stored of it and what its fit took"
    return Verdict(took <= thresholds.memory_mb, took, thresholds.memory_mb, said)
