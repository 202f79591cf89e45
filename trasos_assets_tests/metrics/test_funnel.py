import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from trasos_assets.metrics.funnel import conversion_funnel
from trasos_assets_tests.metrics.tables import Shop, result, seen

_PATH = (("page_view", 0), ("add_to_cart", 1), ("checkout", 2), ("purchase", 3))


def _session(name: str, steps: str, day: str = "2026-01-06", hour: str = "10", **more: object) -> list[dict]:
    """Events a minute apart, by letter: view of an item, home page, click, add to cart, checkout (o), purchase."""
    kinds = {"v": "page_view", "h": "page_view", "c": "click", "a": "add_to_cart", "o": "checkout", "p": "purchase"}
    items = {"v", "c", "a", "p"}
    return [
        seen(
            f"{day}T{hour}:{minute:02}", name, kinds[step], session_id=name, item_id="shirt" if step in items else None
        )
        | more
        for minute, step in enumerate(steps)
    ]


def _reached(rows: list[dict], dimension: str = "all", value: str = "all") -> list[int]:
    return [row["sessions"] for row in rows if (row["dimension"], row["value"]) == (dimension, value)]


def test_steps_count_only_in_order(shop: Shop) -> None:
    sessions = {
        "whole": "vaop",
        "by click": "caop",
        "only home": "haop",
        "looked": "v",
        "carted first": "av",
        "carted again": "avaop",
        "checkout before cart": "voap",
        "no checkout": "vap",
        "no session step twice": "vvaaoopp",
    }
    events = shop.events([event for name, steps in sessions.items() for event in _session(name, steps)])
    rows = result("conversion_funnel", conversion_funnel(events, shop.watermark("2026-01-05", "2026-01-11")))
    assert [row["step_name"] for row in rows if row["dimension"] == "all"] == ["view", "cart", "checkout", "purchase"]
    # view: all but "only home"; cart: whole, by click, carted again, checkout before cart, no checkout, twice.
    assert _reached(rows) == [8, 6, 4, 4]
    assert [row["share"] for row in rows if row["dimension"] == "all"] == [1.0, 0.75, 0.5, 0.5]


def test_events_of_one_moment_are_in_order(shop: Shop) -> None:
    events = shop.events(
        [seen("2026-01-06T10:00", "ada", kind, session_id="s", item_id="shirt") for kind, _ in reversed(_PATH)]
    )
    rows = result("conversion_funnel", conversion_funnel(events, shop.watermark("2026-01-05", "2026-01-11")))
    assert _reached(rows) == [1, 1, 1, 1]


def test_a_session_belongs_to_week_channel_and_device_of_its_first_event(shop: Shop) -> None:
    sunday = _session("over midnight", "h", "2026-01-11", "23", channel="ads")
    monday = _session("over midnight", "va", "2026-01-12", "00", channel="mail", device="app")
    events = shop.events([*monday, *sunday])
    rows = result("conversion_funnel", conversion_funnel(events, shop.watermark("2026-01-05", "2026-01-18")))
    weeks = {row["week"].isoformat(): row["entrants"] for row in rows if row["dimension"] == "all"}
    assert weeks == {"2026-01-05": 1, "2026-01-12": 0}
    assert _reached(rows, "channel", "ads") == [1, 1, 0, 0]
    assert _reached(rows, "channel", "mail") == []
    assert _reached(rows, "device", "unknown") == [1, 1, 0, 0]


def test_an_id_that_comes_back_on_other_days_is_a_session_on_each(shop: Shop) -> None:
    """The number of a browser, or numbers that begin again every morning: without it the steps would be one path."""
    days = [_session("7", steps, f"2026-01-{6 + n:02}") for n, steps in enumerate(("v", "a", "vaop", "v"))]
    watermark = shop.watermark("2026-01-05", "2026-01-11")
    rows = result("conversion_funnel", conversion_funnel(shop.events(itertools.chain(*days)), watermark))
    assert _reached(rows) == [3, 1, 1, 1]
    nights = [*_session("8", "v", "2026-01-06", "23"), *_session("8", "a", "2026-01-07", "01")]
    for hours, reached in ((12, [1, 1, 0, 0]), (1, [1, 0, 0, 0])):
        rows = result("conversion_funnel", conversion_funnel(shop.events(nights), watermark, max_hours=hours))
        assert _reached(rows) == reached


def test_an_open_week_has_counts_but_no_share(shop: Shop) -> None:
    events = shop.events([*_session("a", "va", "2026-01-06"), *_session("b", "v", "2026-01-12")])
    open_rows = result("conversion_funnel", conversion_funnel(events, shop.watermark("2026-01-05", "2026-01-17")))
    shares = {(row["week"].day, row["step"]): row["share"] for row in open_rows if row["dimension"] == "all"}
    assert shares[5, 2] == 1.0
    assert shares[12, 1] is None
    assert [row["sessions"] for row in open_rows if row["dimension"] == "all" and row["week"].day == 12] == [1, 0, 0, 0]
    over = result("conversion_funnel", conversion_funnel(events, shop.watermark("2026-01-05", "2026-01-18")))
    assert [row["share"] for row in over if row["dimension"] == "all" and row["week"].day == 12] == [1.0, 0.0, 0.0, 0.0]


def test_bots_testers_and_events_without_a_session_are_left_out(shop: Shop) -> None:
    events = shop.events(
        [
            *_session("bot", "vaop", bot_rule="rate"),
            *_session("tester", "vaop", is_test=True),
            *_session("nobody", "vaop", session_id=None),
        ]
    )
    rows = result("conversion_funnel", conversion_funnel(events, shop.watermark("2026-01-05", "2026-01-11")))
    assert _reached(rows) == [0, 0, 0, 0]
    assert {row["dimension"] for row in rows} == {"all"}
    assert {row["share"] for row in rows} == {None}


def test_nothing_landed_gives_no_rows(shop: Shop) -> None:
    assert result("conversion_funnel", conversion_funnel(shop.events([]), shop.no_watermark())) == []


def _reached_by_search(steps: str) -> int:
    """The longest ordered path, tried over every choice of events instead of the earliest."""
    wanted = [("v", "c"), ("a",), ("o",), ("p",)]
    return next(
        length
        for length in range(4, -1, -1)
        if any(
            all(steps[position] in wanted[step] for step, position in enumerate(positions))
            for positions in itertools.combinations(range(len(steps)), length)
        )
    )


@settings(max_examples=8, deadline=None)
@given(st.lists(st.text("vhcaop", min_size=1, max_size=7), min_size=1, max_size=8))
def test_the_funnel_equals_a_search_over_all_paths_and_never_widens(paths: list[str]) -> None:
    shop = Shop()
    events = shop.events(
        [event for n, steps in enumerate(paths) for event in _session(f"s{n}", steps, channel="ab"[n % 2])]
    )
    rows = result("conversion_funnel", conversion_funnel(events, shop.watermark("2026-01-05", "2026-01-11")))
    depths = [_reached_by_search(steps) for steps in paths]
    assert _reached(rows) == [sum(depth >= step for depth in depths) for step in (1, 2, 3, 4)]
    assert _reached(rows) == sorted(_reached(rows), reverse=True)
    by_channel = [_reached(rows, "channel", channel) for channel in "ab"[: len(paths)]]
    assert [sum(counts) for counts in zip(*by_channel, strict=True)] == _reached(rows)
