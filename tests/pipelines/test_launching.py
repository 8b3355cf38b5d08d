"""Whether the process of a run still lives, as run monitoring asks the launcher."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from dagster import DagsterRunStatus
from dagster._core.events import EngineEventData
from dagster._core.launcher import WorkerStatus

import pipelines.launching
from pipelines.definitions import definitions
from pipelines.launching import PROCESS_TAG, WatchedRunLauncher


@pytest.fixture
def process():
    found = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield found
    found.kill()
    found.wait()


@pytest.fixture
def launcher(instance):
    found = WatchedRunLauncher()
    found.register_instance(instance)
    return found


@pytest.fixture
def run(instance):
    """Give a run that has started and not yet told its process."""
    job = definitions.resolve_job_def("check")
    return instance.create_run_for_job(job, status=DagsterRunStatus.STARTED)


def tell_process(instance, run, number):
    """Report what a run's process reports first."""
    instance.report_engine_event(
        f"Started process for run (pid: {number}).", run, EngineEventData.in_process(number)
    )


def look(instance, launcher, run):
    result = launcher.check_run_worker_health(instance.get_run_by_id(run.run_id))
    return result.status, result.msg


def test_a_run_that_has_not_told_its_process_yet_counts_as_alive(instance, launcher, run):
    instance.report_engine_event("Executing steps in process", run, EngineEventData.in_process(1))
    assert look(instance, launcher, run) == (WorkerStatus.RUNNING, None)
    assert launcher.supports_check_run_worker_health


def test_a_run_lives_as_long_as_its_process(instance, launcher, run, process):
    tell_process(instance, run, process.pid)
    # A step in a process of its own, which ended, is another matter.
    instance.report_engine_event("Step done", run, EngineEventData.in_process(2**22 + 1))
    assert look(instance, launcher, run) == (WorkerStatus.RUNNING, None)
    assert look(instance, launcher, run) == (WorkerStatus.RUNNING, None)
    process.kill()
    # Dead though its parent has not asked yet how it ended.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    ended = (WorkerStatus.FAILED, f"the run's process {process.pid} has ended without a word")
    assert look(instance, launcher, run) == ended
    process.wait()
    assert look(instance, launcher, run) == ended


def test_a_run_whose_process_was_never_seen_alive_is_dead(instance, launcher, run, process):
    tell_process(instance, run, process.pid)
    process.kill()
    process.wait()
    assert look(instance, launcher, run)[0] is WorkerStatus.FAILED


def test_a_younger_process_with_the_same_number_is_not_taken_for_it(
    instance, launcher, run, process, monkeypatch
):
    tell_process(instance, run, process.pid)
    # Seen from a minute later on the clock, the process began a minute after the event.
    now = time.time
    monkeypatch.setattr(pipelines.launching.time, "time", lambda: now() + 60.0)
    assert look(instance, launcher, run)[0] is WorkerStatus.FAILED


def test_a_clock_that_is_set_while_a_run_works_does_not_kill_it(
    instance, launcher, run, process, monkeypatch
):
    tell_process(instance, run, process.pid)
    assert look(instance, launcher, run)[0] is WorkerStatus.RUNNING
    number, moment = instance.get_run_by_id(run.run_id).tags[PROCESS_TAG].split(" ")
    assert (int(number), "." in moment) == (process.pid, True)
    now = time.time
    monkeypatch.setattr(pipelines.launching.time, "time", lambda: now() + 3600.0)
    # Also for a daemon that was started again since.
    again = WatchedRunLauncher()
    again.register_instance(instance)
    for one in (launcher, again):
        assert look(instance, one, run) == (WorkerStatus.RUNNING, None)
