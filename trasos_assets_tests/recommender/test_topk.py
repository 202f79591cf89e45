from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from trasos_assets.recommender import topk
from trasos_assets.recommender.topk import TopK, top_k

NARROW = {"_BOUNDED_TILE": 12, "_UNBOUNDED_TILE": 24, "_FIRST_ITEMS": 3, "_PAIRS": 5, "_FEW_PEOPLE": 3}
"""Tiles so small that a few items make many of them."""


def brute_force(people, items, k, excluded, allowed) -> list[list[tuple[int, float]]]:
    # The sums that rank, pair by pair: they know nothing of blocks, tiles and bounds.
    scores = np.einsum("pif,pif->pi", *np.broadcast_arrays(people[:, None], items[None])) + np.float32(0)
    lists = []
    for p in range(len(people)):
        left = [i for i in range(len(items)) if allowed[i] and not excluded[p, i]]
        left.sort(key=lambda i: (-scores[p, i], i))
        lists.append([(i, float(scores[p, i])) for i in left[:k]])
    return lists


def as_lists(best: TopK, people: int) -> list[list[tuple[int, float]]]:
    lists = [[] for _ in range(people)]
    for person, rank, item, score in zip(best.person, best.rank, best.item, best.score, strict=True):
        lists[person].append((int(item), float(score)))
        assert rank == len(lists[person])
    return lists


def same(one: TopK, other: TopK) -> bool:
    return all(
        getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in ("person", "rank", "item", "score")
    )


def skewed(rng, people: int, items: int, factors: int) -> tuple[np.ndarray, np.ndarray]:
    """Factors whose norms fall as those of a fit to few popular and many rare items do."""
    person_factors = rng.normal(size=(people, factors))
    item_factors = rng.normal(size=(items, factors)) / (1 + np.arange(items)[:, None]) ** 0.7
    return person_factors.astype(np.float32), rng.permutation(item_factors).astype(np.float32)


@settings(deadline=None, max_examples=300)
@given(
    people=st.integers(0, 7),
    items=st.integers(0, 40),
    factors=st.integers(1, 3),
    k=st.integers(1, 45),
    block=st.integers(1, 4),
    threads=st.integers(1, 2),
    seed=st.integers(0, 2**32 - 1),
    spread=st.sampled_from([1, 2, 50]),
    left_out=st.sampled_from([0, 0.3, 0.95]),
    zeros=st.sampled_from([0, 0.5]),
    narrow=st.booleans(),
)
def test_equals_brute_force(people, items, factors, k, block, threads, seed, spread, left_out, zeros, narrow) -> None:
    rng = np.random.default_rng(seed)
    # Whole numbers make scores exact, and few of them make many ties, zero vectors among them.
    person_factors = rng.integers(-spread, spread + 1, (people, factors)).astype(np.float32)
    item_factors = rng.integers(-spread, spread + 1, (items, factors)).astype(np.float32)
    person_factors[rng.random(people) < zeros] = 0
    item_factors[rng.random(items) < zeros] = 0
    excluded, allowed = rng.random((people, items)) < left_out, rng.random(items) < 0.8
    with mock.patch.dict(vars(topk), NARROW if narrow else {}):
        best = top_k(
            person_factors,
            item_factors,
            k,
            excluded=sparse.csr_matrix(excluded),
            allowed=allowed,
            block_people=block,
            threads=threads,
        )
    assert as_lists(best, people) == brute_force(person_factors, item_factors, k, excluded, allowed)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    k=st.integers(1, 12),
    block=st.integers(1, 20),
    threads=st.integers(1, 3),
    scale=st.sampled_from([1e-30, 1e-3, 1.0, 1e15]),
    tile=st.integers(1, 300),
)
def test_neither_threads_nor_blocks_nor_tiles_change_a_bit(seed, k, block, threads, scale, tile) -> None:
    rng = np.random.default_rng(seed)
    person_factors, item_factors = (factors * np.float32(scale) for factors in skewed(rng, 20, 60, 9))
    # Pairs of equal items, on which only the number decides.
    item_factors[30:] = item_factors[:30]
    excluded = rng.random((20, 60)) < 0.1
    expected = top_k(person_factors, item_factors, k, excluded=sparse.csr_matrix(excluded), threads=1)
    sizes = {
        "_BOUNDED_TILE": tile,
        "_UNBOUNDED_TILE": 2 * tile,
        "_FIRST_ITEMS": 1 + tile // 20,
        "_FEW_PEOPLE": tile % 30,
    }
    with mock.patch.dict(vars(topk), sizes):
        best = top_k(
            person_factors,
            item_factors,
            k,
            excluded=sparse.csr_matrix(excluded),
            threads=threads,
            block_people=block,
        )
    assert same(best, expected)
    assert as_lists(best, 20) == brute_force(person_factors, item_factors, k, excluded, np.ones(60, bool))


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 25), narrow=st.booleans(), fall=st.booleans())
def test_equals_implicit_up_to_as_many_as_there_are_items(seed, k, narrow, fall) -> None:
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(seed)
    person_factors, item_factors = skewed(rng, 15, 25, 8)
    if not fall:
        item_factors /= np.linalg.norm(item_factors, axis=1, keepdims=True)
    seen = sparse.csr_matrix((rng.random((15, 25)) < 0.4).astype(np.float32))
    with threadpool_limits(1, "blas"):
        library = AlternatingLeastSquares(factors=8)
        library.user_factors, library.item_factors = person_factors, item_factors
        items, scores = library.recommend(np.arange(15), seen, N=k, filter_already_liked_items=True)
    # The library fills short lists up: with seen items at the lowest float there is, past all items with item 0.
    expected = [[int(i) for i, s in zip(*row, strict=True) if s > -1e30] for row in zip(items, scores, strict=True)]
    with mock.patch.dict(vars(topk), NARROW if narrow else {}):
        ours = as_lists(top_k(person_factors, item_factors, k, excluded=seen), 15)
    assert [[item for item, _ in row] for row in ours] == expected


