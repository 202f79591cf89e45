"""The books of what data cost and what became of them: sizes by day, unread columns, retention, compaction."""

from trasos_assets.contracts.model import DATE, FLOAT64, INT64, MONEY, TEXT, TIMESTAMP, Column, Contract, Rule

TABLE, PLACE = "table", "place"
LANDING, LAKE, LEFTOVER = "landing", "lake", "leftover"
PLANNED, REMOVED = "planned", "removed"
WHOLE = "*"
"""Stands for all columns of a table, or all of a table without partitions."""

GROWTH_WINDOWS = (7, 28)
FORECAST_DAYS = 90

STORAGE_LEDGER = Contract(
    name="storage_ledger",
    owner="engineering",
    description="What every table and place cost on every day that was measured: bytes, files, rows, compute, money.",
    columns=(
        Column("as_of", DATE, "Day of the measurement, in the business time zone."),
        Column("kind", TEXT, "table (of the lake), or place: what lies beside the lake's tables."),
        Column("name", TEXT, "The table, or the place: landing/events, dagster_home, …"),
        Column("owner", TEXT, "The team that owns it."),
        Column("bytes", INT64, "Bytes held; null on a day that computed but was not measured.", nullable=True),
        Column("files", INT64, "Files.", nullable=True),
        Column("rows", INT64, "Rows, from the Parquet footers; null for places.", nullable=True),
        Column("compute_seconds", MONEY, "Seconds of steps that began on this day, from the event log."),
        Column("growth_7d", INT64, "Bytes a day, slope over the last 7 days; null before they are.", nullable=True),
        Column("growth_28d", INT64, "Bytes a day, slope over the last 28 days; null before they are.", nullable=True),
        Column(
            "forecast_bytes",
            INT64,
            f"Bytes in {FORECAST_DAYS} days at the growth of the last 28 days, else of 7; null before there is any.",
            nullable=True,
        ),
        Column("storage_cost", MONEY, "Of these bytes for a month, by TRASOS_PRICE_GB_MONTH.", nullable=True),
        Column("forecast_cost", MONEY, f"A month of it in {FORECAST_DAYS} days, by the forecast.", nullable=True),
        Column("compute_cost", MONEY, "Of this day's compute, by TRASOS_PRICE_COMPUTE_HOUR.", nullable=True),
        Column("currency", TEXT, "Of the costs."),
    ),
    primary_key=("as_of", "kind", "name"),
    rules=(
        Rule("unknown_kind", lambda t: t.kind.isin((TABLE, PLACE))),
        Rule("negative_bytes", lambda t: t.bytes >= 0),
        Rule("negative_compute", lambda t: t.compute_seconds >= 0),
    ),
    volatile=True,
)

UNUSED_COLUMNS = Contract(
    name="unused_columns",
    owner="engineering",
    description="Columns and whole tables that nothing downstream reads, and what they cost.",
    columns=(
        Column("table_name", TEXT, "The table."),
        Column("column_name", TEXT, f"The column; {WHOLE} where nothing of the table is read."),
        Column("owner", TEXT, "The team that owns it."),
        Column("bytes", INT64, "Bytes of it in the lake, from the Parquet footers."),
        Column("share", FLOAT64, "Of the table's bytes; null where the table has none.", nullable=True),
        Column("storage_cost", MONEY, "For a month, by TRASOS_PRICE_GB_MONTH.", nullable=True),
        Column("why", TEXT, "What is known of its readers."),
    ),
    primary_key=("table_name", "column_name"),
    volatile=True,
)

RETENTION = Contract(
    name="retention",
    owner="engineering",
    description="Which days of which tables and landing folders retention is going to remove, and has. Never shrinks.",
    columns=(
        Column("kind", TEXT, "table (of the lake), or landing."),
        Column("name", TEXT, "The table, or the data set of landing."),
        Column("day", DATE, "The partition."),
        Column("bytes", INT64, "Its bytes when it was planned."),
        Column("files", INT64, "Its files then."),
        Column("rows", INT64, "Its rows then; null for landing.", nullable=True),
        Column("state", TEXT, "planned or removed."),
        Column("planned_at", TIMESTAMP, "When it was first met (UTC); removed no sooner than the days of grace after."),
        Column("removed_at", TIMESTAMP, "When it was removed (UTC).", nullable=True),
    ),
    primary_key=("kind", "name", "day"),
    rules=(
        Rule("unknown_kind", lambda t: t.kind.isin((TABLE, LANDING))),
        Rule("unknown_state", lambda t: t.state.isin((PLANNED, REMOVED))),
        Rule("removed_without_time", lambda t: (t.state == REMOVED) == t.removed_at.notnull()),
    ),
    volatile=True,
)

COMPACTION = Contract(
    name="compaction",
    owner="engineering",
    description="What was made smaller without losing a row: landing bundled, partitions rewritten, leftovers swept.",
    columns=(
        Column("done_at", TIMESTAMP, "When (UTC)."),
        Column("kind", TEXT, "landing (files bundled), lake (a partition rewritten), or leftover (of a dead process)."),
        Column("name", TEXT, "The data set, the table, or the leftover's path."),
        Column("part", TEXT, f"The day; {WHOLE} where there is none."),
        Column("files_before", INT64, "Files, before."),
        Column("files_after", INT64, "And after."),
        Column("bytes_before", INT64, "Bytes, before."),
        Column("bytes_after", INT64, "And after."),
    ),
    primary_key=("done_at", "kind", "name", "part"),
    rules=(Rule("unknown_kind", lambda t: t.kind.isin((LANDING, LAKE, LEFTOVER))),),
    volatile=True,
)

CONTRACTS = (STORAGE_LEDGER, UNUSED_COLUMNS, RETENTION, COMPACTION)
