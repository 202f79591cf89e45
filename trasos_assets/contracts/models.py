"""Tables of science's models: how they compare, what they are made of, which one serves."""

from trasos_assets.contracts.model import DATE, FLOAT64, INT32, INT64, TEXT, VECTOR, Column, Contract, Rule
from trasos_assets.contracts.science import AS_OF, WEEKLY

MODEL_VERSION = Column("model_version", TEXT, "Hash of inputs, code and parameters of the model.")

LEADERBOARD = Contract(
    name="leaderboard",
    owner="science",
    description="Every model on every target by a global time split, full ranking, mean over people.",
    columns=(
        Column("model", TEXT, "The model."),
        Column("target", TEXT, "new_items: only items the person never bought; all_items: repeats count too."),
        Column("metric", TEXT, "ndcg, recall, hit_rate or coverage."),
        Column("k", INT32, "Length of the list."),
        Column("value", FLOAT64, "The metric, mean over people.", nullable=True),
        Column("people", INT64, "People in the mean."),
        Column("train_through", DATE, "Last day of training data."),
        Column("test_through", DATE, "Last day of truth."),
    ),
    primary_key=("model", "target", "metric", "k"),
    freshness=WEEKLY,
    rules=(
        Rule("metric_out_of_range", lambda t: (t.value >= 0) & (t.value <= 1)),
        Rule("split_leaks", lambda t: t.train_through < t.test_through),
    ),
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

CHAMPION = Contract(
    name="champion",
    owner="science",
    description="One row: the model that recommendations are made with.",
    columns=(
        Column("model", TEXT, "als or popularity."),
        MODEL_VERSION,
        Column("reason", TEXT, "Why this model serves."),
        AS_OF,
    ),
    primary_key=("model_version",),
    freshness=WEEKLY,
)

CONTRACTS = (LEADERBOARD, ALS_MODEL, CHAMPION)
