"""The book of releases: nothing that was recorded is lost, and what cannot be released is refused in words."""

import threading
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from trasos_assets.contracts.engineering import QUARANTINE_RELEASES
from trasos_assets.contracts.schema import violations
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing.releases import (
    lateness_waivers,
    make_release,
    pending_releases,
    read_releases,
    record_release,
    settle_releases,
    waiting_in_words,
)
from trasos_assets.trust.releases import Release, ReleaseError
from trasos_assets_tests.conftest import new_backend

NOW = datetime(2026, 3, 20, 23, 30, tzinfo=UTC)


def asked(**changes: Any) -> Release:
    given = {
        "dataset": "events",
        "reason": "too_late",
        "since": date(2026, 3, 1),
        "until": None,
        "file_hash": None,
        "waived": True,
        "released_by": "ana",
        "note": None,
        "timezone": "UTC",
        "now": NOW,
    }
    return make_release(**(given | changes))


def test_a_release_ends_with_the_day_on_which_it_is_made(store: LakeStore) -> None:
    assert asked().until == asked(until=date(2027, 1, 1)).until == date(2026, 3, 20)
    assert asked(until=date(2026, 3, 5)).until == date(2026, 3, 5)
    assert asked(timezone="Europe/Berlin").released_on == date(2026, 3, 21)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dataset": "returns"}, "unknown data set 'returns'; there are events, catalogue"),
        ({"since": date(2026, 3, 21)}, "no day lies from 2026-03-21 to 2026-03-20"),
        ({"since": date(2026, 3, 9), "until": date(2026, 3, 8)}, "no day lies from 2026-03-09 to 2026-03-08"),
        ({"released_by": "  "}, "name who releases the lines"),
        ({"reason": "malformed"}, "malformed may not be waived"),
        ({"dataset": "catalogue", "reason": "negative_price"}, "only rules of events may be waived"),
    ],
)
def test_what_cannot_be_released_is_refused_in_words(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ReleaseError, match=said):
        asked(**changes)


def test_what_is_recorded_is_read_back_and_keeps_the_contract(store: LakeStore) -> None:
    first, second = asked(), asked(reason="malformed", waived=False, file_hash="f1", note="mended")
    for release in (first, second):
        assert record_release(store, release) == release
    assert sorted(read_releases(store), key=lambda r: r.reason) == [second, first]
    assert violations(QUARANTINE_RELEASES, store.read(QUARANTINE_RELEASES)) == []
    assert lateness_waivers(store) == [first]


def test_releases_are_found_by_data_set_and_days(store: LakeStore) -> None:
    early = record_release(store, asked(until=date(2026, 3, 4)))
    late = record_release(store, asked(since=date(2026, 3, 10)))
    other = record_release(store, asked(dataset="catalogue", waived=False, reason="malformed"))
    assert read_releases(store, dataset="catalogue") == [other]
    assert read_releases(store, dataset="events", first=date(2026, 3, 4), last=date(2026, 3, 9)) == [early]
    assert read_releases(store, dataset="events", first=date(2026, 3, 5), last=date(2026, 3, 9)) == []
    assert read_releases(store, dataset="events", first=date(2026, 3, 20)) == [late]


def test_one_that_still_waits_is_not_recorded_twice_and_one_that_was_carried_out_is(store: LakeStore) -> None:
    first = record_release(store, asked())
    again = asked(now=datetime(2026, 3, 21, tzinfo=UTC), until=date(2026, 3, 20))
    assert record_release(store, again) == first
    settle_releases(store, {first.release_id})
    assert pending_releases(store) == []
    assert record_release(store, again) == again
    assert [release.applied for release in read_releases(store)] == [True, False]


def test_what_waits_is_said(store: LakeStore) -> None:
    assert waiting_in_words(store) is None
    release = record_release(store, asked())
    assert release.release_id in (waiting_in_words(store) or "")
    settle_releases(store, {release.release_id})
    assert waiting_in_words(store) is None


def test_releases_made_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    def record(number: int) -> None:
        store = LakeStore(tmp_path / "lake", new_backend())
        record_release(store, asked(since=date(2026, 1, 1 + number)))

    threads = [threading.Thread(target=record, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = read_releases(LakeStore(tmp_path / "lake", new_backend()))
    assert sorted(release.since.day for release in kept) == list(range(1, 9))
