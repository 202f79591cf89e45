"""An S3-compatible server on loopback, in a process of its own, with a log of every request that it answered."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

SECRET = "wJalrXUtnFEMI-not-to-be-seen"
KEY_ID = "AKIALOOPBACKKEYID000"
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_ANSWERED = re.compile(r'"([A-Z]+) (\S+) HTTP/[\d.]+" (\d+)')
_START_SECONDS = 60


@dataclass(frozen=True)
class Request:
    """One request: what was asked of which object (``bucket/key``), and the answer's status."""

    method: str
    path: str
    query: dict[str, list[str]]
    status: int


class S3Server:
    """A running server; ``environment`` is what a process needs to use it."""

    def __init__(self, port: int, log: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        self.environment = {
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
            "NO_PROXY": "127.0.0.1",
        }

    def seen(self) -> int:
        """How much was logged so far, to be given to ``requests``."""
        return self.log.stat().st_size

    def requests(self, since: int = 0) -> list[Request]:
        """Every request that was answered, in order, from a point of the log on."""
        with self.log.open("rb") as stream:
            stream.seek(since)
            text = _COLOURS.sub("", stream.read().decode())
        found = []
        for method, target, status in _ANSWERED.findall(text):
            parts = urlsplit(target)
            query = parse_qs(parts.query, keep_blank_values=True)
            found.append(Request(method, unquote(parts.path).lstrip("/"), query, int(status)))
        return found

    def refuse_strangers(self) -> None:
        """From now on only known credentials are let in, and none are known."""
        self._let_in(b"0")

    def let_everyone_in(self) -> None:
        """As at the start."""
        self._let_in(b"inf")

    def _let_in(self, requests: bytes) -> None:
        plain = {"Content-Type": "text/plain"}
        asked = urllib.request.Request(f"{self.url}/moto-api/reset-auth", requests, plain, method="POST")
        urllib.request.urlopen(asked).close()

    def files(self, bucket: str) -> Any:
        """The server's file system of fsspec, as seen by a process of its own."""
        import s3fs

        storage = s3fs.S3FileSystem(
            key=KEY_ID, secret=SECRET, endpoint_url=self.url, use_listings_cache=False, skip_instance_cache=True
        )
        if not storage.exists(bucket):
            storage.mkdir(bucket)
        return storage


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _forget_endpoints() -> None:
    """Have the file systems of this process made anew: they keep the endpoint that the environment once named."""
    import s3fs

    from trasos_assets.lake.objects import reads_of

    s3fs.S3FileSystem.clear_instance_cache()
    reads_of.cache_clear()


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """A server that lives as long as the block; its log is in ``folder``."""
    port, log = _free_port(), folder / "s3.log"
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            env=quiet,
            stdout=stream,
            stderr=stream,
        )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/")
                break
            except (urllib.error.URLError, ConnectionError):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the S3 server did not start: {log.read_text()[-2000:]}") from None
                time.sleep(0.05)
        _forget_endpoints()
        yield S3Server(port, log)
    finally:
        _forget_endpoints()
        process.terminate()
        process.wait(30)
