from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trasos_assets.reports import words


@given(st.text(max_size=600), st.integers(1, 60))
def test_cleaned_text_is_one_line_within_its_limit(text: str, limit: int):
    line = words.clean(text, limit)
    assert len(line) <= limit and len(line.splitlines()) <= 1
    assert words.clean(line, limit) == line


@given(st.text(max_size=600))
def test_plotly_gets_no_markup_and_no_open_direction(text: str):
    label = words.plotly_label(text)
    assert not set("<>") & set(label)
    assert label.count("\u2068") == label.count("\u2069") <= 1
    assert label.count("\u2069") == label.endswith("\u2069")


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (words.percent(0.0312), "3.1 %"),
        (words.percent(0.0031), "0.31 %"),
        (words.percent(-0.5), "−50.0 %"),
        (words.percent(0), "0.0 %"),
        (words.points(0.002), "0.2 points"),
        (words.points(0.002, sign=True), "+0.2 points"),
        (words.points(-0.00001), "0.00 points"),
        (words.points_range(-0.0099, 0.0193), "−1.0 to 1.9 points"),
        (words.money(Decimal("1234.56"), "GBP"), "£1,235"),
        (words.money(Decimal("-12.5"), "GBP"), "−£12.50"),
        (words.money(Decimal("-0.001"), "GBP"), "£0.00"),
        (words.money(12, "SEK"), "12.00 SEK"),
        (words.count(1234567), "1,234,567"),
        (words.plural(1, "day"), "1 day"),
        (words.plural(2, "person"), "2 people"),
        (words.day(date(2026, 3, 5)), "5 Mar 2026"),
        (words.versus(-0.2, "0.2 points", "last week"), "0.2 points below last week"),
        (words.versus(1e-9, "0.0 points", "last week"), "the same as last week"),
    ],
)
def test_numbers_read_as_people_write_them(shown: str, expected: str):
    assert shown.replace(words.NBSP, " ") == expected
