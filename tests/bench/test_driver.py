"""The driver prints rows and fails when a benchmark fails its own check."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bench import __main__ as driver
from bench import rules
from bench.bars import minute_bars
from bench.processes import Worker, WorkerFailed, in_turns
from bench.rows import NotValid, Row
from bench.sweep import check_identical

ROW = Row(
    name="sweep", value=2e8, unit="bar-evaluations/s", ratio=50.0, peer="peer 1.0",
    target="ratio >= 40", met=True, details={"n_trades": 7},
)  # fmt: skip


@pytest.fixture
def benchmark(monkeypatch, tmp_path):
    """Make every benchmark answer with what the test says."""
    answers = {}

    def find(name):
        def run(*, quick):
            answer = answers[name.removeprefix("bench.")]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return SimpleNamespace(run=run)

    monkeypatch.setattr(driver.importlib, "import_module", find)
    monkeypatch.setattr(driver, "use_kernel_cache", lambda home: home)
    return answers


def trades(*rows):
    columns = zip(*rows, strict=True)
    names = ("set", "entry", "exit", "entry_price", "exit_price")
    return {name: np.array(column) for name, column in zip(names, columns, strict=True)}


def test_json_prints_one_object_for_each_row(benchmark, capsys):
    benchmark["sweep"] = [ROW, ROW]
    assert driver.main(["sweep", "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert json.loads(lines[0]) == {
        "name": "sweep",
        "value": 2e8,
        "ratio": 50.0,
        "peer": "peer 1.0",
        "unit": "bar-evaluations/s",
        "target": "ratio >= 40",
        "met": True,
        "n_trades": 7,
    }


def test_failed_check_gives_exit_code_one_and_the_others_still_run(benchmark, capsys):
    benchmark["sweep"] = NotValid("12 % of the trades are identical")
    benchmark["cold"] = [ROW]
    assert driver.main(["sweep", "cold", "--json"]) == 1
    printed = capsys.readouterr()
    assert "12 % of the trades are identical" in printed.err
    assert len(printed.out.splitlines()) == 1


def test_table_shows_a_missed_target(benchmark, capsys):
    benchmark["sweep"] = [Row(name="sweep", value=1.0, unit="x", target="ratio >= 40", met=False)]
    assert driver.main(["sweep"]) == 0
    assert " NO " in capsys.readouterr().out


def test_unknown_name_is_refused_with_the_names_there_are():
    command = [sys.executable, "-m", "bench", "swep"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no benchmark 'swep'; there are sweep, single" in done.stderr


def test_share_identical_counts_bars_and_prices():
    ours = trades((0, 1, 5, 10.0, 11.0), (0, 7, 9, 10.0, 11.0), (1, 1, 5, 10.0, 11.0))
    other_price = trades((0, 1, 5, 10.0, 11.0), (0, 7, 9, 10.0, 11.1), (1, 1, 5, 10.0, 11.0))
    other_bar = trades((0, 1, 6, 10.0, 11.0), (0, 7, 9, 10.0, 11.0), (1, 1, 5, 10.0, 11.0))
    one_more = trades(
        *((0, 1, 5, 10.0, 11.0), (0, 7, 9, 10.0, 11.0), (1, 1, 5, 10.0, 11.0)),
        (1, 8, 9, 10.0, 11.0),
    )
    assert rules.share_identical(ours, ours) == 1.0
    assert rules.share_identical(ours, other_price) == pytest.approx(2 / 3)
    assert rules.share_identical(ours, other_bar) == pytest.approx(2 / 3)
    assert rules.share_identical(ours, one_more) == pytest.approx(3 / 4)
    assert rules.share_identical(one_more, ours) == pytest.approx(3 / 4)


def test_sides_without_trades_are_not_identical():
    nothing = {name: np.zeros(0) for name in ("set", "entry", "exit", "entry_price", "exit_price")}
    assert rules.share_identical(nothing, nothing) == 0.0


def test_sweep_is_not_valid_when_two_in_a_hundred_trades_differ():
    same = trades(*((0, i, i + 1, 10.0, 11.0) for i in range(100)))
    two_off = {**same, "exit": np.where(np.arange(100) < 2, 0, same["exit"])}
    assert check_identical({"platform": same, "vectorbt": same, "bare loop": same}) == 1.0
    with pytest.raises(NotValid, match=r"98\.00% of the trades"):
        check_identical({"platform": same, "vectorbt": two_off, "bare loop": same})


def test_worker_runs_in_its_own_process_and_hands_over_its_trades(tmp_path):
    path = tmp_path / "bars.npy"
    np.save(path, minute_bars(5_000))
    spec = rules.specification(str(path), rules.parameter_sets(3))
    with Worker(Path(sys.executable), "bench.bare_loop", spec) as worker:
        assert in_turns({"bare": worker}, 2)["bare"] > 0
        found = worker.arrays()
        assert worker.peak_bytes() > 10_000_000
    assert set(found["set"]) <= {0, 1, 2}
    assert len(found["set"]) > 0
    assert (found["exit"] >= found["entry"]).all()


def test_worker_that_dies_says_why(tmp_path):
    spec = rules.specification(str(tmp_path / "missing.npy"), rules.parameter_sets(1))
    with pytest.raises(WorkerFailed, match=r"missing\.npy"):
        Worker(Path(sys.executable), "bench.bare_loop", spec)
