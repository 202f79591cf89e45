import gzip
import json
import os
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.serving import RECOMMENDATIONS
from trasos_assets.publishing.files import PublishError, current, publish_files, unpublish, verify
from trasos_assets.publishing.schema import json_schema, postgres_type
from trasos_assets_tests.publishing.lists import FIRST, SERVED, tables_of

_CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree")


def publish_and_die(tables: dict, target: Path, number: int, step: int) -> int:
    """Publish in a process that dies before its ``step``-th change of the disk; its exit code, 9 if it died."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        seen = 0

        def dying(event: str, arguments: tuple) -> None:
            nonlocal seen
            writes = event == "open" and isinstance(arguments[1], str) and "w" in arguments[1]
            if event in _CHANGES or writes:
                seen += 1
                if seen == step:
                    os._exit(9)

        sys.addaudithook(dying)
        publish_files(tables, target, as_of=FIRST + timedelta(days=number), keep=2)
        os._exit(0)
    finally:
        os._exit(1)


def publish(tmp_path: Path, number: int, **options):
    tables = tables_of(tmp_path / f"lake{number}", number)
    return publish_files(
        tables, tmp_path / "published", as_of=FIRST + timedelta(days=number), **({"keep": 3} | options)
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_parquet_and_json_lines_hold_the_rows_of_the_table_and_keep_to_the_schema(tmp_path: Path) -> None:
    done = publish(tmp_path, 0)
    assert done.changed and verify(done) == [] and done.rows == dict.fromkeys(SERVED, 50)
    for name, contract in SERVED.items():
        told = done.manifest["tables"][name]
        schema = json.loads((done.folder / told["files"]["json_schema"]["path"]).read_text())
        rows = pq.read_table(done.folder / told["files"]["parquet"]["path"]).to_pylist()
        with gzip.open(done.folder / told["files"]["json_lines"]["path"], "rt") as lines:
            read = [json.loads(line) for line in lines]
        plain = [row | {"as_of": row["as_of"].isoformat()} for row in rows]
        assert read == plain and len(read) == 50
        assert all(list(row) == list(contract.column_names) == schema["required"] for row in read)
        kinds = {"string": str, "integer": int, "number": (int, float), "null": type(None)}
        for row in read:
            for key, value in row.items():
                of = schema["properties"][key]["type"]
                assert isinstance(value, tuple(kinds[kind] for kind in ([of] if isinstance(of, str) else of))[0:2]) or (
                    value is None and "null" in of
                )


def test_the_same_lists_are_one_version_of_the_same_bytes_and_are_not_written_twice(tmp_path: Path) -> None:
    first = publish(tmp_path, 0)
    before = {name: (tmp_path / "published" / name).stat().st_mtime_ns for name in contents(tmp_path / "published")}
    again = publish(tmp_path, 0)
    after = {name: (tmp_path / "published" / name).stat().st_mtime_ns for name in contents(tmp_path / "published")}
    assert (again.version, again.changed) == (first.version, False)
    assert {n: t for n, t in after.items() if n != ".lock"} == {n: t for n, t in before.items() if n != ".lock"}
    elsewhere = publish_files(tables_of(tmp_path / "other", 0), tmp_path / "elsewhere", as_of=FIRST, keep=1)
    assert elsewhere.version == first.version
    assert contents(elsewhere.folder) == contents(first.folder)


def test_versions_but_the_latest_are_pruned_and_an_older_one_can_come_back(tmp_path: Path) -> None:
    versions = [publish(tmp_path, number, keep=2).version for number in range(4)]
    assert {folder.name for folder in (tmp_path / "published" / "versions").iterdir()} == set(versions[2:])
    back = publish(tmp_path, 2, keep=2)
    assert back.version == versions[2] == current(tmp_path / "published").version
    assert back.changed and set(back.history) == set(versions[2:])


def test_a_table_that_was_never_built_is_named_and_nothing_is_published(tmp_path: Path) -> None:
    tables = tables_of(tmp_path / "lake", 0)
    tables["substitutes"][1].unlink()
    with pytest.raises(PublishError, match=r"substitutes were never built; run `trasos run` first"):
        publish_files(tables, tmp_path / "published", as_of=FIRST, keep=1)
    assert current(tmp_path / "published") is None


def test_a_pointer_that_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    publish(tmp_path, 0)
    (tmp_path / "published" / "current.json").write_text('{"format": 1, "vers')
    with pytest.raises(PublishError, match=r"current\.json cannot be read .* remove it and publish again"):
        publish(tmp_path, 1)
    (tmp_path / "published" / "current.json").write_text('{"format": 2}')
    with pytest.raises(PublishError, match="published by other code"):
        publish(tmp_path, 1)


def test_a_file_that_was_changed_after_publishing_is_found(tmp_path: Path) -> None:
    done = publish(tmp_path, 0)
    (done.folder / "also_bought.jsonl.gz").write_bytes(b"x")
    (done.folder / "substitutes.parquet").unlink()
    assert verify(done) == [
        "also_bought: also_bought.jsonl.gz (json_lines) is not what was published",
        "substitutes: substitutes.parquet is missing",
    ]


def test_unpublishing_leaves_nothing_of_any_version(tmp_path: Path) -> None:
    publish(tmp_path, 0)
    publish(tmp_path, 1)
    (tmp_path / "published" / ".staging-1").mkdir()
    (tmp_path / "published" / ".staging-1" / "recommendations.parquet").write_bytes(b"p1")
    assert unpublish(tmp_path / "published")
    assert set(contents(tmp_path / "published")) <= {".lock"}
    assert not unpublish(tmp_path / "published") and current(tmp_path / "published") is None
    assert publish(tmp_path, 1).changed


def test_killed_before_any_step_the_last_whole_version_stands_and_the_next_publish_is_whole(tmp_path: Path) -> None:
    """The process dies before each change it makes to the disk; the third version also prunes the first."""
    target = tmp_path / "published"
    versions = [publish(tmp_path, number, keep=2).version for number in range(2)]
    tables = tables_of(tmp_path / "lake2", 2)
    standing_at = []
    for step in range(1, 200):
        code = publish_and_die(tables, target, 2, step)
        standing = current(target)
        assert standing is not None and verify(standing) == []
        standing_at.append(standing.version)
        if code == 0:
            break
        assert code == 9
    assert code == 0 and set(standing_at[:-1]) >= {versions[1]} and len(standing_at) > 10
    last = publish(tmp_path, 2, keep=2)
    assert verify(last) == [] and {f.name for f in (target / "versions").iterdir()} == {versions[1], last.version}
    assert {file.name for file in target.iterdir()} == {".lock", "current.json", "versions"}


def test_a_reader_that_follows_the_pointer_meets_whole_versions_only(tmp_path: Path) -> None:
    target, stop, seen, torn = tmp_path / "published", threading.Event(), set(), []
    publish(tmp_path, 0)

    def read() -> None:
        while not stop.is_set():
            standing = current(target)
            assert standing is not None
            torn.extend(verify(standing))
            seen.add(standing.version)

    reader = threading.Thread(target=read)
    reader.start()
    versions = [publish(tmp_path, number).version for number in range(1, 10)]
    time.sleep(0.1)
    stop.set()
    reader.join()
    assert not torn and versions[-1] in seen and len(seen) > 2


def test_two_publishers_at_once_leave_one_whole_version(tmp_path: Path) -> None:
    done: list = []
    lakes = [tables_of(tmp_path / f"lake{number}", number) for number in range(2)]

    def publish_one(number: int) -> None:
        day = FIRST + timedelta(days=number)
        done.append(publish_files(lakes[number], tmp_path / "published", as_of=day, keep=3))

    threads = [threading.Thread(target=publish_one, args=(n % 2,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    standing = current(tmp_path / "published")
    assert len(done) == 6 and standing is not None and verify(standing) == []
    assert len(list((tmp_path / "published" / "versions").iterdir())) == 2


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([c for c in CONTRACTS.values() if "array" not in repr(c.types)]))
def test_a_type_that_json_cannot_hold_exactly_is_refused(contract) -> None:
    awkward = [c for c in contract.columns if c.type.startswith(("decimal", "timestamp"))]
    if awkward:
        with pytest.raises(ValueError, match=f"{contract.name}.{awkward[0].name} is"):
            json_schema(contract)
    else:
        assert set(json_schema(contract)["properties"]) == set(contract.column_names)
    assert all(postgres_type(column.type) for column in contract.columns)


def test_the_schema_tells_personal_columns_and_the_key() -> None:
    schema = json_schema(RECOMMENDATIONS)
    assert schema["properties"]["person_id"]["x-personal"] and schema["x-primary-key"] == ["person_id", "rank"]
    assert schema["properties"]["score"]["type"] == ["number", "null"]
    with pytest.raises(ValueError, match="array"):
        postgres_type("array<float32>")
