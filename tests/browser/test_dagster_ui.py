"""Dagster's own pages in a real browser: an admin launches a backtest by clicking."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

import pytest
from playwright.sync_api import Page, expect

from foundation.home import CHECKOUT
from pipelines.instance import dagster_environment, prepare_dagster

N_SECONDS_TO_START = 300
N_MS_TO_LOAD = 120_000
# A machine that has compiled no kernels yet spends minutes on them.
N_MS_TO_RUN = 900_000
JOB = "/locations/pipelines.definitions/jobs/backtest"


@pytest.fixture
def dagster(home: Path, tmp_path: Path, free_port: int) -> Iterator[str]:
    """Start the web server and the daemon as `make up` does; yields the address."""
    prepare_dagster(home)
    environment = os.environ | dagster_environment(home)
    programs = Path(sys.executable).parent
    commands = [
        ["dagster-webserver", "-h", "127.0.0.1", "-p", str(free_port), "-w", "workspace.yaml"],
        ["dagster-daemon", "run", "-w", "workspace.yaml"],
    ]
    started = []
    try:
        for name, *arguments in commands:
            with (tmp_path / f"{name}.log").open("wb") as log:
                started.append(
                    subprocess.Popen(
                        [str(programs / name), *arguments],
                        cwd=CHECKOUT,
                        env=environment,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                )
        address = f"http://127.0.0.1:{free_port}"
        _wait_for(f"{address}/server_info", started, tmp_path)
        yield address
    finally:
        for process in started:
            _end(process)


def _wait_for(address: str, started: list[subprocess.Popen[bytes]], logs: Path) -> None:
    give_up = time.monotonic() + N_SECONDS_TO_START
    while time.monotonic() < give_up and all(process.poll() is None for process in started):
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.5)
    said = "\n".join(path.read_text()[-2000:] for path in sorted(logs.glob("*.log")))
    pytest.fail(f"Dagster did not start:\n{said}", pytrace=False)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a server with its code servers, which are processes of the same group."""
    for ending in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, ending)
            process.wait(20)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def test_an_admin_launches_a_backtest_by_clicking(
    dagster: str, home: Path, browser_page: Page, screenshots: Path
):
    page = browser_page
    page.set_default_timeout(N_MS_TO_LOAD)
    asked_elsewhere = []
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((dagster, "data:", "blob:"))
            else asked_elsewhere.append(request.url)
        ),
    )
    page.goto(dagster + JOB)
    expect(page.get_by_text("Run a strategy over stored bars")).to_be_visible(timeout=N_MS_TO_LOAD)
    page.screenshot(path=screenshots / "1-job.png")

    launch = page.get_by_role("button", name="Materialize all")
    launch.locator("xpath=following::button[1]").click()
    page.get_by_role("menuitem", name="Open launchpad").click()
    dialog = page.get_by_role("dialog").filter(has_text="Launchpad (configure assets)")
    confirm = page.get_by_role("button", name="Confirm")
    # The sensor may not have told yet of any bars, of which Dagster warns.
    expect(dialog.or_(confirm)).to_be_visible(timeout=N_MS_TO_LOAD)
    if confirm.is_visible():
        confirm.click()
    expect(dialog.get_by_text("examples/rsi_stochastic_reversal.yaml")).to_be_visible(
        timeout=N_MS_TO_LOAD
    )
    expect(dialog.get_by_text("No errors")).to_be_visible(timeout=N_MS_TO_LOAD)
    dialog.get_by_text("examples/rsi_stochastic_reversal.yaml").click()
    expect(dialog.get_by_text("Starting cash of the whole portfolio")).to_be_visible(
        timeout=N_MS_TO_LOAD
    )
    page.screenshot(path=screenshots / "2-launchpad.png")
    dialog.get_by_role("button", name="Materialize", exact=False).last.click()

    page.wait_for_url("**/runs/*")
    expect(page.get_by_text("Success", exact=True).first).to_be_visible(timeout=N_MS_TO_RUN)
    page.screenshot(path=screenshots / "3-run.png")
    # The page's header may have been read before the run got its tags.
    page.reload()
    page.get_by_role("button", name="View tags and config").click()
    tags = page.get_by_role("dialog")
    for tag in ("quarterdeck/strategy", "quarterdeck/version", "quarterdeck/run_id"):
        expect(tags.get_by_text(tag).first).to_be_visible(timeout=N_MS_TO_LOAD)
    page.screenshot(path=screenshots / "4-tags.png")

    page.goto(f"{dagster}/assets/backtest?view=overview")
    expect(page.get_by_text("Total return (%)").first).to_be_visible(timeout=N_MS_TO_LOAD)
    page.screenshot(path=screenshots / "5-backtest.png")
    page.goto(f"{dagster}/assets/backtest?view=events")
    picture = page.locator("img[src^='data:image/png']").first
    if not picture.is_visible():
        page.get_by_text("Show Markdown").or_(page.get_by_text("Show markdown")).first.click()
    expect(picture).to_be_visible(timeout=N_MS_TO_LOAD)
    assert picture.evaluate("image => image.naturalWidth") == 800
    page.screenshot(path=screenshots / "6-equity.png")

    found = list(home.glob("results/rsi-stochastic-reversal/*/report.html"))
    assert len(found) == 1
    page.goto(f"{dagster}/assets/report?view=overview")
    expect(page.get_by_text(str(found[0])).first).to_be_visible(timeout=N_MS_TO_LOAD)
    page.screenshot(path=screenshots / "7-report.png")
    assert asked_elsewhere == []
