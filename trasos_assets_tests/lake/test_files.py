"""A small file is there whole or not at all."""

import os
from pathlib import Path

import pytest

from trasos_assets.lake.files import write_whole


def test_a_file_is_replaced_by_the_whole_text_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    write_whole(file, "first\n")
    write_whole(file, "second\n")
    assert file.read_text() == "second\n"
    assert list(tmp_path.iterdir()) == [file]


def test_what_ends_before_the_rename_leaves_the_old_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings.yaml"
    write_whole(file, "first\n")

    def ends(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", ends)
    with pytest.raises(KeyboardInterrupt):
        write_whole(file, "second\n" * 1000)
    assert file.read_text() == "first\n"
