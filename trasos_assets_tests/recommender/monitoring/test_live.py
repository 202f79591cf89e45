import ibis
import pytest

from trasos_assets.contracts.monitoring import MODEL_MONITORING
from trasos_assets.contracts.schema import violations
from trasos_assets.contracts.science import ITEM_FEATURES
from trasos_assets.contracts.serving import RECOMMENDATIONS
from trasos_assets.recommender.monitoring import live
from trasos_assets.recommender.monitoring.windows import Serving, serving_model
from trasos_assets_tests.recommender.monitoring.tables import clean_events, day, event, first_seen, history

END = 400
SERVING = Serving("als", "v1", day(0))


def days(count: int) -> ibis.Table:
    return ibis.memtable([{"day": day(n)} for n in range(count)], schema={"day": "date"})


def shown(number: int, on: int, request: str, item: str, kind: str = "impression", **more):
    return event(number, on, kind, "ada", request_id=request, item_id=item, slot="home", position=1, **more)


def exposure(backend, rows, through: int, states=None):
    catalogue = history(backend, states or [(f"i{n}", 0, END, {}) for n in range(4)])
    found = live.exposure(clean_events(backend, rows), catalogue, days(through + 1), day(through))
    return found.order_by("day").to_pyarrow().to_pylist()


def test_an_item_shown_again_in_its_place_and_a_second_click_count_once(backend):
    rows = [
        shown(1, 0, "r1", "i0"),
        shown(2, 0, "r1", "i0"),
        shown(3, 0, "r1", "i1"),
        event(4, 0, "impression", "ada", request_id="r1", item_id="i1", slot="product", position=1),
        shown(5, 0, "r1", "i0", "click"),
        shown(6, 0, "r1", "i0", "click"),
        shown(7, 0, "r2", "i2"),
    ]
    first = exposure(backend, rows, 1)[0]
    assert (first["impressions"], first["clicked_impressions"]) == (4, 1)
    assert (first["requests"], first["clicked_requests"], first["items_shown"]) == (2, 1, 3)


def test_a_click_counts_until_the_next_day_ends_and_only_on_what_was_shown(backend):
    rows = [
        *(shown(n, 0, "r1", f"i{n}") for n in range(4)),
        shown(4, 1, "r1", "i0", "click"),
        shown(5, 2, "r1", "i1", "click"),
        event(6, 0, "click", "ada", request_id="r1", item_id="i2", slot="product"),
        event(7, 0, "click", "ada", item_id="i3", slot="home"),
        shown(8, 0, "r9", "i3", "click"),
    ]
    first = exposure(backend, rows, 3)[0]
    assert (first["impressions"], first["clicked_impressions"], first["clicked_requests"]) == (4, 1, 1)


def test_clicks_of_a_day_are_blank_until_the_next_has_landed(backend):
    rows = [shown(1, 0, "r1", "i0"), shown(2, 0, "r1", "i0", "click"), shown(3, 1, "r2", "i0")]
    over, still_open = exposure(backend, rows, 1)
    assert (over["clicked_impressions"], over["clicked_requests"]) == (1, 1)
    assert (still_open["impressions"], still_open["clicked_impressions"], still_open["clicked_requests"]) == (
        1,
        None,
        None,
    )


def test_coverage_knows_what_was_on_sale_on_the_day(backend):
    states = [
        ("i0", 0, END, {}),
        ("i1", 1, END, {}),
        ("i2", 0, 1, {}),
        ("i2", 1, END, {"available": False}),
        ("i3", 0, END, {"stock": 0}),
        ("i4", 0, END, {"kind": "service"}),
        ("i5", 0, 2, {"stock": 3}),
    ]
    rows = [shown(n * 10 + on, on, f"r{on}", f"i{n}") for on in range(3) for n in (0, 1, 2, 9)]
    found = exposure(backend, rows, 2, states)
    assert [row["items_on_sale"] for row in found] == [3, 3, 2]
    assert [row["items_shown"] for row in found] == [2, 2, 2]


def serving_tables(backend, make):
    item = {"viewers": 0, "buyers": 0, "quantity_bought": 0, "recent_buyers": 0, "as_of": day(40)}
    items = make(
        ITEM_FEATURES,
        [{"item_id": f"i{n}", "kind": "product", "available": n < 4} | item for n in range(5)]
        + [{"item_id": "post", "kind": "service", "available": True} | item],
    )
    lists = [("ada", "i0", "pinned"), ("ada", "i1", "model"), ("bob", "i0", "popularity"), ("bob", "i1", "model")]
    rows = [
        {"person_id": p, "item_id": i, "source": s, "rank": n + 1, "model_version": "v1", "as_of": day(40)}
        | {"reason": "your_taste"}
        for n, (p, i, s) in enumerate(lists)
    ]
    return make(RECOMMENDATIONS, rows), items, first_seen(backend, {"ada": 0, "bob": 1, "cat": 2}, last=40)


