"""Tables that watch a model at work: its live metrics, drift, and requests to train again."""

from trasos_assets.contracts.model import DATE, FLOAT64, INT32, INT64, TEXT, Column, Contract, Rule
from trasos_assets.contracts.science import AS_OF

STATES = ("ok", "watch", "drifted", "too_few")
REASONS = ("drift", "staleness", "new_data", "missed_schedule", "schedule", "by_hand")
"""Why a model was trained, or should be: what monitoring asks for, then what others started."""

_ASKED = REASONS[:4]
_READERS = "whoever watches the model: data/reports/monitoring.html, and the warehouse"
_SERVING_VERSION = Column("model_version", TEXT, "The model that served; null while none does.", nullable=True)


def _count(name: str, description: str) -> Column:
    return Column(name, INT64, description)


def _later_count(name: str, description: str) -> Column:
    return Column(name, INT64, description, nullable=True)


def _share(name: str, description: str) -> Column:
    return Column(name, FLOAT64, description, nullable=True)


_SHARES = ("request_click_rate", "click_through_rate", "catalogue_coverage", "fallback_share", "list_coverage")

MODEL_MONITORING = Contract(
    name="model_monitoring",
    owner="science",
    served_to=_READERS,
    description="What the recommender did on every day: exposure and clicks from the events of people, and, of the "
    "days on which lists were looked at, what stood in them. Every share with numerator and denominator.",
    columns=(
        Column("day", DATE, "Day in the business time zone."),
        _count("requests", "Recommendation requests first shown on the day, to people."),
        _later_count("clicked_requests", "Of those, with a click by the next day's end; null before that has landed."),
        _share("request_click_rate", "clicked_requests / requests."),
        _count("impressions", "Items shown, each once by request, item and slot."),
        _later_count("clicked_impressions", "Of those, clicked by the next day's end; null before that has landed."),
        _share("click_through_rate", "clicked_impressions / impressions."),
        _count("items_on_sale", "Available products of the catalogue, as of the day."),
        _count("items_shown", "Of those, with an impression on the day."),
        _share("catalogue_coverage", "items_shown / items_on_sale; null on days without a request."),
        _SERVING_VERSION,
        _later_count("model_age_days", "Days from the last day that the model learned from to this one."),
        _later_count("listed_rows", "Rows of recommendations as of the day; null where nobody looked on the day."),
        _later_count("fallback_rows", "Of those, from a source that stands in where the model has no more to say."),
        _share("fallback_share", "fallback_rows / listed_rows."),
        _later_count("listed_items", "Different items in recommendations as of the day."),
        _later_count("listable_items", "Items that could have been, as of the day."),
        _share("list_coverage", "listed_items / listable_items."),
        _later_count("active_people", "People with an event in the 28 days that end on the day."),
        _later_count("listed_people", "Of those, with a list."),
        _share("list_reach", "listed_people / active_people."),
    ),
    primary_key=("day",),
    # What lists held on earlier days can be told from no other table: those rows are kept.
    volatile=True,
    rules=(
        *(
            Rule(f"{share}_out_of_range", lambda t, share=share: (t[share] >= 0) & (t[share] <= 1))
            for share in (*_SHARES, "list_reach")
        ),
        Rule("negative_model_age", lambda t: t.model_age_days >= 0),
    ),
)

_WINDOWS = (
    Column("reference_from", DATE, "First day of the reference: the last days that the serving model learned from."),
    Column("reference_through", DATE, "Last day of it."),
    Column("current_from", DATE, "First day that is compared: after the model learned."),
    Column("current_through", DATE, "Last day of it."),
)
_FEATURE = Column("feature", TEXT, "What is compared; see docs/monitoring.md.")

