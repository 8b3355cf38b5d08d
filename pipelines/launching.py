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

from foundation.processes import is_running, moment_of

# Number and moment of the run's process, noted when it is first seen.
PROCESS_TAG = "quarterdeck/process"
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
        """Return whether the process of a run that has started is there.

        The run tells its process's number and the time. The first look, some
        seconds later, notes the kernel's own name of that process; from then
        on no clock counts, which somebody may set while the run works.
        """
        number, _, moment = run.tags.get(PROCESS_TAG, "").partition(" ")
        if not moment:
            started = _started_process(self, run)
            if started is None:
                # A run counts as started a moment after it has told its process.
                return CheckRunHealthResult(WorkerStatus.RUNNING)
            number, moment = str(started[0]), _moment_before(*started)
            if moment:
                self._instance.add_run_tags(run.run_id, {PROCESS_TAG: f"{number} {moment}"})
        if moment and is_running(int(number), moment):
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


def _moment_before(number: int, since: float) -> str:
    """Return the moment of a process that is not younger than a time; empty without one."""
    if not _PROC.is_dir():
        return "-"
    moment = moment_of(number)
    if moment is None:
        return ""
    up_seconds = float((_PROC / "uptime").read_text().split()[0])
    seconds_after_boot = int(moment.rpartition(".")[2]) / os.sysconf("SC_CLK_TCK")
    began = time.time() - up_seconds + seconds_after_boot
    return moment if began <= since + _CLOCKS_DIFFER_SECONDS else ""
