"""Hostile files: what they are called, where they lie, how they are packed and where they end."""

from __future__ import annotations

import gzip

from trasos_assets_tests.landing.corpus import (
    ACCEPTED,
    DAY,
    MAX_FILE_BYTES,
    REJECTED,
    WAITING,
    FileCase,
    Outcome,
    line,
    quarantined,
)

_FOLDER = f"events/dt={DAY}"
_TAKEN = Outcome(ACCEPTED)
_BOMB = gzip.compress(b"\n" * (MAX_FILE_BYTES * 2), mtime=0)


def _lines(name: str, number: int = 3) -> list[bytes]:
    return [line(f"{name} {n}") for n in range(1, number + 1)]


def _content(name: str, number: int = 3) -> bytes:
    return b"\n".join(_lines(name, number)) + b"\n"


def _zipped(name: str, number: int = 3) -> bytes:
    return gzip.compress(_content(name, number), mtime=0)


def _all_malformed(content: bytes) -> dict[int, Outcome]:
    lines = enumerate(content.split(b"\n"), 1)
    return {number: quarantined("malformed") for number, text in lines if text.strip()}


def _taken(*numbers: int) -> dict[int, Outcome]:
    return dict.fromkeys(numbers, _TAKEN)


def _file(name: str, content: bytes, *numbers: int, file: str = "", mend: str = "") -> FileCase:
    return FileCase(name, f"{_FOLDER}/{file or name + '.jsonl'}", content, _taken(*numbers), mend=mend)


def _waits(name: str, content: bytes, reason: str) -> FileCase:
    return FileCase(name, f"{_FOLDER}/{name}.jsonl.gz", content, trouble=(WAITING, reason))


CONTENT = (
    _file("byte order mark", b"\xef\xbb\xbf" + _content("byte order mark"), 1, 2, 3),
    _file("byte order mark and nothing else", b"\xef\xbb\xbf"),
    _file("lines ended as on Windows", _content("windows").replace(b"\n", b"\r\n"), 1, 2, 3),
    _file("no line feed at the end", _content("no end").rstrip(b"\n"), 1, 2, 3),
    _file("blank lines between", _content("blank").replace(b"\n", b"\n \t\r\n\n"), 1, 4, 7),
    _file("zero bytes", b""),
    _file("gzip of nothing", gzip.compress(b"", mtime=0), file="gzip of nothing.jsonl.gz"),
    _file("only line feeds", b"\n" * 1000),
    _file(
        "two gzip files joined", _zipped("joined a") + _zipped("joined b"), 1, 2, 3, 4, 5, 6, file="joined.ndjson.gz"
    ),
    _file("zeros after the gzip", _zipped("padded") + b"\0" * 512, 1, 2, 3, file="padded.jsonl.gz"),
    FileCase(
        "old Mac line ends make one line",
        f"{_FOLDER}/mac.jsonl",
        _content("mac").replace(b"\n", b"\r"),
        {1: quarantined("malformed")},
    ),
    FileCase(
        "UTF-16",
        f"{_FOLDER}/utf16.jsonl",
        "{}\n{}\n".encode("utf-16"),
        _all_malformed("{}\n{}\n".encode("utf-16")),
    ),
    FileCase(
        "gzip without its suffix",
        f"{_FOLDER}/packed.jsonl",
        gzip.compress(b"{}\n", mtime=0),
        _all_malformed(gzip.compress(b"{}\n", mtime=0)),
    ),
    FileCase(
        "last line cut off", f"{_FOLDER}/cut.jsonl", _content("cut")[:-40], _taken(1, 2) | {3: quarantined("malformed")}
    ),
    FileCase(
        "pretty-printed JSON",
        f"{_FOLDER}/pretty.json",
        b'{\n  "event_id": "e1"\n}\n',
        {number: quarantined("malformed") for number in (1, 2, 3)},
    ),
    FileCase(
        "garbage and one good line",
        f"{_FOLDER}/garbage.jsonl",
        b"\x00\xff\xfe\n" * 500 + line("amid garbage") + b"\n",
        {number: quarantined("malformed") for number in range(1, 501)} | _taken(501),
    ),
)

