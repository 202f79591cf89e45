"""UCI Online Retail (an online gift shop's invoice lines) as events and catalogue snapshots.

Source: D. Chen, Online Retail, UCI Machine Learning Repository 352, CC BY 4.0. Every line of the source becomes one
event or is rejected under a named reason; exact duplicate lines are real lines and are kept.
"""

from __future__ import annotations

import duckdb

from trasos_assets.contracts.landing import CATALOGUE, EVENT
from trasos_assets.landing.importers.model import Importer, ImportReport, ImportRequest, ImportSourceError
from trasos_assets.landing.importers.rejections import count_rejections, landed_days
from trasos_assets.landing.importers.sources import engine, inspect_all, load, require_columns
from trasos_assets.landing.writer import json_line, write_landing
from trasos_assets.sql import literal

NAME = "online-retail"
CURRENCY = "GBP"
COLUMNS = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")

EVENT_FIELDS = (
    "event_id",
    "event_type",
    "occurred_at",
    "received_at",
    "visitor_id",
    "customer_id",
    "item_id",
    "quantity",
    "unit_price",
    "currency",
    "order_id",
    "country",
)
CATALOGUE_FIELDS = ("item_id", "name", "kind", "price", "currency", "available")

# The two-digit year is tried first: %Y would take "10" as the year 10. Instant 0 is how programs write "no time", and
# what the engine makes of the text "epoch".
_LINES = """
    CREATE TABLE lines AS
    WITH typed AS (
        SELECT __seq, __document, __row,
               upper(nullif(trim(InvoiceNo), '')) AS order_id,
               upper(nullif(trim(StockCode), '')) AS item_id,
               nullif(trim(Description), '') AS name,
               TRY_CAST(trim(Quantity) AS DECIMAL(18, 4)) AS signed_quantity,
               TRY_CAST(trim(UnitPrice) AS DECIMAL(18, 4)) AS unit_price,
               nullif(regexp_replace(trim(CustomerID), '\\.0+$', ''), '') AS customer_id,
               nullif(trim(Country), '') AS country,
               timezone('UTC', coalesce(
                   TRY_CAST(trim(InvoiceDate) AS TIMESTAMPTZ),
                   CAST(try_strptime(trim(InvoiceDate), ['%m/%d/%y %H:%M', '%m/%d/%y %H:%M:%S',
                                                         '%m/%d/%Y %H:%M', '%m/%d/%Y %H:%M:%S']) AS TIMESTAMPTZ)
               )) AS read_at,
               if(read_at BETWEEN TIMESTAMP '1970-01-01 00:00:01' AND TIMESTAMP '9999-12-31', read_at, NULL)
                   AS occurred_at
        FROM source_rows
    )
    SELECT *,
           coalesce(starts_with(order_id, 'C'), false) AS cancels,
           CASE WHEN order_id IS NULL THEN 'no_invoice_number'
                WHEN item_id IS NULL THEN 'no_stock_code'
                WHEN occurred_at IS NULL THEN 'unreadable_date'
                WHEN signed_quantity IS NULL OR signed_quantity <> trunc(signed_quantity) THEN 'unreadable_quantity'
                WHEN unit_price IS NULL THEN 'unreadable_price'
                WHEN signed_quantity = 0 THEN 'zero_quantity'
                WHEN signed_quantity < 0 AND NOT cancels THEN 'stock_adjustment'
                WHEN signed_quantity > 0 AND cancels THEN 'cancellation_with_positive_quantity'
           END AS reason,
           row_number() OVER (PARTITION BY order_id ORDER BY __seq) AS ordinal
    FROM typed
"""

_EVENTS = """
    CREATE TABLE events AS
    SELECT __seq,
           $source || ':' || order_id || ':' || ordinal AS event_id,
           if(cancels, 'cancellation', 'purchase') AS event_type,
           occurred_at,
           occurred_at AS received_at,
           CAST(received_at AS DATE) AS landing_day,
           if(customer_id IS NULL, 'guest-' || order_id, NULL) AS visitor_id,
           customer_id, item_id, name,
           if(regexp_matches(item_id, '^([0-9]{5}|DCGS)'), 'product', 'service') AS kind,
           CAST(abs(signed_quantity) AS BIGINT) AS quantity,
           unit_price,
           $currency AS currency,
           order_id, country
    FROM lines
    WHERE reason IS NULL
"""

