"""`trasos sample` says what it made, and in words what it will not make; the asset makes the same."""

import json
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner, Result

from trasos_assets.cli import app
from trasos_assets.contracts.engineering import IDENTITIES, WATERMARK
from trasos_assets.contracts.model import Contract
from trasos_assets.contracts.science import CUSTOMER_FEATURES
from trasos_assets.defs.engineering.samples import samples
from trasos_assets.lake.engine import Lake, open_lake
from trasos_assets.settings import get_settings
from trasos_assets_tests.conftest import make_table

Trasos = Callable[..., Result]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TRASOS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("TRASOS_SAMPLE_SHARE", "0.5")
    monkeypatch.delenv("TRASOS_SAMPLE_KEY", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    get_settings.cache_clear()
    yield tmp_path / "data"
    monkeypatch.undo()
    get_settings.cache_clear()


@pytest.fixture
def lake(data: Path) -> Path:
    store = open_lake()

    def put(contract: Contract, rows: list[dict]) -> None:
        store.write(contract, make_table(store.door, contract, rows))

    people = [f"person-{number}" for number in range(40)]
    put(WATERMARK, [{"first_day": date(2026, 1, 5), "data_through": date(2026, 1, 11)}])
    put(CUSTOMER_FEATURES, [{"person_id": person, "is_customer": False} for person in people])
    put(IDENTITIES, [{"visitor_id": f"v-{person}", "customer_id": person} for person in people])
    return data


def trasos(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["sample", *map(str, arguments)])


def test_it_says_how_many_people_and_where(lake: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    done = trasos("--out", out)
    assert done.exit_code == 0, done.output
    found = json.loads((out / "fidelity.json").read_text())
    people = found["people"]["count_sample"]
    assert 10 <= people <= 30
    assert f"{people} of 40 people, " in done.output
    assert str(out / "fidelity.html") in done.output
    assert (lake / "sample.key").exists()
    again = trasos("--out", out, "--share", 1, "--tables", "identities, science.customer_features")
    assert again.exit_code == 0, again.output
    assert "40 of 40 people, 80 rows in 2 tables" in again.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--share", "2"), "the share 2.0 is not above 0 and at most 1"),
        (("--share", "0"), "the share 0.0 is not above 0"),
        (("--tables", "custmer_features"), "did you mean customer_features"),
        (("--tables", ","), "no table is named"),
        (("--tables", "suppressions"), "nothing of it is handed out"),
    ],
)
def test_what_cannot_be_is_refused_in_words(lake: Path, tmp_path: Path, arguments: tuple, message: str) -> None:
    done = trasos("--out", tmp_path / "mine", *arguments)
    assert done.exit_code == 1
    assert message in done.output
    assert not (tmp_path / "mine").exists()


def test_somebodys_folder_is_not_replaced(lake: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    done = trasos("--out", tmp_path / "thesis")
    assert done.exit_code == 1
    assert "holds something that is no sample" in done.output
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter.txt"]


def test_without_a_lake_it_says_what_to_do_and_makes_nothing(data: Path, tmp_path: Path) -> None:
    done = trasos("--out", tmp_path / "mine")
    assert done.exit_code == 1
    assert "run `trasos run` first" in done.output
    assert not data.exists()


def test_a_short_key_is_refused_without_showing_it(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRASOS_SAMPLE_KEY", "tooshort")
    get_settings.cache_clear()
    done = trasos("--out", tmp_path / "mine")
    assert done.exit_code == 1
    assert "TRASOS_SAMPLE_KEY needs at least 16 characters" in done.output
    assert "tooshort" not in done.output


def test_the_asset_takes_the_sample_of_the_settings_into_the_data_folder(lake: Path) -> None:
    done = dg.materialize([samples], resources={"lake": Lake()})
    assert done.success
    assert (lake / "samples" / "sample.duckdb").exists()
    (found,) = done.asset_materializations_for_node("samples")
    assert found.metadata["share"].value == 0.5
    assert 10 <= found.metadata["people"].value <= 30  # pyright: ignore[reportOperatorIssue]
    (check,) = done.get_asset_check_evaluations()
    assert check.passed
    assert dg.materialize([samples], resources={"lake": Lake()}).success
    assert [path.name for path in lake.glob("*samples*")] == ["samples"]
