import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from trasos_assets.recommender.interactions import bought_pairs
from trasos_assets.recommender.models import ALS, ALSConfig, Popularity
from trasos_assets.recommender.serving import recommend_for_everyone
from trasos_assets_tests.recommender.tables import Row, interactions, pairs, rows_strategy, two_tastes

SMALL_ALS = ALSConfig(factors=4, iterations=3, regularization=1.0)
EVERYONE = [f"p{n}" for n in range(10)]


@settings(deadline=None, max_examples=60)
@given(rows_strategy.filter(bool), st.integers(1, 9), st.sets(st.sampled_from([f"i{n}" for n in range(9)])))
def test_nothing_bought_nothing_forbidden_and_no_list_shorter_than_it_must_be(rows: list[Row], k, allowed) -> None:
    table = interactions(rows)
    popularity, bought = Popularity().fit(table), bought_pairs(table)
    served = recommend_for_everyone(ALS(SMALL_ALS).fit(table), popularity, EVERYONE, bought, allowed, k)
    had = {tuple(row.values()) for row in bought.to_pylist()}
    fitted_people, fitted_items = {row[0] for row in rows}, {row[1] for row in rows}
    popular_items = set(popularity.recommend(["x"], 100)["item_id"].to_pylist())
    found: dict[str, list[dict]] = {person: [] for person in EVERYONE}
    for row in served.to_pylist():
        found[row["person_id"]].append(row)
    for person, lines in found.items():
        items = [line["item_id"] for line in lines]
        pool = fitted_items if person in fitted_people else popular_items
        left = {item for item in pool & allowed if (person, item) not in had}
        assert set(items) <= left and len(items) == len(set(items)) == min(k, len(left))
        assert [line["rank"] for line in lines] == list(range(1, len(lines) + 1))
        assert {line["source"] for line in lines} <= {"als" if person in fitted_people else "popularity"}


def test_strangers_get_popularity_minus_what_they_bought() -> None:
    table = two_tastes()
    popularity = Popularity().fit(table)
    top = popularity.recommend(["x"], 3)["item_id"].to_pylist()
    served = recommend_for_everyone(
        ALS(SMALL_ALS).fit(table), popularity, ["p001", "x"], pairs([("x", top[0])]), table["item_id"], 2
    )
    assert served["person_id"].to_pylist() == ["p001", "p001", "x", "x"]
    assert served["source"].to_pylist() == ["als", "als", "popularity", "popularity"]
    assert served["item_id"].to_pylist()[2:] == top[1:]


def test_without_a_model_everyone_gets_popularity() -> None:
    table = two_tastes()
    served = recommend_for_everyone(None, Popularity().fit(table), ["b", "a"], pairs([]), table["item_id"], 4)
    assert set(served["source"].to_pylist()) == {"popularity"} and served.num_rows == 8
    assert served.column_names == ["person_id", "rank", "item_id", "score", "source"]


def test_scores_are_rounded_to_six_digits() -> None:
    table = two_tastes()
    model = ALS(SMALL_ALS).fit(table)
    served = recommend_for_everyone(model, Popularity().fit(table), ["p001"], pairs([]), table["item_id"], 24)
    exact = model.recommend(["p001"], 24)["score"].to_numpy()
    scores = served["score"].to_numpy()
    assert (scores == np.round(scores, 6)).all() and np.abs(scores - exact).max() <= 5.0001e-7
    assert (scores != exact).any()


def test_many_people_with_many_purchases_are_served_without_walking_lists() -> None:
    people, items, each = 40_000, 3_000, 30
    rng = np.random.default_rng(1)
    item_ids = pa.array([f"i{n:05}" for n in range(items)])
    person_ids = pa.array([f"p{n:06}" for n in range(people)])
    bought = pa.table(
        {
            "person_id": person_ids.take(pa.array(np.repeat(np.arange(people), each))),
            "item_id": item_ids.take(pa.array(rng.integers(0, 60, people * each))),
        }
    )
    table = bought.append_column("purchases", pa.array(np.ones(bought.num_rows, np.int32)))
    days = pa.array(np.full(bought.num_rows, np.datetime64("2026-01-01")), pa.date32())
    served = recommend_for_everyone(
        None, Popularity().fit(table.append_column("day", days)), person_ids, bought, item_ids, 10
    )
    clash = served.join(bought, keys=["person_id", "item_id"], join_type="left semi")
    assert clash.num_rows == 0 and served.num_rows == 10 * people
