"""Why to train again, written down: what monitoring asks for, what others started, and which candidate came of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import ibis
import pyarrow as pa

from trasos_assets.contracts.monitoring import REASONS, RETRAINING_REQUESTS
from trasos_assets.recommender.monitoring.looks import drifted_for

DRIFT, STALENESS, NEW_DATA, MISSED_SCHEDULE, SCHEDULE, BY_HAND = REASONS
Row = dict[str, Any]


@dataclass(frozen=True)
class Patience:
    """When to ask, in days of data: never by a clock.

    ``looks`` in a row must find the same feature drifted; a serving model older than ``stale_days`` is stale; so much
    new data as ``new_share`` of what was learned from is worth learning; the last training may be ``schedule_days`` old
    until its schedule counts as missed; for ``cooldown_days`` after a training, or after asking, nothing is asked for.
    """

    looks: int = 2
    stale_days: int = 21
    new_share: float = 0.25
    schedule_days: int = 9
    cooldown_days: int = 3


@dataclass(frozen=True)
class Trained:
    """The last candidate: its version, the last day that it learned from, and why it was trained."""

    model_version: str
    through: date
    reason: str = BY_HAND


@dataclass(frozen=True)
class Standing:
    """What the reasons are told from.

    ``model_version`` and ``age`` (days) are of the serving model, None while nothing serves; ``learned_rows`` are
    interactions up to the last day that the last candidate learned from, ``new_rows`` those after it.
    """

    through: date
    model_version: str | None
    age: int | None
    learned_rows: int
    new_rows: int


@dataclass(frozen=True)
class Need:
    """One reason to train again, with its figures in words."""

    reason: str
    detail: str


def needs(looks: Iterable[Row], standing: Standing, trained: Trained | None, patience: Patience) -> list[Need]:
    """Every reason to train again that holds as of the last day, the weightiest first; none before there is a model."""
    if standing.model_version is None or standing.age is None or trained is None:
        return []
    found = []
    moved = sorted(drifted_for(looks, patience.looks), key=lambda row: (-row["psi"], row["feature"]))
    if moved:
        told = ", ".join(f"{row['feature']} (PSI {row['psi']:.2f})" for row in moved)
        found.append(Need(DRIFT, f"drifted in {patience.looks} looks in a row: {told}"))
    if standing.age > patience.stale_days:
        found.append(
            Need(STALENESS, f"the serving model is {standing.age} days old, {patience.stale_days} are allowed")
        )
    if standing.learned_rows and standing.new_rows >= patience.new_share * standing.learned_rows:
        share = standing.new_rows / standing.learned_rows
        found.append(
            Need(
                NEW_DATA, f"{standing.new_rows} interactions came since the last training, {share:.0%} of those before"
            )
        )
    since = (standing.through - trained.through).days
    if since > patience.schedule_days:
        found.append(
            Need(MISSED_SCHEDULE, f"the last training is {since} days old, {patience.schedule_days} are promised")
        )
    return found


def next_requests(
    held: Sequence[Row], wanted: Sequence[Need], standing: Standing, trained: Trained | None, patience: Patience
) -> list[Row]:
    """The book after a look: nothing is ever removed, and a look at the same data again changes nothing.

    Waiting requests are fulfilled by a candidate that learned up to the day of the request or later, whether it was
    then promoted or refused. A candidate that nobody had asked for gets a row of its own, with the reason its run
    names. New needs are written down unless something was asked for or trained within the cool-down.
    """
    book = [dict(row) for row in sorted(held, key=lambda row: row["sequence"])]
    if trained is not None:
        waiting = [row for row in book if row["fulfilled_by"] is None and row["requested_as_of"] <= trained.through]
        for row in waiting:
            row |= {"fulfilled_by": trained.model_version, "fulfilled_as_of": trained.through}
        known = any(
            (row["fulfilled_by"], row["fulfilled_as_of"]) == (trained.model_version, trained.through) for row in book
        )
        if not known:
            reason = trained.reason if trained.reason in REASONS else BY_HAND
            said = {SCHEDULE: "trained by its schedule", BY_HAND: "trained by a run that somebody started"}
            book.append(
                {
                    "requested_as_of": trained.through,
                    "reason": reason,
                    "detail": said.get(reason, f"trained again, for a request that was met before: {reason}"),
                    "model_version": standing.model_version,
                    "fulfilled_by": trained.model_version,
                    "fulfilled_as_of": trained.through,
                }
            )
    book += [
        {
            "requested_as_of": standing.through,
            "reason": need.reason,
            "detail": need.detail,
            "model_version": standing.model_version,
            "fulfilled_by": None,
            "fulfilled_as_of": None,
        }
        for need in wanted
        if not _rests(book, need, standing.through, trained, patience)
    ]
    return [row | {"sequence": number} for number, row in enumerate(book, 1)]


def _rests(book: Sequence[Row], need: Need, through: date, trained: Trained | None, patience: Patience) -> bool:
    """Whether a need is not written down now: it was already, or the cool-down lasts."""
    asked = [row for row in book if row["reason"] in REASONS[:4]]
    if any(row["requested_as_of"] == through and row["reason"] == need.reason for row in asked):
        return True
    # Reasons of one day are one request; those of earlier days rest them all.
    days = [row["requested_as_of"] for row in asked if row["requested_as_of"] < through]
    days += [trained.through] if trained else []
    return any((through - day).days < patience.cooldown_days for day in days)


def requests_table(book: Sequence[Row]) -> pa.Table:
    """Rows of the book as RETRAINING_REQUESTS."""
    return pa.Table.from_pylist(list(book), schema=ibis.schema(RETRAINING_REQUESTS.types).to_pyarrow())


def waiting_requests(book: Iterable[Row]) -> list[Row]:
    """What waits for a training, of the last day on which anything was asked for: one training meets all of it."""
    waiting = [row for row in book if row["fulfilled_by"] is None]
    last = max((row["requested_as_of"] for row in waiting), default=None)
    return sorted((row for row in waiting if row["requested_as_of"] == last), key=lambda row: row["sequence"])
