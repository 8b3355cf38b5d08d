"""What the tests beyond one machine need: the packages of `deploy/distributed.lock`, and Redis."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from foundation.home import CHECKOUT
from tests.conftest import missing

SCRIPT = CHECKOUT / "deploy" / "distributed.sh"
FOLDER = CHECKOUT / "build" / "distributed"


def distributed_programs() -> Path:
    """Return the folder of programs of the environment, brought up to date.

    It is made in CI, and elsewhere by whoever wants these tests: it downloads packages.
    """
    if os.environ.get("CI") != "true" and not (FOLDER / ".stamp").exists():
        missing("the environment for several machines", "deploy/distributed.sh")
    (CHECKOUT / "build").mkdir(exist_ok=True)
    with (CHECKOUT / "build" / "distributed.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run([SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return FOLDER / "bin"


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Start Redis on a free port; yields its address without the number of a database."""
    # Debian's tools are the server too, by its name, without a service that starts at boot.
    program = shutil.which("redis-server") or shutil.which("redis-check-rdb")
    if program is None:
        missing("Redis", "apt-get install --no-install-recommends redis-tools")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", folder]
    with running(["redis-server", *options], folder / "redis.log", executable=program):
        give_up = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                break
            except OSError:
                assert time.monotonic() < give_up, (folder / "redis.log").read_text()
                time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}"


@contextmanager
def running(
    command: Sequence[object],
    log: Path,
    environment: Mapping[str, str] | None = None,
    executable: str | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program with all that it starts in a session of its own; end them after."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            executable=executable,
            cwd=CHECKOUT,
            env=os.environ | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end(process, signal.SIGTERM)


def end(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal a program and all that it started, and wait until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        end(process, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        # What it left behind.
        os.killpg(process.pid, signal.SIGKILL)
