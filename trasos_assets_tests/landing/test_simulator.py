"""The simulator keeps the landing format, repeats itself to the byte, and its truth is what the files hold."""

import hashlib
import time
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import ibis
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from trasos_assets.contracts.landing import FORMATS
from trasos_assets.landing.simulator import DIRT_PRESETS, Dirt, SimulationConfig, Truth, pipeline, simulate
from trasos_assets.landing.simulator.baskets import fill_baskets
from trasos_assets.landing.simulator.config import DAY_MS
from trasos_assets.landing.simulator.events import TYPE
from trasos_assets.landing.simulator.journeys import Journeys
from trasos_assets.landing.simulator.people import plan_people
from trasos_assets.landing.simulator.shop import open_shop
from trasos_assets.landing.simulator.truth import not_returned, plan_truth

CLEAN = SimulationConfig(days=30, visitors=1_500, seed=11)
HEAVY = SimulationConfig(days=12, visitors=500, seed=5, dirt=Dirt.preset("heavy"))
WIDE = SimulationConfig(days=60, visitors=40_000, seed=3)
SQL_TYPES = {"string": "VARCHAR", "timestamp(6)": "TIMESTAMP", "int32": "INTEGER", "int64": "BIGINT"}


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _read(con: duckdb.DuckDBPyConnection, out: Path, dataset: str, *, forgiving: bool = False) -> None:
    """The landed lines as a table of the data set's name, with ``dt``; strict about types and unknown fields."""
    columns = {c.name: SQL_TYPES.get(c.type, c.type.upper()) for c in FORMATS[dataset].columns}
    con.execute(
        f"CREATE TABLE {dataset} AS SELECT *, dt::DATE AS landed FROM read_json('{out}/{dataset}/*/*.gz', "
        f"columns={columns}, format='newline_delimited', hive_partitioning=true, ignore_errors={forgiving})"
    )


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("clean")
    truth = simulate(CLEAN, out)
    con = duckdb.connect()
    for dataset in FORMATS:
        _read(con, out, dataset)
    con.execute(
        """
        CREATE TABLE lines AS SELECT order_id, item_id, any_value(customer_id) AS customer,
            sum(quantity * unit_price) FILTER (event_type = 'purchase') AS gross,
            coalesce(sum(quantity * unit_price) FILTER (event_type = 'cancellation'), 0) AS cancelled,
            min(occurred_at) FILTER (event_type = 'purchase') AS bought_at,
            any_value(channel) AS channel, any_value(visitor_id) AS visitor
        FROM events WHERE event_type IN ('purchase', 'cancellation') GROUP BY ALL;
        CREATE TABLE orders AS SELECT order_id, customer, visitor, sum(gross) AS gross, sum(cancelled) AS cancelled,
            min(bought_at)::DATE AS day, min(bought_at) AS ordered_at, any_value(channel) AS channel,
            sum(gross) > sum(cancelled) AS valid FROM lines GROUP BY ALL;
        CREATE TABLE numbered AS SELECT *, row_number() OVER (PARTITION BY customer ORDER BY ordered_at) AS number
            FROM orders WHERE valid;
        """
    )
    yield con, truth, out
    con.close()


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("heavy")
    truth = simulate(HEAVY, out)
    con = duckdb.connect()
    con.execute(
        f"""CREATE TABLE lines AS SELECT content AS line, dt::DATE AS dt FROM (
            SELECT unnest(string_split(rtrim(content, chr(10)), chr(10))) AS content,
                regexp_extract(filename, 'dt=([0-9-]+)', 1) AS dt
            FROM read_text({[str(p) for p in _unpacked(out)]}))"""
    )
    con.execute(
        """CREATE TABLE events AS SELECT *, CASE WHEN json_valid(line) THEN json_type(line) END = 'OBJECT' AS object,
        TRY(line->>'event_id') AS event_id, TRY(line->>'event_type') AS event_type,
        TRY((line->>'occurred_at')::TIMESTAMP) AS occurred_at, TRY((line->>'received_at')::TIMESTAMP) AS received_at,
        TRY(line->>'item_id') AS item_id, TRY(line->>'quantity') AS quantity, TRY(line->>'visitor_id') AS visitor_id,
        TRY(line->>'user_agent') AS user_agent, TRY(line->>'is_test') = 'true' AS is_test
        FROM lines"""
    )
    _read(con, out, "catalogue")
    yield con, truth, out
    con.close()


