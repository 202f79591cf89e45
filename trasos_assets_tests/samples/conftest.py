"""The lake that all tests of samples share: it is built once, and only read."""

import pytest

from trasos_assets_tests.samples.shop import Shop, build_shop


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return build_shop(tmp_path_factory.mktemp("shop"))
