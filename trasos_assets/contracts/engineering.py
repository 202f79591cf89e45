"""Tables that engineering owns: what landed, what became of it, and the clean tables the other teams build on."""

from datetime import timedelta

from trasos_assets.contracts.landing import ASSIGNMENT, CATALOGUE, EVENT, MARKETING_SPEND, LandingFormat
from trasos_assets.contracts.model import BOOLEAN, DATE, INT32, INT64, MONEY, TEXT, TIMESTAMP, Column, Contract, Rule

RECEIVED_DAY = Column("day", DATE, "Received day: the dt of the landing folder.")
OCCURRED_DAY = Column("day", DATE, "Day on which it happened, in the business time zone.")
FILE_HASH = Column("file_hash", TEXT, "Hash of the delivery (path and content) the line came in.")
LINE = Column("line", INT64, "Line number in the delivery, from 1.")
REASONS = Column("reasons", TEXT, "Every rule that the line breaks, comma separated.", nullable=True)
WAIVED = Column("waived", TEXT, "Broken rules that a release took as kept, comma separated.", nullable=True)
RELEASED_ON = Column(
    "released_on", DATE, "Day of the release that let the line through; null if none was needed.", nullable=True
)

SESSION_ID = Column("session_id", TEXT, "The source's session where plausible, else one inferred.", pii=True)
SESSION_RULES = ("missing", "empty", "shared", "too_long")
BOT_RULES = ("known_agent", "event_rate", "event_burst", "breadth")

DELIVERY_STATES = ("pending", "accepted", "waiting", "rejected", "superseded")
INTERACTION_TYPES = ("page_view", "click", "add_to_cart", "remove_from_cart", "purchase", "cancellation")


RAW_KEEP_DAYS = 400
KEYS_KEEP_DAYS = RAW_KEEP_DAYS + 60
"""Longer than the lines by the widest window in which ids are compared, so that the first days kept can be judged."""


def _raw(
    landing: LandingFormat, *, freshness: timedelta | None = timedelta(hours=36), keep_days: int | None = None
) -> Contract:
    occurred = (Column("occurred_day", DATE, "occurred_at in the business time zone.", nullable=True),)
    return Contract(
        name=f"raw_{landing.dataset}",
        owner="engineering",
        description=f"Every line delivered to landing/{landing.dataset}, whatever it holds"
        + ("; never shrinks." if keep_days is None else f"; kept for {keep_days} days where retention is on."),
        partition="received",
        columns=(
            RECEIVED_DAY,
            FILE_HASH,
            LINE,
            *(column.optional() for column in landing.columns),
            *(occurred if "occurred_at" in {c.name for c in landing.columns} else ()),
            Column("extra", TEXT, "Fields the format does not know, as a JSON object.", nullable=True, pii=True),
            Column("problems", TEXT, "What could not be read, comma separated.", nullable=True),
            Column("raw", TEXT, "The line as it came, where it could not be read whole.", nullable=True, pii=True),
            Column("release_id", TEXT, "The release under which it could be read after all.", nullable=True),
        ),
        primary_key=("day", "file_hash", "line"),
        freshness=freshness,
        keep_days=keep_days,
    )


RAW_EVENTS = _raw(EVENT, keep_days=RAW_KEEP_DAYS)
RAW_CATALOGUE = _raw(CATALOGUE)
RAW_MARKETING_SPEND = _raw(MARKETING_SPEND)
RAW_ASSIGNMENTS = _raw(ASSIGNMENT)

