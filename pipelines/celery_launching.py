"""Starting runs as tasks of Celery's workers, with an eye on whether they still live.

Dagster's own launcher believes what the results' store says of a task. That
stays as it was when a worker dies with its machine, and a run would count as
running for ever. `deploy/celery/dagster.yaml` names this launcher instead.
Needs the package dagster-celery, so nothing else imports this module.
"""

from __future__ import annotations

import time

from celery.result import AsyncResult
from dagster import DagsterRun
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

# How long a worker has to answer, and for how long none may come before it counts as dead.
_N_SECONDS_TO_ANSWER = 5.0
N_SECONDS_OF_SILENCE = 60.0
_STARTED, _DONE = "STARTED", "SUCCESS"
# Dagster interrupts a step that gets this one; Celery's own choice would kill the process.
_INTERRUPT = "SIGINT"


class WatchedCeleryRunLauncher(CeleryRunLauncher):
    """Dagster's launcher for Celery, which asks the worker itself whether it is at a run."""

    _silent_since: dict[str, float]

    def terminate(self, run_id: str) -> bool:
        """Stop a run: one that waits for a worker never starts, one that works is interrupted."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        task = self._task_of(run)
        if task is None or task.state != _STARTED:
            # Whichever worker takes the task up finds the run cancelled and leaves it.
            self._instance.report_run_canceled(run)
        if task is not None:
            task.revoke(terminate=True, signal=_INTERRUPT)
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Return whether a worker is at the run.

        Dagster asks only of runs that have begun and not ended, and looks at
        the run once more before it acts on the answer.
        """
        task = self._task_of(run)
        if task is None:
            # The run's first event may come before the launcher has noted its task.
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        state, info = task.state, task.info
        if state == _DONE:
            # A task that a second worker got finds the run begun and leaves it alone.
            return _failed("its Celery task has ended and the run has not")
        if state != _STARTED or not isinstance(info, dict):
            return _failed(f"its Celery task is {state}")
        worker = str(info.get("hostname", ""))
        told = self.celery.control.inspect(
            destination=[worker], timeout=_N_SECONDS_TO_ANSWER
        ).active()
        if told is None or worker not in told:
            return self._silence(run, worker)
        self._silences().pop(run.run_id, None)
        # What a task has become is stored before the worker forgets it.
        if any(active["id"] == task.id for active in told[worker]) or task.state != _STARTED:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return _failed(f"the worker {worker} is no longer at its Celery task")

    def _silence(self, run: DagsterRun, worker: str) -> CheckRunHealthResult:
        """Count a worker as dead once it has not answered for long: its machine may be busy."""
        since = self._silences().setdefault(run.run_id, time.monotonic())
        if time.monotonic() - since < N_SECONDS_OF_SILENCE:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return _failed(f"the worker {worker} has not answered for {N_SECONDS_OF_SILENCE:.0f} s")

    def _silences(self) -> dict[str, float]:
        """Return since when the workers of which runs say nothing, by this process's clock."""
        if not hasattr(self, "_silent_since"):
            self._silent_since = {}
        return self._silent_since

    def _task_of(self, run: DagsterRun) -> AsyncResult | None:
        task_id = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        return None if task_id is None else self.celery.AsyncResult(task_id)


def _failed(why: str) -> CheckRunHealthResult:
    return CheckRunHealthResult(WorkerStatus.FAILED, why)
