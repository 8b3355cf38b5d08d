"""The supervisor: starts services as processes, waits for them, stops all of them.

Owns process groups, ports, readiness and logs. Knows nothing of what the
services do.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from foundation.errors import QuarterdeckError

HOST = "127.0.0.1"
# A small machine that runs other things takes minutes to import everything.
READY_TIMEOUT_S = 300.0
_TELL_EVERY_S = 20.0
STOP_TIMEOUT_S = 10.0
_POLL_S = 0.2
_N_PORTS_TRIED = 100
_N_LOG_LINES = 8
_PR_SET_PDEATHSIG = 1


class ServiceFailed(QuarterdeckError):
    """A service ended or did not answer in time; the message has its last log lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One process to run, with all that it starts itself.

    Attributes
    ----------
    name : str
        Names its log.
    command : sequence of str
    environment : mapping
        Added to this process's own.
    ready_url : str
        Answers with 200 once the service works; empty for a service without
        a port, which counts as ready when it is still there after
        `settle_s` seconds.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_url: str = ""
    settle_s: float = 3.0


def free_port(preferred: int, taken: Sequence[int] = ()) -> int:
    """Return the first free port of 127.0.0.1 from `preferred` on.

    Parameters
    ----------
    preferred : int
    taken : sequence of int
        Ports given away already, though nothing listens there yet.
    """
    for port in range(preferred, min(preferred + _N_PORTS_TRIED, 65_536)):
        if port not in taken and _is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do it, or connections of a server that just ended would count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


class Supervisor:
    """Runs services, each in a process group of its own.

    Use it as a context: leaving it stops everything that was started.

    Parameters
    ----------
    logs : Path
        Folder for ``<name>.log``; the log before becomes ``<name>.log.1``.
    directory : Path
        Where services run.
    tell : callable
        Takes a line for the person at the terminal.
    """

    def __init__(
        self, logs: Path, directory: Path, tell: Callable[[str], None] = lambda line: None
    ) -> None:
        self.logs = logs
        self.directory = directory
        self.tell = tell
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._services: dict[str, Service] = {}
        self._reported: set[str] = set()

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, service: Service) -> int:
        """Start a service and return its process id.

        Raises
        ------
        ServiceFailed
            If its program can't be run.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.log_of(service.name)
        if log.exists():
            log.replace(log.with_name(f"{log.name}.1"))
        with log.open("wb") as output:
            try:
                process = subprocess.Popen(
                    list(service.command),
                    cwd=self.directory,
                    env={**os.environ, **service.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    # Ctrl-C reaches us alone, and we stop what they started too.
                    start_new_session=True,
                    preexec_fn=_end_with_parent if sys.platform == "linux" else None,
                )
            except OSError as error:
                raise ServiceFailed(
                    f"{service.name} can't be started: {service.command[0]}: {error.strerror}"
                ) from error
        self._running[service.name] = process
        self._services[service.name] = service
        return process.pid

    def log_of(self, name: str) -> Path:
        """Return where a service's output goes."""
        return self.logs / f"{name}.log"

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until every service answers.

        Raises
        ------
        ServiceFailed
            If one ends or does not answer in time.
        """
        began = time.monotonic()
        told = began
        waiting = dict(self._services)
        while waiting:
            if time.monotonic() - told > _TELL_EVERY_S:
                told = time.monotonic()
                self.tell(f"  waiting for {', '.join(waiting)}, {told - began:.0f} s")
            for name, service in list(waiting.items()):
                status = self._running[name].poll()
                if status is not None:
                    self._reported.add(name)
                    raise ServiceFailed(self._last_words(name, f"ended with {status}"))
                elapsed = time.monotonic() - began
                if (
                    _answers(service.ready_url)
                    if service.ready_url
                    else (elapsed >= service.settle_s)
                ):
                    del waiting[name]
                elif elapsed > timeout_s:
                    raise ServiceFailed(
                        self._last_words(name, f"did not answer within {timeout_s:.0f} s")
                    )
            if waiting:
                time.sleep(_POLL_S)

    def watch(self) -> None:
        """Report services that end, until all have ended or a signal interrupts."""
        while self.alive():
            self.report_ended()
            time.sleep(_POLL_S)
        self.report_ended()

    def alive(self) -> list[str]:
        """Return the names of the services that run."""
        return [name for name, process in self._running.items() if process.poll() is None]

    def report_ended(self) -> list[str]:
        """Tell of services that ended since the last call, and return their names."""
        ended = [
            name
            for name, process in self._running.items()
            if process.poll() is not None and name not in self._reported
        ]
        for name in ended:
            self._reported.add(name)
            status = self._running[name].returncode
            self.tell(self._last_words(name, f"ended with {status}"))
        return ended

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Stop every service with all that it started, also where it died itself.

        They are asked first, and killed after the time-out.
        """
        groups = {process.pid for process in self._running.values()}
        _signal_all(groups, signal.SIGTERM)
        give_up = time.monotonic() + timeout_s
        while time.monotonic() < give_up and self._any_left(groups):
            time.sleep(0.05)
        _signal_all(groups, signal.SIGKILL)
        for process in self._running.values():
            process.wait()
        self._running.clear()
        self._services.clear()

    def _any_left(self, groups: set[int]) -> bool:
        for process in self._running.values():
            # An ended child counts as member of its group until it is asked for.
            process.poll()
        return any(_exists(group) for group in groups)

    def _last_words(self, name: str, what: str) -> str:
        log = self.log_of(name)
        text = log.read_bytes().decode("utf-8", "replace") if log.exists() else ""
        lines = [line for line in text.splitlines() if line.strip()][-_N_LOG_LINES:]
        said = f": {lines[-1].strip()}" if lines else ""
        return f"{name} {what}{said} (log: {log})"


def _answers(url: str) -> bool:
    try:
        # Straight to this machine, whatever proxy the environment names.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=2.0) as response:
            return bool(response.status == 200)
    except (OSError, ValueError, urllib.error.URLError):
        return False


def _signal_all(groups: set[int], number: signal.Signals) -> None:
    for group in groups:
        try:
            os.killpg(group, number)
        except ProcessLookupError:
            continue


def _exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


_prctl = getattr(ctypes.CDLL(None), "prctl", None) if sys.platform == "linux" else None


def _end_with_parent() -> None:
    """Have the kernel stop this child when the supervisor is killed outright."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
