"""Runs the common rules in backtrader with its own indicators, one unit a trade.

Stop and target are sent when the entry's fill is told, so they work from the
bar after it.
"""

from __future__ import annotations

import datetime
from typing import Any

import backtrader as bt
import numpy as np

from bench.protocol import serve


class ArrayFeed(bt.feed.DataBase):
    """Bars from arrays, without pandas in between."""

    params = (("columns", None),)

    def start(self) -> None:
        """Begin before the first bar."""
        super().start()
        self._i = -1

    def _load(self) -> bool:
        self._i += 1
        moments, opens, highs, lows, closes, volumes = self.p.columns
        if self._i >= len(moments):
            return False
        i = self._i
        self.lines.datetime[0] = moments[i]
        self.lines.open[0] = opens[i]
        self.lines.high[0] = highs[i]
        self.lines.low[0] = lows[i]
        self.lines.close[0] = closes[i]
        self.lines.volume[0] = volumes[i]
        return True


class CommonRules(bt.Strategy):
    """The rules of `bench.rules`."""

    params = (("spec", None),)

    def __init__(self) -> None:
        spec = self.p.spec
        fast, smoothing, slow = spec["stoch"]
        self.rsi = bt.indicators.RSI(self.data.close, period=spec["rsi_length"], safediv=True)
        stochastic = bt.indicators.Stochastic(
            self.data, period=fast, period_dfast=smoothing, period_dslow=slow, safediv=True
        )
        self.k = stochastic.percK
        self.x, self.y = spec["sets"][0]
        self.entry: Any = None
        self.exits: list[Any] = []
        self.trades: list[tuple[int, int, float, float]] = []
        self.opened = (0, 0.0)
        self.decided = 0.0

    def notify_order(self, order: Any) -> None:
        """Send stop and target after an entry; record the trade after an exit."""
        if order.status != order.Completed:
            return
        price = order.executed.price
        i_bar = len(self) - 1
        if order.isbuy():
            self.opened = (i_bar, price)
            below = price - self.p.spec["stop"] * self.decided
            above = price + self.p.spec["target"] * self.decided
            stop = self.sell(size=1, exectype=bt.Order.Stop, price=below)
            target = self.sell(size=1, exectype=bt.Order.Limit, price=above, oco=stop)
            self.exits = [stop, target]
        else:
            self.trades.append((self.opened[0], i_bar, self.opened[1], price))
            self.exits = []

    def next(self) -> None:
        """Decide at a bar's close."""
        if not self.position:
            if self.rsi[0] < self.x and self.k[0] < self.p.spec["stoch_below"]:
                self.buy(size=1)
                self.decided = self.data.close[0]
        elif self.rsi[0] > self.y and self.exits:
            for order in self.exits:
                self.cancel(order)
            self.exits = []
            self.sell(size=1)


class BacktraderJob:
    """The job of `bench.protocol`."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec
        prices = np.load(spec["bars"])[:, : spec["n_bars"]]
        start = bt.date2num(datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC))
        moments = start + np.arange(prices.shape[1]) / 1440.0
        self._columns = [moments.tolist(), *(row.tolist() for row in prices)]
        self._run([column[:2000] for column in self._columns])

    def run(self) -> Any:
        """Do the work once."""
        return self._run(self._columns)

    def arrays(self, result: Any) -> dict[str, np.ndarray]:
        """Return the closed trades of the last run."""
        trades = np.array(result.trades).reshape(-1, 4)
        return {
            "set": np.zeros(len(trades), np.int64),
            "entry": trades[:, 0].astype(np.int64),
            "exit": trades[:, 1].astype(np.int64),
            "entry_price": trades[:, 2],
            "exit_price": trades[:, 3],
        }

    def _run(self, columns: list[list[float]]) -> Any:
        cerebro = bt.Cerebro(stdstats=False)
        cerebro.adddata(ArrayFeed(columns=columns, timeframe=bt.TimeFrame.Minutes))
        cerebro.addstrategy(CommonRules, spec=self._spec)
        cerebro.broker.setcash(self._spec["cash"])
        cerebro.broker.setcommission(commission=self._spec["fee"])
        return cerebro.run()[0]


if __name__ == "__main__":
    serve(BacktraderJob)
