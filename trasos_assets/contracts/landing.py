"""The landing format: what the Scala backend and other sources write, line by line.

Four data sets land under ``landing/<dataset>/dt=YYYY-MM-DD/``. A line that breaks a rule here is quarantined under the
rule's name; a line that is no JSON object, or whose value has another type, is quarantined as ``malformed`` or
``invalid_<column>``. Ids are text, times UTC, money in ``TRASOS_CURRENCY``.
"""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trasos_assets.contracts.model import BOOLEAN, DATE, INT32, INT64, MONEY, TEXT, TIMESTAMP, Column, Rule

EVENT_TYPES = (
    "page_view",
    "scroll",
    "click",
    "impression",
    "add_to_cart",
    "remove_from_cart",
    "checkout",
    "purchase",
    "cancellation",
    "login",
)
ORDER_EVENTS = ("purchase", "cancellation")
MAX_QUANTITY = 1_000_000
MAX_PRICE = 1_000_000
MAX_COST = 1_000_000_000
MAX_ID_LENGTH = 256


@dataclass(frozen=True)
class LandingFormat:
    """One landed data set: its columns (``nullable`` means the field may be absent) and its row rules."""

    dataset: str
    description: str
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...]

    @property
    def required(self) -> tuple[str, ...]:
        """Fields that every line must carry."""
        return tuple(column.name for column in self.columns if not column.nullable)


def _optional(name: str, type_: str, description: str, *, pii: bool = False) -> Column:
    return Column(name, type_, description, nullable=True, pii=pii)


def _not_empty(value: Any) -> Any:
    return (value.strip() != "").fill_null(True)


def _given(value: Any) -> Any:
    return value.notnull() & _not_empty(value)


def _amount_fits(t: Any) -> Any:
    """Rows whose quantity times price is no larger than two lines within their limits could make it.

    Money columns hold 14 digits before the point: one absurd line more could stop the tables that add it up.
    """
    amount = t.quantity.cast("float64") * t.unit_price.cast("float64")
    return (amount.abs() <= float(MAX_QUANTITY * MAX_PRICE)).fill_null(True)


def _as_it_is(t: Any) -> Any:
    """Every row: what breaks the rule is odd, but nothing downstream leans on it."""
    return t.line.notnull()


EVENT = LandingFormat(
    "events",
    "One thing that a visitor did, or that the shop showed.",
    (
        Column("event_id", TEXT, "Unique id given by the source; the same id again is the same event."),
        Column("event_type", TEXT, f"One of {', '.join(EVENT_TYPES)}."),
        Column("occurred_at", TIMESTAMP, "When it happened (UTC)."),
        Column("received_at", TIMESTAMP, "When the collector took it (UTC)."),
        _optional("visitor_id", TEXT, "Browser or device; one of visitor and customer is required.", pii=True),
        _optional("customer_id", TEXT, "The logged-in customer.", pii=True),
        _optional("session_id", TEXT, "The source's session, if it has one.", pii=True),
        _optional("item_id", TEXT, "The product."),
        _optional("quantity", INT32, "Pieces, above 0 for cancellations too."),
        _optional("unit_price", MONEY, "Price of one piece as paid, before cancellation."),
        _optional("currency", TEXT, "ISO 4217; absent means TRASOS_CURRENCY."),
        _optional("order_id", TEXT, "The order; a cancellation names the order it cancels where that is known."),
        _optional("request_id", TEXT, "The recommendation request that was shown or clicked."),
        _optional("slot", TEXT, "Where on the site the recommendation stood."),
        _optional("position", INT32, "Rank within the slot, from 1."),
        _optional("channel", TEXT, "Acquisition channel of the session."),
        _optional("campaign", TEXT, "Campaign of the session."),
        _optional("device", TEXT, "desktop, mobile, tablet, app."),
        _optional("country", TEXT, "Country of the visitor."),
        _optional("user_agent", TEXT, "As sent by the client.", pii=True),
        _optional("is_test", BOOLEAN, "True for traffic of the shop's own testers."),
    ),
    (
        Rule("unknown_event_type", lambda t: t.event_type.isin(EVENT_TYPES)),
        Rule("no_visitor_or_customer", lambda t: t.visitor_id.notnull() | t.customer_id.notnull()),
        Rule("occurred_after_received", lambda t: t.occurred_at <= t.received_at, waivable=_as_it_is),
        Rule("quantity_not_positive", lambda t: t.quantity > 0),
        Rule("quantity_absurd", lambda t: t.quantity <= MAX_QUANTITY, waivable=_amount_fits),
        Rule("negative_unit_price", lambda t: t.unit_price >= 0),
        Rule("unit_price_absurd", lambda t: t.unit_price <= MAX_PRICE, waivable=_amount_fits),
        Rule("position_not_positive", lambda t: t.position > 0),
        Rule(
            "incomplete_order_line",
            lambda t: (
                ~t.event_type.isin(ORDER_EVENTS)
                | (_given(t.order_id) & _given(t.item_id) & t.quantity.notnull() & t.unit_price.notnull())
            ),
        ),
        Rule(
            "incomplete_impression",
            lambda t: (t.event_type != "impression") | (_given(t.request_id) & _given(t.item_id)),
        ),
        Rule(
            "login_without_customer",
            lambda t: (t.event_type != "login") | (t.customer_id.notnull() & t.visitor_id.notnull()),
        ),
        Rule("event_id_too_long", lambda t: t.event_id.length() <= MAX_ID_LENGTH, waivable=_as_it_is),
        Rule(
            "empty_id",
            lambda t: _not_empty(t.event_id) & _not_empty(t.visitor_id) & _not_empty(t.customer_id),
        ),
    ),
)

