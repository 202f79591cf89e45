from hypothesis import given, settings
from hypothesis import strategies as st

from trasos_assets.metrics.retention import retention_cohorts
from trasos_assets_tests.metrics.tables import Shop, cancellation, purchase, result


def _grid(rows: list[dict]) -> dict[tuple[str, int], tuple[int, int | None, float | None]]:
    return {
        (row["cohort_month"].isoformat(), row["months_since"]): (row["customers"], row["returned"], row["retention"])
        for row in rows
    }


def test_cohorts_are_as_worked_out_by_hand(shop: Shop) -> None:
    orders = shop.orders(
        [
            purchase("2025-11-03T10:00", "o1", "ada"),
            purchase("2026-01-31T23:59", "o2", "ada"),
            purchase("2025-11-30T10:00", "o3", "bob"),
            purchase("2025-12-01T10:00", "o4", "bob"),
            purchase("2025-12-01T11:00", "o5", "bob"),
            purchase("2025-12-24T10:00", "o6", "cat"),
            purchase("2026-01-02T10:00", "o7", "cat"),
            cancellation("2026-01-03T10:00", "o7", "cat"),
        ]
    )
    rows = result("retention_cohorts", retention_cohorts(orders, shop.watermark("2025-11-01", "2026-02-27")))
    assert _grid(rows) == {
        ("2025-11-01", 0): (2, 2, 1.0),
        ("2025-11-01", 1): (2, 1, 0.5),
        ("2025-11-01", 2): (2, 1, 0.5),
        ("2025-11-01", 3): (2, None, None),
        ("2025-12-01", 0): (1, 1, 1.0),
        ("2025-12-01", 1): (1, 0, 0.0),
        ("2025-12-01", 2): (1, None, None),
    }


def test_a_month_is_over_once_its_last_day_has_landed(shop: Shop) -> None:
    orders = shop.orders([purchase("2026-01-05T10:00", "o1", "ada")])
    before = result("retention_cohorts", retention_cohorts(orders, shop.watermark("2026-01-01", "2026-01-30")))
    on = result("retention_cohorts", retention_cohorts(orders, shop.watermark("2026-01-01", "2026-01-31")))
    assert _grid(before) == {("2026-01-01", 0): (1, None, None)}
    assert _grid(on) == {("2026-01-01", 0): (1, 1, 1.0)}


def test_without_customers_there_are_no_cohorts(shop: Shop) -> None:
    assert (
        result("retention_cohorts", retention_cohorts(shop.orders([]), shop.watermark("2026-01-01", "2026-01-01")))
        == []
    )
    alone = shop.orders([cancellation("2026-01-01T10:00", "C1", "ada")])
    assert result("retention_cohorts", retention_cohorts(alone, shop.watermark("2026-01-01", "2026-01-01"))) == []
    assert result("retention_cohorts", retention_cohorts(shop.orders([]), shop.no_watermark())) == []


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(1, 9)), max_size=20))
def test_every_customer_is_in_one_cohort_and_the_grid_equals_a_plain_count(visits: list[tuple[str, int]]) -> None:
    shop = Shop()
    orders = shop.orders([purchase(f"2026-{m:02}-07T10:00", f"o{n}", who) for n, (who, m) in enumerate(visits)])
    rows = result("retention_cohorts", retention_cohorts(orders, shop.watermark("2026-01-01", "2026-09-30")))
    months = {who: {m for w, m in visits if w == who} for who, _ in visits}
    expected = {}
    for cohort in {min(of_person) for of_person in months.values()}:
        members = [of_person for of_person in months.values() if min(of_person) == cohort]
        for since in range(9 - cohort + 1):
            back = sum(cohort + since in of_person for of_person in members)
            expected[f"2026-{cohort:02}-01", since] = (len(members), back, back / len(members))
    assert _grid(rows) == expected