def _unpacked(out: Path) -> list[Path]:
    """Event files as plain text beside the originals, for a reader that does not skip broken lines."""
    import gzip

    paths = []
    for path in sorted(out.glob("events/*/*.gz")):
        target = out / "plain" / path.parent.name / "events.jsonl"
        target.parent.mkdir(parents=True)
        target.write_bytes(gzip.decompress(path.read_bytes()))
        paths.append(target)
    return paths


def _one(con: duckdb.DuckDBPyConnection, sql: str) -> Any:
    row = con.execute(sql).fetchone()
    assert row is not None
    return row[0] if len(row) == 1 else row


# --- bytes


def test_same_seed_gives_same_bytes_whatever_the_number_of_threads(tmp_path: Path):
    for threads in (1, 4):
        simulate(HEAVY, tmp_path / str(threads), threads=threads)
    first, second = _digests(tmp_path / "1"), _digests(tmp_path / "4")
    assert len(first) > 3 * HEAVY.days
    assert first == second


def test_chunks_of_days_do_not_show_in_what_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole = simulate(HEAVY, tmp_path / "whole")
    monkeypatch.setattr(pipeline, "SESSIONS_A_CHUNK", 100)
    parts = simulate(HEAVY, tmp_path / "parts")
    for name in ("orders", "revenue", "conversion", "returns", "affinities"):
        assert whole.realised[name] == parts.realised[name]
    assert whole.realised["funnel_sessions"]["purchase"] == parts.realised["funnel_sessions"]["purchase"]


def test_other_seed_gives_other_events(tmp_path: Path):
    config = SimulationConfig(days=2, visitors=50)
    simulate(config, tmp_path / "a")
    simulate(replace(config, seed=8), tmp_path / "b")
    first, second = _digests(tmp_path / "a"), _digests(tmp_path / "b")
    assert all(first[path] != second[path] for path in first if path in second)


def test_gzip_headers_hold_neither_time_nor_name(clean):
    _, _, out = clean
    for path in out.rglob("*.gz"):
        header = path.read_bytes()[:10]
        assert header[:4] == b"\x1f\x8b\x08\x00"
        assert header[4:8] == b"\0\0\0\0"


def test_no_unfinished_file_is_left(clean):
    _, _, out = clean
    assert not list(out.rglob(".*"))


# --- format


@pytest.mark.parametrize("dataset", list(FORMATS))
def test_every_clean_line_keeps_the_landing_format(clean, dataset: str):
    con, truth, _ = clean
    landing = FORMATS[dataset]
    assert _one(con, f"SELECT count(*) FROM {dataset}") == truth.lines[dataset] > 0
    for column in landing.required:
        assert _one(con, f"SELECT count(*) FROM {dataset} WHERE {column} IS NULL") == 0, column
    table = ibis.table({c.name: c.type for c in landing.columns}, name=dataset)
    for rule in landing.rules:
        broken = table.filter(rule.holds(table).fill_null(ibis.literal(True)) == ibis.literal(False)).count()
        assert _one(con, ibis.to_sql(broken, dialect="duckdb")) == 0, rule.name


def test_events_land_on_the_day_they_are_received_and_within_the_window(clean):
    con, _, _ = clean
    assert _one(con, "SELECT count(*) FROM events WHERE landed <> received_at::DATE") == 0
    first, last = _one(con, "SELECT min(occurred_at), max(received_at) FROM events")
    assert first.date() >= CLEAN.start
    assert last.date() <= CLEAN.start + timedelta(days=CLEAN.days - 1)


