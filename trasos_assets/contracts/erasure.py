"""Tables of erasure: who must not come back, and what the forgotten added to numbers that stand published."""

from trasos_assets.contracts.model import INT32, MONEY, TEXT, TIMESTAMP, Column, Contract, Rule

SUPPRESSIONS = Contract(
    name="suppressions",
    owner="engineering",
    description="Keyed hashes of every id of the people who were forgotten: lines that hold one do not come in again.",
    columns=(
        Column("id_hash", TEXT, "HMAC-SHA256 of kind and id; nobody gets from it to the id without the lake's secret."),
        Column("kind", TEXT, "person, or event or leading where no id of the person stands in the line itself."),
        Column("key_id", TEXT, "Which secret it was made with: the beginning of a hash that only it gives."),
        Column("erasure", TEXT, "The erasure; its proof is reports/erasure/<erasure>.json."),
        Column("reason", TEXT, "Why, as whoever forgot the person wrote it.", nullable=True),
        Column("erased_at", TIMESTAMP, "When (UTC)."),
    ),
    primary_key=("id_hash",),
    freshness=None,
    volatile=True,
)

ERASED_TOTALS = Contract(
    name="erased_totals",
    owner="engineering",
    description="What people who were forgotten had added to the KPIs, summed over all of them: the KPIs count it in.",
    columns=(
        Column("metric", TEXT, "The KPI table."),
        Column("period", TEXT, "Day, week or month, as YYYY-MM-DD; empty where the metric has none."),
        Column("label", TEXT, "Channel, segment or experiment; empty where the metric has none."),
        Column("value", TEXT, "Device or arm; empty where the metric has none."),
        Column("number", INT32, "Months or days since the first order; 0 where the metric has none."),
        Column("measure", TEXT, "What is counted or summed, as in the KPI's own formula."),
        Column("amount", MONEY, "How much of it; whole numbers for counts."),
        Column("erasure", TEXT, "The erasure while it is carried out; empty once it is done: then all are one sum."),
    ),
    primary_key=("metric", "period", "label", "value", "number", "measure", "erasure"),
    freshness=None,
    rules=(Rule("nothing_erased", lambda t: t.amount != 0),),
    volatile=True,
)

CONTRACTS = (SUPPRESSIONS, ERASED_TOTALS)
