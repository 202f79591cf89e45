"""The real data set, whole: known totals to the cent, through import, ingest and warehouse."""

import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from trasos_assets_tests.real_data import ONLINE_RETAIL, needs_online_retail

TRASOS = Path(sys.executable).with_name("trasos")
MEASURE = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=sys.stderr)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""

pytestmark = [pytest.mark.slow, needs_online_retail]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Path, int]:
    """The warehouse after a run, and the most memory that the run held, in KiB."""
    data = tmp_path_factory.mktemp("online_retail")
    environment = os.environ | {"TRASOS_DATA_DIR": str(data), "TRASOS_MEMORY_LIMIT": "1GB"}
    source = [str(ONLINE_RETAIL), "--out", str(data / "landing")]
    subprocess.run([TRASOS, "import", "online-retail", *source], env=environment, check=True, capture_output=True)
    printed = data / "printed.log"
    # A process is charged with what its parent held when it began, so the parent is a small one, not this worker.
    measured = [sys.executable, "-S", "-c", MEASURE, str(TRASOS), "run"]
    with printed.open("w") as log:
        held = subprocess.run(measured, env=environment, stdout=subprocess.PIPE, stderr=log, text=True, check=False)
    assert held.returncode == 0, printed.read_text()[-3000:]
    return data / "trasos.duckdb", int(held.stdout)


@pytest.fixture(scope="module")
def warehouse(run: tuple[Path, int]) -> Path:
    return run[0]


def ask(warehouse: Path, sql: str) -> tuple:
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        row = connection.execute(sql).fetchone()
    assert row is not None
    return row


def test_purchase_lines_of_known_customers_are_the_published_ones(warehouse):
    found = ask(
        warehouse,
        "SELECT count(*), count(DISTINCT order_id), count(DISTINCT customer_id) FROM analytics.order_lines "
        "WHERE line_kind = 'purchase' AND customer_id IS NOT NULL AND unit_price > 0",
    )
    assert found == (397_884, 18_532, 4_338)


def test_gross_cancelled_and_net_of_known_customers_are_right_to_the_cent(warehouse):
    customers, gross, cancelled, net = ask(
        warehouse,
        "SELECT count(DISTINCT customer_id), sum(gross), sum(cancelled), sum(net) FROM analytics.orders "
        "WHERE customer_id IS NOT NULL",
    )
    assert customers == 4_372
    cent = Decimal("0.01")
    assert (gross.quantize(cent), cancelled.quantize(cent), net.quantize(cent)) == (
        Decimal("8911407.90"),
        Decimal("611342.09"),
        Decimal("8300065.81"),
    )


def test_a_cancellation_of_an_unknown_order_is_never_an_order(warehouse):
    found = ask(
        warehouse,
        "SELECT count(*) FILTER (gross <> 0 OR is_valid OR order_number IS NOT NULL), count(*) > 3000 "
        "FROM analytics.orders WHERE order_kind = 'cancellation'",
    )
    assert found == (0, True)


def test_no_service_is_recommended_and_nothing_that_was_bought(warehouse):
    services = ask(
        warehouse,
        "SELECT count(*) FROM science.recommendations "
        "JOIN engineering.catalogue USING (item_id) WHERE kind = 'service'",
    )
    bought = ask(
        warehouse,
        "SELECT count(*) FROM science.recommendations r JOIN analytics.order_lines l ON r.person_id = "
        "coalesce(l.customer_id, l.visitor_id) AND r.item_id = l.item_id WHERE line_kind = 'purchase'",
    )
    assert (services, bought) == ((0,), (0,))


def test_every_known_person_has_recommendations(warehouse):
    people, served = ask(
        warehouse,
        "SELECT (SELECT count(*) FROM science.customer_features), "
        "(SELECT count(DISTINCT person_id) FROM science.recommendations)",
    )
    assert people == served > 4_372


def test_the_run_keeps_below_two_gigabytes(run: tuple[Path, int]):
    assert run[1] < 2 * 1024 * 1024
