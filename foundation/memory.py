"""A ceiling for the memory of one process, which then fails alone.

Owns how the ceiling is held and the line that says that it was reached. A
small process of its own looks at the resident private memory every few
hundredths of a second. A process over its ceiling first gets a signal, which
raises `MemoryCeilingReached` wherever its main thread is; one that does not
stop within the grace, or grows on, is killed.

The operating system's own limits serve worse. ``RLIMIT_AS`` and
``RLIMIT_DATA`` count what is reserved, of which Arrow's allocator alone takes
a gigabyte in advance, and threads that are refused memory hang or abort their
process: Polars' pool did both, in a backtest that used a fifth of its limit.
A control group needs rights that a user's process has not.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from foundation.errors import QuarterdeckError
from foundation.home import CHECKOUT

MEBIBYTE = 2**20
# Python, Dagster and the loaded kernels alone take about 200 of them.
MEMORY_BYTES_LEAST = 256 * MEBIBYTE
POLL_SECONDS = 0.03
GRACE_SECONDS = 5.0
# Killed at once beyond this multiple of the ceiling, grace or not.
N_CEILINGS_AT_MOST = 1.25
SIGNAL = signal.SIGUSR2
# What the watcher says once it looks.
READY = b"1"


class MemoryCeilingReached(QuarterdeckError):
    """The process has more memory than its ceiling lets it have.

    Parameters
    ----------
    ceiling_bytes, peak_bytes : int
        Resident private memory: allowed, and the most that was seen.
    """

    def __init__(self, ceiling_bytes: int, peak_bytes: int) -> None:
        self.ceiling_bytes = ceiling_bytes
        self.peak_bytes = peak_bytes
        super().__init__(
            f"the run went over its memory ceiling of {_mebibytes(ceiling_bytes)}: its peak was "
            f"{_mebibytes(peak_bytes)}; ask for fewer bars or sets, or state a higher ceiling"
        )

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with both figures, so that the error crosses processes whole."""
        return type(self), (self.ceiling_bytes, self.peak_bytes)


@contextmanager
def memory_ceiling(
    bytes_max: int | None, *, home: Path, facts: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Hold this process to a ceiling while the block runs.

    Parameters
    ----------
    bytes_max : int or None
        Of all private memory that the process has, not only of what the block
        adds; None sets none.
    home : Path
        The data home, in whose log of work it is told when the process had to
        be killed and can't tell it itself.
    facts : mapping, optional
        Keys of that line.

    Raises
    ------
    MemoryCeilingReached
        Within the block, wherever it is; only where the block runs in the
        process's main thread, which alone gets signals. Elsewhere the process
        is killed.
    QuarterdeckError
        If the process that looks at the memory can't be started.
    """
    if bytes_max is None:
        yield
        return
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread:
        before = signal.signal(SIGNAL, _raiser(bytes_max))
    told = [f"{name}={value}" for name, value in (facts or {}).items()]
    watcher = subprocess.Popen(
        [
            *(sys.executable, "-S", "-m", "foundation.memory_watcher"),
            *(str(os.getpid()), str(bytes_max), str(home), *told),
        ],
        cwd=CHECKOUT,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        # It ends when this pipe does, so also with a process that was killed.
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        # Work begins under a ceiling that holds, also where a busy machine starts it late.
        if watcher.stdout is None or watcher.stdout.read(len(READY)) != READY:
            raise QuarterdeckError("the process that holds the memory ceiling could not be started")
        yield
    finally:
        if in_main_thread:
            # What comes too late must not interrupt the end of the block.
            signal.signal(SIGNAL, signal.SIG_IGN)
        watcher.communicate()
        if in_main_thread:
            signal.signal(SIGNAL, before)


def _raiser(bytes_max: int) -> Callable[[int, FrameType | None], None]:
    """Return a handler that raises, once: the process has to end in peace after that."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        signal.signal(SIGNAL, signal.SIG_IGN)
        raise MemoryCeilingReached(bytes_max, max(bytes_max, private_bytes(os.getpid())))

    return handle


def private_bytes(process: int) -> int:
    """Return the resident private memory of a process, 0 when it has ended."""
    try:
        fields = Path(f"/proc/{process}/statm").read_text().split()
    except OSError:
        if os.path.isdir("/proc/self"):
            return 0
        # A system without /proc tells what is resident, with mapped files.
        done = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(process)], capture_output=True, text=True, check=False
        )
        return int(done.stdout.strip() or 0) * 1024
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")


def _mebibytes(n: int) -> str:
    return f"{n / MEBIBYTE:,.0f} MiB"
