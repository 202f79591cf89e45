"""What is packed or nested, unpacked for the scan: streams, columns of text, values of records."""

# The functions of pyarrow.compute are made at run time.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import zstandard

PACKED_BYTES = 64 << 10


def zstd_unpacker() -> Any:
    """Unpacks one zstd frame."""
    return zstandard.ZstdDecompressor().decompressobj()


def decompress(stream: IO[bytes], out: IO[bytes], begun: Callable[[], Any]) -> None:
    """Unpack one packed stream after the other, each part as soon as it is there; EOFError if the last is not whole."""
    unpacker = None
    while block := stream.read(PACKED_BYTES):
        while block:
            unpacker = unpacker or begun()
            out.write(unpacker.decompress(block))
            if not unpacker.eof:
                break
            block, unpacker = unpacker.unused_data.lstrip(b"\0"), None
    if unpacker is not None:
        raise EOFError("it is cut short")


def joined(values: pa.Array) -> bytes:
    """Values of bytes, a line each."""
    return b"\n".join(values.to_pylist())


def text_columns(table: pa.Table) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """Columns of text and bytes, those inside of lists and structs too, with their names."""
    # Not by name: a file may hold one name twice.
    waiting = list(zip(table.column_names, table.columns, strict=True))
    while waiting:
        name, column = waiting.pop()
        kind = column.type
        if pa.types.is_dictionary(kind):
            waiting.append((name, pc.cast(column, kind.value_type)))
        elif pa.types.is_struct(kind):
            for place in range(kind.num_fields):
                waiting.append((f"{name}.{kind.field(place).name}", pc.struct_field(column, place)))
        elif pa.types.is_map(kind):
            chunks = [pa.table({"key": chunk.keys, "item": chunk.items}) for chunk in column.chunks]
            for part in ("key", "item"):
                waiting.append((f"{name}.{part}", pa.chunked_array([c for t in chunks for c in t[part].chunks])))
        elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            waiting.append((name, pc.list_flatten(column)))
        elif kind in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary()):
            yield name, column


def texts_of(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Texts in a value of any depth, with the names on the way to them."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from texts_of(f"{name}.{key}" if name else str(key), part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from texts_of(name, part)
    elif isinstance(value, bytes):
        yield name, value.decode("utf-8", "replace")
    elif isinstance(value, str):
        yield name, value