LANDING_LEDGER = Contract(
    name="landing_ledger",
    owner="engineering",
    description="Every file seen in landing: what it is, whether it was taken, why not, and what became of its lines.",
    columns=(
        Column("delivery", TEXT, "Hash of path, size and content (size and times if unread); file_hash in raw tables."),
        Column("dataset", TEXT, "The folder below landing/."),
        Column("path", TEXT, "Path below landing/."),
        Column("received_day", DATE, "The dt of its folder.", nullable=True),
        Column("size", INT64, "Bytes."),
        Column("signature", TEXT, "Size, times and inode, or the store's tag: what shows the same is not read again."),
        Column("state", TEXT, "pending, accepted, waiting (may become readable), rejected, or superseded."),
        Column("reason", TEXT, "Why it waits or was rejected, and what to do.", nullable=True),
        Column("rows_read", INT64, "Lines or records read.", nullable=True),
        Column("accepted", INT64, "Of them accepted, as things stand; null until it was taken.", nullable=True),
        Column("duplicate", INT64, "Of them duplicates of events in this or another file.", nullable=True),
        Column("quarantined", INT64, "Of them refused. With the other two they are rows_read.", nullable=True),
        Column("first_seen_at", TIMESTAMP, "When the listing first showed it, or its path began to wait (UTC)."),
        Column("run_id", TEXT, "The Dagster run that took it.", nullable=True),
    ),
    primary_key=("delivery",),
    rules=(Rule("unknown_state", lambda t: t.state.isin(DELIVERY_STATES)),),
    volatile=True,
)

QUARANTINE_RELEASES = Contract(
    name="quarantine_releases",
    owner="engineering",
    description="Every release from the quarantine: which lines, for which reason, on whose word. Never shrinks.",
    columns=(
        Column("release_id", TEXT, "Hash of what it releases and when."),
        Column("dataset", TEXT, "The landed data set."),
        Column("reason", TEXT, "The reason for which its lines are in the quarantine."),
        Column("since", DATE, "First received day."),
        Column("until", DATE, "Last received day; later lines are judged by the rules again."),
        Column("file_hash", TEXT, "One delivery only; null for all.", nullable=True),
        Column("waived", BOOLEAN, "True: the rule is taken as kept. False: the lines are read and judged again."),
        Column("released_by", TEXT, "Who released it."),
        Column("released_on", DATE, "Day of the release, in the business time zone."),
        Column("released_at", TIMESTAMP, "When (UTC)."),
        Column("note", TEXT, "Why.", nullable=True),
        Column("applied", BOOLEAN, "Whether everything by day was built with it."),
    ),
    primary_key=("release_id",),
    freshness=None,
    rules=(
        Rule("ends_before_it_begins", lambda t: t.since <= t.until),
        Rule("reaches_past_its_day", lambda t: t.until <= t.released_on),
    ),
    volatile=True,
)

EVENT_KEYS = Contract(
    name="event_keys",
    owner="engineering",
    description="One slim row per landed event line: its identity, the day it happened, the row rules it breaks.",
    partition="received",
    columns=(
        RECEIVED_DAY,
        FILE_HASH,
        LINE,
        Column("event_id", TEXT, "As landed.", nullable=True),
        Column("payload_hash", TEXT, "Hash of all the event's fields but received_at.", nullable=True),
        Column("received_at", TIMESTAMP, "As landed.", nullable=True),
        Column("occurred_day", DATE, "Day on which it happened.", nullable=True),
        REASONS,
        WAIVED,
        RELEASED_ON,
    ),
    primary_key=("day", "file_hash", "line"),
    keep_days=KEYS_KEEP_DAYS,
    rules=(Rule("released_though_refused", lambda t: t.reasons.isnull() | t.released_on.isnull()),),
)

EVENT_STATES = Contract(
    name="event_states",
    owner="engineering",
    description="What became of every landed event line: accepted, duplicate or quarantined, with all the reasons.",
    partition="received",
    columns=(
        RECEIVED_DAY,
        FILE_HASH,
        LINE,
        Column("event_id", TEXT, "As landed.", nullable=True),
        Column("occurred_day", DATE, "Day on which it happened.", nullable=True),
        Column("state", TEXT, "accepted, duplicate or quarantined."),
        REASONS,
        WAIVED,
        RELEASED_ON,
    ),
    primary_key=("day", "file_hash", "line"),
    rules=(
        Rule("unknown_state", lambda t: t.state.isin(("accepted", "duplicate", "quarantined"))),
        Rule("quarantined_without_reason", lambda t: (t.state == "quarantined") == t.reasons.notnull()),
        Rule("released_though_quarantined", lambda t: (t.state != "quarantined") | t.released_on.isnull()),
    ),
)

