"""Requests in the database and runs in Dagster, brought together.

Owns what a request becomes as a run, how the end of a run is told to its
request, and what is done about a run that vanished. Whose turn it is is
decided in `strategies.requests`, within the database.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from dagster import (
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    RunRequest,
    RunsFilter,
)
from sqlalchemy import Engine

from assets.requests import ATTEMPT_TAG, MEMORY_TAG, REQUEST_TAG, WORK_TAG
from assets.running import RUN_ID_TAG, STRATEGY_TAG, WORTH_ANOTHER_TRY
from foundation.clock import Clock
from foundation.log_file import read_log
from foundation.memory import MemoryCeilingReached
from strategies.requests import (
    Request,
    RequestStatus,
    Work,
    claim_requests,
    end_cancelled,
    fail_request,
    list_requests,
    release_request,
    succeed_request,
)

PRIORITY_TAG = "dagster/priority"
KUBERNETES_TAG = "dagster-k8s/config"
# Between a claim and its run there is one call to Dagster's storage; a minute is a slow one.
CLAIM_LASTS = timedelta(minutes=2)
# Far beyond what any setting lets run at once.
N_RUNNING_MOST = 100_000
# What Kubernetes counts beyond private memory: mapped files, compiled kernels, libraries.
POD_BYTES_BEYOND = 512 * 2**20
# A step that was stopped from outside: the machine went down, or its process died.
_STOPPED = ("DagsterExecutionInterruptedError", "ChildProcessCrashException", "KeyboardInterrupt")
_CRASHED = ("unexpectedly exited", "was terminated by signal", "Detected run worker status")
# How run monitoring wraps what a launcher found out.
_FOUND_DEAD = re.compile(r"Detected run worker status \w+: '(.+)'\. Marking run")


@dataclass(frozen=True, slots=True)
class Job:
    """Which job does a kind of work, and which of its steps takes the options."""

    name: str
    step: str
    asset: str


JOB_OF = {
    Work.BACKTEST: Job("backtest", "run_backtest", "backtest"),
    Work.SWEEP: Job("sweep", "run_sweep", "sweep"),
}


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run failed."""

    error: str
    worth_another_try: bool


def run_of(request: Request, *, in_pods: bool = False) -> RunRequest:
    """Return the run that carries a claimed request out.

    The same request and attempt have the same key, of which Dagster makes one
    run however often it is asked.

    Parameters
    ----------
    request : Request
    in_pods : bool
        Whether Kubernetes runs it, which is then told of its memory.
    """
    job = JOB_OF[request.what]
    options = {"strategy": request.version_hash, **request.options}
    tags = {
        REQUEST_TAG: str(request.request_id),
        ATTEMPT_TAG: str(request.attempts),
        WORK_TAG: request.what.value,
        STRATEGY_TAG: request.strategy,
        PRIORITY_TAG: str(request.priority),
    }
    if request.memory_bytes_max is not None:
        tags[MEMORY_TAG] = str(request.memory_bytes_max)
        if in_pods:
            tags[KUBERNETES_TAG] = json.dumps(pod_memory(request.memory_bytes_max))
    return RunRequest(
        run_key=f"request {request.request_id}, attempt {request.attempts}",
        job_name=job.name,
        run_config={"ops": {job.step: {"config": options}}},
        tags=tags,
    )


def pod_memory(bytes_max: int) -> dict[str, Any]:
    """Return what Kubernetes is told of a run's memory."""
    size = str(bytes_max + POD_BYTES_BEYOND)
    return {
        "container_config": {
            "resources": {"requests": {"memory": size}, "limits": {"memory": size}}
        }
    }


def claim_runs(
    engine: Engine, *, running_max: int, clock: Clock, in_pods: bool = False
) -> list[RunRequest]:
    """Claim the requests whose turn it is, and return their runs, first one first."""
    claimed = claim_requests(engine, limit=running_max, clock=clock)
    return [run_of(request, in_pods=in_pods) for request in claimed]


def runs_in_pods(instance: DagsterInstance) -> bool:
    """Return whether an instance's runs are started on Kubernetes."""
    return type(instance.run_launcher).__module__.startswith("dagster_k8s")


def bring_back(instance: DagsterInstance, engine: Engine, *, home: Path, clock: Clock) -> list[str]:
    """Tell each running request what became of its run.

    Looks at the state of things and not at events, so it doesn't matter how
    often it is called, by how many, or what happened while nobody called it.

    Returns
    -------
    list of str
        What changed, a line for each request; and which could not be looked
        at, such as when a cluster doesn't answer.
    """
    told = []
    for request in list_requests(engine, status=RequestStatus.RUNNING, limit=N_RUNNING_MOST):
        try:
            ended = _follow(instance, engine, request, home, clock)
        except Exception as fault:  # noqa: BLE001 - a launcher's own, of a cluster or a broker
            # Told, and looked at again the next time; the other requests don't wait for it.
            told.append(f"request {request.request_id} can't be followed: {_in_one_line(fault)}")
            continue
        if ended is not None and ended.status is not RequestStatus.RUNNING:
            error = f": {ended.error}" if ended.error else ""
            told.append(f"request {ended.request_id} is {ended.status.value}{error}")
    return told


