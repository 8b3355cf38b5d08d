"""The log of work: one JSON line for each command and job that ended, in the data home.

Owns the file, its size and its form, which is that of `telemetry`'s JSON logs.
Written with the standard library alone, because a small backtest is over in
less time than structlog takes to import. Whoever follows the file sees all
work on a data home, whichever process did it.
"""

from __future__ import annotations

import fcntl
import json
import os
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from foundation.errors import QuarterdeckError

# About three thousand lines; the file before is kept, so twice this is on disk at most.
N_BYTES_MOST = 1_000_000
INTERRUPTED = 130
# A line takes microseconds; a process that was stopped within must not hold up others.
N_TRIES, SECONDS_BETWEEN_TRIES = 50, 0.01
# What a key is called when its value must never reach a log.
_SECRET_WORDS = ("password", "secret", "token", "api_key", "private_key", "authorization")

_facts: ContextVar[dict[str, Any] | None] = ContextVar("facts of the work", default=None)


def is_secret(key: str) -> bool:
    """Tell by its name whether a fact must never reach a log."""
    return any(word in key.lower() for word in _SECRET_WORDS)


def log_path(home: Path) -> Path:
    """Return the file; the one before it has ``.1`` at the end of its name."""
    return home / "logs" / "quarterdeck.log"


def note(**facts: Any) -> None:
    """Add facts to the line of the work that goes on; without any, do nothing."""
    noted = _facts.get()
    if noted is not None:
        noted.update(facts)


@contextmanager
def logged_work(home: Path, name: str, *, logger: str, **facts: Any) -> Iterator[None]:
    """Write a line when the block has ended: how, after how many seconds, with which facts.

    Parameters
    ----------
    home : Path
        The data home; where it doesn't exist nothing is written.
    name : str
        The line's event is ``<name> ended``.
    logger : str
        Who writes: the package.
    **facts
        Keys of the line; `note` adds more within the block.
    """
    noted = dict(facts)
    before = _facts.set(noted)
    began = perf_counter()
    ending: dict[str, Any] = {"level": "info", "status": "succeeded"}
    try:
        yield
    except BaseException as error:
        ending = _ending(error)
        raise
    finally:
        _facts.reset(before)
        line = {
            **noted,
            **ending,
            "event": f"{name} ended",
            "logger": logger,
            "process": os.getpid(),
            "seconds": round(perf_counter() - began, 3),
            "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        }
        # A full or read-only disk is told by the work itself, whose files matter.
        with suppress(OSError):
            append_line(home, line)


def _ending(error: BaseException) -> dict[str, Any]:
    """Return how a block ended that an exception left."""
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if code == 0:
            return {"level": "info", "status": "succeeded"}
        if code == INTERRUPTED:
            return {"level": "info", "status": "interrupted"}
        # The command line has told the error in one line, and left because of it.
        cause = error.__context__
        if isinstance(cause, BrokenPipeError):
            # Whoever read the output, such as `head`, has seen enough.
            return {"level": "info", "status": "succeeded"}
        kind = type(cause).__name__ if cause is not None else "SystemExit"
        message = str(cause if cause is not None else error)
        return _failed(kind, message) | {"exit_code": code}
    if isinstance(error, KeyboardInterrupt):
        return {"level": "info", "status": "interrupted"}
    found = _failed(type(error).__name__, str(error))
    if not isinstance(error, QuarterdeckError):
        found["exception"] = "".join(traceback.format_exception(error))
    return found


def _failed(kind: str, message: str) -> dict[str, Any]:
    return {"level": "error", "status": "failed", "error": kind, "message": message}


def append_line(home: Path, line: dict[str, Any]) -> None:
    """Append an object as one line, and begin a new file when this one is full.

    Raises
    ------
    OSError
        If the file can't be written.
    """
    if not home.is_dir():
        return
    shown = {key: "***" if is_secret(key) else value for key, value in line.items()}
    content = (json.dumps(shown, sort_keys=True, default=str) + "\n").encode()
    path = log_path(home)
    path.parent.mkdir(exist_ok=True)
    file = _open(path)
    try:
        _lock(file)
        if os.fstat(file).st_size + len(content) > N_BYTES_MOST and _is_at(file, path):
            os.replace(path, _previous(path))
            os.close(file)
            file = _open(path)
        os.write(file, content)
    finally:
        os.close(file)


def _lock(file: int) -> None:
    """Lock the file against others' new files, or raise `OSError` when that takes too long."""
    for _ in range(N_TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sleep(SECONDS_BETWEEN_TRIES)
        else:
            return
    raise TimeoutError("another process holds the log's lock")


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def _is_at(file: int, path: Path) -> bool:
    """Tell whether a file still has its name: another process may have begun the next."""
    return os.fstat(file).st_ino == _number(path)


def _number(path: Path) -> int:
    """Return the number of the file that has a name, 0 where there is none."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def _previous(path: Path) -> Path:
    return path.with_name(f"{path.name}.1")


def read_log(home: Path) -> list[dict[str, Any]]:
    """Return all lines that are kept, oldest first; those cut off by a full disk are left out."""
    found = []
    for path in (_previous(log_path(home)), log_path(home)):
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue
        for text in content.splitlines():
            with suppress(json.JSONDecodeError):
                line = json.loads(text)
                if isinstance(line, dict):
                    found.append(line)
    return found


class LogFollower:
    """Reads what is appended to the log from now on, over the change of files."""

    def __init__(self, home: Path) -> None:
        self.path = log_path(home)
        self._number = _number(self.path)
        self._n_read = self.path.stat().st_size if self._number else 0

    def new_lines(self) -> Sequence[dict[str, Any]]:
        """Return the objects appended since the last call."""
        number = _number(self.path)
        content = b""
        if number != self._number:
            if self._number and _number(_previous(self.path)) == self._number:
                content = self._read(_previous(self.path))
            self._number, self._n_read = number, 0
        elif number and self.path.stat().st_size < self._n_read:
            self._n_read = 0  # Another file with the number of one that is gone.
        content += self._read(self.path) if number else b""
        found = []
        for text in content.splitlines():
            # A line that a full disk cut off says nothing.
            with suppress(ValueError):
                line = json.loads(text)
                if isinstance(line, dict):
                    found.append(line)
        return found

    def _read(self, path: Path) -> bytes:
        """Return whole lines from where reading ended."""
        with path.open("rb") as file:
            file.seek(self._n_read)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._n_read += len(whole)
        return whole
