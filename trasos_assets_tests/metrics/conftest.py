import pytest

from trasos_assets_tests.metrics.tables import Shop


@pytest.fixture
def shop() -> Shop:
    return Shop()
