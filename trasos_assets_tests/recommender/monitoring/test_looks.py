import ibis
import pyarrow as pa
import pytest
from ibis.backends.duckdb import Backend

from trasos_assets.contracts.monitoring import DRIFT, DRIFT_BINS
from trasos_assets.contracts.schema import violations
from trasos_assets.recommender.monitoring import looks
from trasos_assets.recommender.monitoring.drift import Thresholds
from trasos_assets.recommender.monitoring.windows import Serving, Windows
from trasos_assets_tests.conftest import make_table
from trasos_assets_tests.recommender.monitoring.tables import FIRST, day

WINDOWS = Windows.of(day(30), day(40), first_day=FIRST, reference_days=28, current_days=7)
SERVING = Serving("als", "v1", day(30))


def lists(scores: list[float], version: str = "v1", source: str = "model") -> ibis.Table:
    rows = [
        {"person_id": f"p{n}", "score": score, "source": source, "model_version": version}
        for n, score in enumerate(scores)
    ]
    return ibis.memtable(
        rows, schema={"person_id": "string", "score": "float64", "source": "string"} | {"model_version": "string"}
    )


def look(backend: Backend, recommendations: ibis.Table, held: ibis.Table | None = None, serving: Serving = SERVING):
    """The table of bins after a look at scores alone."""
    before = looks.kept_scores(held, serving) if held is not None else []
    scores = looks.score_bins(recommendations, serving, before)
    made = looks.drift_bins([scores], serving, WINDOWS).cache()
    assert violations(DRIFT_BINS, made) == []
    return made


def score_row(made: ibis.Table) -> dict:
    (row,) = looks.judged(made.to_pyarrow().to_pylist(), Thresholds())
    return row


def test_scores_are_held_against_those_with_which_the_model_began(backend):
    began = look(backend, lists([n / 1_000 for n in range(1_000)]))
    assert score_row(began)["psi"] == 0
    same = look(backend, lists([n / 500 for n in range(500)]), began)
    assert score_row(same)["state"] == "ok"
    later = look(backend, lists([0.5 + n / 1_000 for n in range(1_000)]), same)
    found = score_row(later)
    assert found["state"] == "drifted"
    assert (found["reference_count"], found["reference_people"], found["current_count"]) == (1_000, 1_000.0, 1_000)
    # However often somebody looks, the reference stays what it was.
    again = look(backend, lists([n / 1_000 for n in range(1_000)]), later)
    assert score_row(again)["psi"] == 0


def test_another_model_begins_with_scores_of_its_own(backend):
    began = look(backend, lists([n / 1_000 for n in range(1_000)]))
    other = look(backend, lists([50.0 + n for n in range(1_000)], "v2"), began, Serving("blend", "v2", day(40)))
    assert score_row(other)["psi"] == 0
    assert score_row(other)["model_version"] == "v2"


@pytest.mark.parametrize("scores", [[], [1.0] * 300])
def test_no_scores_or_all_alike_are_no_fault(backend, scores):
    began = look(backend, lists(scores))
    assert [row["psi"] for row in looks.judged(began.to_pyarrow().to_pylist(), Thresholds())] == [0.0] * bool(scores)
    later = look(backend, lists([1.0] * 200 + [2.0] * 200), began)
    assert {row["state"] for row in looks.judged(later.to_pyarrow().to_pylist(), Thresholds())} == (
        {"drifted"} if scores else {"ok"}
    )


def test_scores_that_are_gone_leave_their_reference(backend):
    began = look(backend, lists([n / 1_000 for n in range(1_000)]))
    found = score_row(look(backend, lists([]), began))
    assert (found["state"], found["reference_count"], found["current_count"]) == ("too_few", 1_000, 0)


def test_fallbacks_and_older_versions_have_no_say(backend):
    mixed = lists([0.1, 0.2]).union(lists([9.0], source="popularity")).union(lists([9.0], "v0"))
    (row,) = looks.judged(look(backend, mixed).to_pyarrow().to_pylist(), Thresholds())
    assert row["current_count"] == 2


def looked(on: int, feature: str, state: str, version: str = "v1") -> dict:
    figures = {"psi": 0.3, "psi_by_chance": 0.01, "psi_critical": 0.02, "js": 0.2, "bins": 4}
    counts = {"reference_count": 10, "current_count": 10, "reference_people": 10.0, "current_people": 10.0}
    days = {"reference_from": day(0), "reference_through": day(1), "current_from": day(2), "current_through": day(on)}
    moved = {"moved_most": "x", "moved_from": 0.1, "moved_to": 0.2}
    known = {"as_of": day(on), "feature": feature, "state": state, "model_version": version}
    return known | figures | counts | days | moved


def test_drift_counts_once_it_lasted_for_several_looks_at_the_same_model():
    one = [looked(1, "prices", "drifted"), looked(1, "devices", "ok")]
    two = [*one, looked(2, "prices", "drifted"), looked(2, "devices", "drifted")]
    assert looks.drifted_for(one, 2) == []
    assert [row["feature"] for row in looks.drifted_for(one, 1)] == ["prices"]
    assert [(row["feature"], row["as_of"]) for row in looks.drifted_for(two, 2)] == [("prices", day(2))]
    eased = [*two, looked(3, "prices", "watch"), looked(3, "devices", "drifted")]
    assert [row["feature"] for row in looks.drifted_for(eased, 2)] == ["devices"]
    replaced = [*two, looked(3, "prices", "drifted", "v2")]
    assert looks.drifted_for(replaced, 2) == []
    assert looks.drifted_for([], 1) == []


def test_looks_are_kept_one_a_day_and_the_oldest_let_go(backend):
    schema = ibis.schema(DRIFT.types).to_pyarrow()
    held = pa.Table.from_pylist([looked(1, "prices", "ok"), looked(500, "prices", "ok")], schema=schema)
    after = looks.next_looks(held, [looked(500, "prices", "drifted")])
    assert [(row["as_of"], row["state"]) for row in after.to_pylist()] == [(day(500), "drifted")]
    assert looks.next_looks(held, []).equals(held)
    assert violations(DRIFT, make_table(backend, DRIFT, after.to_pylist())) == []
