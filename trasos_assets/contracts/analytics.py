"""Tables that analytics owns: orders and the KPIs that say whether the business got what it wanted."""

from trasos_assets.contracts.model import DATE, FLOAT64, INT32, INT64, MONEY, TEXT, TIMESTAMP, Column, Contract, Rule


def _count(name: str, description: str) -> Column:
    return Column(name, INT64, description)


def _share(name: str, description: str) -> Column:
    return Column(name, FLOAT64, description, nullable=True)


_SHARE_RANGE = "share_out_of_range"

ORDER_LINES = Contract(
    name="order_lines",
    owner="analytics",
    description="One row per purchased or cancelled line, without bots and testers.",
    partition="occurred",
    columns=(
        Column("day", DATE, "Day of the event in the business time zone."),
        Column("event_id", TEXT, "The clean event."),
        Column("order_id", TEXT, "The order, or the cancellation's own document."),
        Column("line_kind", TEXT, "purchase or cancellation."),
        Column("occurred_at", TIMESTAMP, "When (UTC)."),
        Column("visitor_id", TEXT, "Browser or device.", nullable=True, pii=True),
        Column("customer_id", TEXT, "The customer.", nullable=True, pii=True),
        Column("item_id", TEXT, "The item."),
        Column("quantity", INT32, "Pieces, above 0 for cancellations too."),
        Column("unit_price", MONEY, "Price of one piece."),
        Column("amount", MONEY, "quantity x unit_price, positive for cancellations too."),
        Column("channel", TEXT, "Acquisition channel of the session.", nullable=True),
        Column("device", TEXT, "Device.", nullable=True),
        Column("country", TEXT, "Country.", nullable=True),
    ),
    primary_key=("event_id",),
    rules=(Rule("unknown_line_kind", lambda t: t.line_kind.isin(("purchase", "cancellation"))),),
)

ORDERS = Contract(
    name="orders",
    owner="analytics",
    description="One row per order; a cancellation whose order is unknown stands alone with gross 0.",
    columns=(
        Column("order_id", TEXT, "The order."),
        Column("order_kind", TEXT, "order, or cancellation where the cancelled order is unknown."),
        Column("person_id", TEXT, "Customer if known, else visitor.", pii=True),
        Column("visitor_id", TEXT, "Browser or device.", nullable=True, pii=True),
        Column("customer_id", TEXT, "The customer.", nullable=True, pii=True),
        Column("day", DATE, "Day of the order (of the cancellation where the order is unknown)."),
        Column("ordered_at", TIMESTAMP, "First line of the order (UTC)."),
        Column("lines", INT32, "Purchase lines."),
        Column("quantity", INT64, "Pieces purchased."),
        Column("gross", MONEY, "Sum of purchase lines."),
        Column("cancelled", MONEY, "Sum of cancellation lines."),
        Column("net", MONEY, "gross - cancelled."),
        Column("is_valid", "boolean", "Counts as an order: order_kind is order and not wholly cancelled."),
        Column("order_number", INT32, "The person's n-th valid order, from 1; null if not valid.", nullable=True),
        Column("channel", TEXT, "Channel of the order's session.", nullable=True),
        Column("device", TEXT, "Device of the order.", nullable=True),
        Column("country", TEXT, "Country of the order.", nullable=True),
    ),
    primary_key=("order_id",),
    rules=(
        Rule("unknown_order_kind", lambda t: t.order_kind.isin(("order", "cancellation"))),
        Rule("net_is_not_gross_minus_cancelled", lambda t: t.net == t.gross - t.cancelled),
        Rule("cancellation_with_gross", lambda t: (t.order_kind == "order") | (t.gross == 0)),
        Rule("order_number_of_invalid_order", lambda t: t.is_valid == t.order_number.notnull()),
    ),
)

DAILY_KPIS = Contract(
    name="daily_kpis",
    owner="analytics",
    description="The headline numbers of every day, with numerators and denominators.",
    columns=(
        Column("day", DATE, "Day in the business time zone."),
        _count("visitors", "Distinct people with any event (customer if known, else visitor)."),
        _count("sessions", "Distinct sessions."),
        _count("buyers", "Distinct people with a valid order."),
        _count("orders", "Valid orders."),
        _count("new_customers", "People whose first valid order was on that day."),
        _count("returning_customers", "Buyers of the day whose first valid order was before it."),
        _count("units", "Pieces in valid orders."),
        Column("gross", MONEY, "Sum of purchase lines of the day's orders."),
        Column("cancelled", MONEY, "Cancelled value of the day's rows of orders."),
        Column("net", MONEY, "gross - cancelled."),
        _share("visitor_conversion", "buyers / visitors; null without visitors."),
        Column("average_order_value", MONEY, "net of valid orders / orders; null without orders.", nullable=True),
    ),
    primary_key=("day",),
    rules=(
        Rule("buyers_are_new_or_returning", lambda t: t.buyers == t.new_customers + t.returning_customers),
        Rule("buyers_exceed_visitors", lambda t: t.buyers <= t.visitors),
        Rule("net_is_not_gross_minus_cancelled", lambda t: t.net == t.gross - t.cancelled),
    ),
)

