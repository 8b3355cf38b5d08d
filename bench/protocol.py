"""How the driver talks with a worker: one process for each side of a comparison.

A worker loads its data and warms up once, then waits for commands on its
standard input, one a line, and answers each with one line of JSON:

- ``run``: do the work once; answer ``{"seconds": ...}``. Before a short run,
  by the time of the last one, the work is done once untimed.
- ``save PATH``: write the last run's arrays as ``.npz``; answer ``{}``.
- ``memory``: answer ``{"peak_bytes": ...}`` of the whole process so far.
- ``quit``: end.

Imports nothing but the standard library and numpy, so that it runs in every
peer's environment.
"""

from __future__ import annotations

import gc
import json
import math
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

# A process that waited seconds for the others finds caches cold and memory taken
# back by the system; a run shorter than this (seconds) would mostly measure that.
SHORT_RUN = 1.0


class Job(Protocol):
    """The work of one side."""

    def run(self) -> Any:
        """Do the work once, from prices in memory to results in memory."""

    def arrays(self, result: Any) -> dict[str, np.ndarray]:
        """Return what a run gave, for the comparison of trades."""


def serve(make_job: Callable[[dict[str, Any]], Job]) -> None:
    """Answer the driver's commands until it says ``quit`` or closes the pipe.

    Parameters
    ----------
    make_job : callable
        Gets the specification (the process's only argument, JSON) and returns
        the job, loaded and warm.
    """
    # Libraries print as they please; only answers may reach the driver.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    job = make_job(json.loads(sys.argv[1]))
    _answer(answers, getattr(job, "about", {}))
    result = None
    seconds = math.inf  # Not known before the first run; the job has just warmed up.
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        if command == "run":
            # Else the last round's result would count towards this one's peak.
            result = None
            gc.collect()
            if seconds < SHORT_RUN:
                job.run()
                gc.collect()
            start = time.perf_counter()
            result = job.run()
            seconds = time.perf_counter() - start
            _answer(answers, {"seconds": seconds})
        elif command == "save":
            arrays: dict[str, Any] = job.arrays(result)
            np.savez(argument, **arrays)
            _answer(answers, {})
        elif command == "memory":
            _answer(answers, {"peak_bytes": peak_bytes()})
        else:
            return


def peak_bytes() -> int:
    """Return this process's largest resident size so far, in bytes.

    Linux's `ru_maxrss` starts from the parent's size when the process was
    made by vfork, so the kernel's own record of this program is preferred.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _answer(stream: Any, content: dict[str, Any]) -> None:
    stream.write(json.dumps(content) + "\n")
    stream.flush()
