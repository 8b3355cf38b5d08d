"""Requests become runs, and what became of the runs is brought back to the requests."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from datetime import UTC, datetime, timedelta

import pytest
from dagster import (
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
    SkipReason,
    build_sensor_context,
    validate_run_config,
)
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus

from assets.requests import ATTEMPT_TAG, MEMORY_TAG, REQUEST_TAG, ceiling_of
from foundation.clock import FixedClock
from foundation.errors import SpecError
from foundation.home import CHECKOUT
from foundation.log_file import append_line
from foundation.settings import load_settings
from market_data.sample_set import load_sample
from market_data.store import Store
from pipelines.definitions import definitions
from pipelines.requests import JOB_OF, bring_back, claim_runs, ending_of, run_of
from pipelines.sensors import requested_backtests
from strategies.requests import (
    NewRequest,
    RequestStatus,
    Work,
    cancel_request,
    get_request,
    request_work,
    retry_request,
)
from strategies.versions import save_version
from trading.document import canonical, load_document

NOON = datetime(2024, 3, 8, 12, 0, tzinfo=UTC)
DOCUMENT = load_document(CHECKOUT / "examples" / "macd_trend.yaml")


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOON)


@pytest.fixture
def engine(home, sqlite_engine, monkeypatch):
    """Give the record that the job's own resource opens too."""
    monkeypatch.setenv("QUARTERDECK_DATABASE_URL", sqlite_engine.url.render_as_string())
    return sqlite_engine


@pytest.fixture
def ask(engine, clock):
    """Return a function that stores a request for a stored version and gives its number."""

    def request(what=Work.BACKTEST, options=None, **changes) -> int:
        version = save_version(
            engine, name=DOCUMENT.name, document=canonical(DOCUMENT), author=""
        ).version_hash
        new = NewRequest(what=what, version_hash=version, options=options or {}, **changes)
        return request_work(engine, new, clock=clock).request_id

    return request


@pytest.fixture
def look(instance, engine, home, clock):
    """Return a function that brings back what became of the runs."""
    return lambda: bring_back(instance, engine, home=home, clock=clock)


def start(instance: DagsterInstance, run_request, status=DagsterRunStatus.STARTED):
    """Make the run that Dagster's daemon makes of a request for one."""
    job = definitions.resolve_job_def(run_request.job_name)
    return instance.create_run_for_job(
        job, run_config=run_request.run_config, tags=run_request.tags, status=status
    )


def test_each_kind_of_work_has_a_job_that_takes_its_options(ask, engine, clock):
    for what in Work:
        ask(what)
    for run_request in claim_runs(engine, running_max=10, clock=clock):
        job = definitions.resolve_job_def(run_request.job_name)
        validate_run_config(job, run_request.run_config)
    assert {JOB_OF[what].name for what in Work} == {"backtest", "sweep"}


def test_a_run_has_its_requests_options_priority_and_memory(ask, engine, clock):
    request_id = ask(options={"cash": 5000.0}, priority=7, memory_bytes_max=2**30)
    (found,) = claim_runs(engine, running_max=1, clock=clock)
    version = get_request(engine, request_id).version_hash
    assert found.run_config == {
        "ops": {"run_backtest": {"config": {"strategy": version, "cash": 5000.0}}}
    }
    assert found.run_key == f"request {request_id}, attempt 1"
    assert found.tags["dagster/priority"] == "7"
    assert found.tags[MEMORY_TAG] == "1073741824"
    assert "dagster-k8s/config" not in found.tags
    # A pod also holds mapped files and libraries: half a gigabyte more.
    pod = run_of(get_request(engine, request_id), in_pods=True)
    resources = json.loads(pod.tags["dagster-k8s/config"])["container_config"]["resources"]
    assert resources == {
        "requests": {"memory": "1610612736"}, "limits": {"memory": "1610612736"},
    }  # fmt: skip


def test_a_second_attempt_has_another_key(ask, engine, clock):
    request = get_request(engine, ask())
    keys = {run_of(dataclasses.replace(request, attempts=n)).run_key for n in (1, 2)}
    assert len(keys) == 2


def test_the_sensor_starts_what_is_asked_for_once(ask, engine, instance, settings):
    request_id = ask()
    context = build_sensor_context(instance, resources={"settings": settings, "database": engine})
    with context:
        first = requested_backtests(context)
        assert [run.tags[REQUEST_TAG] for run in first.run_requests] == [str(request_id)]
        assert isinstance(requested_backtests(context), SkipReason)


