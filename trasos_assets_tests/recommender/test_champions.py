"""Who serves, who served, and who can serve again."""

from datetime import date

import ibis
import pyarrow as pa
import pytest

from trasos_assets.contracts.models import CHAMPION, CHAMPION_MODEL
from trasos_assets.recommender import champions
from trasos_assets.recommender.champions import ChampionError

DAY = date(2026, 1, 30)


def asks(version: str, parts: int = 2) -> dict:
    told = {"model": "als", "model_version": version, "parameters": '{"factors": 8}', "parts": parts, "as_of": DAY}
    return told | {"payload": None}


def promote(history: list[dict], version: str, *, passed: bool = True, parts: int = 2) -> list[dict]:
    return champions.promoted(history, asks(version, parts), passed=passed, reason="beats it", as_of=DAY)


def served(*versions: str) -> list[dict]:
    history: list[dict] = []
    for version in versions:
        history = promote(history, version)
    return history


def as_table(history: list[dict]) -> ibis.Table:
    return ibis.memtable(pa.Table.from_pylist(history, schema=ibis.schema(CHAMPION.types).to_pyarrow()))


def test_popularity_serves_until_a_candidate_passes() -> None:
    first = promote([], "a", passed=False)
    assert [(row["sequence"], row["model"], row["action"]) for row in first] == [(1, "popularity_recent", "promoted")]
    then = promote(first, "a")
    assert champions.serving_version(as_table(then)) == "a" and [row["sequence"] for row in then] == [1, 2]
    assert champions.promoted([], None, passed=False, reason="", as_of=DAY) == first


def test_a_refused_candidate_leaves_the_history_as_it_is() -> None:
    history = served("a")
    assert promote(history, "b", passed=False) == history
    assert champions.promoted(history, None, passed=True, reason="", as_of=DAY) == history


def test_a_version_is_promoted_once_however_often_it_asks() -> None:
    history = served("a", "b")
    assert promote(promote(history, "b"), "a") == history
    assert set(history[0]) == set(CHAMPION.column_names)


def test_the_row_of_the_highest_sequence_serves_whatever_the_order_of_rows() -> None:
    history = served("a", "b", "c")
    assert champions.serving_version(as_table(history[::-1])) == "c"
    assert champions.serving_version(as_table([])) is None and champions.serving([]) is None
    row = champions.serving_row(as_table(history))
    assert row is not None and (row["model"], row["parameters"]) == ("als", '{"factors": 8}')


def test_a_rollback_appends_and_the_next_run_does_not_undo_it() -> None:
    history = champions.rolled_back(served("a", "b"), "a", {"a", "b"}, keep=5, reason="complaints")
    assert champions.serving_version(as_table(history)) == "a"
    last = history[-1]
    assert (last["sequence"], last["action"]) == (3, "rolled_back")
    assert last["reason"] == "rolled back from b: complaints"
    assert promote(history, "b") == history
    assert champions.serving_version(as_table(promote(history, "c"))) == "c"


@pytest.mark.parametrize(
    ("version", "says"),
    [("z", "never served"), ("c", "serves already"), ("a", "not kept any more")],
)
def test_a_rollback_that_cannot_be_names_what_is_kept(version: str, says: str) -> None:
    with pytest.raises(ChampionError, match=rf"{says}; kept are b$"):
        champions.rolled_back(served("a", "b", "c"), version, {"b", "c"}, keep=2)


def test_a_version_whose_parts_are_gone_cannot_serve_again_but_one_without_parts_can() -> None:
    history = promote(served("a"), "b", parts=0)
    assert champions.restorable(history, set(), 5) == ["b"]
    assert champions.restorable(history, {"a"}, 5) == ["b", "a"]
    assert champions.restorable(promote(promote([], "a", passed=False), "a"), {"a"}, 5) == ["a", "popularity_recent"]


def test_those_that_served_last_are_kept_a_rollback_counts_as_serving() -> None:
    history = champions.rolled_back(served("a", "b", "c"), "a", {"a", "b", "c"}, keep=3)
    assert champions.kept_versions(history, 2) == ["a", "c"]
    assert champions.kept_versions(promote([], "a", passed=False), 2) == []


