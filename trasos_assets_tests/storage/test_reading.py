"""Which columns an expression reads, on expressions whose answer is plain, and on values that must not matter."""

from __future__ import annotations

from collections.abc import Callable

import ibis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from trasos_assets.storage.reading import columns_read, merged
from trasos_assets_tests.conftest import new_backend

T = ibis.table({"a": "int64", "b": "int64", "c": "string", "d": "string", "e": "int64"}, name="t")
U = ibis.table({"a": "int64", "x": "int64", "y": "int64"}, name="u")
BY_A = ibis.window(group_by="a", order_by="e")

Expression = Callable[[ibis.Table, ibis.Table], ibis.Table]
CASES: dict[str, tuple[Expression, dict[str, str]]] = {
    "chosen": (lambda t, u: t.select("a"), {"t": "a"}),
    "filtered by": (lambda t, u: t.filter(t.b > 1).select("a"), {"t": "ab"}),
    "computed and dropped": (lambda t, u: t.mutate(z=t.b + t.e).select("a"), {"t": "a"}),
    "computed and kept": (lambda t, u: t.mutate(z=t.b + t.e).select("z"), {"t": "be"}),
    "counted": (lambda t, u: t.agg(n=t.count()), {"t": ""}),
    "grouped, the sum not asked for": (
        lambda t, u: t.group_by("a").agg(n=t.count(), s=t.b.sum()).select("n"),
        {"t": "a"},
    ),
    "grouped": (lambda t, u: t.group_by("a").agg(s=t.b.sum(where=t.c == "1")), {"t": "abc"}),
    "joined": (lambda t, u: t.left_join(u, "a").select("c", "x"), {"t": "ac", "u": "ax"}),
    "joined for its rows only": (lambda t, u: t.semi_join(u.filter(u.y > 0), "a").select("c"), {"t": "ac", "u": "ay"}),
    "joined against": (lambda t, u: t.anti_join(u, "a").select("b"), {"t": "ab", "u": "a"}),
    "joined to itself": (lambda t, u: t.join(t.view(), "a").select("b", d2="d_right"), {"t": "abd"}),
    "first of each": (
        lambda t, u: t.mutate(n=ibis.row_number().over(BY_A)).filter(lambda r: r.n == 0).select("d"),
        {"t": "ade"},
    ),
    "united": (lambda t, u: t.select("a", "b").union(u.select("a", b="x")).select("b"), {"t": "b", "u": "x"}),
    "united without doubles": (
        lambda t, u: t.select("a", "b").union(u.select("a", b="x"), distinct=True).select("b"),
        {"t": "ab", "u": "ax"},
    ),
    "without those of another": (
        lambda t, u: t.select("a", "b").difference(u.select("a", b="x")).select("a"),
        {"t": "ab", "u": "ax"},
    ),
    "without doubles": (lambda t, u: t.select("a", "c").distinct().select("a"), {"t": "ac"}),
    "compared with a set": (lambda t, u: t.filter(t.a.isin(u.x)).select("b"), {"t": "ab", "u": "x"}),
    "compared with a value": (lambda t, u: t.filter(t.a == u.y.max().as_scalar()).select("b"), {"t": "ab", "u": "y"}),
    "where there are any": (lambda t, u: t.filter((u.a == t.a).any()).select("b"), {"t": "ab", "u": "a"}),
    "in order": (lambda t, u: t.order_by("e").select("a"), {"t": "ae"}),
    "the first": (lambda t, u: t.order_by("e").limit(3).select("a"), {"t": "ae"}),
    "dropped": (lambda t, u: t.drop("a", "b"), {"t": "cde"}),
    "without nulls": (lambda t, u: t.drop_null(["c"]).select("a"), {"t": "ac"}),
    "every column": (lambda t, u: t, {"t": "abcde"}),
    "crossed": (lambda t, u: t.cross_join(u.agg(m=u.y.max())).select("a", "m"), {"t": "a", "u": "y"}),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_read_of_a_plain_expression(case: str) -> None:
    expression, expected = CASES[case]
    assert columns_read(expression(T, U)) == {name: set(columns) for name, columns in expected.items()}


def test_a_part_that_cannot_be_looked_into_reads_everything() -> None:
    backend = new_backend()
    t = backend.create_table("t", schema=T.schema())
    assert columns_read(t.alias("seen").sql("SELECT 1 AS one FROM seen"))["t"] == set("abcde")


def test_readings_are_merged_by_table() -> None:
    assert merged([{"t": {"a"}}, {"t": {"b"}, "u": set()}]) == {"t": {"a", "b"}, "u": set()}


@pytest.mark.parametrize("case", [case for case in CASES if case not in ("in order", "every column")])
@given(seed=st.integers(0, 2**32 - 1))
@hypothesis_settings(max_examples=2, deadline=None)
def test_values_that_are_not_read_change_nothing(case: str, seed: int) -> None:
    """The meaning of it: other values in the columns not named give the same result."""
    expression, expected = CASES[case]
    random = np.random.default_rng(seed)

    def made(kept: dict[str, pa.Table] | None = None) -> tuple[dict[str, pa.Table], list]:
        backend, tables = new_backend(), {}
        for name, table in (("t", T), ("u", U)):
            columns = {}
            for column, kind in table.schema().items():
                numbers = random.permutation(12) % 5 if column != "e" else random.permutation(12)
                fresh = pa.array(numbers) if kind.is_integer() else pa.array([str(n) for n in numbers])
                named = kept is not None and column in expected.get(name, "")
                columns[column] = kept[name][column] if named and kept else fresh
            tables[name] = pa.table(columns)
            backend.create_table(name, tables[name])
        rows = expression(backend.table("t"), backend.table("u")).to_pyarrow().to_pylist()
        return tables, sorted(map(repr, rows))

    tables, before = made()
    _, after = made(tables)
    assert before == after