def test_two_sensors_never_start_one_request(ask, engine, clock):
    ask()
    assert len(claim_runs(engine, running_max=4, clock=clock)) == 1
    assert claim_runs(engine, running_max=4, clock=clock) == []


@pytest.fixture
def run_in_process(instance, engine, home, clock):
    """Return a function that claims the next request and runs it in this process."""

    def run():
        (run_request,) = claim_runs(engine, running_max=1, clock=clock)
        job = definitions.resolve_job_def(run_request.job_name)
        return job.execute_in_process(
            run_request.run_config, tags=run_request.tags, instance=instance, raise_on_error=False
        )

    return run


def test_a_requested_backtest_brings_back_its_run_and_folder(
    ask, engine, home, run_in_process, look
):
    load_sample(Store(home))
    request_id = ask(options={"symbols": ["AAPL"], "start": "2012-01-03"})
    assert run_in_process().success
    assert look() == [f"request {request_id} is succeeded"]
    done = get_request(engine, request_id)
    assert done.result_directory == str(home / "results" / "macd-trend" / done.run_id)
    summary = json.loads(
        (home / "results" / "macd-trend" / done.run_id / "summary.json").read_text()
    )
    assert (summary["run_id"], summary["version_hash"]) == (done.run_id, done.version_hash)


def test_what_a_person_must_mend_is_not_tried_again(ask, engine, home, run_in_process, look):
    load_sample(Store(home))
    request_id = ask(options={"symbols": ["NONE"]})
    assert not run_in_process().success
    look()
    failed = get_request(engine, request_id)
    assert (failed.status, failed.attempts) == (RequestStatus.FAILED, 1)
    assert "NONE" in failed.error
    assert "\n" not in failed.error


def test_a_run_whose_request_was_cancelled_does_nothing(ask, engine, home, instance, clock):
    request_id = ask()
    (run_request,) = claim_runs(engine, running_max=1, clock=clock)
    cancel_request(engine, request_id, clock=clock)
    done = definitions.resolve_job_def("backtest").execute_in_process(
        run_request.run_config, tags=run_request.tags, instance=instance, raise_on_error=False
    )
    assert not done.success
    failure = next(e for e in done.all_events if e.event_type_value == "STEP_FAILURE")
    assert "is being cancelled and not to be run" in failure.step_failure_data.error_display_string
    assert not (home / "results").exists()


def test_a_run_that_died_is_tried_again_later(ask, engine, instance, clock, look):
    request_id = ask()
    run = start(instance, claim_runs(engine, running_max=1, clock=clock)[0])
    instance.report_run_failed(run, "the run's process 4711 has ended without a word")
    assert look() == [
        f"request {request_id} is queued: the run's process 4711 has ended without a word"
    ]
    waiting = get_request(engine, request_id)
    assert waiting.next_attempt_at == NOON + timedelta(seconds=30)


def test_what_run_monitoring_found_is_told_in_the_launchers_own_words(
    ask, engine, instance, clock, look
):
    request_id = ask()
    run = start(instance, claim_runs(engine, running_max=1, clock=clock)[0])
    # As `dagster._daemon.monitoring` writes it.
    result = CheckRunHealthResult(WorkerStatus.FAILED, "its Celery task is FAILURE")
    message = f"Detected run worker status {result}. Marking run {run.run_id} as failed.\nNone"
    instance.report_run_failed(run, message)
    assert look() == [f"request {request_id} is queued: its Celery task is FAILURE"]


def test_a_run_that_can_not_be_stopped_keeps_no_other_request_waiting(
    ask, engine, instance, clock, look, monkeypatch
):
    stuck, done = ask(), ask()
    runs = [start(instance, one) for one in claim_runs(engine, running_max=2, clock=clock)]
    cancel_request(engine, stuck, clock=clock)
    instance.report_run_failed(runs[1], "it died")

    def refuse(run_id):
        raise ConnectionError("the cluster\ndoes not answer")

    monkeypatch.setattr(instance.run_coordinator, "cancel_run", refuse)
    assert look() == [
        f"request {stuck} can't be followed: ConnectionError: the cluster does not answer",
        f"request {done} is queued: it died",
    ]
    monkeypatch.undo()
    assert get_request(engine, stuck).status is RequestStatus.RUNNING


