"""One look of the daemon at the requests, on a cluster: ``in_cluster.py ACCOUNT_FOLDER``.

Does what the sensor and the daemon do: brings back what became of the runs, has run monitoring's
question answered for each that works, claims the requests whose turn it is and launches their runs
by the instance's own launcher. Prints what it did as one line of JSON. A pod's service account is
in a folder of the system, which is here the one that is named.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.launcher import LaunchRunContext
from kubernetes.config import incluster_config

from foundation.clock import SystemClock
from foundation.database import make_engine
from foundation.settings import load_settings
from pipelines.requests import bring_back, claim_runs, runs_in_pods


def main() -> None:
    account = Path(sys.argv[1])
    incluster_config.SERVICE_TOKEN_FILENAME = str(account / "token")
    incluster_config.SERVICE_CERT_FILENAME = str(account / "ca.crt")
    settings, clock = load_settings(), SystemClock()
    engine = make_engine(settings.database_url)
    with DagsterInstance.get() as instance:
        told = bring_back(instance, engine, home=settings.home, clock=clock)
        works = [DagsterRunStatus.STARTED, DagsterRunStatus.STARTING]
        health = {
            run.run_id: instance.run_launcher.check_run_worker_health(run).status.value
            for run in instance.get_runs()
            if run.status in works
        }
        launched = []
        repository = ReconstructableRepository.for_module("pipelines.definitions", "definitions")
        for request in claim_runs(
            engine, running_max=20, clock=clock, in_pods=runs_in_pods(instance)
        ):
            job = repository.get_reconstructable_job(request.job_name)
            run = instance.create_run_for_job(
                job.get_definition(),
                run_config=request.run_config,
                tags=request.tags,
                status=DagsterRunStatus.STARTING,
                job_code_origin=job.get_python_origin(),
            )
            instance.run_launcher.launch_run(LaunchRunContext(run, workspace=None))
            launched.append(run.run_id)
    engine.dispose()
    print(json.dumps({"told": told, "health": health, "launched": launched}))


if __name__ == "__main__":
    main()
