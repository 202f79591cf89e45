"""`trasos quarantine` counts, shows without giving people away, and refuses in words; replaying is in defs/."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from trasos_assets.cli import app
from trasos_assets.contracts.engineering import LANDING_LEDGER, QUARANTINED_EVENTS, QUARANTINED_RECORDS
from trasos_assets.contracts.model import Contract
from trasos_assets.lake.engine import open_lake
from trasos_assets.landing.quarantine import without_personal_data
from trasos_assets.landing.releases import read_releases
from trasos_assets.settings import get_settings
from trasos_assets_tests.conftest import make_table

MONDAY, TUESDAY = date(2026, 3, 9), date(2026, 3, 10)
EVIL = "events/dt=2026-03-09/\x1b[31mred\x1b[0m.jsonl"
Trasos = Callable[..., Result]


def refused(day: date, number: int, reasons: str, raw: str, file: str = "aaaaaaaa11111111") -> dict[str, Any]:
    return {"day": day, "file_hash": file, "line": number, "reasons": reasons, "raw": raw}


EVENT = {
    "event_id": "e1",
    "event_type": "page_view",
    "visitor_id": "visitor-7",
    "item_id": "i1",
    "quantity": "anna@example.org",
    "nickname": "anna",
    "device": {"owner": "anna"},
}
EVENTS = [
    refused(MONDAY, 1, "too_late", json.dumps(EVENT | {"quantity": 2})),
    refused(MONDAY, 2, "invalid_quantity,too_late", json.dumps(EVENT)),
    refused(TUESDAY, 1, "malformed", 'anna@example.org\x1b]0;title\x07 [red]"', "bbbbbbbb22222222"),
    refused(TUESDAY, 2, "too_late", json.dumps(EVENT | {"quantity": None}), "bbbbbbbb22222222"),
]
RECORDS = [refused(TUESDAY, 1, "malformed", "{", "cccccccc33333333") | {"dataset": "catalogue"}]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TRASOS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    get_settings.cache_clear()
    yield tmp_path
    monkeypatch.undo()
    get_settings.cache_clear()


@pytest.fixture
def trasos(data: Path) -> Trasos:
    """The command on a lake with four refused events and one refused record."""
    store = open_lake()

    def write(contract: Contract, rows: list[dict[str, Any]], days: list[date] | None = None) -> None:
        store.write(contract, make_table(store.backend, contract, rows), days)

    write(QUARANTINED_EVENTS, EVENTS, [MONDAY, TUESDAY])
    write(QUARANTINED_RECORDS, RECORDS, [TUESDAY])
    paths = {"aaaaaaaa11111111": EVIL, "bbbbbbbb22222222": "events/dt=2026-03-10/b.jsonl"}
    seen = {"dataset": "events", "received_day": MONDAY, "size": 1, "signature": "s", "state": "accepted"}
    rows = [
        seen | {"delivery": delivery, "path": path, "first_seen_at": datetime(2026, 3, 10)}
        for delivery, path in paths.items()
    ]
    write(LANDING_LEDGER, rows)
    return lambda *arguments: CliRunner().invoke(app, ["quarantine", *arguments])


def test_an_empty_quarantine_is_said_to_be_empty(data: Path) -> None:
    done = CliRunner().invoke(app, ["quarantine", "list"])
    assert (done.exit_code, done.stdout) == (0, "The quarantine is empty.\n")


def test_lines_are_counted_by_reason_file_and_day_and_under_each_of_their_reasons(trasos: Trasos) -> None:
    counted = json.loads(trasos("list", "--format", "json").stdout)
    assert [(row["dataset"], row["reason"], row["lines"]) for row in counted["reason"]] == [
        ("events", "too_late", 3),
        ("catalogue", "malformed", 1),
        ("events", "invalid_quantity", 1),
        ("events", "malformed", 1),
    ]
    assert (counted["reason"][0]["first_day"], counted["reason"][0]["last_day"]) == (str(MONDAY), str(TUESDAY))
    assert {row["file_hash"]: row["lines"] for row in counted["file"]} == {
        "aaaaaaaa11111111": 2,
        "bbbbbbbb22222222": 2,
        "cccccccc33333333": 1,
    }
    assert [(row["day"], row["dataset"], row["lines"]) for row in counted["day"]] == [
        (str(MONDAY), "events", 2),
        (str(TUESDAY), "catalogue", 1),
        (str(TUESDAY), "events", 2),
    ]


def test_counts_can_be_limited_to_days_and_a_data_set(trasos: Trasos) -> None:
    def reasons(*arguments: str) -> dict[str, int]:
        text = trasos("list", "--by", "reason", "--format", "csv", *arguments).stdout
        return {row["reason"]: int(row["lines"]) for row in csv.DictReader(io.StringIO(text))}

    assert reasons("--until", str(MONDAY)) == {"too_late": 2, "invalid_quantity": 1}
    assert reasons("--since", str(TUESDAY), "--dataset", "events") == {"malformed": 1, "too_late": 1}
    assert reasons("--dataset", "catalogue") == {"malformed": 1}


def test_what_strangers_wrote_moves_no_cursor_and_is_no_markup(trasos: Trasos) -> None:
    for arguments in (("list",), ("list", "--by", "file", "--format", "csv"), ("show", "--personal"), ("show",)):
        printed = trasos(*arguments).stdout
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", printed), arguments
    assert "\\x1b[31mred" in trasos("show").stdout
    assert '[red]"' in trasos("show", "--personal").stdout


def test_lines_are_shown_without_what_is_personal_or_could_not_be_read(trasos: Trasos) -> None:
    printed = trasos("show").stdout
    assert "anna" not in printed
    assert "visitor-7" not in printed
    assert '"item_id": "i1"' in printed
    assert '"quantity": 2' in printed
    assert "and 1 unknown fields" in printed


def test_the_lines_themselves_are_shown_on_request(trasos: Trasos) -> None:
    printed = trasos("show", "--personal", "--reason", "invalid_quantity").stdout
    assert "anna@example.org" in printed
    assert printed.count("\n") == 2


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["--reason", "too_late"], 3),
        (["--reason", "late"], 0),
        (["--day", str(TUESDAY)], 3),
        (["--file", "bbbbbb"], 2),
        (["--file", "landing/events/dt=2026-03-10/b.jsonl", "--reason", "malformed"], 1),
        (["--dataset", "catalogue"], 1),
        (["--limit", "2"], 2),
    ],
)
def test_lines_are_chosen_by_reason_day_file_and_data_set(trasos: Trasos, arguments: list[str], lines: int) -> None:
    done = trasos("show", "--format", "json", *arguments)
    assert (len(json.loads(done.stdout)) if lines else done.exit_code) == (lines or 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["list", "--format", "csv"], "add --by"),
        (["list", "--dataset", "returns"], "unknown data set 'returns'"),
        (["list", "--since", str(TUESDAY), "--until", str(MONDAY)], "is after --until"),
        (["show", "--file", "no/such.jsonl"], "the ledger knows no file"),
        (["show", "--file", "events"], "the ledger knows no file"),
        (["replay", "--reason", "to_late", "--since", str(MONDAY)], "there are lines for invalid_quantity, malformed"),
        (["replay", "--reason", "malformed", "--since", str(MONDAY), "--until", str(MONDAY)], "too_late"),
        (["replay", "--reason", "malformed", "--since", str(MONDAY), "--waive"], "malformed may not be waived"),
        (["replay", "--reason", "too_late", "--since", str(MONDAY), "--file", "x"], "the ledger knows no file"),
        (["replay", "--reason", "too_late", "--since", "2099-01-01"], "no day lies from 2099-01-01"),
        (["replay", "--reason", "too_late", "--since", str(MONDAY), "--by", " "], "name who releases"),
        (
            ["replay", "--reason", "x", "--dataset", "catalogue", "--since", str(MONDAY), "--waive"],
            "only rules",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_in_words_and_nothing_is_recorded(
    trasos: Trasos, arguments: list[str], said: str
) -> None:
    done = trasos(*arguments)
    assert done.exit_code == 1
    assert said in done.stderr
    assert read_releases(open_lake()) == []


@pytest.mark.parametrize("day", ["yesterday", "2026-13-01", "09.03.2026"])
def test_a_day_that_is_none_is_refused(trasos: Trasos, day: str) -> None:
    assert trasos("replay", "--reason", "too_late", "--since", day).exit_code == 2


@pytest.mark.parametrize("raw", ["[" * 100_000, "null", '"text"', "{", "", '{"item_id": ' + "9" * 10_000 + "}"])
def test_a_hostile_line_is_shown_as_its_hash(raw: str) -> None:
    shown = without_personal_data({"dataset": "events", "reasons": "malformed", "raw": raw})
    assert re.fullmatch(r"#[0-9a-f]{8} \([0-9,]+ characters\)", shown)