def test_what_stands_in_the_lists_is_counted_as_worked_out_by_hand(backend, table):
    lists, items, people = serving_tables(backend, table)
    (row,) = live.lists_now(SERVING, lists, items, people, day(40)).to_pyarrow().to_pylist()
    assert (row["listed_rows"], row["fallback_rows"]) == (4, 1)
    assert (row["listed_items"], row["listable_items"]) == (2, 4)
    assert (row["active_people"], row["listed_people"]) == (3, 2)
    assert (row["model_version"], row["model_age_days"]) == ("v1", 40)


def test_who_did_not_come_for_four_weeks_is_not_active(backend, table):
    lists, items, people = serving_tables(backend, table)
    (row,) = live.lists_now(SERVING, lists, items, people, day(68)).to_pyarrow().to_pylist()
    assert (row["active_people"], row["listed_people"]) == (0, 0)


def monitored(backend, table, held, through: int):
    lists, items, people = serving_tables(backend, table)
    catalogue = history(backend, [(f"i{n}", 0, END, {}) for n in range(4)])
    exposed = live.exposure(
        clean_events(backend, [shown(1, 0, "r1", "i0")]), catalogue, days(through + 1), day(through)
    )
    now = live.lists_now(SERVING, lists, items, people, day(through))
    return live.model_monitoring(exposed, now, held)


def test_days_keep_what_was_seen_in_the_lists_on_them_and_a_second_look_changes_nothing(backend, table):
    first = monitored(backend, table, table(MODEL_MONITORING, []), 40)
    assert violations(MODEL_MONITORING, first.cache()) == []
    held = table(MODEL_MONITORING, first.to_pyarrow().to_pylist())
    again = monitored(backend, table, held, 40)
    assert again.order_by("day").to_pyarrow().equals(first.order_by("day").to_pyarrow())
    later = {row["day"]: row for row in monitored(backend, table, held, 42).to_pyarrow().to_pylist()}
    assert later[day(40)]["fallback_share"] == 0.25
    assert later[day(41)]["fallback_share"] is None
    assert later[day(42)]["list_reach"] == pytest.approx(2 / 3)
    assert later[day(1)]["click_through_rate"] is later[day(1)]["catalogue_coverage"] is None
    assert (later[day(0)]["click_through_rate"], later[day(0)]["catalogue_coverage"]) == (0.0, 0.25)


def test_a_model_is_stale_by_the_last_look_and_not_by_older_ones(backend, table):
    held = table(MODEL_MONITORING, monitored(backend, table, table(MODEL_MONITORING, []), 40).to_pyarrow().to_pylist())
    assert live.stale(held, 39).count().to_pyarrow().as_py() == 1
    assert live.stale(held, 40).count().to_pyarrow().as_py() == 0


def champions(rows):
    columns = ("sequence", "model", "model_version", "action", "as_of")
    return ibis.memtable([dict(zip(columns, row, strict=True)) for row in rows])


def test_what_serves_is_the_last_row_and_as_old_as_when_it_was_first_promoted():
    history_of = [
        (1, "als", "v1", "promoted", day(3)),
        (2, "blend", "v2", "promoted", day(10)),
        (3, "als", "v1", "rolled_back", day(10)),
        (4, "als", "v1", "signed", day(12)),
    ]
    assert serving_model(champions(history_of)) == Serving("als", "v1", day(3))
    assert serving_model(champions(history_of[:2])) == Serving("blend", "v2", day(10))


def test_nothing_serves_without_a_champion(backend, table):
    lists, items, people = serving_tables(backend, table)
    assert live.lists_now(None, lists, items, people, day(3)).count().to_pyarrow().as_py() == 0


@pytest.mark.parametrize("name", ["exposure"])
def test_the_expression_compiles_for_spark(backend, name):
    catalogue = history(backend, [("i0", 0, END, {})])
    events = clean_events(backend, [shown(1, 0, "r1", "i0")])
    sql = ibis.to_sql(live.exposure(events, catalogue, days(2), day(1)), dialect="pyspark")
    assert "`items_on_sale`" in sql
