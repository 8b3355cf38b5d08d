"""`cold`: how long a person waits for the figures of one small backtest."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from bench.rows import NotValid, Row
from foundation.home import CHECKOUT

_TARGET = 1.8
_TARGET_SECONDS = 3.0
_TIMEOUT_SECONDS = 600.0
_STRATEGY = CHECKOUT / "bench" / "strategies" / "daily.yaml"
_NOT_BEFORE_SUMMARY = ("pandas", "dagster", "plotly")
_WATCHED = (
    *_NOT_BEFORE_SUMMARY,
    "polars",
    "duckdb",
    "exchange_calendars",
    "sqlalchemy",
    "streamlit",
)
# Python imports `sitecustomize` at its start: from here on the moment at which
# the folder of the result gets its name is known whoever gives it.
_HOOK = """
import os, sys
_replace, _rename = os.replace, os.rename
def _watched(act):
    def moved(source, target, **more):
        # A result gets its name as a folder, with the summary in it.
        if os.path.isfile(os.path.join(os.fspath(source), "summary.json")):
            with open(os.environ["BENCH_MODULES_FILE"], "w") as file:
                file.write("\\n".join(sys.modules))
        return act(source, target, **more)
    return moved
os.replace, os.rename = _watched(_replace), _watched(_rename)
"""


def run(*, quick: bool = False) -> list[Row]:
    """Time `quarterdeck backtest` until summary.json is there, with warm kernels.

    In turns with ``python -c 'import numba, polars'``, the start-up cost that
    any tool of this kind has.

    Raises
    ------
    NotValid
        If pandas, dagster or plotly is imported before summary.json is there.
    """
    n_rounds = 1 if quick else 5
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        early = _modules_before_summary(out, Path(folder))
        own: list[float] = []
        base: list[float] = []
        for _ in range(n_rounds):
            own.append(_seconds_to_summary(out))
            base.append(_seconds_of_imports())
    wrong = [name for name in _NOT_BEFORE_SUMMARY if name in early]
    if wrong:
        raise NotValid(f"cold: {', '.join(wrong)} imported before summary.json was written")
    seconds, base_seconds = median(own), median(base)
    ratio = seconds / base_seconds
    return [
        Row(
            name="cold",
            value=seconds,
            unit="s from process start to summary.json",
            ratio=ratio,
            peer="python -c 'import numba, polars'",
            target=f"ratio <= {_TARGET} and value <= {_TARGET_SECONDS:.0f}",
            met=ratio <= _TARGET and seconds <= _TARGET_SECONDS,
            details={
                "peer_value": base_seconds,
                "n_bars": 3270,
                "n_rounds": n_rounds,
                "imported_before_summary": [name for name in _WATCHED if name in early],
            },
        )
    ]


def _command(out: Path) -> list[str]:
    """Return the command on the repository's sample: 3,270 daily bars of AAPL."""
    program = Path(sys.executable).with_name("quarterdeck")
    bars = CHECKOUT / "market_data" / "sample" / "wiki_daily.parquet"
    return [
        *(str(program), "backtest", str(_STRATEGY)),
        *("--bars", str(bars), "--symbol", "AAPL", "--out", str(out)),
    ]


def _seconds_to_summary(out: Path, environment: dict[str, str] | None = None) -> float:
    """Run the command once; return the seconds until summary.json has its name."""
    shutil.rmtree(out, ignore_errors=True)
    summary = out / "summary.json"
    start = time.perf_counter()
    process = subprocess.Popen(
        _command(out),
        env=environment,
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seconds = 0.0
    while not seconds:
        if summary.exists():
            seconds = time.perf_counter() - start
        elif process.poll() is not None and not summary.exists():
            break
        elif time.perf_counter() - start > _TIMEOUT_SECONDS:
            process.kill()
        else:
            time.sleep(0.001)
    # The report may follow; it must be done before the next round starts.
    output, _ = process.communicate()
    if process.returncode or not seconds:
        raise NotValid(f"cold: the command ended with {process.returncode}:\n{output[-2000:]}")
    return seconds


def _seconds_of_imports() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import numba, polars"], cwd=CHECKOUT, check=True)
    return time.perf_counter() - start


def _modules_before_summary(out: Path, folder: Path) -> set[str]:
    """Run once, which also warms the kernels; return what was imported by then."""
    hook, listing = folder / "hook", folder / "modules.txt"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(_HOOK)
    _seconds_to_summary(
        out, {**os.environ, "PYTHONPATH": str(hook), "BENCH_MODULES_FILE": str(listing)}
    )
    if not listing.exists():
        raise NotValid("cold: summary.json was not written by renaming, so it was not seen")
    return set(listing.read_text().split())
