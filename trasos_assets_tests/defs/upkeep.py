"""Upkeep of a small lake in one process, from the command; prints what was seen after each step as JSON.

Run with the data folder, whose landing/ is filled. The contracts' keep_days are cut down to the size of the lake.
"""

from __future__ import annotations

import gzip
import json
import sys
import warnings
from datetime import date, timedelta
from pathlib import Path
from typing import Any

KEEP_DAYS = {"raw_events": 12, "quarantined_events": 12, "event_keys": 30}


def main(data: Path) -> None:
    warnings.filterwarnings("ignore")
    import dagster as dg
    from typer.testing import CliRunner

    from trasos_assets.cli import app
    from trasos_assets.contracts import CONTRACTS
    from trasos_assets.contracts.storage import CONTRACTS as BOOKS
    from trasos_assets.definitions import assembled
    from trasos_assets.defs.operations.instance import open_instance
    from trasos_assets.lake.engine import open_lake
    from trasos_assets.settings import get_settings
    from trasos_assets_tests.defs.hashing import published_hashes

    for name, days in KEEP_DAYS.items():
        object.__setattr__(CONTRACTS[name], "keep_days", days)
    settings, runner = get_settings(), CliRunner()
    store = open_lake(settings)
    seen: dict[str, Any] = {}

    def trasos(*arguments: str) -> dict[str, Any]:
        done = runner.invoke(app, list(arguments))
        return {"code": done.exit_code, "out": done.stdout, "err": done.stderr}

    def step(name: str, *arguments: str) -> None:
        seen[name] = trasos(*arguments) | {"hashes": published_hashes(data)}

    def rows(name: str) -> list[dict[str, Any]]:
        return store.read(CONTRACTS[name]).to_pyarrow().to_pylist()

    step("first", "run")
    step("looked", "storage", "retain")
    step("planned", "storage", "retain", "--yes")
    step("removed", "storage", "retain", "--yes")
    step("nothing new", "run")
    days = store.days(CONTRACTS["clean_events"])
    step("built again", "run", "--from", str(days[0]), "--to", str(days[-1]))
    step("refused", "run", "--from", str(days[0]), "--to", str(days[1]))
    over = {"dagster/asset_partition_range_start": str(days[0]), "dagster/asset_partition_range_end": str(days[3])}
    forced = assembled().resolve_job_def("ingest_days")
    done = forced.execute_in_process(
        instance=open_instance(settings),
        asset_selection=[dg.AssetKey("event_keys")],
        tags=over,
        raise_on_error=False,
    )
    said = [event.step_failure_data.error.to_string() for event in done.all_events if event.is_step_failure]
    seen["forced"] = {"success": done.success, "said": said, "hashes": published_hashes(data)}
    late = settings.landing_dir / "events" / f"dt={days[0]}" / "late.jsonl.gz"
    late.write_bytes(gzip.compress(b'{"event_id": "late"}\n'))
    step("late file", "run")
    late.unlink()

    step("would compact", "storage", "compact", "--format", "json")
    step("compacted", "storage", "compact", "--yes")
    seen["bundles"] = sorted(str(path.relative_to(data)) for path in (data / "landing" / ".archive").rglob("*.tar"))
    kept = store.days(CONTRACTS["raw_events"])[0]
    seen["lost"] = str(kept)
    store.remove(CONTRACTS["raw_events"], kept)
    step("from the bundle", "run")
    step("restored", "storage", "restore", "--all")
    seen["left in bundles"] = [str(path) for path in (data / "landing" / ".archive").rglob("*.tar")]
    step("after restoring", "run")

    for number in range(2):
        job = assembled().resolve_job_def("storage_upkeep")
        done = job.execute_in_process(instance=open_instance(settings), raise_on_error=False)
        checks = {f"{c.asset_key.path[-1]}.{c.check_name}": c.passed for c in done.get_asset_check_evaluations()}
        seen[f"upkeep {number}"] = {"success": done.success, "checks": checks}
        seen[f"books {number}"] = {contract.name: rows(contract.name) for contract in BOOKS}
    sizes = {name: store.bytes_by_day(contract) for name, contract in CONTRACTS.items()}
    seen["bytes"] = {name: sum(found.values()) for name, found in sizes.items()}
    step("report", "storage", "report", "--format", "json")
    seen["days"] = [str(day) for day in days]
    seen["sealed"] = [str(day) for day in days if day <= days[-1] - timedelta(days=KEEP_DAYS["raw_events"])]
    seen["today"] = str(date.today())
    print(json.dumps(seen, default=str))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
