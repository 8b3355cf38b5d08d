"""Warm-up of the compile cache: compiles every kernel, so that first use doesn't wait.

Set-up runs it once for a set of sources; it costs seconds when all is cached.
Columns and engine compile in two processes at once.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace

import numpy as np

from trading.bars import Bars
from trading.instruments import Instrument

_DAY_NS = 86_400_000_000_000
_STRATEGY = """
name: warm-up
timeframe: 1d
instruments: [WARM]
indicators:
  rsi: rsi(close, 2)
  trend: sma(close, 2) @ 1w
enter_long: rsi < 50 and close > trend
exit_long: rsi > 50
execution:
  size: {equity_fraction: 0.5}
  exit: {stop_loss: 5%, profit_target: 5%}
"""


def tiny_bars(n_bars: int = 12) -> Bars:
    """Return a few made-up daily bars, 24 hours each, with weekly periods."""
    day = np.arange(n_bars, dtype=np.int64)
    close = 100.0 + 10.0 * np.sin(day)
    opened = np.roll(close, 1)
    opened[0] = 100.0
    high = np.maximum(opened, close) + 1.0
    low = np.minimum(opened, close) - 1.0
    week = (day + 3) // 7
    codes = (week << 2) | ((day % 7 == 3).astype(np.int64) << 1) | (day % 7 == 4)
    return Bars(
        Instrument("WARM", calendar="24/7"),
        "1d",
        day * _DAY_NS,
        (day + 1) * _DAY_NS,
        np.ascontiguousarray([opened, high, low, close, np.full(n_bars, 1e6)]),
        day,
        np.full(n_bars, 7, np.int64),
        np.zeros((4, n_bars)),
        {"1w": codes},
    )


def warm_columns() -> None:
    """Compile the columns of every indicator."""
    from trading.feeding import build_feed

    _, linker = _linked()
    build_feed(linker, tiny_bars(), threads=1)


def warm_engine() -> None:
    """Compile the engine on a feed without columns."""
    from trading.feeding import empty_feed
    from trading.sleeve import run_sleeve

    linked, linker = _linked()
    run_sleeve(linked.plan, empty_feed(linker, tiny_bars()), 1000.0)


def warm_step() -> None:
    """Compile the step that live trading takes."""
    from trading.stepping import SteppedSleeve

    linked, linker = _linked()
    sleeve = SteppedSleeve(linker, linked.plan, 1000.0)
    bars = tiny_bars()
    for _ in sleeve.step_bars(replace(bars, finer=bars, finer_start=np.arange(bars.n_bars + 1))):
        pass


def _linked():
    from trading.document import load_document
    from trading.expressions.strategy import bind, resolve_strategy
    from trading.linker import Linker
    from trading.planning import link_strategy, policy_record

    strategy = resolve_strategy(load_document(_STRATEGY))
    bound = bind(strategy, {})
    policy = policy_record(
        bound.policy,
        strategy.prices,
        tiny_bars().instrument,
        intraday=False,
        has_quotes=False,
        optimistic=False,
    )
    linker = Linker()
    linked = link_strategy(linker, strategy, bound, policy, periods_per_year=252, explain=True)
    return linked, linker


def main() -> int:
    """Compile everything, saying what is going on; return an exit status."""
    from foundation.home import data_home
    from foundation.kernel_cache import use_kernel_cache

    use_kernel_cache(data_home())
    if len(sys.argv) > 1:
        {"columns": warm_columns, "engine": warm_engine, "step": warm_step}[sys.argv[1]]()
        return 0
    started = time.monotonic()
    print("Compiling the trading kernels (one to three minutes the first time) ...", flush=True)
    parts = [
        subprocess.Popen([sys.executable, "-m", "trading.warm", part])
        for part in ("columns", "engine")
    ]
    while any(part.poll() is None for part in parts):
        time.sleep(0.2)
        if int(time.monotonic() - started) % 20 == 19:
            print(f"  still compiling, {time.monotonic() - started:.0f} s", flush=True)
            time.sleep(1)
    if any(part.returncode for part in parts):
        return 1
    status = subprocess.run([sys.executable, "-m", "trading.warm", "step"]).returncode
    print(f"Kernels are ready after {time.monotonic() - started:.0f} s.", flush=True)
    return status


if __name__ == "__main__":
    raise SystemExit(main())
