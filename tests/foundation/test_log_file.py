"""The log of work: a line for each piece of work, whole lines, a bounded size."""

from __future__ import annotations

import fcntl
import io
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog

from foundation import log_file
from foundation.errors import DataError
from foundation.home import CHECKOUT
from foundation.log_file import LogFollower, append_line, log_path, logged_work, note
from foundation.telemetry import start_logging


def lines(home: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log_path(home).read_text().splitlines()]


def work_that_raises(home: Path, error: BaseException) -> dict[str, Any]:
    with pytest.raises(type(error)), logged_work(home, "import", logger="launcher"):
        raise error
    return lines(home)[-1]


def test_work_leaves_one_line_with_its_facts_its_seconds_and_how_it_ended(home: Path) -> None:
    with logged_work(home, "backtest", logger="launcher", arguments=["backtest", "dip.yaml"]):
        note(run_id="abc", trades=12)
    (line,) = lines(home)
    assert line["event"] == "backtest ended"
    assert (line["level"], line["status"], line["logger"]) == ("info", "succeeded", "launcher")
    assert (line["run_id"], line["trades"]) == ("abc", 12)
    assert line["arguments"] == ["backtest", "dip.yaml"]
    assert 0.0 <= line["seconds"] < 10.0


def test_error_and_defect_are_told_apart(home: Path) -> None:
    line = work_that_raises(home, DataError("bar 7 has no close"))
    assert (line["level"], line["status"]) == ("error", "failed")
    assert (line["error"], line["message"]) == ("DataError", "bar 7 has no close")
    assert "exception" not in line
    line = work_that_raises(home, ZeroDivisionError("division by zero"))
    assert line["error"] == "ZeroDivisionError"
    # A defect's traceback is what somebody needs to find it.
    assert "work_that_raises" in line["exception"]


def test_exit_code_tells_how_a_command_ended(home: Path) -> None:
    assert work_that_raises(home, SystemExit(0))["status"] == "succeeded"
    assert work_that_raises(home, SystemExit(130))["status"] == "interrupted"
    assert work_that_raises(home, KeyboardInterrupt())["status"] == "interrupted"
    assert work_that_raises(home, SystemExit(2))["exit_code"] == 2
    # `quarterdeck runs | head` is no failure.
    left = SystemExit(1)
    left.__context__ = BrokenPipeError()
    assert work_that_raises(home, left)["status"] == "succeeded"


def test_lines_have_the_keys_of_the_other_logs(home: Path) -> None:
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        start_logging("info", "json", stream=stream)
        structlog.get_logger("research").info("backtest ended")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
    other = json.loads(stream.getvalue())
    with logged_work(home, "backtest", logger="research"):
        pass
    (line,) = lines(home)
    assert other.keys() <= line.keys()
    assert {name: line[name] for name in ("event", "level", "logger")} == {
        name: other[name] for name in ("event", "level", "logger")
    }
    assert line["timestamp"][-1] == other["timestamp"][-1] == "Z"


def test_secrets_are_hidden(home: Path) -> None:
    append_line(home, {"event": "login", "user": "ann", "api_key": "k-1"})
    assert lines(home) == [{"event": "login", "user": "ann", "api_key": "***"}]


def test_facts_outside_of_work_go_nowhere(home: Path) -> None:
    note(run_id="abc")
    with logged_work(home, "sweep", logger="launcher"):
        pass
    assert "run_id" not in lines(home)[0]


def test_home_that_does_not_exist_is_not_made(tmp_path: Path) -> None:
    with logged_work(tmp_path / "none", "version", logger="launcher"):
        pass
    assert not (tmp_path / "none").exists()


def test_log_that_cannot_be_written_does_not_stop_the_work(home: Path) -> None:
    (home / "logs").write_text("a file where the folder should be")
    with logged_work(home, "backtest", logger="launcher"):
        done = True
    assert done


def test_full_file_becomes_the_one_before_and_no_line_is_lost(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_file, "N_BYTES_MOST", 1_000)
    follower = LogFollower(home)
    seen: list[int] = []
    for number in range(100):
        append_line(home, {"number": number})
        if number % 7 == 0:
            seen.extend(line["number"] for line in follower.new_lines())
    seen.extend(line["number"] for line in follower.new_lines())
    assert seen == list(range(100))
    sizes = [path.stat().st_size for path in (home / "logs").iterdir()]
    assert len(sizes) == 2
    assert max(sizes) <= 1_000


def test_follower_begins_again_where_the_file_is_another_and_skips_what_is_no_object(
    home: Path,
) -> None:
    append_line(home, {"event": "a line that is long enough to be missed"})
    follower = LogFollower(home)
    with log_path(home).open("r+") as file:  # The number of the file stays the same.
        file.truncate(0)
        file.write('3\n{"event": "new"}\n')
    assert [line["event"] for line in follower.new_lines()] == ["new"]


def test_log_whose_lock_is_held_is_given_up(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "N_TRIES", 2)
    append_line(home, {"event": "first"})
    with log_path(home).open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError, match="another process"):
            append_line(home, {"event": "second"})
        with logged_work(home, "work", logger="test"):
            pass  # Ends as if nothing were.


def test_follower_begins_at_the_end_and_waits_for_whole_lines(home: Path) -> None:
    append_line(home, {"number": 1})
    follower = LogFollower(home)
    assert follower.new_lines() == []
    with log_path(home).open("a") as file:
        file.write('{"number": 2}\n{"num')
        file.flush()
        assert follower.new_lines() == [{"number": 2}]
        file.write('ber": 3}\n')
    assert follower.new_lines() == [{"number": 3}]


def test_lines_of_several_processes_stay_whole(home: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from foundation import log_file;"
        "log_file.N_BYTES_MOST = 300_000;"
        "[log_file.append_line(Path(sys.argv[1]), {'number': n, 'text': 'x' * 200})"
        " for n in range(500)]"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(home)], cwd=CHECKOUT) for _ in range(4)
    ]
    assert [writer.wait(120) for writer in writers] == [0] * 4
    found = [
        json.loads(line)
        for path in (home / "logs").iterdir()
        for line in path.read_text().splitlines()
    ]
    assert sorted(line["number"] for line in found) == sorted(list(range(500)) * 4)


def test_the_log_needs_nothing_beyond_the_standard_library() -> None:
    code = (
        "import sys, foundation.log_file;"
        "print(sorted({'structlog', 'prometheus_client', 'pydantic', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
