"""How faithful a sample is: mix of events, funnel and popularity of items, each with the error to be expected.

People are what is sampled, so errors are those of a sample of clusters: of two shares with one denominator the ratio
estimator's, by its linearisation (Cochran 1977, Sampling Techniques, 6.4; Särndal et al. 1992, 5.6 for samples that
draw each person apart)

    Var(sum y / sum x) = (1 - share) * n / (n - 1) * sum((y - p x)^2) / (sum x)^2

over the n sampled people, with y and x a person's counts and p the share in the whole, which is known here.
"""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import ibis
import numpy as np

from trasos_assets.contracts.analytics import CONVERSION_FUNNEL
from trasos_assets.contracts.engineering import CLEAN_EVENTS, IDENTITIES, WATERMARK
from trasos_assets.contracts.model import Contract
from trasos_assets.contracts.science import CUSTOMER_FEATURES, TRAINING_INTERACTIONS
from trasos_assets.metrics.funnel import DAY_MARK, STEPS, session_steps
from trasos_assets.samples.popularity import BEYOND_NOISE, GROUPS, Popularity, popularity
from trasos_assets.samples.selection import Reader
from trasos_assets.trust.bots import people_only
from trasos_assets.trust.identity import with_person

FEW_PEOPLE = 30
FEW_CASES = 20
"""With fewer people in a sample, or fewer cases to be expected in it, its errors are not normal and not known."""


@dataclass(frozen=True)
class SampledTable:
    """Rows of one table in the lake and in the sample, and by which rule."""

    team: str
    name: str
    rule: str
    rows_whole: int
    rows_sample: int


@dataclass(frozen=True)
class Compared:
    """One share in the whole and in the sample, with the standard error of the sample's; None where not known."""

    name: str
    whole: float | None
    sample: float | None
    error: float | None
    count_whole: int
    count_sample: int

    @property
    def difference(self) -> float | None:
        """Sample less whole."""
        return None if self.whole is None or self.sample is None else self.sample - self.whole

    @property
    def is_noise(self) -> bool | None:
        """Whether the difference is what chance makes; None if that cannot be said."""
        if self.difference is None or self.error is None:
            return None
        return abs(self.difference) <= BEYOND_NOISE * self.error + 1e-12


@dataclass(frozen=True)
class Mix:
    """Share of each event type, and the total variation distance: half the sum of the absolute differences."""

    shares: tuple[Compared, ...]
    distance: float | None
    distance_expected: float | None


@dataclass(frozen=True)
class Fidelity:
    """All that is said of a sample. A part is None where a table for it is not in the sample or has no rows."""

    share: float
    seed: int
    data_through: date | None
    people: Compared | None
    mix: Mix | None
    funnel: tuple[Compared, ...] | None
    popularity: Popularity | None
    tables: tuple[SampledTable, ...] = field(default=())

    def beyond_noise(self) -> list[str]:
        """Names of what differs from the whole by more than chance."""
        found = [("people", self.people)] if self.people else []
        found += [(f"share of {one.name}", one) for one in (self.mix.shares if self.mix else ())]
        found += [(f"sessions with {one.name}", one) for one in self.funnel or ()]
        if self.popularity:
            by_name = {
                "rank correlation of items": self.popularity.rank_correlation,
                "Gini of items": self.popularity.gini,
                "share of the top items": self.popularity.top_share,
            }
            found += list(by_name.items())
        return [name for name, one in found if one.is_noise is False]


