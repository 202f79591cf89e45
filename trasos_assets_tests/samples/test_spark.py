"""The same people, under the same names, whichever engine the lake is computed on."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from trasos_assets.contracts import CONTRACTS
from trasos_assets.lake.store import LakeStore
from trasos_assets.samples.folder import take_sample
from trasos_assets_tests.conftest import new_backend
from trasos_assets_tests.samples.shop import Shop
from trasos_assets_tests.spark_session import MASTER, MEMORY, scratch_folder, spark_session

OF_EVERY_RULE = (
    *("raw_events", "clean_events", "interactions", "orders", "customer_features", "training_interactions"),
    *("assignments", "identities", "event_states", "also_bought", "catalogue", "als_model", "conversion_funnel"),
)


@pytest.mark.slow
def test_a_sample_taken_by_spark_is_the_one_taken_by_duckdb(shop: Shop, tmp_path: Path) -> None:
    spark_session()
    from trasos_assets.lake.engines.spark import SparkEngine

    on_spark = LakeStore(shop.store.root, SparkEngine(MASTER, MEMORY, scratch_folder(), new_backend()))
    there = take_sample(on_spark, shop.settings, tmp_path / "spark", share=0.5, tables=OF_EVERY_RULE)
    here = take_sample(shop.store, shop.settings, tmp_path / "duckdb", share=0.5, tables=OF_EVERY_RULE)
    for name in OF_EVERY_RULE:
        contract = CONTRACTS[name]
        files = [sorted(path.glob(f"{contract.owner}/{name}/**/*.parquet")) for path in (here.path, there.path)]
        assert [f.relative_to(here.path) for f in files[0]] == [f.relative_to(there.path) for f in files[1]], name
        for ours, theirs in zip(*files, strict=True):
            one, other = pq.ParquetFile(ours).read(), pq.ParquetFile(theirs).read()
            assert one.to_pylist() == other.to_pylist(), ours
    assert there.fidelity == here.fidelity
    assert (there.path / "fidelity.json").read_bytes() == (here.path / "fidelity.json").read_bytes()
