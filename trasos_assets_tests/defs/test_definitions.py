"""Lint of the definitions: what every asset, check, sensor and schedule must have, whoever wrote it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from trasos_assets.contracts import CONTRACTS
from trasos_assets.definitions import assembled
from trasos_assets.defs.operations.plan import BY_DAY_NAMES, RAW_NAMES
from trasos_assets.lake.table import CONTRACT_CHECK

SNAPSHOT = Path(__file__).parent / "specs.json"
DEFS = Path(__file__).parents[2] / "trasos_assets" / "defs"
TEAMS = ("engineering", "science", "analytics")
KEPT_BY_HAND = ("quarantine_releases", "suppressions", "erased_totals")
"""Tables that people write to: nobody can promise when, and the book refuses what would break their contract."""


@pytest.fixture(scope="module")
def graph():
    return assembled().resolve_asset_graph()


@pytest.fixture(scope="module")
def nodes(graph):
    return {key.path[-1]: graph.get(key) for key in graph.get_all_asset_keys()}


@pytest.fixture(scope="module")
def checks(graph):
    return sorted(graph.asset_check_keys, key=lambda key: (key.asset_key.path[-1], key.name))


def folder_of(name: str) -> str:
    """The folder below defs/ whose code defines the asset."""
    for team in TEAMS:
        for file in (DEFS / team).glob("*.py"):
            source = file.read_text()
            defined = f"def {name}(" in source or f"\n{name} = " in source
            if defined:
                return team
    raise AssertionError(f"no folder below defs/ defines {name}")


def test_every_contract_has_its_asset_and_every_table_its_contract(nodes):
    assert set(CONTRACTS) <= set(nodes)
    pages = {"kpi_dashboard", "leaderboard_page", "model_card", "monitoring_page"}
    assert set(nodes) - set(CONTRACTS) == {"warehouse", "samples", "published_recommendations"} | pages


def test_every_asset_has_owner_group_kinds_description_freshness(nodes):
    for name, node in nodes.items():
        assert node.owners, name
        assert node.group_name in TEAMS, name
        assert node.kinds, name
        assert node.description, name
        assert node.freshness_policy is not None or name in KEPT_BY_HAND, name


def test_owner_is_folder_is_group_is_contract_owner(nodes):
    for name, node in nodes.items():
        assert list(node.owners) == [f"team:{node.group_name}"], name
        assert folder_of(name) == node.group_name, name
        if name in CONTRACTS:
            assert CONTRACTS[name].owner == node.group_name, name


def test_every_asset_has_a_check_and_every_table_its_blocking_contract_check(nodes, checks, graph):
    checked = {key.asset_key.path[-1] for key in checks}
    assert checked == set(nodes)
    blocking = {key.asset_key.path[-1] for key in checks if key.name == CONTRACT_CHECK and graph.get(key).blocking}
    assert blocking == {name for name in CONTRACTS if name not in ("landing_ledger", *KEPT_BY_HAND)}


def test_every_check_says_what_must_hold(checks, graph):
    for key in checks:
        assert graph.get(key).description, key
        assert key.name == key.name.lower(), key


def test_no_check_loads_partitions_outside_its_run(graph, nodes):
    """A check of a table by day runs in the table's own step; one that stands alone reads unpartitioned tables only."""
    definitions = {id(d): d for d in graph._assets_defs_by_check_key.values()}.values()
    alone = [definition for definition in definitions if not definition.keys]
    assert len(alone) == 6
    for definition in alone:
        for key in definition.keys_by_input_name.values():
            assert nodes[key.path[-1]].partitions_def is None, definition


def test_tables_by_day_are_requested_by_the_ingest_alone(nodes):
    for name, node in nodes.items():
        if node.partitions_def is not None:
            assert node.automation_condition is None, name
            assert node.backfill_policy == dg.BackfillPolicy.single_run(), name
            assert name in (*RAW_NAMES, *BY_DAY_NAMES)


