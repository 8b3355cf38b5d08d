"""Runs the common rules in backtesting.py, one unit a trade.

Stop and target are known once the entry has filled, so they work from the bar
after it: a stop within the entry bar is the one difference, and too rare here
to be seen.
"""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import talib
from backtesting import Backtest, Strategy

from bench.protocol import serve


class CommonRules(Strategy):
    """The rules of `bench.rules`; parameters are set by the job."""

    spec: ClassVar[dict[str, Any]] = {}
    x = y = decided = 0.0

    def init(self) -> None:
        """Compute the indicators by TA-Lib, as the library's users do."""
        spec = self.spec
        fast, smoothing, slow = spec["stoch"]
        close = self.data.Close
        self.rsi = self.I(talib.RSI, close, spec["rsi_length"])
        self.k, _ = self.I(
            talib.STOCH, self.data.High, self.data.Low, close, fast, smoothing, 0, slow
        )

    def next(self) -> None:
        """Decide at a bar's close."""
        if not self.trades:
            if self.rsi[-1] < self.x and self.k[-1] < self.spec["stoch_below"]:
                self.buy(size=1)
                self.decided = self.data.Close[-1]
            return
        trade = self.trades[0]
        if trade.sl is None:
            trade.sl = trade.entry_price - self.spec["stop"] * self.decided
            trade.tp = trade.entry_price + self.spec["target"] * self.decided
        if self.rsi[-1] > self.y:
            trade.close()


class BacktestingJob:
    """The job of `bench.protocol`."""

    def __init__(self, spec: dict[str, Any]) -> None:
        prices = np.load(spec["bars"])[:, : spec["n_bars"]]
        index = pd.date_range("2024-01-01", periods=prices.shape[1], freq="min")
        names = ("Open", "High", "Low", "Close", "Volume")
        frame = pd.DataFrame(dict(zip(names, prices, strict=True)), index=index)
        CommonRules.spec = spec
        CommonRules.x, CommonRules.y = spec["sets"][0]
        warnings.simplefilter("ignore")
        self._make = lambda bars: Backtest(
            bars, CommonRules, cash=spec["cash"], commission=spec["fee"]
        )
        self._backtest = self._make(frame)
        self._make(frame.iloc[:2000]).run()

    def run(self) -> Any:
        """Do the work once."""
        return self._backtest.run()

    def arrays(self, result: Any) -> dict[str, np.ndarray]:
        """Return the closed trades of the last run."""
        trades = result["_trades"]
        return {
            "set": np.zeros(len(trades), np.int64),
            "entry": trades["EntryBar"].to_numpy(),
            "exit": trades["ExitBar"].to_numpy(),
            "entry_price": trades["EntryPrice"].to_numpy(),
            "exit_price": trades["ExitPrice"].to_numpy(),
        }


if __name__ == "__main__":
    serve(BacktestingJob)
