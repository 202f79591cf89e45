"""The blend must use what its parts know together, see nothing of the future, and stay whole where data are young."""

import json
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from trasos_assets.recommender.ids import IdMap
from trasos_assets.recommender.interactions import bought_pairs
from trasos_assets.recommender.metrics import judge, ndcg
from trasos_assets.recommender.models.als import ALS, ALSConfig
from trasos_assets.recommender.models.base import PARTS, NotFittedError
from trasos_assets.recommender.models.blend import Blend, BlendConfig
from trasos_assets.recommender.models.blend_history import History
from trasos_assets.recommender.models.blend_lessons import FIXED_SUM, TIMES, Lesson, is_worth_it, learned, ndcg_of_pairs
from trasos_assets.recommender.models.blend_ranker import Ranker, RankerConfig
from trasos_assets.recommender.models.personal_repeat import PersonalRepeat
from trasos_assets.recommender.models.popularity import Popularity, PopularityConfig
from trasos_assets.recommender.models.registry import kind_of
from trasos_assets.recommender.splits import rows_between
from trasos_assets_tests.recommender.tables import FIRST_DAY, interactions, purchases

SMALL = BlendConfig(
    als=ALSConfig(factors=8, iterations=5, regularization=1.0),
    ranker=RankerConfig(trees=40, depth=3, least_weight=2.0),
    candidates=15,
    window_days=10,
    neighbours=20,
    least_purchases=50,
)
DAYS, TASTES, ITEMS, IN_FASHION = 60, 3, 40, 4