def test_tables_without_days_share_one_automation_condition(nodes):
    conditions = {
        node.automation_condition
        for name, node in nodes.items()
        if node.partitions_def is None and node.is_materializable and "trasos/cadence" not in node.tags
    }
    assert len(conditions) == 1
    assert None not in conditions


def test_every_table_by_day_shares_one_definition_of_days(nodes):
    assert len({node.partitions_def for node in nodes.values() if node.partitions_def is not None}) == 1


def test_sensors_and_schedules_are_on_by_default():
    definitions = assembled()
    for sensor in definitions.sensors or ():
        assert sensor.default_status == dg.DefaultSensorStatus.RUNNING, sensor.name
    for schedule in definitions.schedules or ():
        assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING, schedule.name
    assert {sensor.name for sensor in definitions.sensors or ()} == {
        "landing_sensor",
        "automation_sensor",
        "retraining_sensor",
    }
    assert {schedule.name for schedule in definitions.schedules or ()} == {
        "daily_refresh",
        "daily_upkeep",
        "weekly_retraining",
        "weekly_samples",
    }


def test_lineage_leads_from_every_kpi_back_to_raw_events(graph, nodes):
    def ancestors(name: str) -> set[str]:
        found, queue = set(), [dg.AssetKey(name)]
        while queue:
            for parent in graph.get(queue.pop()).parent_keys:
                if parent.path[-1] not in found:
                    found.add(parent.path[-1])
                    queue.append(parent)
        return found

    for name, contract in CONTRACTS.items():
        if contract.owner in ("analytics", "science"):
            assert "raw_events" in ancestors(name), name
    assert "raw_events" in ancestors("kpi_dashboard")


def test_definitions_load_without_superseded_or_deprecated_api(tmp_path):
    code = (
        "import warnings, dagster as dg;"
        "warnings.filterwarnings('error', category=dg.SupersessionWarning);"
        "warnings.filterwarnings('error', category=DeprecationWarning, module='trasos_assets');"
        "warnings.filterwarnings('error', message='.*deprecated.*', category=DeprecationWarning, module='dagster');"
        "from trasos_assets.definitions import assembled; assembled().resolve_asset_graph()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_loading_the_definitions_imports_nothing_slow_that_only_a_run_needs():
    code = (
        "import sys; from trasos_assets.definitions import assembled; assembled().resolve_asset_graph();"
        "slow = ('pandera', 'scipy.stats', 'implicit', 'plotly', 'pandas', 'optuna', 'xgboost', 'psycopg');"
        "print([m for m in slow if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr[-2000:]


def spec_of(graph, node, checks) -> dict:
    """What a reviewer must see change: owner, group, tags, promises, checks, lineage."""
    name = node.key.path[-1]
    return {
        "owners": list(node.owners),
        "group": node.group_name,
        "kinds": sorted(node.kinds),
        "tags": {k: v for k, v in node.tags.items() if k.startswith("trasos/")},
        "days": node.partitions_def is not None,
        "automated": node.automation_condition is not None,
        "freshness": node.freshness_policy and node.freshness_policy.fail_window.to_timedelta().total_seconds() / 3600,
        "reads": sorted(parent.path[-1] for parent in node.parent_keys),
        "checks": {
            key.name: "blocking" if graph.get(key).blocking else "watching"
            for key in checks
            if key.asset_key.path[-1] == name
        },
    }


def test_specs_are_as_agreed(graph, nodes, checks):
    """A lost owner or check shows in review. To agree on a change: UPDATE_SPECS=1 pytest, and commit specs.json."""
    found = {name: spec_of(graph, node, checks) for name, node in sorted(nodes.items())}
    text = json.dumps(found, indent=1, sort_keys=True) + "\n"
    if os.environ.get("UPDATE_SPECS"):
        SNAPSHOT.write_text(text)
    assert json.loads(SNAPSHOT.read_text()) == json.loads(text)
