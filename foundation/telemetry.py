"""Structured logs on the standard error, and counters for operators.

The composition root of a process that stays calls `start_logging` once; whoever
logs calls `structlog.get_logger()` and gives facts as keywords. Commands and
jobs, which end, write a line to `log_file` instead. Counters live in a
`Metrics` object that is passed to whoever counts. Nothing happens at import.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

from foundation.log_file import is_secret

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
    from prometheus_client.metrics_core import Metric

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

# From a cold command to a sweep over years of minutes.
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)


def start_logging(level: str, log_format: str, *, stream: TextIO | None = None) -> None:
    """Send logs, also those of libraries, to one stream in one form.

    Parameters
    ----------
    level : str
        ``debug``, ``info``, ``warning`` or ``error``: a value of `LogLevel`.
    log_format : str
        ``json`` for one object a line, ``console`` for people.
    stream : TextIO, optional
        The standard error by default, because the standard output belongs to
        the result.
    """
    import structlog

    stream = stream or sys.stderr
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _hide_secrets,
    ]
    if log_format == "json":
        rendering: list[Any] = [
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(sort_keys=True, default=str),
        ]
    else:
        rendering = [structlog.dev.ConsoleRenderer(colors=stream.isatty())]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])


@dataclass(slots=True)
class Metrics:
    """The platform's counters, in a registry of their own.

    A new object counts from zero, so tests don't see each other's counts.
    """

    registry: CollectorRegistry = field(init=False)
    backtests: Counter = field(init=False)
    backtest_seconds: Histogram = field(init=False)
    bars_run: Counter = field(init=False)
    bars_imported: Counter = field(init=False)
    errors: Counter = field(init=False)
    service_up: Gauge = field(init=False)

    def __post_init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        registry = self.registry = CollectorRegistry()
        self.backtests = Counter(
            "quarterdeck_backtests",
            "Backtests that ended, by status.",
            ["status"],
            registry=registry,
        )
        self.backtest_seconds = Histogram(
            "quarterdeck_backtest_seconds",
            "Wall time of a backtest, with its report where one is written.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.bars_run = Counter(
            "quarterdeck_bars_run", "Bars that went through the core.", registry=registry
        )
        self.bars_imported = Counter(
            "quarterdeck_bars_imported", "Bars written to the store.", registry=registry
        )
        self.errors = Counter(
            "quarterdeck_errors", "Errors that a user saw, by kind.", ["kind"], registry=registry
        )
        self.service_up = Gauge(
            "quarterdeck_service_up",
            "1 while the service's process runs, else 0.",
            ["service"],
            registry=registry,
        )


@dataclass(frozen=True, slots=True)
class MetricsServer:
    """A running exporter; `close` ends it."""

    port: int
    _server: Any
    _thread: Any

    @property
    def url(self) -> str:
        """Where Prometheus reads."""
        return f"http://127.0.0.1:{self.port}/metrics"

    def close(self) -> None:
        """Stop serving and wait until the thread has ended."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Refreshed:
    """A registry that is brought up to date before it is read."""

    def __init__(self, registry: CollectorRegistry, refresh: Callable[[], None]) -> None:
        self._registry = registry
        self._refresh = refresh
        # Each request has a thread of its own.
        self._lock = threading.Lock()

    def collect(self) -> list[Metric]:
        with self._lock:
            self._refresh()
            return list(self._registry.collect())

    def restricted_registry(self, names: list[str]) -> Any:
        with self._lock:
            self._refresh()
        return self._registry.restricted_registry(names)


def serve_metrics(
    metrics: Metrics, *, port: int = 0, refresh: Callable[[], None] = lambda: None
) -> MetricsServer:
    """Serve the counts over HTTP to this machine only.

    Parameters
    ----------
    metrics : Metrics
    port : int
        0 takes a free one; the result says which.
    refresh : callable
        Brings the counts up to date; called before each answer, never twice at once.

    Raises
    ------
    OSError
        If the port is taken.
    """
    from prometheus_client import start_http_server

    registry: Any = _Refreshed(metrics.registry, refresh)
    server, thread = start_http_server(port, addr="127.0.0.1", registry=registry)
    return MetricsServer(server.server_port, server, thread)


def _hide_secrets(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    for key in event:
        if is_secret(key):
            event[key] = "***"
    return event
