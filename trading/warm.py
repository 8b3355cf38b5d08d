"""Warm-up of the compile cache: compiles every kernel, so that first use doesn't wait.

Set-up runs it once for a set of sources; it costs seconds when all is cached.
Its parts compile in processes of their own, two at once.
"""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import replace

import numpy as np

from trading.bars import Bars
from trading.instruments import Instrument

SECONDS_BETWEEN = 20  # Of two lines on how far it has come.
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


def warm_sweep(name: str) -> None:
    """Compile the engine for a special kind of plans, which only sweeps run."""
    from trading import sleeve, specialising
    from trading.engine import RUN_KIND
    from trading.feeding import empty_feed

    kind = getattr(specialising, name)
    linked, linker = _linked()
    for field, value in specialising.KNOWN[kind].items():
        linked.plan["policy"][field] = value
    bars = tiny_bars()
    RUN_KIND[kind](
        linked.plan,
        sleeve.new_states(linked.plan, 1000.0),
        sleeve.new_journal(keeps=False),
        sleeve.new_scratch(0),
        empty_feed(linker, bars),
        sleeve.new_logs(1),
        sleeve.new_record(0, bars.n_bars),
        0,
        bars.n_bars,
        bars.n_bars,
        False,
    )


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


# The longest first.
PARTS = {
    "engine": warm_engine,
    "step": warm_step,
    "columns": warm_columns,
    "sweep-with-target": lambda: warm_sweep("WITH_TARGET"),
    "sweep-without-target": lambda: warm_sweep("WITHOUT_TARGET"),
}


def main() -> int:
    """Compile everything, saying what is going on; return an exit status."""
    from foundation.home import data_home
    from foundation.kernel_cache import use_kernel_cache

    use_kernel_cache(data_home())
    if len(sys.argv) > 1:
        PARTS[sys.argv[1]]()
        return 0
    started = time.monotonic()
    print("Compiling the trading kernels (one to three minutes the first time) ...", flush=True)
    with ThreadPoolExecutor(2) as pool:
        waiting = {pool.submit(_compile, part) for part in PARTS}
        while waiting:
            done, waiting = wait(waiting, SECONDS_BETWEEN, FIRST_COMPLETED)
            if any(not part.result() for part in done):
                pool.shutdown(cancel_futures=True)
                return 1
            if waiting:
                seconds = time.monotonic() - started
                print(
                    f"  {len(PARTS) - len(waiting)} of {len(PARTS)} parts, {seconds:.0f} s",
                    flush=True,
                )
    print(f"Kernels are ready after {time.monotonic() - started:.0f} s.", flush=True)
    return 0


def _compile(part: str) -> bool:
    return subprocess.run([sys.executable, "-m", "trading.warm", part]).returncode == 0


if __name__ == "__main__":
    raise SystemExit(main())
