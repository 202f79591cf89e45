"""Exact top-k of all people: our scan beside implicit's `recommend`, and the bare matrix product.

    python benchmarks/topk.py [PATH] [--people 1000000] [--items 100000] [--sample 3000] [--k 20]

PATH is a folder of Online Retail CSV files (see benchmarks/quality.py); without it that case is left out. Each case is
a set of factors of 64 and of 128 dimensions, with the bought items left out:

- **online_retail**: ALS (the defaults of ALSConfig) fitted to the purchases.
- **simulated**: ALS, five iterations, fitted to simulated purchases of `--people` people over `--items` items: ten a
  person, popularity falls by a power law, a person buys mostly in three of 200 groups of items.
- **few people**: 128 people of the simulated case, where preparing the items must not cost more than it saves. (Fewer
  than some 80 are not a batch: for one of 100,000 items the preparation takes 5 ms beside implicit's 1 ms.)
- **equal norms** and **normal**: random directions, which bounds cannot use; what the worst factors cost.

Both do the same people in the same run and take turns; each figure is the least of the rounds. implicit runs with its
own defaults (a thread a core) and one BLAS thread, as it asks for; where its threads and those of BLAS together are
faster, that time counts. The bare product is the scores alone, by tiles in two threads, nothing looked at. For the
simulated case implicit's time is taken on `--sample` people, for it grows with their number; ours also on all.
Before times count, the lists are compared: they may differ where implicit's scores are equal within rounding.

Takes some six minutes on two cores and 6 GB. Exits with a code other than 0 only if it could not measure.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import sparse
from threadpoolctl import threadpool_limits

from trasos_assets.recommender.topk import TopK, top_k

FACTORS = (64, 128)
GROUPS = 200
EACH = 10
ITERATIONS = 5
CORES = os.cpu_count() or 1
# The lines that benchmarks/quality.py takes; ids as numbers from 0.
BOUGHT = """
SELECT dense_rank() OVER (ORDER BY CustomerID) - 1 AS person, dense_rank() OVER (ORDER BY item) - 1 AS item
FROM (SELECT DISTINCT CustomerID, upper(trim(StockCode)) AS item
      FROM read_csv($files, header = true, union_by_name = true, all_varchar = true)
      WHERE CustomerID IS NOT NULL AND InvoiceNo NOT LIKE 'C%' AND TRY_CAST(Quantity AS BIGINT) > 0
        AND TRY_CAST(UnitPrice AS DOUBLE) > 0 AND regexp_matches(StockCode, '^[0-9]{5}'))
