"""Events written in a batch are the events that are written one by one."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from trasos_assets.lake.event_log import BatchedSqliteEventLogStorage

STORAGE = """
event_log_storage:
  module: trasos_assets.lake.event_log
  class: BatchedSqliteEventLogStorage
  config:
    base_dir: {folder}
telemetry:
  enabled: false
"""


class Nowhere(dg.ConfigurableIOManager):
    def handle_output(self, context: dg.OutputContext, obj: object) -> None: ...

    def load_input(self, context: dg.InputContext) -> object: ...


DAYS = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-01-31")


@dg.asset(
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    check_specs=[dg.AssetCheckSpec("holds", asset="visits")],
)
def visits(context: dg.AssetExecutionContext) -> Iterator[object]:
    yield dg.Output(None, metadata={"rows": 3})
    yield dg.AssetCheckResult(passed=True)


@pytest.fixture
def instances(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[dg.DagsterInstance, dg.DagsterInstance]]:
    """One instance with stock storage and one with batches, both on disk."""
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE", raising=False)
    stock, batched = tmp_path / "stock", tmp_path / "batched"
    stock.mkdir()
    batched.mkdir()
    (stock / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    (batched / "dagster.yaml").write_text(STORAGE.format(folder=batched / "history"))
    with dg.DagsterInstance.from_config(str(stock)) as one, dg.DagsterInstance.from_config(str(batched)) as two:
        assert isinstance(two.event_log_storage, BatchedSqliteEventLogStorage)
        yield one, two


def materialise(instance: dg.DagsterInstance) -> str:
    # As a run does: `backfill` ranges store one materialisation a day in one go.
    tags = {
        "dagster/asset_partition_range_start": "2026-01-01",
        "dagster/asset_partition_range_end": "2026-01-30",
    }
    result = dg.materialize([visits], instance=instance, tags=tags, resources={"io_manager": Nowhere()})
    assert result.success
    return result.run_id


def told(instance: dg.DagsterInstance, run_id: str) -> list[tuple[object, ...]]:
    """What a run's log and the assets' history say, without ids and times."""
    key = dg.AssetKey("visits")
    log = [
        (
            record.event_log_entry.dagster_event_type,
            record.event_log_entry.step_key,
            record.event_log_entry.user_message,
        )
        for record in instance.get_records_for_run(run_id).records
        if record.event_log_entry.dagster_event_type
        in (dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    ]
    records = instance.fetch_materializations(key, limit=100).records
    days = sorted(str(record.partition_key) for record in records)
    latest = instance.get_latest_materialization_event(key)
    assert latest is not None and latest.asset_materialization is not None
    counted = instance.get_materialized_partitions(key)
    return [
        *log,
        ("days", *days),
        ("metadata", sorted(latest.asset_materialization.metadata)),
        ("counted", *sorted(counted)),
    ]


def test_a_batch_gives_the_same_stored_events_as_one_by_one(
    instances: tuple[dg.DagsterInstance, dg.DagsterInstance], monkeypatch: pytest.MonkeyPatch
) -> None:
    stock, batched = instances
    expected = told(stock, materialise(stock))
    batches: list[int] = []
    store = BatchedSqliteEventLogStorage.store_event_batch
    monkeypatch.setattr(
        BatchedSqliteEventLogStorage,
        "store_event_batch",
        lambda self, events: (batches.append(len(events)), store(self, events))[1],
    )
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")
    assert told(batched, materialise(batched)) == expected
    assert max(batches) >= 30
    assert len(expected) > 30


def test_a_batch_that_fails_stores_nothing_of_it_and_the_next_is_stored(
    instances: tuple[dg.DagsterInstance, dg.DagsterInstance], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, instance = instances
    run_id = materialise(instance)
    storage = instance.event_log_storage
    assert isinstance(storage, BatchedSqliteEventLogStorage)
    events = [record.event_log_entry for record in instance.get_records_for_run(run_id).records]
    before = len(events)
    stored = BatchedSqliteEventLogStorage.store_event
    calls = iter(range(100))

    def fails_at_the_third(self: BatchedSqliteEventLogStorage, event: dg.EventLogEntry) -> None:
        if next(calls) == 2:
            raise OSError("disk full")
        stored(self, event)

    with monkeypatch.context() as broken:
        broken.setattr(BatchedSqliteEventLogStorage, "store_event", fails_at_the_third)
        with pytest.raises(OSError, match="disk full"):
            storage.store_event_batch(events[:4])
    assert len(instance.get_records_for_run(run_id).records) == before
    storage.store_event_batch(events[:2])
    assert len(instance.get_records_for_run(run_id).records) == before + 2
