"""A small shop whose people have two tastes, as tables in a lake, and the assets of the gate run over it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any

import dagster as dg
import ibis
import numpy as np
import pyarrow as pa

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.model import Contract
from trasos_assets.definitions import assembled
from trasos_assets.defs.operations.ingest import _quiet
from trasos_assets.lake.engine import open_lake
from trasos_assets.lake.store import LakeStore

FIRST, DAYS = date(2026, 1, 1), 28
LAST = FIRST + timedelta(days=DAYS - 1)
GATE = (
    *("als_model", "evaluations", "leaderboard", "model_comparisons", "model_costs"),
    *("candidate", "definition_of_done", "champion_model", "champion", "model_card"),
)
ASKING = ("candidate", "definition_of_done", "champion_model", "champion", "model_card")
"""What follows the model and the leaderboard."""

ENVIRONMENT = {
    "TRASOS_CANDIDATE": "als",
    "TRASOS_MODELS": "als",
    "TRASOS_ALS_FACTORS": "8",
    "TRASOS_ALS_REGULARIZATION": "1",
    "TRASOS_FOLDS": "1",
    "TRASOS_DONE_PEOPLE": "20",
    "TRASOS_THREADS": "2",
}


def interactions(people: int = 120, items: int = 60, seed: int = 0, later: int = 0) -> list[dict[str, Any]]:
    """Even people buy even items, odd people odd ones; all of it ``later`` days later."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), 10)
    item = rng.integers(0, items // 2, len(person)) * 2 + person % 2
    day = rng.integers(0, DAYS, len(person))
    cells = sorted(set(zip(person.tolist(), item.tolist(), day.tolist(), strict=True)))
    names = ("person_id", "item_id", "day", "views", "carts", "purchases")
    return [
        dict(zip(names, (f"p{p:03}", f"i{i:03}", FIRST + timedelta(days=d + later), 1, 0, 1), strict=True))
        for p, i, d in cells
    ]


def write(store: LakeStore, contract: Contract, rows: Sequence[dict[str, Any]]) -> None:
    """Publish rows of a contract; what a row leaves out has a value that is of no account."""
    blank = {"string": "x", "boolean": True, "date": LAST, "decimal(18, 4)": 1, "timestamp(6)": None}
    full = [
        {
            c.name: row[c.name] if c.name in row else None if c.nullable else blank.get(c.type, 0)
            for c in contract.columns
        }
        for row in rows
    ]
    table = pa.Table.from_pylist(full, schema=ibis.schema(contract.types).to_pyarrow())
    store.write(contract, ibis.memtable(table))


def shop(rows: Sequence[dict[str, Any]], *, through: date = LAST) -> LakeStore:
    """The lake of the settings, with all that the gate looks at; the data reach ``through``."""
    store = open_lake()
    write(store, CONTRACTS["training_interactions"], rows)
    items = sorted({row["item_id"] for row in rows})
    write(store, CONTRACTS["item_features"], [{"item_id": item, "kind": "product", "as_of": through} for item in items])
    people = sorted({row["person_id"] for row in rows} | {"newcomer"})
    write(store, CONTRACTS["customer_features"], [{"person_id": person, "as_of": through} for person in people])
    write(store, CONTRACTS["catalogue"], [{"item_id": item, "kind": "product"} for item in items])
    write(store, CONTRACTS["watermark"], [{"first_day": FIRST, "data_through": through}])
    return store


def run(instance: dg.DagsterInstance, names: Sequence[str] = GATE) -> dg.ExecuteInProcessResult:
    """Materialize some assets in this process."""
    job = assembled().resolve_job_def("retrain_model")
    with _quiet():
        return job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(name) for name in names],
            run_config={"loggers": {"progress": {}}},
        )


def rows_of(store: LakeStore, name: str) -> list[dict[str, Any]]:
    """All rows of a table."""
    return store.read(CONTRACTS[name]).to_pyarrow().to_pylist()


def changed(store: LakeStore, name: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Publish a table again, changed behind the platform's back."""
    table = store.read(CONTRACTS[name]).to_pyarrow()
    store.write(CONTRACTS[name], ibis.memtable(change(table)))


def refusals(store: LakeStore) -> dict[str, str]:
    """Criteria that the candidate fails, with their reasons."""
    return {row["criterion"]: row["reason"] for row in rows_of(store, "definition_of_done") if not row["passed"]}