def test_event_ids_are_unique_and_session_steps_go_forward(clean):
    con, _, _ = clean
    assert _one(con, "SELECT count(*) - count(DISTINCT event_id) FROM events") == 0
    tied = """SELECT count(*) FROM (SELECT session_id, occurred_at FROM events WHERE session_id IS NOT NULL
        GROUP BY ALL HAVING count(*) > 1)"""
    assert _one(con, tied) == 0
    disordered = """SELECT count(*) FROM (SELECT min(occurred_at) FILTER (event_type = 'purchase') AS paid,
        max(occurred_at) FILTER (event_type = 'checkout') AS checkout,
        max(occurred_at) FILTER (event_type = 'add_to_cart') AS cart,
        min(occurred_at) FILTER (event_type = 'page_view' AND item_id IS NOT NULL) AS viewed
        FROM events WHERE session_id IS NOT NULL GROUP BY session_id)
        WHERE checkout > paid OR cart > checkout OR cart < viewed OR (paid IS NOT NULL AND checkout IS NULL)"""
    assert _one(con, disordered) == 0


def test_nothing_sold_out_is_bought_and_prices_are_the_catalogues(clean):
    con, _, _ = clean
    wrong = """SELECT count(*) FROM (SELECT e.unit_price, c.price, c.available FROM events e ASOF JOIN catalogue c
        ON e.item_id = c.item_id AND e.occurred_at::DATE >= c.landed WHERE e.event_type = 'purchase')
        WHERE price <> unit_price OR NOT available"""
    assert _one(con, wrong) == 0
    assert _one(con, "SELECT count(*) FROM catalogue WHERE NOT available AND stock > 0") == 0
    assert _one(con, "SELECT count(*) FROM catalogue WHERE NOT available") > 0


def test_first_snapshot_names_every_item_and_later_ones_only_changes(clean):
    con, _, _ = clean
    assert _one(con, f"SELECT count(*) FROM catalogue WHERE landed = '{CLEAN.start}'") == CLEAN.items + 1
    same = """SELECT count(*) FROM (SELECT *, lag(hash(price, stock, available)) OVER w AS before FROM catalogue
        WINDOW w AS (PARTITION BY item_id ORDER BY landed)) WHERE before = hash(price, stock, available)"""
    assert _one(con, same) == 0


def test_clicks_point_back_at_an_impression_and_holdout_sees_none(clean):
    con, _, _ = clean
    orphans = """SELECT count(*) FROM (SELECT request_id, item_id, position FROM events WHERE event_type = 'click'
        AND request_id IS NOT NULL) ANTI JOIN (SELECT request_id, item_id, position FROM events
        WHERE event_type = 'impression') USING (request_id, item_id, position)"""
    assert _one(con, orphans) == 0
    assert _one(con, "SELECT count(*) FROM events WHERE event_type = 'click' AND request_id IS NOT NULL") > 50
    held = """SELECT count(*) FROM events JOIN assignments ON unit_id = visitor_id
        WHERE arm = 'holdout' AND event_type = 'impression'"""
    assert _one(con, held) == 0


def test_every_visitor_is_assigned_once_at_its_first_event(clean):
    con, _, _ = clean
    wrong = """SELECT count(*) FROM (SELECT visitor_id, min(occurred_at) AS first_at FROM events GROUP BY 1) v
        FULL JOIN assignments a ON a.unit_id = v.visitor_id WHERE a.assigned_at IS DISTINCT FROM v.first_at"""
    assert _one(con, wrong) == 0


# --- truth against the files


def test_truth_counts_of_clean_events_equal_the_files(clean):
    con, truth, _ = clean
    counted = dict(con.execute("SELECT event_type, count(*) FROM events GROUP BY 1").fetchall())
    assert counted == {name: count for name, count in truth.realised["events_by_type"].items() if count}
    assert set(counted) == set(TYPE)
    assert _one(con, "SELECT count(DISTINCT session_id) FROM events") == truth.realised["sessions"]
    assert _one(con, "SELECT count(DISTINCT visitor_id) FROM events") == truth.realised["visitor_ids"]
    assert _one(con, "SELECT count(DISTINCT customer_id) FROM events") == truth.realised["customers"]


