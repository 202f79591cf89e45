"""What of many studies is the best, and for whom."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from trasos_assets.contracts.models import TRIALS
from trasos_assets.recommender.search.ledger import (
    TRIALS_SCHEMA,
    Trial,
    Window,
    best_parameters,
    blind_to,
    rows_of,
    trials_of,
)

AS_OF = date(2026, 3, 1)


def trials(
    study: str,
    values: list[float | None],
    *,
    model: str = "als",
    as_of: date = AS_OF,
    hour: int = 0,
    target: str = "new_items",
) -> pa.Table:
    window = Window(target, 2, 30, as_of - timedelta(days=14), 7, as_of)
    made = [
        Trial(
            number,
            "complete" if value is not None else "failed",
            "proposed",
            {"alpha": float(number), "weights": {"half_life_days": None}},
            () if value is None else (value, value),
            value,
            1.5,
            None if value is not None else "no reason",
            datetime(2026, 4, 1, hour, number),
        )
        for number, value in enumerate(values)
    ]
    return rows_of(study, model, made, window)


def best(table: pa.Table, **wanted: Any) -> float | None:
    found = best_parameters(table, "als", **wanted)
    return None if found is None else found["alpha"]


def test_columns_are_those_of_the_contract() -> None:
    assert tuple(TRIALS_SCHEMA.names) == TRIALS.column_names
    types = {"string": pa.string(), "int32": pa.int32(), "int64": pa.int64(), "float64": pa.float64()}
    types |= {"date": pa.date32(), "timestamp(6)": pa.timestamp("us")}
    assert [types[column.type] for column in TRIALS.columns] == TRIALS_SCHEMA.types


def test_rows_come_back_as_they_went_in() -> None:
    table = trials("one", [0.1 + 0.2, None, 1 / 3])
    found = trials_of(table, "one", "als")
    assert [trial.value for trial in found] == [0.1 + 0.2, None, 1 / 3]
    assert found[2].fold_values == (1 / 3, 1 / 3)
    assert rows_of("one", "als", found, Window("new_items", 2, 30, AS_OF - timedelta(days=14), 7, AS_OF)).equals(table)
    assert trials_of(table, "one", "bpr") == trials_of(table, "two", "als") == []


def test_the_best_is_the_highest_value_and_of_equals_the_earlier() -> None:
    assert best(trials("one", [0.1, 0.3, 0.2, 0.3])) == 1.0
    assert best_parameters(trials("one", [0.1]), "als") == {"alpha": 0.0, "weights": {"half_life_days": None}}


@pytest.mark.parametrize("table", [TRIALS_SCHEMA.empty_table(), trials("one", [None, None])])
def test_without_a_complete_trial_there_is_no_best(table: pa.Table) -> None:
    assert best(table) is None
    assert best_parameters(trials("one", [0.5], model="bpr"), "als") is None


def test_values_of_several_studies_are_not_compared() -> None:
    """The later study is of other days: its lower value says nothing against its parameters."""
    older = trials("older", [0.1, 0.9], as_of=AS_OF - timedelta(days=7), hour=5)
    newer = trials("newer", [0.4, 0.2], hour=1)
    for order in ([older, newer], [newer, older]):
        assert best(pa.concat_tables(order)) == 0.0


def test_of_studies_on_the_same_days_the_last_one_counts() -> None:
    table = pa.concat_tables([trials("b", [0.4, 0.2], hour=3), trials("a", [0.1, 0.9], hour=2)])
    assert best(table) == 0.0


def test_a_study_without_a_value_yet_leaves_the_former_one_in_place() -> None:
    older = trials("older", [0.1, 0.9], as_of=AS_OF - timedelta(days=7))
    assert best(pa.concat_tables([older, trials("newer", [None])])) == 1.0


def test_studies_that_saw_later_days_or_looked_for_something_else_do_not_count() -> None:
    older = trials("older", [0.1, 0.9], as_of=AS_OF - timedelta(days=7))
    table = pa.concat_tables(
        [older, trials("newer", [0.4, 0.2]), trials("other", [0.1, 0.2], hour=9, target="all_items")]
    )
    assert best(table) == 1.0
    assert best(table, target="new_items") == 0.0
    assert best(table, seen_through=AS_OF - timedelta(days=1)) == 1.0
    assert best(table, seen_through=AS_OF - timedelta(days=8)) is None


def test_a_test_is_tuned_only_by_studies_that_did_not_see_its_days() -> None:
    older = trials("older", [0.1, 0.9], as_of=AS_OF - timedelta(days=7))
    table = pa.concat_tables([older, trials("newer", [0.4, 0.2])])
    assert best(blind_to(table, AS_OF + timedelta(days=1))) == 0.0
    assert best(blind_to(table, AS_OF)) == 1.0
    assert best(blind_to(table, AS_OF - timedelta(days=7))) is None
