from datetime import timedelta

import ibis
import numpy as np
import pytest
from ibis.backends.duckdb import Backend

from trasos_assets.recommender.monitoring import bins
from trasos_assets.recommender.monitoring.windows import Windows
from trasos_assets_tests.recommender.monitoring import tables
from trasos_assets_tests.recommender.monitoring.tables import FIRST, clean_events, day, event

WINDOWS = Windows.of(day(55), day(62), first_day=FIRST, reference_days=28, current_days=7)
PEOPLE = {f"p{n}": n % 50 for n in range(600)}
FEATURES = {
    *("categories", "channels", "devices", "event_types", "interactions_a_day", "item_popularity"),
    *("known_people", "prices"),
}


def observed(backend: Backend, rows: list[tuple[str, str, str, int]]) -> ibis.Table:
    """(side, person, label, n)"""
    return ibis.memtable([dict(zip(("side", "person_id", "label", "n"), row, strict=True)) for row in rows])


def test_windows_are_the_last_days_learned_from_and_the_days_since():
    assert WINDOWS.reference_from == day(28)
    assert (WINDOWS.current_from, WINDOWS.current_through, WINDOWS.current_length) == (day(56), day(62), 7)
    young = Windows.of(day(55), day(57), first_day=FIRST, reference_days=28, current_days=7)
    assert (young.current_from, young.current_length, young.age) == (day(56), 2, 2)
    new = Windows.of(day(55), day(55), first_day=FIRST, reference_days=28, current_days=7)
    assert new.current_length == 0
    old = Windows.of(day(20), day(62), first_day=FIRST, reference_days=28, current_days=7)
    assert (old.current_from, old.current_length) == (day(56), 7)
    first = Windows.of(day(5), day(9), first_day=FIRST, reference_days=28, current_days=7)
    assert (first.reference_from, first.reference_days, first.ranking_through) == (FIRST, 6, day(2))


def test_activity_is_of_both_windows_and_of_no_day_between(backend):
    old = Windows.of(day(20), day(62), first_day=FIRST, reference_days=10, current_days=7)
    events = clean_events(backend, [event(n, n, "page_view", "ada", item_id="i0001") for n in range(63)])
    found = bins.activity(events, old).to_pyarrow().to_pylist()
    assert {row["day"] for row in found if row["side"] == "reference"} == {day(n) for n in range(11, 21)}
    assert {row["day"] for row in found if row["side"] == "current"} == {day(n) for n in range(56, 63)}


def test_one_person_with_half_of_all_events_counts_as_few_people(backend):
    rows = [("reference", f"p{n}", "a", 1) for n in range(100)] + [("reference", "whale", "a", 100)]
    table = observed(backend, rows)
    (counted,) = bins.counted(bins.labelled("f", table, table.label)).to_pyarrow().to_pylist()
    assert counted["reference_count"] == 200
    assert counted["reference_people"] == pytest.approx(200**2 / (100 + 100**2))
    assert (counted["current_count"], counted["current_people"]) == (0, 0.0)


def test_labels_are_ordered_by_the_reference_and_the_rest_of_many_is_one_bin(backend):
    rows = [("reference", f"p{p}", f"l{n:02}", 100 - n) for n in range(30) for p in range(5)]
    rows += [("current", "p0", "l00", 5), ("current", "p1", "l25", 2)]
    table = observed(backend, rows)
    found = bins.counted(bins.labelled("f", table, table.label)).order_by("bin").to_pyarrow().to_pylist()
    assert [row["label"] for row in found[:3]] == ["l00", "l01", "l02"]
    assert len(found) == bins.MOST_LABELS
    assert found[-1]["label"] == bins.OTHER
    assert (found[0]["current_count"], found[-1]["current_count"]) == (5, 2)
    assert found[-1]["reference_count"] == sum(5 * (100 - n) for n in range(19, 30))


