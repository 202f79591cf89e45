"""Reading the warehouse from a notebook: paste the cells, or run `python docs/examples/notebook.py [trasos.duckdb]`.

Needs duckdb, ibis and pandas, which `pip install trasos-assets` brings. Nothing here writes.
"""

# %% Which file. Close the connection when you are done: an open one keeps the file that it opened, not a newer one.
import sys

import duckdb
import ibis

from trasos_assets.lake.warehouse import at_hand, reach
from trasos_assets.settings import get_settings

settings = get_settings()
path = sys.argv[1] if len(sys.argv) > 1 else at_hand(settings)
connection = duckdb.connect(str(path), read_only=True)
reach(connection, settings.lake_dir)  # only does something if the lake is in an object store

# %% What is there, and what it means: the comments are those of the contracts.
about = connection.sql("SELECT * FROM about").fetchone()
tables = connection.sql(
    "SELECT table_schema AS team, table_name AS name, TABLE_COMMENT AS about FROM information_schema.tables "
    "WHERE table_schema IN ('engineering', 'science', 'analytics') ORDER BY ALL"
).df()
print(f"{len(tables)} tables of {about[0]} as {about[1]}")
print(tables.groupby("team").size().to_string())

# %% SQL into pandas.
kpis = connection.sql("SELECT day, orders, net FROM analytics.daily_kpis ORDER BY day").df()
print(kpis.tail(7).to_string(index=False))

# %% The same without SQL: Ibis expressions run in DuckDB, only the answer comes into memory.
backend = ibis.duckdb.from_connection(connection)
interactions = backend.table("interactions", database="engineering")
popular = (
    interactions.filter(interactions.interaction_type == "purchase")
    .group_by("item_id")
    .agg(bought=interactions.quantity.sum())
    .order_by(ibis.desc("bought"), "item_id")
    .limit(5)
)
print(popular.to_pandas().to_string(index=False))

# %% Writing is refused.
try:
    connection.sql("CREATE TABLE analytics.mine AS SELECT 1")
except duckdb.InvalidInputException as error:
    print(f"refused: {str(error).splitlines()[0]}")
connection.close()
