"""A lake in an object store is sampled into a folder of this machine, to the same bytes as one in a folder."""

from pathlib import Path

import pytest

from trasos_assets.lake.store import LakeStore
from trasos_assets.places import place
from trasos_assets.samples.folder import take_sample
from trasos_assets_tests.conftest import new_backend
from trasos_assets_tests.s3_server import s3_server
from trasos_assets_tests.samples.shop import Shop

TABLES = ("orders", "clean_events", "identities", "event_states", "daily_kpis")


@pytest.mark.slow
def test_a_lake_in_a_store_gives_the_same_sample(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server(tmp_path) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        files = server.files("bucket")
        files.put(f"{shop.store.root}/", "bucket/data/lake/", recursive=True)
        remote = LakeStore(place("s3://bucket/data/lake"), new_backend(), local=tmp_path / "local")
        there = take_sample(remote, shop.settings, tmp_path / "there", share=0.5, tables=TABLES)
    here = take_sample(shop.store, shop.settings, tmp_path / "here", share=0.5, tables=TABLES)
    found = [sorted(path.rglob("*.parquet")) for path in (here.path, there.path)]
    assert [f.relative_to(here.path) for f in found[0]] == [f.relative_to(there.path) for f in found[1]] != []
    for ours, theirs in zip(*found, strict=True):
        assert ours.read_bytes() == theirs.read_bytes(), ours
    assert (here.path / "fidelity.json").read_bytes() == (there.path / "fidelity.json").read_bytes()