DRIFT_BINS = Contract(
    name="drift_bins",
    owner="science",
    served_to=_READERS,
    description="How every watched feature is distributed in the serving model's reference window and since then.",
    columns=(
        _FEATURE,
        Column("bin", INT32, "Number of the bin, from 0."),
        Column("label", TEXT, "The value, or the range, that the bin holds."),
        Column("low", FLOAT64, "Values above this; null: no lower end, or no number.", nullable=True),
        Column("high", FLOAT64, "Values up to this; null: no upper end, or no number.", nullable=True),
        _count("reference_count", "Observations in the reference window."),
        _count("current_count", "Observations since."),
        Column("reference_people", FLOAT64, "Effective sample of the feature: people, by Kish, in the reference."),
        Column("current_people", FLOAT64, "Effective sample of the feature: people, by Kish, since."),
        _SERVING_VERSION,
        *_WINDOWS,
        AS_OF,
    ),
    primary_key=("feature", "bin"),
    # The scores that a model served with when it was new are kept from look to look.
    volatile=True,
    rules=(
        Rule("negative_count", lambda t: (t.reference_count >= 0) & (t.current_count >= 0)),
        Rule("bin_without_observation", lambda t: (t.reference_count + t.current_count) > 0),
        Rule("empty_range", lambda t: t.low < t.high),
    ),
)

DRIFT = Contract(
    name="drift",
    owner="science",
    served_to=_READERS,
    description="How far every watched feature has moved since the serving model learned: one row a feature and look.",
    columns=(
        Column("as_of", DATE, "Last day of data behind the look."),
        _FEATURE,
        Column("state", TEXT, f"One of {', '.join(STATES)}."),
        Column("psi", FLOAT64, "Population stability index; null without observations on both sides.", nullable=True),
        Column("psi_by_chance", FLOAT64, "What it is expected to be without any drift.", nullable=True),
        Column("psi_critical", FLOAT64, "What chance alone exceeds at the rate of the settings.", nullable=True),
        Column("js", FLOAT64, "Jensen-Shannon distance, 0 to 1.", nullable=True),
        Column("bins", INT32, "Bins compared."),
        _count("reference_count", "Observations in the reference window."),
        _count("current_count", "Observations since."),
        Column("reference_people", FLOAT64, "Effective sample in the reference window, in people."),
        Column("current_people", FLOAT64, "Effective sample since, in people."),
        Column("moved_most", TEXT, "The bin that adds most to the index.", nullable=True),
        _share("moved_from", "Its share in the reference window."),
        _share("moved_to", "Its share since."),
        _SERVING_VERSION,
        *_WINDOWS,
    ),
    primary_key=("as_of", "feature"),
    volatile=True,
    rules=(
        Rule("unknown_state", lambda t: t.state.isin(STATES)),
        Rule("negative_index", lambda t: (t.psi >= 0) & (t.js >= 0)),
        Rule("distance_above_one", lambda t: t.js <= 1),
    ),
)

RETRAINING_REQUESTS = Contract(
    name="retraining_requests",
    owner="science",
    served_to=_READERS,
    description="Why the model was trained, or is to be: what monitoring asked for, and trainings that others started.",
    columns=(
        Column("sequence", INT64, "From 1, without gaps."),
        Column("requested_as_of", DATE, "Last day of data when it was asked for (or when others trained)."),
        Column("reason", TEXT, f"One of {', '.join(REASONS)}."),
        Column("detail", TEXT, "The reason in words, with its figures."),
        _SERVING_VERSION,
        Column("fulfilled_by", TEXT, "The candidate that was trained; null while it waits.", nullable=True),
        Column("fulfilled_as_of", DATE, "Last day of data behind that candidate.", nullable=True),
    ),
    primary_key=("sequence",),
    volatile=True,
    rules=(
        Rule("unknown_reason", lambda t: t.reason.isin(REASONS)),
        Rule("fulfilled_before_it_was_asked_for", lambda t: t.fulfilled_as_of >= t.requested_as_of),
        Rule("trained_by_others_without_model", lambda t: t.reason.isin(_ASKED) | t.fulfilled_by.notnull()),
    ),
)

CONTRACTS = (MODEL_MONITORING, DRIFT_BINS, DRIFT, RETRAINING_REQUESTS)