def _traffic(con: duckdb.DuckDBPyConnection) -> dict[str, dict[str, int]]:
    rows = con.execute(
        """WITH logins AS (SELECT visitor_id, arg_min(customer_id, occurred_at) AS first FROM events
            WHERE customer_id IS NOT NULL GROUP BY 1)
        SELECT occurred_at::DATE, count(DISTINCT coalesce(customer_id, first, visitor_id)), count(DISTINCT session_id)
        FROM events LEFT JOIN logins USING (visitor_id) GROUP BY 1"""
    ).fetchall()
    return {str(day): {"visitors": visitors, "sessions": sessions} for day, visitors, sessions in rows}


def test_truth_of_people_and_sessions_by_day_equals_the_files(clean):
    con, truth, _ = clean
    found = _traffic(con)
    assert found == truth.realised["traffic_by_day"]
    assert any(of["visitors"] > of["sessions"] for of in found.values()), "somebody cancels who does not come"


def test_people_of_a_day_are_counted_once_though_chunks_reach_into_later_days(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pipeline, "SESSIONS_A_CHUNK", 100)
    truth = simulate(replace(CLEAN, visitors=400), tmp_path)
    con = duckdb.connect()
    _read(con, tmp_path, "events")
    assert _traffic(con) == truth.realised["traffic_by_day"]


def test_truth_of_orders_and_revenue_equals_the_files(clean):
    con, truth, _ = clean
    gross, cancelled = _one(con, "SELECT sum(gross), sum(cancelled) FROM orders")
    revenue = {name: Decimal(text) for name, text in truth.realised["revenue"].items()}
    assert revenue == {"gross": gross, "cancelled": cancelled, "net": gross - cancelled}
    placed, valid, partly = _one(
        con, "SELECT count(*), count(*) FILTER (valid), count(*) FILTER (valid AND cancelled > 0) FROM orders"
    )
    orders = truth.realised["orders"]
    assert (orders["placed"], orders["valid"], orders["partly_cancelled"]) == (placed, valid, partly)
    assert partly > 0 and orders["wholly_cancelled"] > 0
    by_day = con.execute(
        "SELECT day, count(*) FILTER (valid), sum(gross), sum(cancelled) FROM orders GROUP BY 1"
    ).fetchall()
    for day, count, day_gross, day_cancelled in by_day:
        told = truth.realised["by_day"][str(day)]
        assert (told["orders"], Decimal(told["gross"]), Decimal(told["cancelled"])) == (count, day_gross, day_cancelled)


def test_truth_of_conversion_by_arm_equals_the_files(clean):
    con, truth, _ = clean
    rows = con.execute(
        """SELECT arm, count(DISTINCT unit_id), count(DISTINCT customer) FROM assignments
        LEFT JOIN orders ON visitor = unit_id AND valid AND ordered_at > assigned_at GROUP BY 1"""
    ).fetchall()
    for arm, units, buyers in rows:
        told = truth.realised["conversion"]["by_arm"][arm]
        assert (told["visitor_ids"], told["converted"]) == (units, buyers)


def test_truth_of_returns_equals_kaplan_meier_of_the_files(clean):
    con, truth, _ = clean
    last = CLEAN.start + timedelta(days=CLEAN.days - 1)
    rows = con.execute(
        f"""SELECT coalesce(max(day) FILTER (number = 2), DATE '{last}') - min(day), bool_or(number = 2)
        FROM numbered WHERE number <= 2 GROUP BY customer"""
    ).fetchall()
    days, back = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    curve = scipy.stats.ecdf(scipy.stats.CensoredData.right_censored(days, ~back)).sf
    for day, told in truth.realised["returns"]["not_returned"].items():
        assert told == pytest.approx(float(curve.evaluate(int(day))), abs=1e-6)
    assert truth.realised["returns"]["returned"] == int(back.sum()) > 20


def test_truth_of_channels_equals_the_files(clean):
    con, truth, _ = clean
    new = dict(con.execute("SELECT channel, count(*) FROM numbered WHERE number = 1 GROUP BY 1").fetchall())
    spend = dict(con.execute("SELECT channel, sum(cost) FROM marketing_spend GROUP BY 1").fetchall())
    for channel, told in truth.realised["channels"].items():
        assert told["new_customers"] == new.get(channel, 0)
        assert Decimal(told["spend"]) == spend.get(channel, Decimal(0))
    assert spend.keys() == {"search", "social", "email", "affiliate"}


