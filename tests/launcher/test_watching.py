"""Each command leaves a line in the log of work, and operators' counts follow it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from foundation.log_file import LogFollower, log_path
from foundation.telemetry import Metrics
from launcher.watching import refresher
from tests.launcher.conftest import Run


def lines(home: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log_path(home).read_text().splitlines()]


def test_each_command_leaves_a_line_that_says_what_came_of_it(
    run: Run, home: Path, strategy: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run("backtest", strategy, "--out", out, "--no-report")
    run("check", tmp_path / "none.yaml")
    run("bars", "--no-such-option")
    run("--help")
    done, wrong, misused, asked = lines(home)
    summary = json.loads((out / "summary.json").read_text())
    assert (done["event"], done["status"]) == ("backtest ended", "succeeded")
    assert (done["run_id"], done["bars"], done["trades"]) == (
        summary["run_id"], summary["bars"], summary["n_trades"],
    )  # fmt: skip
    assert done["arguments"][:2] == ["backtest", str(strategy)]
    assert (wrong["event"], wrong["level"], wrong["exit_code"]) == ("check ended", "error", 1)
    assert "none.yaml" in wrong["message"]
    assert (misused["event"], misused["exit_code"]) == ("bars ended", 2)
    assert "no-such-option" in misused["message"]
    assert (asked["event"], asked["status"]) == ("quarterdeck ended", "succeeded")


def test_counts_follow_the_commands_of_other_processes(
    run: Run, home: Path, strategy: Path, tmp_path: Path
) -> None:
    run("backtest", strategy, "--out", tmp_path / "before", "--no-report", "--no-record")
    metrics = Metrics()
    running = {"dagster-daemon"}
    refresh = refresher(metrics, LogFollower(home), ["analyst", "dagster-daemon"], lambda: running)
    run("backtest", strategy, "--out", tmp_path / "one", "--no-report", "--no-record")
    run("backtest", tmp_path / "none.yaml")
    bars = tmp_path / "bars.csv"
    bars.write_text("date,open,high,low,close,volume\n2010-01-04,1,2,1,2,9\n2010-01-05,1,2,1,2,9\n")
    run("import", bars, "--symbol", "ONE", "--calendar", "XNYS")
    run("import", bars, "--symbol", "ONE", "--calendar", "XNYS")
    refresh()
    refresh()
    one = json.loads((tmp_path / "one" / "summary.json").read_text())
    value = metrics.registry.get_sample_value
    # What ended before `up` started isn't counted, and nothing is counted twice.
    assert value("quarterdeck_backtests_total", {"status": "succeeded"}) == 1.0
    assert value("quarterdeck_backtests_total", {"status": "failed"}) == 1.0
    assert value("quarterdeck_backtest_seconds_count") == 1.0
    assert value("quarterdeck_bars_run_total") == one["bars"]
    # Bars that were stored already are not imported again.
    assert value("quarterdeck_bars_imported_total") == 2.0
    assert value("quarterdeck_errors_total", {"kind": "SpecError"}) == 1.0
    assert value("quarterdeck_service_up", {"service": "dagster-daemon"}) == 1.0
    assert value("quarterdeck_service_up", {"service": "analyst"}) == 0.0


def test_defect_leaves_its_traceback(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launcher.command._run", lambda arguments: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        run("bars")
    (line,) = lines(home)
    assert line["error"] == "ZeroDivisionError"
    assert "_run_and_leave" in line["exception"]
