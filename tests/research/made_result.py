"""Makes a result directory as a backtest would write it, without the engine.

A moving-average strategy with a stop, simulated in plain Python over a seeded
random walk: enough trades, costs, cash events and reasons for charts, tables
and reports to have something to show. The files follow the published schema.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from research.summary import InstrumentFigures, Summary, YearFigures, encode_summary
from trading import statistics

UTC_US = pl.Datetime("us", "UTC")
COMMISSION_PER_SHARE = 0.005
SLIPPAGE_BPS = 1.0
LENGTH_FAST = 10
LENGTH_SLOW = 40

TRADES = {
    "symbol": pl.String, "trade_id": pl.Int64, "side": pl.String, "entry_ts": UTC_US,
    "exit_ts": UTC_US, "entry_price": pl.Float64, "exit_price": pl.Float64,
    "quantity": pl.Float64, "n_fills": pl.Int64, "bars_held": pl.Int64,
    "gross_profit": pl.Float64, "commission": pl.Float64, "slippage": pl.Float64,
    "net_profit": pl.Float64, "return": pl.Float64, "mae": pl.Float64, "mfe": pl.Float64,
    "exit_reason": pl.String, "sign_differs": pl.Boolean,
}  # fmt: skip
ORDERS = {
    "symbol": pl.String, "client_order_id": pl.String, "created_ts": UTC_US, "ended_ts": UTC_US,
    "role": pl.String, "side": pl.String, "type": pl.String, "time_in_force": pl.String,
    "quantity": pl.Float64, "filled_quantity": pl.Float64, "average_price": pl.Float64,
    "limit_price": pl.Float64, "stop_price": pl.Float64, "status": pl.String,
    "reason": pl.String, "bracket": pl.Int64, "rung": pl.Int64, "n_replaced": pl.Int64,
    "commission": pl.Float64,
}  # fmt: skip
FILLS = {
    "symbol": pl.String, "execution_id": pl.String, "client_order_id": pl.String, "ts": UTC_US,
    "side": pl.String, "role": pl.String, "quantity": pl.Float64, "price": pl.Float64,
    "commission": pl.Float64, "slippage": pl.Float64, "position_after": pl.Float64,
}  # fmt: skip
CASH_EVENTS = {
    "symbol": pl.String, "event_id": pl.String, "ts": UTC_US, "kind": pl.String,
    "amount": pl.Float64, "quantity": pl.Float64, "rate": pl.Float64,
}  # fmt: skip
EQUITY = {
    "ts": UTC_US, "symbol": pl.String, "session": pl.Date, "equity": pl.Float64,
    "cash": pl.Float64, "position": pl.Float64, "price": pl.Float64, "drawdown": pl.Float64,
    "buy_and_hold": pl.Float64,
}  # fmt: skip


@dataclass
class Sleeve:
    """One instrument's simulation, row by row."""

    symbol: str
    cash: float
    trades: list[dict] = field(default_factory=list)
    orders: list[dict] = field(default_factory=list)
    fills: list[dict] = field(default_factory=list)
    cash_events: list[dict] = field(default_factory=list)
    equity: list[dict] = field(default_factory=list)
    decisions: list[dict] = field(default_factory=list)


def session_times(n_bars: int, timeframe: str) -> list[datetime]:
    """Return bar opens: weekdays at 14:30 UTC, or the minutes from there."""
    times: list[datetime] = []
    day = datetime(2005, 1, 3, 14, 30, tzinfo=UTC)
    per_day = 1 if timeframe == "1d" else 390
    while len(times) < n_bars:
        if day.weekday() < 5:
            minutes = range(min(per_day, n_bars - len(times)))
            times.extend(day + timedelta(minutes=minute) for minute in minutes)
        day += timedelta(days=1)
    return times


def random_walk(n_bars: int, seed: int, deviation: float) -> np.ndarray:
    """Return close prices of a walk with a slow swing, from 100."""
    steps = np.random.default_rng(seed).standard_t(5, n_bars) * deviation
    swing = np.sin(np.arange(n_bars) / 90.0) * deviation * 0.15
    return 100.0 * np.exp(np.cumsum(np.clip(steps, -0.1, 0.1) + swing + deviation / 60))