def fidelity(
    whole: Reader,
    sample: Reader,
    *,
    share: float,
    seed: int,
    max_hours: int,
    sampled: Iterable[str],
    tables: Iterable[SampledTable] = (),
) -> Fidelity:
    """Compare a sample with the lake that it was taken from; both may be masked or not.

    Args:
        whole: the lake.
        sample: the sample.
        share: share of people in it.
        seed: of the sample, and of the draws that tell what to expect.
        max_hours: ``session_max_hours`` of the settings.
        sampled: names of the tables that the sample has.
        tables: what is to be said of each table.
    """
    there = set(sampled)

    def part(needs: tuple[Contract, ...], make: Callable[[], Any]) -> Any:
        return make() if all(contract.name in there for contract in needs) else None

    reached = whole(WATERMARK).data_through.max().to_pyarrow().as_py()
    return Fidelity(
        share=share,
        seed=seed,
        data_through=reached,
        people=part((CUSTOMER_FEATURES,), lambda: _people(whole, sample, share)),
        mix=part((CLEAN_EVENTS, IDENTITIES), lambda: event_mix(whole, sample, share=share)),
        funnel=part((CLEAN_EVENTS, IDENTITIES), lambda: funnel(whole, sample, share=share, max_hours=max_hours)),
        popularity=part((TRAINING_INTERACTIONS,), lambda: _popularity(whole, sample, share, seed)),
        tables=tuple(tables),
    )


def _count(table: ibis.Table) -> int:
    return int(table.count().to_pyarrow().as_py())


def _people(whole: Reader, sample: Reader, share: float) -> Compared | None:
    there, here = _count(whole(CUSTOMER_FEATURES)), _count(sample(CUSTOMER_FEATURES))
    if not there:
        return None
    return Compared("people", share, here / there, math.sqrt(share * (1 - share) / there), there, here)


@dataclass(frozen=True)
class Moments:
    """Over the sampled people: sums of a count y, of its square, and of its product with the denominator's x."""

    y: int
    yy: int
    xy: int


def ratio_error(counts: Moments, *, x: int, xx: int, people: int, share: float, truth: float) -> float | None:
    """Standard error of y / x over sampled people, as the module says; None where it is not known."""
    if share >= 1:
        return 0.0
    if people < FEW_PEOPLE or truth * x < FEW_CASES:
        return None
    squares = counts.yy - 2 * truth * counts.xy + truth * truth * xx
    return math.sqrt(max(0.0, (1 - share) * people / (people - 1) * squares)) / x


def event_mix(whole: Reader, sample: Reader, *, share: float) -> Mix | None:
    """Share of each event type among the events of people (no bots, no testers); None without any event."""
    in_whole = people_only(whole(CLEAN_EVENTS)).group_by("event_type").agg(events=ibis._.count())
    there = {row["event_type"]: row["events"] for row in in_whole.to_pyarrow().to_pylist()}
    if not there:
        return None
    events = with_person(people_only(sample(CLEAN_EVENTS)), sample(IDENTITIES))
    each = events.group_by("person_id", "event_type").agg(y=events.count())
    people = each.group_by("person_id").agg(x=each.y.sum())
    joined = each.join(people, "person_id")
    moments = joined.group_by("event_type").agg(
        y=joined.y.sum(), yy=(joined.y * joined.y).sum(), xy=(joined.x * joined.y).sum()
    )
    here = {row.pop("event_type"): Moments(**_whole_numbers(row)) for row in moments.to_pyarrow().to_pylist()}
    of_people = _whole_numbers(
        people.agg(people=people.count(), x=people.x.sum(), xx=(people.x * people.x).sum()).to_pyarrow().to_pylist()[0]
    )
    total = sum(there.values())
    shares = []
    for name in sorted(there, key=lambda name: (-there[name], name)):
        counts, truth = here.get(name, Moments(0, 0, 0)), there[name] / total
        shares.append(
            Compared(
                name,
                truth,
                counts.y / of_people["x"] if of_people["x"] else None,
                ratio_error(counts, **of_people, share=share, truth=truth),
                there[name],
                counts.y,
            )
        )
    known = [one for one in shares if one.difference is not None]
    errors = [one.error for one in shares if one.error is not None]
    return Mix(
        tuple(shares),
        sum(abs(one.difference or 0.0) for one in known) / 2 if known else None,
        # The mean of a normal number's size is sqrt(2 / pi) of its standard error.
        math.sqrt(2 / math.pi) * sum(errors) / 2 if errors else None,
    )


