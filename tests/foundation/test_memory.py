"""A process over its memory ceiling ends alone, and says why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from foundation.errors import QuarterdeckError
from foundation.home import CHECKOUT
from foundation.log_file import read_log
from foundation.memory import (
    GRACE_SECONDS,
    MEBIBYTE,
    MemoryCeilingReached,
    memory_ceiling,
    private_bytes,
)

N_SECONDS_TO_END = 500

EATING = """
import os, sys, time
from pathlib import Path
from foundation.memory import MemoryCeilingReached, memory_ceiling, private_bytes

def eat(n_mebibytes):
    # Until the process has so much of its own.
    kept = []
    while private_bytes(os.getpid()) < n_mebibytes * 2**20:
        kept.append(bytearray(b"x" * 2**20))
    return kept

def wait():
    # For what has to come, however slow the machine is.
    time.sleep(600)

with memory_ceiling(int(sys.argv[1]) * 2**20, home=Path(sys.argv[2]), facts={"dagster_run_id": "d1"}):
    %s
print("done")
"""


def run(tmp_path: Path, body: str, ceiling: int = 256) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", EATING % body, str(ceiling), str(tmp_path)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=N_SECONDS_TO_END,
    )


def test_work_within_its_ceiling_is_left_alone(tmp_path):
    done = run(tmp_path, "eat(100)")
    assert (done.stdout, done.returncode) == ("done\n", 0)
    assert read_log(tmp_path) == []


def test_work_over_its_ceiling_ends_with_one_line_that_names_ceiling_and_peak(tmp_path):
    # It stays below a quarter more, at which it would be killed at once.
    body = """
    try:
        kept = eat(260)
        wait()
    except MemoryCeilingReached as error:
        sys.exit(str(error))
"""
    done = run(tmp_path, body)
    assert done.returncode == 1
    assert done.stdout == ""
    words = done.stderr.strip()
    assert words.startswith("the run went over its memory ceiling of 256 MiB: its peak was ")
    peak = int(words.partition("its peak was ")[2].split()[0])
    assert 256 <= peak <= 270
    assert words.endswith("MiB; ask for fewer bars or sets, or state a higher ceiling")
    assert "\n" not in words


def test_work_that_grows_on_is_killed_and_the_log_says_why(tmp_path):
    # One call that holds the interpreter until it has a gigabyte gets no signal.
    done = run(tmp_path, 'x = b"x" * 2**34')
    assert done.returncode == -signal.SIGKILL
    (line,) = read_log(tmp_path)
    assert line["dagster_run_id"] == "d1"
    assert line["error"] == "MemoryCeilingReached"
    assert line["message"].startswith("the run went over its memory ceiling of 256 MiB")


def test_work_that_swallows_the_error_is_killed_after_the_grace(tmp_path):
    body = """
    kept = []
    while True:
        try:
            kept += eat(260)
            wait()
        except MemoryCeilingReached:
            pass
"""
    began = time.monotonic()
    done = run(tmp_path, body)
    assert done.returncode == -signal.SIGKILL
    assert time.monotonic() - began > GRACE_SECONDS
    assert len(read_log(tmp_path)) == 1


def test_the_watcher_ends_with_the_block_and_the_signal_means_again_what_it_did(tmp_path):
    before = signal.getsignal(signal.SIGUSR2)
    with memory_ceiling(10**12, home=tmp_path):
        assert len(watchers()) == 1
    assert watchers() == []
    assert signal.getsignal(signal.SIGUSR2) is before


def test_the_watcher_ends_with_a_process_that_is_killed(tmp_path):
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            EATING % "print(1, flush=True); wait()",
            "256",
            str(tmp_path),
        ],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"1\n"
    (watcher,) = watchers(process.pid)
    process.kill()
    process.wait()
    give_up = time.monotonic() + N_SECONDS_TO_END
    while Path(f"/proc/{watcher}/cmdline").exists() and time.monotonic() < give_up:
        time.sleep(0.05)
    assert not Path(f"/proc/{watcher}/cmdline").exists()


def watchers(process: int | None = None) -> list[int]:
    """Return the watchers of a process, by default of this one."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"foundation.memory_watcher" in words and str(process or os.getpid()).encode() in words:
            found.append(int(path.parent.name))
    return found


def test_the_memory_of_a_process_is_what_it_alone_has():
    before = private_bytes(os.getpid())
    kept = b"x" * (64 * MEBIBYTE)
    assert 60 * MEBIBYTE < private_bytes(os.getpid()) - before < 80 * MEBIBYTE
    del kept


def test_the_error_crosses_processes_whole():
    import pickle

    error = MemoryCeilingReached(300 * MEBIBYTE, 310 * MEBIBYTE)
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.ceiling_bytes, copy.peak_bytes) == (
        str(error), 300 * MEBIBYTE, 310 * MEBIBYTE,
    )  # fmt: skip


def test_no_ceiling_starts_nothing(tmp_path):
    with memory_ceiling(None, home=tmp_path):
        assert watchers() == []


def test_work_does_not_begin_without_the_process_that_holds_its_ceiling(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    began = False
    with (
        pytest.raises(QuarterdeckError, match="the memory ceiling could not be started"),
        memory_ceiling(10**12, home=tmp_path),
    ):
        began = True
    assert not began


def test_the_ceiling_holds_from_the_first_moment(tmp_path):
    with memory_ceiling(10**12, home=tmp_path):
        (watcher,) = watchers()
        # It has told that it looks: Ctrl-C is not its business any more.
        ignored = int(
            next(
                line.split()[1]
                for line in Path(f"/proc/{watcher}/status").read_text().splitlines()
                if line.startswith("SigIgn")
            ),
            16,
        )
        assert ignored & 1 << (signal.SIGINT - 1)