def moving_average(close: np.ndarray, length: int) -> np.ndarray:
    """Return the mean of the last `length` closes, NaN until there are as many."""
    total = np.concatenate(([0.0], np.cumsum(close)))
    result = np.full(close.shape, math.nan)
    if close.shape[0] >= length:
        result[length - 1 :] = (total[length:] - total[:-length]) / length
    return result


def simulate(symbol: str, times: list[datetime], close: np.ndarray, cash: float) -> Sleeve:
    """Trade the cross of two averages with a 6 % stop; decide at close, fill at the next close."""
    sleeve = Sleeve(symbol, cash)
    fast, slow = moving_average(close, LENGTH_FAST), moving_average(close, LENGTH_SLOW)
    start_cash, position, entry = cash, 0.0, 0.0
    opened: dict = {}
    peak = cash
    pending = ""
    for i, ts in enumerate(times):
        price = float(close[i])
        if pending == "enter_long" and position == 0.0:
            position = float(math.floor(sleeve.cash * 0.95 / price))
            entry = price * (1 + SLIPPAGE_BPS / 1e4)
            opened = {"ts": ts, "bar": i, "low": price, "high": price, "quantity": position}
            fill(sleeve, ts, "buy", "entry", position, entry, position, "")
        elif pending.startswith("exit") and position > 0.0:
            exit_price = price * (1 - SLIPPAGE_BPS / 1e4)
            role = "stop_loss" if pending == "exit_stop" else "exit"
            fill(sleeve, ts, "sell", role, position, exit_price, 0.0, role)
            close_trade(sleeve, ts, i, opened, entry, exit_price, position, role)
            position = 0.0
        if position > 0.0:
            opened["low"], opened["high"] = min(opened["low"], price), max(opened["high"], price)
            if i % 63 == 62:
                sleeve.cash += position * 0.25
                sleeve.cash_events.append({
                    "symbol": symbol, "event_id": f"{symbol}-{i}", "ts": ts, "kind": "dividend",
                    "amount": position * 0.25, "quantity": position, "rate": 0.25,
                })  # fmt: skip
        ready = not math.isnan(slow[i])
        above = bool(fast[i] > slow[i]) if ready else None
        rising = bool(close[i] > close[i - 1]) if i else None
        pending, reason = "", ""
        if position > 0.0:
            if price < entry * 0.94:
                pending = "exit_stop"
            elif above is False:
                pending = "exit_long"
            else:
                reason = "in_position"
        elif above is None or rising is None:
            reason = "warming_up"
        elif above and rising:
            pending = "enter_long"
        else:
            reason = "condition_false"
        equity = sleeve.cash + position * price
        peak = max(peak, equity)
        sleeve.equity.append({
            "ts": ts, "symbol": symbol, "session": ts.date(), "equity": equity,
            "cash": sleeve.cash, "position": position, "price": price,
            "drawdown": 1 - equity / peak, "buy_and_hold": start_cash * price / float(close[0]),
        })  # fmt: skip
        sleeve.decisions.append({
            "ts": ts, "symbol": symbol, "close": price, "position": position,
            "enter_long": None if above is None or rising is None else above and rising,
            "exit_long": None if above is None else not above,
            "enter_long[0]: sma(close, 10) > sma(close, 40)": above,
            "enter_long[1]: rising(close, 1)": rising,
            "indicator: fast": float(fast[i]), "indicator: slow": float(slow[i]),
            "indicator: gap": float(fast[i] / slow[i] - 1.0),
            "action": pending.replace("exit_stop", "exit"), "reason": reason,
        })  # fmt: skip
    return sleeve


