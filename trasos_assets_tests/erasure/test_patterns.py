"""An id is found where it stands as a whole, and nowhere else; what may be chance is not taken for one."""

import json
import re

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trasos_assets.erasure.patterns import ERASED, Finder, Kind, kind_of, pattern_of_lines, pattern_of_text

LONG, SHORT, NUMBER = "visitor-4711-abc", "c12", "17850"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (LONG, Kind.LONG),
        (SHORT, Kind.SHORT),
        (NUMBER, Kind.NUMBER),
        ("123456789012", Kind.LONG),
        ("1b2c3d4e", Kind.LONG),
    ],
)
def test_how_an_id_can_be_told_depends_on_what_it_looks_like(value: str, kind: Kind) -> None:
    assert kind_of(value) is kind


@pytest.mark.parametrize(
    "text",
    [
        f'{{"visitor_id":"{LONG}"}}',
        f"a,{LONG},b",
        LONG,
        f"see {LONG}.",
        f'{{\\"customer_id\\": \\"{SHORT}\\"}}',
        f"<td>{SHORT}</td>",
        f"x,{SHORT},y",
        f'"customer_id": {NUMBER}}}',
        f'\\"customer_id\\":\\"{NUMBER}\\"',
        f"customer {SHORT},".replace("customer ", "'").replace(",", "'"),
        f"customer={NUMBER}&",
    ],
)
def test_a_whole_id_is_found_in_any_text(text: str) -> None:
    assert Finder([LONG, SHORT, NUMBER]).in_text(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        f"{LONG}-2",
        f"x{LONG}",
        f'"{SHORT}0"',
        f"let {SHORT}=f(x)",
        f'"price":{NUMBER},"item_id":"{NUMBER}"',
        f'"customer_id":"{NUMBER}1"',
        f'"customer_id":{NUMBER}.5',
        "",
    ],
)
def test_a_part_of_something_else_or_what_may_be_chance_is_no_id(text: str) -> None:
    assert not Finder([LONG, SHORT, NUMBER]).in_text(text.encode())


def test_in_the_text_of_an_event_a_short_id_counts_as_any_word_and_a_number_as_a_field() -> None:
    assert Finder([SHORT]).in_values(f"not 3 fields: {SHORT} view".encode())
    assert Finder([NUMBER]).in_values(f"2026-01-01,{NUMBER},x".encode())
    assert not Finder([NUMBER]).in_values(f'{{"quantity":{NUMBER}}}'.encode())
    assert not Finder([SHORT]).in_values(b"c123 xc12 c12-1")


@pytest.mark.parametrize("value", ["käthe@example.org", 'say "hi" now', "a.b+c(d)[e]*", "line|pipe\\x"])
def test_ids_of_any_characters_are_found_as_they_are_and_as_json_writes_them(value: str) -> None:
    finder = Finder([value])
    for text in (json.dumps({"id": value}), json.dumps({"id": value}, ensure_ascii=False), f'"{value}"'):
        assert finder.in_text(text.encode()) == {value}, text
        assert finder.in_values(text.encode()) == {value}, text


ids = st.text(alphabet="abcXYZ019-_.@é", min_size=1, max_size=20).filter(lambda v: re.search(r"\w", v) is not None)


@given(value=ids, others=st.lists(ids, max_size=5))
def test_an_id_is_found_among_others_as_a_json_value(value: str, others: list[str]) -> None:
    text = json.dumps({"customer_id": value, "x": others})
    assert value in Finder([value, "another-long-id"]).in_text(text.encode())


@given(value=ids, others=st.lists(ids, max_size=5))
def test_what_is_cleaned_holds_no_id_and_loses_nothing_else(value: str, others: list[str]) -> None:
    kept = [other for other in others if value not in other]
    text = json.dumps({"customer_id": value, "x": kept}).encode()
    finder = Finder([value])
    clean = finder.without(text)
    assert not finder.in_text(clean)
    assert json.loads(clean) == {"customer_id": ERASED.decode(), "x": kept}


@settings(deadline=None)
@given(value=ids, text=st.text(alphabet='abcXYZ019-_.@é ",:{}', max_size=40))
def test_the_engine_and_python_agree_where_an_id_stands(value: str, text: str) -> None:
    for pattern in (pattern_of_lines([value]), pattern_of_text([value])):
        assert pattern is not None
        (found,) = duckdb.execute("SELECT regexp_matches(?, ?)", [text, pattern]).fetchone() or (None,)
        assert found == (re.search(pattern, text) is not None)


def test_no_ids_are_found_nowhere() -> None:
    assert pattern_of_lines([]) is None
    assert pattern_of_text([]) is None
    assert Finder([]).in_text(b"anything") == set()
