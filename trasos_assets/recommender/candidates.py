"""The model that asks to serve: which it is, what is stored of it, and the hash that tells two of them apart."""

# pyarrow.compute makes its functions at import time, out of a type checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trasos_assets.recommender.models.base import PARTS
from trasos_assets.recommender.models.registry import ModelKind, kind_of

ALS = "als"
_DIGITS = 16
_KEY = [("side", "ascending"), ("id", "ascending")]


class CandidateError(ValueError):
    """What was stored of a candidate is not there, or is another's; the message says what to run."""


def chosen(name: str, *, on_spark: bool) -> ModelKind:
    """The model of a name; ALS where tables stay in Spark and the model cannot learn from them there.

    Raises:
        UnknownModelError: there is no such model; the message lists those there are.
    """
    kind = kind_of(name)
    return kind_of(ALS) if on_spark and not kind.on_spark else kind


def parts_hash(parts: pa.Table) -> str:
    """16 hex digits of the rows (schema ``PARTS``) in whatever order: sides, ids, every bit of the vectors, texts."""
    rows = parts.select(PARTS.names).cast(PARTS).sort_by(_KEY).combine_chunks()
    digest = hashlib.sha256()
    for name in ("side", "id", "payload"):
        _update(digest, pc.fill_null(pc.binary_length(rows[name]), -1))
        _update(digest, pc.fill_null(rows[name], ""))
    vectors = rows["factors"]
    _update(digest, pc.fill_null(pc.list_value_length(vectors), -1))
    _update(digest, pc.list_flatten(vectors))
    return digest.hexdigest()[:_DIGITS]


def _update(digest: Any, column: pa.ChunkedArray | pa.Array) -> None:
    """Add the values of a column without nulls: numbers, or texts one after the other."""
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if not pa.types.is_string(values.type):
        digest.update(values.to_numpy(zero_copy_only=False).tobytes())
        return
    _, offsets, data = values.buffers()
    ends = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1] if len(values) else [0]
    digest.update(memoryview(data)[ends[0] : ends[-1]] if data is not None else b"")


def payload_of(parts: pa.Table) -> str | None:
    """Rows of a model's parts without a vector as JSON, a list of [side, id, text or null]; None if there are none."""
    texts = parts.filter(pc.is_null(parts["factors"])).sort_by(_KEY).to_pylist()
    return json.dumps([[row["side"], row["id"], row["payload"]] for row in texts]) if texts else None


def payload_rows(payload: str | None) -> pa.Table:
    """What ``payload_of`` wrote, as rows of the schema ``PARTS`` without vectors."""
    found = [] if payload is None else json.loads(payload)
    rows = [{"side": side, "id": id_, "factors": None, "payload": text} for side, id_, text in found]
    return pa.Table.from_pylist(rows, schema=PARTS)


def no_vectors(told: Mapping[str, Any]) -> str:
    """What is wrong, and what to run, where als_model is another than a row of candidate was made of."""
    return (
        f"als_model holds no vectors of version {told['als_version']}, which the candidate is made of; materialize "
        "als_model and candidate together (job retrain_model)"
    )


def vectors_of(parts: pa.Table) -> pa.Table:
    """Rows with a vector, columns side, id, factors, sorted by side and id."""
    return parts.filter(pc.is_valid(parts["factors"])).select(["side", "id", "factors"]).sort_by(_KEY)


def together(vectors: pa.Table, payload: str | None) -> pa.Table:
    """Stored vectors (side, id, factors) and texts as the parts that ``Recommender.restore`` takes."""
    rows = vectors.select(["side", "id", "factors"])
    texts = pa.nulls(rows.num_rows, pa.string())
    return pa.concat_tables([rows.append_column("payload", texts).cast(PARTS), payload_rows(payload)]).sort_by(_KEY)


def parameters_of(told: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters in a row of candidate or champion, as ``registry.configured`` takes them."""
    return json.loads(told["parameters"])


def same_parameters(one: str, other: str) -> bool:
    """Whether two configs, as JSON, say the same."""
    return json.loads(one) == json.loads(other)
