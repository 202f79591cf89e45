"""The evidence on a candidate, the thresholds it is held against, and the form of a verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Literal

Owner = Literal["engineering", "science", "analytics"]


@dataclass(frozen=True)
class Paired:
    """One model minus another, person by person: mean NDCG@10, its 95 % interval, people compared."""

    difference: float | None
    low: float | None
    high: float | None
    people: int


@dataclass(frozen=True)
class Lists:
    """What a candidate, and the fallback for whom it has nothing, would show a sample of people.

    ``people`` asked and ``served``; of them ``cold`` (no interaction yet), ``cold_served``, and ``cold_own``: served by
    the candidate itself. Defects are rows: ``padded`` (a gap or repeat in the ranks, an item twice, no finite score),
    ``bought`` before, ``not_for_sale`` (unavailable, a service, unknown). ``items`` distinct of ``reachable`` ones.
    ``popularity``: mean buyers of a place in the lists over that in lists of nothing but the most bought.
    """

    people: int
    served: int
    cold: int
    cold_served: int
    cold_own: int
    padded: int
    bought: int
    not_for_sale: int
    items: int
    reachable: int
    popularity: float | None
    milliseconds: float


@dataclass(frozen=True)
class Evidence:
    """All that a candidate is judged by.

    ``champion`` is the version that serves, None for the fallback; ``serves``: it is the candidate's own;
    ``same_model``: the two have the same parameters, and differ in their data only. ``champion_through``: it knows no
    day after this one. ``champion_is_on_board``: the champion that the leaderboard judged is the one that serves.
    ``rolled_back``: a person went back to it. ``cannot_serve_here``: the model that serves elsewhere, on an engine that
    this one's tables are not of; ``champion`` is None then. ``leaks`` are rows of the
    leaderboard whose training data reach into their truth, ``known_pairs`` of ``pairs`` are ``gather.known_pairs``.
    ``parts_hash`` is of what is stored, ``refit_hash`` of a second fit to the days up to ``as_of``; None where it was
    not fitted again.
    """

    model: str
    against_popularity: Paired | None
    against_champion: Paired | None
    champion: str | None
    serves: bool
    same_model: bool
    champion_through: date | None
    champion_is_on_board: bool
    rolled_back: bool
    cannot_serve_here: str | None
    cold_against_popularity: Paired | None
    leaks: int
    first_day: date
    last_day: date
    as_of: date
    known_pairs: float | None
    pairs: int
    not_finite: int
    parts_hash: str | None
    refit_hash: str | None
    lists: Lists
    megabytes: float


@dataclass(frozen=True)
class Thresholds:
    """The settings of the definition of done; see settings.py for what each says."""

    margin: float = 0.005
    reason: str = ""
    people: int = 100
    coverage: float = 0.1
    popularity: float = 0.9
    latency_ms: float = 50.0
    memory_mb: float = 4096.0


@dataclass(frozen=True)
class Verdict:
    """Whether a criterion holds, the figure, what it is held against, and why, in words."""

    passed: bool
    value: float | None
    threshold: float | None
    reason: str
    judged: bool = True


@dataclass(frozen=True)
class Criterion:
    """``must`` says what must hold, ``owner`` is the team that asks for it, ``settings`` decide the threshold."""

    name: str
    owner: Owner
    must: str
    judge: Callable[[Evidence, Thresholds], Verdict]
    settings: tuple[str, ...] = ()
