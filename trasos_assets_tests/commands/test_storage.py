"""`trasos storage` says in words what cannot be done; what it does is in defs/test_storage.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from trasos_assets.cli import app
from trasos_assets.commands.storage import in_words
from trasos_assets.settings import get_settings

Trasos = Callable[..., Result]


@pytest.fixture
def trasos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trasos]:
    monkeypatch.setenv("TRASOS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str, **settings: str) -> Result:
        for name, value in settings.items():
            monkeypatch.setenv(f"TRASOS_{name.upper()}", value)
        get_settings.cache_clear()
        return CliRunner().invoke(app, ["storage", *arguments])

    yield run
    monkeypatch.undo()
    get_settings.cache_clear()


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (None, "–"),
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (1_550_000, "1.6 MB"),
        (-2_500, "-2.5 kB"),
        (10**15, "1.0 PB"),
    ],
)
def test_bytes_are_said_as_people_read_them(size: int | None, words: str) -> None:
    assert in_words(size) == words


def test_an_empty_lake_has_nothing_to_retain_or_compact(trasos: Trasos) -> None:
    assert "nothing is older than it is kept" in trasos("retain").stdout
    assert "nothing to compact" in trasos("compact").stdout


@pytest.mark.parametrize("arguments", [("retain",), ("retain", "--yes")])
def test_retention_that_is_off_is_not_carried_out_by_hand_either(arguments: tuple[str, ...], trasos: Trasos) -> None:
    done = trasos(*arguments, retention="off")
    assert (done.exit_code, "TRASOS_RETENTION is off" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "say --dataset"),
        (("--all", "--dataset", "events"), "say --dataset"),
        (("--day", "2026-01-01"), "--day needs --dataset"),
        (("--dataset", "clicks"), "unknown data set 'clicks'"),
        (("--dataset", "events"), "no such bundle"),
    ],
)
def test_what_cannot_be_restored_is_said(arguments: tuple[str, ...], said: str, trasos: Trasos) -> None:
    done = trasos("restore", *arguments)
    assert (done.exit_code, said in done.stderr) == (1, True), done.stderr


def test_a_price_or_mode_that_cannot_be_names_its_setting(trasos: Trasos) -> None:
    assert "TRASOS_RETENTION" in trasos("retain", retention="sometimes").stderr
    assert "TRASOS_PRICE_GB_MONTH" in trasos("report", retention="on", price_gb_month="-1").stderr


def test_a_column_read_outside_that_no_contract_has_ends_the_report_in_words(trasos: Trasos) -> None:
    done = trasos("report", read_outside="orders.colour")
    assert (done.exit_code, "TRASOS_READ_OUTSIDE names 'orders.colour'" in done.stderr) == (1, True)
