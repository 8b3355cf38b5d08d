"""Runs and steps on Celery's workers, with the configuration in `deploy/` and nothing else.

The broker is Redis, the record and Dagster's own storage are PostgreSQL, the bars are in a bucket:
what several machines would share. The results are those of one process on a data home of its own.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from sqlalchemy import Engine, make_url, text

from foundation.database import make_engine
from foundation.home import CHECKOUT
from foundation.kernel_cache import kernel_hash
from foundation.migration import migrate
from foundation.objects import ObjectPath
from market_data.sample_set import load_sample
from market_data.store import Store, open_store
from pipelines.instance import prepare_dagster
from strategies.requests import (
    Request,
    RequestStatus,
    cancel_request,
    get_request,
    retry_request,
)
from tests.distributed_environment import distributed_programs, end, redis_server, running
from tests.local_s3 import make_bucket, s3_server

N_SECONDS_TO_END = 900
QUARTERDECK = Path(sys.executable).with_name("quarterdeck")
OPTIONS = ("examples/macd_trend.yaml", "--symbol", "AAPL", "--start", "2012-01-03")


@dataclass
class Machines:
    """What the machines share, and how a program is started on one of them."""

    home: Path
    dagster_home: Path
    environment: dict[str, str]
    programs: Path
    engine: Engine

    def log(self, name: str) -> Path:
        return self.home.parent / f"{name}.log"

    def worker(self, name: str = "worker"):
        """Start a worker as `docs/operating.md` says."""
        return running(
            [self.programs / "dagster-celery", "worker", "start", "-A", "dagster_celery.app",
             "-y", "deploy/celery/worker.yaml"],
            self.log(name),
            self.environment,
        )  # fmt: skip

    def daemon(self):
        return running(
            [self.programs / "python", "-m", "dagster._daemon", "run", "-w", "workspace.yaml"],
            self.log("daemon"),
            self.environment,
        )

    def logs(self) -> str:
        return "\n".join(
            f"--- {path.name}\n{path.read_text()[-3000:]}"
            for path in self.home.parent.glob("*.log")
        )


@pytest.fixture
def machines(home: Path, tmp_path: Path, postgres_url: str, monkeypatch) -> Iterator[Machines]:
    programs = distributed_programs()
    (home / "kernels").mkdir()
    (home / "kernels" / kernel_hash()).symlink_to(os.environ["NUMBA_CACHE_DIR"])
    dagster_home = home / "dagster"
    dagster_home.mkdir()
    shutil.copy(CHECKOUT / "deploy" / "celery" / "dagster.yaml", dagster_home)
    dagster_url = second_database(postgres_url)
    with redis_server(tmp_path) as redis, s3_server():
        # The server is this process's: what a test before left in a bucket is still there.
        bucket = f"quarterdeck-{secrets.token_hex(6)}"
        make_bucket(bucket)
        monkeypatch.setenv("QUARTERDECK_STORE_URL", f"s3://{bucket}/firm")
        monkeypatch.setenv("QUARTERDECK_DATABASE_URL", postgres_url)
        load_sample(open_store(home))
        engine = make_engine(postgres_url)
        migrate(engine)
        environment = {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "DAGSTER_HOME": str(dagster_home),
            "DAGSTER_POSTGRES_URL": dagster_url,
            "DAGSTER_GRPC_TIMEOUT_SECONDS": "300",
            "DAGSTER_DISABLE_TELEMETRY": "yes",
            "QUARTERDECK_CELERY_BROKER": f"{redis}/0",
            "QUARTERDECK_CELERY_BACKEND": f"{redis}/1",
        }
        yield Machines(home, dagster_home, environment, programs, engine)
        engine.dispose()


def second_database(url: str) -> str:
    """Make another database on the server for Dagster's own tables, which drops with the server."""
    named = make_url(url)
    name = f"{named.database}_dagster"
    admin = make_engine(named.render_as_string(hide_password=False))
    with admin.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    admin.dispose()
    plain = named.set(drivername="postgresql+psycopg2", database=name)
    return plain.render_as_string(hide_password=False)


def ask(*arguments: str) -> int:
    done = subprocess.run(
        [QUARTERDECK, "requests", "add", *arguments, "--json"],
        cwd=CHECKOUT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout)["request_id"])


def wait_until(machines: Machines, request_id: int, is_so: Callable[[Request], bool]) -> Request:
    give_up = time.monotonic() + N_SECONDS_TO_END
    while time.monotonic() < give_up:
        found = get_request(machines.engine, request_id)
        if is_so(found):
            return found
        time.sleep(0.2)
    pytest.fail(f"request {request_id} is still {found.status}: {found.error}\n{machines.logs()}")


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def undisturbed(tmp_path: Path, monkeypatch) -> Callable[[], dict[str, bytes]]:
    """Return a function that gives the files of the same backtest in one process, from a folder."""

    def run() -> dict[str, bytes]:
        alone = tmp_path / "alone"
        (alone / "kernels").mkdir(parents=True)
        (alone / "kernels" / kernel_hash()).symlink_to(os.environ["NUMBA_CACHE_DIR"])
        load_sample(Store(alone))
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("QUARTERDECK_STORE_URL", "QUARTERDECK_DATABASE_URL")
        }
        subprocess.run(
            [QUARTERDECK, "backtest", *OPTIONS], cwd=CHECKOUT, check=True, capture_output=True,
            env=environment | {"QUARTERDECK_HOME": str(alone)}, timeout=600,
        )  # fmt: skip
        (folder,) = alone.glob("results/macd-trend/*")
        return files_of(folder)

    return run


