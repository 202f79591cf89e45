"""Rules that mark traffic as made by machines. Marked events are kept and left out downstream."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false

import ibis

KNOWN_AGENTS = (
    r"(?i)(bot|crawl|spider|slurp|curl/|wget/|python-requests|python-urllib|headlesschrome|scrapy|httpclient)"
)


def with_bot_rule(events: ibis.Table, *, events_per_day: int) -> ibis.Table:
    """Add ``bot_rule``: known_agent by user agent, event_rate above ``events_per_day`` of a visitor on a day."""
    who = ibis.coalesce(events.visitor_id, events.customer_id)
    counted = events.mutate(visits=events.count().over(group_by=[events.day, who]))
    rule = ibis.cases(
        (counted.user_agent.re_search(KNOWN_AGENTS).fill_null(False), "known_agent"),
        (counted.visits > events_per_day, "event_rate"),
        else_=ibis.null("string"),
    )
    return counted.mutate(bot_rule=rule).drop("visits")


def people_only(events: ibis.Table) -> ibis.Table:
    """Events of people: no bots, no testers."""
    return events.filter(events.bot_rule.isnull() & ~events.is_test.fill_null(False))
