"""Lines of people who were forgotten are told from all others in every format, and by nobody without the key."""

import json
from datetime import datetime
from pathlib import Path

import pytest

from trasos_assets.contracts.erasure import SUPPRESSIONS
from trasos_assets.contracts.landing import ASSIGNMENT, EVENT
from trasos_assets.erasure.keys import ErasureKey, key_of
from trasos_assets.erasure.people import ErasureError, People
from trasos_assets.erasure.suppression import Suppressed, is_suppressed, read_suppressed, suppress
from trasos_assets.lake.store import LakeStore
from trasos_assets_tests.erasure.files import event, write
from trasos_assets_tests.erasure.test_rewrite import LIMIT, SUFFIXES

KEY = ErasureKey("a secret of sixteen or more")
PEOPLE = People(2, customers=("c1", "17850"), visitors=("v1", "a long visitor"), leading=("s1", "o1"))
AT = datetime(2026, 3, 10)


@pytest.fixture
def suppressed(store: LakeStore) -> Suppressed:
    suppress(store, KEY, PEOPLE, events=["e7"], erasure="abc", reason="asked", at=AT)
    found = read_suppressed(store, lambda: KEY)
    assert found is not None
    return found


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_lines_that_hold_an_id_of_theirs_are_found_in_every_format(
    tmp_path: Path, suppressed: Suppressed, suffix: str
) -> None:
    rows = [
        event(0, visitor="v2"),
        event(1, visitor="v1"),
        event(2, visitor="v2", customer="c1"),
        event(3, customer="17850"),
        event(4, visitor="v2", item_id="17850", quantity=17850),
        event(5, visitor="v11", customer="c10", session_id="s1", order_id="o1"),
        event(6, session_id="s1"),
        event(7, visitor="v2"),
        event(8, visitor="a long visitor"),
    ]
    path = write(tmp_path / f"events.{suffix}", rows, EVENT)
    first = 2 if "csv" in suffix else 1
    assert [n - first for n in suppressed.lines(path, EVENT, max_bytes=LIMIT)] == [1, 2, 3, 6, 7, 8]


def test_ids_are_found_in_lines_that_cannot_be_read_and_in_fields_that_nobody_knows(
    tmp_path: Path, suppressed: Suppressed
) -> None:
    lines = [
        '{"event_id": "x", "visitor_id": "v1", "quantity": ',
        '{"event_id": "x", "visitor_id": "v2", "quantity": "17850", ',
        '{"event_id": "x", "customer_id": 17850, ',
        json.dumps({"event_id": "y", "visitor_id": "v2", "account": {"owner": ["c1"]}}),
        json.dumps({"event_id": "y", "visitor_id": "v2", "note": "17850 pieces of c10"}),
        json.dumps({"event_id": "y", "visitor_id": {"id": "v1"}}),
        '{"event_id":"z","visitor_id":"v1","visitor_id":"v2"}',
        "nothing at all, but s1",
        "nothing at all",
    ]
    path = tmp_path / "events.jsonl"
    path.write_text("\n".join(lines))
    assert suppressed.lines(path, EVENT, max_bytes=LIMIT) == [1, 3, 4, 6, 7, 8]


def test_units_of_experiments_are_found(tmp_path: Path, suppressed: Suppressed) -> None:
    path = tmp_path / "a.jsonl"
    units = ("v1", "v2", "c1")
    line = {"experiment": "e", "arm": "control", "assigned_at": "2026-03-09T10:00:00Z"}
    path.write_text("".join(json.dumps(line | {"unit_id": unit}) + "\n" for unit in units))
    assert suppressed.lines(path, ASSIGNMENT, max_bytes=LIMIT) == [1, 3]


def test_nobody_is_suppressed_and_no_key_is_asked_for_where_nobody_was_forgotten(store: LakeStore) -> None:
    def asked() -> ErasureKey:
        raise AssertionError("the key was asked for")

    assert read_suppressed(store, asked) is None


def test_the_table_holds_no_id_and_repeats_nothing(store: LakeStore, suppressed: Suppressed) -> None:
    assert suppress(store, KEY, PEOPLE, events=["e7"], erasure="def", reason=None, at=AT) == 0
    told = store.file(SUPPRESSIONS).read_bytes()
    assert b"a long visitor" not in told
    rows = store.read(SUPPRESSIONS).to_pyarrow().to_pylist()
    assert len(rows) == len(PEOPLE.ids) + 1 + len(PEOPLE.leading)
    assert is_suppressed(store, lambda: KEY, ["c1", "c2"]) == {"c1"}


@pytest.mark.parametrize("key", [None, ErasureKey("another secret altogether")])
def test_without_the_key_nothing_lands_rather_than_somebody_coming_back(
    store: LakeStore, suppressed: Suppressed, key: ErasureKey | None
) -> None:
    with pytest.raises(ErasureError, match="TRASOS_ERASURE_KEY"):
        read_suppressed(store, lambda: key)


def test_the_key_is_made_once_and_read_by_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "below" / "erasure.key"
    assert key_of(None, file, make=False) is None
    made = key_of(None, file, make=True)
    assert made is not None
    assert key_of(None, file, make=True) == made
    assert file.stat().st_mode & 0o777 == 0o600
    assert made.secret not in repr(made)
    file.chmod(0o644)
    with pytest.raises(ErasureError, match="chmod 600"):
        key_of(None, file, make=True)
    with pytest.raises(ErasureError, match="16 characters"):
        key_of("short", file, make=True)