def fill(
    sleeve: Sleeve, ts: datetime, side: str, role: str, quantity: float, price: float,
    position_after: float, reason: str,
) -> None:  # fmt: skip
    """Book one order that fills at once."""
    number = len(sleeve.fills) + 1
    commission = max(1.0, COMMISSION_PER_SHARE * quantity)
    sleeve.cash += (quantity if side == "sell" else -quantity) * price - commission
    identity = {"symbol": sleeve.symbol, "client_order_id": f"{sleeve.symbol}-{number:06d}"}
    sleeve.orders.append(identity | {
        "created_ts": ts - timedelta(days=1), "ended_ts": ts, "role": role, "side": side,
        "type": "market", "time_in_force": "day", "quantity": quantity,
        "filled_quantity": quantity, "average_price": price, "limit_price": None,
        "stop_price": None, "status": "filled", "reason": reason, "bracket": (number + 1) // 2,
        "rung": 0, "n_replaced": 0, "commission": commission,
    })  # fmt: skip
    sleeve.fills.append(identity | {
        "execution_id": f"{sleeve.symbol}-{number:06d}-1", "ts": ts, "side": side, "role": role,
        "quantity": quantity, "price": price, "commission": commission,
        "slippage": quantity * price * SLIPPAGE_BPS / 1e4, "position_after": position_after,
    })  # fmt: skip


def close_trade(
    sleeve: Sleeve, ts: datetime, i: int, opened: dict, entry: float, exit_price: float,
    quantity: float, reason: str,
) -> None:  # fmt: skip
    """Book the trade that ends with a fill."""
    commission = sum(one["commission"] for one in sleeve.fills[-2:])
    slippage = sum(one["slippage"] for one in sleeve.fills[-2:])
    gross = (exit_price - entry) * quantity + slippage
    net = gross - slippage - commission
    number = len(sleeve.trades) + 1
    sleeve.trades.append({
        "symbol": sleeve.symbol, "trade_id": number, "side": "long", "entry_ts": opened["ts"],
        "exit_ts": ts, "entry_price": entry, "exit_price": exit_price, "quantity": quantity,
        "n_fills": 2, "bars_held": i - opened["bar"], "gross_profit": gross,
        "commission": commission, "slippage": slippage, "net_profit": net,
        "return": net / (entry * quantity), "mae": min(opened["low"] / entry - 1, 0.0),
        "mfe": max(opened["high"] / entry - 1, 0.0), "exit_reason": reason,
        "sign_differs": number % 9 == 0,
    })  # fmt: skip


def figures(equity: pl.DataFrame, trades: pl.DataFrame, fills: pl.DataFrame, cash: float) -> dict:
    """Return the summary's figures of one equity series."""
    ends = equity.group_by("session", maintain_order=True).last()
    got = statistics.summarise(
        ends["equity"].to_numpy(), cash,
        sessions=ends["session"].cast(pl.Int32).cast(pl.Int64).to_numpy(),
        bar_equity=equity["equity"].to_numpy(),
        bar_ts=equity["ts"].dt.epoch("ns").to_numpy(),
        position=equity["position"].to_numpy(),
        net_profit=trades["net_profit"].to_numpy(), trade_return=trades["return"].to_numpy(),
        traded_notional=float((fills["quantity"] * fills["price"]).sum()),
        buy_and_hold=ends["buy_and_hold"].to_numpy(),
    )  # fmt: skip
    record = got.as_record()
    del record["annualisation"]
    return record | {
        "starting_cash": cash, "final_equity": float(equity["equity"][-1]),
        "final_equity_optimistic": float(equity["equity"][-1]) * 1.012,
        "lowest_cash": float(equity["cash"].min()), "n_orders": fills.height,
        "n_fills": fills.height, "total_commission": float(fills["commission"].sum()),
        "total_slippage": float(fills["slippage"].sum()),
        "n_open": int(equity["position"][-1] != 0),
    }  # fmt: skip


