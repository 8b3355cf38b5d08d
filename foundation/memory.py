"""A ceiling for the memory of one process, which then fails alone.

Owns how the ceiling is set, how running into it is told apart from other
errors, and the line that says so. The operating system holds the ceiling:
what a process asks for beyond it is refused, so that neither the machine's
other work nor the process that started this one suffers.

The limit is that of private writable memory (``RLIMIT_DATA``). That of the
address space would count each mapped file, compiled kernel and library, many
times of what is used. Arrow's allocator would ask for a gigabyte in advance,
which counts too; `prepare_memory` turns that off.
"""

from __future__ import annotations

import errno
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from foundation.errors import QuarterdeckError

MEBIBYTE = 2**20
# Python, Dagster and the loaded kernels alone take about 350 of them.
MEMORY_BYTES_LEAST = 512 * MEBIBYTE
# Arrow's allocator reads it once, when it is loaded.
_ARROW_TAKES_NO_ADVANCE = "MIMALLOC_ARENA_EAGER_COMMIT"
_KIB_UNITS = 1024


class MemoryCeilingReached(QuarterdeckError):
    """The process asked for more memory than its ceiling lets it have.

    Parameters
    ----------
    ceiling_bytes : int
        Of private memory.
    peak_bytes : int
        The most that was resident at once, with mapped files.
    """

    def __init__(self, ceiling_bytes: int, peak_bytes: int) -> None:
        self.ceiling_bytes = ceiling_bytes
        self.peak_bytes = peak_bytes
        super().__init__(
            f"the run needs more than its memory ceiling of {_mebibytes(ceiling_bytes)}; "
            f"its peak was {_mebibytes(peak_bytes)} resident when more was refused; "
            "ask for fewer bars or sets, or state a higher ceiling"
        )

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with both figures, so that the error crosses processes whole."""
        return type(self), (self.ceiling_bytes, self.peak_bytes)


def prepare_memory() -> None:
    """Have memory counted as it is used; call it before anything imports Arrow.

    Child processes inherit the choice.
    """
    os.environ.setdefault(_ARROW_TAKES_NO_ADVANCE, "0")


@contextmanager
def memory_ceiling(bytes_max: int | None) -> Iterator[None]:
    """Refuse this process more private memory than a ceiling while the block runs.

    Parameters
    ----------
    bytes_max : int or None
        Of all that the process has then, not only of what the block adds;
        None sets none. Only lowers a limit that whoever started the process
        has set.

    Notes
    -----
    Inside the block an allocation beyond it raises MemoryError, or what a
    library makes of it; `told_of_memory` turns that into one line. A library
    that can't do without ends the process, which is then found dead.
    """
    if bytes_max is None:
        yield
        return
    prepare_memory()
    before, most = resource.getrlimit(resource.RLIMIT_DATA)
    stated = [limit for limit in (before, bytes_max) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(stated), most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, most))


@contextmanager
def told_of_memory() -> Iterator[None]:
    """Turn an error by which memory was refused into `MemoryCeilingReached`.

    Without a ceiling the error passes: then the machine itself had no more.
    """
    try:
        yield
    except Exception as error:
        ceiling, most = resource.getrlimit(resource.RLIMIT_DATA)
        if ceiling == resource.RLIM_INFINITY or not says_no_memory(error):
            raise
        # Telling it needs memory too. The process ends after it.
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        raise MemoryCeilingReached(ceiling, peak_memory_bytes()) from error


def says_no_memory(error: BaseException | None) -> bool:
    """Return whether an error, or what led to it, is that memory was refused."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        # Arrow's error is a MemoryError; DuckDB has one of its own.
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryException":
            return True
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            return True
        # A thread's stack is memory too.
        if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def peak_memory_bytes() -> int:
    """Return the most memory that this process has had resident at once."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS tells bytes, the others KiB.
    return peak if sys.platform == "darwin" else peak * _KIB_UNITS


def _mebibytes(n: int) -> str:
    return f"{n / MEBIBYTE:,.0f} MiB"
