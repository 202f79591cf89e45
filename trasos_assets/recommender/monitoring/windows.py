"""What serves and since when, and the days that are compared: told by tables, never by a clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ibis


@dataclass(frozen=True)
class Serving:
    """The model that serves: its name and version, and the last day that it learned from."""

    model: str
    model_version: str
    trained_through: date


def serving_model(champion: ibis.Table) -> Serving | None:
    """What the last row of ``champion`` says; None while nothing serves.

    A version that came back by a rollback, or was signed off later, learned when it was first promoted: the earliest
    ``as_of`` of the version counts.
    """
    history = champion.select("sequence", "model", "model_version", "as_of").to_pyarrow().to_pylist()
    if not history:
        return None
    last = max(history, key=lambda row: row["sequence"])
    learned = min(row["as_of"] for row in history if row["model_version"] == last["model_version"])
    return Serving(last["model"], last["model_version"], learned)


def lake_days(watermark: ibis.Table) -> tuple[date, date] | None:
    """The first day of the lake and the last that has landed; None in an empty lake."""
    rows = watermark.select("first_day", "data_through").to_pyarrow().to_pylist()
    return (rows[0]["first_day"], rows[0]["data_through"]) if rows else None


@dataclass(frozen=True)
class Windows:
    """The reference days, the last that a model learned from, and the days after them that are compared.

    ``current_from`` lies after ``current_through`` while no day has come since the model learned.
    """

    reference_from: date
    reference_through: date
    current_from: date
    current_through: date

    @classmethod
    def of(
        cls, trained_through: date, through: date, *, first_day: date, reference_days: int, current_days: int
    ) -> Windows:
        """``reference_days`` up to ``trained_through``, and the last ``current_days`` up to ``through`` after it.

        None of them lies before ``first_day``, the lake's first.
        """
        learned = min(trained_through, through)
        return cls(
            reference_from=max(min(first_day, learned), learned - timedelta(days=reference_days - 1)),
            reference_through=learned,
            current_from=max(learned, through - timedelta(days=current_days)) + timedelta(days=1),
            current_through=through,
        )

    @property
    def current_length(self) -> int:
        """Days that are compared, 0 while none has come."""
        return max(0, (self.current_through - self.current_from).days + 1)

    @property
    def reference_days(self) -> int:
        """Days of the reference."""
        return (self.reference_through - self.reference_from).days + 1

    @property
    def age(self) -> int:
        """Days from the last day that the model learned from to the last that is compared."""
        return (self.current_through - self.reference_through).days

    @property
    def ranking_through(self) -> date:
        """Last day of the first half of the reference.

        Items are ranked by their demand on those days, and the reference is counted on the days after them: ranked and
        counted on the same days, the first would stand too high by chance, and fall back in any later window.
        """
        return self.reference_from + timedelta(days=self.reference_days // 2 - 1)

    @property
    def known_before(self) -> date:
        """The day that stands to the reference as ``reference_through`` does to the current days: one age earlier."""
        return self.reference_through - timedelta(days=self.age)