BROKEN = (
    _waits("gzip cut in the middle", _zipped("half", 500)[:900], "broken or not complete"),
    _waits("gzip without its last byte", _zipped("last byte", 500)[:-1], "broken or not complete"),
    _waits("zero bytes called gzip", b"", "not complete"),
    _waits("gzip of a header alone", _zipped("header")[:10], "broken or not complete"),
    _waits("no gzip in spite of its name", _content("plain"), "Not a gzipped file"),
    _waits("garbage after the gzip", _zipped("tail") + b"garbage", "broken or not complete"),
    _waits(
        "gzip with a wrong checksum",
        _zipped("checksum")[:-8] + b"\x00" * 4 + _zipped("checksum")[-4:],
        "broken or not complete",
    ),
    FileCase(
        "bomb of line feeds",
        f"{_FOLDER}/bomb.jsonl.gz",
        _BOMB,
        trouble=(REJECTED, "when decompressed; split it, or raise TRASOS_MAX_FILE_BYTES"),
    ),
    FileCase(
        "bomb of one endless line",
        f"{_FOLDER}/endless.jsonl.gz",
        gzip.compress(b"[" * (MAX_FILE_BYTES * 2), mtime=0),
        trouble=(REJECTED, "when decompressed; split it, or raise TRASOS_MAX_FILE_BYTES"),
    ),
    FileCase(
        "bomb in a bomb",
        f"{_FOLDER}/nested.jsonl.gz",
        gzip.compress(_BOMB, mtime=0),
        _all_malformed(_BOMB),
    ),
)

PLACES = (
    *(
        FileCase(f"astray: {path}", path, _content(path), trouble=(REJECTED, reason))
        for path, reason in {
            "event/dt=2025-10-26/typo.jsonl": "unknown data set 'event'",
            "<script>alert(1)</script>.jsonl".replace("/", ""): "not in a data set's folder",
            "<img src=x onerror=alert(1)>/dt=2025-10-26/a.jsonl": "unknown data set '<img src=x onerror=alert(1)>'",
            "events/astray.jsonl": "not in a day's folder",
            "events/dt=2025-02-30/a.jsonl": "not in a day's folder",
            "events/dt=yesterday/a.jsonl": "not in a day's folder",
            "events/dt=2025-10-26/deeper/a.jsonl": "not in a day's folder",
            "events/dt=0001-01-01/a.jsonl": "before the lake's first day",
            "events/dt=1970-01-01/a.jsonl": "before the lake's first day",
            "events/dt=2025-10-26/notes.docx": "unknown file type",
            "events/dt=2025-10-26/events": "unknown file type",
            "[bold/dt=2025-10-26/red] markup of the terminal.jsonl": "unknown data set '[bold'",
            "[/dt=2025-10-26/bold].jsonl": "unknown data set '['",
            "events/dt=2025-10-26/\x1b[2J\x1b]0;title\x07 \u202egnp.docx": "unknown file type",
            "astray.jsonl": "not in a data set's folder",
        }.items()
    ),
    FileCase(
        "a day to come", "events/dt=9999-12-31/a.jsonl", _content("future"), trouble=(WAITING, "has not come yet")
    ),
    *(
        _file(f"a file called {name}", _content(name), 1, 2, 3, file=name + ".jsonl")
        for name in (
            "with blanks and 'quotes' and \"more\"",
            "percent %2e%2e%2f and {braces} and $HOME",
            "[a-z]*?",
            "-rf",
            "line\nfeed",
            "=cmd|' C calc'!A0",
            "👗 \u202egnp.exe",
            "x" * 200,
        )
    ),
)

FILE_CASES = (*CONTENT, *BROKEN, *PLACES)