# A running count per value never falls, so the greatest count seen up to a day belongs to the value that leads on it;
# of equal counts the one reached first leads, so a price or name that merely draws level changes nothing.
_CATALOGUE = """
    CREATE TABLE catalogue AS
    WITH votes AS (
        SELECT item_id, landing_day, 'name' AS field, name AS value, count(*) AS votes
        FROM events WHERE unit_price > 0 AND name IS NOT NULL GROUP BY ALL
        UNION ALL
        SELECT item_id, landing_day, 'price', CAST(unit_price AS VARCHAR), count(*)
        FROM events WHERE unit_price > 0 AND event_type = 'purchase' AND kind = 'product' GROUP BY ALL
    ), running AS (
        SELECT item_id, landing_day, field, value,
               sum(votes) OVER (PARTITION BY item_id, field, value ORDER BY landing_day) AS votes
        FROM votes
    ), leaders AS (
        SELECT DISTINCT item_id, landing_day, field,
               max({'votes': votes, 'reached': DATE '1970-01-01' - landing_day, 'value': value})
                   OVER (PARTITION BY item_id, field ORDER BY landing_day) AS leader
        FROM running
    ), days AS (
        SELECT item_id, landing_day, any_value(kind) AS kind FROM events GROUP BY item_id, landing_day
    ), states AS (
        SELECT days.item_id, days.landing_day, kind,
               last_value(names.leader.value IGNORE NULLS) OVER history AS name,
               CAST(last_value(prices.leader.value IGNORE NULLS) OVER history AS DECIMAL(18, 4)) AS price
        FROM days
        LEFT JOIN leaders AS names
               ON names.item_id = days.item_id AND names.landing_day = days.landing_day AND names.field = 'name'
        LEFT JOIN leaders AS prices
               ON prices.item_id = days.item_id AND prices.landing_day = days.landing_day AND prices.field = 'price'
        WINDOW history AS (PARTITION BY days.item_id ORDER BY days.landing_day)
    )
    SELECT item_id, landing_day, name, kind, price, $currency AS currency, true AS available
    FROM states
    QUALIFY row_number() OVER (PARTITION BY item_id ORDER BY landing_day) = 1
         OR name IS DISTINCT FROM lag(name) OVER (PARTITION BY item_id ORDER BY landing_day)
         OR price IS DISTINCT FROM lag(price) OVER (PARTITION BY item_id ORDER BY landing_day)
"""

_DAY_FIRST = """
    SELECT count(*)
    FROM source_rows JOIN lines USING (__seq)
    WHERE reason = 'unreadable_date'
      AND regexp_matches(InvoiceDate, '^\\d')
      AND try_strptime(trim(InvoiceDate), ['%d/%m/%y %H:%M', '%d/%m/%Y %H:%M', '%d/%m/%Y %H:%M:%S']) IS NOT NULL
"""


def _refuse_day_first(connection: duckdb.DuckDBPyConnection, request: ImportRequest) -> None:
    (count,) = connection.sql(_DAY_FIRST).fetchall()[0]
    if count:
        raise ImportSourceError(
            f"{request.source}: {count:,} dates can only be day/month/year, while the original writes month/day/year, "
            "so others would be read wrongly; export InvoiceDate as YYYY-MM-DD HH:MM:SS"
        )


def run(request: ImportRequest) -> ImportReport:
    """Import a folder of daily CSV files, or one CSV export of the workbook.

    Raises ``ImportSourceError`` if the source is missing, broken, or lacks one of ``COLUMNS``.
    """
    with engine(request.timezone) as connection:
        files = inspect_all(request.source, progress=request.progress)
        for csv_file in files:
            require_columns(csv_file, COLUMNS, wanted_by=NAME)
        loaded = load(connection, files)
        connection.execute(_LINES)
        _refuse_day_first(connection, request)
        currency = request.currency or CURRENCY
        connection.execute(_EVENTS, {"source": NAME, "currency": currency})
        connection.execute(_CATALOGUE, {"currency": currency})
        written = {
            name: connection.table(name).aggregate("count(*)").fetchall()[0][0] for name in ("events", "catalogue")
        }
        rejected, examples = count_rejections(connection, loaded)
        total = sum(written.values())
        landed = []
        for landing, fields, order in (
            (EVENT, EVENT_FIELDS, "__seq"),
            (CATALOGUE, CATALOGUE_FIELDS, "item_id"),
        ):
            folder = literal(f"{landing.dataset}/dt=")
            rows = connection.table(landing.dataset).project(
                f"{folder} || landing_day || {literal(f'/{landing.dataset}.jsonl.gz')} AS path, "
                f"{json_line(landing, fields)} AS line, {order} AS place"
            )
            rows = rows.order("path, place").project("path, line")
            landed += write_landing(rows, request.out, total=total, progress=request.progress)
        first, last = landed_days(connection)
    return ImportReport(
        importer=NAME,
        source=request.source,
        out=request.out,
        rows_read=loaded.rows_read,
        written=written,
        rejected=rejected,
        examples=examples,
        files=tuple(request.out / file.path for file in landed),
        first_day=first,
        last_day=last,
    )


IMPORTER = Importer(NAME, "UCI Online Retail: a folder of daily CSV files, or one CSV export of the workbook.", run)
