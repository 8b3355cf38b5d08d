"""A file that is made of what it held before: no two writers lose what the other wrote.

On this machine the file is locked while it is read, changed and replaced. A
bucket has no locks: there it is replaced on condition that nobody else has
replaced it since, and whoever comes second begins again.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from foundation.errors import DataError
from foundation.files import write_bytes
from foundation.objects import ContentChanged, ObjectPath, Place

Change = Callable[[bytes | None], bytes | None]

# A writer of a bucket that was not alone begins again, at most so often.
_N_TRIES = 20


def rewrite(path: Place, change: Change) -> None:
    """Replace a file by what `change` makes of it, alone or again if it was not alone.

    Parameters
    ----------
    path : Path or ObjectPath
        Readers see the old content or the new one, never a part.
    change : callable
        Takes the content, None where there is no file, and returns the new
        one; the same content, or None, leaves the file untouched. It may be
        called again, so it must change nothing itself. What it raises leaves
        the file as before.

    Raises
    ------
    DataError
        If the file can't be written, or others replace it all the time.
    """
    if isinstance(path, ObjectPath):
        _rewrite_object(path, change)
        return
    with _locked(path):
        try:
            before: bytes | None = path.read_bytes()
        except FileNotFoundError:
            before = None
        after = change(before)
        if after is not None and after != before:
            write_bytes(path, after)


def _rewrite_object(path: ObjectPath, change: Change) -> None:
    for _ in range(_N_TRIES):
        before: bytes | None
        version: str | None
        try:
            before, version = path.read_version()
        except FileNotFoundError:
            before = version = None
        after = change(before)
        if after is None or after == before:
            return
        try:
            path.replace_content(after, version)
        except ContentChanged:
            continue
        return
    raise DataError(f"{path} is written by others all the time; try again")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a file against other writers, of this process or another."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f".{path.name}.lock").open("a")
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
