"""Tables of science's models: how they compare, what they are made of, which one serves."""

from datetime import timedelta

from trasos_assets.contracts.model import (
    BOOLEAN,
    DATE,
    FLOAT64,
    INT32,
    INT64,
    TEXT,
    TIMESTAMP,
    VECTOR,
    Column,
    Contract,
    Rule,
)
from trasos_assets.contracts.science import AS_OF, WEEKLY

MODEL_VERSION = Column("model_version", TEXT, "Hash of inputs, code and parameters of the model.")

MEAN_FOLD = "mean"
"""The fold of rows that speak of all folds; the folds themselves are 1 (the latest), 2 and so on back in time."""

SEGMENTS = ("all", "warm", "cold", "heavy", "light", "cold_items")
TARGETS = ("new_items", "all_items")
LIST_METRICS = ("novelty", "diversity", "popularity_lift")
RANKING_METRICS = ("ndcg", "recall", "map", "mrr", "hit_rate")
SET_METRICS = ("coverage", "gini")
CHAMPION_NAME = "champion"
"""The name under which the champion's stored parameters compete, beside the models of the registry."""

_COMPETITOR = Column("model", TEXT, "Name in the registry; champion: what serves today, by its stored parameters.")
_TARGET = Column("target", TEXT, "new_items: only items the person never bought; all_items: repeats count too.")
_FOLD = Column("fold", TEXT, "1 is the latest window of truth, 2 the one before; mean: over all folds.")
_SEGMENT = Column(
    "segment",
    TEXT,
    "all: everybody who bought in the window; warm, cold: with and without an interaction before it; heavy, light: "
    "warm people above the median of interactions, and the others; cold_items: what was bought of items unseen before.",
)
_TRAIN_THROUGH = Column("train_through", DATE, "Last day that a model may learn from (of the latest fold).")
_TEST_THROUGH = Column("test_through", DATE, "Last day of truth (of the latest fold).")
_SOURCE_THROUGH = Column("source_through", DATE, "Last day found in the rows that models were fitted to.")
_TRUTH_FROM = Column("truth_from", DATE, "First day found in the purchases that models were judged by.")


EVALUATIONS = Contract(
    name="evaluations",
    owner="science",
    description="What every model was worth to every judged person, by fold, target and length of list; and what its "
    "fit cost. One fit of a model serves leaderboard, model_comparisons and model_costs, which are made of this.",
    columns=(
        _COMPETITOR,
        Column("parameters", TEXT, "The model's config as JSON."),
        Column("fold", INT32, "1 is the latest window of truth, 2 the one before."),
        _TARGET,
        Column("segment", TEXT, "heavy, light or cold people, judged by items seen before; or cold_items."),
        Column("k", INT32, "Length of the list."),
        Column("person_id", TEXT, "Whose purchases are the truth.", pii=True),
        Column("relevant", INT64, "Items that would have been right."),
        *(Column(name, FLOAT64, "Of this person's list; see docs/models.md.") for name in RANKING_METRICS),
        *(
            Column(name, FLOAT64, "Of this person's list; null if it is empty (diversity: shorter than two).", True)
            for name in LIST_METRICS
        ),
        Column("coverage", FLOAT64, "Of all lists of the model, fold, target and k: repeated in each of their rows."),
        Column("gini", FLOAT64, "Of all lists, as coverage.", nullable=True),
        _TRAIN_THROUGH,
        _TEST_THROUGH,
        _SOURCE_THROUGH,
        _TRUTH_FROM,
        Column("fit_seconds", FLOAT64, "Of the model's fit on the fold: repeated in each of its rows."),
        Column("fit_peak_bytes", INT64, "Most that the process grew by during the fit; null where not known.", True),
        Column("serve_seconds", FLOAT64, "To rank for the people of the target."),
        Column("people_served", INT64, "People it ranked for."),
    ),
    primary_key=("model", "fold", "target", "segment", "k", "person_id"),
    freshness=WEEKLY,
    volatile=True,
    rules=(
        Rule("split_leaks", lambda t: (t.train_through < t.test_through) & (t.source_through <= t.train_through)),
        Rule("unknown_segment", lambda t: t.segment.isin(("heavy", "light", "cold", "cold_items"))),
        Rule("metric_out_of_range", lambda t: (t.ndcg >= 0) & (t.ndcg <= 1) & (t.recall >= 0) & (t.recall <= 1)),
    ),
)