def test_truth_of_the_funnel_equals_the_files(clean):
    con, truth, _ = clean
    reached = _one(
        con,
        """WITH viewed AS (SELECT session_id, min(occurred_at) AS viewed FROM events
            WHERE event_type = 'page_view' AND item_id IS NOT NULL GROUP BY 1),
        carted AS (SELECT session_id, min(occurred_at) AS carted FROM events JOIN viewed USING (session_id)
            WHERE event_type = 'add_to_cart' AND occurred_at > viewed GROUP BY 1),
        out AS (SELECT session_id, min(occurred_at) AS out FROM events JOIN carted USING (session_id)
            WHERE event_type = 'checkout' AND occurred_at > carted GROUP BY 1),
        paid AS (SELECT DISTINCT session_id FROM events JOIN out USING (session_id)
            WHERE event_type = 'purchase' AND occurred_at > out)
        SELECT (SELECT count(*) FROM viewed), (SELECT count(*) FROM carted), (SELECT count(*) FROM out),
            (SELECT count(*) FROM paid)""",
    )
    told = truth.realised["funnel_sessions"]
    assert reached == (told["view"], told["cart"], told["checkout"], told["purchase"])
    assert told["view"] > told["cart"] > told["checkout"] > told["purchase"] > 0


def test_planted_pairs_stand_out_in_the_orders(clean):
    con, truth, _ = clean
    for pair in truth.realised["affinities"]:
        together = _one(
            con,
            f"""SELECT count(*) FROM lines a JOIN lines b USING (order_id)
            WHERE a.item_id = '{pair["item_id"]}' AND b.item_id = '{pair["also_item_id"]}'""",
        )
        assert together == pair["orders_together"]
        assert pair["lift"] > 5


def test_identities_have_second_devices_and_shared_visitors(clean):
    con, truth, _ = clean
    devices = _one(
        con,
        "SELECT count(*) FROM (SELECT customer_id FROM events GROUP BY 1 HAVING count(DISTINCT visitor_id) > 1 "
        "AND customer_id IS NOT NULL)",
    )
    shared = _one(
        con, "SELECT count(*) FROM (SELECT visitor_id FROM events GROUP BY 1 HAVING count(DISTINCT customer_id) > 1)"
    )
    assert shared == truth.realised["shared_visitors"] > 0
    assert devices >= truth.realised["second_devices"] > 0
    assert _one(con, "SELECT count(*) FROM events WHERE event_type = 'purchase' AND customer_id IS NULL") == 0


# --- dirt


def test_truth_counts_of_dirt_equal_the_lines(heavy):
    con, truth, _ = heavy
    dirt, reasons = truth.dirt, truth.dirt["quarantined_by_reason"]
    assert _one(con, "SELECT count(*) FROM lines") == truth.lines["events"]
    added = sum(dirt[k] for k in ("too_late", "conflicting", "unknown_items", "bot_events", "test_events"))
    assert truth.lines["events"] == truth.realised["events"] + dirt["duplicates"] + dirt["malformed"] + added
    assert _one(con, "SELECT count(*) FROM events WHERE object IS DISTINCT FROM true") == reasons["malformed"]
    assert _one(con, "SELECT count(*) FROM events WHERE object AND event_id IS NULL") == reasons["missing_event_id"]
    assert (
        _one(con, f"SELECT count(*) FROM events WHERE object AND event_type NOT IN {tuple(TYPE)}")
        == reasons["unknown_event_type"]
    )
    assert _one(con, "SELECT count(*) FROM events WHERE object AND quantity = 'many'") == reasons["invalid_quantity"]
    assert min(reasons.values()) > 0
    assert _one(con, "SELECT count(*) - count(DISTINCT event_id) FROM events WHERE event_id IS NOT NULL") == (
        dirt["duplicates"] + dirt["conflicting"]
    )
    assert _one(con, "SELECT count(*) - count(DISTINCT line) FROM events") == dirt["duplicates_by_kind"]["exact"]
    unknown = "SELECT count(*) FROM events WHERE item_id NOT IN (SELECT item_id FROM catalogue)"
    assert _one(con, unknown) == dirt["unknown_items"] > 0
    assert _one(con, "SELECT count(*) FROM events WHERE is_test") == dirt["test_events"] > 0
    known = "SELECT count(*) FROM events WHERE user_agent SIMILAR TO '.*(Googlebot|python-requests).*'"
    assert _one(con, known) == dirt["bot_events_by_kind"]["known_agent"]


