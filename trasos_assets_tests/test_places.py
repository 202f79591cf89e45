"""A place is a folder or a URL; neither an error nor a name holds credentials."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from trasos_assets import places
from trasos_assets.cli import app
from trasos_assets.commands.terminal import settings_or_fail
from trasos_assets.landing.writer import write_landing
from trasos_assets.places import PlaceError, hidden_for, is_remote, names_below, place, put_in_place, require
from trasos_assets.settings import Settings, get_settings
from trasos_assets_tests.s3_server import KEY_ID, SECRET, S3Server, s3_server


def test_a_path_is_made_absolute_and_a_url_is_a_place_of_its_store(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert place("shop") == tmp_path / "shop"
    assert place(f"file://{tmp_path}/shop") == tmp_path / "shop"
    assert not is_remote(place(f"local://{tmp_path}/shop"))
    remote = place("s3://bucket/shops/one/")
    assert is_remote(remote)
    assert str(remote / "lake") == "s3://bucket/shops/one/lake"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://user:hunter2@bucket/shop", "put credentials and endpoint into the environment"),
        ("s3://bucket/shop?secret=hunter2", "put credentials and endpoint into the environment"),
        ("nosuch://hunter2", "'nosuch' is no store that fsspec knows"),
        ("s3://", "names no bucket"),
    ],
)
def test_a_url_that_cannot_be_is_refused_without_repeating_what_may_be_secret(url, said) -> None:
    with pytest.raises(ValueError, match=said) as error:
        place(url)
    assert "hunter2" not in str(error.value)
    with pytest.raises(ValidationError) as refused:
        Settings(data_dir=url)
    assert "hunter2" not in str(refused.value)


def test_what_must_be_on_a_machine_is_below_a_folder_of_its_own(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("TRASOS_DATA_DIR", "TRASOS_LOCAL_DIR"):
        monkeypatch.delenv(name, raising=False)
    folder = Settings(data_dir=tmp_path / "shop")
    assert folder.local_dir == folder.data_dir
    one, other = Settings(data_dir="s3://b/a/c"), Settings(data_dir="s3://b/a-c")
    assert one.local_dir.parent == other.local_dir.parent == tmp_path / "data" / "remote"
    assert one.local_dir != other.local_dir
    assert one.warehouse_path.parent == one.dagster_home.parent == one.local_dir
    assert one.model_copy(update={"data_dir": tmp_path}).local_dir == tmp_path
    assert is_remote(one.lake_dir)
    monkeypatch.setenv("TRASOS_LOCAL_DIR", str(tmp_path / "machine"))
    chosen = Settings(data_dir="s3://b/a/c")
    assert chosen.local_dir == tmp_path / "machine"
    assert chosen.model_copy(update={"data_dir": tmp_path}).local_dir == tmp_path / "machine"
    with pytest.raises(ValidationError, match="need a folder of this machine"):
        Settings(local_dir="s3://b/a")


def test_a_wrong_setting_is_named_once(monkeypatch, capsys) -> None:
    monkeypatch.setenv("TRASOS_DATA_DIR", "s3://user:hunter2@bucket")
    get_settings.cache_clear()
    try:
        with pytest.raises(BaseException, match="1"):
            settings_or_fail()
    finally:
        get_settings.cache_clear()
    said = capsys.readouterr().err
    assert said.count("TRASOS_") == 1
    assert "hunter2" not in said


def test_a_file_is_put_in_its_place_whole_or_not_at_all(tmp_path) -> None:
    memory = place(f"memory://{tmp_path.name}/shop")
    for target in (tmp_path / "deep" / "page.html", memory / "deep" / "page.html"):
        hidden = hidden_for(target)
        hidden.write_text("whole")
        assert not target.exists()
        put_in_place(hidden, target)
        assert target.read_text() == "whole"
        assert not hidden.exists()


def test_importers_write_into_a_store_the_bytes_that_they_write_into_a_folder(tmp_path) -> None:
    rows = "SELECT 'events/dt=2026-01-0' || (range // 100 + 1) || '/a.jsonl.gz' AS path, range || chr(10) AS line"
    memory = place(f"memory://{tmp_path.name}/landing")
    with duckdb.connect() as connection:
        for out in (tmp_path, memory):
            write_landing(connection.sql(f"{rows} FROM range(250)"), out)
    there = {name: (memory / name).read_bytes() for name in names_below(memory)}
    assert there == {name: (tmp_path / name).read_bytes() for name in names_below(tmp_path)}
    assert len(there) == 3


def test_a_store_whose_package_is_missing_is_named_with_the_package(monkeypatch) -> None:
    really = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name.split(".")[0] == "s3fs":
            raise ImportError("No module named 's3fs'")
        return really(name, *args, **options)

    for name in [name for name in sys.modules if name.split(".")[0] == "s3fs"]:
        monkeypatch.delitem(sys.modules, name)
    from fsspec.registry import _registry

    for protocol in ("s3", "s3a"):
        monkeypatch.delitem(_registry, protocol, raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(PlaceError, match=r"pip install 'trasos-assets\[s3\]'"):
        require(place("s3://bucket/shop"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("server")) as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.environment.items():
            patch.setenv(name, value)
        running.files("shop")
        yield running


def said_of(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *command: str) -> str:
    """What a command prints that cannot use its store."""
    monkeypatch.setenv("TRASOS_DATA_DIR", url)
    monkeypatch.setenv("TRASOS_LOCAL_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "300")
    get_settings.cache_clear()
    places.store_path("s3://shop").fs.clear_instance_cache()  # pyright: ignore[reportAttributeAccessIssue]
    try:
        result = CliRunner().invoke(app, list(command))
    finally:
        get_settings.cache_clear()
    assert result.exit_code == 1, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    for secret in (SECRET, KEY_ID):
        assert secret not in result.output
    return result.output


@pytest.mark.parametrize("command", [("run",), ("query", "SELECT 1"), ("dashboard", "--path"), ("health",)])
def test_a_bucket_that_is_not_there_is_named_and_not_made(server, tmp_path, monkeypatch, command) -> None:
    said = said_of("s3://no-such-bucket/shop", tmp_path, monkeypatch, *command)
    assert "there is no bucket 'no-such-bucket' on that store; create it, or mend TRASOS_DATA_DIR" in said
    assert "no-such-bucket" not in server.files("shop").ls("")


def test_an_empty_place_in_a_bucket_is_a_place_to_begin_in(server, tmp_path, monkeypatch) -> None:
    require(place("s3://shop/new"))
    said = said_of("s3://shop/new", tmp_path, monkeypatch, "dashboard", "--path")
    assert "there is no dashboard at s3://shop/new/reports/dashboard/index.html yet; run `trasos run` first" in said


def test_credentials_that_are_refused_are_named_by_their_variables(server, tmp_path, monkeypatch) -> None:
    server.refuse_strangers()
    try:
        said = said_of("s3://shop/one", tmp_path, monkeypatch, "query", "SELECT 1")
    finally:
        server.let_everyone_in()
    assert "the store refuses these credentials" in said
    assert "AWS_ACCESS_KEY_ID" in said


def test_no_credentials_at_all_are_named_by_their_variables(server, tmp_path, monkeypatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    said = said_of("s3://shop/one", tmp_path, monkeypatch, "query", "SELECT 1")
    assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE" in said


def test_a_store_that_does_not_answer_is_named_with_its_endpoint_variable(server, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    said = said_of("s3://shop/one", tmp_path, monkeypatch, "query", "SELECT 1")
    assert "s3://shop/one cannot be reached" in said
    assert "AWS_ENDPOINT_URL" in said
