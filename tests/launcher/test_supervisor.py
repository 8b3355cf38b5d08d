"""The supervisor on real processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from foundation.home import CHECKOUT
from launcher.supervisor import HOST, Service, ServiceFailed, Supervisor, free_port

_PATIENCE_S = 30.0


def wait_until(true: Callable[[], bool], what: str) -> None:
    give_up = time.monotonic() + _PATIENCE_S
    while not true():
        assert time.monotonic() < give_up, what
        time.sleep(0.02)


def lives(pid: int) -> bool:
    """Return whether a process runs; one that waits for its parent's notice does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def shell(name: str, script: str, **more: object) -> Service:
    return Service(name=name, command=("sh", "-c", script), settle_s=0.0, **more)  # type: ignore[arg-type]


def web(name: str, port: int) -> Service:
    return Service(
        name=name,
        command=(sys.executable, "-m", "http.server", str(port), "--bind", HOST),
        ready_url=f"http://{HOST}:{port}/",
    )


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/", timeout=1):
            return True
    except OSError:
        return False


def read_number(path: Path) -> int:
    wait_until(lambda: path.exists() and path.read_text().strip() != "", f"{path} was not written")
    return int(path.read_text())


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, said: list[str]) -> Supervisor:
    return Supervisor(tmp_path / "logs", tmp_path, said.append)


def test_services_answer_when_ready_and_are_gone_after(supervisor: Supervisor) -> None:
    first = free_port(20_100)
    second = free_port(20_100, taken=(first,))
    with supervisor:
        supervisor.start(web("one", first))
        supervisor.start(web("two", second))
        supervisor.wait_ready()
        assert answers(first)
        assert answers(second)
        assert supervisor.alive() == ["one", "two"]
    assert not answers(first)
    assert not answers(second)


def test_taken_port_gives_the_next_free_one() -> None:
    with socket.socket() as listening:
        listening.bind((HOST, 0))
        listening.listen()
        port = listening.getsockname()[1]
        assert free_port(port) != port
        assert free_port(port + 1, taken=(port + 1,)) > port + 1
    assert free_port(port) == port


def test_port_at_the_end_of_the_range_gives_any_free_one() -> None:
    with socket.socket() as listening:
        listening.bind((HOST, 65_535))
        listening.listen()
        assert 0 < free_port(65_535) < 65_535


def test_grandchild_is_stopped_though_its_parent_died(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    script = f"sleep 600 & echo $! > {tmp_path}/grandchild; exit 3"
    with supervisor:
        supervisor.start(shell("parent", script))
        grandchild = read_number(tmp_path / "grandchild")
        wait_until(lambda: not supervisor.alive(), "the parent did not end")
        assert lives(grandchild)
    wait_until(lambda: not lives(grandchild), "the grandchild was left over")


def test_child_that_is_killed_is_reported_once_and_the_others_run_on(
    supervisor: Supervisor, said: list[str]
) -> None:
    with supervisor:
        pid = supervisor.start(shell("weak", "echo all is well; exec sleep 600"))
        supervisor.start(shell("strong", "exec sleep 600"))
        wait_until(lambda: supervisor.log_of("weak").read_text() != "", "nothing was logged")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: supervisor.report_ended() == ["weak"], "the death was not noticed")
        assert supervisor.report_ended() == []
        assert supervisor.alive() == ["strong"]
    assert said == [
        f"weak ended with -9: all is well (log: {supervisor.log_of('weak')})",
    ]


def test_service_that_ends_at_once_is_named_with_its_last_line(supervisor: Supervisor) -> None:
    service = Service(
        name="broken",
        command=("sh", "-c", "echo first; echo cannot find the thing >&2; exit 7"),
        ready_url=f"http://{HOST}:9/",
    )
    with supervisor:
        supervisor.start(service)
        with pytest.raises(ServiceFailed, match="broken ended with 7: cannot find the thing"):
            supervisor.wait_ready()


def test_service_that_never_answers_is_given_up(supervisor: Supervisor) -> None:
    port = free_port(20_200)
    silent = shell("silent", "exec sleep 600", ready_url=f"http://{HOST}:{port}/")
    with supervisor:
        pid = supervisor.start(silent)
        with pytest.raises(ServiceFailed, match="silent did not answer within 0 s"):
            supervisor.wait_ready(timeout_s=0.3)
        assert lives(pid)
    assert not lives(pid)


def test_program_that_does_not_exist_is_named(supervisor: Supervisor) -> None:
    with supervisor, pytest.raises(ServiceFailed, match="gone can't be started: /no/such/program"):
        supervisor.start(Service(name="gone", command=("/no/such/program",)))


def test_child_that_ignores_the_request_is_killed(supervisor: Supervisor, tmp_path: Path) -> None:
    script = f"trap '' TERM; echo $$ > {tmp_path}/stubborn; while true; do sleep 1; done"
    supervisor.start(shell("stubborn", script))
    pid = read_number(tmp_path / "stubborn")
    supervisor.stop(timeout_s=0.3)
    assert not lives(pid)


def test_log_of_the_last_time_is_kept(supervisor: Supervisor) -> None:
    for text in ("yesterday", "today"):
        supervisor.start(shell("diary", f"echo {text}"))
        wait_until(lambda: not supervisor.alive(), "the service did not end")
        supervisor.stop()
    log = supervisor.log_of("diary")
    assert log.read_text() == "today\n"
    assert log.with_name("diary.log.1").read_text() == "yesterday\n"


_PROGRAM = """
import sys
from pathlib import Path
from launcher.supervisor import Service, Supervisor
folder = Path(sys.argv[1])
script = f"sleep 600 & echo $! > {folder}/grandchild; echo $$ > {folder}/child; wait"
try:
    with Supervisor(folder / "logs", folder) as supervisor:
        supervisor.start(Service(name="child", command=("sh", "-c", script)))
        supervisor.watch()
except KeyboardInterrupt:
    sys.exit(42)
"""


def started_program(tmp_path: Path) -> tuple[subprocess.Popen[bytes], int, int]:
    program = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(tmp_path)], cwd=CHECKOUT, start_new_session=True
    )
    return program, read_number(tmp_path / "child"), read_number(tmp_path / "grandchild")


def test_ctrl_c_stops_children_and_grandchildren(tmp_path: Path) -> None:
    program, child, grandchild = started_program(tmp_path)
    # To the whole group of the foreground, as a terminal does it.
    os.killpg(program.pid, signal.SIGINT)
    assert program.wait(_PATIENCE_S) == 42
    assert not lives(child)
    assert not lives(grandchild)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux to end children with their parent")
def test_children_end_when_the_supervisor_is_killed_outright(tmp_path: Path) -> None:
    program, child, grandchild = started_program(tmp_path)
    try:
        os.kill(program.pid, signal.SIGKILL)
        program.wait(_PATIENCE_S)
        wait_until(lambda: not lives(child), "the child was left over")
    finally:
        # Its own children are beyond reach then; a shell's sleep ends by itself.
        if lives(grandchild):
            os.kill(grandchild, signal.SIGKILL)
