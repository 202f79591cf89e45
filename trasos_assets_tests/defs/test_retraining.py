"""Requests to train again, from the book to a run of the training job: each carried out once, with its reason."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import ibis
import pytest

from trasos_assets.contracts.monitoring import RETRAINING_REQUESTS
from trasos_assets.defs.operations import retraining, sensors
from trasos_assets.defs.operations.retraining import AS_OF_TAG, REASON_TAG, WHY_LENGTH, WHY_TAG, retraining_sensor
from trasos_assets.defs.science import monitoring
from trasos_assets.lake.store import LakeStore
from trasos_assets.recommender.monitoring.requests import requests_table
from trasos_assets.settings import get_settings
from trasos_assets_tests.conftest import new_backend


class Book:
    """The lake of one test, of which the sensor reads the book of requests."""

    def __init__(self, root: Path) -> None:
        self.store = LakeStore(root, new_backend())

    def write(self, *rows: tuple[int, str, str | None]) -> None:
        """Rows of (day of January, reason, candidate that met it)."""
        told = [
            {
                "sequence": number,
                "requested_as_of": date(2026, 1, on),
                "reason": reason,
                "detail": f"because of {reason} " + "x" * 300,
                "model_version": "v1",
                "fulfilled_by": met,
                "fulfilled_as_of": date(2026, 1, on) if met else None,
            }
            for number, (on, reason, met) in enumerate(rows, 1)
        ]
        self.store.write(RETRAINING_REQUESTS, ibis.memtable(requests_table(told)))


@pytest.fixture
def book(tmp_path, monkeypatch) -> Iterator[Book]:
    made = Book(tmp_path / "lake")
    monkeypatch.setattr(retraining, "open_lake", lambda settings: made.store)
    monkeypatch.setattr(retraining, "get_settings", get_settings)
    yield made


def look(instance: dg.DagsterInstance) -> Any:
    with dg.build_sensor_context(instance=instance) as context:
        return retraining_sensor(context)


def test_nothing_asks_for_a_model_in_a_lake_without_a_book_or_with_all_of_it_met(book):
    with dg.DagsterInstance.ephemeral() as instance:
        assert isinstance(look(instance), dg.SkipReason)
        book.write((3, "schedule", "c1"), (5, "drift", "c2"))
        assert "nothing asks" in look(instance).skip_message


def test_a_request_is_launched_with_its_reason_and_the_same_key_at_every_look(book):
    book.write((3, "schedule", "c1"), (9, "drift", None), (9, "staleness", None))
    with dg.DagsterInstance.ephemeral() as instance:
        first, again = look(instance), look(instance)
    # Dagster launches one run a key, for ever.
    assert first.run_key == again.run_key == "2026-01-09:drift+staleness"
    assert first.tags[REASON_TAG] == "drift"
    assert first.tags[AS_OF_TAG] == "2026-01-09"
    assert first.tags[WHY_TAG].startswith("drift: because of drift")
    assert len(first.tags[WHY_TAG]) <= WHY_LENGTH


def test_a_request_after_the_cool_down_is_another_one(book):
    book.write((9, "drift", None))
    with dg.DagsterInstance.ephemeral() as instance:
        first = look(instance)
        book.write((9, "drift", None), (12, "drift", None))
        later = look(instance)
    assert (first.run_key, later.run_key) == ("2026-01-09:drift", "2026-01-12:drift")


@pytest.mark.parametrize("status", retraining.UNDER_WAY[1:])  # a queued run needs a code location to be made
def test_nothing_is_launched_while_the_model_is_being_trained(book, status):
    book.write((9, "drift", None))
    with dg.DagsterInstance.ephemeral() as instance:
        run = dg.DagsterRun(job_name="retrain_model", status=status)
        instance.add_run(run)
        assert run.run_id in look(instance).skip_message


def test_a_run_of_another_job_or_one_that_is_over_does_not_hold_it_up(book):
    book.write((9, "drift", None))
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_run(dg.DagsterRun(job_name="refresh_tables", status=dg.DagsterRunStatus.STARTED))
        instance.add_run(dg.DagsterRun(job_name="retrain_model", status=dg.DagsterRunStatus.FAILURE))
        assert isinstance(look(instance), dg.RunRequest)


def test_the_sensor_and_the_schedule_start_the_same_job_and_both_say_why():
    assert retraining_sensor.job_name == sensors.weekly_retraining.job_name == "retrain_model"
    assert retraining_sensor.default_status == dg.DefaultSensorStatus.RUNNING
    with dg.build_schedule_context() as context:
        (planned,) = sensors.weekly_retraining.evaluate_tick(context).run_requests
    assert planned.tags[REASON_TAG] == "schedule"


@pytest.mark.parametrize(("tags", "reason"), [({REASON_TAG: "drift"}, "drift"), ({}, "by_hand")])
def test_the_reason_of_a_training_is_read_from_the_run_that_made_the_candidate(tags, reason):
    @dg.asset
    def candidate() -> None: ...

    with dg.DagsterInstance.ephemeral() as instance:
        assert monitoring._reason_of(instance, "candidate") == "by_hand"
        dg.materialize([candidate], instance=instance, tags={REASON_TAG: "schedule"})
        dg.materialize([candidate], instance=instance, tags=tags)
        assert monitoring._reason_of(instance, "candidate") == reason
    assert monitoring._reason_of(None, "candidate") == "by_hand"
