"""The platform's side of the benchmarks: bars, linked strategies and trades."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.bars import times
from market_data.building import bars_from_arrays
from trading.arrays import Feed
from trading.bars import Bars
from trading.expressions.strategy import ResolvedStrategy, bind
from trading.feeding import build_feed
from trading.instruments import Instrument
from trading.linker import Linker
from trading.planning import LinkedStrategy, link_strategy, policy_record
from trading.sleeve import SleeveRun
from trading.sweep import bars_per_year


def read_bars(path: str, n_bars: int | None, lot: float) -> Bars:
    """Return the first bars of a file of `bench.bars`, traded around the clock."""
    prices = np.load(path)[:, :n_bars]
    instrument = Instrument("BARS", asset_class="crypto", lot=lot, calendar="24/7")
    return bars_from_arrays(instrument, "1m", times(prices.shape[1]), *prices)


def link(
    strategy: ResolvedStrategy,
    values: Mapping[str, float],
    bars: Bars,
    *,
    explain: bool = False,
) -> tuple[Linker, LinkedStrategy]:
    """Link one parameter set of a strategy for the bars, on the lower path."""
    linker = Linker()
    bound = bind(strategy, values)
    policy = policy_record(
        bound.policy,
        strategy.prices,
        bars.instrument,
        intraday=True,
        has_quotes=False,
        optimistic=False,
    )
    linked = link_strategy(
        linker, strategy, bound, policy, periods_per_year=bars_per_year(bars), explain=explain
    )
    return linker, linked


def prepare(
    strategy: ResolvedStrategy, values: Mapping[str, float], bars: Bars, *, explain: bool = False
) -> tuple[LinkedStrategy, Feed]:
    """Link one parameter set and compute its columns."""
    linker, linked = link(strategy, values, bars, explain=explain)
    return linked, build_feed(linker, bars)


def trade_arrays(runs: Mapping[int, SleeveRun]) -> dict[str, NDArray[Any]]:
    """Return the closed trades of some parameter sets as `bench.rules` compares them."""
    trades = np.concatenate([run.trades for run in runs.values()])
    counts = [len(run.trades) for run in runs.values()]
    return {
        "set": np.repeat(np.array(list(runs), np.int64), counts),
        "entry": trades["entry_bar"],
        "exit": trades["exit_bar"],
        "entry_price": trades["entry_notional"] / trades["entry_lots"],
        "exit_price": trades["exit_notional"] / trades["exit_lots"],
    }
