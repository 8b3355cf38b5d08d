"""Loads what the analyst's pages show, and keeps it while its files stay the same.

Owns finding results and sweeps under the data home and in the record, and the
caches: each is keyed on path and time of change, so that a result written
anew is read anew. Reading itself is done by `research` and `strategies`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

import polars as pl
import streamlit as st
from sqlalchemy import Engine, make_url

from foundation.database import make_engine
from foundation.errors import DataError, QuarterdeckError
from foundation.settings import Settings, load_settings
from research.report_content import ReportContent, read_content
from research.results import ResultFiles, Table, open_result
from research.summary import SUMMARY_FILE, Summary, read_summary
from strategies.runs import BacktestRun, list_runs
from strategies.tables import RunStatus

N_KEPT = 24


class Status(Enum):
    """What there is of a backtest."""

    READY = "ready"
    DAMAGED = "damaged"
    RUNNING = "running"
    FAILED = "failed"
    MISSING = "files missing"


@dataclass(frozen=True, slots=True)
class Backtest:
    """One backtest that was found.

    Attributes
    ----------
    key : str
        Names it in links: its run id.
    summary : Summary or None
        None unless it is ready.
    error : str
        One line, why there is no result.
    at : datetime
        When its summary was written, else when the run started; UTC.
    """

    key: str
    strategy: str
    directory: Path
    status: Status
    summary: Summary | None
    error: str
    at: datetime

    @property
    def symbols(self) -> tuple[str, ...]:
        """Return the instruments; none while there is no result."""
        return tuple(self.summary.instruments) if self.summary is not None else ()

    @property
    def label(self) -> str:
        """Return what a person tells it by."""
        if self.summary is None:
            return f"{self.strategy} · {self.status.value} · {self.key[:12]}"
        symbols = self.summary.instruments
        named = ", ".join(symbols[:3]) + (f" +{len(symbols) - 3}" if len(symbols) > 3 else "")
        period = f"{self.summary.start} to {self.summary.end}"
        return f"{self.strategy} · {named} · {period} · {self.key[:6]}"


@dataclass(frozen=True, slots=True)
class Found:
    """All backtests, latest first, and what kept some from being found."""

    backtests: tuple[Backtest, ...]
    problem: str
    at: datetime

    @property
    def ready(self) -> tuple[Backtest, ...]:
        """Return those that can be looked at."""
        return tuple(one for one in self.backtests if one.status is Status.READY)

    def get(self, key: str | None) -> Backtest | None:
        """Return the backtest with this key."""
        return next((one for one in self.backtests if one.key == key), None)


def current_settings() -> Settings:
    """Return the settings of this process's environment."""
    return load_settings()


def find_backtests() -> Found:
    """Find the results under the data home and those that the record names elsewhere."""
    settings = current_settings()
    now = datetime.now(UTC)
    found: dict[str, Backtest] = {}
    for directory in _result_directories(settings.home / "results"):
        one = _read(directory)
        found.setdefault(one.key, one)
    runs, problem = _recorded_runs(settings)
    for run in runs:
        if run.run_id in found and run.status is not RunStatus.RUNNING:
            continue
        directory = Path(run.result_directory)
        if (directory / SUMMARY_FILE).is_file():
            one = _read(directory)
            found.setdefault(one.key, one)
        elif run.run_id not in found:
            found[run.run_id] = _without_files(run, directory)
    latest = sorted(found.values(), key=lambda one: (one.at, one.key), reverse=True)
    return Found(tuple(latest), problem, now)


