"""`trasos publish` says what stands where, and in words what is missing; a password shows nowhere."""

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner, Result

from trasos_assets.cli import app
from trasos_assets.contracts.engineering import WATERMARK
from trasos_assets.contracts.serving import ALSO_BOUGHT, RECOMMENDATIONS, SIMILAR_ITEMS, SUBSTITUTES
from trasos_assets.defs.science.publishing import published_recommendations
from trasos_assets.lake.engine import Lake, open_lake
from trasos_assets.settings import get_settings
from trasos_assets_tests.conftest import make_table
from trasos_assets_tests.publishing import postgres_server

Trasos = Callable[..., Result]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("DIR", "POSTGRES", "SCHEMA", "KEEP"):
        monkeypatch.delenv(f"TRASOS_PUBLISH_{name}", raising=False)
    monkeypatch.setenv("TRASOS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    get_settings.cache_clear()
    yield tmp_path / "data"
    monkeypatch.undo()
    get_settings.cache_clear()


@pytest.fixture
def lake(data: Path) -> Path:
    store = open_lake()
    day = date(2026, 1, 11)
    row = {"person_id": "person-of-the-test", "rank": 1, "item_id": "i1", "source": "model", "reason": "your_taste"}
    tables = {
        WATERMARK: [{"first_day": date(2026, 1, 5), "data_through": day}],
        RECOMMENDATIONS: [row | {"score": 0.5, "model_version": "v", "as_of": day, "because_item_id": None}],
        SIMILAR_ITEMS: [],
        ALSO_BOUGHT: [],
        SUBSTITUTES: [],
    }
    for contract, rows in tables.items():
        store.write(contract, make_table(store.door, contract, rows))
    return data


def trasos(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_it_publishes_once_and_says_so(lake: Path) -> None:
    first, again = trasos("publish"), trasos("publish")
    assert first.exit_code == again.exit_code == 0, first.output
    assert first.output.startswith("published: version 20260111-") and "1 recommendations" in first.output
    assert again.output.startswith("stands already: version 20260111-")
    assert (lake / "published" / "current.json").exists()


def test_without_a_lake_or_its_tables_it_says_what_to_run(data: Path) -> None:
    assert "run `trasos run` first" in trasos("publish").stderr
    store = open_lake()
    rows = [{"first_day": date(2026, 1, 5), "data_through": date(2026, 1, 11)}]
    store.write(WATERMARK, make_table(store.door, WATERMARK, rows))
    refused = trasos("publish")
    assert (
        refused.exit_code == 1
        and "also_bought, recommendations, similar_items, substitutes were never" in refused.stderr
    )


def test_the_asset_publishes_and_checks_what_it_published(lake: Path) -> None:
    done = dg.materialize(
        [published_recommendations], resources={"lake": Lake()}, instance=dg.DagsterInstance.ephemeral()
    )
    assert done.success
    assert [(e.check_name, e.passed) for e in done.get_asset_check_evaluations()] == [
        ("published_version_is_whole", True)
    ]
    assert "stands already" in trasos("publish").output


def test_a_database_that_is_not_there_is_named_without_its_password(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("psycopg", reason="pip install 'trasos-assets[postgres]'")
    monkeypatch.setenv("TRASOS_PUBLISH_POSTGRES", "postgresql://shop:hush-hush@127.0.0.1:1/shop")
    get_settings.cache_clear()
    refused = trasos("publish")
    assert refused.exit_code == 1 and "PostgreSQL cannot be reached" in refused.stderr
    assert "hush-hush" not in refused.output + refused.stderr + repr(get_settings())
    assert (lake / "published" / "current.json").exists(), "the files stand whatever the database does"


@pytest.mark.skipif(postgres_server.why_not() is not None, reason=postgres_server.why_not() or "")
def test_it_publishes_to_postgresql(lake: Path) -> None:
    import psycopg

    with postgres_server.server() as dsn:
        first, again = trasos("publish", "--postgres", dsn), trasos("publish", "--postgres", dsn)
        assert "PostgreSQL, schema trasos: swapped in" in first.output, first.output + first.stderr
        assert "PostgreSQL, schema trasos: shows it already" in again.output
        with psycopg.connect(dsn) as connection:
            rows = connection.execute("SELECT person_id, rank, because_item_id FROM trasos.recommendations").fetchall()
    assert rows == [("person-of-the-test", 1, None)]