def _whole_numbers(row: Mapping[str, Any]) -> dict[str, int]:
    """Sums as Python's integers, which do not overflow; nothing summed is 0."""
    return {name: int(value or 0) for name, value in row.items()}


def funnel(whole: Reader, sample: Reader, *, share: float, max_hours: int) -> tuple[Compared, ...] | None:
    """Share of the sessions with a view that took each later step, all weeks together; None without such sessions.

    Of the whole as ``conversion_funnel`` has it, of the sample by the same definition.
    """
    published = whole(CONVERSION_FUNNEL)
    of_all = published.filter(published.dimension == "all")
    there = {
        row["step"]: row["sessions"]
        for row in of_all.group_by("step").agg(sessions=of_all.sessions.sum()).to_pyarrow().to_pylist()
    }
    if not there.get(1):
        return None
    events = with_person(people_only(sample(CLEAN_EVENTS)), sample(IDENTITIES))
    owners = events.group_by(own_id="session_id").agg(person=events.person_id.min())
    steps = session_steps(sample(CLEAN_EVENTS), max_hours=max_hours)
    steps = steps.mutate(own_id=steps.session_id.split(DAY_MARK)[0])
    steps = steps.join(owners, "own_id")
    counted = {f"y{number}": steps[f"step_{number}"].count() for number in range(1, len(STEPS) + 1)}
    people = steps.group_by("person").agg(**counted)
    people = people.filter(people.y1 > 0)
    sums = {"people": people.count(), "xx": (people.y1 * people.y1).sum()}
    for number in range(1, len(STEPS) + 1):
        y = people[f"y{number}"]
        sums |= {f"y{number}": y.sum(), f"yy{number}": (y * y).sum(), f"xy{number}": (y * people.y1).sum()}
    here = _whole_numbers(people.agg(**sums).to_pyarrow().to_pylist()[0])
    compared = []
    for number, name in enumerate(STEPS[1:], start=2):
        truth = there.get(number, 0) / there[1]
        counts = Moments(*(here[f"{part}{number}"] for part in ("y", "yy", "xy")))
        error = ratio_error(counts, x=here["y1"], xx=here["xx"], people=here["people"], share=share, truth=truth)
        found = counts.y / here["y1"] if here["y1"] else None
        compared.append(Compared(name, truth, found, error, there.get(number, 0), counts.y))
    return tuple(compared)


def _popularity(whole: Reader, sample: Reader, share: float, seed: int) -> Popularity | None:
    """People of each item in the whole and, by group, in the sample; counted in the engine, alike items together."""
    of_all = whole(TRAINING_INTERACTIONS)
    there = of_all.group_by("item_id").agg(people=of_all.person_id.nunique())
    pairs = sample(TRAINING_INTERACTIONS).select("person_id", "item_id").distinct()
    known = int(pairs.person_id.nunique().to_pyarrow().as_py()) >= FEW_PEOPLE
    drawn = pairs.mutate(digit=pairs.person_id.hexdigest("md5").left(1))
    names = [f"group_{number:x}" for number in range(GROUPS)]
    by_group = {name: (drawn.digit == name[-1]).sum() for name in names}
    both = there.left_join(drawn.group_by("item_id").agg(**by_group), "item_id")
    counts = both.select("people", **{name: both[name].fill_null(0).cast("int64") for name in names})
    found = counts.group_by("people", *names).agg(items=counts.count()).order_by(["people", *names]).to_pyarrow()
    people, *groups, items = (np.asarray(found[name].to_numpy(), np.int64) for name in ("people", *names, "items"))
    return popularity(people, np.stack(groups, axis=1), items, share=share, seed=seed, errors_known=known)
