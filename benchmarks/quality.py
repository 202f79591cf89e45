"""Recommendation quality on UCI Online Retail, by the metrics that the leaderboard uses.

    python benchmarks/quality.py PATH

PATH is a folder of Online Retail CSV files (plain or gzip, any number of them) with the columns InvoiceNo, StockCode,
Quantity, InvoiceDate, UnitPrice, CustomerID. The data is "Online Retail" of the UCI Machine Learning Repository (number
352, CC BY 4.0) and is not part of this project.

Protocol: lines of known customers, no cancellation (invoice C...), quantity and price above 0, stock codes that begin
with five digits (the others are postage and fees), upper-cased. Two cuts; all before a cut is training, the purchases
of the next 28 days are truth; only customers and items seen in training; full ranking. "new_items" leaves out what a
customer had bought, "all_items" lets repeats count. NDCG@10 has its ideal cut at min(relevant, 10); recall@20 is
hits / min(relevant, 20). Parameters are not tuned on a validation window.

Takes some ten seconds on two cores. Exits with a code other than 0 only if it could not measure.
"""

import sys
import time
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from trasos_assets.recommender.evaluation import default_models, leaderboard
from trasos_assets.recommender.models import ALSConfig

CUTS = (date(2011, 10, 14), date(2011, 11, 11))
TEST_DAYS = 28
ALS = ALSConfig(factors=128, regularization=30.0, alpha=3.0, iterations=15, seed=42)

PURCHASES = """
SELECT split_part(CustomerID, '.', 1) AS person_id,
       upper(trim(StockCode)) AS item_id,
       CAST(InvoiceDate AS DATE) AS day,
       0::INTEGER AS views,
       0::INTEGER AS carts,
       count(*)::INTEGER AS purchases
FROM read_csv($files, header = true, union_by_name = true, types = {'CustomerID': 'VARCHAR', 'StockCode': 'VARCHAR',
              'InvoiceNo': 'VARCHAR', 'Quantity': 'BIGINT', 'UnitPrice': 'DOUBLE', 'InvoiceDate': 'TIMESTAMP'})
WHERE CustomerID IS NOT NULL AND InvoiceNo NOT LIKE 'C%' AND Quantity > 0 AND UnitPrice > 0
  AND regexp_matches(StockCode, '^[0-9]{5}')
GROUP BY ALL
"""


def purchases(folder: Path) -> pa.Table:
    """Rows of the contract training_interactions; raises ``FileNotFoundError`` if the folder holds no CSV file."""
    files = sorted(str(path) for pattern in ("*.csv", "*.csv.gz") for path in folder.glob(pattern))
    if not files:
        raise FileNotFoundError(f"no *.csv or *.csv.gz in {folder}; give the folder that holds Online Retail")
    return duckdb.execute(PURCHASES, {"files": files}).to_arrow_table()


def measure(table: pa.Table, cut: date, console: Console) -> None:
    start = time.perf_counter()
    with console.status(f"fitting and ranking, cut {cut}"):
        result = leaderboard(
            table,
            models=default_models(ALS),
            test_days=TEST_DAYS,
            ks=(10, 20),
            through=cut + timedelta(days=TEST_DAYS - 1),
        )
    seconds = time.perf_counter() - start
    rows = result.to_pylist()
    if any(row["value"] is None for row in rows):
        raise ValueError(f"nobody bought anything in the {TEST_DAYS} days from {cut}: is this Online Retail?")
    value = {(row["model"], row["target"], row["metric"], row["k"]): row["value"] for row in rows}
    shown = Table(title=f"train before {cut}, truth the next {TEST_DAYS} days ({seconds:.1f} s)")
    for heading in ("model", "target", "customers", "NDCG@10", "recall@20", "hit rate@10", "coverage@10"):
        shown.add_column(heading, justify="left" if heading in ("model", "target") else "right")
    for model, target in dict.fromkeys((row["model"], row["target"]) for row in rows):
        people = next(row["people"] for row in rows if (row["model"], row["target"]) == (model, target))
        figures = (("ndcg", 10), ("recall", 20), ("hit_rate", 10), ("coverage", 10))
        shown.add_row(model, target, str(people), *(f"{value[model, target, *figure]:.4f}" for figure in figures))
    console.print(shown)


def main(arguments: list[str]) -> int:
    console = Console(width=max(100, Console().width))
    if len(arguments) != 1:
        console.print("usage: python benchmarks/quality.py PATH   (a folder of Online Retail CSV files)")
        return 2
    try:
        table = purchases(Path(arguments[0]))
        for cut in CUTS:
            measure(table, cut, console)
    except (OSError, ValueError, duckdb.Error) as error:
        console.print(f"[red]could not measure:[/red] {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
