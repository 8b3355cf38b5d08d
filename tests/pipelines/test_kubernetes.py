"""Runs as Jobs of a cluster, with the configuration in `deploy/kubernetes` and Dagster's own client.

There is no cluster here, but a server of its protocol that holds to the manifests: the Role decides
what may be asked, the ConfigMaps and the Secret what a container is told, and the container's command
is run. So what is tested is our configuration, Dagster's launcher and the command of the image; not
the image itself, the network and the scheduling of a cluster.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from sqlalchemy import Engine

from foundation.database import make_engine
from foundation.home import CHECKOUT
from foundation.kernel_cache import kernel_hash
from foundation.migration import migrate
from market_data.sample_set import load_sample
from market_data.store import Store, open_store
from strategies.requests import RequestStatus, cancel_request, get_request
from tests.distributed_environment import distributed_programs
from tests.kubernetes_server import Cluster, kubernetes_cluster
from tests.local_s3 import make_bucket, s3_server
from tests.pipelines.test_celery import OPTIONS, ask, files_of, second_database

PROGRAM = Path(__file__).with_name("in_cluster.py")
N_SECONDS_TO_END = 900
# Of the S3 server of the tests; on a real cluster these are in the Secret or the node's role.
BUCKETS = ("AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")


@dataclass
class Daemon:
    """What the daemon's pod sees; each look is a process of its own."""

    cluster: Cluster
    engine: Engine
    programs: Path
    account: Path

    def look(self) -> dict:
        host, _, port = self.cluster.url.removeprefix("https://").partition(":")
        environment = self.cluster.environment(
            {
                "envFrom": [
                    {"configMapRef": {"name": "quarterdeck"}},
                    {"secretRef": {"name": "quarterdeck"}},
                ],
            }
        )
        done = subprocess.run(
            [self.programs / "python", PROGRAM, self.account],
            cwd=CHECKOUT,
            env=os.environ
            | environment
            | {
                "KUBERNETES_SERVICE_HOST": host,
                "KUBERNETES_SERVICE_PORT": port,
                "PYTHONPATH": str(CHECKOUT),
            },
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-4000:] + self.cluster.logs()
        return json.loads(done.stdout.splitlines()[-1])

    def look_until(self, is_so: Callable[[], bool]) -> None:
        give_up = time.monotonic() + N_SECONDS_TO_END
        while not is_so():
            assert time.monotonic() < give_up, self.cluster.logs()
            time.sleep(0.5)
            self.look()


@pytest.fixture
def daemon(tmp_path: Path, postgres_url: str, monkeypatch) -> Iterator[Daemon]:
    programs = distributed_programs()
    with s3_server() as address:
        # The manifests name the bucket, and the server is this process's: a test before made it.
        urlopen(Request(f"{address}/moto-api/reset", method="POST")).close()
        secret = {name: os.environ[name] for name in BUCKETS} | {
            "QUARTERDECK_DATABASE_URL": postgres_url,
            "DAGSTER_POSTGRES_URL": second_database(postgres_url),
        }
        with kubernetes_cluster(tmp_path, programs, secret) as cluster:
            home = cluster.root / "home"
            (home / "kernels").mkdir()
            (home / "kernels" / kernel_hash()).symlink_to(os.environ["NUMBA_CACHE_DIR"])
            store_url = cluster.configuration()["QUARTERDECK_STORE_URL"]
            make_bucket(store_url.removeprefix("s3://").partition("/")[0])
            monkeypatch.setenv("QUARTERDECK_HOME", str(home))
            monkeypatch.setenv("QUARTERDECK_STORE_URL", store_url)
            monkeypatch.setenv("QUARTERDECK_DATABASE_URL", postgres_url)
            load_sample(open_store(home))
            engine = make_engine(postgres_url)
            migrate(engine)
            yield Daemon(cluster, engine, programs, tmp_path / "serviceaccount")
            engine.dispose()