def test_requests_run_on_a_worker_with_bars_in_a_bucket_and_give_the_files_of_one_process(
    machines: Machines, undisturbed
):
    request_id = ask(*OPTIONS)
    with machines.worker(), machines.daemon():
        done = wait_until(machines, request_id, lambda request: request.finished_at is not None)
    assert done.status is RequestStatus.SUCCEEDED, f"{done.error}\n{machines.logs()}"
    assert "Task execute_job[" in machines.log("worker").read_text()
    stored = list(ObjectPath.of(os.environ["QUARTERDECK_STORE_URL"]).glob("bars/*/*/series.json"))
    assert len(stored) == 5
    assert not (machines.home / "bars").exists()
    there = files_of(Path(done.result_directory))
    assert len(there) > 10
    assert there == undisturbed()


@pytest.fixture
def long_sweep(tmp_path: Path) -> tuple[str, ...]:
    """Give a request that takes minutes: an example with a parameter in finer steps."""
    text = (CHECKOUT / "examples" / "macd_trend.yaml").read_text("utf-8")
    path = tmp_path / "long.yaml"
    path.write_text(text.replace("high: 35, step: 5", "high: 35, step: 0.01"))
    return (str(path), "--what", "sweep", "--random", "60000")


def process_of_run(log: Path) -> int:
    """Return the process that works on the latest run, as the worker's log tells it."""
    told = re.findall(r"Executing steps in process \(pid: (\d+)\)", log.read_text())
    return int(told[-1])


def test_a_run_whose_process_or_worker_dies_is_tried_again_and_a_cancelled_one_is_interrupted(
    machines: Machines, long_sweep: tuple[str, ...]
):
    request_id = ask(*long_sweep, "--attempts", "9")

    def working(attempt: int) -> Callable[[Request], bool]:
        return lambda request: request.attempts == attempt and request.dagster_run_id is not None

    def waiting(request: Request) -> bool:
        return request.status is RequestStatus.QUEUED

    with machines.daemon():
        with machines.worker("first") as worker:
            wait_until(machines, request_id, working(1))
            # The run's process alone, as the memory ceiling and the kernel kill it.
            os.kill(process_of_run(machines.log("first")), signal.SIGKILL)
            failed = wait_until(machines, request_id, waiting)
            assert failed.error == "its Celery task is FAILURE"
            # The same worker takes the next try; then its whole machine goes down.
            retry_request(machines.engine, request_id)
            wait_until(machines, request_id, working(2))
            end(worker, signal.SIGKILL)
        failed = wait_until(machines, request_id, waiting)
        assert re.fullmatch(
            r"the worker dagster-\w+@\S+ has not answered for 60 s", failed.error
        ), failed.error
        with machines.worker("second"):
            retry_request(machines.engine, request_id)
            wait_until(machines, request_id, working(3))
            process = process_of_run(machines.log("second"))
            cancel_request(machines.engine, request_id)
            ended = wait_until(
                machines, request_id, lambda request: request.finished_at is not None
            )
            assert ended.status is RequestStatus.CANCELLED, machines.logs()
            give_up = time.monotonic() + N_SECONDS_TO_END
            while Path(f"/proc/{process}").exists() and time.monotonic() < give_up:
                time.sleep(0.2)
            assert not Path(f"/proc/{process}").exists(), machines.logs()
    assert not list(machines.home.glob("sweeps/**/*.parquet"))


def test_steps_on_a_worker_give_the_files_of_one_process(
    machines: Machines, undisturbed, monkeypatch, tmp_path
):
    # The run itself is here, on Dagster's own storage; only its steps are the worker's.
    shutil.copy(CHECKOUT / "deploy" / "dagster.yaml", machines.dagster_home)
    prepare_dagster(machines.home)
    config = tmp_path / "config.yaml"
    options = {"strategy": OPTIONS[0], "symbols": ["AAPL"], "start": OPTIONS[4]}
    config.write_text(yaml.safe_dump({"ops": {"run_backtest": {"config": options}}}))
    monkeypatch.setenv("QUARTERDECK_EXECUTOR", "celery")
    with machines.worker():
        done = subprocess.run(
            [machines.programs / "python", "-m", "dagster", "job", "execute", "-m",
             "pipelines.definitions", "-a", "definitions", "-j", "backtest", "-c", config],
            cwd=CHECKOUT, env=os.environ | machines.environment, capture_output=True, text=True,
            timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, f"{done.stderr[-3000:]}\n{machines.logs()}"
        taken = machines.log("worker").read_text().count("Task execute_plan[")
    # The backtest and its report.
    assert taken >= 2
    (folder,) = machines.home.glob("results/macd-trend/*")
    there = files_of(folder)
    assert len(there) > 10
    assert there == undisturbed()