QUARANTINED_EVENTS = Contract(
    name="quarantined_events",
    owner="engineering",
    description="Every refused event line with all its reasons; kept, explained, and open to replay.",
    partition="received",
    columns=(
        RECEIVED_DAY,
        FILE_HASH,
        LINE,
        Column("reasons", TEXT, "Every rule that the line breaks, comma separated."),
        Column("event_id", TEXT, "As landed.", nullable=True),
        Column("event_type", TEXT, "As landed.", nullable=True),
        Column("occurred_at", TIMESTAMP, "As landed.", nullable=True),
        Column("raw", TEXT, "The line as it came; its fields as JSON where all could be read.", pii=True),
    ),
    primary_key=("day", "file_hash", "line"),
    keep_days=RAW_KEEP_DAYS,
)

QUARANTINED_RECORDS = Contract(
    name="quarantined_records",
    owner="engineering",
    description="Refused lines of the catalogue, marketing spend and assignments, with all their reasons.",
    partition="received",
    columns=(
        RECEIVED_DAY,
        Column("dataset", TEXT, "The landed data set."),
        FILE_HASH,
        LINE,
        Column("reasons", TEXT, "Every rule that the line breaks, comma separated."),
        Column("raw", TEXT, "The line as it came; its fields as JSON where all could be read.", pii=True),
    ),
    primary_key=("day", "dataset", "file_hash", "line"),
)


def _or_waived(rule: Rule) -> Rule:
    """The rule for rows of ``clean_events``: it holds, or a release waived it for the row."""
    if rule.waivable is None:
        return rule
    listed = f",{rule.name},"
    return Rule(
        rule.name,
        lambda t: rule.holds(t).fill_null(True) | ("," + t.waived + ",").contains(listed).fill_null(False),
        rule.description,
    )


CLEAN_EVENTS = Contract(
    name="clean_events",
    owner="engineering",
    description="Every accepted event once, on the day it happened. Bots and testers are flagged, not dropped.",
    partition="occurred",
    columns=(
        OCCURRED_DAY,
        *(SESSION_ID if column.name == SESSION_ID.name else column for column in EVENT.columns),
        Column(
            "bot_rule",
            TEXT,
            f"What marks this as bot traffic, the first that applies: {', '.join(BOT_RULES)}; null for people.",
            nullable=True,
        ),
        Column(
            "session_rule",
            TEXT,
            f"Why the session is not the source's own: {', '.join(SESSION_RULES)}; null where it is.",
            nullable=True,
        ),
        WAIVED,
    ),
    primary_key=("event_id",),
    rules=(
        *(_or_waived(rule) for rule in EVENT.rules),
        Rule("unknown_bot_rule", lambda t: t.bot_rule.isin(BOT_RULES)),
        Rule("empty_session_id", lambda t: t.session_id != ""),
        Rule("unknown_session_rule", lambda t: t.session_rule.isin(SESSION_RULES)),
    ),
)

INTERACTIONS = Contract(
    name="interactions",
    owner="engineering",
    description="What people did with items: views, clicks, carts, purchases, cancellations. No bots, no testers.",
    partition="occurred",
    columns=(
        OCCURRED_DAY,
        Column("event_id", TEXT, "The clean event."),
        Column("occurred_at", TIMESTAMP, "When it happened (UTC)."),
        Column("visitor_id", TEXT, "Browser or device.", nullable=True, pii=True),
        Column("customer_id", TEXT, "The logged-in customer.", nullable=True, pii=True),
        Column("item_id", TEXT, "The item."),
        Column("interaction_type", TEXT, f"One of {', '.join(INTERACTION_TYPES)}."),
        Column("quantity", INT32, "Pieces; 1 where the event has none."),
    ),
    primary_key=("event_id",),
    rules=(Rule("unknown_interaction_type", lambda t: t.interaction_type.isin(INTERACTION_TYPES)),),
)

