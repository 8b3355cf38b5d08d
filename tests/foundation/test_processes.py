"""A process has a name that no other process gets."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import foundation.processes
from foundation.processes import is_alive, is_running, moment_of, this_process


@pytest.fixture
def sleeper():
    """Give a process that does nothing; it is ended after."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


def test_this_process_is_alive_by_its_name():
    name = this_process()
    _, number, moment = name.split(" ")
    assert int(number) == os.getpid()
    boot, _, start = moment.partition(".")
    assert (len(boot), start.isdigit()) == (8, True)
    assert is_alive(name) is True
    assert this_process() == name


def test_a_process_is_dead_from_the_moment_it_ends_also_before_anyone_asked_how(sleeper):
    moment = moment_of(sleeper.pid)
    assert is_running(sleeper.pid, moment)
    sleeper.kill()
    # A zombie: it has ended, and its parent has not looked yet.
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert moment_of(sleeper.pid) is None
    assert not is_running(sleeper.pid, moment)
    sleeper.wait()
    assert not is_running(sleeper.pid, moment)


def test_another_process_with_the_same_number_is_not_taken_for_it(sleeper):
    boot, _, start = moment_of(sleeper.pid).partition(".")
    assert not is_running(sleeper.pid, f"{boot}.{int(start) - 1}")
    # The same tick after another boot.
    assert not is_running(sleeper.pid, f"{'0' * 8}.{start}")


def test_a_process_of_another_machine_can_not_be_told():
    _, number, moment = this_process().split(" ")
    assert is_alive(f"elsewhere {number} {moment}") is None


@pytest.mark.parametrize("text", ["", "4711", "host 4711", "host number 1f0c22aa.83522", "a b c d"])
def test_what_is_no_name_of_a_process_is_refused(text):
    with pytest.raises(ValueError, match="must be named as `host number start`, got"):
        is_alive(text)


def test_where_the_system_tells_no_start_only_the_number_counts(sleeper, tmp_path, monkeypatch):
    monkeypatch.setattr(foundation.processes, "_PROC", tmp_path)
    name = this_process()
    assert name.endswith(" -")
    assert is_alive(name) is True
    assert is_running(sleeper.pid, "-")

    def forbidden(number, signal):
        raise PermissionError

    with monkeypatch.context() as patch:
        # A process of another user is there all the same.
        patch.setattr(os, "kill", forbidden)
        assert is_running(sleeper.pid, "-")
    sleeper.kill()
    sleeper.wait()
    assert not is_running(sleeper.pid, "-")