def test_bots_are_of_every_kind_and_do_what_their_kind_does(heavy):
    con, truth, _ = heavy
    dirt = truth.dirt
    assert sum(len(visitors) for visitors in dirt["bot_visitors_by_kind"].values()) == dirt["bots"]
    assert sum(dirt["bot_events_by_kind"].values()) == dirt["bot_events"]
    habits = {}
    for kind, visitors in dirt["bot_visitors_by_kind"].items():
        rows = con.execute(
            """SELECT count(*), count(DISTINCT item_id), max(occurred_at) - min(occurred_at) < INTERVAL 5 MINUTE,
                bool_or(user_agent SIMILAR TO '.*(Googlebot|python-requests).*'), count(DISTINCT event_type)
            FROM events WHERE list_contains(?, visitor_id) GROUP BY visitor_id, occurred_at::DATE""",
            [visitors],
        ).fetchall()
        assert sum(row[0] for row in rows) == dirt["bot_events_by_kind"][kind] > 0
        habits[kind] = rows
    assert {row[4] for rows in habits.values() for row in rows} == {1}
    assert all(row[3] for row in habits.pop("known_agent"))
    assert not any(row[3] for rows in habits.values() for row in rows)
    assert all(row[0] > 2_000 for row in habits["event_rate"])
    assert all(row[1] == row[0] < 500 and not row[2] for row in habits["breadth"])
    assert all(row[0] < 1_000 and row[2] for row in habits["event_burst"])


def test_late_and_too_late_lie_on_their_sides_of_the_window(heavy):
    con, truth, _ = heavy
    lag = "(received_at - occurred_at)"
    too_late = f"SELECT count(*) FROM events WHERE {lag} > INTERVAL 3 DAY OR dt - occurred_at::DATE > 3"
    assert _one(con, too_late) == truth.dirt["too_late"] > 0
    late = f"""SELECT count(*) FROM (SELECT event_id, min({lag}) AS lag FROM events GROUP BY 1)
        WHERE lag BETWEEN INTERVAL 1 DAY AND INTERVAL 3 DAY"""
    assert _one(con, late) == truth.dirt["late"] > 0
    assert _one(con, "SELECT count(*) FROM events WHERE dt <> received_at::DATE") == 0


def test_dirt_adds_lines_and_the_first_received_of_a_contested_id_is_the_clean_one(tmp_path: Path, heavy):
    con, truth, _ = heavy
    bare = simulate(replace(HEAVY, dirt=Dirt()), tmp_path)
    assert bare.realised == truth.realised
    assert bare.lines["events"] == bare.realised["events"]
    con.execute(
        f"""CREATE TABLE pure AS SELECT event_id, unit_price::VARCHAR AS price, country FROM read_json(
        '{tmp_path}/events/*/*.gz', columns={{event_id: 'VARCHAR', unit_price: 'DECIMAL(18,2)', country: 'VARCHAR'}});
        CREATE TABLE versions AS SELECT event_id, arg_min(line->>'unit_price', received_at) AS price,
            arg_min(line->>'country', received_at) AS country, count(DISTINCT line->>'unit_price') AS prices,
            count(DISTINCT line->>'country') AS countries
        FROM events WHERE object AND event_id IS NOT NULL GROUP BY 1"""
    )
    assert _one(con, "SELECT count(*) FROM versions WHERE prices > 1 OR countries > 1") == truth.dirt["conflicting"] > 0
    assert _one(con, "SELECT count(*) FROM pure JOIN versions USING (event_id)") == truth.realised["events"]
    wrong = """SELECT count(*) FROM pure p JOIN versions v USING (event_id)
        WHERE p.price IS DISTINCT FROM v.price::DECIMAL(18,2)::VARCHAR OR p.country IS DISTINCT FROM v.country"""
    assert _one(con, wrong) == 0


