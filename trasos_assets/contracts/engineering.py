"""Tables that engineering owns: what landed, what became of it, and the clean tables the other teams build on."""

from datetime import timedelta

from trasos_assets.contracts.landing import ASSIGNMENT, CATALOGUE, EVENT, MARKETING_SPEND, LandingFormat
from trasos_assets.contracts.model import DATE, INT32, INT64, TEXT, TIMESTAMP, Column, Contract, Rule

RECEIVED_DAY = Column("day", DATE, "Received day: the dt of the landing folder.")
OCCURRED_DAY = Column("day", DATE, "Day on which it happened, in the business time zone.")
FILE_HASH = Column("file_hash", TEXT, "Hash of the delivery (path and content) the line came in.")
LINE = Column("line", INT64, "Line number in the delivery, from 1.")
REASONS = Column("reasons", TEXT, "Every rule that the line breaks, comma separated.", nullable=True)

DELIVERY_STATES = ("pending", "accepted", "waiting", "rejected", "superseded")
INTERACTION_TYPES = ("page_view", "click", "add_to_cart", "remove_from_cart", "purchase", "cancellation")


def _raw(landing: LandingFormat, *, freshness: timedelta | None = timedelta(hours=36)) -> Contract:
    occurred = (Column("occurred_day", DATE, "occurred_at in the business time zone.", nullable=True),)
    return Contract(
        name=f"raw_{landing.dataset}",
        owner="engineering",
        description=f"Every line delivered to landing/{landing.dataset}, whatever it holds; never shrinks.",
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
        ),
        primary_key=("day", "file_hash", "line"),
        freshness=freshness,
    )


RAW_EVENTS = _raw(EVENT)
RAW_CATALOGUE = _raw(CATALOGUE)
RAW_MARKETING_SPEND = _raw(MARKETING_SPEND)
RAW_ASSIGNMENTS = _raw(ASSIGNMENT)

LANDING_LEDGER = Contract(
    name="landing_ledger",
    owner="engineering",
    description="Every file seen in landing: what it is, whether it was taken, and why not.",
    columns=(
        Column("delivery", TEXT, "Hash of path and content: the delivery's identity, and file_hash in raw tables."),
        Column("dataset", TEXT, "The folder below landing/."),
        Column("path", TEXT, "Path below landing/."),
        Column("received_day", DATE, "The dt of its folder.", nullable=True),
        Column("size", INT64, "Bytes."),
        Column("signature", TEXT, "Size, times and inode: a file that shows the same is not read again."),
        Column("state", TEXT, "pending, accepted, waiting (may become readable), rejected, or superseded."),
        Column("reason", TEXT, "Why it waits or was rejected, and what to do.", nullable=True),
        Column("rows_read", INT64, "Lines read.", nullable=True),
        Column("first_seen_at", TIMESTAMP, "When the listing first showed it (UTC)."),
        Column("run_id", TEXT, "The Dagster run that took it.", nullable=True),
    ),
    primary_key=("delivery",),
    rules=(Rule("unknown_state", lambda t: t.state.isin(DELIVERY_STATES)),),
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
    ),
    primary_key=("day", "file_hash", "line"),
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
    ),
    primary_key=("day", "file_hash", "line"),
    rules=(
        Rule("unknown_state", lambda t: t.state.isin(("accepted", "duplicate", "quarantined"))),
        Rule("quarantined_without_reason", lambda t: (t.state == "quarantined") == t.reasons.notnull()),
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

CLEAN_EVENTS = Contract(
    name="clean_events",
    owner="engineering",
    description="Every accepted event once, on the day it happened. Bots and testers are flagged, not dropped.",
    partition="occurred",
    columns=(
        OCCURRED_DAY,
        *EVENT.columns,
        Column("bot_rule", TEXT, "The rule that marks this as bot traffic; null for people.", nullable=True),
    ),
    primary_key=("event_id",),
    rules=EVENT.rules,
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

CATALOGUE_HISTORY = Contract(
    name="catalogue_history",
    owner="engineering",
    description="Every state an item was in, by the snapshots that landed.",
    columns=(
        *CATALOGUE.columns,
        Column("valid_from", DATE, "First day of this state."),
        Column("valid_to", DATE, "First day of the next state; 9999-12-31 while it lasts."),
    ),
    primary_key=("item_id", "valid_from"),
    rules=(*CATALOGUE.rules, Rule("empty_interval", lambda t: t.valid_from < t.valid_to)),
)

ITEM_CATALOGUE = Contract(
    name="catalogue",
    owner="engineering",
    description="The latest state of every item.",
    columns=(*CATALOGUE.columns, Column("as_of", DATE, "The snapshot that this state comes from.")),
    primary_key=("item_id",),
    rules=CATALOGUE.rules,
)

SPEND = Contract(
    name="marketing_spend",
    owner="engineering",
    description="Cost of every campaign on every day, as last reported.",
    columns=MARKETING_SPEND.columns,
    primary_key=("spend_day", "channel", "campaign"),
    rules=MARKETING_SPEND.rules,
)

ASSIGNMENTS = Contract(
    name="assignments",
    owner="engineering",
    description="The arm of every unit in every experiment; the first assignment stands.",
    columns=ASSIGNMENT.columns,
    primary_key=("experiment", "unit_id"),
    rules=ASSIGNMENT.rules,
)

CONTRACTS = (
    LANDING_LEDGER,
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
    CATALOGUE_HISTORY,
    ITEM_CATALOGUE,
    SPEND,
    ASSIGNMENTS,
)
