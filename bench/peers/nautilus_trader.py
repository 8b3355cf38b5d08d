"""Runs the common rules in nautilus_trader, one unit a trade.

nautilus_trader fills a market order at once, at the close that decided it,
where the rules say the next open: its trades agree in number and, one bar
earlier, in most places, but not in prices. A bracket carries stop and target,
measured from the close that decided.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.config import BacktestEngineConfig, LoggingConfig, StrategyConfig
from nautilus_trader.indicators import (
    MovingAverageType,
    RelativeStrengthIndex,
    Stochastics,
)
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide, OrderType
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import Equity
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

from bench.protocol import serve

_MINUTE_NS = 60_000_000_000


class CommonRules(Strategy):
    """The rules of `bench.rules`."""

    def __init__(self, spec: dict[str, Any], instrument: Equity, bar_type: BarType) -> None:
        super().__init__(StrategyConfig())
        self.spec = spec
        self.instrument = instrument
        self.bar_type = bar_type
        self.x, self.y = spec["sets"][0]
        fast, smoothing, slow = spec["stoch"]
        self.rsi = RelativeStrengthIndex(spec["rsi_length"], MovingAverageType.WILDER)
        self.stoch = Stochastics(fast, slow, smoothing, MovingAverageType.SIMPLE)
        self.one = Quantity.from_int(1)
        self.closed: list[tuple[int, int, float, float]] = []

    def on_start(self) -> None:
        """Let the indicators follow the bars."""
        self.register_indicator_for_bars(self.bar_type, self.rsi)
        self.register_indicator_for_bars(self.bar_type, self.stoch)
        self.subscribe_bars(self.bar_type)

    def on_bar(self, bar: Any) -> None:
        """Decide at a bar's close."""
        if not self.indicators_initialized():
            return
        rsi = 100.0 * self.rsi.value
        if self.portfolio.is_flat(self.instrument.id):
            if rsi < self.x and self.stoch.value_k < self.spec["stoch_below"]:
                self._enter(float(bar.close))
        elif rsi > self.y:
            self.cancel_all_orders(self.instrument.id)
            self.close_all_positions(self.instrument.id)

    def on_position_closed(self, event: Any) -> None:
        """Record the trade."""
        start = self.spec["start_ns"]
        self.closed.append(
            (
                (event.ts_opened - start) // _MINUTE_NS,
                (event.ts_closed - start) // _MINUTE_NS,
                event.avg_px_open,
                event.avg_px_close,
            )
        )

    def _enter(self, close: float) -> None:
        orders = self.order_factory.bracket(
            instrument_id=self.instrument.id,
            order_side=OrderSide.BUY,
            quantity=self.one,
            entry_order_type=OrderType.MARKET,
            sl_trigger_price=self.instrument.make_price(close * (1.0 - self.spec["stop"])),
            tp_price=self.instrument.make_price(close * (1.0 + self.spec["target"])),
        )
        self.submit_order_list(orders)


class NautilusJob:
    """The job of `bench.protocol`."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec
        prices = np.load(spec["bars"])[:, : spec["n_bars"]]
        venue = Venue("BENCH")
        self._instrument = Equity(
            instrument_id=InstrumentId(Symbol("BARS"), venue),
            raw_symbol=Symbol("BARS"),
            currency=USD,
            price_precision=4,
            price_increment=Price.from_str("0.0001"),
            lot_size=Quantity.from_int(1),
            ts_event=0,
            ts_init=0,
            maker_fee=Decimal(str(spec["fee"])),
            taker_fee=Decimal(str(spec["fee"])),
        )
        self._bar_type = BarType.from_str("BARS.BENCH-1-MINUTE-LAST-EXTERNAL")
        self._engine = BacktestEngine(
            BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), run_analysis=False)
        )
        self._engine.add_venue(
            venue=venue,
            oms_type=OmsType.NETTING,
            account_type=AccountType.MARGIN,
            base_currency=USD,
            starting_balances=[Money(spec["cash"], USD)],
            default_leverage=Decimal(1),
        )
        self._engine.add_instrument(self._instrument)
        make_price, make_quantity = self._instrument.make_price, Quantity.from_int
        bars = []
        for i, (opening, high, low, close, volume) in enumerate(prices.T.tolist()):
            # A bar is dated by its close here, so that it is decided at its end.
            moment = spec["start_ns"] + (i + 1) * _MINUTE_NS
            bars.append(
                Bar(
                    self._bar_type,
                    *(make_price(opening), make_price(high), make_price(low), make_price(close)),
                    *(make_quantity(int(volume)), moment, moment),
                )
            )
        self._engine.add_data(bars)

    def run(self) -> CommonRules:
        """Do the work once."""
        self._engine.reset()
        for strategy in self._engine.trader.strategies():
            strategy.stop()
        self._engine.clear_strategies()
        strategy = CommonRules(self._spec, self._instrument, self._bar_type)
        self._engine.add_strategy(strategy)
        self._engine.run()
        return strategy

    def arrays(self, result: CommonRules) -> dict[str, np.ndarray]:
        """Return the closed trades of the last run."""
        trades = np.array(result.closed).reshape(-1, 4)
        return {
            "set": np.zeros(len(trades), np.int64),
            "entry": trades[:, 0].astype(np.int64),
            "exit": trades[:, 1].astype(np.int64),
            "entry_price": trades[:, 2],
            "exit_price": trades[:, 3],
        }


if __name__ == "__main__":
    serve(NautilusJob)