CATALOGUE = LandingFormat(
    "catalogue",
    "State of one item on a day. An item not named in a snapshot keeps its last state.",
    (
        Column("item_id", TEXT, "The product, as in events."),
        _optional("name", TEXT, "Shown to customers."),
        Column("kind", TEXT, "product, or service (postage, fees): counted in revenue, never recommended."),
        _optional("category", TEXT, "Category."),
        _optional("brand", TEXT, "Brand."),
        _optional("season", TEXT, "Season, e.g. summer."),
        _optional("price", MONEY, "List price."),
        _optional("currency", TEXT, "ISO 4217; absent means TRASOS_CURRENCY."),
        _optional("stock", INT32, "Pieces in stock; absent means not tracked."),
        Column("available", BOOLEAN, "Whether it can be bought on that day."),
    ),
    (
        Rule("unknown_kind", lambda t: t.kind.isin(("product", "service"))),
        Rule("negative_price", lambda t: t.price >= 0),
        Rule("price_absurd", lambda t: t.price <= MAX_PRICE),
        Rule("negative_stock", lambda t: t.stock >= 0),
        Rule("empty_id", lambda t: _not_empty(t.item_id)),
    ),
)

MARKETING_SPEND = LandingFormat(
    "marketing_spend",
    "What one campaign cost on one day. A later snapshot of the same day, channel and campaign replaces it.",
    (
        Column("spend_day", DATE, "The day of the spend."),
        Column("channel", TEXT, "Acquisition channel, as in events."),
        Column("campaign", TEXT, "Campaign, as in events; 'all' where the source has no campaigns."),
        Column("cost", MONEY, "Cost of the day."),
        _optional("currency", TEXT, "ISO 4217; absent means TRASOS_CURRENCY."),
        _optional("clicks", INT64, "Clicks paid for."),
    ),
    (
        Rule("negative_cost", lambda t: t.cost >= 0),
        Rule("cost_absurd", lambda t: t.cost <= MAX_COST),
        Rule("negative_clicks", lambda t: t.clicks >= 0),
    ),
)

ASSIGNMENT = LandingFormat(
    "assignments",
    "A unit's arm in an experiment; the first assignment of a unit stands.",
    (
        Column("experiment", TEXT, "Name of the experiment."),
        Column("unit_id", TEXT, "A visitor id or customer id.", pii=True),
        Column("arm", TEXT, "The arm, e.g. control."),
        Column("assigned_at", TIMESTAMP, "When the unit was first assigned (UTC)."),
    ),
    (Rule("empty_id", lambda t: _not_empty(t.unit_id) & _not_empty(t.experiment) & _not_empty(t.arm)),),
)

FORMATS: dict[str, LandingFormat] = {f.dataset: f for f in (EVENT, CATALOGUE, MARKETING_SPEND, ASSIGNMENT)}
