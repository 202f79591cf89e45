"""Dated snapshots of reference data: the state of an item over time, the last word on a campaign's cost."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false

import ibis

from trasos_assets.contracts.landing import ASSIGNMENT, CATALOGUE, MARKETING_SPEND
from trasos_assets.contracts.model import Column

END = "9999-12-31"


def _last_word(records: ibis.Table, key: list[str], within: list[str]) -> ibis.Table:
    """One row a key: the last by ``within``; deliveries of one day are ordered by their hash, lines by number."""
    order = ibis.window(group_by=key, order_by=[ibis.desc(records[name]) for name in within])
    return records.mutate(nth=ibis.row_number().over(order)).filter(lambda t: t.nth == 0).drop("nth")


def _names(columns: tuple[Column, ...]) -> list[str]:
    return [column.name for column in columns]


def catalogue_history(records: ibis.Table) -> ibis.Table:
    """States of every item with the days from and until which they held (CATALOGUE_HISTORY).

    A snapshot that names an item with nothing changed opens no new state; one that does not name it changes nothing.
    """
    fields = _names(CATALOGUE.columns)
    daily = _last_word(records, ["item_id", "day"], ["file_hash", "line"]).select("day", *fields)
    state = ibis.literal("")
    for name in fields:
        state = state + daily[name].cast("string").fill_null("\u0001") + "\u0002"
    daily = daily.mutate(state=state)
    by_day = ibis.window(group_by="item_id", order_by="day")
    changed = daily.mutate(before=daily.state.lag().over(by_day)).filter(
        lambda t: t.before.isnull() | (t.before != t.state)
    )
    by_day = ibis.window(group_by="item_id", order_by="day")
    return changed.mutate(valid_to=changed.day.lead().over(by_day).fill_null(ibis.literal(END).cast("date"))).select(
        *fields, valid_from="day", valid_to="valid_to"
    )


def latest_catalogue(history: ibis.Table) -> ibis.Table:
    """The state that still lasts, for every item (ITEM_CATALOGUE)."""
    lasting = history.filter(history.valid_to == ibis.literal(END).cast("date"))
    return lasting.select(*_names(CATALOGUE.columns), as_of="valid_from")


def latest_spend(records: ibis.Table) -> ibis.Table:
    """Cost of every campaign and day, as last reported (SPEND)."""
    key = ["spend_day", "channel", "campaign"]
    return _last_word(records, key, ["day", "file_hash", "line"]).select(*_names(MARKETING_SPEND.columns))


def first_assignments(records: ibis.Table) -> ibis.Table:
    """The first assignment of every unit in every experiment (ASSIGNMENTS)."""
    order = ibis.window(group_by=["experiment", "unit_id"], order_by=[records.assigned_at, records.arm])
    first = records.mutate(nth=ibis.row_number().over(order)).filter(lambda t: t.nth == 0)
    return first.select(*_names(ASSIGNMENT.columns))