def fashion_shop(people: int = 150, seed: int = 0) -> pa.Table:
    """People keep to one of three groups of items, and every ten days other items of each group are the fashion.

    Nine purchases in ten are of the person's group, and most of these of what is in fashion now: who knows only tastes
    takes the fashion of last month, who knows only the trend takes the fashion of other people.
    """
    rng = np.random.default_rng(seed)
    rows = set()
    for person in range(people):
        for day in np.sort(rng.choice(DAYS, 14, replace=False)):
            for _ in range(2):
                group = person % TASTES if rng.random() < 0.9 else int(rng.integers(TASTES))
                first = (day // 10) * IN_FASHION
                item = first + rng.integers(IN_FASHION) if rng.random() < 0.75 else rng.integers(ITEMS)
                rows.add((f"p{person:03}", f"g{group}i{int(item) % ITEMS:02}", int(day)))
    return purchases(sorted(rows))


SHOP = fashion_shop()
THROUGH = FIRST_DAY + timedelta(days=54)
PAST, FUTURE = rows_between(SHOP, through=THROUGH), rows_between(SHOP, after=THROUGH)


@pytest.fixture(scope="module")
def blend() -> Blend:
    return Blend(SMALL).fit(PAST, as_of=THROUGH)


def quality(model, *, new: bool) -> np.ndarray:
    truth, bought = bought_pairs(FUTURE), bought_pairs(PAST)
    if new:
        truth = truth.join(bought, keys=["person_id", "item_id"], join_type="left anti")
    lists = model.recommend(truth["person_id"], 5, exclude=bought if new else None)
    return ndcg(judge(lists, truth), 5)


def test_it_beats_those_who_know_only_tastes_or_only_the_trend(blend: Blend) -> None:
    tastes = ALS(SMALL.als).fit(PAST)
    trend = Popularity(PopularityConfig(window_days=7)).fit(PAST)
    ours = quality(blend, new=True).mean()
    assert ours > 1.2 * quality(tastes, new=True).mean()
    assert ours > 1.2 * quality(trend, new=True).mean()


def test_with_repeats_it_beats_repeats_alone(blend: Blend) -> None:
    assert quality(blend, new=False).mean() > 1.1 * quality(PersonalRepeat().fit(PAST), new=False).mean()


def test_what_comes_after_the_split_changes_nothing(blend: Blend) -> None:
    leaking = Blend(SMALL).fit(SHOP, as_of=THROUGH)
    assert leaking.parts().equals(blend.parts())
    everyone = PAST["person_id"]
    assert leaking.recommend(everyone, 5).equals(blend.recommend(everyone, 5))


def test_a_refit_of_shuffled_rows_gives_the_same_bytes_and_lists(blend: Blend) -> None:
    order = np.random.default_rng(1).permutation(PAST.num_rows)
    again = Blend(SMALL).fit(PAST.take(pa.array(order)), as_of=THROUGH)
    assert again.parts().equals(blend.parts())
    assert again.recommend(PAST["person_id"], 5).equals(blend.recommend(PAST["person_id"], 5))


def test_features_on_a_day_are_those_of_the_days_up_to_it() -> None:
    day = THROUGH - timedelta(days=SMALL.window_days)
    model = Blend(SMALL)
    known, told = (
        model._snapshot(rows, day, model._als_of(rows, day)) for rows in (rows_between(SHOP, through=day), SHOP)
    )
    chosen = known.candidates(known.history.people, 5, 5, None, None)
    features = told.features(told.history.people, chosen)
    for name, values in known.features(known.history.people, chosen).items():
        assert np.array_equal(values, features[name], equal_nan=True), name


def test_it_is_restored_from_its_parts(blend: Blend) -> None:
    parts = blend.parts()
    assert parts.schema.equals(PARTS)
    restored = Blend(SMALL).restore(parts, PAST, as_of=THROUGH)
    assert restored.recommend(PAST["person_id"], 5).equals(blend.recommend(PAST["person_id"], 5))
    assert restored.similar(["g0i01"], 3).equals(blend.similar(["g0i01"], 3))
    assert restored.parts().equals(parts)


def test_the_stored_text_names_nobody(blend: Blend) -> None:
    text = blend.parts().filter(pc.field("side") == "ranker")["payload"].to_pylist()[0]
    assert set(json.loads(text)) == {"features", "ranker"}
    assert not any(person in text for person in PAST["person_id"].unique().to_pylist())
    assert not any(item in text for item in PAST["item_id"].unique().to_pylist())


def test_a_given_als_is_taken_instead_of_another_fit(blend: Blend) -> None:
    als = ALS(SMALL.als).fit(PAST, as_of=THROUGH)
    assert Blend(SMALL).fit(PAST, as_of=THROUGH, als=als).parts().equals(blend.parts())


def test_nothing_excluded_or_not_allowed_is_listed_and_lists_are_full(blend: Blend) -> None:
    allowed = [f"g{group}i{item:02}" for group in range(TASTES) for item in range(0, ITEMS, 2)]
    bought = bought_pairs(PAST)
    lists = blend.recommend(PAST["person_id"], 10, exclude=bought, allowed_items=allowed)
    assert set(lists["item_id"].to_pylist()) <= set(allowed)
    assert lists.join(bought, keys=["person_id", "item_id"], join_type="inner").num_rows == 0
    assert set(pc.value_counts(lists["person_id"]).field("counts").to_pylist()) == {10}


def test_a_stranger_is_shown_what_is_in_fashion(blend: Blend) -> None:
    lists = blend.recommend(["nobody"], IN_FASHION * TASTES)
    season = DAYS // 10 - 1
    fashion = range((season - 1) * IN_FASHION, (season + 1) * IN_FASHION)
    assert np.mean([int(item[3:]) in fashion for item in lists["item_id"].to_pylist()]) > 0.8


def test_a_young_shop_is_ranked_by_the_fixed_sum() -> None:
    young = rows_between(SHOP, through=FIRST_DAY + timedelta(days=9))
    model = Blend(SMALL).fit(young)
    assert model.ranker is None
    lists = model.recommend(["p000"], 5)
    now = model._fitted
    person = now.history.people.to_indices(["p000"] * 5)
    score = now.fixed_scores(person, now.history.items.to_indices(lists["item_id"]))
    assert np.allclose(lists["score"].to_numpy(), score)
    assert (np.diff(score) <= 0).all()
    assert Blend(SMALL).restore(model.parts(), young).recommend(["p000"], 5).equals(lists)


@pytest.mark.parametrize("rows", [[], [("ann", "hat", 0)], [("ann", "hat", 0), ("ann", "hat", 40), ("bob", "tie", 80)]])
def test_next_to_nothing_is_enough_to_answer(rows: list[tuple[str, str, int]]) -> None:
    lists = Blend(SMALL).fit(purchases(rows)).recommend(["ann", "zoe"], 3)
    for person in ("ann", "zoe"):
        listed = lists.filter(pc.equal(lists["person_id"], person))["item_id"].to_pylist()
        assert sorted(listed) == sorted({item for _, item, _ in rows})


def test_without_any_purchase_it_ranks_by_what_was_looked_at() -> None:
    rows = [
        (f"p{person}", f"i{item}", day, 1, 0, 0) for person in range(6) for item in range(person) for day in (0, 30)
    ]
    lists = Blend(SMALL).fit(interactions(rows)).recommend(["stranger"], 2)
    assert lists["item_id"].to_pylist() == ["i0", "i1"]


def test_attributes_bring_items_nobody_has_touched_to_those_who_like_their_category() -> None:
    items = sorted({*SHOP["item_id"].to_pylist(), "g0new", "g1new", "g2new"})
    attributes = pa.table({"item_id": items, "category": [item[:2] for item in items], "price": [9.5] * len(items)})
    rows = purchases((f"p{person}", f"g{person % 2}i{item:02}", 0) for person in range(8) for item in range(6))
    now = Blend(SMALL, item_features=attributes).fit(rows)._fitted
    people = IdMap.from_ids(["p0", "p1"])
    fresh = ["g0new", "g1new", "g2new"]
    chosen = now.candidates(people, 1, 0, None, fresh)
    found = list(zip(chosen.person.tolist(), now.history.items.to_ids(chosen.item).to_pylist(), strict=True))
    # One of the popular, which nobody bought, for everybody; beside it, one of the category.
    assert found == [(0, "g0new"), (1, "g0new"), (1, "g1new")]
    columns = now.features(people, chosen)
    assert columns["category_share"].tolist() == [1, 0, 1]
    assert columns["price_against_usual"].tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="item_id must be unique"):
        Blend(SMALL, item_features=pa.table({"item_id": ["a", "a"]}))


