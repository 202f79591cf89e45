"""What our fit of ALS adds to a bare fit by the library implicit: time and memory.

    python benchmarks/train.py [PATH] [--interactions 4000000] [--factors 64] [--rounds 3]

PATH is a scratch folder (default: a temporary one). Simulated rows of the contract training_interactions, in its order
(by person and item), 20 a person over 20,000 items of skewed popularity, one row a person, item and day.

**time**: the bare fit gets a CSR that is ready; ours gets (a) the table, so that ids, weights and CSR are made on the
way, and (b) the same CSR with its ids. Same parameters (the defaults of ALSConfig), same threads, BLAS at one thread.
The three take turns; each figure is the least of its rounds, in seconds of the clock and of the processors. That all
three give the same factors, to the last bit, is checked.

**memory**: each fit once in a process of its own, two iterations (memory does not depend on them): the most that the
process held beyond its input and the loaded libraries. What the fitted factors take themselves stands beside it.

Takes some three minutes on two cores. Exits with a code other than 0 only if it could not measure.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Before a BLAS loads: implicit serves people in parallel and asks for this.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table
from scipy import sparse

ITEMS = 20_000
EACH = 20
DAYS = 90
WAYS = ("bare", "table", "matrix")
SAYS = {"bare": "implicit, CSR ready", "table": "ours, from the table", "matrix": "ours, from the same CSR"}


def simulated(rows: int, seed: int = 0) -> pa.Table:
    """Rows of the contract training_interactions, at most ``rows`` of them, sorted by person, item and day."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(max(1, rows // EACH)), EACH)
    item = (ITEMS * rng.random(len(person)) ** 3).astype(np.int64)
    cell = np.unique((person * ITEMS + item) * DAYS + rng.integers(0, DAYS, len(person)))
    cell, day = np.divmod(cell, DAYS)
    person, item = np.divmod(cell, ITEMS)
    carts = rng.random(len(cell)) < 0.3
    return pa.table(
        {
            "person_id": _ids("customer", person),
            "item_id": _ids("item", item),
            "day": pa.array((day + 20_000).astype(np.int32)).cast(pa.date32()),
            "views": pa.array(rng.integers(1, 4, len(cell)).astype(np.int32)),
            "carts": pa.array(carts.astype(np.int32)),
            "purchases": pa.array((carts & (rng.random(len(cell)) < 0.5)).astype(np.int32)),
        }
    )


def _ids(prefix: str, numbers: np.ndarray) -> pa.Array:
    names = pa.array([f"{prefix}-{number:08d}" for number in range(int(numbers.max()) + 1)])
    return names.take(pa.array(numbers))


def bare_fit(weights: sparse.csr_matrix, factors: int, iterations: int) -> np.ndarray:
    from implicit.cpu.als import AlternatingLeastSquares

    from trasos_assets.recommender.models import ALSConfig

    config = ALSConfig(factors=factors, iterations=iterations)
    fitted = AlternatingLeastSquares(
        factors=config.factors,
        regularization=config.regularization,
        alpha=config.alpha,
        iterations=config.iterations,
        random_state=config.seed,
        dtype=np.float32,
    )
    fitted.fit(weights, show_progress=False)
    return np.asarray(fitted.user_factors)


def our_fit(train, factors: int, iterations: int) -> np.ndarray:
    from trasos_assets.recommender.models import ALS, ALSConfig

    model = ALS(ALSConfig(factors=factors, iterations=iterations)).fit(train)
    return model._fitted.person_factors


def times(scratch: Path, factors: int, rounds: int, console: Console) -> dict[str, tuple[float, float]]:
    """Least wall clock and processor seconds of each way."""
    from trasos_assets.recommender.interactions import InteractionMatrix
    from trasos_assets.recommender.models import ALSConfig

    iterations = ALSConfig().iterations
    table = read_table(scratch)
    matrix = InteractionMatrix.from_table(table)
    sparse.save_npz(scratch / "weights.npz", matrix.weights, compressed=False)
    ways = {
        "bare": lambda: bare_fit(matrix.weights, factors, iterations),
        "table": lambda: our_fit(table, factors, iterations),
        "matrix": lambda: our_fit(matrix, factors, iterations),
    }
    taken: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for turn in range(rounds):
        results = {}
        for way in WAYS:
            with console.status(f"round {turn + 1} of {rounds}: {SAYS[way]}"):
                wall, cpu = time.perf_counter(), time.process_time()
                results[way] = ways[way]()
                taken[way].append((time.perf_counter() - wall, time.process_time() - cpu))
        if any(results[way].tobytes() != results["bare"].tobytes() for way in WAYS):
            raise ValueError("the three fits gave different factors: they did not do the same work")
    return {way: (min(wall for wall, _ in each), min(cpu for _, cpu in each)) for way, each in taken.items()}


