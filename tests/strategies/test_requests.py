"""Requests wait, are claimed once, and end in one way."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from foundation.clock import FixedClock
from foundation.errors import DataError, NotPermitted, SpecError
from strategies.requests import (
    TRANSITIONS,
    NewRequest,
    RequestStatus,
    RequestTrigger,
    Work,
    begin_request,
    cancel_request,
    claim_requests,
    end_cancelled,
    fail_request,
    get_request,
    list_requests,
    next_status,
    release_request,
    request_work,
    retry_delay,
    retry_request,
    succeed_request,
)
from strategies.versions import save_version

NOON = datetime(2024, 3, 8, 12, 0, tzinfo=UTC)
DOCUMENT = b'{"entry":{"when":"rsi(close, 14) < 30"},"name":"dip"}'


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOON)


@pytest.fixture
def version(engine: Engine) -> str:
    return save_version(engine, name="dip", document=DOCUMENT, author="").version_hash


@pytest.fixture
def ask(engine, version, clock):
    """Return a function that stores a request and gives its number."""

    def request(**changes) -> int:
        values = {"what": Work.BACKTEST, "version_hash": version, "options": {"cash": 5000.0}}
        return request_work(engine, NewRequest(**(values | changes)), clock=clock).request_id

    return request


def claimed(engine, clock, limit=100):
    return [request.request_id for request in claim_requests(engine, limit=limit, clock=clock)]


def test_these_are_the_ways_from_state_to_state() -> None:
    ways = {status: {t for s, t in TRANSITIONS if s is status} for status in RequestStatus}
    assert ways == {
        RequestStatus.QUEUED: {
            RequestTrigger.CLAIMED, RequestTrigger.CANCELLED, RequestTrigger.ASKED_AGAIN,
        },
        RequestStatus.RUNNING: set(RequestTrigger)
        - {RequestTrigger.CLAIMED, RequestTrigger.ASKED_AGAIN},
        RequestStatus.SUCCEEDED: set(),
        # Only a person brings these back.
        RequestStatus.FAILED: {RequestTrigger.ASKED_AGAIN},
        RequestStatus.CANCELLED: {RequestTrigger.ASKED_AGAIN},
    }  # fmt: skip
    with pytest.raises(NotPermitted, match="succeeded does not take claimed; it takes nothing"):
        next_status(RequestStatus.SUCCEEDED, RequestTrigger.CLAIMED)
    with pytest.raises(NotPermitted, match="failed does not take claimed; it takes asked again"):
        next_status(RequestStatus.FAILED, RequestTrigger.CLAIMED)


def test_a_request_is_stored_as_asked_for(engine, version, clock) -> None:
    options = {"symbols": ["AAPL"], "parameters": {"rsi_length": 10.0}}
    new = NewRequest(
        what=Work.SWEEP, version_hash=version, options=options, priority=7,
        memory_bytes_max=2**30, attempts_max=5, requested_by="ann",
    )  # fmt: skip
    stored = request_work(engine, new, clock=clock)
    assert stored == get_request(engine, stored.request_id)
    assert (stored.what, stored.strategy, stored.options) == (Work.SWEEP, "dip", options)
    assert (stored.priority, stored.memory_bytes_max, stored.attempts_max) == (7, 2**30, 5)
    assert (stored.status, stored.attempts, stored.requested_by) == ("queued", 0, "ann")
    assert stored.requested_at == stored.next_attempt_at == NOON
    assert (stored.started_at, stored.finished_at, stored.error) == (None, None, None)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"priority": 1001}, "priority: must be -1000 to 1000, got 1001"),
        ({"attempts_max": 0}, "attempts_max: must be at least 1, got 0"),
        ({"memory_bytes_max": 1000}, "memory_bytes_max: must be at least 268,435,456 bytes"),
        ({"idempotency_key": ""}, "idempotency_key: must not be empty"),
    ],
)
def test_numbers_out_of_bounds_are_refused(ask, changes, fault) -> None:
    with pytest.raises(SpecError, match=fault):
        ask(**changes)


def test_a_version_that_is_not_stored_is_refused(ask) -> None:
    with pytest.raises(DataError, match=f"no strategy version '{'0' * 64}' is stored"):
        ask(version_hash="0" * 64)


def test_asking_twice_with_one_key_asks_once(engine, ask, version) -> None:
    first = ask(idempotency_key="monday")
    assert ask(idempotency_key="monday") == first
    assert len(list_requests(engine)) == 1
    with pytest.raises(DataError, match=f"belongs to request {first}, which asks for something"):
        ask(idempotency_key="monday", options={"cash": 1.0})


def test_eight_who_ask_with_one_key_at_once_ask_once(engine, ask) -> None:
    with ThreadPoolExecutor(8) as pool:
        asked = set(pool.map(lambda _: ask(idempotency_key="monday"), range(8)))
    assert len(asked) == 1
    assert len(list_requests(engine)) == 1


def test_highest_priority_goes_first_then_the_oldest(engine, ask, clock) -> None:
    old = ask()
    clock.advance(timedelta(seconds=1))
    low, high, young = ask(priority=-1), ask(priority=5), ask()
    assert claimed(engine, clock) == [high, old, young, low]


def test_no_more_are_claimed_than_may_run(engine, ask, clock) -> None:
    first, second, third = ask(), ask(), ask()
    assert claimed(engine, clock, limit=2) == [first, second]
    assert claimed(engine, clock, limit=2) == []
    succeed(engine, first)
    assert claimed(engine, clock, limit=2) == [third]


def test_eight_claimants_at_once_claim_each_request_once_and_keep_the_limit(
    engine, ask, clock
) -> None:
    asked = {ask() for _ in range(20)}
    with ThreadPoolExecutor(8) as pool:
        lists = list(pool.map(lambda _: claimed(engine, clock, limit=15), range(8)))
    taken = [request_id for found in lists for request_id in found]
    assert len(taken) == len(set(taken)) == 15
    assert set(taken) < asked


def succeed(engine, request_id, attempt=1):
    return succeed_request(
        engine, request_id, attempt=attempt, dagster_run_id="d1", run_id="0123456789ab",
        result_directory="/results/dip",
    )  # fmt: skip


def test_a_run_takes_its_request_and_no_other_run_does(engine, ask, clock) -> None:
    request_id = ask()
    with pytest.raises(NotPermitted, match="is queued and not to be run"):
        begin_request(engine, request_id, attempt=1, dagster_run_id="d1")
    claimed(engine, clock)
    begin_request(engine, request_id, attempt=1, dagster_run_id="d1")
    # A step in another process of the same run.
    assert begin_request(engine, request_id, attempt=1, dagster_run_id="d1").dagster_run_id == "d1"
    with pytest.raises(NotPermitted, match="is run by attempt 1, Dagster run d1, and not to be"):
        begin_request(engine, request_id, attempt=1, dagster_run_id="d2")
    with pytest.raises(NotPermitted, match="not to be run twice"):
        begin_request(engine, request_id, attempt=2, dagster_run_id="d1")


def test_eight_runs_at_once_for_one_request_are_one(engine, ask, clock) -> None:
    request_id = ask()
    claimed(engine, clock)

    def begin(name: int) -> bool:
        try:
            begin_request(engine, request_id, attempt=1, dagster_run_id=str(name))
        except NotPermitted:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(begin, range(8))) == 1


def test_success_keeps_what_came_of_it(engine, ask, clock) -> None:
    request_id = ask()
    claimed(engine, clock)
    done = succeed(engine, request_id)
    assert (done.status, done.run_id) == (RequestStatus.SUCCEEDED, "0123456789ab")
    assert done.result_directory == "/results/dip"
    # Whoever tells the end a second time, such as a sensor that was started again.
    assert fail_request(
        engine, request_id, attempt=1, error="late", worth_another_try=True
    ) == done  # fmt: skip


def test_a_failure_worth_it_is_tried_again_after_delays_that_double(engine, ask, clock) -> None:
    request_id = ask()
    for attempt, seconds in ((1, 30), (2, 60)):
        assert claimed(engine, clock) == [request_id]
        failed = fail_request(
            engine, request_id, attempt=attempt, error="the process died\nand more",
            worth_another_try=True, clock=clock,
        )  # fmt: skip
        assert (failed.status, failed.error) == (RequestStatus.QUEUED, "the process died")
        assert failed.next_attempt_at == clock.now() + timedelta(seconds=seconds)
        clock.advance(timedelta(seconds=seconds - 1))
        assert claimed(engine, clock) == []
        clock.advance(timedelta(seconds=1))
    assert claimed(engine, clock) == [request_id]
    last = fail_request(
        engine, request_id, attempt=3, error="again", worth_another_try=True, clock=clock
    )
    assert (last.status, last.attempts, last.error) == (RequestStatus.FAILED, 3, "again")
    assert last.finished_at == clock.now()


def test_the_delay_is_never_more_than_an_hour() -> None:
    assert retry_delay(7) == timedelta(minutes=32)
    assert retry_delay(8) == retry_delay(10_000) == timedelta(hours=1)


def test_a_failure_that_trying_can_not_help_is_final(engine, ask, clock) -> None:
    request_id = ask()
    claimed(engine, clock)
    failed = fail_request(
        engine, request_id, attempt=1, error="wrong document", worth_another_try=False
    )
    assert (failed.status, failed.attempts) == (RequestStatus.FAILED, 1)
    assert claimed(engine, clock) == []


def test_news_of_an_attempt_before_change_nothing(engine, ask, clock) -> None:
    request_id = ask()
    claimed(engine, clock)
    fail_request(engine, request_id, attempt=1, error="died", worth_another_try=True, clock=clock)
    clock.advance(timedelta(minutes=1))
    claimed(engine, clock)
    assert succeed(engine, request_id, attempt=1).status is RequestStatus.RUNNING
    assert end_cancelled(engine, request_id, attempt=1).status is RequestStatus.RUNNING


def test_a_cancelled_request_that_waits_is_never_claimed(engine, ask, clock) -> None:
    request_id = ask()
    cancelled = cancel_request(engine, request_id, clock=clock)
    assert cancelled.status is RequestStatus.CANCELLED
    assert cancelled.finished_at == cancelled.cancel_requested_at == NOON
    assert claimed(engine, clock) == []
    assert cancel_request(engine, request_id) == cancelled


def test_a_running_request_is_cancelled_once_its_run_has_ended(engine, ask, clock) -> None:
    request_id = ask()
    claimed(engine, clock)
    asked = cancel_request(engine, request_id, clock=clock)
    assert (asked.status, asked.cancel_requested_at) == (RequestStatus.RUNNING, NOON)
    with pytest.raises(NotPermitted, match="is being cancelled and not to be run"):
        begin_request(engine, request_id, attempt=1, dagster_run_id="d1")
    ended = end_cancelled(engine, request_id, attempt=1, clock=clock)
    assert ended.status is RequestStatus.CANCELLED


def test_a_cancelled_request_is_not_tried_again(engine, ask, clock) -> None:
    request_id = ask()
    claimed(engine, clock)
    cancel_request(engine, request_id, clock=clock)
    ended = fail_request(
        engine, request_id, attempt=1, error="killed", worth_another_try=True, clock=clock
    )
    assert (ended.status, ended.error) == (RequestStatus.CANCELLED, "killed")


def test_what_has_ended_can_not_be_cancelled(engine, ask, clock) -> None:
    request_id = ask()
    claimed(engine, clock)
    succeed(engine, request_id)
    with pytest.raises(NotPermitted, match="a request that is succeeded does not take cancelled"):
        cancel_request(engine, request_id)


def test_a_claim_that_started_nothing_is_given_back_and_does_not_count(engine, ask, clock) -> None:
    request_id = ask()
    claimed(engine, clock)
    released = release_request(engine, request_id, attempt=1)
    assert (released.status, released.attempts) == (RequestStatus.QUEUED, 0)
    assert claimed(engine, clock) == [request_id]
    begin_request(engine, request_id, attempt=1, dagster_run_id="d1")
    assert release_request(engine, request_id, attempt=1).status is RequestStatus.RUNNING


def fail(engine, request_id, clock, attempt=1, worth_another_try=True):
    return fail_request(
        engine, request_id, attempt=attempt, error="it died",
        worth_another_try=worth_another_try, clock=clock,
    )  # fmt: skip


def test_a_failed_request_is_asked_for_again_with_the_tries_it_has_left(engine, ask, clock) -> None:
    request_id = ask()
    claimed(engine, clock)
    fail(engine, request_id, clock, worth_another_try=False)
    clock.advance(timedelta(hours=1))
    again = retry_request(engine, request_id, clock=clock)
    assert (again.status, again.attempts, again.attempts_max) == (RequestStatus.QUEUED, 1, 3)
    assert (again.finished_at, again.error) == (None, "it died")
    # It keeps its place by age, before one that was asked for later.
    ask()
    (first, _) = claim_requests(engine, limit=2, clock=clock)
    # Another number than before, by which Dagster knows another run.
    assert (first.request_id, first.attempts) == (request_id, 2)


def test_a_request_without_tries_left_gets_one_more(engine, ask, clock) -> None:
    request_id = ask(attempts_max=1)
    claimed(engine, clock)
    assert fail(engine, request_id, clock).status is RequestStatus.FAILED
    again = retry_request(engine, request_id, clock=clock)
    assert (again.attempts, again.attempts_max) == (1, 2)
    assert claimed(engine, clock) == [request_id]
    assert fail(engine, request_id, clock, attempt=2).status is RequestStatus.FAILED


def test_a_cancelled_request_that_is_asked_for_again_runs(engine, ask, clock) -> None:
    request_id = ask()
    claimed(engine, clock)
    cancel_request(engine, request_id, clock=clock)
    end_cancelled(engine, request_id, attempt=1, clock=clock)
    again = retry_request(engine, request_id, clock=clock)
    assert (again.status, again.cancel_requested_at, again.finished_at) == ("queued", None, None)
    assert claimed(engine, clock) == [request_id]
    begin_request(engine, request_id, attempt=2, dagster_run_id="d2")
    assert succeed(engine, request_id, attempt=2).status is RequestStatus.SUCCEEDED


def test_asking_again_spares_a_waiting_request_its_delay(engine, ask, clock) -> None:
    request_id = ask()
    claimed(engine, clock)
    fail(engine, request_id, clock)
    assert claimed(engine, clock) == []
    assert retry_request(engine, request_id, clock=clock).next_attempt_at == NOON
    assert claimed(engine, clock) == [request_id]


def test_what_runs_or_has_succeeded_is_not_asked_for_again(engine, ask, clock) -> None:
    request_id = ask()
    claimed(engine, clock)
    with pytest.raises(NotPermitted, match="a request that is running does not take asked again"):
        retry_request(engine, request_id)
    succeed(engine, request_id)
    with pytest.raises(NotPermitted, match="that is succeeded does not take asked again; it takes"):
        retry_request(engine, request_id)


def test_a_cancelled_claim_that_started_nothing_ends_as_cancelled(engine, ask, clock) -> None:
    request_id = ask()
    claimed(engine, clock)
    cancel_request(engine, request_id, clock=clock)
    ended = release_request(engine, request_id, attempt=1, clock=clock)
    assert (ended.status, ended.finished_at) == (RequestStatus.CANCELLED, NOON)


def test_a_request_that_waits_for_its_next_try_leaves_its_place_to_others(
    engine, ask, clock
) -> None:
    first, second = ask(priority=9), ask()
    assert claimed(engine, clock, limit=1) == [first]
    fail(engine, first, clock)
    # Highest priority, but its delay is not over: the next one has the place.
    assert claimed(engine, clock, limit=1) == [second]
    clock.advance(timedelta(seconds=30))
    assert claimed(engine, clock, limit=1) == []
    succeed(engine, second)
    assert claimed(engine, clock, limit=1) == [first]


def test_requests_are_listed_as_they_will_go_then_as_they_ended(engine, ask, clock) -> None:
    first, second = ask(), ask()
    claimed(engine, clock)
    clock.advance(timedelta(seconds=1))
    succeed_request(
        engine, first, attempt=1, dagster_run_id="d", run_id="r", result_directory="x", clock=clock
    )
    low, high = ask(), ask(priority=3)
    clock.advance(timedelta(seconds=1))
    gone = ask()
    cancel_request(engine, gone, clock=clock)
    listed = [request.request_id for request in list_requests(engine)]
    assert listed == [second, high, low, gone, first]
    assert [r.request_id for r in list_requests(engine, status=RequestStatus.QUEUED)] == [high, low]
    assert len(list_requests(engine, limit=2)) == 2


def test_a_number_that_is_not_there_is_named(engine) -> None:
    for act in (get_request, cancel_request, retry_request):
        with pytest.raises(DataError, match="there is no request 12"):
            act(engine, 12)
