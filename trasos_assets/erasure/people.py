"""Who is to be forgotten: a customer with all the visitors that are theirs, or a visitor nobody knows as a customer."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import ibis

from trasos_assets.contracts.engineering import CLEAN_EVENTS, IDENTITIES, RAW_ASSIGNMENTS, RAW_EVENTS
from trasos_assets.contracts.reference import ASSIGNMENTS
from trasos_assets.erasure.patterns import Kind, kind_of, pattern_of_lines, pattern_of_text
from trasos_assets.lake.errors import LakeError
from trasos_assets.lake.store import LakeStore

LEADING = ("session_id", "order_id", "request_id")
"""Columns of events whose ids lead to the person who had them."""

_TEXTS = ("raw", "extra")
_OTHER_TEXTS = ("event_id", *LEADING, "user_agent", "channel", "campaign")


class ErasureError(LakeError):
    """The erasure cannot be carried out; the message says why and what to do, and holds no id but those given."""


@dataclass(frozen=True)
class Stay:
    """The time in which a visitor whom others use too was the person: from ``since``, to before ``until``."""

    visitor_id: str
    since: datetime
    until: datetime


@dataclass(frozen=True)
class People:
    """Everybody to be forgotten at once.

    ``customers`` and ``visitors`` are theirs alone; of a shared visitor only the stays are theirs and the id itself is
    kept. ``leading`` are ids of sessions, orders and requests that nobody else has.
    """

    persons: int
    customers: tuple[str, ...]
    visitors: tuple[str, ...]
    stays: tuple[Stay, ...] = ()
    leading: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids that are the people themselves: nothing may hold one of them any more."""
        return tuple(sorted({*self.customers, *self.visitors}))

    @property
    def shared(self) -> tuple[str, ...]:
        """Visitors that others use too."""
        return tuple(sorted({stay.visitor_id for stay in self.stays}))

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self) | {
            "stays": [[stay.visitor_id, stay.since.isoformat(), stay.until.isoformat()] for stay in self.stays]
        }

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> People:
        """What ``to_dict`` told."""
        stays = tuple(Stay(v, datetime.fromisoformat(s), datetime.fromisoformat(u)) for v, s, u in told["stays"])
        lists = {name: tuple(told[name]) for name in ("customers", "visitors", "leading")}
        return cls(persons=told["persons"], stays=stays, **lists)


def find_people(store: LakeStore, names: Sequence[str]) -> tuple[People, tuple[str, ...]]:
    """The people of some names (customer ids, visitor ids or person ids), and the names that nobody has.

    A visitor is a person's own if no other customer was ever named beside it, not even in a line that was refused.
    Otherwise only the stays are the person's: the times in which ``identities`` says that the visitor was them.

    Raises:
        ErasureError: a name is a visitor of several customers, or a customer and somebody else's visitor too.
    """
    wanted = sorted(set(names))
    who = store.read(IDENTITIES)
    known = _rows(who.filter(who.customer_id.isin(wanted) | who.visitor_id.isin(wanted))) if wanted else []
    seen = _seen(store, wanted)
    customers: set[str] = set()
    nobody_else: set[str] = set()
    unknown = []
    for name in wanted:
        behind = {row["customer_id"] for row in known if row["visitor_id"] == name}
        is_customer = name in seen["customer_id"] or any(row["customer_id"] == name for row in known)
        is_visitor = bool(behind) or name in seen["visitor_id"]
        if is_customer and is_visitor and behind != {name}:
            raise ErasureError(f"{name!r} is a customer, and a visitor of somebody else: their lines cannot be parted")
        if len(behind) > 1:
            raise ErasureError(
                f"visitor {name!r} was used by {len(behind)} customers; name the customer who is to be forgotten"
            )
        if is_customer:
            customers.add(name)
        elif behind:
            customers |= behind
        elif is_visitor or name in seen["unit_id"]:
            nobody_else.add(name)
        else:
            unknown.append(name)
    visitors, stays = _visitors_of(store, customers)
    people = People(
        persons=len(customers) + len(nobody_else),
        customers=tuple(sorted(customers)),
        visitors=tuple(sorted(visitors | nobody_else)),
        stays=stays,
    )
    return replace(people, leading=_leading(store, people)), tuple(unknown)


def _rows(table: ibis.Table) -> list[dict[str, Any]]:
    return table.to_pyarrow().to_pylist()


def _values(table: ibis.Table, column: str) -> set[str]:
    named = table.filter(table[column].notnull()).select(column).distinct()
    return set(named.to_pyarrow()[column].to_pylist())