"""


@dataclass(frozen=True)
class Case:
    """What one comparison serves; ``fitted`` if the factors come from a fit."""

    name: str
    people: np.ndarray
    items: np.ndarray
    seen: sparse.csr_matrix
    fitted: bool
    rounds: int

    @property
    def title(self) -> str:
        return f"{self.name}, {len(self.people):,} x {len(self.items):,} x {self.items.shape[1]}"


@dataclass(frozen=True)
class Figures:
    """Seconds of the clock, and the share of scores that differ beyond ties (0, or the case is refused)."""

    ours: float
    implicit: float
    product: float

    @property
    def ratio(self) -> float:
        return self.implicit / self.ours


def online_retail(folder: Path) -> sparse.csr_matrix:
    """Who bought what: float32 CSR of ones; raises ``FileNotFoundError`` if the folder holds no CSV file."""
    files = sorted(str(path) for pattern in ("*.csv", "*.csv.gz") for path in folder.glob(pattern))
    if not files:
        raise FileNotFoundError(f"no *.csv or *.csv.gz in {folder}; give the folder that holds Online Retail")
    found = duckdb.execute(BOUGHT, {"files": files}).fetchnumpy()
    person, item = (np.asarray(found[name]).astype(np.int64) for name in ("person", "item"))
    return sparse.csr_matrix((np.ones(len(person), np.float32), (person, item)))


def purchases_of(people: int, items: int, seed: int = 0) -> sparse.csr_matrix:
    """Simulated purchases: float32 CSR of ones."""
    rng = np.random.default_rng(seed)
    popularity = (np.arange(items) + 20.0) ** -0.9
    group = rng.integers(0, GROUPS, items)
    by_group = np.argsort(group, kind="stable")
    first = np.searchsorted(group[by_group], np.arange(GROUPS + 1))
    mass = np.concatenate([[0.0], np.cumsum(popularity[by_group])])
    activity = rng.lognormal(0, 1, people)
    person = np.repeat(np.arange(people), 1 + rng.poisson(activity / activity.mean() * (EACH - 1)))
    taste = rng.integers(0, GROUPS, (people, 3))[person, rng.choice(3, len(person), p=(0.5, 0.3, 0.2))]
    low, high = mass[first[taste]], mass[first[taste + 1]]
    anything = rng.random(len(person)) < 0.25
    low[anything], high[anything] = 0.0, mass[-1]
    drawn = np.searchsorted(mass, low + rng.random(len(person)) * (high - low), side="right") - 1
    item = by_group[np.minimum(drawn, items - 1)]
    matrix = sparse.csr_matrix((np.ones(len(item), np.float32), (person, item)), shape=(people, items))
    matrix.data[:] = 1.0
    return matrix


def fitted(matrix: sparse.csr_matrix, factors: int, iterations: int) -> tuple[np.ndarray, np.ndarray]:
    from implicit.cpu.als import AlternatingLeastSquares

    from trasos_assets.recommender.models import ALSConfig

    config = ALSConfig()
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=factors,
            regularization=config.regularization,
            alpha=config.alpha,
            iterations=iterations,
            random_state=config.seed,
        )
        model.fit(matrix, show_progress=False)
    return np.asarray(model.user_factors), np.asarray(model.item_factors)


def random_directions(people: int, items: int, factors: int, equal: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(factors)
    sides = [rng.normal(size=(rows, factors)).astype(np.float32) for rows in (people, items)]
    if equal:
        sides = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides]
    return sides[0], sides[1]


def bare_product(people: np.ndarray, items: np.ndarray) -> None:
    rows, columns = 1024, 512

    def block(start: int) -> None:
        part = people[start : start + rows]
        scores = np.empty((len(part), columns), np.float32)
        for begin in range(0, len(items), columns):
            tile = items[begin : begin + columns]
            np.matmul(part, tile.T, out=scores[:, : len(tile)])

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(CORES) as pool:
        list(pool.map(block, range(0, len(people), rows)))


def compare(case: Case, k: int) -> Figures:
    from implicit.cpu.als import AlternatingLeastSquares

    library = AlternatingLeastSquares(factors=case.items.shape[1])
    library.user_factors, library.item_factors = case.people, case.items
    everybody = np.arange(len(case.people))

    def recommend(blas: int) -> tuple[np.ndarray, np.ndarray]:
        with threadpool_limits(blas, "blas"):
            return library.recommend(everybody, case.seen, N=k)

    same_lists(top_k(case.people, case.items, k, excluded=case.seen), *recommend(1), case)
    ways: dict[str, Callable[[], object]] = {
        "ours": lambda: top_k(case.people, case.items, k, excluded=case.seen),
        "implicit": lambda: recommend(1),
        "implicit, threads in BLAS too": lambda: recommend(CORES),
        "product": lambda: bare_product(case.people, case.items),
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(case.rounds):
        for way, run in ways.items():
            start = time.perf_counter()
            run()
            taken[way].append(time.perf_counter() - start)
    least = {way: min(each) for way, each in taken.items()}
    implicit = min(least["implicit"], least["implicit, threads in BLAS too"])
    return Figures(least["ours"], implicit, least["product"])


def same_lists(best: TopK, items: np.ndarray, scores: np.ndarray, case: Case) -> None:
    """``ValueError`` unless both serve the same items, but for those whose scores are equal within rounding."""
    real = scores > np.finfo(np.float32).min / 2
    length = np.bincount(best.person, minlength=len(case.people))
    if not np.array_equal(length, real.sum(axis=1)):
        raise ValueError(f"{case.title}: lists differ in length from implicit's")
    theirs, others = items[real], scores[real]
    room = 1e-5 * np.linalg.norm(case.people, axis=1)[best.person] * np.linalg.norm(case.items, axis=1).max()
    unequal = np.abs(best.score - others) > room
    if unequal.any():
        raise ValueError(f"{case.title}: {unequal.sum()} scores differ from implicit's beyond rounding")
    other = best.item != theirs
    exact = np.einsum("if,if->i", case.people[best.person[other]].astype(np.float64), case.items[theirs[other]])
    if (np.abs(exact - best.score[other]) > room[other]).any():
        raise ValueError(f"{case.title}: other items than implicit's, and not by a tie")


def cases(given: argparse.Namespace, factors: int, bought: dict[str, sparse.csr_matrix], console: Console):
    """Each case with, if there is one, the whole of which its people are a sample."""
    for name, matrix in bought.items():
        with console.status(f"{name}: fitting {factors} factors to {matrix.nnz:,} purchases"):
            people, items = fitted(matrix, factors, 15 if name == "online_retail" else ITERATIONS)
        if name == "online_retail":
            yield Case(name, people, items, matrix, True, 7), None
            continue
        chosen = np.linspace(0, len(people) - 1, min(given.sample, len(people))).astype(np.int64)
        whole = Case(name, people, items, matrix, True, 1)
        yield Case(name, people[chosen], items, matrix[chosen], True, 3), whole
        few = chosen[:128]
        yield Case("few people", people[few], items, matrix[few], False, 15), None
    for name, equal in (("equal norms", True), ("normal", False)):
        people, items = random_directions(given.sample, 20_000, factors, equal)
        rng = np.random.default_rng(0)
        cells = rng.integers(0, len(items), (len(people), EACH)).ravel(), np.repeat(np.arange(len(people)), EACH)
        seen = sparse.csr_matrix((np.ones(len(cells[0]), np.float32), cells[::-1]), shape=(len(people), len(items)))
        yield Case(name, people, items, seen, False, 5), None


def measure(given: argparse.Namespace, console: Console) -> None:
    bought: dict[str, sparse.csr_matrix] = {}
    if given.path:
        bought["online_retail"] = online_retail(given.path)
    with console.status("simulating purchases"):
        bought["simulated"] = purchases_of(given.people, given.items)
    shown = Table(title=f"top {given.k}, seconds (least of the rounds)")
    for heading in ("people x items x factors", "ours", "implicit", "bare product", "implicit / ours"):
        shown.add_column(heading, justify="left" if heading.startswith("people") else "right")
    ratios: dict[bool, list[tuple[float, str]]] = {True: [], False: []}
    wholes = []
    for factors in FACTORS:
        for case, whole in cases(given, factors, bought, console):
            with console.status(case.title):
                got = compare(case, given.k)
            ratios[case.fitted].append((got.ratio, case.title))
            cells = (f"{got.ours:.3f}", f"{got.implicit:.3f}", f"{got.product:.3f}", f"{got.ratio:.2f}")
            shown.add_row(case.title, *cells)
            console.print(f"{case.title}: {got.implicit:.3f} s / {got.ours:.3f} s = {got.ratio:.2f}")
            if whole:
                with console.status(f"all: {whole.title}"):
                    start = time.perf_counter()
                    top_k(whole.people, whole.items, given.k, excluded=whole.seen)
                    seconds = time.perf_counter() - start
                by_rate = got.implicit * len(whole.people) / len(case.people)
                wholes.append(
                    f"{whole.title}: ours {seconds:.1f} s for all; implicit {by_rate:.0f} s by its rate on the sample"
                )
    console.print(shown)
    for line in wholes:
        console.print(line)
    for kind, says, bar in ((True, "fitted factors", "at least 3"), (False, "worst cases", "at least 0.95")):
        ratio, title = min(ratios[kind])
        console.print(f"least ratio, {says}: {ratio:.2f} ({title}; {bar})")


def main() -> int:
    parser = argparse.ArgumentParser(description="Exact top-k beside implicit's.")
    parser.add_argument("path", nargs="?", type=Path)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--sample", type=int, default=3_000)
    parser.add_argument("--k", type=int, default=20)
    console = Console(width=max(120, Console().width))
    try:
        measure(parser.parse_args(), console)
    except (OSError, ValueError, duckdb.Error) as error:
        console.print(f"[red]could not measure:[/red] {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
