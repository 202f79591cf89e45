"""`trasos forget` says what would go, changes nothing without --yes, and refuses in words; the rest is in erasure/."""

import json
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from trasos_assets.cli import app
from trasos_assets.contracts.engineering import CLEAN_EVENTS, IDENTITIES, RAW_EVENTS
from trasos_assets.erasure.journal import Journal, journal_file, refuse_unfinished, unfinished
from trasos_assets.erasure.people import ErasureError, People, Stay
from trasos_assets.lake.engine import open_lake
from trasos_assets.settings import get_settings
from trasos_assets.trust.identity import BEGINNING, END
from trasos_assets_tests.conftest import make_table

DAY = date(2026, 3, 9)
NOON = datetime(2026, 3, 9, 12)
Trasos = Callable[..., Result]


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
    """A lake of one customer with a visitor, and another person; what landed is there too."""
    store = open_lake(get_settings())
    rows = [
        {
            "day": DAY,
            "event_id": f"e{number}",
            "event_type": "page_view",
            "occurred_at": NOON,
            "received_at": NOON,
            "visitor_id": visitor,
            "customer_id": customer,
        }
        for number, (visitor, customer) in enumerate((("v1", "c1"), ("v1", None), ("v2", None)))
    ]
    raw = [row | {"file_hash": "f", "line": number + 1} for number, row in enumerate(rows)]
    clean = [row | {"session_id": f"s{number}"} for number, row in enumerate(rows)]
    who = {"visitor_id": "v1", "customer_id": "c1"}
    whole = {"valid_from": datetime.fromisoformat(BEGINNING), "valid_to": datetime.fromisoformat(END)}
    store.write(RAW_EVENTS, make_table(store.backend, RAW_EVENTS, raw), [DAY])
    store.write(CLEAN_EVENTS, make_table(store.backend, CLEAN_EVENTS, clean), [DAY])
    store.write(IDENTITIES, make_table(store.backend, IDENTITIES, [who | whole]))
    landed = data / "landing" / "events" / f"dt={DAY}"
    landed.mkdir(parents=True)
    lines = ({k: v for k, v in row.items() if isinstance(v, str) and k != "day"} for row in rows)
    (landed / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


def contents(data: Path) -> dict[str, bytes]:
    return {str(p.relative_to(data)): p.read_bytes() for p in data.rglob("*") if p.is_file() and ".locks" not in str(p)}


@pytest.mark.parametrize("name", ["c1", "v1"])
def test_without_yes_it_says_what_would_go_and_changes_nothing(data: Path, trasos: Trasos, name: str) -> None:
    before = contents(data)
    told = trasos("forget", name)
    assert told.exit_code == 0, told.output
    for part in (
        "1 people: 1 customer ids, 1 visitor ids",
        "raw_events: 2 rows",
        "clean_events: 2 rows",
        "identities: 1 rows",
        "2 lines in 1 files",
        "nothing was changed",
    ):
        assert part in told.output
    assert contents(data) == before
    assert not get_settings().erasure_key_file.exists(), "a key without an erasure"


def test_names_come_from_arguments_and_a_file_and_each_counts_once(
    data: Path, trasos: Trasos, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("asked") / "people.txt"
    file.write_text("v2\n\n  c1  \n")
    assert "2 people: 1 customer ids, 2 visitor ids" in trasos("forget", "c1", "v1", "--file", str(file)).output
    file.write_bytes(b"\xff\xfe")
    refused = trasos("forget", "--file", str(file))
    assert refused.exit_code == 1
    assert "as UTF-8" in refused.output


def test_a_name_that_nobody_has_is_told_and_no_success(trasos: Trasos) -> None:
    told = trasos("forget", "c1", "nobody-at-all")
    assert told.exit_code == 1
    assert "nobody in this lake: nobody-at-all" in told.output
    assert "1 people" in told.output


def test_what_cannot_be_done_is_refused_with_the_fix(trasos: Trasos) -> None:
    assert "name a person" in trasos("forget").output
    assert "leave the id out of it" in trasos("forget", "c1", "--reason", "c1 asked", "--yes").output
    assert trasos("forget", "c1", "--reason", "c1 asked", "--yes").exit_code == 1


def test_a_folder_without_a_lake_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRASOS_DATA_DIR", str(tmp_path / "empty"))
    get_settings.cache_clear()
    told = CliRunner().invoke(app, ["forget", "c1"])
    get_settings.cache_clear()
    assert told.exit_code == 1
    assert "there is no lake" in told.output


def test_an_erasure_under_way_is_kept_for_its_owner_and_holds_off_everything_else(trasos: Trasos) -> None:
    store = open_lake(get_settings())
    stay = Stay("v2", NOON, NOON)
    journal = Journal(
        file=journal_file(store, "abc"),
        erasure="abc",
        people=People(1, ("c1",), ("v1",), (stay,), ("s1",)),
        names=("c1",),
        reason=None,
        started_at=NOON,
        days=[DAY],
        renamed={"f": {"delivery": "g"}},
    )
    refuse_unfinished(store)
    journal.save()
    assert journal.file.stat().st_mode & 0o777 == 0o600
    assert unfinished(store) == [journal]
    with pytest.raises(ErasureError, match="trasos forget --resume"):
        refuse_unfinished(store)
    journal.close()
    assert unfinished(store) == []
    refuse_unfinished(store)
