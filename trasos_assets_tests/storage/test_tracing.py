"""What readers read, found by calling them; and what is left over in a made-up graph with a planted unread column."""

from __future__ import annotations

import dataclasses
from datetime import date
from typing import Any

import ibis
import pytest

from trasos_assets.contracts.model import DATE, INT64, TEXT, VECTOR, Column, Contract
from trasos_assets.lake.store import LakeStore
from trasos_assets.storage.tracing import Found, MadeUpLake, Reader, Unread, found_reads, unread

VISITS = Contract(
    name="visits",
    owner="engineering",
    description="Visits.",
    columns=tuple(
        Column(name, kind, "A column.")
        for name, kind in (("day", DATE), ("visit_id", TEXT), ("person", TEXT), ("pages", INT64), ("planted", TEXT))
    ),
    primary_key=("visit_id",),
    partition="occurred",
)
PEOPLE = Contract(
    name="people",
    owner="analytics",
    description="People.",
    columns=(Column("person", TEXT, "Who."), Column("pages", INT64, "How many."), Column("taste", VECTOR, "Likes.")),
    primary_key=("person",),
)
NEVER = dataclasses.replace(PEOPLE, name="never", owner="science")
GRAPH = [VISITS, PEOPLE, NEVER]


@pytest.fixture(scope="module")
def lake() -> MadeUpLake:
    return MadeUpLake(GRAPH)


def people(visits: ibis.Table) -> ibis.Table:
    return visits.group_by("person").agg(pages=visits["pages"].sum())


def model(people: ibis.Table, visits: ibis.Table) -> ibis.Table:
    data = people.select("person", "taste").to_pyarrow().to_pylist()
    if not data:
        return ibis.memtable([], schema={"person": "string"})
    return ibis.memtable(
        [{"person": row["person"]} for row in data for _ in range(visits.count().to_pyarrow().as_py())]
    )


def by_store(store: LakeStore, days: list[date]) -> ibis.Table:
    assert days
    held = store.made(store.read(VISITS, first=days[0]))
    return held.union(store.table_of(VISITS, [])).select("pages")


def cached(visits: ibis.Table) -> ibis.Table:
    return visits.select("visit_id", "pages").cache().select("pages")


def broken(visits: ibis.Table, people: ibis.Table) -> ibis.Table:
    people.select("person").to_pyarrow()
    raise ValueError("not on made-up rows\nof any kind")


@pytest.mark.parametrize(
    ("function", "reads"),
    [
        (people, {"visits": {"person", "pages"}}),
        (model, {"people": {"person", "taste"}, "visits": set()}),
        (by_store, {"visits": {"pages"}}),
        (cached, {"visits": {"visit_id", "pages"}}),
        (lambda visits: None, {"visits": set()}),
    ],
    ids=["expression", "model in Python", "by the store", "cached", "nothing"],
)
def test_what_a_function_reads(function: Any, reads: dict[str, set[str]], lake: MadeUpLake) -> None:
    found = found_reads(Reader("it", function), lake)
    assert (found.reads, found.guessed) == (reads, None)


def test_a_function_that_fails_counts_as_reading_everything_and_says_so(lake: MadeUpLake) -> None:
    found = found_reads(Reader("it", broken), lake)
    assert found.reads == {"visits": set(VISITS.column_names), "people": set(PEOPLE.column_names)}
    assert found.guessed == "ValueError: not on made-up rows"


def test_a_check_reads_the_table_that_it_checks(lake: MadeUpLake) -> None:
    def lost(staged: ibis.Table, visits: ibis.Table, days: list[date]) -> ibis.Table:
        return visits.anti_join(staged, "person").select("pages")

    found = found_reads(Reader("it", lost, staged="people"), lake)
    assert found.reads == {"people": {"person"}, "visits": {"person", "pages"}}


def test_a_reader_without_a_function_reads_what_it_names(lake: MadeUpLake) -> None:
    found = found_reads(Reader("page", all_of=("people", "no table of this lake")), lake)
    assert found.reads == {"people": set(PEOPLE.column_names)}


def test_the_planted_column_and_the_table_that_nobody_reads_are_found(lake: MadeUpLake) -> None:
    found = [found_reads(Reader("people", people), lake), found_reads(Reader("page", all_of=("people",)), lake)]
    nobody = "no table, check, report or command reads it"
    assert unread(found, GRAPH) == [Unread("never", None, nobody), Unread("visits", "planted", nobody)]


def test_checks_of_the_table_itself_keep_no_column_alive(lake: MadeUpLake) -> None:
    found = [Found("people", {"visits": {"person", "pages"}}), Found("page", {"people": {"pages"}, "never": {"pages"}})]
    own = [Found("visits.check", {"visits": {"planted"}})]
    said = {(one.table, one.column): one.why for one in unread(found, GRAPH, own=own)}
    assert said == {
        ("visits", "planted"): "only checks of the table itself read it",
        ("people", "taste"): "no table, check, report or command reads it",
        ("never", "taste"): "no table, check, report or command reads it",
    }


def test_what_people_read_outside_is_not_listed() -> None:
    served = dataclasses.replace(NEVER, served_to="the shop")
    outside = ["people", "visits.planted", "visits.pages", "visits.person"]
    assert unread([], [VISITS, PEOPLE, served], outside=outside) == []
    left = unread([], [VISITS, PEOPLE, served], outside=["people", "visits.planted"])
    assert [(one.table, one.column) for one in left] == [("visits", "pages"), ("visits", "person")]
