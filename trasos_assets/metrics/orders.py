"""Order lines and orders: where revenue is defined, once, for every other number."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

import ibis
from ibis import Table

from trasos_assets.contracts.analytics import ORDER_LINES, ORDERS
from trasos_assets.contracts.landing import ORDER_EVENTS
from trasos_assets.metrics.shapes import conformed, first_by, money, of_people


def order_lines(clean_events: Table) -> Table:
    """Purchase and cancellation lines of people: no bots, no testers.

    Takes ``clean_events`` and returns the columns of ``order_lines``, one row per event. ``amount`` is quantity x
    unit_price in exact decimals and positive for cancellations too: ``line_kind`` says which way it counts.
    """
    events = of_people(clean_events).filter(lambda t: t.event_type.isin(ORDER_EVENTS))
    lines = events.mutate(line_kind=events.event_type, amount=events.unit_price * events.quantity)
    return conformed(ORDER_LINES, lines)


def orders(order_lines_with_person: Table) -> Table:
    """One row per ``order_id``, with what was bought, what was cancelled of it and what is left.

    Takes ``order_lines`` with a ``person_id`` and returns the columns of ``orders``.

    - An order_id with a purchase line is an ``order``; one with cancellations only is a ``cancellation``: the order it
      cancels is unknown, so it stands alone with gross 0 on its own day and is never counted as an order.
    - ``net`` = ``gross`` - ``cancelled``; cancellations of an order count on the order's day, however late they came.
    - An order is valid if it was paid for (gross above 0: free items alone are no order) and is not wholly cancelled
      (cancelled below gross).
    - Day, time, person, visitor, customer, channel, device and country are those of the order's first purchase line
      (first by occurred_at, then event_id), for a ``cancellation`` of its first line. One line, not a mixture: so the
      buyer of a day always has an event on that day.
    - ``order_number`` counts a person's valid orders by (ordered_at, order_id).
    """
    lines = order_lines_with_person
    purchased = lines.line_kind == "purchase"
    first_line = first_by(
        {
            "day": lines.day,
            "occurred_at": lines.occurred_at,
            "person_id": lines.person_id,
            "visitor_id": lines.visitor_id,
            "customer_id": lines.customer_id,
            "channel": lines.channel,
            "device": lines.device,
            "country": lines.country,
        },
        {
            "after_purchases": purchased.ifelse(0, 1),
            "occurred_at": lines.occurred_at,
            "event_id": lines.event_id,
        },
    )
    grouped = lines.group_by("order_id").aggregate(
        first_line=first_line,
        lines=purchased.sum(),
        quantity=lines.quantity.sum(where=purchased).fill_null(0),
        gross=money(lines.amount.sum(where=purchased)),
        cancelled=money(lines.amount.sum(where=~purchased)),
    )
    summed = grouped.select(
        "order_id",
        "lines",
        "quantity",
        "gross",
        "cancelled",
        order_kind=(grouped.lines > 0).ifelse("order", "cancellation"),
        net=grouped.gross - grouped.cancelled,
        is_valid=(grouped.lines > 0) & (grouped.gross > 0) & (grouped.cancelled < grouped.gross),
        ordered_at=grouped.first_line["occurred_at"],
        **{
            name: grouped.first_line[name]
            for name in ("day", "person_id", "visitor_id", "customer_id", "channel", "device", "country")
        },
    )
    position = ibis.row_number().over(
        group_by=(summed.person_id, summed.is_valid), order_by=(summed.ordered_at, summed.order_id)
    )
    numbered = summed.mutate(order_number=summed.is_valid.ifelse(position + 1, ibis.null("int64")))
    return conformed(ORDERS, numbered)
