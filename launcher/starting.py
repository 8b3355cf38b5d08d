"""`quarterdeck up`: from a fresh checkout to everything running, in one command."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foundation.errors import DataError, QuarterdeckError
from foundation.home import CHECKOUT
from launcher.console import print_table, progress_bar

if TYPE_CHECKING:
    from foundation.settings import Settings
    from foundation.telemetry import MetricsServer
    from launcher.supervisor import Service, Supervisor

EXAMPLE = CHECKOUT / "examples" / "rsi_stochastic_reversal.yaml"
DAGSTER_PORT = 3000
ANALYST_PORT = 8501
# Where OpenTelemetry's exporters for Prometheus listen by default.
METRICS_PORT = 9464
# In the folder of compiled kernels: all of them are there.
_WARM_MARKER = "complete"


@dataclass(frozen=True, slots=True)
class Screen:
    """A line of the table that is printed: what it is, where, for what."""

    name: str
    url: str
    purpose: str


def up(
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the analysts' app.")
    ] = True,
    check: Annotated[
        bool, typer.Option("--check", help="Start everything, see that it answers, stop.")
    ] = False,
    dagster_port: Annotated[int, typer.Option(help="Or the next one that is free.")] = DAGSTER_PORT,
    analyst_port: Annotated[int, typer.Option(help="Or the next one that is free.")] = ANALYST_PORT,
    metrics_port: Annotated[int, typer.Option(help="Or the next one that is free.")] = METRICS_PORT,
) -> None:
    """Set the data home up, run an example backtest and start all screens; Ctrl-C stops them.

    Example: [bold]quarterdeck up --no-browser[/]
    """
    from foundation.settings import load_settings

    settings = load_settings()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    with _only_one(settings.home):
        prepare(settings)
        _serve(settings, dagster_port, analyst_port, metrics_port, check=check, browser=browser)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Hold the data home: two daemons on one would start every run twice."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = (home / "up.lock").open("a+")
    except OSError as error:
        raise DataError(f"cannot write the data home {home}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise DataError(
                f"`quarterdeck up` runs already on {home} (process {lock.read().strip() or '?'})"
            ) from None
        lock.seek(0)
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def say(line: str) -> None:
    """Print a line of what is going on, at once."""
    print(line, flush=True)


# What must be there before the screens make sense.


def prepare(settings: Settings) -> None:
    """Bring data home, database, sample data, kernels and example up to date.

    Doing it again costs little and changes nothing.
    """
    say(f"Data home: {settings.home}")
    _migrate(settings)
    _load_sample(settings.home)
    _compile_kernels()
    _run_example(settings.home)
    _prepare_dagster(settings.home)


def _migrate(settings: Settings) -> None:
    from foundation.database import make_engine
    from foundation.migration import migrate

    engine = make_engine(settings.database_url)
    try:
        if migrate(engine):
            say("Database: brought to the newest schema")
    finally:
        engine.dispose()


def _load_sample(home: Path) -> None:
    from market_data.sample_set import load_sample
    from market_data.store import open_store

    with progress_bar("Sample data") as progress:
        series = load_sample(open_store(home), progress)
    say(f"Sample data: {', '.join(f'{one.symbol} {one.timeframe}' for one in series)}")


def _compile_kernels() -> None:
    folder = Path(os.environ["NUMBA_CACHE_DIR"])
    if (folder / _WARM_MARKER).exists():
        return
    # Says itself how long it takes.
    finished = subprocess.run([sys.executable, "-m", "trading.warm"], cwd=CHECKOUT)
    if finished.returncode:
        raise QuarterdeckError("the trading kernels could not be compiled; the lines above say why")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _WARM_MARKER).touch()


def _run_example(home: Path) -> None:
    from trading.document import load_document

    name = load_document(EXAMPLE).name
    if any((home / "results" / name).glob("*/report.html")):
        return
    say(f"Example: backtest of {EXAMPLE.relative_to(CHECKOUT)} on the sample data")
    # In a process of its own, whose memory is given back.
    finished = subprocess.run(
        [sys.executable, "-m", "launcher.command", "backtest", str(EXAMPLE)], cwd=CHECKOUT
    )
    if finished.returncode:
        raise QuarterdeckError("the example backtest failed; the lines above say why")


def _prepare_dagster(home: Path) -> None:
    say("Dagster: its tables for runs and events")
    finished = subprocess.run(
        [sys.executable, "-m", "pipelines.instance"],
        cwd=CHECKOUT,
        env=os.environ | {"QUARTERDECK_HOME": str(home)},
        stdout=subprocess.DEVNULL,
    )
    if finished.returncode:
        raise QuarterdeckError("Dagster's home could not be made; the lines above say why")


def _example_report(home: Path) -> Path | None:
    from trading.document import load_document

    found = sorted((home / "results" / load_document(EXAMPLE).name).glob("*/report.html"))
    return found[-1] if found else None


# What runs.


def services(
    settings: Settings, dagster_port: int, analyst_port: int
) -> tuple[list[Service], list[Screen]]:
    """Return what is to run, with the ports chosen, and what to print of it."""
    from launcher.supervisor import HOST, Service, free_port
    from pipelines.instance import dagster_environment

    programs = Path(sys.executable).parent
    dagster = free_port(dagster_port)
    analyst = free_port(analyst_port, taken=(dagster,))
    shared = {"QUARTERDECK_HOME": str(settings.home), "PYTHONUNBUFFERED": "1"}
    orchestration = shared | dagster_environment(settings.home)
    workspace = str(CHECKOUT / "workspace.yaml")
    dagster_url, analyst_url = f"http://{HOST}:{dagster}", f"http://{HOST}:{analyst}"
    running = [
        Service(
            name="dagster-webserver",
            command=(
                *(str(programs / "dagster-webserver"), "-h", HOST, "-p", str(dagster)),
                *("-w", workspace),
            ),
            environment=orchestration,
            ready_url=f"{dagster_url}/server_info",
        ),
        Service(
            name="dagster-daemon",
            command=(str(programs / "dagster-daemon"), "run", "-w", workspace),
            environment=orchestration,
        ),
        Service(
            name="analyst",
            command=(
                *(sys.executable, "-m", "dashboards.serve"),
                *("--server.address", HOST, "--server.port", str(analyst)),
                *("--server.headless", "true", "--browser.gatherUsageStats", "false"),
                *("--server.fileWatcherType", "none"),
            ),
            # Streamlit puts the script's folder on the path, not the folder it runs in.
            environment={**shared, "PYTHONPATH": _python_path()},
            ready_url=f"{analyst_url}/_stcore/health",
        ),
    ]
    screens = [
        Screen("Analysts' app", analyst_url, "compare backtests, look at trades and decisions"),
        Screen("Dagster", dagster_url, "launch backtests as jobs, see their runs and logs"),
    ]
    report = _example_report(settings.home)
    if report is not None:
        screens.append(Screen("Example report", report.as_uri(), "opens without a network"))
    return running, screens


def _python_path() -> str:
    before = os.environ.get("PYTHONPATH", "")
    return f"{CHECKOUT}{os.pathsep}{before}" if before else str(CHECKOUT)


def _serve(
    settings: Settings,
    dagster_port: int,
    analyst_port: int,
    metrics_port: int,
    *,
    check: bool,
    browser: bool,
) -> None:
    from launcher.supervisor import Supervisor

    running, screens = services(settings, dagster_port, analyst_port)
    logs = settings.home / "logs"
    supervisor = Supervisor(logs, CHECKOUT, tell=_told_and_logged(settings))
    metrics = None
    stopped_by_person = False
    try:
        supervisor.tell(f"Starting {', '.join(service.name for service in running)} ...")
        for service in running:
            supervisor.start(service)
        metrics = _serve_metrics(settings.home, metrics_port, running, supervisor)
        supervisor.wait_ready()
        screens.append(Screen("Metrics", metrics.url, "what ran and what failed, for Prometheus"))
        print_table(["screen", "address", "for"], [[s.name, s.url, s.purpose] for s in screens])
        say("There are no logins yet: whoever uses this machine can open these addresses.")
        say(f"Logs: {logs}")
        if check:
            say("Everything answers.")
            return
        say("Ctrl-C stops everything.")
        if browser:
            _open(screens[0].url)
        supervisor.watch()
    except KeyboardInterrupt:
        # The way in which this command is meant to end, once it runs.
        stopped_by_person = True
    finally:
        # A second Ctrl-C must not leave something running.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        supervisor.stop()
        if metrics is not None:
            metrics.close()
    if not stopped_by_person:
        raise QuarterdeckError("all services have ended")
    say("Stopped.")


def _told_and_logged(settings: Settings) -> Callable[[str], None]:
    """Start this process's own log, and return what tells a line there and here."""
    import structlog

    from foundation.telemetry import start_logging

    logs = settings.home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    path = logs / "up.log"
    if path.exists():
        path.replace(logs / "up.log.1")
    # Open for as long as this process runs, and written line by line.
    start_logging(settings.log_level, settings.log_format, stream=path.open("w", buffering=1))
    log = structlog.get_logger("launcher")

    def tell(line: str) -> None:
        say(line)
        log.info(line)

    return tell


def _serve_metrics(
    home: Path, port: int, running: Sequence[Service], supervisor: Supervisor
) -> MetricsServer:
    from foundation.log_file import LogFollower
    from foundation.telemetry import Metrics, serve_metrics
    from launcher.supervisor import free_port
    from launcher.watching import refresher

    metrics = Metrics()
    names = [service.name for service in running]
    return serve_metrics(
        metrics,
        port=free_port(port),
        refresh=refresher(metrics, LogFollower(home), names, supervisor.alive),
    )


def _open(url: str) -> None:
    """Open the system's browser where there is a screen to show it on."""
    if sys.platform != "darwin" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return
    import webbrowser

    webbrowser.open(url)
