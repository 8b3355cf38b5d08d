"""What `quarterdeck up` counts for operators: work that ended, and services that run.

Counts come from the log of work, so those of commands in other terminals and of
Dagster's runs are among them. They begin at zero when `up` starts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from foundation.log_file import LogFollower
from foundation.telemetry import Metrics


def count_work(metrics: Metrics, lines: Sequence[dict[str, Any]]) -> None:
    """Count lines of the log of work."""
    for line in lines:
        event, status = line.get("event"), line.get("status")
        if status == "failed":
            metrics.errors.labels(kind=str(line.get("error"))).inc()
        if event == "backtest ended":
            metrics.backtests.labels(status=str(status)).inc()
            if status == "succeeded":
                metrics.backtest_seconds.observe(float(line.get("seconds", 0.0)))
                metrics.bars_run.inc(int(line.get("bars", 0)))
        elif event == "import ended" and status == "succeeded":
            metrics.bars_imported.inc(int(line.get("bars", 0)))


def refresher(
    metrics: Metrics,
    follower: LogFollower,
    services: Collection[str],
    alive: Callable[[], Collection[str]],
) -> Callable[[], None]:
    """Return what brings the metrics up to date.

    Parameters
    ----------
    services : collection of str
        All names.
    alive : callable
        Returns the names of those that run.
    """

    def refresh() -> None:
        count_work(metrics, follower.new_lines())
        running = set(alive())
        for name in services:
            metrics.service_up.labels(service=name).set(name in running)

    return refresh
