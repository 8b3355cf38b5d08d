"""Files that are whole or absent, whatever happens while they are written.

What is written goes to a temporary name beside its target, is flushed to the
disk, and takes the target's name in one rename. A crash, a kill or a full
disk leaves the old content whole; leftovers of a writer that died are removed
by the next one.
"""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from foundation.errors import DataError
from foundation.objects import ObjectPath, Place

PARTIAL_SUFFIX = ".partial"

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FOREIGN_PARTIAL_AGE_S = 86_400.0
_FEWEST_TO_FLUSH_AT_ONCE = 8
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def write_bytes(path: Place, content: bytes) -> None:
    """Write a file whole, replacing the one before.

    Parameters
    ----------
    path : Path or ObjectPath
        The target; its folder is made if needed.
    content : bytes
        All that the file holds.

    Raises
    ------
    DataError
        If the disk is full or the target can't be written; the file before
        is unchanged.
    """
    with atomic_file(path) as partial:
        partial.write_bytes(content)


def write_text(path: Place, content: str) -> None:
    """Write a UTF-8 file whole, as `write_bytes` does, with line ends untouched."""
    write_bytes(path, content.encode("utf-8"))


@contextmanager
def atomic_file(path: Place) -> Iterator[Path]:
    """Let the caller write a temporary file that then becomes `path`.

    Parameters
    ----------
    path : Path or ObjectPath
        The target; its folder is made if needed.

    Yields
    ------
    Path
        Where to write: in the same folder, or in one of this machine's own
        for a file that goes to an object store. The target changes only when the
        block ends without an error.

    Raises
    ------
    DataError
        If the disk is full, the target can't be written, or the block wrote
        nothing; the file before is unchanged.
    """
    if isinstance(path, ObjectPath):
        with _uploaded_file(path) as partial:
            yield partial
        return
    path = Path(path)
    with _reported(path, in_block=False):
        partial = _start_partial(path)
    try:
        with _reported(path, in_block=True):
            yield partial
        with _reported(path, in_block=False):
            if not partial.is_file():
                raise DataError(f"nothing was written for {path}")
            _flush(partial)
            os.replace(partial, path)
            _flush(path.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_files(folder: Place) -> Iterator[Callable[[str], AbstractContextManager[Path]]]:
    """Let the caller write several files of a folder, also from several threads.

    Waiting for the disk once for all of them takes a fraction of the time that
    it takes for one after the other.

    Yields
    ------
    callable
        Takes a file's name and gives a context as `atomic_file` does. The
        files have their names when the outer block ends without an error; in
        an object store, each as soon as it is written.

    Raises
    ------
    DataError
        As `atomic_file`; no file of the folder has changed then. In an object
        store some may have.
    """
    if isinstance(folder, ObjectPath):
        bucket = folder
        yield lambda name: atomic_file(bucket / name)
        return
    home = Path(folder)
    written: list[tuple[Path, Path]] = []

    @contextmanager
    def write(name: str) -> Iterator[Path]:
        partial = home / _partial_name(name)
        written.append((partial, home / name))
        with _reported(home / name, in_block=True):
            yield partial

    try:
        with _reported(home, in_block=False):
            home.mkdir(parents=True, exist_ok=True)
        yield write
        for partial, path in written:
            with _reported(path, in_block=False):
                if not partial.is_file():
                    raise DataError(f"nothing was written for {path}")
        with _reported(home, in_block=False):
            _flush_all(home, [partial for partial, _ in written])
            n_written = len(written)
            while written:
                os.replace(*written.pop())
            if n_written:
                _flush(home)
    finally:
        for partial, _ in written:
            partial.unlink(missing_ok=True)


@contextmanager
def _uploaded_file(path: ObjectPath) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="quarterdeck-") as folder:
        partial = Path(folder) / path.name
        with _reported(partial, in_block=True):
            yield partial
        if not partial.is_file():
            raise DataError(f"nothing was written for {path}")
        path.write_bytes(partial.read_bytes())


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Let the caller fill a temporary folder that then becomes `path`.

    Parameters
    ----------
    path : Path
        The target; a folder of that name is replaced as a whole, with all
        that it holds.

    Yields
    ------
    Path
        An empty folder to fill, beside the target.

    Raises
    ------
    DataError
        If the disk is full or the target can't be written; the folder before
        is unchanged.
    """
    path = Path(path)
    with _reported(path, in_block=False):
        partial = _start_partial(path)
        partial.mkdir()
    try:
        with _reported(path, in_block=True):
            yield partial
        with _reported(path, in_block=False):
            for folder, _, names in os.walk(partial):
                for name in names:
                    _flush(Path(folder, name))
                _flush(Path(folder))
            _take_place(partial, path)
            _flush(path.parent)
    finally:
        # After an exchange this is the old content; after a failure, the new.
        shutil.rmtree(partial, ignore_errors=True)


def _start_partial(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{path.name}.*{PARTIAL_SUFFIX}"):
        if _is_abandoned(leftover, path.name, socket.gethostname()):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)
    return path.parent / _partial_name(path.name)


def _partial_name(name: str) -> str:
    token = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    return f".{name}.{token}{PARTIAL_SUFFIX}"


def _is_abandoned(partial: Path, name: str, host: str) -> bool:
    """Return whether the writer is known to be dead, or silent for a day.

    Another machine or container that shares the folder has process numbers of
    its own, so there only the age counts.
    """
    token = partial.name.removeprefix(f".{name}.").removesuffix(PARTIAL_SUFFIX)
    owner, _, rest = token.rpartition("-")[0].rpartition("-")
    try:
        if owner == host and rest.isdigit():
            os.kill(int(rest), 0)
            return False
        return time.time() - partial.stat().st_mtime > _FOREIGN_PARTIAL_AGE_S
    except ProcessLookupError:
        return True
    except OSError:
        # Another user's process, or another writer removed the leftover just now.
        return False


def _take_place(partial: Path, path: Path) -> None:
    if not path.exists():
        os.rename(partial, path)
        return
    if _exchange(partial, path):
        return
    # No exchange on this file system: for a moment the target is absent, and
    # a crash in that moment leaves the old content under the name `aside`.
    aside = partial.with_name(partial.name.removesuffix(PARTIAL_SUFFIX) + ".old")
    os.rename(path, aside)
    try:
        os.rename(partial, path)
    except OSError:
        os.rename(aside, path)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step, where kernel and file system can."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    result: int = renameat2(
        _AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE
    )
    if result == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(other))


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_all(folder: Path, files: list[Path]) -> None:
    """Flush files of one folder.

    Where there are many, the whole file system is flushed in one go if the
    system can: that takes milliseconds, one file after the other as much each.
    """
    if len(files) >= _FEWEST_TO_FLUSH_AT_ONCE and _flush_file_system(folder):
        return
    for file in files:
        _flush(file)


def _flush_file_system(folder: Path) -> bool:
    try:
        syncfs = ctypes.CDLL(None, use_errno=True).syncfs
    except (AttributeError, OSError):
        return False
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        result: int = syncfs(descriptor)
        code = ctypes.get_errno()
    finally:
        os.close(descriptor)
    if result == 0:
        return True
    if code == errno.ENOSYS:
        return False
    raise OSError(code, os.strerror(code), str(folder))


@contextmanager
def _reported(path: Path, *, in_block: bool) -> Iterator[None]:
    """Turn what the operating system says into one line about `path`.

    An error of the caller's own block passes unless it says that the disk is
    full: it may be about anything.
    """
    try:
        yield
    except Exception as error:
        if _says_no_space(error):
            raise DataError(
                f"no space left to write {path}; what was stored before is unchanged"
            ) from error
        if isinstance(error, OSError) and not in_block:
            raise DataError(
                f"cannot write {path}: {error.strerror or error}; "
                "what was stored before is unchanged"
            ) from error
        raise


def _says_no_space(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NO_SPACE:
            return True
        # Writers in other languages hand on the system's text without its number.
        if "no space left on device" in str(error).lower():
            return True
        error = error.__cause__ or error.__context__
    return False
