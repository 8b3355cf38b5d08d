"""Debian's PostgreSQL, started for the tests on a free port in a folder of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOW_TO_INSTALL = "apt-get install --no-install-recommends postgresql"

# Nothing here outlives the tests, so nothing waits for the disk.
_OPTIONS = "-c fsync=off -c full_page_writes=off -c max_connections=40 -c timezone=America/New_York"


def find_binaries() -> Path | None:
    """Return the folder with `initdb` and `pg_ctl` of the newest version, if any."""
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(versions, key=lambda path: int(path.parts[-3]), default=None)
    if newest is not None:
        return newest.parent
    elsewhere = shutil.which("initdb")
    return Path(elsewhere).resolve().parent if elsewhere else None


@contextmanager
def running_postgres(binaries: Path) -> Iterator[str]:
    """Yield the URL of a fresh server's empty database, without driver; end it after."""
    folder = Path(tempfile.mkdtemp(prefix="quarterdeck-postgres-"))
    user = None
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root; Debian's package brought this user.
        user = _unprivileged_user()
        shutil.chown(folder, user)
    data, log, port = folder / "data", folder / "log", _free_port()
    options = f"{_OPTIONS} -c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder}"

    def run(*command: str) -> None:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, user=user
        )
        if done.returncode:
            detail = log.read_text() if log.exists() else ""
            raise RuntimeError(f"{command[0]} failed: {done.stderr}{done.stdout}{detail}")

    try:
        run(
            f"{binaries}/initdb", "-D", str(data), "-U", "quarterdeck", "-A", "trust",
            "-E", "UTF8", "--locale=C", "--no-sync",
        )  # fmt: skip
        # Its output must not go to our pipe, which the server would hold open.
        run(f"{binaries}/pg_ctl", "-D", str(data), "-l", str(log), "-o", options, "-w", "start")
        try:
            yield f"postgresql://quarterdeck@127.0.0.1:{port}/postgres"
        finally:
            run(f"{binaries}/pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged_user() -> str:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    sys.exit("PostgreSQL does not run as root, and there is no user postgres or nobody")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