def _result_directories(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(
        run
        for strategy in root.iterdir()
        if strategy.is_dir() and not strategy.name.startswith(".")
        for run in strategy.iterdir()
        # A directory being written has a name that begins with a dot.
        if run.is_dir() and not run.name.startswith(".")
    )


def _read(directory: Path) -> Backtest:
    path = directory / SUMMARY_FILE
    if not path.is_file():
        at = datetime.fromtimestamp(directory.stat().st_mtime, UTC)
        error = f"{SUMMARY_FILE} is missing"
        return _damaged(directory, error, at)
    changed = path.stat().st_mtime_ns
    at = datetime.fromtimestamp(changed / 1e9, UTC)
    try:
        summary = _summary(str(directory), changed)
    except QuarterdeckError as error:
        return _damaged(directory, str(error), at)
    missing = [t.file_name for t in Table if not (directory / t.file_name).is_file()]
    needed = [name for name in missing if name != Table.DECISIONS.file_name]
    if needed:
        return _damaged(directory, f"missing: {', '.join(needed)}", at)
    key = summary.run_id or directory.name
    return Backtest(key, summary.strategy, directory, Status.READY, summary, "", at)


def _damaged(directory: Path, error: str, at: datetime) -> Backtest:
    return Backtest(
        directory.name, directory.parent.name, directory, Status.DAMAGED, None, error, at
    )


def _without_files(run: BacktestRun, directory: Path) -> Backtest:
    status = {RunStatus.RUNNING: Status.RUNNING, RunStatus.FAILED: Status.FAILED}
    error = run.error or ("" if run.status is RunStatus.RUNNING else f"no result in {directory}")
    return Backtest(
        run.run_id, run.name, directory, status.get(run.status, Status.MISSING), None, error,
        run.started_at,
    )  # fmt: skip


def _recorded_runs(settings: Settings) -> tuple[list[BacktestRun], str]:
    """Return the recorded runs, and one line when the record can't be read."""
    url = make_url(settings.database_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        return [], ""
    try:
        return list_runs(_engine(settings.database_url)), ""
    except QuarterdeckError as error:
        return [], str(error)


@st.cache_resource(show_spinner=False)
def _engine(url: str) -> Engine:
    return make_engine(url)


# Streamlit leaves arguments that begin with an underscore out of the key, so
# the time of change must not.
@st.cache_data(show_spinner=False, max_entries=5000)
def _summary(directory: str, changed_ns: int) -> Summary:
    return read_summary(Path(directory))


def load_content(backtest: Backtest) -> ReportContent:
    """Load figures and tables of a result.

    Raises
    ------
    DataError
        If a table is missing or damaged.
    """
    return _content(str(backtest.directory), _changed(backtest.directory))


def load_result(backtest: Backtest) -> ResultFiles:
    """Open a result; its tables are read when asked for.

    Raises
    ------
    DataError
        If it is gone or damaged.
    """
    return open_result(backtest.directory)


def cached(backtest: Backtest, compute: Callable[..., object], *arguments: object) -> object:
    """Return what a function of `research` says of a result, computed once for its files.

    Parameters
    ----------
    compute : callable
        Takes the `ResultFiles` and the arguments, all of which hash.
    """
    directory = backtest.directory
    name = f"{compute.__module__}.{compute.__qualname__}"
    return _computed(str(directory), _changed(directory), name, arguments, compute)


def _changed(directory: Path) -> int:
    """Return when any of a result's tables last changed."""
    paths = [directory / SUMMARY_FILE, *(directory / table.file_name for table in Table)]
    return max((path.stat().st_mtime_ns for path in paths if path.is_file()), default=0)


# Resources are handed out without the copy that cached data gets: frames
# can't be changed in place, and a copy of a million rows would be felt.
@st.cache_resource(show_spinner=False, max_entries=N_KEPT)
def _content(directory: str, changed_ns: int) -> ReportContent:
    return read_content(open_result(Path(directory)))


@st.cache_resource(show_spinner=False, max_entries=4 * N_KEPT)
def _computed(
    directory: str, changed_ns: int, name: str, arguments: tuple[object, ...],
    _compute: Callable[..., object],
) -> object:  # fmt: skip
    return _compute(open_result(Path(directory)), *arguments)


@dataclass(frozen=True, slots=True)
class SweepChoice:
    """What a sweep chose, and by which figure; empty for one that chose nothing.

    Attributes
    ----------
    marks : dict of name to set
        `Plateau` and `Peak`, where there are such.
    """

    objective: str = ""
    why: str = ""
    marks: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sweep:
    """A finished sweep: its parameter sets with their figures.

    Attributes
    ----------
    key : str
        Names it in links: the name of its directory.
    parameters : tuple of str
        Columns that were varied; the other columns are figures.
    at : datetime
        When it was written; UTC.
    """

    key: str
    strategy: str
    directory: Path
    about: dict[str, object]
    parameters: tuple[str, ...]
    at: datetime

    @property
    def label(self) -> str:
        """Return what a person tells it by."""
        return f"{self.strategy} · {', '.join(self.parameters)} · {self.key[:12]}"

    @property
    def choice(self) -> SweepChoice:
        """Return the plateau and the peak, which sweeps of older versions don't have."""
        about = self.about.get("choice")
        if not isinstance(about, dict):
            return SweepChoice()
        marks = {}
        for key, name in (("plateau", "Plateau"), ("peak", "Peak")):
            values = (about.get(key) or {}).get("values") or {}
            if set(self.parameters) <= set(values):
                marks[name] = {one: float(values[one]) for one in self.parameters}
        return SweepChoice(str(about.get("objective", "")), str(about.get("why", "")), marks)


def find_sweeps() -> tuple[list[Sweep], list[str]]:
    """Find the sweeps under the data home, latest first, and say which can't be read."""
    sweeps, problems = [], []
    for directory in _result_directories(current_settings().home / "sweeps"):
        path = directory / "sweep.json"
        try:
            about = json.loads(path.read_bytes())
            parameters = tuple(str(name) for name in about["parameters"])
            at = datetime.fromtimestamp((directory / "sweep.parquet").stat().st_mtime, UTC)
        except (OSError, ValueError, KeyError, TypeError) as error:
            problems.append(f"{directory} holds no whole sweep: {error}")
            continue
        strategy = str(about.get("strategy") or directory.parent.name)
        sweeps.append(Sweep(directory.name, strategy, directory, about, parameters, at))
    return sorted(sweeps, key=lambda one: one.at, reverse=True), problems


def load_sweep(sweep: Sweep) -> pl.DataFrame:
    """Load the rows of a sweep, one for each parameter set.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    path = sweep.directory / "sweep.parquet"
    return _sweep_rows(str(path), path.stat().st_mtime_ns)


@st.cache_resource(show_spinner=False, max_entries=N_KEPT)
def _sweep_rows(path: str, changed_ns: int) -> pl.DataFrame:
    try:
        rows = pl.read_parquet(path)
        # Lengths are counts: 14, not 14.0, on axes and in tables.
        whole = [
            name
            for name, dtype in rows.schema.items()
            if dtype.is_float()
            and rows[name].count() == rows.height > 0
            and bool((rows[name] == rows[name].round()).all())
        ]
        return rows.with_columns(pl.col(whole).cast(pl.Int64))
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
