"""Who is who: visitors become customers at login, backwards through their history."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false

import ibis

BEGINNING = "0001-01-01 00:00:00"
END = "9999-12-31 00:00:00"


def actor(events: ibis.Table) -> ibis.Value:
    """Who acted, as the event itself says: its visitor, else its customer, else nobody but this event; never null.

    What rules by day count by, since a person is not known before all days are. A customer's id is marked, so that
    visitor 7 and customer 7 are two; it is no id to publish.
    """
    customer = ibis.literal("\u0001") + events.customer_id
    return ibis.coalesce(events.visitor_id, customer, ibis.literal("\u0001\u0001") + events.event_id)


def identities(clean_events: ibis.Table) -> ibis.Table:
    """Intervals in which a visitor is a customer (IDENTITIES).

    A visitor is known by any event that carries both ids, a login above all. What came before the first such event
    belongs to the first customer; from the first event of another customer on, the visitor is that one.
    """
    both = clean_events.filter(clean_events.visitor_id.notnull() & clean_events.customer_id.notnull())
    # Two customers at one instant would leave an empty interval: the last in order is taken.
    seen = both.group_by("visitor_id", "occurred_at").agg(customer_id=both.customer_id.max())
    by_time = ibis.window(group_by="visitor_id", order_by=seen.occurred_at)
    marked = seen.mutate(previous=seen.customer_id.lag().over(by_time))
    starts = marked.filter(marked.previous.isnull() | (marked.previous != marked.customer_id))
    ordered = ibis.window(group_by="visitor_id", order_by=starts.occurred_at)
    return starts.mutate(
        valid_from=ibis.ifelse(
            ibis.row_number().over(ordered) == 0, ibis.literal(BEGINNING).cast("timestamp(6)"), starts.occurred_at
        ),
        valid_to=starts.occurred_at.lead().over(ordered).fill_null(ibis.literal(END).cast("timestamp(6)")),
    ).select("visitor_id", "customer_id", "valid_from", "valid_to")


def with_person(table: ibis.Table, identities: ibis.Table, *, at: str = "occurred_at") -> ibis.Table:
    """Add ``person_id``: the row's customer, else the customer its visitor was at that time, else the visitor.

    The one place where persons are made; called when an unpartitioned table is built, so that a login today rewrites
    no older day.
    """
    known = identities.rename(known_visitor="visitor_id", known_customer="customer_id")
    joined = table.left_join(
        known,
        [table.visitor_id == known.known_visitor, table[at] >= known.valid_from, table[at] < known.valid_to],
    )
    person = ibis.coalesce(joined.customer_id, joined.known_customer, joined.visitor_id)
    return joined.mutate(person_id=person).drop("known_visitor", "known_customer", "valid_from", "valid_to")


def person_of_unit(assignments: ibis.Table, identities: ibis.Table) -> ibis.Table:
    """Add ``person_id`` to rows with a ``unit_id`` that is a visitor or a customer id."""
    as_visitor = assignments.mutate(visitor_id=assignments.unit_id, customer_id=ibis.null("string"))
    return with_person(as_visitor, identities, at="assigned_at").drop("visitor_id", "customer_id")