def test_a_label_that_few_people_have_is_never_named(backend):
    rows = [("reference", f"p{p}", "search", 1) for p in range(5)]
    rows += [("reference", f"p{p}", "customer-4711", 900) for p in range(4)] + [("current", "p9", None, 2)]
    table = observed(backend, rows)
    found = bins.counted(bins.labelled("f", table, table.label)).order_by("bin").to_pyarrow().to_pylist()
    assert [(row["label"], row["reference_count"], row["current_count"]) for row in found] == [
        ("search", 5, 0),
        (bins.OTHER, 3_600, 2),
    ]


def test_numbers_fall_into_the_tenths_that_numpy_finds(backend):
    rng = np.random.default_rng(3)
    before, after = rng.lognormal(3, 1, 1_000).round(6), rng.lognormal(3.2, 1, 500).round(6)
    sides = [("reference", before), ("current", after)]
    table = ibis.memtable(
        [{"side": s, "person_id": f"p{n}", "n": 1, "value": v} for s, values in sides for n, v in enumerate(values)]
    )
    found = bins.counted(bins.numbered("f", table, table.value)).order_by("bin").to_pyarrow().to_pylist()
    edges = np.quantile(before, np.arange(1, 10) / 10)
    places = [np.searchsorted(edges, values, side="left") for _, values in sides]
    assert [row["reference_count"] for row in found] == np.bincount(places[0], minlength=10).tolist()
    assert [row["current_count"] for row in found] == np.bincount(places[1], minlength=10).tolist()
    assert found[0]["low"] is None and found[-1]["high"] is None
    assert [row["high"] for row in found[:-1]] == pytest.approx(edges.tolist())


def test_repeated_values_make_fewer_bins_and_lose_no_observation(backend):
    values = [1.0] * 80 + [2.0] * 15 + [9.0] * 5
    table = ibis.memtable(
        [{"side": "reference", "person_id": f"p{n}", "n": 1, "value": v} for n, v in enumerate(values)]
        + [{"side": "current", "person_id": "p0", "n": 1, "value": 50.0}]
    )
    found = bins.counted(bins.numbered("f", table, table.value)).order_by("bin").to_pyarrow().to_pylist()
    assert [row["reference_count"] for row in found] == [80, 15, 5]
    assert [row["current_count"] for row in found] == [0, 0, 1]
    assert all(row["low"] is None or row["high"] is None or row["low"] < row["high"] for row in found)


def test_items_with_few_views_each_raise_no_alarm_by_having_been_lucky(backend):
    """Ranked and counted on the same days, 2,000 items of equal demand would seem to lose their head."""
    rng = np.random.default_rng(5)
    n = 6_000
    days = rng.integers(28, 63, n)
    table = ibis.memtable(
        {
            "day": [day(int(d)) for d in days],
            "side": np.where(days > 55, "current", "reference"),
            "person_id": [f"p{p}" for p in rng.integers(0, 3_000, n)],
            "item_id": [f"i{i}" for i in rng.integers(0, 2_000, n)],
            "n": np.ones(n, dtype=np.int64),
        }
    )
    found = bins.counted(bins.popularity(table, WINDOWS)).to_pyarrow().to_pylist()
    before, after = ([row[name] for row in found] for name in ("reference_count", "current_count"))
    from trasos_assets.recommender.monitoring.drift import population_stability_index, psi_without_drift

    critical = psi_without_drift(len(found), sum(before), sum(after), 0.001)[1]
    assert len(found) == 11
    assert population_stability_index(before, after) < critical


def test_people_are_held_against_those_that_the_model_would_have_known_one_age_earlier(backend):
    # Of the seven days up to day 55 two of four people are newer than day 48; of those up to 62 one of two than 55.
    people = {"old": 1, "tom": 49, "eve": 50, "ada": 3, "new": 60}
    rows = [event(n, 52, "page_view", person) for n, person in enumerate(("old", "tom", "eve", "ada"))]
    rows += [event(9, 61, "page_view", "old"), event(10, 61, "page_view", "new"), event(11, 30, "page_view", "ada")]
    acts = bins.activity(clean_events(backend, rows), WINDOWS)
    features = tables.first_seen(backend, people)
    counted = bins.counted(bins.new_people(acts, features, WINDOWS, day(0) - timedelta(days=10)))
    found = {row["label"]: row for row in counted.to_pyarrow().to_pylist()}
    assert found[bins.NEW_PEOPLE]["reference_count"] == found[bins.KNOWN_PEOPLE]["reference_count"] == 2
    assert found[bins.NEW_PEOPLE]["current_count"] == found[bins.KNOWN_PEOPLE]["current_count"] == 1


