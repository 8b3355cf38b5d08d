"""Windows of a walk-forward analysis, and running sets over windows of several instruments.

Windows are counted in sessions over all instruments together. The pieces out
of sample follow each other without a gap and end with the last session; each
is preceded by its sessions in sample, with `purge` sessions left out between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from foundation.errors import SpecError
from foundation.progress import Progress, silent
from market_data.loading import LoadedBars
from research.figures import sum_headers
from research.set_figures import set_figures
from research.spans import LinkedSets, Span, run_one, run_spans
from trading import statistics
from trading.expressions.strategy import ResolvedStrategy
from trading.sleeve import SleeveRun
from trading.sweep import SweepRuns

FloatArray = NDArray[np.float64]

# A window in sample is this many times as long as its piece out of sample, where nothing is said.
IN_TO_OUT = 4


class Anchor(StrEnum):
    """Where windows in sample begin."""

    ROLLING = "rolling"  # Each begins as long before its end as the first.
    ANCHORED = "anchored"  # All begin with the first session.


@dataclass(frozen=True, slots=True)
class Window:
    """One step of a walk-forward analysis: sessions by their number, stops not included."""

    in_start: int
    in_stop: int
    out_start: int
    out_stop: int


def make_windows(
    n_sessions: int,
    *,
    n_windows: int = 10,
    n_in: int = 0,
    n_out: int = 0,
    purge: int = 0,
    anchor: Anchor = Anchor.ROLLING,
) -> list[Window]:
    """Cut sessions into windows.

    Parameters
    ----------
    n_in, n_out : int
        Sessions in sample (of the first window, where anchored) and out of
        sample; 0 to be found: four to one, over as many sessions as there are.
    purge : int
        Sessions left out between the two.

    Raises
    ------
    SpecError
        If there are too few sessions.

    Examples
    --------
    >>> make_windows(20, n_windows=3, n_in=8, n_out=4)[1]
    Window(in_start=4, in_stop=12, out_start=12, out_stop=16)
    """
    for name, value, least in (
        ("n_windows", n_windows, 1), ("in_sample", n_in, 0), ("out_of_sample", n_out, 0),
        ("purge", purge, 0),
    ):  # fmt: skip
        if value < least:
            raise SpecError(f"must be at least {least}, got {value}", path=name)
    left = n_sessions - purge
    if not n_out:
        n_out = (left - n_in) // n_windows if n_in else left // (n_windows + IN_TO_OUT)
    if not n_in:
        n_in = min(IN_TO_OUT * n_out, left - n_windows * n_out)
    needed = n_in + purge + n_windows * n_out
    if n_in < 2 or n_out < 1 or needed > n_sessions:
        raise SpecError(
            f"{n_windows} windows of {max(n_in, 2)} sessions in and {max(n_out, 1)} out of sample"
            f" with {purge} between need {max(n_in, 2) + purge + n_windows * max(n_out, 1):,}"
            f" sessions, there are {n_sessions:,}",
            hint="ask for fewer or shorter windows",
        )
    windows = []
    for k in range(n_windows):
        out_start = n_sessions - (n_windows - k) * n_out
        in_stop = out_start - purge
        in_start = 0 if anchor is Anchor.ANCHORED else in_stop - n_in
        windows.append(Window(in_start, in_stop, out_start, out_start + n_out))
    return windows


@dataclass(frozen=True, slots=True)
class SetRuns:
    """What sets did over one window, all instruments together.

    Attributes
    ----------
    figures : mapping of name to float64 array, shape (n_sets,)
    equity : float64 array, shape (n_sets, n_sessions)
        At session ends.
    sessions : int64 array, shape (n_sessions,)
    """

    figures: Mapping[str, FloatArray]
    equity: FloatArray
    sessions: NDArray[np.int64]


def span_of(loaded: LoadedBars, first: int, last: int) -> Span:
    """Return the traded bars of an instrument from a session to another, both included."""
    session = loaded.bars.session
    start = max(int(np.searchsorted(session, first, "left")), loaded.i_start)
    return Span(start, max(int(np.searchsorted(session, last, "right")), start))


def run_windows(
    strategy: ResolvedStrategy,
    loaded: Sequence[LoadedBars],
    cash: Sequence[float],
    sets: Sequence[Mapping[str, float]],
    windows: Sequence[tuple[int, int]],
    *,
    annualisation: int,
    threads: int | None = None,
    progress: Progress = silent,
) -> list[SetRuns]:
    """Run every set over every window, from cash at its start.

    Parameters
    ----------
    cash : sequence of float
        Of each instrument; one that has no bars in a window keeps it.
    windows : sequence of (int, int)
        First and last session date of each, days since 1970-01-01.

    Notes
    -----
    Of several instruments, the drawdown is that of session ends: their
    equity together within a session is not kept.
    """
    per_sleeve: list[list[SweepRuns | None]] = []
    n_bars = np.zeros(len(windows), np.int64)
    for i_sleeve, (one, money) in enumerate(zip(loaded, cash, strict=True)):
        spans = [span_of(one, first, last) for first, last in windows]
        n_bars += [span.stop - span.start for span in spans]
        live = [k for k, span in enumerate(spans) if span.stop > span.start]

        def part(done: int, total: int, label: str = "", i_sleeve: int = i_sleeve) -> None:
            progress(i_sleeve * total + done, len(loaded) * total, label)

        runs = run_spans(
            strategy, one.bars, sets, [spans[k] for k in live],
            cash=money, threads=threads, progress=part,
        )  # fmt: skip
        found: list[SweepRuns | None] = [None] * len(windows)
        for k, run in zip(live, runs, strict=True):
            found[k] = run
        per_sleeve.append(found)
    return [
        _together([runs[k] for runs in per_sleeve], cash, int(n_bars[k]), annualisation, len(sets))
        for k in range(len(windows))
    ]


def _together(
    runs: Sequence[SweepRuns | None],
    cash: Sequence[float],
    n_bars: int,
    annualisation: int,
    n_sets: int,
) -> SetRuns:
    if len(runs) == 1 and runs[0] is not None:
        only = runs[0]
        figures = set_figures(only.headers, only.session_equity, cash[0], n_bars, annualisation)
        return SetRuns(figures, only.session_equity, only.sessions)
    live = [run for run in runs if run is not None]
    if not live:
        raise SpecError("no instrument has a bar in one of the windows")
    sessions = np.unique(np.concatenate([run.sessions for run in live]))
    equity = add_up(
        [(None if r is None else (r.sessions, r.session_equity)) for r in runs],
        cash,
        sessions,
        n_sets,
    )
    headers = sum_set_headers([run.headers for run in live])
    total = sum(cash)
    peak = np.maximum.accumulate(np.maximum(equity, total), axis=1)
    depth = (1.0 - equity / peak).max(axis=1)
    return SetRuns(
        set_figures(headers, equity, total, n_bars, annualisation, depth), equity, sessions
    )


def add_up(
    parts: Sequence[tuple[NDArray[np.int64], FloatArray] | None],
    cash: Sequence[float],
    sessions: NDArray[np.int64],
    n_sets: int = 1,
) -> FloatArray:
    """Add sleeves' equity up: each waits in cash for its data and stays at its last value."""
    equity = np.zeros((n_sets, len(sessions)))
    for part, money in zip(parts, cash, strict=True):
        if part is None:
            equity += money
            continue
        own, values = part
        at = np.searchsorted(own, sessions, side="right") - 1
        equity += np.where(at >= 0, np.atleast_2d(values)[:, np.maximum(at, 0)], money)
    return equity


