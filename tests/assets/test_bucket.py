"""The same assets with the bars in a bucket and each step in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from foundation.home import CHECKOUT
from foundation.objects import ObjectPath
from tests.local_s3 import make_bucket, s3_server

CONFIG = {"ops": {"write_report": {"config": {"formats": ["csv"]}}}}


def launch(home: Path, tmp_path: Path, **settings: str) -> None:
    """Run the job `backtest` as Dagster's own command does, with other settings."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps(CONFIG))
    dagster_home = home / "dagster"
    dagster_home.mkdir(parents=True)
    (dagster_home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    done = subprocess.run(
        [
            *(str(Path(sys.executable).parent / "dagster"), "job", "execute"),
            *("-m", "pipelines.definitions", "-j", "backtest", "-c", str(config)),
        ],
        cwd=CHECKOUT,
        env=os.environ
        | {"QUARTERDECK_HOME": str(home), "DAGSTER_HOME": str(dagster_home), **settings},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


def result(home: Path) -> dict[str, bytes]:
    (folder,) = (home / "results").glob("*/*")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_bars_in_a_bucket_and_steps_in_processes_give_the_same_files(tmp_path):
    launch(tmp_path / "here", tmp_path)
    with s3_server():
        make_bucket("quarterdeck-assets")
        url = "s3://quarterdeck-assets/firm"
        launch(
            tmp_path / "there",
            tmp_path,
            QUARTERDECK_STORE_URL=url,
            QUARTERDECK_EXECUTOR="multiprocess",
        )
        stored = [path.name for path in ObjectPath.of(url).glob("bars/*/*/series.json")]
    assert len(stored) == 5
    assert not (tmp_path / "there" / "bars").exists()
    here, there = result(tmp_path / "here"), result(tmp_path / "there")
    assert len(here) > 10
    assert there == here