def read_table(scratch: Path) -> pa.Table:
    with pa.OSFile(str(scratch / "train.arrow")) as file:
        return pa.ipc.open_file(file).read_all()


def peak_bytes(scratch: Path, way: str, factors: int) -> dict[str, int]:
    """In this process: the most memory beyond the input of one fit, and the bytes of what it fitted."""
    given = read_table(scratch) if way == "table" else sparse.load_npz(scratch / "weights.npz")
    fit = our_fit if way == "table" else bare_fit
    fit(given[:1000], 8, 1)  # what the libraries hold once loaded does not grow with interactions
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    people = fit(given, factors, 2)
    return {"peak": _status("VmHWM") - before, "people": len(people)}


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def measured_apart(scratch: Path, way: str, factors: int) -> dict[str, int]:
    command = [sys.executable, __file__, str(scratch), "--way", way, "--factors", str(factors)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"the fit of {SAYS[way]} failed: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def measure(scratch: Path, rows: int, factors: int, rounds: int, console: Console) -> None:
    with console.status("simulating"):
        table = simulated(rows)
        with (
            pa.OSFile(str(scratch / "train.arrow"), "wb") as file,
            pa.ipc.new_file(file, table.schema) as writer,
        ):
            writer.write_table(table)
    rows, size = table.num_rows, table.nbytes
    del table
    seconds = times(scratch, factors, rounds, console)
    cells = int(sparse.load_npz(scratch / "weights.npz").nnz)
    memory = {way: measured_apart(scratch, way, factors) for way in ("bare", "table")}
    of_factors = 4 * factors * (memory["bare"]["people"] + ITEMS)
    shown = Table(title=f"{rows:,} interactions ({cells:,} cells), {factors} factors")
    for heading in ("fit", "clock, s", "processors, s", "peak beyond input, MB", "less factors, bytes an interaction"):
        shown.add_column(heading, justify="left" if heading == "fit" else "right")
    for way in WAYS:
        wall, cpu = seconds[way]
        held = memory.get(way)
        each = [f"{held['peak'] / 1e6:,.0f}", f"{(held['peak'] - of_factors) / rows:.1f}"] if held else ["", ""]
        shown.add_row(SAYS[way], f"{wall:.2f}", f"{cpu:.2f}", *each)
    console.print(shown)
    console.print(f"the table itself holds {size / 1e6:,.0f} MB, the factors {of_factors / 1e6:,.0f} MB")
    for way in ("table", "matrix"):
        wall, cpu = (ours / bare - 1 for ours, bare in zip(seconds[way], seconds["bare"], strict=True))
        console.print(f"overhead, {SAYS[way]}: {wall:+.1%} of the clock, {cpu:+.1%} of the processors (at most 5 %)")
    each = (memory["table"]["peak"] - of_factors) / rows
    console.print(f"peak memory from the table: {each:.1f} bytes an interaction plus factors (at most 32)")


def main() -> int:
    parser = argparse.ArgumentParser(description="ALS: our fit beside a bare one.")
    parser.add_argument("path", nargs="?", type=Path)
    parser.add_argument("--interactions", type=int, default=4_000_000)
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    console = Console(width=max(120, Console().width))
    try:
        if given.way:
            print(json.dumps(peak_bytes(given.path, given.way, given.factors)))
            return 0
        with tempfile.TemporaryDirectory() as temporary:
            scratch = given.path or Path(temporary)
            scratch.mkdir(parents=True, exist_ok=True)
            measure(scratch, given.interactions, given.factors, given.rounds, console)
    except (OSError, ValueError) as error:
        console.print(f"[red]could not measure:[/red] {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