def scored_share(person_factors, item_factors, k: int) -> float:
    """Share of all scores that matrix products computed."""
    cells = []
    take = topk._Block._take
    with mock.patch.object(
        topk._Block, "_take", lambda self, tile, begin: (cells.append(tile.size), take(self, tile, begin))
    ):
        top_k(person_factors, item_factors, k)
    return sum(cells) / (len(person_factors) * len(item_factors))


def test_most_scores_are_never_computed_where_norms_fall() -> None:
    assert scored_share(*skewed(np.random.default_rng(0), 300, 20_000, 16), k=10) < 0.1


def test_bounds_are_left_out_where_norms_are_equal() -> None:
    rng = np.random.default_rng(0)
    person_factors, item_factors = (rng.normal(size=(n, 16)).astype(np.float32) for n in (300, 5000))
    item_factors /= np.linalg.norm(item_factors, axis=1, keepdims=True)
    with mock.patch.object(topk._Block, "_reach", autospec=True, side_effect=topk._Block._reach) as reach:
        assert scored_share(person_factors, item_factors, k=10) == 1
    blocks = {id(call.args[0]) for call in reach.call_args_list}
    assert len(reach.call_args_list) == len(blocks)


def test_a_zero_vector_ranks_free_items_by_number() -> None:
    rng = np.random.default_rng(0)
    excluded = sparse.csr_matrix(np.array([[1, 0, 1, 0, 0, 0]]))
    best = top_k(np.zeros((1, 2), np.float32), rng.normal(size=(6, 2)).astype(np.float32), 3, excluded=excluded)
    assert (best.item.tolist(), best.score.tolist()) == ([1, 3, 4], [0, 0, 0])


def test_zero_items_stand_between_liked_and_disliked_ones() -> None:
    items = np.array([[-1], [0], [2], [0], [0], [-3]], np.float32)
    excluded = sparse.csr_matrix(np.array([[0, 1, 0, 0, 0, 0]]))
    best = top_k(np.ones((1, 1), np.float32), items, 5, excluded=excluded)
    assert best.item.tolist() == [2, 3, 4, 0, 5]


def test_people_without_any_item_left_get_no_rows() -> None:
    excluded = sparse.csr_matrix(np.array([[1, 1], [0, 0]]))
    best = top_k(np.ones((2, 1), np.float32), np.ones((2, 1), np.float32), 1, excluded=excluded)
    assert (best.person.tolist(), best.item.tolist()) == ([1], [0])
    none = top_k(np.ones((2, 1), np.float32), np.ones((2, 1), np.float32), 1, allowed=np.zeros(2, bool))
    assert len(none.person) == 0


def test_stored_zeros_of_excluded_count() -> None:
    excluded = sparse.csr_matrix((np.zeros(1, np.float32), ([0], [1])), shape=(1, 2))
    best = top_k(np.ones((1, 1), np.float32), np.array([[1], [2]], np.float32), 2, excluded=excluded)
    assert best.item.tolist() == [0]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_factors_that_are_not_finite_are_refused(bad) -> None:
    good = np.ones((2, 2), np.float32)
    with pytest.raises(ValueError, match="person factor is not finite"):
        top_k(np.full((1, 2), bad, np.float32), good, 1)
    with pytest.raises(ValueError, match="item factor is not finite"):
        top_k(good, np.full((1, 2), bad, np.float32), 1)


def test_factors_whose_scores_may_overflow_are_refused() -> None:
    with pytest.raises(ValueError, match="so large"):
        top_k(np.full((1, 2), 1e25, np.float32), np.full((3, 2), 1e15, np.float32), 1)


def test_shapes_that_do_not_fit_are_refused() -> None:
    two, three = np.ones((2, 2), np.float32), np.ones((3, 3), np.float32)
    with pytest.raises(ValueError, match="factors do not fit"):
        top_k(two, three, 1)
    with pytest.raises(ValueError, match="excluded"):
        top_k(two, two, 1, excluded=sparse.csr_matrix((3, 3)))
    with pytest.raises(ValueError, match="allowed"):
        top_k(two, two, 1, allowed=np.ones(3, bool))
    with pytest.raises(ValueError, match="k must be"):
        top_k(two, two, 0)
    with pytest.raises(ValueError, match="block_people"):
        top_k(two, two, 1, block_people=0)