def make_result(
    directory: Path,
    *,
    symbols: tuple[str, ...] = ("ALFA", "BRVO"),
    n_bars: int = 1500,
    timeframe: str = "1d",
    seed: int = 7,
    trades: bool = True,
    cash: float = 100_000.0,
    name: str = "average-cross",
    **options: object,
) -> Path:
    """Write a result directory and return it.

    Parameters
    ----------
    trades : bool
        False for a strategy that never trades.
    options : fields of `Summary`
        Replace what the summary says.
    """
    directory.mkdir(parents=True, exist_ok=True)
    times = session_times(n_bars, timeframe)
    deviation = 0.012 if timeframe == "1d" else 0.0006
    sleeves = []
    for i_symbol, symbol in enumerate(symbols):
        close = random_walk(n_bars, seed + i_symbol, deviation)
        if not trades:
            close = 100.0 - np.arange(n_bars) * 0.01
        sleeves.append(simulate(symbol, times, close, cash / len(symbols)))
    frames = {
        "trades": gather(sleeves, "trades", TRADES),
        "orders": gather(sleeves, "orders", ORDERS),
        "fills": gather(sleeves, "fills", FILLS),
        "cash_events": gather(sleeves, "cash_events", CASH_EVENTS),
        "equity": gather(sleeves, "equity", EQUITY),
        "decisions": pl.DataFrame([row for one in sleeves for row in one.decisions],
                                  infer_schema_length=None).with_columns(pl.col("ts").cast(UTC_US)),
    }  # fmt: skip
    total = portfolio(frames["equity"], cash)
    frames["equity"] = pl.concat([frames["equity"], total])
    for table, frame in frames.items():
        frame.write_parquet(directory / f"{table}.parquet")
    summary = summarise(frames, total, symbols, times, cash)
    summary |= {"strategy": name, "timeframe": timeframe, **options}
    content = encode_summary(Summary(**summary))
    (directory / "summary.json").write_bytes(content)
    return directory


def gather(sleeves: list[Sleeve], table: str, schema: dict) -> pl.DataFrame:
    """Return one table of all sleeves."""
    return pl.DataFrame([row for one in sleeves for row in getattr(one, table)], schema=schema)


def portfolio(equity: pl.DataFrame, cash: float) -> pl.DataFrame:
    """Return the sum over sleeves, bar by bar."""
    return (
        equity.group_by("ts", maintain_order=True)
        .agg(
            pl.lit("PORTFOLIO").alias("symbol").first(), pl.col("session").first(),
            pl.col("equity").sum(), pl.col("cash").sum(), pl.col("position").abs().sum(),
            pl.lit(None, pl.Float64).alias("price").first(), pl.col("buy_and_hold").sum(),
        )
        .with_columns(
            drawdown=1 - pl.col("equity")
            / pl.max_horizontal(pl.col("equity").cum_max(), pl.lit(cash))
        )
        .select(*EQUITY)
    )  # fmt: skip


def summarise(
    frames: dict[str, pl.DataFrame], total: pl.DataFrame, symbols: tuple[str, ...],
    times: list[datetime], cash: float,
) -> dict:  # fmt: skip
    """Return the fields of the summary."""
    ends = total.group_by("session", maintain_order=True).last()
    years = statistics.by_year(
        ends["equity"].to_numpy(), cash,
        ends["session"].cast(pl.Int32).cast(pl.Int64).to_numpy(),
        buy_and_hold=ends["buy_and_hold"].to_numpy(),
    )  # fmt: skip
    per_instrument = []
    for symbol in symbols:
        own = {key: frame.filter(pl.col("symbol") == symbol) for key, frame in frames.items()}
        values = figures(own["equity"], own["trades"], own["fills"], cash / len(symbols))
        per_instrument.append(
            InstrumentFigures(symbol=symbol, bars=own["equity"].height,
                              start=str(times[0].date()), end=str(times[-1].date()), **values)
        )  # fmt: skip
    values = figures(total, frames["trades"], frames["fills"], cash)
    values["n_open"] = sum(one.n_open for one in per_instrument)
    values["total_dividends"] = float(frames["cash_events"]["amount"].sum())
    return values | {
        "version_hash": "9b1c" * 16, "data_fingerprint": "52fe" * 16, "engine_version": "0.1.0",
        "run_id": "0123456789ab", "instruments": list(symbols), "bars": len(times) * len(symbols),
        "start": str(times[0].date()), "end": str(times[-1].date()),
        "costs": {"commission": {"per_share": COMMISSION_PER_SHARE, "minimum": 1.0},
                  "slippage_bps": SLIPPAGE_BPS},
        "parameters": {"fast": LENGTH_FAST, "slow": LENGTH_SLOW},
        "document": "name: average-cross\nenter_long: fast > slow and rising(close, 1)\n",
        "per_instrument": per_instrument,
        "per_year": [
            YearFigures(**{k: v for k, v in one.as_record().items() if k != "month"})
            for one in years
        ],
    }  # fmt: skip