def test_a_failed_request_that_is_asked_for_again_gets_a_run_of_its_own(
    ask, engine, instance, clock, look
):
    request_id = ask()
    (first,) = claim_runs(engine, running_max=1, clock=clock)
    run = start(instance, first)
    append = {"dagster_run_id": run.run_id, "error": "MemoryCeilingReached", "message": "too much"}
    append_line(load_settings().home, append)
    instance.report_run_failed(run, "it was terminated by signal 9")
    assert look() == [f"request {request_id} is failed: too much"]
    retry_request(engine, request_id, clock=clock)
    (second,) = claim_runs(engine, running_max=1, clock=clock)
    assert (second.run_key, second.tags[ATTEMPT_TAG]) == (f"request {request_id}, attempt 2", "2")
    # The run that failed before says nothing of this try.
    assert look() == []


def test_a_run_killed_for_its_memory_is_not_tried_again(ask, engine, instance, clock, look, home):
    request_id = ask()
    run = start(instance, claim_runs(engine, running_max=1, clock=clock)[0])
    message = "the run went over its memory ceiling of 256 MiB: its peak was 300 MiB"
    line = {"dagster_run_id": run.run_id, "error": "MemoryCeilingReached", "message": message}
    append_line(home, line)
    instance.report_run_failed(run, "it was terminated by signal 9")
    assert look() == [f"request {request_id} is failed: {message}"]


def test_a_claim_whose_run_was_never_made_is_given_back_after_a_while(ask, engine, clock, look):
    request_id = ask()
    claim_runs(engine, running_max=1, clock=clock)
    clock.advance(timedelta(seconds=119))
    assert look() == []
    clock.advance(timedelta(seconds=1))
    assert look() == [f"request {request_id} is queued"]
    assert get_request(engine, request_id).attempts == 0


def test_a_run_that_someone_deleted_is_tried_again(ask, engine, instance, clock, look):
    from strategies.requests import begin_request

    request_id = ask()
    run = start(instance, claim_runs(engine, running_max=1, clock=clock)[0])
    begin_request(engine, request_id, attempt=1, dagster_run_id=run.run_id)
    instance.delete_run(run.run_id)
    assert look() == [f"request {request_id} is queued: its Dagster run {run.run_id} is gone"]


def test_a_run_stopped_in_dagsters_pages_cancels_its_request(ask, engine, instance, clock, look):
    request_id = ask()
    run = start(instance, claim_runs(engine, running_max=1, clock=clock)[0])
    instance.report_run_canceling(run)
    assert look() == []
    instance.report_run_canceled(run)
    assert look() == [f"request {request_id} is cancelled"]


def test_news_come_once_whoever_asks_and_however_often(ask, instance, engine, clock, look):
    ask()
    run = start(instance, claim_runs(engine, running_max=1, clock=clock)[0])
    instance.report_run_failed(run, "it died")
    assert len(look()) == 1
    assert look() == []


def test_the_machines_stop_is_worth_another_try_and_a_defect_is_not(instance, home):
    from dagster import DagsterExecutionInterruptedError, job, op

    for error, worth in ((DagsterExecutionInterruptedError(), True), (KeyError("x"), False)):

        @op
        def fail(error=error):
            raise error

        @job
        def failing():
            fail()

        with contextlib.suppress(DagsterExecutionInterruptedError):
            failing.execute_in_process(instance=instance, raise_on_error=False)
        run = instance.get_runs(limit=1)[0]
        assert instance.all_logs(run.run_id, of_type=DagsterEventType.STEP_FAILURE)
        assert ending_of(instance, run, home).worth_another_try is worth


def test_a_ceiling_comes_from_the_tag_or_else_from_the_settings():
    assert ceiling_of({}, None) is None
    assert ceiling_of({}, 2**30) == 2**30
    assert ceiling_of({MEMORY_TAG: str(2**31)}, 2**30) == 2**31
    for text in ("much", "1000", "-1"):
        with pytest.raises(SpecError, match=f"must be a number of bytes, at least .*got '{text}'"):
            ceiling_of({MEMORY_TAG: text}, None)


def test_tags_of_a_request_are_those_that_its_run_reads(ask, engine, clock):
    request_id = ask()
    (found,) = claim_runs(engine, running_max=1, clock=clock)
    assert (found.tags[REQUEST_TAG], found.tags[ATTEMPT_TAG]) == (str(request_id), "1")
