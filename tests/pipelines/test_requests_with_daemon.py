"""Requests carried out by Dagster's daemon, as `make up` runs it, with real processes killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from dagster import DagsterInstance
from sqlalchemy import update

from foundation.clock import SystemClock
from foundation.database import make_engine, run_write
from foundation.home import CHECKOUT
from foundation.kernel_cache import kernel_hash
from foundation.migration import migrate
from foundation.settings import load_settings
from market_data.sample_set import load_sample
from market_data.store import Store
from pipelines.instance import dagster_environment, prepare_dagster
from strategies.requests import Request, RequestStatus, backtest_request, get_request

N_SECONDS_TO_END = 900
QUARTERDECK = Path(sys.executable).with_name("quarterdeck")


class Daemon:
    """Dagster's daemon on a data home, which can be killed with all that it started."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.home / "daemon.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dagster._daemon", "run", "-w", "workspace.yaml"],
                cwd=CHECKOUT,
                env=os.environ | dagster_environment(self.home),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def end(self, number: signal.Signals) -> None:
        """Signal the daemon, its code server and the runs: all are of one session."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.end(signal.SIGKILL)


@pytest.fixture
def daemon(home: Path) -> Iterator[Daemon]:
    # Compiled anew, the kernels would cost each run minutes.
    (home / "kernels").mkdir()
    (home / "kernels" / kernel_hash()).symlink_to(os.environ["NUMBA_CACHE_DIR"])
    load_sample(Store(home))
    prepare_dagster(home)
    found = Daemon(home)
    yield found
    if found.process is not None:
        found.end(signal.SIGTERM)


@pytest.fixture
def engine(home: Path):
    found = make_engine(load_settings().database_url)
    migrate(found)
    yield found
    found.dispose()


def quarterdeck(*arguments: str) -> str:
    done = subprocess.run(
        [str(QUARTERDECK), *arguments], cwd=CHECKOUT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def ask(*arguments: str) -> int:
    import json

    return json.loads(quarterdeck("requests", "add", *arguments, "--json"))["request_id"]


def wait_until(engine, request_id: int, is_so: Callable[[Request], bool]) -> Request:
    give_up = time.monotonic() + N_SECONDS_TO_END
    while time.monotonic() < give_up:
        found = get_request(engine, request_id)
        if is_so(found):
            return found
        time.sleep(0.2)
    pytest.fail(f"request {request_id} is still {found.status}: {found.error}")


def has_ended(request: Request) -> bool:
    return request.finished_at is not None


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def process_of(home: Path, request: Request) -> int:
    with DagsterInstance.from_config(str(home / "dagster")) as instance:
        for entry in instance.all_logs(request.dagster_run_id):
            message = entry.dagster_event.message if entry.dagster_event else ""
            if (message or "").startswith("Started process for run"):
                return int(message.partition("pid: ")[2].rstrip(")."))
    raise AssertionError("the run has not told its process")


def try_again_now(engine, request_id: int) -> None:
    """Spare the test the delay before the next attempt."""
    run_write(
        engine,
        lambda connection: connection.execute(
            update(backtest_request)
            .where(backtest_request.c.request_id == request_id)
            .values(next_attempt_at=SystemClock().now() - timedelta(seconds=1))
        ),
    )


@pytest.fixture
def long_sweep(tmp_path: Path) -> tuple[str, ...]:
    """Give a request that takes minutes: an example with a parameter in finer steps."""
    text = (CHECKOUT / "examples" / "macd_trend.yaml").read_text("utf-8")
    path = tmp_path / "long.yaml"
    path.write_text(text.replace("high: 35, step: 5", "high: 35, step: 0.01"))
    return (str(path), "--what", "sweep", "--random", "30000")


def test_requests_are_run_in_their_turn_each_within_its_memory_and_like_the_command(
    daemon: Daemon, home: Path, engine, monkeypatch
):
    monkeypatch.setenv("QUARTERDECK_REQUESTS_RUNNING_MAX", "1")
    options = ("examples/macd_trend.yaml", "--symbol", "AAPL", "--set", "fast=10")
    low = ask(*options, "--start", "2010-01-04", "--priority", "-1")
    greedy = ask("examples/donchian_breakout.yaml", "--memory", "256MiB")
    high = ask(*options, "--priority", "5")
    daemon.start()
    ended = {name: wait_until(engine, name, has_ended) for name in (low, greedy, high)}
    assert ended[high].started_at < ended[greedy].started_at < ended[low].started_at
    assert (ended[high].status, ended[low].status) == ("succeeded", "succeeded")
    assert ended[greedy].status == "failed"
    assert ended[greedy].error.startswith(
        "the run went over its memory ceiling of 256 MiB: its peak was "
    )
    assert ended[greedy].attempts == 1

    directory = Path(ended[high].result_directory)
    by_request = files_of(directory)
    quarterdeck("backtest", *options)
    assert files_of(directory) == by_request
    assert directory.name == ended[high].run_id


def test_a_cancelled_run_stops_and_one_that_was_killed_runs_again(
    daemon: Daemon, home: Path, engine, long_sweep: tuple[str, ...]
):
    daemon.start()
    sweep = ask(*long_sweep)
    waiting = ask(*long_sweep, "--seed", "1")
    begun = wait_until(engine, sweep, lambda request: request.dagster_run_id is not None)
    quarterdeck("requests", "cancel", str(waiting))
    quarterdeck("requests", "cancel", str(sweep))
    for request_id in (sweep, waiting):
        assert wait_until(engine, request_id, has_ended).status is RequestStatus.CANCELLED
    assert get_request(engine, waiting).dagster_run_id is None
    assert begun.dagster_run_id is not None
    assert not list(home.glob("sweeps/**/*.parquet"))
    assert not list(home.glob("**/*.partial"))

    # The run's process alone is killed: its code server tells, or the monitor, whoever looks first.
    killed = ask(*long_sweep, "--seed", "2")
    begun = wait_until(engine, killed, lambda request: request.dagster_run_id is not None)
    process = process_of(home, begun)
    os.kill(process, signal.SIGKILL)
    failed = wait_until(engine, killed, lambda request: request.status is RequestStatus.QUEUED)
    assert failed.error is not None
    assert (
        "was terminated by signal 9 (SIGKILL)" in failed.error
        or failed.error == f"the run's process {process} has ended without a word"
    )
    assert failed.attempts == 1
    try_again_now(engine, killed)

    # Now everything is killed, as by a power cut, and started again.
    begun = wait_until(
        engine,
        killed,
        lambda request: request.attempts == 2 and request.dagster_run_id is not None,
    )
    process = process_of(home, begun)
    daemon.end(signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
    daemon.start()
    failed = wait_until(engine, killed, lambda request: request.status is RequestStatus.QUEUED)
    assert failed.error == f"the run's process {process} has ended without a word"
    quarterdeck("requests", "cancel", str(killed))
    assert get_request(engine, killed).status is RequestStatus.CANCELLED
