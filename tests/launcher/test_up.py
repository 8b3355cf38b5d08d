"""`quarterdeck up`: everything starts, answers, and is gone after."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from foundation.home import CHECKOUT
from launcher.starting import services
from launcher.supervisor import HOST, free_port

_PATIENCE_S = 600.0


@pytest.fixture
def up(home: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Start `quarterdeck up` and give its process and what it prints."""
    output = tmp_path / "output.txt"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "launcher.command", "up", "--no-browser"],
            cwd=CHECKOUT,
            env={**os.environ, "COLUMNS": "200"},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    yield process, output
    if process.poll() is None:
        process.terminate()
        process.wait(60)


def wait_until(true: Callable[[], bool], process: subprocess.Popen[bytes], output: Path) -> None:
    give_up = time.monotonic() + _PATIENCE_S
    while not true():
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < give_up, output.read_text()
        time.sleep(0.2)


def processes_that_name(text: str) -> dict[int, str]:
    """Return the processes whose environment or command line has a text."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if text.encode() in environment and command:
            found[int(folder.name)] = command
    return found


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def read(metrics: str) -> dict[str, float]:
    """Return the samples that an exporter serves, by name and labels."""
    with urllib.request.urlopen(metrics, timeout=30) as response:
        lines = response.read().decode().splitlines()
    found = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
    return {name: float(value) for name, value in found}


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_everything_answers_a_death_is_reported_and_ctrl_c_leaves_nothing(
    up: tuple[subprocess.Popen[bytes], Path], home: Path
) -> None:
    process, output = up
    wait_until(lambda: "Ctrl-C stops everything." in output.read_text(), process, output)
    text = output.read_text()
    assert "There are no logins yet" in text
    urls = re.findall(rf"http://{HOST}:\d+", text)
    assert len(urls) == 3
    assert all(answers(url) for url in urls)
    (metrics,) = re.findall(rf"http://{HOST}:\d+/metrics", text)
    assert read(metrics)['quarterdeck_service_up{service="dagster-daemon"}'] == 1.0
    assert "quarterdeck_backtests_total" not in str(read(metrics))
    report = re.search(r"file://(\S+report\.html)", text)
    assert report is not None
    assert Path(report[1]).is_relative_to(home)
    assert Path(report[1]).is_file()
    # A second one on the same home is refused.
    second = subprocess.run(
        [sys.executable, "-m", "launcher.command", "up", "--no-browser"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 1
    assert f"`quarterdeck up` runs already on {home} (process {process.pid})" in second.stderr
    # Work of another process is counted.
    lost = [sys.executable, "-m", "launcher.command", "backtest", "no_such_strategy.yaml"]
    assert subprocess.run(lost, cwd=CHECKOUT, capture_output=True, check=False).returncode == 1
    assert read(metrics)['quarterdeck_backtests_total{status="failed"}'] == 1.0
    daemon = [
        pid
        for pid, command in processes_that_name(str(home)).items()
        if "dagster-daemon run" in command
    ]
    assert len(daemon) == 1
    os.kill(daemon[0], signal.SIGKILL)
    wait_until(lambda: "dagster-daemon ended with -9" in output.read_text(), process, output)
    assert all(answers(url) for url in urls)
    assert read(metrics)['quarterdeck_service_up{service="dagster-daemon"}'] == 0.0
    assert read(metrics)['quarterdeck_service_up{service="analyst"}'] == 1.0
    assert "dagster-daemon ended with -9" in (home / "logs" / "up.log").read_text()
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 0, output.read_text()
    assert output.read_text().rstrip().endswith("Stopped.")
    assert processes_that_name(str(home)).keys() - {os.getpid()} == set()


def test_services_send_no_statistics_and_listen_on_this_machine_only(
    home: Path,
    settings,  # type: ignore[no-untyped-def]
) -> None:
    running, _ = services(settings, free_port(23_000), free_port(28_501))
    by_name = {service.name: service for service in running}
    assert sorted(by_name) == ["analyst", "dagster-daemon", "dagster-webserver"]
    assert "enabled: false" in (home / "dagster" / "dagster.yaml").read_text()
    analyst = " ".join(by_name["analyst"].command)
    assert "--browser.gatherUsageStats false" in analyst
    assert f"--server.address {HOST}" in analyst
    assert f"-h {HOST}" in " ".join(by_name["dagster-webserver"].command)
    ports = {re.search(r":(\d+)/", s.ready_url)[1] for s in running if s.ready_url}  # type: ignore[index]
    assert len(ports) == 2
