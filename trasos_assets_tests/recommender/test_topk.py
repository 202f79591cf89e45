import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from trasos_assets.recommender.topk import TopK, top_k


def brute_force(people, items, k, excluded, allowed) -> list[list[tuple[int, float]]]:
    scores = people @ items.T
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


@settings(deadline=None)
@given(
    people=st.integers(0, 7),
    items=st.integers(0, 9),
    factors=st.integers(1, 3),
    k=st.integers(1, 12),
    block=st.integers(1, 4),
    threads=st.integers(1, 2),
    seed=st.integers(0, 2**32 - 1),
    spread=st.sampled_from([1, 2, 50]),
)
def test_equals_brute_force(people, items, factors, k, block, threads, seed, spread) -> None:
    rng = np.random.default_rng(seed)
    # Whole numbers make scores exact, and few of them make many ties, zero vectors among them.
    person_factors = rng.integers(-spread, spread + 1, (people, factors)).astype(np.float32)
    item_factors = rng.integers(-spread, spread + 1, (items, factors)).astype(np.float32)
    excluded, allowed = rng.random((people, items)) < 0.3, rng.random(items) < 0.8
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


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 25))
def test_equals_implicit_up_to_as_many_as_there_are_items(seed, k) -> None:
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(seed)
    person_factors, item_factors = (rng.normal(size=(n, 8)).astype(np.float32) for n in (15, 25))
    seen = sparse.csr_matrix((rng.random((15, 25)) < 0.4).astype(np.float32))
    with threadpool_limits(1, "blas"):
        library = AlternatingLeastSquares(factors=8)
        library.user_factors, library.item_factors = person_factors, item_factors
        items, scores = library.recommend(np.arange(15), seen, N=k, filter_already_liked_items=True)
    # The library fills short lists up: with seen items at the lowest float there is, past all items with item 0.
    expected = [[int(i) for i, s in zip(*row, strict=True) if s > -1e30] for row in zip(items, scores, strict=True)]
    ours = as_lists(top_k(person_factors, item_factors, k, excluded=seen), 15)
    assert [[item for item, _ in row] for row in ours] == expected


def test_stored_zeros_of_excluded_count() -> None:
    excluded = sparse.csr_matrix((np.zeros(1, np.float32), ([0], [1])), shape=(1, 2))
    assert top_k(np.ones((1, 1), np.float32), np.array([[1], [2]], np.float32), 2, excluded=excluded).item.tolist() == [
        0
    ]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_factors_that_are_not_finite_are_refused(bad) -> None:
    good = np.ones((2, 2), np.float32)
    with pytest.raises(ValueError, match="person factor is not finite"):
        top_k(np.full((1, 2), bad, np.float32), good, 1)
    with pytest.raises(ValueError, match="item factor is not finite"):
        top_k(good, np.full((1, 2), bad, np.float32), 1)


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