def novelty_shop(people: int = 90, seed: int = 0) -> tuple[pa.Table, pa.Table]:
    """Rows of a shop where every ten days each category gets four new items, and its friends buy little else; and all
    items with their category, those of the days to come too."""
    rng = np.random.default_rng(seed)
    rows = set()
    for person in range(people):
        for day in rng.choice(DAYS, 18, replace=False):
            season = day // 10 if rng.random() < 0.8 else rng.integers(day // 10 + 1)
            rows.add((f"p{person:03}", f"g{person % TASTES}s{season}i{rng.integers(IN_FASHION)}", int(day)))
    names = [
        f"g{group}s{season}i{n}" for group in range(TASTES) for season in range(DAYS // 10) for n in range(IN_FASHION)
    ]
    attributes = {"item_id": names, "category": [name[:2] for name in names], "brand": ["house"] * len(names)}
    return purchases(sorted(rows)), pa.table(attributes)


def test_a_new_item_of_the_favourite_category_is_recommended_when_attributes_are_given() -> None:
    rows, attributes = novelty_shop()
    last_season = DAYS // 10 - 1
    split = FIRST_DAY + timedelta(days=10 * last_season - 1)
    past = rows_between(rows, through=split)
    told, untold = (kind_of("blend").build(SMALL, items=items).fit(past, as_of=split) for items in (attributes, None))
    everyone, bought = past["person_id"].unique(), bought_pairs(past)
    lists = told.recommend(everyone, 5, exclude=bought).to_pylist()
    cold = [row for row in lists if f"s{last_season}" in row["item_id"]]
    assert len({row["person_id"] for row in cold}) > 0.9 * len(everyone)
    assert all(row["item_id"][:2] == f"g{int(row['person_id'][1:]) % TASTES}" for row in cold)
    assert not any(f"s{last_season}" in item for item in untold.recommend(everyone, 5)["item_id"].to_pylist())
    restored = kind_of("blend").build(SMALL, items=attributes).restore(told.parts(), past, as_of=split)
    assert restored.recommend(everyone, 5, exclude=bought).to_pylist() == lists


def test_a_ranker_of_attributes_asks_for_them(blend: Blend) -> None:
    items = SHOP["item_id"].unique().to_pylist()
    attributes = pa.table({"item_id": items, "category": [item[:2] for item in items]})
    learned = Blend(SMALL, item_features=attributes).fit(PAST, as_of=THROUGH)
    with pytest.raises(ValueError, match="item_features"):
        Blend(SMALL).restore(learned.parts(), PAST, as_of=THROUGH).recommend(["p000"], 3)


def lesson(rng: np.random.Generator, told: bool) -> Lesson:
    """50 people with 20 candidates, of which the fixed sum knows the bought ones; the feature ``told`` may know too."""
    person = np.repeat(np.arange(50), 20)
    bought = rng.random(1000) < 0.2
    fixed = bought + rng.normal(0, 0.8, 1000)
    other = bought + rng.normal(0, 0.3, 1000) if told else rng.normal(0, 1, 1000)
    features = np.stack([fixed, np.zeros(1000), other], axis=1).astype(np.float32)
    return Lesson((FIXED_SUM, TIMES, "told"), person, features, bought)


def test_a_ranker_serves_only_if_it_gains_on_the_fixed_sum() -> None:
    config = RankerConfig(trees=30, depth=3, least_weight=2.0)
    rng = np.random.default_rng(0)
    assert learned([[lesson(rng, True)], [lesson(rng, True)]], config, 100) is not None
    # What the older window taught is noise in the latest.
    assert learned([[lesson(rng, False)], [lesson(rng, True)]], config, 100) is None
    assert learned([[lesson(rng, True)], [lesson(rng, True)]], config, 100_000) is None
    assert learned([], config, 0) is None


@pytest.mark.parametrize(("mended", "spoilt", "serves"), [(12, 2, True), (3, 2, False), (2, 12, False)])
def test_a_gain_that_may_be_chance_is_none(mended: int, spoilt: int, serves: bool) -> None:
    # 50 people with two candidates; the sum puts the bought one first for half of them.
    first_is_bought = np.tile([1.0, 0.0], 50)
    right = np.arange(50) < 25
    ours = right.copy()
    ours[25 : 25 + mended], ours[:spoilt] = True, False
    by_sum, by_us = (np.where(np.repeat(good, 2), first_is_bought, 1 - first_is_bought) for good in (right, ours))
    features = np.stack([by_sum, np.zeros(100), by_us], axis=1).astype(np.float32)
    told = Lesson((FIXED_SUM, TIMES, "told"), np.repeat(np.arange(50), 2), features, first_is_bought > 0)
    ranker = Ranker.__new__(Ranker)
    ranker.score = lambda features: features[:, 2]
    assert is_worth_it(ranker, [told]) is serves


def test_ndcg_of_pairs_is_that_of_the_metrics() -> None:
    rng = np.random.default_rng(2)
    person, item = np.repeat(np.arange(6), 30), np.tile(np.arange(30), 6)
    score, bought = rng.normal(size=180), rng.random(180) < 0.15
    order = np.lexsort((-score, person))
    ids = {"person_id": [f"p{n}" for n in person[order]], "item_id": [f"i{n}" for n in item[order]]}
    lists = pa.table({**ids, "rank": np.tile(np.arange(1, 31), 6)})
    truth = pa.table(ids).filter(pa.array(bought[order]))
    assert np.allclose(ndcg_of_pairs(person, score, bought), ndcg(judge(lists, truth), 10))


def test_history_counts_by_hand() -> None:
    rows = interactions(
        [("ann", "hat", 0, 0, 0, 1), ("ann", "hat", 6, 0, 0, 2), ("ann", "hat", 8, 1, 0, 0), ("bob", "tie", 9, 0, 0, 1)]
    )
    history = History(rows, FIRST_DAY + timedelta(days=9), ["cap"])
    assert history.items.external_ids.to_pylist() == ["cap", "hat", "tie"]
    hat = history.pairs
    assert (hat.times.tolist(), hat.first[0], hat.last[0]) == ([2, 1], 10, 4)
    assert (hat.looked.tolist(), hat.touched.tolist()) == ([1, 0], [2, 1])
    assert history.buyers(3)[0].tolist() == [0, 0, 1] and history.buyers(None)[1] == 2
    assert history.new_buyers(5).tolist() == [0, 0, 1]
    assert [values.tolist() for values in history.visits] == [[2, 1], [4, 1], [10, 1], [2, 1]]


def test_moments_give_the_standardised_scores_of_all_items(blend: Blend) -> None:
    now = blend._fitted
    items = np.arange(len(now.history.items))
    scores = now.als_scores(np.zeros(len(items), np.int64), items)
    assert abs(scores.mean()) < 1e-4 and abs(scores.std() - 1) < 1e-4


def test_text_that_is_no_ranker_is_refused() -> None:
    with pytest.raises(ValueError, match="no text of a ranker"):
        Ranker.from_text("{}")
    with pytest.raises(ValueError, match="expected one"):
        Blend(SMALL).restore(PARTS.empty_table(), PAST)
    with pytest.raises(NotFittedError):
        Blend(SMALL).recommend(["ann"], 1)


@pytest.mark.parametrize("bad", [{"candidates": 0}, {"windows": -1}, {"popularity_weight": float("nan")}])
def test_senseless_parameters_are_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match="must"):
        BlendConfig(**bad)


def test_windows_end_on_the_split_day(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[date] = []
    whole = Blend._snapshot

    def noted(self, rows, last, als):
        seen.append(last)
        assert rows.num_rows == 0 or pc.max(rows["day"]).as_py() <= last
        return whole(self, rows, last, als)

    monkeypatch.setattr(Blend, "_snapshot", noted)
    Blend(SMALL).fit(SHOP, as_of=THROUGH)
    assert seen == [THROUGH, THROUGH - timedelta(days=10), THROUGH - timedelta(days=20)]
