"""Runs and steps on Celery's workers, with the configuration in `deploy/` and nothing else.

The broker is Redis, the record and Dagster's own storage are PostgreSQL, the bars are in a bucket:
what several machines would share. The results are those of one process on a data home of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine, make_url, text

from foundation.database import make_engine
from foundation.home import CHECKOUT
from foundation.kernel_cache import kernel_hash
from foundation.migration import migrate
from foundation.objects import ObjectPath
from market_data.sample_set import load_sample
from market_data.store import Store, open_store
from strategies.requests import Request, RequestStatus, get_request
from tests.distributed_environment import distributed_programs, redis_server, running
from tests.local_s3 import make_bucket, s3_server

N_SECONDS_TO_END = 150
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
    dagster_url = _second_database(postgres_url)
    with redis_server(tmp_path) as redis, s3_server():
        make_bucket("quarterdeck-celery")
        monkeypatch.setenv("QUARTERDECK_STORE_URL", "s3://quarterdeck-celery/firm")
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


def _second_database(url: str) -> str:
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
    stored = list(ObjectPath.of("s3://quarterdeck-celery/firm").glob("bars/*/*/series.json"))
    assert len(stored) == 5
    assert not (machines.home / "bars").exists()
    there = files_of(Path(done.result_directory))
    assert len(there) > 10
    assert there == undisturbed()
