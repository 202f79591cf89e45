"""What the dashboard is told beside the tables: how far the data reach and whether they can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from trasos_assets.metrics.headlines import Headline

TEAMS = ("engineering", "science", "analytics")


class CheckState(NamedTuple):
    """The latest result of one check; ``severity`` is ERROR or WARN."""

    owner: str
    asset: str
    check: str
    passed: bool
    severity: str


class RowCount(NamedTuple):
    """Rows of one published table."""

    owner: str
    table: str
    rows: int


@dataclass(frozen=True)
class DashboardFacts:
    """Everything on the page that is in no table.

    ``data_through`` is the last day that landed, None before the first; ``checks`` and ``row_counts`` take plain tuples
    too, in any order.
    """

    data_through: date | None
    currency: str
    headlines: Sequence[Headline] = ()
    checks: Sequence[CheckState | tuple[str, str, str, bool, str]] = ()
    row_counts: Sequence[RowCount | tuple[str, str, int]] = ()


@dataclass(frozen=True)
class Trust:
    """Checks that ran and those that failed."""

    checks: int
    failed: tuple[CheckState, ...]

    @property
    def state(self) -> str:
        """``unknown`` before any check ran, ``broken`` after a failed ERROR, ``warned`` after a WARN, else ``good``."""
        if not self.checks:
            return "unknown"
        if any(check.severity.upper() == "ERROR" for check in self.failed):
            return "broken"
        return "warned" if self.failed else "good"

    @property
    def sentence(self) -> str:
        """The state in words, with the number of failures by team."""
        if not self.checks:
            return "No check has run yet"
        if not self.failed:
            return "The only check passed" if self.checks == 1 else f"All {self.checks:,} checks passed"
        failed_by = ", ".join(
            f"{team} {sum(check.owner == team for check in self.failed):,}"
            for team in teams_of(check.owner for check in self.failed)
        )
        return f"{len(self.failed):,} of {self.checks:,} checks failed: {failed_by}"


def trust_of(checks: Sequence[CheckState | tuple[str, str, str, bool, str]], tables: Sequence[str] = ()) -> Trust:
    """How the checks stand; of some tables only, if any are named."""
    states = sorted(CheckState(*check) for check in checks)
    chosen = [state for state in states if not tables or state.asset in tables]
    return Trust(len(chosen), tuple(state for state in chosen if not state.passed))


def teams_of(owners) -> list[str]:
    """Distinct owners: the three teams in the order of the data's way first, then any other by name."""
    found = set(owners)
    return [team for team in TEAMS if team in found] + sorted(found - set(TEAMS))
