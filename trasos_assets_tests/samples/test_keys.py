"""Who is in a sample and under which name: the same on every engine and in every version, and told by the key alone."""

# pyright: reportAttributeAccessIssue=false

import itertools
import stat
from pathlib import Path

import ibis
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ibis.backends.duckdb import Backend

from trasos_assets.samples.keys import SampleKey, key_of, threshold
from trasos_assets.samples.rules import SampleError

KEY = SampleKey("a secret of thirty-two characters")
OTHER = SampleKey("another secret, as long as this")
PEOPLE = [f"person-{number}" for number in range(4_000)]


def _people(backend: Backend, ids: list[str] = PEOPLE) -> ibis.Table:
    return backend.create_table(ibis.util.gen_name("people"), ibis.memtable({"id": ids}, schema={"id": "string"}))


def _sampled(table: ibis.Table, share: float, *, seed: int = 1, key: SampleKey = KEY) -> set[str]:
    return set(table.filter(key.sampled(table.id, share=share, seed=seed)).to_pyarrow()["id"].to_pylist())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ids=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",))), min_size=1, max_size=20)
)
def test_the_engine_gives_the_names_that_python_gives(backend: Backend, ids: list[str]) -> None:
    table = _people(backend, ids)
    found = table.select("id", name=KEY.pseudonyms(table.id)).to_pyarrow().to_pylist()
    assert {row["id"]: row["name"] for row in found} == {id_: KEY.pseudonym(id_) for id_ in ids}


def test_names_and_people_are_those_of_every_version(backend: Backend) -> None:
    """A change here makes every sample that was handed out one of other people, under other names."""
    assert KEY.pseudonym("person-1") == "f63e3bb3ca9d04e0fc729173"
    assert sorted(_sampled(_people(backend), 0.001)) == ["person-1327", "person-2079", "person-219", "person-3330"]


def test_another_key_gives_other_names_and_other_people(backend: Backend) -> None:
    people = _people(backend)
    assert KEY.pseudonym("person-1") != OTHER.pseudonym("person-1")
    assert _sampled(people, 0.1) != _sampled(people, 0.1, key=OTHER)


def test_another_seed_gives_other_people_under_the_same_names(backend: Backend) -> None:
    people = _people(backend)
    one, other = _sampled(people, 0.2), _sampled(people, 0.2, seed=2)
    # Apart from each other, a fifth of a fifth is in both.
    assert len(one & other) == pytest.approx(0.04 * len(PEOPLE), abs=4 * np.sqrt(0.04 * len(PEOPLE)))


@pytest.mark.parametrize("share", [0.001, 0.01, 0.25, 0.9])
def test_as_many_are_sampled_as_the_share_says(backend: Backend, share: float) -> None:
    expected = share * len(PEOPLE)
    assert abs(len(_sampled(_people(backend), share)) - expected) <= 4 * np.sqrt(expected * (1 - share)) + 1


def test_a_larger_share_has_everybody_of_a_smaller_one(backend: Backend) -> None:
    people = _people(backend)
    samples = [_sampled(people, share) for share in (0.01, 0.02, 0.1, 0.5, 0.999, 1.0)]
    assert all(smaller < larger for smaller, larger in itertools.pairwise(samples))
    assert samples[-1] == set(PEOPLE)


@given(st.floats(1e-9, 1, exclude_max=True), st.floats(1e-9, 1, exclude_max=True))
def test_thresholds_compare_as_text_as_shares_do(one: float, other: float) -> None:
    assert len(threshold(one)) == len(threshold(other))
    if one < other:
        assert threshold(one) <= threshold(other)


def test_a_key_is_made_once_and_read_by_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "new" / "sample.key"
    made = key_of(None, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert key_of(None, file) == made
    assert key_of(None, tmp_path / "other.key") != made
    assert [path.name for path in file.parent.iterdir()] == ["sample.key"]


def test_a_key_that_others_can_read_is_refused_with_the_fix(tmp_path: Path) -> None:
    file = tmp_path / "sample.key"
    key_of(None, file)
    file.chmod(0o644)
    with pytest.raises(SampleError, match="chmod 600"):
        key_of(None, file)


def test_a_key_that_is_set_comes_first_and_leaves_no_file(tmp_path: Path) -> None:
    assert key_of(KEY.secret, tmp_path / "sample.key") == KEY
    assert not list(tmp_path.iterdir())


def test_a_short_key_is_refused_and_no_key_is_shown() -> None:
    with pytest.raises(SampleError, match="TRASOS_SAMPLE_KEY needs at least 16"):
        SampleKey("short")
    assert KEY.secret not in repr(KEY)