# --- planted effects


@pytest.fixture(scope="module")
def wide():
    shop, people = open_shop(WIDE), plan_people(WIDE)
    return people, plan_truth(WIDE, shop, people, fill_baskets(WIDE, shop, people), np.zeros((WIDE.days, 7), int))


def test_conversion_of_each_arm_is_the_planted_one(wide):
    _, realised = wide
    for arm, planted in (("holdout", WIDE.base_conversion), ("treatment", WIDE.treated_conversion)):
        told = realised["conversion"]["by_arm"][arm]
        assert scipy.stats.binomtest(told["converted"], told["people"], planted).pvalue > 0.001
    people = [realised["conversion"]["by_arm"][arm]["people"] for arm in ("holdout", "treatment")]
    assert scipy.stats.binomtest(people[0], sum(people), WIDE.holdout_share).pvalue > 0.001
    assert realised["conversion"]["lift"] == pytest.approx(WIDE.conversion_lift, abs=0.1)


def test_without_lift_the_arms_convert_alike():
    config = replace(WIDE, conversion_lift=0.0, days=10)
    shop, people = open_shop(config), plan_people(config)
    realised = plan_truth(config, shop, people, fill_baskets(config, shop, people), np.zeros((config.days, 7), int))
    assert abs(realised["conversion"]["lift"]) < 0.1
    told = realised["conversion"]["overall"]
    assert told["converted"] == told["converted_if_untreated"]


def test_days_to_the_second_order_follow_the_planted_distribution(wide):
    people, realised = wide
    sessions, orders = people.sessions, people.orders
    at = orders.session
    order_day, visitor = sessions.day[at], sessions.visitor[at]
    first, second = np.full(WIDE.visitors, -1), np.full(WIDE.visitors, 10**6)
    first[visitor[orders.number == 1]] = order_day[orders.number == 1]
    second[visitor[orders.number == 2]] = order_day[orders.number == 2]
    horizon = 21
    watched = (first >= 0) & (first + horizon < WIDE.days)
    gaps = np.minimum((second - first)[watched], horizon + 1)
    assert gaps.min() >= 1
    survival = np.array([WIDE.not_returned(day) for day in range(horizon + 1)])
    expected = np.append(-np.diff(survival), survival[-1]) * watched.sum()
    observed = np.bincount(gaps, minlength=horizon + 2)[1:]
    assert scipy.stats.chisquare(observed, expected).pvalue > 0.001
    for day, told in realised["returns"]["not_returned"].items():
        assert told == pytest.approx(WIDE.not_returned(int(day)), abs=0.02)


def test_cancellations_are_the_planted_share(wide):
    _, realised = wide
    orders = realised["orders"]
    test = scipy.stats.binomtest(orders["wholly_cancelled"], orders["placed"], WIDE.whole_cancellation_share)
    assert test.pvalue > 0.001


