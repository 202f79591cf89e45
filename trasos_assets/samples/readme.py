"""What a reader of a sample's folder is told."""

from __future__ import annotations

from trasos_assets.samples.fidelity import Fidelity

README = "README.md"


def readme(found: Fidelity) -> str:
    """The text of ``README.md``: what is in the folder, by which rule, and what may be done with it."""
    people = f"{found.people.count_sample:,} of {found.people.count_whole:,} people, " if found.people else ""
    through = f", data through {found.data_through.isoformat()}" if found.data_through else ""
    unlike = found.beyond_noise()
    verdict = (
        f"Beyond what chance makes: {', '.join(unlike)}."
        if unlike
        else "Nothing that was compared differs from the whole by more than chance."
    )
    rows = "\n".join(
        f"| {table.team}.{table.name} | {table.rows_sample:,} | {table.rows_whole:,} | {table.rule} |"
        for table in sorted(found.tables, key=lambda table: (table.team, table.name))
    )
    return f"""# A sample of the Trasos lake

{people}share {found.share:g}, seed {found.seed}{through}.

- `<team>/<table>/` holds Parquet as in the lake, tables by day in folders `day=YYYY-MM-DD`.
- `sample.duckdb` holds the same tables, with comments: `duckdb sample.duckdb "SELECT * FROM analytics.orders LIMIT 5"`.
- `fidelity.html` (with `plotly.min.js` beside it) and `fidelity.json` say how faithful the sample is. {verdict}

People are sampled, and everything about them comes along: their visitors and customers, events, orders with all their
lines, assignments, features and recommendations, and every item that these name. A larger share with the same seed
has all people of a smaller one. Aggregates are those of the whole lake; recomputed from the sample they differ.

**Personal data**: ids of visitors, customers, persons, sessions, events, orders and requests are replaced by names that
stand for them, the same in all tables and samples of one lake, so joins work. User agents are replaced likewise; raw
lines, unknown fields and notes are left out. Times, items and countries are as they were: this is pseudonymous data,
not anonymous data. Keep it as you keep personal data, and take a new sample when people were erased from the lake.

| table | rows here | rows in the lake | what is here |
|---|---:|---:|---|
{rows}
"""  # noqa: S608 - words
