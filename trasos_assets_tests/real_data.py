"""Where public data sets lie that the project does not copy, and the mark of tests that need them."""

import os
from pathlib import Path

import pytest

ONLINE_RETAIL = Path(
    os.environ.get("TRASOS_ONLINE_RETAIL", Path(__file__).parents[1] / "../shared/data/online_retail")
).resolve()

needs_online_retail = pytest.mark.skipif(
    not ONLINE_RETAIL.is_dir(),
    reason="no Online Retail data (UCI 352, a CSV a day); run with: TRASOS_ONLINE_RETAIL=/folder/of/csvs make test",
)
