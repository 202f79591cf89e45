"""The container of an Avro file: its header, and its blocks unpacked one at a time.

Blocks are unpacked here and not by fastavro: so no block unpacks to more than the memory allows, Snappy needs no
further package, and a file that is cut short is told from one that ends.
"""

from __future__ import annotations

import bz2
import json
import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa
import zstandard

MAGIC = b"Obj\x01"
SYNC_BYTES = 16
MAX_BLOCK_BYTES = 256 << 20
_MAX_HEADER_BYTES = 16 << 20
_LONG_BYTES = 10


class AvroError(Exception):
    """The file is no Avro file, or broken; the message says why. ``whole`` if waiting for more of it is no use."""

    def __init__(self, message: str, *, whole: bool = False) -> None:
        super().__init__(message)
        self.whole = whole


@dataclass(frozen=True)
class Header:
    """Schema as JSON, codec of the blocks, and the mark that follows each of them."""

    schema: Any
    codec: str
    sync: bytes


def _exactly(stream: IO[bytes], size: int) -> bytes:
    content = stream.read(size)
    while len(content) < size:
        more = stream.read(size - len(content))
        if not more:
            raise AvroError("it is cut short")
        content += more
    return content


def _long(stream: IO[bytes], first: bytes = b"") -> int:
    """A zig-zag number; ``first`` is its first byte where that was read already."""
    value = shift = 0
    for _ in range(_LONG_BYTES):
        byte = (first or _exactly(stream, 1))[0]
        first = b""
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return (value >> 1) ^ -(value & 1)
    raise AvroError("a number in it is no number")


def long_bytes(value: int) -> bytes:
    """A number as Avro writes it."""
    rest, made = (value << 1) ^ (value >> 63), bytearray()
    while rest & ~0x7F:
        made.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*made, rest])


def _bytes(stream: IO[bytes], limit: int) -> bytes:
    size = _long(stream)
    if not 0 <= size <= limit:
        raise AvroError(f"a part of it says that it has {size:,} bytes")
    return _exactly(stream, size)


def read_header(stream: IO[bytes]) -> Header:
    """The header of an Avro object container file.

    Raises:
        AvroError: it is none.
    """
    magic = stream.read(len(MAGIC))
    if magic != MAGIC:
        raise AvroError("it holds nothing" if not magic else "it does not begin as an Avro file")
    found: dict[str, bytes] = {}
    while count := _long(stream):
        if count < 0:
            count = -count
            _long(stream)  # the size of the entries in bytes, of use only to skip them
        if count > _MAX_HEADER_BYTES:
            raise AvroError(f"its header says that it has {count:,} entries")
        for _ in range(count):
            name = _bytes(stream, _MAX_HEADER_BYTES).decode("utf-8", "replace")
            found[name] = _bytes(stream, _MAX_HEADER_BYTES)
    try:
        schema = json.loads(found["avro.schema"])
    except (KeyError, ValueError, RecursionError) as error:
        raise AvroError("its header holds no schema") from error
    codec = found.get("avro.codec", b"null").decode("utf-8", "replace")
    if codec not in _CODECS:
        raise AvroError(f"its codec {codec!r} is not known; write it with {', '.join(_CODECS)}", whole=True)
    return Header(schema, codec, _exactly(stream, SYNC_BYTES))


def _refuse_large(size: int) -> None:
    if size > MAX_BLOCK_BYTES:
        raise AvroError(f"a block of it unpacks to over {MAX_BLOCK_BYTES:,} bytes; write smaller blocks", whole=True)


def _bounded(unpacked: bytes, finished: bool) -> bytes:
    _refuse_large(len(unpacked))
    if not finished:
        raise AvroError("a block of it is cut short")
    return unpacked


def _null(packed: bytes) -> bytes:
    return packed


def _deflate(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    return _bounded(unpacker.decompress(packed, MAX_BLOCK_BYTES + 1), unpacker.eof)


def _bzip2(packed: bytes) -> bytes:
    unpacker = bz2.BZ2Decompressor()
    return _bounded(unpacker.decompress(packed, MAX_BLOCK_BYTES + 1), unpacker.eof)


def _xz(packed: bytes) -> bytes:
    unpacker = lzma.LZMADecompressor()
    return _bounded(unpacker.decompress(packed, MAX_BLOCK_BYTES + 1), unpacker.eof)


def _zstandard(packed: bytes) -> bytes:
    with zstandard.ZstdDecompressor().stream_reader(packed) as unpacker:
        unpacked = unpacker.read(MAX_BLOCK_BYTES + 1)
    return _bounded(unpacked, bool(unpacked) or not packed)


def _snappy(packed: bytes) -> bytes:
    size = shift = 0
    for byte in packed[:_LONG_BYTES]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            break
    _refuse_large(size)
    body, checksum = packed[:-4], packed[-4:]
    unpacked = pa.Codec("snappy").decompress(body, size).to_pybytes()
    if zlib.crc32(unpacked).to_bytes(4, "big") != checksum:
        raise AvroError("a block of it does not match its checksum")
    return unpacked


_CODECS: dict[str, Callable[[bytes], bytes]] = {
    "null": _null,
    "deflate": _deflate,
    "snappy": _snappy,
    "zstandard": _zstandard,
    "bzip2": _bzip2,
    "xz": _xz,
}
_FAULTS = (zlib.error, zstandard.ZstdError, OSError, lzma.LZMAError, EOFError, pa.ArrowException, ValueError)


def blocks(stream: IO[bytes], header: Header) -> Iterator[tuple[int, bytes]]:
    """Number of records and unpacked content of each block.

    Raises:
        AvroError: a block is broken or cut short, or says that it holds more records than bytes.
    """
    unpack = _CODECS[header.codec]
    while first := stream.read(1):
        count = _long(stream, first)
        packed = _bytes(stream, MAX_BLOCK_BYTES)
        if _exactly(stream, SYNC_BYTES) != header.sync:
            raise AvroError("the mark after a block is not the file's")
        try:
            content = unpack(packed)
        except _FAULTS as error:
            raise AvroError(f"a block of it cannot be unpacked ({error})") from error
        if not 0 <= count <= len(content):
            raise AvroError(f"a block of {len(content):,} bytes says that it holds {count:,} records")
        yield count, content


class PlainFile:
    """The same records as an Avro file of another schema and without packing, for a reader of such files."""

    def __init__(self, schema: Any, contents: Iterator[tuple[int, bytes]]) -> None:
        self._sync = b"\0" * SYNC_BYTES
        described = json.dumps(schema).encode()
        entries = ((b"avro.schema", described), (b"avro.codec", b"null"))
        named = b"".join(long_bytes(len(part)) + part for entry in entries for part in entry)
        self._held = memoryview(MAGIC + long_bytes(len(entries)) + named + long_bytes(0) + self._sync)
        self._contents = contents

    def read(self, size: int) -> bytes:
        """Exactly ``size`` bytes, fewer at the end."""
        parts = [bytes(self._held[:size])]
        self._held = self._held[size:]
        missing = size - len(parts[0])
        while missing > 0 and (block := next(self._contents, None)) is not None:
            count, content = block
            if not count:
                continue
            framed = memoryview(b"".join((long_bytes(count), long_bytes(len(content)), content, self._sync)))
            parts.append(bytes(framed[:missing]))
            self._held = framed[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)
