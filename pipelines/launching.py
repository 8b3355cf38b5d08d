"""Starting runs on this machine, with an eye on whether they still live.

Dagster's own launcher learns of a dead run from the server that started it.
When that one dies too, by a power cut or an operator's `kill -9`, a run would
count as running for ever. `deploy/dagster.yaml` names this launcher instead.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from dagster import DagsterEventType, DagsterRun
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus

_PROC = Path("/proc")
_STARTED = "Started process for run"
# A process's start is told in ticks and a run's event in seconds of two clocks.
_CLOCKS_DIFFER_SECONDS = 5.0


class WatchedRunLauncher(DefaultRunLauncher):
    """Dagster's launcher, which run monitoring can ask for a run's process."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Say that the next method answers."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Return whether the process of a run that has started is there."""
        started = _started_process(self, run)
        if started is None:
            # A run counts as started a moment after it has told its process.
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        number, since = started
        if _is_alive(number, since):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(
            WorkerStatus.FAILED, f"the run's process {number} has ended without a word"
        )


def _started_process(launcher: DefaultRunLauncher, run: DagsterRun) -> tuple[int, float] | None:
    """Return number and time of the run's process, from the event in which it tells them."""
    events = launcher._instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT)
    for entry in reversed(events):
        event = entry.get_dagster_event()
        # Other events tell the processes of single steps.
        if (event.message or "").startswith(_STARTED):
            number = event.engine_event_data.metadata["pid"].value
            return int(str(number)), entry.timestamp
    return None


def _is_alive(number: int, since: float) -> bool:
    """Return whether a process runs that is not younger than the event that names it."""
    if not _PROC.is_dir():
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True
    try:
        fields = (_PROC / str(number) / "stat").read_text().rpartition(")")[2].split()
        up_seconds = float((_PROC / "uptime").read_text().split()[0])
    except OSError:
        return False
    began = time.time() - up_seconds + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return fields[0] not in ("Z", "X") and began <= since + _CLOCKS_DIFFER_SECONDS
