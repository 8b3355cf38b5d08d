"""Runs the common rules in vectorbt: all sets as columns of one portfolio.

vectorbt executes one signal for each bar and column, so a stop can't fill in
the entry bar, and a stop hit in the bar whose open takes an exit goes first;
both are rare here and counted against the share of identical trades.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import vectorbt as vbt

from bench.protocol import serve


class VectorbtJob:
    """Indicators by TA-Lib, as vectorbt's users take them, then `from_signals`."""

    def __init__(self, spec: dict[str, Any]) -> None:
        prices = np.load(spec["bars"])
        index = pd.date_range("2024-01-01", periods=prices.shape[1], freq="min", tz="UTC")
        names = ("open", "high", "low", "close")
        self._bars = pd.DataFrame(dict(zip(names, prices[:4], strict=True)), index=index)
        self._sets = np.array(spec["sets"])
        self._spec = spec
        self._rsi = vbt.IndicatorFactory.from_talib("RSI")
        self._stoch = vbt.IndicatorFactory.from_talib("STOCH")
        self.about = {"engine": spec["engine"], "version": vbt.__version__}
        self.run()

    def run(self) -> Any:
        """Do the work once."""
        spec, bars = self._spec, self._bars
        fast, smoothing, slow = spec["stoch"]
        rsi = self._rsi.run(bars["close"], timeperiod=spec["rsi_length"]).real.to_numpy()
        k = self._stoch.run(
            *(bars["high"], bars["low"], bars["close"]),
            fastk_period=fast,
            slowk_period=smoothing,
            slowd_period=slow,
        ).slowk.to_numpy()
        # As shares of the fill that stand where the rules' distances from it do.
        decided = bars["close"].shift(1) / bars["open"]
        # One row down: decided at the close, executed at the next open.
        entries = np.zeros((len(bars), len(self._sets)), dtype=bool)
        exits = np.zeros_like(entries)
        entries[1:] = (rsi[:-1, None] < self._sets[:, 0]) & (k[:-1, None] < spec["stoch_below"])
        exits[1:] = rsi[:-1, None] > self._sets[:, 1]
        return vbt.Portfolio.from_signals(
            bars["close"],
            entries,
            exits,
            price=bars["open"],
            open=bars["open"],
            high=bars["high"],
            low=bars["low"],
            size=np.inf,
            size_granularity=spec["lot"],
            fees=spec["fee"],
            sl_stop=spec["stop"] * decided,
            tp_stop=spec["target"] * decided,
            stop_entry_price="fillprice",
            init_cash=spec["cash"],
            freq="1min",
            engine=spec["engine"],
        )

    def arrays(self, result: Any) -> dict[str, np.ndarray]:
        """Return the closed trades of the last run."""
        records = result.exit_trades.values
        closed = records[records["status"] == 1]
        return {
            "set": closed["col"],
            "entry": closed["entry_idx"],
            "exit": closed["exit_idx"],
            "entry_price": closed["entry_price"],
            "exit_price": closed["exit_price"],
        }


if __name__ == "__main__":
    serve(VectorbtJob)