def test_the_newest_version_that_is_stored_whole_serves_where_the_last_one_is_not() -> None:
    history = as_table(promote(promote(served("a", "b"), "c", parts=0), "d"))
    assert champions.whole_row(history, {"a", "b", "d"})["model_version"] == "d"
    assert champions.whole_row(history, {"a", "b"})["model_version"] == "c"
    assert champions.whole_row(as_table(served("a", "b")), {"a"})["model_version"] == "a"
    assert champions.whole_row(as_table(served("a", "b")), set()) is None
    assert champions.whole_row(as_table([]), {"a"}) is None


def test_a_sign_off_does_not_hide_that_what_serves_was_rolled_back_to() -> None:
    assert not champions.was_rolled_back_to([]) and not champions.was_rolled_back_to(served("a", "b"))
    history = champions.signed(champions.rolled_back(served("a", "b"), "a", {"a", "b"}, keep=5), "Ada")
    assert champions.was_rolled_back_to(history)
    assert not champions.was_rolled_back_to(promote(history, "c"))


def test_what_a_version_knew_is_told_by_its_promotion_and_not_by_a_later_rollback() -> None:
    history = promote([], "a")
    history = champions.promoted(history, asks("b") | {"as_of": date(2026, 2, 6)}, passed=True, reason="", as_of=DAY)
    history = champions.rolled_back(history, "a", {"a", "b"}, keep=5)
    assert history[-1]["as_of"] == date(2026, 2, 6)
    assert champions.known_through(history, "a") == DAY
    assert champions.known_through(history, "b") == date(2026, 2, 6)
    assert champions.known_through(history, "unheard") is None


def test_versions_that_could_serve_before_or_after_a_promotion_are_kept_while_it_is_made() -> None:
    history = served("a", "b")
    assert champions.versions_to_keep(history, promote(history, "c"), 2) == ["c", "b", "a"]
    assert champions.versions_to_keep(history, history, 2) == ["b", "a"]


def test_a_sign_off_changes_nothing_but_the_record() -> None:
    history = champions.signed(served("a"), " Ada ")
    assert champions.serving_version(as_table(history)) == "a" and champions.signatures(history, "a") == ["Ada"]
    assert champions.kept_versions(history, 5) == ["a"] and promote(history, "a") == history
    with pytest.raises(ChampionError, match="name"):
        champions.signed(history, " ")
    with pytest.raises(ChampionError, match="nothing serves"):
        champions.signed([], "Ada")


def parts(version: str | None, *ids: str) -> ibis.Table:
    rows = [{"side": id_.split(":")[0], "id": id_.split(":")[1], "factors": [1.0], "payload": None} for id_ in ids]
    rows = [row | ({"model_version": version} if version else {}) for row in rows]
    columns = [name for name in CHAMPION_MODEL.column_names if version or name != "model_version"]
    schema = ibis.schema({name: CHAMPION_MODEL.types[name] for name in columns}).to_pyarrow()
    return ibis.memtable(pa.Table.from_pylist(rows, schema=schema))


def held(table: ibis.Table) -> set[tuple[str, str]]:
    return {(row["model_version"], row["id"]) for row in table.to_pyarrow().to_pylist()}


def test_parts_of_kept_versions_stay_and_people_who_were_forgotten_go_from_all() -> None:
    stored = parts("a", "person:p1", "person:gone", "item:i1").union(parts("old", "item:i1"))
    people = ibis.memtable({"person_id": ["p1", "p2"]})
    fresh = {"b": parts(None, "person:p2", "item:i2"), "a": parts(None, "item:other"), "refused": parts(None, "item:x")}
    after = champions.next_parts(stored, ["b", "a"], people, fresh)
    assert held(after) == {("a", "p1"), ("a", "i1"), ("b", "p2"), ("b", "i2")}
    assert held(champions.next_parts(after, [], people, {})) == set()
