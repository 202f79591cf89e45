"""What a killed process leaves in the instance is seen, closed and done again."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import EngineEventData

from trasos_assets.defs.operations.instance import PROCESS_TAG, close_dead_runs, prepare_home
from trasos_assets.defs.operations.plan import standings, table_run, unchecked, unfinished_days
from trasos_assets.lake.store import LakeStore
from trasos_assets.settings import Settings


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@dg.op
def rest() -> None: ...


@dg.job
def night() -> None:
    rest()


def under_way(instance: dg.DagsterInstance, **tags: str) -> str:
    run = instance.create_run_for_job(night, tags=tags, status=dg.DagsterRunStatus.STARTED)
    return run.run_id


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def ended_process() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_a_run_whose_process_is_gone_is_failed_with_the_reason_and_those_of_living_ones_stay(
    instance: dg.DagsterInstance,
) -> None:
    dead = under_way(instance, **{PROCESS_TAG: str(ended_process())})
    own = under_way(instance, **{PROCESS_TAG: str(os.getpid())})
    parents = under_way(instance, **{PROCESS_TAG: str(os.getppid())})
    unknown = under_way(instance)
    assert close_dead_runs(instance) == [dead]
    assert status(instance, dead) == dg.DagsterRunStatus.FAILURE
    assert {status(instance, run) for run in (own, parents, unknown)} == {dg.DagsterRunStatus.STARTED}
    told = [entry.message for entry in instance.all_logs(dead)]
    assert any("what it left undone comes again" in message for message in told)
    assert close_dead_runs(instance) == []


def test_a_run_of_the_daemon_is_known_by_the_process_that_its_log_names(instance: dg.DagsterInstance) -> None:
    dead, alive = under_way(instance), under_way(instance)
    for run_id, pid in ((dead, ended_process()), (alive, os.getppid())):
        run = instance.get_run_by_id(run_id)
        assert run is not None
        instance.report_engine_event("Started process for run", run, EngineEventData.in_process(pid))
    assert close_dead_runs(instance) == [dead]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells when a process began")
def test_a_number_that_went_to_another_process_does_not_keep_a_dead_run_alive(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as later:
        run_id = under_way(instance, **{PROCESS_TAG: str(later.pid)})
        assert close_dead_runs(instance) == []
        monkeypatch.setattr("trasos_assets.defs.operations.instance.CLOCK_SLACK_SECONDS", -3600)
        assert close_dead_runs(instance) == [run_id]
        later.communicate(b"\n")


def test_the_instances_configuration_is_never_half_written(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DAGSTER_HOME", "DAGSTER_EVENT_BATCH_SIZE", "TRASOS_DATA_DIR"):
        monkeypatch.setenv(name, "")

    def ends(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(os, "replace", ends)
        with pytest.raises(KeyboardInterrupt):
            prepare_home(settings)
    assert not (settings.dagster_home / "dagster.yaml").exists()
    home = prepare_home(settings)
    assert "max_concurrent_runs: 1" in (home / "dagster.yaml").read_text()


class PowerCutError(Exception): ...


@dg.asset(code_version="1", check_specs=[dg.AssetCheckSpec("holds", asset="totals")], output_required=False)
def totals(context: dg.AssetExecutionContext) -> Iterator[object]:
    yield dg.Output(1)
    if context.run.tags.get("cut"):
        raise PowerCutError
    yield dg.AssetCheckResult(passed=True)


def test_a_table_whose_check_never_gave_a_result_is_built_again(instance: dg.DagsterInstance, store: LakeStore) -> None:
    graph = dg.Definitions(assets=[totals]).resolve_asset_graph()

    def planned() -> object:
        made = standings(instance, ["totals"])
        behind = table_run(graph, store, made, present=["totals"], retrain=True, unchecked=unchecked(graph, instance))
        return behind and behind.assets

    dg.materialize([totals], instance=instance, tags={"cut": "yes"}, raise_on_error=False)
    assert "totals" in standings(instance, ["totals"])
    assert planned() == ("totals",)
    dg.materialize([totals], instance=instance)
    assert planned() is None


def built(instance: dg.DagsterInstance, name: str, *days: str) -> None:
    for day in days:
        instance.report_runless_asset_event(dg.AssetMaterialization(name, partition=day))


def test_days_on_which_only_part_of_the_tables_were_built_again_are_unfinished(instance: dg.DagsterInstance) -> None:
    from trasos_assets.definitions import assembled

    graph = assembled().resolve_asset_graph()
    by_events = ("raw_events", "event_keys", "event_states", "quarantined_events", "clean_events")
    for name in (*by_events, "interactions", "order_lines"):
        built(instance, name, "2026-01-01", "2026-01-02", "2026-01-03")
    assert unfinished_days(graph, instance) == set()
    built(instance, "clean_events", "2026-01-02", "2026-01-03")
    built(instance, "interactions", "2026-01-02", "2026-01-03")
    assert unfinished_days(graph, instance) == {date(2026, 1, 2), date(2026, 1, 3)}
    built(instance, "order_lines", "2026-01-02")
    assert unfinished_days(graph, instance) == {date(2026, 1, 3)}
    built(instance, "order_lines", "2026-01-03")
    assert unfinished_days(graph, instance) == set()