def test_requests_run_as_jobs_of_the_cluster_and_a_cancelled_one_leaves_no_pod_at_work(
    daemon: Daemon, tmp_path: Path, monkeypatch
):
    cluster = daemon.cluster
    number = ask(*OPTIONS, "--memory", "4GiB")
    (run_id,) = daemon.look()["launched"]
    (job,) = [pod.job for pod in cluster.pods.values()]
    spec = job["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["image"] == "quarterdeck:latest"
    # Half a gigabyte more than the ceiling, so that the run ends with its own line first.
    assert container["resources"]["limits"] == {"memory": str(4 * 2**30 + 512 * 2**20)}
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert cluster.here("/quarterdeck/home") in mounted
    assert {"configMapRef": {"name": "quarterdeck"}} in container["envFrom"]
    assert {"secretRef": {"name": "quarterdeck"}} in container["envFrom"]
    assert job["metadata"]["labels"]["dagster/run-id"] == run_id

    daemon.look_until(lambda: get_request(daemon.engine, number).finished_at is not None)
    done = get_request(daemon.engine, number)
    assert done.status is RequestStatus.SUCCEEDED, f"{done.error}\n{cluster.logs()}"
    assert done.dagster_run_id == run_id
    there = files_of(Path(done.result_directory))
    assert len(there) > 10
    assert not (cluster.root / "home" / "bars").exists()
    # A ConfigMap can't be written to: all that Dagster keeps is on the volume.
    assert {path.name for path in (cluster.root / "dagster").iterdir()} == {
        "dagster.yaml", "workspace.yaml",
    }  # fmt: skip

    alone = tmp_path / "alone"
    (alone / "kernels").mkdir(parents=True)
    (alone / "kernels" / kernel_hash()).symlink_to(os.environ["NUMBA_CACHE_DIR"])
    load_sample(Store(alone))
    with monkeypatch.context() as patch:
        patch.delenv("QUARTERDECK_STORE_URL")
        patch.delenv("QUARTERDECK_DATABASE_URL")
        patch.setenv("QUARTERDECK_HOME", str(alone))
        program = Path(sys.executable).with_name("quarterdeck")
        subprocess.run(
            [program, "backtest", *OPTIONS], cwd=CHECKOUT, check=True, capture_output=True
        )
    (folder,) = alone.glob("results/macd-trend/*")
    assert there == files_of(folder)

    # A long one is stopped in the middle.
    text = (CHECKOUT / "examples" / "macd_trend.yaml").read_text("utf-8")
    path = tmp_path / "long.yaml"
    path.write_text(text.replace("high: 35, step: 5", "high: 35, step: 0.01"))
    number = ask(str(path), "--what", "sweep", "--random", "60000")
    (run_id,) = daemon.look()["launched"]
    name, pod = next(reversed(cluster.pods.items()))
    daemon.look_until(lambda: get_request(daemon.engine, number).dagster_run_id is not None)
    assert daemon.look()["health"] == {run_id: "RUNNING"}
    assert get_request(daemon.engine, number).dagster_run_id == run_id

    cancel_request(daemon.engine, number)
    daemon.look()
    assert cluster.refused == []
    assert pod.deleted
    assert ("delete", "pods") in cluster.asked
    pod.process.wait(N_SECONDS_TO_END)
    daemon.look_until(lambda: get_request(daemon.engine, number).finished_at is not None)
    assert get_request(daemon.engine, number).status is RequestStatus.CANCELLED
    assert not list(cluster.root.glob("home/sweeps/**/*.parquet"))
    assert name.startswith("dagster-run-")


def test_a_pod_that_is_killed_is_found_by_its_job(daemon: Daemon):
    number = ask(*OPTIONS)
    (run_id,) = daemon.look()["launched"]
    ((_, pod),) = daemon.cluster.pods.items()
    daemon.look_until(lambda: get_request(daemon.engine, number).dagster_run_id is not None)
    os.killpg(pod.process.pid, signal.SIGKILL)
    pod.process.wait()
    health = daemon.look()["health"]
    # The kill may come after the last line of work: then there is nothing left to find.
    assert health.get(run_id, "FAILED") == "FAILED"
    assert daemon.cluster.refused == []
