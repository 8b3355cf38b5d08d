"""The process that holds another one to its memory ceiling; `memory` starts it.

Needs nothing but the standard library, so that it is there in milliseconds
and takes little memory itself.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from foundation.log_file import append_line
from foundation.memory import (
    GRACE_SECONDS,
    N_CEILINGS_AT_MOST,
    POLL_SECONDS,
    READY,
    SIGNAL,
    MemoryCeilingReached,
    private_bytes,
)


def watch(process: int, bytes_max: int, home: Path, facts: dict[str, str]) -> None:
    """Watch a process until it closes our standard input, ends, or has to be killed."""
    warned_at = None
    peak = 0
    while not select.select([sys.stdin], [], [], POLL_SECONDS)[0]:
        now = private_bytes(process)
        peak = max(peak, now)
        if now == 0:
            return
        if now <= bytes_max:
            # It has freed what it had too much: whatever it does, it does within bounds.
            continue
        if warned_at is None:
            warned_at = time.monotonic()
            os.kill(process, SIGNAL)
        late = time.monotonic() - warned_at > GRACE_SECONDS
        if late or now > N_CEILINGS_AT_MOST * bytes_max:
            _kill(process, MemoryCeilingReached(bytes_max, peak), home, facts)
            return


def _kill(process: int, error: MemoryCeilingReached, home: Path, facts: dict[str, str]) -> None:
    line = {
        **facts,
        "level": "error",
        "status": "failed",
        "error": type(error).__name__,
        "message": str(error),
        "event": "run killed",
        "logger": "foundation",
        "process": process,
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    }
    # Told first: whoever finds the process dead looks for the reason here. A full disk must
    # not save it.
    with suppress(OSError):
        append_line(home, line)
    os.kill(process, signal.SIGKILL)


def main() -> None:
    """Read the command line: process, ceiling, data home, facts as ``name=value``."""
    process, bytes_max, home, *facts = sys.argv[1:]
    # Ctrl-C and an end of the terminal are for the process that is watched.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # The descriptor itself: what Python buffers would wait for the end.
    os.write(sys.stdout.fileno(), READY)
    pairs = (fact.partition("=") for fact in facts)
    with suppress(ProcessLookupError):
        watch(int(process), int(bytes_max), Path(home), {name: value for name, _, value in pairs})


if __name__ == "__main__":
    main()
