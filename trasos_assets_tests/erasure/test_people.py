"""Who is forgotten with a name, and which lines are theirs: by the same rules by which persons are made."""

from datetime import date, datetime
from typing import Any

import pytest

from trasos_assets.contracts.engineering import CLEAN_EVENTS, IDENTITIES, RAW_ASSIGNMENTS, RAW_EVENTS
from trasos_assets.erasure.people import ErasureError, People, Stay, find_people, lines_of
from trasos_assets.lake.store import LakeStore
from trasos_assets.trust.identity import BEGINNING, END
from trasos_assets_tests.conftest import MakeTable

DAY = date(2026, 3, 9)
FIRST, LAST = datetime.fromisoformat(BEGINNING), datetime.fromisoformat(END)


def at(hour: int) -> datetime:
    return datetime(2026, 3, 9, hour)


class Lake:
    """A lake of planted events; who is who is planted too."""

    def __init__(self, store: LakeStore, table: MakeTable) -> None:
        self.store, self.table = store, table
        self.raw: list[dict[str, Any]] = []
        self.clean: list[dict[str, Any]] = []

    def event(self, hour: int, visitor: str | None, customer: str | None, *, clean: bool = True, **fields: Any) -> int:
        """Plant an event; returns its line."""
        line = len(self.raw) + 1
        row = {
            "day": DAY,
            "event_id": f"e{line}",
            "event_type": "page_view",
            "occurred_at": at(hour),
            "received_at": at(hour),
            "visitor_id": visitor,
            "customer_id": customer,
        }
        self.raw.append({"file_hash": "f", "line": line, **row, **fields})
        if clean:
            known = {name: value for name, value in fields.items() if name in CLEAN_EVENTS.types}
            self.clean.append({**row, "session_id": f"session-{line}", **known})
        return line

    def who(self, *intervals: tuple[str, str, datetime, datetime]) -> None:
        rows = [dict(zip(IDENTITIES.column_names, interval, strict=True)) for interval in intervals]
        self.store.write(IDENTITIES, self.table(IDENTITIES, rows))

    def build(self) -> None:
        self.store.write(RAW_EVENTS, self.table(RAW_EVENTS, self.raw), [DAY])
        self.store.write(CLEAN_EVENTS, self.table(CLEAN_EVENTS, self.clean), [DAY])

    def people(self, *names: str) -> People:
        people, unknown = find_people(self.store, names)
        assert unknown == ()
        return people

    def lines(self, people: People) -> list[int]:
        raw = self.store.read(RAW_EVENTS)
        return sorted(raw.filter(lines_of(raw, "events", people)).line.to_pyarrow().to_pylist())


@pytest.fixture
def lake(store: LakeStore, table: MakeTable) -> Lake:
    return Lake(store, table)


def test_a_customer_takes_every_visitor_that_is_theirs_alone_whichever_of_the_names_is_given(lake: Lake) -> None:
    own = [lake.event(1, "v1", None), lake.event(2, "v1", "c1"), lake.event(3, None, "c1"), lake.event(4, "v2", None)]
    lake.event(5, "v3", "c2")
    lake.who(("v1", "c1", FIRST, LAST), ("v2", "c1", FIRST, LAST), ("v3", "c2", FIRST, LAST))
    lake.build()
    for name in ("c1", "v1", "v2"):
        people = lake.people(name)
        assert (people.persons, people.customers, people.visitors) == (1, ("c1",), ("v1", "v2"))
        assert lake.lines(people) == own


def test_of_a_visitor_that_others_use_too_only_the_persons_own_time_goes(lake: Lake) -> None:
    first = lake.event(1, "v1", None)
    lake.event(2, "v1", "c1")
    own = [lake.event(3, "v1", "c2"), lake.event(4, "v1", None)]
    lake.event(5, "v1", "c1")
    lake.event(6, "v1", None)
    lake.who(("v1", "c1", FIRST, at(3)), ("v1", "c2", at(3), at(5)), ("v1", "c1", at(5), LAST))
    lake.build()
    people = lake.people("c2")
    assert (people.customers, people.visitors, people.shared) == (("c2",), (), ("v1",))
    assert people.stays == (Stay("v1", at(3), at(5)),)
    assert lake.lines(people) == own
    others = lake.people("c1")
    assert lake.lines(others) == [first, 2, 5, 6]
    assert lake.people("c1", "c2").visitors == ("v1",), "nobody else uses it"
    with pytest.raises(ErasureError, match="used by 2 customers"):
        find_people(lake.store, ["v1"])