def test_traffic_keeps_a_weekly_and_a_daily_rhythm(wide):
    people, _ = wide
    weekday = np.bincount((WIDE.start.weekday() + people.sessions.day) % 7, minlength=7)
    assert weekday[6] > 1.2 * weekday[1]
    hour = np.bincount(people.sessions.start_ms * 24 // DAY_MS, minlength=24)
    assert hour[20] > 5 * hour[4]


def test_visitors_keep_to_their_favourite_category():
    config = SimulationConfig(days=3, visitors=400)
    shop, people = open_shop(config), plan_people(config)
    chunk = Journeys(config, shop, people, fill_baskets(config, shop, people)).expand(0, people.sessions.count, 0, 1)
    events = chunk.events
    views = (events["type"] == TYPE["page_view"]) & (events["item"] >= 0)
    hit = shop.category[events["item"][views]] == people.visitors.primary[events["visitor"][views]]
    assert hit.mean() > 0.45


def test_kaplan_meier_matches_scipy_on_censored_days():
    rng = np.random.default_rng(1)
    days, seen = rng.integers(0, 30, 500), rng.random(500) < 0.6
    curve = scipy.stats.ecdf(scipy.stats.CensoredData.right_censored(days, ~seen)).sf
    told = not_returned(days, seen, (1, 7, 29))
    assert told == {str(day): pytest.approx(float(curve.evaluate(day)), abs=1e-6) for day in (1, 7, 29)}


# --- any configuration


@settings(max_examples=12, deadline=None)
@given(
    days=st.integers(1, 9),
    visitors=st.integers(1, 120),
    seed=st.integers(0, 2**32),
    start=st.dates(date(2024, 1, 1), date(2027, 1, 1)),
    dirt=st.sampled_from(list(DIRT_PRESETS)),
)
def test_any_simulation_lands_within_its_window_and_counts_its_lines(
    tmp_path_factory: pytest.TempPathFactory, days: int, visitors: int, seed: int, start: date, dirt: str
):
    out = tmp_path_factory.mktemp("any")
    config = SimulationConfig(days=days, visitors=visitors, seed=seed, start=start, dirt=Dirt.preset(dirt))
    truth = simulate(config, out)
    window = {str(start + timedelta(days=day)) for day in range(days)}
    assert {path.name.removeprefix("dt=") for path in out.glob("*/dt=*")} <= window
    con = duckdb.connect()
    _read(con, out, "events", forgiving=True)
    early = f"SELECT count(*) FROM events WHERE occurred_at < '{start}' OR landed <> received_at::DATE"
    assert _one(con, early) == 0
    _read(con, out, "assignments")
    assert _one(con, "SELECT count(*) FROM assignments") == truth.realised["visitor_ids"] == truth.lines["assignments"]
    assert Truth.read(out / "truth.json") == truth


# --- errors


@pytest.mark.parametrize(
    "wrong",
    [
        {"days": 0},
        {"visitors": 0},
        {"items": 10},
        {"seed": -1},
        {"currency": "pounds"},
        {"holdout_share": 1.2},
        {"base_conversion": 0.9, "conversion_lift": 0.5},
        {"return_scale_days": 0.0},
    ],
)
def test_wrong_configuration_is_refused_by_name(wrong: dict):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SimulationConfig(**wrong)


@pytest.mark.parametrize("wrong", [{"late": 1.0}, {"malformed": -0.1}, {"bots": -1}])
def test_wrong_dirt_is_refused_by_name(wrong: dict):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Dirt(**wrong)


def test_unknown_preset_names_the_known_ones():
    with pytest.raises(ValueError, match="none, light, heavy"):
        Dirt.preset("filthy")


def test_a_folder_with_another_simulation_is_refused_but_the_same_one_is_repeated(tmp_path: Path):
    config = SimulationConfig(days=2, visitors=20)
    simulate(config, tmp_path)
    before = _digests(tmp_path)
    simulate(config, tmp_path)
    assert _digests(tmp_path) == before
    with pytest.raises(FileExistsError, match="already holds other landing files"):
        simulate(replace(config, days=3), tmp_path)
    assert _digests(tmp_path) == before


def test_progress_ends_with_the_last_day(tmp_path: Path):
    told: list[tuple[str, int, int]] = []
    simulate(SimulationConfig(days=4, visitors=30), tmp_path, lambda *step: told.append(step))
    assert told[-1][1:] == (4, 4)


@pytest.mark.slow
def test_throughput_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    config = SimulationConfig(visitors=20_000, dirt=Dirt.preset("light"))
    begin = time.perf_counter()
    truth = simulate(config, tmp_path)
    seconds = time.perf_counter() - begin
    with capsys.disabled():
        print(f"\nsimulated {truth.lines['events']:,} events at {truth.lines['events'] / seconds:,.0f} a second")
    assert truth.lines["events"] > 1_000_000