LEADERBOARD = Contract(
    name="leaderboard",
    owner="science",
    description="Every model on every fold, segment and target, full ranking, mean over people with its interval.",
    columns=(
        _COMPETITOR,
        _FOLD,
        _SEGMENT,
        _TARGET,
        Column("metric", TEXT, f"{', '.join((*RANKING_METRICS, *LIST_METRICS))}; of segment all: coverage, gini."),
        Column("k", INT32, "Length of the list."),
        Column("value", FLOAT64, "The metric, mean over people; null if nobody was judged.", nullable=True),
        Column("low", FLOAT64, "Lower end of the 95 % bootstrap interval over people.", nullable=True),
        Column("high", FLOAT64, "Upper end of it.", nullable=True),
        Column("people", INT64, "Distinct people in the mean."),
        Column("truth_share", FLOAT64, "Share of all that was bought in the window that the segment's truth holds."),
        _TRAIN_THROUGH,
        _TEST_THROUGH,
        _SOURCE_THROUGH,
        _TRUTH_FROM,
    ),
    primary_key=("model", "fold", "segment", "target", "metric", "k"),
    freshness=WEEKLY,
    version=2,
    rules=(
        Rule(
            "metric_out_of_range",
            lambda t: (t.value >= 0) & ((t.value <= 1) | t.metric.isin(("novelty", "popularity_lift"))),
        ),
        Rule("empty_interval", lambda t: t.low <= t.high),
        Rule("split_leaks", lambda t: (t.train_through < t.test_through) & (t.source_through < t.truth_from)),
        Rule("unknown_segment", lambda t: t.segment.isin(("all", "warm", "cold", "heavy", "light", "cold_items"))),
    ),
)

MODEL_COMPARISONS = Contract(
    name="model_comparisons",
    owner="science",
    description="Every model minus each baseline and the champion, person by person: paired interval and tests.",
    columns=(
        _COMPETITOR,
        Column("against", TEXT, "A baseline, or champion."),
        _FOLD,
        _SEGMENT,
        _TARGET,
        Column("metric", TEXT, f"{', '.join(RANKING_METRICS)}."),
        Column("k", INT32, "Length of the list."),
        Column("difference", FLOAT64, "Mean over people of model minus against.", nullable=True),
        Column("low", FLOAT64, "Lower end of the paired 95 % bootstrap interval.", nullable=True),
        Column("high", FLOAT64, "Upper end of it.", nullable=True),
        Column("p", FLOAT64, "Two-sided paired bootstrap p-value.", nullable=True),
        Column("p_holm", FLOAT64, "By Holm over all pairs of one fold, segment, target, metric and k.", nullable=True),
        Column("people", INT64, "Distinct people compared."),
        _TRAIN_THROUGH,
        _TEST_THROUGH,
    ),
    primary_key=("model", "against", "fold", "segment", "target", "metric", "k"),
    freshness=WEEKLY,
    rules=(
        Rule("p_out_of_range", lambda t: (t.p > 0) & (t.p <= 1) & (t.p_holm >= t.p) & (t.p_holm <= 1)),
        Rule("compared_with_itself", lambda t: t.model != t.against),
    ),
)

