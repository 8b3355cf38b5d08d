"""The same assets under Dagster's executors give the same files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dagster import DagsterEventType, DagsterInstance, in_process_executor

from foundation.errors import SettingsError
from foundation.home import CHECKOUT
from foundation.kernel_cache import kernel_hash
from foundation.settings import Executor
from market_data.sample_set import load_sample
from market_data.store import Store
from pipelines.executors import executor_of
from pipelines.instance import dagster_environment, prepare_dagster

PROGRAMS = Path(sys.executable).parent
OPTIONS = {"strategy": "examples/macd_trend.yaml", "symbols": ["AAPL"], "start": "2012-01-03"}


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_steps_in_processes_of_their_own_give_the_same_files(home, tmp_path, monkeypatch):
    (home / "kernels").mkdir()
    (home / "kernels" / kernel_hash()).symlink_to(os.environ["NUMBA_CACHE_DIR"])
    load_sample(Store(home))
    prepare_dagster(home)
    monkeypatch.setenv("QUARTERDECK_EXECUTOR", "multiprocess")
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"ops": {"run_backtest": {"config": OPTIONS}}}))
    module = ["-m", "pipelines.definitions", "-a", "definitions"]
    done = subprocess.run(
        [PROGRAMS / "dagster", "job", "execute", *module, "-j", "backtest", "-c", config],
        cwd=CHECKOUT,
        env=os.environ | dagster_environment(home),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with DagsterInstance.from_config(str(home / "dagster")) as instance:
        (run,) = instance.get_runs()
        starts = instance.all_logs(run.run_id, of_type=DagsterEventType.STEP_WORKER_STARTED)
    metadata = [entry.get_dagster_event().engine_event_data.metadata for entry in starts]
    assert len({found["pid"].value for found in metadata}) == len(starts) == 2

    (directory,) = home.glob("results/macd-trend/*")
    by_processes = files_of(directory)
    monkeypatch.delenv("QUARTERDECK_EXECUTOR")
    subprocess.run(
        [PROGRAMS / "quarterdeck", "backtest", OPTIONS["strategy"], "--symbol", "AAPL",
         "--start", OPTIONS["start"]],
        cwd=CHECKOUT, check=True, capture_output=True, timeout=600,
    )  # fmt: skip
    assert files_of(directory) == by_processes


def test_the_default_is_one_process_for_a_run(settings):
    assert settings.executor is Executor.IN_PROCESS
    assert executor_of(settings.executor) is in_process_executor


@pytest.mark.parametrize("choice", [Executor.CELERY, Executor.KUBERNETES])
def test_an_executor_whose_package_is_missing_is_named(choice, monkeypatch):
    for name in ("dagster_celery", "dagster_k8s"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SettingsError, match=f"QUARTERDECK_EXECUTOR: {choice} needs the package"):
        executor_of(choice)