def test_in_a_young_lake_nobody_is_called_new(backend):
    rows = [event(1, 52, "page_view", "old"), event(2, 61, "page_view", "new")]
    acts = bins.activity(clean_events(backend, rows), WINDOWS)
    counted = bins.counted(bins.new_people(acts, tables.first_seen(backend, {"old": 40, "new": 60}), WINDOWS, day(40)))
    assert [row["reference_count"] for row in counted.to_pyarrow().to_pylist()] == [0]


@pytest.fixture(scope="module")
def shop():
    from trasos_assets_tests.conftest import new_backend

    backend = new_backend()
    return backend, tables.catalogue(backend), tables.first_seen(backend, PEOPLE)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_drifts_while_people_go_on_as_before(shop, seed):
    backend, items, people = shop
    acts = tables.random_acts(backend, WINDOWS, seed=seed)
    found = tables.judged_features(acts, items, people, WINDOWS)
    assert set(found) == FEATURES
    assert {name: row["state"] for name, row in found.items() if row["state"] in ("watch", "drifted")} == {}


@pytest.mark.parametrize(
    ("shift", "feature", "moved_most"),
    [
        ("category_shift", "categories", "dresses"),
        ("price_shift", "prices", None),
        ("device_shift", "devices", "mobile"),
    ],
)
def test_a_planted_shift_is_found_where_it_was_planted_and_by_its_size(shop, shift, feature, moved_most):
    backend, items, people = shop
    sizes = []
    for size in (0.1, 0.6):
        acts = tables.random_acts(backend, WINDOWS, seed=7, **{shift: size})
        found = tables.judged_features(acts, items, people, WINDOWS)
        sizes.append(found[feature]["psi"])
    assert found[feature]["state"] == "drifted"
    assert sizes[0] < sizes[1]
    if moved_most:
        assert found[feature]["moved_most"] in (moved_most, "desktop")
    untouched = {"channels", "event_types", "interactions_a_day", "known_people"}
    assert {name for name in untouched if found[name]["state"] == "drifted"} == set()


def test_features_are_the_same_to_the_byte_twice(shop):
    backend, items, people = shop
    acts = tables.random_acts(backend, WINDOWS, seed=1)
    one, other = (tables.judged_features(acts, items, people, WINDOWS) for _ in range(2))
    assert one == other


def test_an_empty_window_has_features_and_no_verdict(shop):
    backend, items, people = shop
    new = Windows.of(day(55), day(55), first_day=FIRST, reference_days=28, current_days=7)
    acts = tables.random_acts(backend, new, seed=1)
    found = tables.judged_features(acts, items, people, new)
    assert {row["state"] for row in found.values()} == {"too_few"}
    assert new.reference_from > FIRST


@pytest.mark.slow
def test_spark_finds_the_same_bins(shop):
    from trasos_assets_tests.spark_session import spark_backend

    backend, items, people = shop
    spark = spark_backend()
    acts = tables.random_acts(backend, WINDOWS, seed=2)
    copies = []
    for table in (acts, items, people):
        frame = spark._session.createDataFrame(table.to_pyarrow())
        name = ibis.util.gen_name("spark")
        frame.createOrReplaceTempView(name)
        copies.append(spark.table_named(name, table.schema()))
    here = tables.judged_features(acts, items, people, WINDOWS)
    there = tables.judged_features(*copies, WINDOWS)
    assert {n: (r["state"], r["bins"], r["current_count"]) for n, r in here.items()} == {
        n: (r["state"], r["bins"], r["current_count"]) for n, r in there.items()
    }
    assert {n: r["psi"] for n, r in there.items()} == pytest.approx({n: r["psi"] for n, r in here.items()})