MODEL_COSTS = Contract(
    name="model_costs",
    owner="science",
    description="What every model took to fit and to rank with, by fold, on the machine that did it.",
    columns=(
        _COMPETITOR,
        Column("fold", INT32, "1 is the latest window of truth, 2 the one before."),
        Column("parameters", TEXT, "The model's config as JSON."),
        Column("fit_seconds", FLOAT64, "Wall clock of the fit."),
        Column(
            "fit_peak_bytes",
            INT64,
            "Most that the process's resident memory grew by in the fit, sampled; null where the system tells none.",
            nullable=True,
        ),
        Column("people_served", INT64, "People ranked for, both targets together."),
        Column("serve_seconds_per_1000", FLOAT64, "Wall clock to rank for 1,000 people, both targets together."),
        _TRAIN_THROUGH,
    ),
    primary_key=("model", "fold"),
    freshness=WEEKLY,
    volatile=True,
    rules=(Rule("negative_cost", lambda t: (t.fit_seconds >= 0) & (t.serve_seconds_per_1000 >= 0)),),
)

ALS_MODEL = Contract(
    name="als_model",
    owner="science",
    description="Factors of the ALS model, one row per person and per item.",
    columns=(
        Column("side", TEXT, "person or item."),
        Column("id", TEXT, "Person or item id.", pii=True),
        Column("factors", VECTOR, "Latent factors, float32."),
        MODEL_VERSION,
    ),
    primary_key=("side", "id"),
    freshness=WEEKLY,
    rules=(Rule("unknown_side", lambda t: t.side.isin(("person", "item"))),),
)

PARTS_KEPT = Column("parts", INT64, "Rows stored of it; 0: it is made again from the training rows in a moment.")

CANDIDATE = Contract(
    name="candidate",
    owner="science",
    description="One row: the model that asks to serve, and all that it was made of; no row before there is data.",
    columns=(
        Column("model", TEXT, "Its name in the registry of models."),
        MODEL_VERSION,
        Column("parameters", TEXT, "Its config as JSON."),
        Column("payload", TEXT, "What is stored of it but vectors: JSON list of side, id, text.", nullable=True),
        Column("als_version", TEXT, "The als_model whose vectors are its own; null: it has others.", nullable=True),
        PARTS_KEPT,
        Column("parts_hash", TEXT, "Of all that is stored of it; null where Spark fitted it.", nullable=True),
        Column("rows", INT64, "Rows that it learned from."),
        Column("first_day", DATE, "First day of them."),
        Column("last_day", DATE, "Last day of them."),
        Column("source_hash", TEXT, "Of the rows."),
        Column("code_version", TEXT, "Of the code that fits it."),
        AS_OF,
    ),
    primary_key=("model_version",),
    freshness=WEEKLY,
)

DEFINITION_OF_DONE = Contract(
    name="definition_of_done",
    owner="science",
    description="What a candidate must be to serve, one row a criterion: whether it holds, and by which figure.",
    columns=(
        Column("criterion", TEXT, "What must hold, as a name."),
        Column("owner", TEXT, "The team that asks for it and must act when it fails."),
        Column("passed", BOOLEAN, "Whether it holds; a candidate serves only if all do."),
        Column("judged", BOOLEAN, "False: there is nothing, or too little, to judge by; the reason says so."),
        Column("value", FLOAT64, "The figure.", nullable=True),
        Column("threshold", FLOAT64, "What the figure is held against.", nullable=True),
        Column("reason", TEXT, "The verdict in words."),
        Column("must", TEXT, "What must hold, in words."),
        Column("model", TEXT, "The candidate's model."),
        MODEL_VERSION,
        AS_OF,
    ),
    primary_key=("criterion",),
    freshness=WEEKLY,
    rules=(Rule("unknown_owner", lambda t: t.owner.isin(("engineering", "science", "analytics"))),),
    # It holds measured times, and what the candidate is compared with depends on who served before.
    volatile=True,
)

