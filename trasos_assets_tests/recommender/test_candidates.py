"""What is stored of a candidate comes back as it was, and its hash tells any two apart."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trasos_assets.recommender import candidates
from trasos_assets.recommender.models.base import PARTS
from trasos_assets.recommender.models.registry import MODELS, UnknownModelError, plain

number = st.floats(width=32, allow_nan=False)
part = st.fixed_dictionaries(
    {
        "side": st.sampled_from(["person", "item", "ranker"]),
        "id": st.text(max_size=3),
        "factors": st.none() | st.lists(number, max_size=3),
        "payload": st.none() | st.text(max_size=3),
    }
).map(lambda row: row if row["factors"] is None else row | {"payload": None})
parts = st.lists(part, max_size=6, unique_by=lambda row: (row["side"], row["id"]))


def test_no_two_kinds_of_models_have_the_same_parameters_so_that_these_tell_them_apart() -> None:
    kinds = [(type(kind.default), tuple(sorted(plain(kind.default)))) for kind in MODELS.values()]
    assert len({names for _, names in kinds}) == len({config for config, _ in kinds}) > 1


def table(rows: list[dict]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=PARTS)


@given(rows=parts, order=st.randoms())
def test_a_hash_does_not_depend_on_the_order_of_rows_or_on_chunks(rows: list[dict], order) -> None:
    expected = candidates.parts_hash(table(rows))
    order.shuffle(rows)
    assert candidates.parts_hash(table(rows)) == expected
    assert candidates.parts_hash(pa.concat_tables([table([row]) for row in rows] or [table([])])) == expected


@given(one=parts, other=parts)
def test_parts_that_differ_have_other_hashes(one: list[dict], other: list[dict]) -> None:
    def key(rows: list[dict]) -> list[str]:
        return sorted(repr(row) for row in table(rows).to_pylist())

    same = key(one) == key(other)
    assert (candidates.parts_hash(table(one)) == candidates.parts_hash(table(other))) == same


@given(rows=parts)
def test_vectors_and_payload_together_are_the_parts_again(rows: list[dict]) -> None:
    stored = table(rows)
    again = candidates.together(candidates.vectors_of(stored), candidates.payload_of(stored))
    assert candidates.parts_hash(again) == candidates.parts_hash(stored)
    assert again.schema == PARTS and again.num_rows == stored.num_rows


def test_a_text_that_is_null_is_kept_and_no_text_is_no_payload() -> None:
    empty = {"side": "ranker", "id": "blend", "factors": None, "payload": None}
    assert candidates.payload_of(table([empty])) == '[["ranker", "blend", null]]'
    assert candidates.payload_rows(candidates.payload_of(table([empty]))).to_pylist() == [empty]
    assert candidates.payload_of(table([])) is None and candidates.payload_rows(None).num_rows == 0


def test_spark_is_asked_for_what_it_can_fit() -> None:
    assert candidates.chosen("blend", on_spark=False).name == "blend"
    assert candidates.chosen("blend", on_spark=True).name == "als"
    assert candidates.chosen("popularity", on_spark=True).name == "popularity"
    with pytest.raises(UnknownModelError, match="known are"):
        candidates.chosen("oracle", on_spark=False)


def test_parameters_are_the_same_whatever_their_order() -> None:
    assert candidates.same_parameters('{"a": 1, "b": {"c": 2}}', '{"b": {"c": 2}, "a": 1}')
    assert not candidates.same_parameters('{"a": 1}', '{"a": 2}')