def _seen(store: LakeStore, names: Collection[str]) -> dict[str, set[str]]:
    """Which of the names stand in which column of ids."""
    found: dict[str, set[str]] = {}
    columns = {
        "visitor_id": (RAW_EVENTS, CLEAN_EVENTS),
        "customer_id": (RAW_EVENTS, CLEAN_EVENTS),
        "unit_id": (RAW_ASSIGNMENTS, ASSIGNMENTS),
    }
    for column, contracts in columns.items():
        tables = [store.read(contract) for contract in contracts]
        found[column] = {v for t in tables for v in _values(t.filter(t[column].isin(list(names))), column)}
    return found


def _visitors_of(store: LakeStore, customers: Collection[str]) -> tuple[set[str], tuple[Stay, ...]]:
    """Visitors that are the customers' alone, and their stays on those that are not."""
    if not customers:
        return set(), ()
    who = store.read(IDENTITIES)
    stays = _rows(who.filter(who.customer_id.isin(list(customers))))
    visitors = {row["visitor_id"] for row in stays}
    shared: set[str] = set()
    for contract in (RAW_EVENTS, CLEAN_EVENTS):
        events = store.read(contract)
        others = events.filter(
            events.visitor_id.isin(list(visitors)) & events.customer_id.notnull() & events.customer_id.notin(customers)
        )
        shared |= _values(others, "visitor_id") if visitors else set()
    found = tuple(
        Stay(row["visitor_id"], row["valid_from"], row["valid_to"]) for row in stays if row["visitor_id"] in shared
    )
    return visitors - shared, tuple(sorted(found, key=lambda stay: (stay.visitor_id, stay.since)))


def _leading(store: LakeStore, people: People) -> tuple[str, ...]:
    """Ids of sessions, orders and requests of the people's events that no event of another person has."""
    found: set[str] = set()
    for contract in (RAW_EVENTS, CLEAN_EVENTS):
        events = store.read(contract)
        own = acts_of(events, people)
        for column in LEADING:
            ids = events.filter(own & events[column].notnull()).select(id=column).distinct()
            named = events.filter(~own & (events.visitor_id.notnull() | events.customer_id.notnull()))
            found |= _values(ids.anti_join(named, ids.id == named[column]), "id")
    return tuple(sorted(value for value in found if value.strip()))


def acts_of(events: ibis.Table, people: People) -> Any:
    """Which events are the people's by their columns of ids: never null.

    An event belongs to its customer; without one to its visitor, at that time.
    """
    own = ibis.literal(False)
    if people.customers:
        own |= events.customer_id.isin(people.customers)
    if people.visitors:
        own |= events.visitor_id.isin(people.visitors)
    for stay in people.stays:
        at = (events.occurred_at >= _instant(stay.since)) & (events.occurred_at < _instant(stay.until))
        own |= (events.visitor_id == stay.visitor_id) & events.customer_id.isnull() & at
    return own.fill_null(False)


def _instant(moment: datetime) -> Any:
    text: Any = ibis.literal(moment.isoformat(sep=" "))
    return text.cast("timestamp(6)")


def units_of(assignments: ibis.Table, people: People) -> Any:
    """Which assignments are the people's by their unit: never null."""
    own = ibis.literal(False)
    if people.ids:
        own |= assignments.unit_id.isin(people.ids)
    for stay in people.stays:
        at = (assignments.assigned_at >= _instant(stay.since)) & (assignments.assigned_at < _instant(stay.until))
        own |= (assignments.unit_id == stay.visitor_id) & at
    return own.fill_null(False)


def lines_of(raw: ibis.Table, dataset: str, people: People) -> Any:
    """Which raw lines of a data set are the people's, or name them: never null.

    Besides what the columns of ids say: a line with one of the ids in its text or its unknown fields, and a line that
    names nobody but holds the id of one of their sessions, orders or requests.
    """
    if dataset == "events":
        nobody = raw.visitor_id.isnull() & raw.customer_id.isnull()
        led = _in_text(raw, people.leading)
        for column in LEADING if people.leading else ():
            led |= raw[column].isin(people.leading).fill_null(False)
        long = [value for value in people.ids if kind_of(value) is Kind.LONG]
        named = _in_text(raw, people.ids) | _in_text(raw, long, columns=_OTHER_TEXTS)
        return acts_of(raw, people) | named | (nobody & led)
    if dataset == "assignments":
        return units_of(raw, people) | _in_text(raw, people.ids)
    return _in_text(raw, people.ids, pattern=pattern_of_text)


def _in_text(
    raw: ibis.Table,
    ids: Collection[str],
    *,
    columns: Iterable[str] = _TEXTS,
    pattern: Callable[[Collection[str]], str | None] = pattern_of_lines,
) -> Any:
    asked = pattern(ids)
    if asked is None:
        return ibis.literal(False)
    found = ibis.literal(False)
    for column in columns:
        found |= raw[column].re_search(asked).fill_null(False)
    return found