def sum_set_headers(headers: Sequence[NDArray[np.void]]) -> NDArray[np.void]:
    """Add the counts of several sleeves up, for each set."""
    if len(headers) == 1:
        return headers[0]
    return np.array(
        [sum_headers(np.array(rows)) for rows in zip(*headers, strict=True)], headers[0].dtype
    )


@dataclass(frozen=True, slots=True)
class SetTrack:
    """One set over one window, with its trades.

    Attributes
    ----------
    sessions, equity : arrays, shape (n_sessions,)
        Session dates, and equity of all instruments together at their ends.
    trades : structured array
        The engine's trades of all instruments, with `symbols` beside.
    """

    sessions: NDArray[np.int64]
    equity: FloatArray
    trades: NDArray[np.void]
    symbols: tuple[str, ...]


class Tracks:
    """A few sets over all bars of all instruments, to run over one window after the other."""

    def __init__(
        self,
        strategy: ResolvedStrategy,
        loaded: Sequence[LoadedBars],
        sets: Sequence[Mapping[str, float]],
        *,
        threads: int,
    ) -> None:
        self._loaded = loaded
        # These few sets belong together in memory, however long the bars are.
        self._linked = [
            LinkedSets(strategy, one.bars, sets, threads=threads, most_bytes=1 << 62)
            for one in loaded
        ]

    def run(
        self,
        row: int,
        first: int,
        last: int,
        shares: Sequence[float],
        cash: float,
        *,
        close_at_end: bool,
    ) -> SetTrack:
        """Run a set from a session to another, both included, flat at the start."""
        parts: list[tuple[NDArray[np.int64], FloatArray] | None] = []
        trades, symbols = [], []
        money = [share * cash for share in shares]
        for one, linked, own in zip(self._loaded, self._linked, money, strict=True):
            span = span_of(one, first, last)
            if span.stop <= span.start:
                parts.append(None)
                continue
            run: SleeveRun = run_one(linked, row, span, own, close_at_end=close_at_end)
            parts.append((run.record.session_date, run.record.session_equity[0]))
            trades.append(run.trades)
            symbols += [one.bars.instrument.symbol] * len(run.trades)
        known = [part[0] for part in parts if part is not None]
        if not known:
            raise SpecError("no instrument has a bar in one of the windows")
        sessions = np.unique(np.concatenate(known))
        equity = add_up(parts, money, sessions)[0]
        return SetTrack(sessions, equity, np.concatenate(trades), tuple(symbols))


def longest_holding(tracks: Tracks, row: int, first: int, last: int, shares: Sequence[float],
                    cash: float, sessions: NDArray[np.int64]) -> int:  # fmt: skip
    """Return the sessions that the longest trade of a set spans within a window."""
    track = tracks.run(row, first, last, shares, cash, close_at_end=True)
    if not len(track.trades):
        return 0
    day = 86_400 * 10**9
    entered = np.searchsorted(sessions, track.trades["entry_ts"] // day, "right")
    left = np.searchsorted(sessions, track.trades["exit_ts"] // day, "right")
    return int((left - entered).max())


def window_figures(
    equity: FloatArray, cash: float, sessions: NDArray[np.int64], annualisation: int
) -> dict[str, float]:
    """Return the key figures of an equity curve at session ends."""
    earned = statistics.returns(equity, cash)
    total = statistics.total_return(equity, cash)
    growth = statistics.cagr(total, len(equity), annualisation)
    depth = statistics.deepest_drawdown(equity, sessions, cash).depth
    return {
        "total_return": total,
        "cagr": growth,
        "volatility": statistics.volatility(earned, annualisation),
        "sharpe": statistics.sharpe(earned, 0.0, annualisation),
        "max_drawdown": depth,
        "calmar": statistics.calmar(growth, depth),
        "probabilistic_sharpe": statistics.probabilistic_sharpe(earned),
    }
