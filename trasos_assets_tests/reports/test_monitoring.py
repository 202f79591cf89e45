import re
from html.parser import HTMLParser

import ibis
import pyarrow as pa
import pytest

from trasos_assets.contracts import CONTRACTS
from trasos_assets.reports.monitoring import TABLES, render, write_monitoring
from trasos_assets.reports.plots import HEIGHT, bar_pairs, line_plot
from trasos_assets_tests.recommender.monitoring.tables import day
from trasos_assets_tests.recommender.monitoring.test_looks import looked

NASTY = "</td><script>alert(1)</script>\u202e\"'&"


def tables(**rows) -> dict[str, pa.Table]:
    return {
        name: pa.Table.from_pylist(rows.get(name, []), schema=ibis.schema(CONTRACTS[name].types).to_pyarrow())
        for name in TABLES
    }


def full(label: str = "dresses") -> dict[str, pa.Table]:
    monitored = [
        {
            "day": day(n),
            "requests": 100,
            "impressions": 600,
            "clicked_impressions": 30 if n < 9 else None,
            "click_through_rate": 0.05 if n < 9 else None,
            "items_on_sale": 10,
            "items_shown": 5,
            "catalogue_coverage": 0.5,
            "model_version": "v1",
            "model_age_days": n,
            "fallback_share": 0.125,
        }
        for n in range(10)
    ]
    look = [looked(8, "categories", "ok"), looked(9, "categories", "drifted") | {"moved_most": label}]
    counts = [(0, label, 80, 20), (1, "shoes", 20, 80)]
    bins = [
        {"feature": "categories", "bin": b, "label": text, "reference_count": one, "current_count": other}
        | {"as_of": day(9), "reference_people": 10.0, "current_people": 10.0}
        for b, text, one, other in counts
    ]
    book = [
        {"sequence": 1, "requested_as_of": day(1), "reason": "schedule", "detail": label, "fulfilled_by": "c1"}
        | {"fulfilled_as_of": day(1)},
        {"sequence": 2, "requested_as_of": day(9), "reason": "drift", "detail": label},
    ]
    return tables(model_monitoring=monitored, drift=look, drift_bins=bins, retraining_requests=book)


class Page(HTMLParser):
    """What tags there are, all opened ones closed."""

    VOID = {"meta"}

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_says_how_the_model_stands():
    page = Page(render(full()))
    assert page.open == []
    for told in ("model v1", "9\u00a0days old", "1\u00a0feature drifted", "went from 10.0\u00a0% to 20.0\u00a0%"):
        assert told in re.sub(r"[ \n]+", " ", page.text)
    assert "5.0\u00a0%" in page.text
    assert "waits" in page.text
    assert "80.0\u00a0% → 20.0\u00a0%" in page.text


def test_names_from_the_data_are_shown_and_never_obeyed():
    html = render(full(NASTY))
    page = Page(html)
    assert "script" not in page.tags
    assert "alert(1)" in page.text
    assert "\u202e" not in html


def test_the_page_asks_nothing_of_the_network_or_of_a_script():
    html = render(full())
    assert re.findall(r"<script|src=|@import|url\(|https?://", html) == []
    assert "default-src 'none'" in html


@pytest.mark.parametrize("given", [{}, tables()])
def test_an_empty_lake_has_a_page_that_says_so(given):
    page = Page(render(given))
    assert page.open == []
    for told in (
        "No day has landed yet",
        "nothing serves yet",
        "Nobody has looked yet",
        "No model has been trained yet",
    ):
        assert told in page.text


def test_the_same_tables_in_any_order_give_the_same_bytes(tmp_path):
    given = full()
    one = write_monitoring(given, tmp_path / "one").read_bytes()
    turned = {name: table.take(list(range(table.num_rows))[::-1]) for name, table in given.items()}
    assert write_monitoring(turned, tmp_path / "two").read_bytes() == one


def test_a_table_without_its_columns_is_refused_by_name():
    with pytest.raises(ValueError, match="table drift lacks the columns"):
        render(full() | {"drift": pa.table({"feature": ["x"]})})


def test_a_line_breaks_where_a_day_has_no_value_and_lone_days_are_dots():
    plot = line_plot("Share", [day(n) for n in range(5)], [0.5, 1.0, None, 0.0, None])
    assert len(plot.stretches) == 1
    assert plot.stretches[0].split(" ")[1].endswith(",1.0")
    assert plot.dots == [("240.0", f"{HEIGHT - 1}.0")]
    assert "last 0.0" in plot.sentence and "highest 100.0" in plot.sentence


def test_bars_of_both_sides_share_one_scale():
    first, second = bar_pairs(["a", "b"], [1, 3], [0, 0])
    assert (first.before_width, second.before_width, second.after_width) == (33.33, 100.0, 0.0)
    assert (first.before, first.after) == ("25.0\u00a0%", "")
