"""`quality`: minute bars with quotes through all checks of data quality."""

from __future__ import annotations

import time
from datetime import date

import numpy as np

from bench.rows import NotValid, Row
from market_data.calendars import compute_sessions
from market_data.columns import BarColumns
from market_data.generator import generate_minutes
from market_data.quality.checking import CHECKS, check_columns
from market_data.quality.findings import QualityFinding, Severity, at_least
from market_data.sessions import SessionTable

_TARGET = 1e6
_SEED = 20
_WINDOW = 21
_FIRST, _LAST, _LAST_QUICK = date(2014, 1, 2), date(2024, 12, 31), date(2014, 6, 30)


def run(*, quick: bool = False) -> list[Row]:
    """Check over a million bars in memory, beside one rolling median by bare numpy.

    Raises
    ------
    NotValid
        If the sound bars have a finding, or a zero that is planted then is not
        found: checks that see nothing would be fast.
    """
    last = _LAST_QUICK if quick else _LAST
    table = compute_sessions("XNYS", _FIRST, date(2025, 1, 31))
    bars = generate_minutes(_FIRST, last, seed=_SEED, sessions=table).columns
    seconds, bare, cpu = [], [], []
    for _ in range(2 if quick else 7):
        begin, cpu_begin = time.perf_counter(), time.process_time()
        found = _check(bars, table)
        seconds.append(time.perf_counter() - begin)
        cpu.append(time.process_time() - cpu_begin)
        if found:
            raise NotValid(f"quality: sound bars have a finding: {found[0].evidence}")
        begin = time.perf_counter()
        _rolling_median(bars.prices[3])
        bare.append(time.perf_counter() - begin)
    prices = bars.prices.copy()
    prices[2, bars.n_bars // 2] = 0.0
    wrecked = BarColumns(bars.ts, bars.session, prices, bars.bid, bars.ask)
    if [one.check for one in _check(wrecked, table)] != ["nonpositive_price"]:
        raise NotValid("quality: a price of zero was not found, or more than that")
    speed, bare_speed = bars.n_bars / np.median(seconds), bars.n_bars / np.median(bare)
    return [
        Row(
            name="quality",
            value=float(speed),
            unit="bars a second through all checks",
            ratio=float(speed / bare_speed),
            peer=f"numpy, one rolling median of {_WINDOW} closes",
            target=f"value >= {_TARGET:,.0f}",
            met=bool(speed >= _TARGET),
            details={
                "n_bars": bars.n_bars,
                "n_checks": len(CHECKS),
                "seconds": float(np.median(seconds)),
                "best": float(min(seconds)),
                # Beside the time on the clock: what a machine shared with others took away.
                "cpu_seconds": float(np.median(cpu)),
                "bare_seconds": float(np.median(bare)),
            },
        )
    ]


def _check(bars: BarColumns, table: SessionTable) -> list[QualityFinding]:
    found = check_columns(
        bars.ts, bars.prices, symbol="SIM", timeframe="1m", sessions=table, session=bars.session,
        bid=bars.bid, ask=bars.ask, tick=0.01, lot=1.0,
    )  # fmt: skip
    return at_least(found, Severity.WARNING)


def _rolling_median(values: np.ndarray) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(values, _WINDOW)
    return np.asarray(np.median(windows, axis=1))