def _in_one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _follow(
    instance: DagsterInstance, engine: Engine, request: Request, home: Path, clock: Clock
) -> Request | None:
    attempt = request.attempts
    run = run_for(instance, request)
    if run is None:
        return _without_run(engine, request, clock)
    if run.status is DagsterRunStatus.SUCCESS:
        return _succeed(instance, engine, request, run, clock)
    if run.status is DagsterRunStatus.FAILURE:
        ending = ending_of(instance, run, home)
        return fail_request(
            engine,
            request.request_id,
            attempt=attempt,
            error=ending.error,
            worth_another_try=ending.worth_another_try,
            dagster_run_id=run.run_id,
            clock=clock,
        )
    if run.status is DagsterRunStatus.CANCELED:
        return end_cancelled(engine, request.request_id, attempt=attempt, clock=clock)
    if request.cancel_requested_at is not None and run.status is not DagsterRunStatus.CANCELING:
        # Takes a waiting run out of Dagster's queue, and interrupts one that works.
        instance.run_coordinator.cancel_run(run.run_id)
        stopped = instance.get_run_by_id(run.run_id)
        if stopped is not None and stopped.status is DagsterRunStatus.CANCELED:
            return end_cancelled(engine, request.request_id, attempt=attempt, clock=clock)
    return None


def run_for(instance: DagsterInstance, request: Request) -> DagsterRun | None:
    """Return the Dagster run of a request's attempt, None when there is none."""
    tags = {REQUEST_TAG: str(request.request_id), ATTEMPT_TAG: str(request.attempts)}
    runs = instance.get_runs(RunsFilter(tags=tags))
    # Of two, which only a restart at the wrong moment makes, one has taken the request.
    taken = [run for run in runs if run.run_id == request.dagster_run_id]
    return next(iter(taken or runs), None)


def _without_run(engine: Engine, request: Request, clock: Clock) -> Request | None:
    if request.dagster_run_id is not None:
        return fail_request(
            engine,
            request.request_id,
            attempt=request.attempts,
            error=f"its Dagster run {request.dagster_run_id} is gone",
            worth_another_try=True,
            clock=clock,
        )
    assert request.started_at is not None
    if clock.now() - request.started_at < CLAIM_LASTS:
        return None
    return release_request(engine, request.request_id, attempt=request.attempts, clock=clock)


def _succeed(
    instance: DagsterInstance, engine: Engine, request: Request, run: DagsterRun, clock: Clock
) -> Request:
    asset = JOB_OF[request.what].asset
    folders = [
        str(event.metadata["Folder"].value)
        for event in _materializations(instance, run)
        if event.asset_key.to_user_string() == asset
    ]
    run_id = run.tags.get(RUN_ID_TAG)
    if run_id is None or not folders:
        return fail_request(
            engine,
            request.request_id,
            attempt=request.attempts,
            error=f"its Dagster run {run.run_id} succeeded without a result",
            worth_another_try=False,
            dagster_run_id=run.run_id,
            clock=clock,
        )
    return succeed_request(
        engine,
        request.request_id,
        attempt=request.attempts,
        dagster_run_id=run.run_id,
        run_id=run_id,
        result_directory=folders[-1],
        clock=clock,
    )


def _materializations(instance: DagsterInstance, run: DagsterRun) -> Iterator[Any]:
    for entry in instance.all_logs(run.run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION):
        if entry.asset_materialization is not None:
            yield entry.asset_materialization


def ending_of(instance: DagsterInstance, run: DagsterRun, home: Path) -> Ending:
    """Return why a run failed, in one line, and whether the same may go well another time.

    An error that was raised on purpose says so itself: a wrong document stays
    wrong, a locked database doesn't stay locked. A run over its memory ceiling
    would need as much again: a person has to raise the ceiling. A defect is
    the same each time. A process that died, or that a machine's stop took
    along, is worth another try.
    """
    killed = _killed_for_memory(home, run)
    if killed:
        return Ending(killed, worth_another_try=False)
    for entry in instance.all_logs(run.run_id, of_type=DagsterEventType.STEP_FAILURE):
        failure = entry.get_dagster_event().step_failure_data
        told = failure.user_failure_data
        if told is not None:
            worth = told.metadata.get(WORTH_ANOTHER_TRY)
            return Ending(told.description or "it failed", bool(worth and worth.value))
        error = failure.error
        while error is not None and error.cause is not None:
            error = error.cause
        name = error.cls_name if error is not None else ""
        if error is not None and name == MemoryCeilingReached.__name__:
            return Ending(error.message.partition(": ")[2].strip(), worth_another_try=False)
        return Ending(failure.error_display_string.strip(), name in _STOPPED)
    return Ending(_last_words(instance, run), worth_another_try=True)


def _last_words(instance: DagsterInstance, run: DagsterRun) -> str:
    """Return what Dagster says of a run that failed without a step that did."""
    said = [
        entry.get_dagster_event().message or ""
        for entry in instance.all_logs(
            run.run_id,
            of_type={
                DagsterEventType.ENGINE_EVENT,
                DagsterEventType.RUN_FAILURE,
            },
        )
    ]
    crashed = [message for message in said if any(word in message for word in _CRASHED)]
    words = " ".join(next((m for m in [*crashed, *reversed(said)] if m), "").split())
    found_dead = _FOUND_DEAD.search(words)
    if found_dead is not None:
        return found_dead[1]
    # Who says it and what one might do about memory are Dagster's own additions.
    return words.removeprefix("[DagsterApiServer] ").partition(" This usually indicates")[0]


def _killed_for_memory(home: Path, run: DagsterRun) -> str:
    """Return what the log of work says of a run that was killed for its memory."""
    return next(
        (
            str(line["message"])
            for line in read_log(home)
            if line.get("dagster_run_id") == run.run_id
            and line.get("error") == MemoryCeilingReached.__name__
        ),
        "",
    )
