"""A sample takes the place of a sample only, whole, and what a dead process left is mended."""

import json
from pathlib import Path

import pytest

from trasos_assets.samples.place import KIND, MARK, is_sample, require_place, swapped_in
from trasos_assets.samples.rules import SampleError

DEAD = 2**22 + 1
"""No process has such a number: Linux ends at 2**22."""


def fill(folder: Path, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / MARK).write_text(json.dumps({"kind": KIND, "text": text}))


def text_of(folder: Path) -> str:
    return json.loads((folder / MARK).read_text())["text"]


def test_a_new_an_empty_and_a_samples_folder_are_places(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    fill(tmp_path / "sample", "old")
    for name in ("new", "empty", "sample", "deep/er"):
        assert require_place(tmp_path / name) == tmp_path / name


def test_anything_else_is_refused_and_stays(tmp_path: Path) -> None:
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter.txt").write_text("years of work")
    with pytest.raises(SampleError, match="thesis holds something that is no sample"):
        require_place(thesis)
    with pytest.raises(SampleError, match=r"chapter\.txt is a file"):
        require_place(thesis / "chapter.txt")
    for text in ("{", "[]", '{"kind": "another"}'):
        (thesis / MARK).write_text(text)
        assert not is_sample(thesis)
    fill(tmp_path / "sample", "old")
    (tmp_path / "link").symlink_to(tmp_path / "sample")
    with pytest.raises(SampleError, match="is a link"):
        require_place(tmp_path / "link")


def test_the_lake_is_no_place_for_a_sample(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    lake.mkdir()
    with pytest.raises(SampleError, match="the platform keeps for itself"):
        require_place(lake / "engineering" / "sample", apart_from=(lake,))
    with pytest.raises(SampleError, match="the platform keeps for itself"):
        require_place(lake, apart_from=(lake,))
    require_place(tmp_path / "lakeside", apart_from=(lake,))


def test_the_new_takes_the_place_of_the_old_whole(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "sample"
    for text in ("one", "two"):
        with swapped_in(place) as fresh:
            assert not place.exists() or text_of(place) == "one"
            fill(fresh, text)
        assert text_of(place) == text
        assert [path.name for path in place.parent.iterdir()] == ["sample"]


def test_after_an_error_the_old_one_stands_and_nothing_else(tmp_path: Path) -> None:
    place = tmp_path / "sample"
    fill(place, "old")
    with pytest.raises(RuntimeError), swapped_in(place) as fresh:
        fill(fresh, "half")
        raise RuntimeError
    assert text_of(place) == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["sample"]


def test_what_a_dead_process_left_is_mended(tmp_path: Path) -> None:
    """It died between its two renames: the old sample stands aside, the new one is not in place yet."""
    place = tmp_path / "sample"
    fill(tmp_path / f".sample.old-{DEAD}", "old")
    fill(tmp_path / f".sample.new-{DEAD}", "new")
    with pytest.raises(RuntimeError), swapped_in(place):
        assert text_of(place) == "old"
        raise RuntimeError
    assert text_of(place) == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["sample"]


def test_a_folder_that_cannot_be_written_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SampleError, match="cannot be written"), swapped_in(tmp_path / "file" / "sample"):
        pass
