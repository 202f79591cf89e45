"""What the platform's expressions mean in Spark's SQL: the same as in DuckDB's.

Ibis compiles for Spark already. Where its translation gives another type or value than on DuckDB, the difference is
mended here, once, so that no expression knows which engine it runs on. Importing this module imports pyspark.
"""

# Arguments of sqlglot's and Ibis's visitors have no types.
# pyright: reportIncompatibleMethodOverride=false, reportAttributeAccessIssue=false
# Ibis finds its visitors by the names of operations.
# ruff: noqa: N802, N815

from __future__ import annotations

import re
import shutil
import string
import uuid
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import sqlglot.expressions as sge
from ibis.backends.pyspark import Backend
from ibis.backends.sql.compilers.pyspark import PySparkCompiler
from ibis.backends.sql.datatypes import PySparkType
from ibis.formats.pyarrow import PyArrowData

_PLACE = {"D": 0, "h": 1, "m": 2, "s": 3}
"""Place of a unit among the arguments of ``make_dt_interval``."""

_UNESCAPED = "\a\v\f"
_SPLIT = re.compile(f"([{_UNESCAPED}])")


class NaiveTypes(PySparkType):
    """Times without a zone stay without one: Spark's plain TIMESTAMP is an instant."""

    @classmethod
    def from_ibis(cls, dtype: Any) -> sge.DataType:
        """Spark's type of an Ibis type."""
        if dtype.is_timestamp() and dtype.timezone is None:
            return sge.DataType(this=sge.DataType.Type.TIMESTAMPNTZ)
        return super().from_ibis(dtype)


class SparkSQL(PySparkCompiler):
    """Ibis's compiler for Spark with the meanings of DuckDB."""

    __slots__ = ()
    type_mapper = NaiveTypes

    # Of 32 bits two days' sets of ids would agree by chance too often.
    SIMPLE_OPS = {ops.Hash: "xxhash64", ops.BitXor: "bit_xor"}

    def visit_TimestampTruncate(self, op: Any, *, arg: Any, unit: Any) -> Any:
        """Of the type that was truncated: Spark hands back an instant."""
        return self.cast(super().visit_TimestampTruncate(op, arg=arg, unit=unit), op.dtype)

    visit_DateTruncate = visit_TimestampTruncate

    def visit_IntervalFromInteger(self, op: Any, *, arg: Any, unit: Any) -> Any:
        """A number of days, hours, minutes or seconds."""
        before = [sge.convert(0)] * _PLACE[unit.short]
        return self.f.make_dt_interval(*before, self.cast(arg, dt.int32))

    def visit_Cast(self, op: Any, *, arg: Any, to: Any) -> Any:
        """Nulls of a struct are part of its JSON."""
        if to.is_json() and op.arg.dtype.is_struct():
            return self.f.to_json(arg, self.f.anon.map(sge.convert("ignoreNullFields"), sge.convert("false")))
        return super().visit_Cast(op, arg=arg, to=to)

    def visit_NonNullLiteral(self, op: Any, *, value: Any, dtype: Any) -> Any:
        """Text with control characters for which Spark has no escape: it would read ``\\v`` as the letter v."""
        return self._text(value) if dtype.is_string() else super().visit_NonNullLiteral(op, value=value, dtype=dtype)

    def _text(self, value: str) -> Any:
        parts = [self.f.anon.char(ord(p)) if p in _UNESCAPED else sge.convert(p) for p in _SPLIT.split(value) if p]
        return self.f.concat(*parts) if len(parts) > 1 else parts[0] if parts else sge.convert("")

    def visit_Strip(self, op: Any, *, arg: Any) -> Any:
        """Ibis's own gives Spark the arguments of trim in the wrong order."""
        return sge.Trim(this=arg, expression=self._text(string.whitespace), position="BOTH")

    def visit_Greatest(self, op: Any, *, arg: Any) -> Any:
        """Spark's takes two values at least."""
        return self.f.greatest(*arg) if len(arg) > 1 else arg[0]

    def visit_Least(self, op: Any, *, arg: Any) -> Any:
        """As ``visit_Greatest``."""
        return self.f.least(*arg) if len(arg) > 1 else arg[0]

    def visit_Round(self, op: Any, *, arg: Any, digits: Any) -> Any:
        """Round the double itself; Spark would round the decimal digits that it prints as, which differs at halves."""
        if op.arg.dtype.is_floating() and isinstance(op.digits, ops.Literal) and op.digits.value:
            scale = sge.convert(10.0**op.digits.value)
            return self.cast(self.f.round(sge.paren(arg) * scale) / scale, op.dtype)
        return super().visit_Round(op, arg=arg, digits=digits)


class SparkBackend(Backend):
    """Ibis's Spark backend; tables come and go as Arrow, and what is cached stands in files.

    A table in files outlives the worker that computed it, and what it was computed from.
    """

    compiler = SparkSQL()
    scratch: Path

    def do_connect(self, session: Any = None, **kwargs: Any) -> None:
        """Use a session; the options that the compiler looks at are there from now on."""
        self.register_options()
        super().do_connect(session, **kwargs)

    def table_named(self, name: str, schema: ibis.Schema) -> ibis.Table:
        """A view of the session, of types that are known."""
        return ops.DatabaseTable(name=name, schema=schema, source=self, namespace=ops.Namespace()).to_expr()

    def frame_of(self, expression: ibis.Table) -> Any:
        """The Spark data frame of an expression."""
        self._run_pre_execute_hooks(expression)
        return self.raw_sql(self.compile(expression))

    def held_in_files(self, name: str, expression: ibis.Table) -> ibis.Table:
        """An expression computed now into files of this machine, read back under a name until ``drop_held``."""
        folder = self.scratch / name
        frame = self.frame_of(expression)
        frame.write.parquet(str(folder))
        self._session.read.schema(frame.schema).parquet(str(folder)).createOrReplaceTempView(name)
        return self.table_named(name, expression.schema())

    def drop_held(self, name: str) -> None:
        """Forget a table of ``held_in_files``."""
        self._session.catalog.dropTempView(name)
        shutil.rmtree(self.scratch / name, ignore_errors=True)

    def to_pyarrow(self, expr: Any, /, *, params: Any = None, limit: Any = None, **_: Any) -> Any:
        """The result as Arrow, never through pandas."""
        asked = expr.as_table()
        if isinstance(limit, int):
            asked = asked.limit(limit)
        table = PyArrowData.convert_table(self.frame_of(asked).toArrow(), asked.schema())
        return expr.__pyarrow_result__(table)

    def execute(self, expr: Any, /, *, params: Any = None, limit: Any = None, **_: Any) -> Any:
        """The result as pandas, by way of Arrow."""
        return expr.__pandas_result__(self.to_pyarrow(expr.as_table(), limit=limit).to_pandas())

    def _register_in_memory_table(self, op: ops.InMemoryTable) -> None:
        # Spark takes a table whose first chunks are empty for an empty one.
        table = op.data.to_pyarrow(op.schema).combine_chunks()
        self._session.createDataFrame(table).createOrReplaceTempView(op.name)

    def _create_cached_table(self, name: str, expr: ibis.Table) -> ibis.Table:
        return self.held_in_files(f"{name}_{uuid.uuid4().hex[:12]}", expr)

    def _drop_cached_table(self, name: str) -> None:
        self.drop_held(name)
