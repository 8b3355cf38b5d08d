"""An asset whose process is killed at any moment leaves nothing half, and runs again to the same end."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from foundation.database import make_engine
from foundation.home import CHECKOUT
from foundation.kernel_cache import kernel_hash
from foundation.migration import migrate
from market_data.importing import import_file
from market_data.sample_set import load_sample
from market_data.store import Store
from pipelines.definitions import definitions
from strategies.runs import close_dead_runs

N_MOMENTS = 3
N_COMMITS_MOST = 9
DYING = Path(__file__).with_name("dying.py")
STRATEGY = "examples/macd_trend.yaml"
# Where `make_home` puts the files of a folder that is ingested.
FILES = "HOME/files"
# And a backtest's result, of which others are made.
RESULT = "HOME/result"
SHORT = {"strategy": STRATEGY, "symbols": ["AAPL"], "start": "2012-01-03", "end": "2012-06-29"}


@dataclass(frozen=True, slots=True)
class Case:
    """A job to kill: its options, and what must be there before it starts."""

    job: str
    config: dict = field(default_factory=dict)
    partition: str = ""
    needs: tuple[str, ...] = ()


def of_step(step: str, options: dict) -> dict:
    return {"ops": {step: {"config": options}}}


# Which job makes each asset. An asset that is new goes here; a test says so when it was forgotten.
CASES = {
    "bars": Case("load_bars", of_step("bars", {}), "AAPL"),
    "data_quality": Case("check", {}, "AAPL", ("sample",)),
    "corporate_actions": Case("check", {}, "MSFT", ("sample",)),
    "ingested_bars": Case(
        "ingest",
        of_step(
            "ingested_bars",
            {"source": "files", "path": FILES, "timeframe": "1d", "calendar": "XNYS"},
        ),
        "2012-01-01|ACME",
        ("files",),
    ),
    "resampled_bars": Case("resample", of_step("resampled_bars", {}), "FAST", ("minutes",)),
    "merged_bars": Case("merge", {}, "FAST", ("minutes", "second source")),
    "backtest": Case(
        "backtest",
        {
            "ops": {
                "run_backtest": {"config": SHORT},
                "write_report": {"config": {"formats": ["csv"]}},
            }
        },
        needs=("sample",),
    ),
    "sweep": Case("sweep", of_step("run_sweep", {**SHORT, "random": 20}), needs=("sample",)),
    "optimisation": Case(
        "optimise",
        of_step("run_optimisation", {**SHORT, "trials": 20, "batch": 10}),
        needs=("sample",),
    ),
    "walk_forward": Case(
        "walk_forward_analysis",
        of_step("run_walk_forward", {**SHORT, "start": "2008-01-02", "windows": 3, "random": 10}),
        needs=("sample",),
    ),
    "monte_carlo": Case(
        "monte_carlo_analysis",
        of_step("run_monte_carlo", {"result": RESULT, "orders": 50, "noise": 5}),
        needs=("sample", "result"),
    ),
    "evidence": Case(
        "evidence", of_step("examine_version", {**SHORT, "cuts": 4, "starts": 1}), needs=("sample",)
    ),
}
# Made by the same job, in the same process.
ALSO = {"report": "backtest"}


def test_every_asset_is_killed_somewhere():
    assets = {
        key.to_user_string() for key in definitions.resolve_asset_graph().get_all_asset_keys()
    }
    assert assets == set(CASES) | set(ALSO)


def make_home(folder: Path, needs: tuple[str, ...]) -> Path:
    (folder / "kernels").mkdir(parents=True)
    (folder / "kernels" / kernel_hash()).symlink_to(os.environ["NUMBA_CACHE_DIR"])
    engine = make_engine(f"sqlite:///{folder / 'quarterdeck.sqlite'}")
    migrate(engine)
    engine.dispose()
    store = Store(folder)
    if "sample" in needs:
        load_sample(store)
    if "minutes" in needs:
        path = folder.parent / "minutes.csv"
        rows = [
            f"2012-01-03 {9 + (30 + m) // 60:02}:{(30 + m) % 60:02},10,11,9,10,{m + 1}"
            for m in range(390)
        ]
        path.write_text("\n".join(["time,open,high,low,close,volume", *rows]) + "\n")
        symbols = ("FAST@one", "FAST@other") if "second source" in needs else ("FAST",)
        for symbol in symbols:
            import_file(
                store, path, symbol=symbol, timeframe="1m", calendar="XNYS",
                timezone="America/New_York",
            )  # fmt: skip
    if "files" in needs:
        (folder / "files").mkdir()
        (folder / "files" / "ACME.csv").write_text(
            "date,open,high,low,close,volume\n"
            + "".join(f"2012-01-{day:02},10,11,9,10,1000\n" for day in (3, 4, 5, 6, 9, 10))
        )
    if "result" in needs:
        subprocess.run(
            [sys.executable, "-m", "launcher.command", "backtest", STRATEGY, "--symbol", "AAPL",
             "--start", "2008-01-02", "--no-report", "--out", folder / "result"],
            cwd=CHECKOUT, env=os.environ | {"QUARTERDECK_HOME": str(folder)}, check=True,
            capture_output=True, timeout=600,
        )  # fmt: skip
    return folder


def run(home: Path, case: Case, moment: int = 0) -> subprocess.CompletedProcess[str]:
    config = json.dumps(case.config).replace("HOME", str(home))
    return subprocess.run(
        [sys.executable, str(DYING), case.job, config, case.partition, str(moment)],
        cwd=CHECKOUT,
        env=os.environ | {"QUARTERDECK_HOME": str(home), "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=600,
    )


# Logs tell times, and each SQLite file its own history; both are looked at otherwise.
PASSED_OVER = ("logs", "kernels", "quarterdeck.sqlite")


def files_of(home: Path) -> dict[str, bytes]:
    """Return what there is under a home; times and places, which differ, are cut out."""
    found = {}
    for path in sorted(home.rglob("*")):
        name = path.relative_to(home).as_posix()
        if path.is_file() and not name.startswith(PASSED_OVER):
            found[name] = path.read_bytes()
    return found


def records_of(home: Path) -> list[tuple]:
    with closing(sqlite3.connect(home / "quarterdeck.sqlite")) as connection:
        return [
            *connection.execute("SELECT version_hash, stage FROM strategy_version ORDER BY 1"),
            *connection.execute("SELECT run_id, status, key_figures FROM backtest_run ORDER BY 1"),
            *connection.execute(
                "SELECT version_hash, to_stage, run_id FROM stage_change ORDER BY 1"
            ),
        ]


@pytest.mark.parametrize("asset", CASES)
def test_a_killed_asset_runs_again_to_the_same_end(asset: str, tmp_path: Path):
    case = CASES[asset]
    # Both begin with the same bytes, also where these tell when they were written.
    home = make_home(tmp_path / "killed", case.needs)
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(home, undisturbed, symlinks=True)
    done = run(undisturbed, case)
    assert done.returncode == 0, done.stderr[-2000:]
    n_changes = json.loads(done.stdout.splitlines()[-1])["changes"]
    assert n_changes > 3
    # The same moments each time, and never only the first ones.
    moments = random.Random(asset).sample(range(1, n_changes + 1), min(N_MOMENTS, n_changes))
    for moment in sorted(moments):
        killed = run(home, case, moment)
        # A moment beyond those that are left, since much was done before, ends in peace.
        assert killed.returncode in (-signal.SIGKILL, 0), killed.stderr[-2000:]
        assert_whole(home)
    again = run(home, case)
    assert again.returncode == 0, again.stderr[-2000:]
    assert comparable(home) == comparable(undisturbed)
    assert records_of(home) == records_of(undisturbed)


# The table of provenance tells when an answer came, and is named by its content.
PROVENANCE_NAME = re.compile(rb'"provenance": "provenance\.\w+\.parquet"')


def comparable(home: Path) -> dict[str, bytes]:
    """Return the files under a home as they are in any place at any time."""
    return {
        name: PROVENANCE_NAME.sub(
            b'"provenance": "some"', content.replace(str(home).encode(), b"HOME")
        )
        for name, content in files_of(home).items()
        if not Path(name).name.startswith("provenance.")
    }


def assert_whole(home: Path) -> None:
    """Hold that what has its name is whole, and that the record of the dead is closed."""
    for path in home.glob("results/*/*"):
        if not path.name.startswith("."):
            assert (path / "summary.json").is_file()
            assert (path / "decisions.parquet").is_file()
    for path in home.glob("sweeps/*/*"):
        if not path.name.startswith("."):
            assert (path / "sweep.parquet").is_file()
    store = Store(home)
    for symbol in store.symbols():
        for timeframe in store.timeframes(symbol):
            columns, series = store.read_columns(symbol, timeframe)
            assert columns.n_bars == series.rows
    engine = make_engine(f"sqlite:///{home / 'quarterdeck.sqlite'}")
    close_dead_runs(engine)
    engine.dispose()
    assert all(row[1] != "running" for row in records_of(home))


def test_a_run_killed_while_it_writes_is_closed_on_record(tmp_path: Path):
    case = CASES["backtest"]
    home = make_home(tmp_path / "home", case.needs)
    statuses: list[str] = []
    # A few commits, one of which lies between the begin and the end of the record.
    for n_commits in range(1, N_COMMITS_MOST):
        run(home, case, -n_commits)
        with closing(sqlite3.connect(home / "quarterdeck.sqlite")) as connection:
            statuses = [row[0] for row in connection.execute("SELECT status FROM backtest_run")]
        if statuses == ["running"]:
            break
    assert statuses == ["running"]
    engine = make_engine(f"sqlite:///{home / 'quarterdeck.sqlite'}")
    assert len(close_dead_runs(engine)) == 1
    assert close_dead_runs(engine) == []
    engine.dispose()
    with closing(sqlite3.connect(home / "quarterdeck.sqlite")) as connection:
        rows = connection.execute("SELECT status, error FROM backtest_run").fetchall()
    assert rows == [("failed", "its process ended before the result was recorded; run it again")]