def test_a_refused_line_that_names_another_customer_beside_the_visitor_stays_with_that_customer(lake: Lake) -> None:
    own = [lake.event(1, "v1", "c1"), lake.event(2, "v1", None, clean=False)]
    lake.event(3, "v1", "c2", clean=False, problems="invalid_quantity", raw="{}")
    lake.who(("v1", "c1", FIRST, LAST))
    lake.build()
    people = lake.people("c1")
    assert people.shared == ("v1",)
    assert lake.lines(people) == own


def test_lines_that_could_not_be_read_go_if_they_hold_an_id_as_a_whole(lake: Lake) -> None:
    own = [lake.event(1, "v1", "c1")]
    unread = {"clean": False, "problems": "malformed"}
    own.append(lake.event(2, None, None, raw='{"visitor_id": "v1", "quanti', **unread))
    own.append(lake.event(3, None, None, raw="not 3 fields: c1 view", **unread))
    lake.event(4, None, None, raw='{"visitor_id": "v12", "customer_id": "c1-2", "quanti', **unread)
    own.append(lake.event(5, "v9", None, extra='{"friend": "c1"}'))
    lake.event(6, "v9", None, extra='{"friend": "c12"}', item_id="c1")
    lake.who(("v1", "c1", FIRST, LAST))
    lake.build()
    assert lake.lines(lake.people("c1")) == own


def test_lines_of_nobody_go_with_the_session_or_order_they_name_unless_others_have_it_too(lake: Lake) -> None:
    own = [lake.event(1, "v1", None, session_id="mine", order_id="ours", request_id="r1")]
    lake.event(2, "v2", None, order_id="ours")
    own.append(lake.event(3, None, None, clean=False, session_id="mine"))
    own.append(lake.event(4, None, None, clean=False, problems="malformed", raw='{"request_id": "r1", "x'))
    lake.event(5, None, None, clean=False, order_id="ours")
    lake.build()
    people = lake.people("v1")
    assert people.leading == ("mine", "r1")
    assert lake.lines(people) == own


def test_a_person_nobody_ever_saw_is_named_and_so_is_one_only_an_experiment_knows(lake: Lake, table: MakeTable) -> None:
    unit = {"day": DAY, "file_hash": "a", "line": 1, "experiment": "e", "unit_id": "v8", "arm": "control"}
    lake.store.write(RAW_ASSIGNMENTS, table(RAW_ASSIGNMENTS, [unit | {"assigned_at": at(1)}]), [DAY])
    people, unknown = find_people(lake.store, ["v8", "nobody"])
    assert (people.visitors, unknown) == (("v8",), ("nobody",))


def test_one_name_of_a_customer_and_of_somebody_elses_visitor_is_refused(lake: Lake) -> None:
    lake.event(1, "7", None)
    lake.event(2, "v1", "7")
    lake.who(("v1", "7", FIRST, LAST))
    lake.build()
    with pytest.raises(ErasureError, match="cannot be parted"):
        find_people(lake.store, ["7"])


def test_numbers_are_ids_only_where_ids_stand(lake: Lake) -> None:
    own = [lake.event(1, None, "17850")]
    lake.event(2, "v2", None, item_id="17850", extra='{"price": 17850, "sku": "17850"}')
    own.append(lake.event(3, "v2", None, extra='{"customer_id": "17850"}'))
    lake.build()
    assert lake.lines(lake.people("17850")) == own


def test_people_come_back_from_what_is_written_of_them() -> None:
    people = People(2, ("c1",), ("v1", "v2"), (Stay("v3", FIRST, at(4)),), ("s1",))
    assert People.from_dict(people.to_dict()) == people
