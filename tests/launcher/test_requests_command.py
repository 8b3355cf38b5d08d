"""`quarterdeck requests`: what is asked for, listed, shown, cancelled and asked for again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

import launcher.requests as command_module
from foundation.database import make_engine
from foundation.home import CHECKOUT
from foundation.migration import migrate
from foundation.settings import load_settings
from strategies.requests import (
    RequestStatus,
    Work,
    begin_request,
    claim_requests,
    fail_request,
    get_request,
    list_requests,
    succeed_request,
)
from tests.launcher.conftest import Run

MACD = "examples/macd_trend.yaml"


@pytest.fixture
def engine(home: Path):
    found = make_engine(load_settings().database_url)
    migrate(found)
    yield found
    found.dispose()


@pytest.fixture
def ask(run: Run, monkeypatch) -> Callable[..., int]:
    """Return a function that adds a request by command and gives its number."""
    monkeypatch.chdir(CHECKOUT)

    def add(*arguments: str) -> int:
        answer = run("requests", "add", *(arguments or (MACD,)), "--json")
        assert answer.code == 0, answer.err
        return int(json.loads(answer.out)["request_id"])

    return add


def claim(engine: Engine, request_id: int) -> None:
    (found,) = claim_requests(engine, limit=100)
    assert found.request_id == request_id
    begin_request(engine, request_id, attempt=found.attempts, dagster_run_id="d1")


def fail(engine: Engine, request_id: int, error: str, *, worth: bool) -> None:
    claim(engine, request_id)
    attempt = get_request(engine, request_id).attempts
    fail_request(engine, request_id, attempt=attempt, error=error, worth_another_try=worth)


def succeed(engine: Engine, request_id: int) -> None:
    claim(engine, request_id)
    succeed_request(
        engine, request_id, attempt=1, dagster_run_id="d1", run_id="0123456789ab",
        result_directory="/results/macd-trend/0123456789ab",
    )  # fmt: skip


def rows(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def test_a_request_is_stored_with_every_option_as_given(run: Run, ask, engine, tmp_path, home):
    number = ask(
        MACD, "--symbol", "AAPL", "--symbol", "MSFT", "--start", "2010-01-04", "--end",
        "2012-12-31", "--cash", "5000", "--set", "fast=10", "--no-warmup", "--priority", "7",
        "--memory", "2GiB", "--attempts", "5", "--key", "monday", "--out", str(tmp_path / "here"),
    )  # fmt: skip
    stored = get_request(engine, number)
    assert stored.options == {
        "bars": "store", "symbols": ["AAPL", "MSFT"], "start": "2010-01-04", "end": "2012-12-31",
        "cash": 5000.0, "warmup": False, "calendar": "", "timezone": "",
        "output": str(tmp_path / "here"), "parameters": {"fast": 10.0},
    }  # fmt: skip
    assert (stored.what, stored.strategy, stored.priority) == (Work.BACKTEST, "macd-trend", 7)
    assert (stored.memory_bytes_max, stored.attempts_max) == (2 * 2**30, 5)
    assert (stored.idempotency_key, stored.status) == ("monday", RequestStatus.QUEUED)


def test_a_sweep_is_stored_with_its_ranges(ask, engine):
    number = ask(MACD, "--what", "sweep", "--set", "fast=6:18:4", "--random", "10", "--seed", "3")
    stored = get_request(engine, number)
    assert stored.what is Work.SWEEP
    assert stored.options["values"] == {"fast": "6:18:4"}
    assert (stored.options["random"], stored.options["seed"]) == (10, 3)
    assert "parameters" not in stored.options


def test_a_stored_version_is_asked_for_by_its_hash(ask, engine):
    version = get_request(engine, ask()).version_hash
    assert get_request(engine, ask(version[:8])).version_hash == version


def test_an_edit_of_the_file_changes_nothing_that_was_asked_for(ask, engine, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text((CHECKOUT / MACD).read_text("utf-8"))
    first = get_request(engine, ask(str(path)))
    path.write_text(path.read_text().replace("macd-trend", "other"))
    second = get_request(engine, ask(str(path)))
    assert (first.strategy, second.strategy) == ("macd-trend", "other")
    assert get_request(engine, first.request_id) == first


def test_asking_twice_with_one_key_asks_once(run: Run, ask, engine):
    first = ask(MACD, "--key", "monday")
    assert ask(MACD, "--key", "monday") == first
    assert len(list_requests(engine)) == 1
    other = run("requests", "add", MACD, "--key", "monday", "--cash", "1")
    assert other.code == 1
    assert other.error == (
        f"the key 'monday' belongs to request {first}, which asks for something else"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("none.yaml",), 1, "strategy: no file 'none.yaml', and no digits of a version's hash"),
        (("0123456789",), 1, "no strategy version '0123456789' is stored"),
        ((MACD, "--bars", "none.csv"), 1, "--bars: no file of bars and no data home at none.csv"),
        ((MACD, "--set", "fsat=10"), 1, "unknown parameter `fsat`"),
        ((MACD, "--set", "fast=1000"), 1, "fast"),
        ((MACD, "--what", "sweep", "--set", "fast=5:5000:5"), 1, "fast"),
        ((MACD, "--memory", "1MiB"), 1, "memory_bytes_max: must be at least 268,435,456 bytes"),
        ((MACD, "--memory", "much"), 2, "'much' is not a size such as 2GiB"),
        ((MACD, "--start", "yesterday"), 2, "'yesterday' is not a date such as 2012-01-31"),
        ((MACD, "--start", "2012-02-01", "--end", "2012-01-31"), 2, "is after --end 2012-01-31"),
        ((MACD, "--cash", "0"), 2, "must be above 0, got 0"),
        ((MACD, "--cash", "nan"), 2, "must be above 0, got nan"),
        ((MACD, "--random", "5"), 2, "only a sweep draws sets"),
        ((MACD, "--priority", "1001"), 2, "--priority"),
        ((MACD, "--attempts", "0"), 2, "--attempts"),
    ],
)
def test_what_the_run_would_refuse_is_refused_when_it_is_asked_for(
    run: Run, monkeypatch, engine, arguments, code, message
):
    monkeypatch.chdir(CHECKOUT)
    refused = run("requests", "add", *arguments)
    assert refused.code == code
    assert message in " ".join(refused.err.split())
    assert list_requests(engine) == []


def test_the_list_shows_what_runs_then_what_waits_then_what_has_ended(run: Run, ask, engine):
    done = ask(MACD, "--symbol", "AAPL")
    succeed(engine, done)
    failed = ask(MACD)
    fail(engine, failed, "no bars of NONE are stored", worth=False)
    waits = ask(MACD)
    fail(engine, waits, "its process was killed", worth=True)
    works = ask(MACD, "--priority", "9")
    claim(engine, works)
    new = ask(MACD, "--what", "sweep", "--priority", "-3")

    shown = rows(run("requests", "list").out)
    assert [int(line.split()[0]) for line in shown if line[0].isdigit()] == [
        works, waits, new, failed, done,
    ]  # fmt: skip
    text = "\n".join(shown)
    assert "9 running 1 of 3" in text
    assert "waiting for try 2 at" in text
    assert "its process was killed" in text
    assert "sweep macd-trend" in text
    assert "-3 queued 0 of 3" in text
    assert "failed 1 of 3" in text
    assert "AAPL 0 succeeded 1 of 3" in text
    assert "0123456789ab" in text


def test_the_list_can_be_cut_and_read_by_a_program(run: Run, ask, engine):
    assert run("requests", "list").out == "no request is on record\n"
    assert json.loads(run("requests", "list", "--json").out) == []
    first = ask()
    fail(engine, first, "it died", worth=False)
    numbers = [first, ask(), ask()]
    found = json.loads(run("requests", "list", "--status", "queued", "--json").out)
    assert [one["request_id"] for one in found] == numbers[1:]
    assert len(json.loads(run("requests", "list", "--limit", "1", "--json").out)) == 1
    assert run("requests", "list", "--limit", "0").code == 2
    (one,) = json.loads(run("requests", "list", "--status", "failed", "--json").out)
    assert (one["status"], one["error"], one["what"]) == ("failed", "it died", "backtest")
    assert one["requested_at"].endswith("+00:00")


def test_one_request_is_shown_with_its_options_and_its_whole_error(run: Run, ask, engine):
    number = ask(MACD, "--symbol", "AAPL", "--memory", "1GiB")
    shown = "\n".join(rows(run("requests", "show", str(number)).out))
    assert f"request {number}" in shown
    assert "status queued" in shown
    assert "backtest of macd-trend, version " in shown
    assert "options bars store; cash 100,000; symbols AAPL\n" in shown
    assert "memory ceiling 1,024 MiB" in shown
    assert "Dagster run" not in shown
    error = "the run went over its memory ceiling of 1,024 MiB: " + "x" * 100
    fail(engine, number, error, worth=False)
    answer = json.loads(run("requests", "show", str(number), "--json").out)
    assert (answer["status"], answer["error"]) == ("failed", error)
    assert "x" * 40 in run("requests", "show", str(number)).out


def test_a_claimed_request_is_starting_until_its_run_has_taken_it(run: Run, ask, engine):
    number = ask()
    claim_requests(engine, limit=1)
    assert "status starting" in "\n".join(rows(run("requests", "show", str(number)).out))
    begin_request(engine, number, attempt=1, dagster_run_id="d1")
    assert "status running" in "\n".join(rows(run("requests", "show", str(number)).out))


def test_a_waiting_request_is_cancelled_at_once_and_a_running_one_is_being_stopped(
    run: Run, ask, engine
):
    works = ask()
    claim(engine, works)
    waits = ask()
    for number, state in ((waits, "cancelled"), (works, "being stopped")):
        answer = run("requests", "cancel", str(number))
        assert (answer.code, f"status {state}" in "\n".join(rows(answer.out))) == (0, True)
    assert get_request(engine, works).status is RequestStatus.RUNNING
    # Again changes nothing.
    assert run("requests", "cancel", str(waits)).code == 0


def test_what_has_ended_is_not_cancelled_and_what_succeeded_not_asked_for_again(
    run: Run, ask, engine
):
    number = ask()
    succeed(engine, number)
    cancelled = run("requests", "cancel", str(number))
    assert (cancelled.code, cancelled.error) == (
        1, "a request that is succeeded does not take cancelled; it takes nothing more",
    )  # fmt: skip
    again = run("requests", "retry", str(number))
    assert (again.code, again.error) == (
        1, "a request that is succeeded does not take asked again; it takes nothing more",
    )  # fmt: skip


def test_a_failed_request_is_asked_for_again(run: Run, ask, engine):
    number = ask()
    fail(engine, number, "no bars of NONE are stored", worth=False)
    answer = json.loads(run("requests", "retry", str(number), "--json").out)
    assert (answer["status"], answer["attempts"], answer["finished_at"]) == ("queued", 1, None)
    claim(engine, number)


@pytest.mark.parametrize("verb", ["show", "cancel", "retry"])
def test_a_number_that_is_not_there_is_named(run: Run, verb):
    answer = run("requests", verb, "12")
    assert (answer.code, answer.error) == (1, "there is no request 12")
    assert run("requests", verb, "twelve").code == 2


def test_waiting_follows_a_request_to_its_end(run: Run, ask, engine, monkeypatch):
    number = ask()
    ends = iter([lambda: claim(engine, number), lambda: _end(engine, number)])
    monkeypatch.setattr(command_module.time, "sleep", lambda _: next(ends)())
    answer = run("requests", "show", str(number), "--wait")
    assert answer.code == 0
    assert answer.err.splitlines() == [
        f"request {number} is queued", f"request {number} is running",
    ]  # fmt: skip
    assert "/results/macd-trend/0123456789ab" in answer.out


def _end(engine: Engine, number: int) -> None:
    succeed_request(
        engine, number, attempt=1, dagster_run_id="d1", run_id="0123456789ab",
        result_directory="/results/macd-trend/0123456789ab",
    )  # fmt: skip


def test_waiting_for_what_comes_to_nothing_ends_with_its_error(run: Run, ask, engine):
    number = ask()
    fail(engine, number, "no bars of NONE are stored", worth=False)
    answer = run("requests", "show", str(number), "--wait")
    assert answer.code == 1
    assert answer.error == f"request {number} is failed: no bars of NONE are stored"


def test_whoever_waits_long_is_told_that_nothing_may_be_running(run: Run, ask, engine, monkeypatch):
    number = ask()
    moments = iter(range(0, 1000, 20))
    monkeypatch.setattr(command_module.time, "monotonic", lambda: float(next(moments)))
    looks = iter([None, None, None, lambda: succeed(engine, number)])

    def wait(_: float) -> None:
        act = next(looks)
        if act is not None:
            act()

    monkeypatch.setattr(command_module.time, "sleep", wait)
    answer = run("requests", "show", str(number), "--wait")
    assert answer.err.count("nothing has taken it yet: does `quarterdeck up` run?") == 1
