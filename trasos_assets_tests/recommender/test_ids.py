import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trasos_assets.recommender.ids import IdMap, sorted_distinct

id_sets = st.lists(st.text(max_size=5).filter(lambda s: s.isprintable()), min_size=1)


@given(id_sets)
def test_ids_come_back_from_their_indices(ids: list[str]) -> None:
    assert (m := IdMap.from_ids(ids)).to_ids(m.to_indices(ids)).to_pylist() == ids


@given(st.lists(st.integers(-3, 3)))
def test_sorted_distinct_numbers_are_those_of_the_set(numbers: list[int]) -> None:
    assert sorted_distinct(np.array(numbers, dtype=np.int64)).tolist() == sorted(set(numbers))


@given(id_sets, st.randoms())
def test_map_depends_on_the_set_of_ids_alone(ids: list[str], random) -> None:
    shuffled = [*ids, ids[0]]
    random.shuffle(shuffled)
    expected = sorted(set(ids), key=lambda text: text.encode())
    assert IdMap.from_ids(shuffled).external_ids.to_pylist() == expected


def test_unknown_ids_are_refused_dropped_or_marked() -> None:
    ids = IdMap.from_ids(["b", "a"])
    with pytest.raises(KeyError, match="1 of 3 ids"):
        ids.to_indices(["a", "zoe@example.org", "b"])
    assert ids.to_indices(["a", "x", "b"], unknown="drop").tolist() == [0, 1]
    assert ids.to_indices(["a", "x", "b"], unknown="mark").tolist() == [0, -1, 1]


def test_error_for_unknown_ids_does_not_show_them() -> None:
    with pytest.raises(KeyError) as error:
        IdMap.from_ids(["a"]).to_indices(["zoe@example.org"])
    assert "zoe" not in str(error.value)


def test_map_is_frozen_sorted_unique_and_without_nulls() -> None:
    ids = IdMap.from_ids(["a"])
    with pytest.raises(dataclasses.FrozenInstanceError):
        ids.external_ids = pa.array(["b"])  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValueError, match="not sorted and unique"):
        IdMap(pa.array(["b", "a"]))
    with pytest.raises(ValueError, match="not sorted and unique"):
        IdMap(pa.array(["a", "a"]))
    with pytest.raises(ValueError, match="null"):
        IdMap.from_ids(pa.array(["a", None]))


@pytest.mark.parametrize(
    "ids",
    [
        ["b", "a", "b"],
        {"a", "b"},
        np.array(["b", "a"]),
        np.array(["b", "a"], dtype=object),
        pa.array(["a", "b"], pa.large_string()),
        pa.array(["a", "b"]).dictionary_encode(),
        pa.chunked_array([["b"], ["a"]]),
    ],
)
def test_any_collection_of_text_will_do(ids) -> None:
    assert IdMap.from_ids(ids).external_ids.equals(pa.array(["a", "b"]))


def test_numbers_are_no_ids_and_no_ids_are_fine() -> None:
    with pytest.raises(TypeError, match="must be text"):
        IdMap.from_ids(pa.array([1, 2]))
    assert len(IdMap.from_ids([])) == 0
    assert IdMap.from_ids([]).to_ids(np.array([], dtype=np.int32)).to_pylist() == []