WATERMARK = Contract(
    name="watermark",
    owner="engineering",
    description="One row: the days that the lake covers. Every window is judged open or over by it, never by a clock.",
    columns=(
        Column("first_day", DATE, "First day of the lake."),
        Column("data_through", DATE, "Last received day; everything up to its end has landed."),
        Column("last_event_at", TIMESTAMP, "Latest accepted event (UTC).", nullable=True),
    ),
    primary_key=("data_through",),
)

IDENTITIES = Contract(
    name="identities",
    owner="engineering",
    description="Which customer a visitor was, and when: events before the first login go to the first customer.",
    columns=(
        Column("visitor_id", TEXT, "Browser or device.", pii=True),
        Column("customer_id", TEXT, "The customer logged in on it.", pii=True),
        Column("valid_from", TIMESTAMP, "From here on the visitor is this customer; 0001-01-01 for the first."),
        Column("valid_to", TIMESTAMP, "Until here, exclusive; 9999-12-31 for the last."),
    ),
    primary_key=("visitor_id", "valid_from"),
    rules=(Rule("empty_interval", lambda t: t.valid_from < t.valid_to),),
)

RESTATED_COUNTS = {
    "visitors": "People who came",
    "sessions": "Sessions",
    "buyers": "People with a valid order",
    "orders": "Valid orders",
}
RESTATED_MONEY = {"gross": "Sum of purchase lines of the day's orders", "net": "Gross without what was cancelled"}


def _before_and_after(name: str, type_: str, description: str) -> tuple[Column, Column]:
    return (
        Column(f"{name}_before", type_, f"{description}, as in daily_kpis, without these events and later ones."),
        Column(f"{name}_after", type_, f"{description}, as in daily_kpis, with these events."),
    )


RESTATEMENTS = Contract(
    name="restatements",
    owner="engineering",
    served_to="whoever asks why a number changed, through the warehouse",
    description="Which day was changed by events that became known after it, and what they did to its KPIs.",
    columns=(
        Column("day", DATE, "Day on which the events happened, in the business time zone."),
        Column("restated_on", DATE, "Later day on which they became known: the landing folder's, or the release's."),
        Column("events_added", INT64, "Accepted events of the day that became known then, bots and testers included."),
        *(column for name, text in RESTATED_COUNTS.items() for column in _before_and_after(name, INT64, text)),
        *(column for name, text in RESTATED_MONEY.items() for column in _before_and_after(name, MONEY, text)),
    ),
    primary_key=("day", "restated_on"),
    rules=(
        Rule("restated_before_it_was_over", lambda t: t.restated_on > t.day),
        Rule("nothing_added", lambda t: t.events_added > 0),
        Rule("fewer_visitors_by_more_events", lambda t: t.visitors_after >= t.visitors_before),
        Rule("fewer_sessions_by_more_events", lambda t: t.sessions_after >= t.sessions_before),
    ),
)

CONTRACTS = (
    LANDING_LEDGER,
    QUARANTINE_RELEASES,
    RAW_EVENTS,
    RAW_CATALOGUE,
    RAW_MARKETING_SPEND,
    RAW_ASSIGNMENTS,
    EVENT_KEYS,
    EVENT_STATES,
    QUARANTINED_EVENTS,
    QUARANTINED_RECORDS,
    CLEAN_EVENTS,
    INTERACTIONS,
    WATERMARK,
    IDENTITIES,
    RESTATEMENTS,
)