CHAMPION = Contract(
    name="champion",
    owner="science",
    description="The history of what serves: one row a promotion, rollback or sign-off; the last row serves.",
    columns=(
        Column("sequence", INT64, "From 1, without gaps."),
        Column("model", TEXT, "Its name in the registry of models."),
        MODEL_VERSION,
        Column("parameters", TEXT, "Its config as JSON."),
        PARTS_KEPT,
        Column("action", TEXT, "promoted, rolled_back (to this version), or signed (off; serves as before)."),
        Column("reason", TEXT, "Why, or by whom."),
        AS_OF,
    ),
    primary_key=("sequence",),
    freshness=WEEKLY,
    rules=(
        Rule("unknown_action", lambda t: t.action.isin(("promoted", "rolled_back", "signed"))),
        Rule("sequence_not_positive", lambda t: t.sequence >= 1),
    ),
    # Which candidates there were depends on when the model was trained, and not on the data alone.
    volatile=True,
)

CHAMPION_MODEL = Contract(
    name="champion_model",
    owner="science",
    description="What is stored of the models that served last, so that a rollback needs no refit.",
    columns=(
        MODEL_VERSION,
        Column("side", TEXT, "person or item for vectors; else what the text is of."),
        Column("id", TEXT, "Person or item id, or the name of the text.", pii=True),
        Column("factors", VECTOR, "Latent factors, float32.", nullable=True),
        Column("payload", TEXT, "Text that the model reads again; no person's id.", nullable=True),
    ),
    primary_key=("model_version", "side", "id"),
    freshness=WEEKLY,
    volatile=True,
)

TRIALS = Contract(
    name="trials",
    owner="science",
    description="Every parameter set that the search tried, on days before the leaderboard's test windows.",
    columns=(
        Column("study", TEXT, "Hash of the data, folds, target, space, seed and code that the trial belongs to."),
        Column("model", TEXT, "The model."),
        Column("trial", INT32, "Number of the trial in its study, from 0."),
        Column("state", TEXT, "complete; pruned: given up after a fold; failed: no value, the reason says why."),
        Column("origin", TEXT, "former: best of an earlier study; default: the model's own; proposed by the sampler."),
        Column("parameters", TEXT, "What was tried, as JSON: the searched parameters of the model's config."),
        Column("target", TEXT, "new_items or all_items: what the value is of."),
        Column("value", FLOAT64, "NDCG@10, mean over the folds; null unless complete.", nullable=True),
        Column("fold_values", TEXT, "NDCG@10 of each fold that was judged, earliest first, as a JSON list."),
        Column("folds", INT32, "Validation folds of the study."),
        Column("people", INT64, "People judged, over all folds: of few, the best may be best by chance."),
        Column("train_through", DATE, "Last day of training of the earliest fold."),
        Column("seconds", FLOAT64, "What the trial took."),
        Column("reason", TEXT, "Why it was pruned or failed.", nullable=True),
        Column("seed", INT64, "Seed of the search."),
        Column("finished_at", TIMESTAMP, "When the trial ended (UTC)."),
        Column("as_of", DATE, "Last day that the search may have seen."),
    ),
    primary_key=("study", "model", "trial"),
    freshness=timedelta(days=92),
    volatile=True,
    rules=(
        Rule("unknown_state", lambda t: t.state.isin(("complete", "pruned", "failed"))),
        Rule("unknown_origin", lambda t: t.origin.isin(("former", "default", "proposed"))),
        Rule("value_out_of_range", lambda t: (t.value >= 0) & (t.value <= 1)),
        Rule("complete_means_a_value", lambda t: (t.state == "complete") == t.value.notnull()),
        Rule("no_reason_given", lambda t: (t.state == "complete") | t.reason.notnull()),
        Rule("split_leaks", lambda t: t.train_through < t.as_of),
    ),
)

CONTRACTS = (
    EVALUATIONS,
    LEADERBOARD,
    MODEL_COMPARISONS,
    MODEL_COSTS,
    ALS_MODEL,
    CANDIDATE,
    DEFINITION_OF_DONE,
    CHAMPION,
    CHAMPION_MODEL,
    TRIALS,
)