CONVERSION_FUNNEL = Contract(
    name="conversion_funnel",
    owner="analytics",
    description="Sessions from view to purchase, in order, each step against all sessions that viewed an item.",
    columns=(
        Column("week", DATE, "Monday of the week in which the session began."),
        Column("dimension", TEXT, "all, channel or device."),
        Column("value", TEXT, "The channel or device; 'all' for all, 'unknown' where the source is silent."),
        Column("step", INT32, "1 to 4."),
        Column("step_name", TEXT, "view, cart, checkout, purchase."),
        _count("sessions", "Sessions that reached the step after all the steps before it."),
        _count("entrants", "Sessions that reached step 1."),
        _share("share", "sessions / entrants."),
    ),
    primary_key=("week", "dimension", "value", "step"),
    rules=(
        Rule("more_than_entrants", lambda t: t.sessions <= t.entrants),
        Rule(_SHARE_RANGE, lambda t: (t.share >= 0) & (t.share <= 1)),
    ),
)

RETENTION_COHORTS = Contract(
    name="retention_cohorts",
    owner="analytics",
    description="Of the customers whose first order fell in a month, the share that ordered again k months later.",
    columns=(
        Column("cohort_month", DATE, "First day of the month of the first valid order."),
        Column("months_since", INT32, "Calendar months after the cohort month, from 0."),
        _count("customers", "Size of the cohort."),
        Column("returned", INT64, "Of those, with a valid order in that month; null while it is open.", nullable=True),
        _share("retention", "returned / customers; null while the month is not over."),
    ),
    primary_key=("cohort_month", "months_since"),
    rules=(
        Rule(_SHARE_RANGE, lambda t: (t.retention >= 0) & (t.retention <= 1)),
        Rule("negative_month", lambda t: t.months_since >= 0),
    ),
)

TIME_TO_RETURN = Contract(
    name="time_to_return",
    owner="analytics",
    description="Days from a first to a second order by Kaplan-Meier; those not yet back are censored.",
    columns=(
        Column("segment", TEXT, "all, or channel:<name> of the first order."),
        Column("days", INT32, "Days since the first order."),
        _count("at_risk", "People not yet returned and observed for at least so long."),
        _count("returned", "People who returned after exactly so many days."),
        _count("censored", "People whose observation ends there."),
        Column("not_returned", FLOAT64, "Kaplan-Meier share not yet returned after so many days."),
        _share("lower", "95 % band, log-log; null where it is not defined."),
        _share("upper", "95 % band, log-log; null where it is not defined."),
    ),
    primary_key=("segment", "days"),
    rules=(
        Rule(_SHARE_RANGE, lambda t: (t.not_returned >= 0) & (t.not_returned <= 1)),
        Rule("band_does_not_hold_estimate", lambda t: (t.lower <= t.not_returned) & (t.not_returned <= t.upper)),
    ),
)

ACQUISITION_COST = Contract(
    name="acquisition_cost",
    owner="analytics",
    description="Cost of winning a customer by week and channel; 'all' is blended over every channel, paid or not.",
    columns=(
        Column("week", DATE, "Monday of the week."),
        Column("channel", TEXT, "Channel of the first order; 'all' for blended, 'unknown' where the source is silent."),
        Column("cost", MONEY, "Marketing spend."),
        _count("new_customers", "People whose first valid order fell in the week."),
        Column("cac", MONEY, "cost / new_customers; null without any or while the week is open.", nullable=True),
    ),
    primary_key=("week", "channel"),
    rules=(Rule("negative_cac", lambda t: t.cac >= 0),),
)

EXPERIMENT_RESULTS = Contract(
    name="experiment_results",
    owner="analytics",
    description="Conversion by arm, by intention to treat, against the arm named control (or holdout).",
    columns=(
        Column("experiment", TEXT, "The experiment."),
        Column("arm", TEXT, "The arm."),
        Column("metric", TEXT, "conversion: the person placed a valid order after the assignment."),
        _count("people", "People assigned."),
        _count("successes", "Of those, with at least one."),
        _share("rate", "successes / people."),
        _share("difference", "rate - rate of control; null for control."),
        _share("difference_lower", "95 % interval (Newcombe)."),
        _share("difference_upper", "95 % interval (Newcombe)."),
        _share("relative_uplift", "difference / rate of control."),
        _share("p_value", "Two-sided, pooled z test."),
    ),
    primary_key=("experiment", "arm", "metric"),
    rules=(Rule(_SHARE_RANGE, lambda t: (t.rate >= 0) & (t.rate <= 1)),),
)

CONTRACTS = (
    ORDER_LINES,
    ORDERS,
    DAILY_KPIS,
    CONVERSION_FUNNEL,
    RETENTION_COHORTS,
    TIME_TO_RETURN,
    ACQUISITION_COST,
    EXPERIMENT_RESULTS,
)
