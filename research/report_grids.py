"""A report's tables as text, from the summary and the result's frames.

Owns which columns a reader sees and how their numbers are written.
"""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import polars as pl

from research import look
from research.report_parts import Grid
from research.report_words import days, negated
from research.results import ResultFiles, Table
from research.summary import Summary
from trading import statistics

N_DRAWDOWNS = 5


def trade_grid(trades: pl.DataFrame, n_rows: int, *, daily: bool, currency: str) -> Grid:
    """Return the trades by exit time as text, at most the first `n_rows`."""
    shown = trades.head(n_rows)
    typical = trades.group_by("symbol").agg(pl.col("entry_price").median())
    digits = {symbol: look.price_digits(median) for symbol, median in typical.iter_rows()}
    columns = (
        "#", "Instrument", "Side", "Entry", "Entry price", "Exit", "Exit price", "Quantity",
        "Bars", "Costs", "Net profit", "Return", "MAE", "MFE", "Exit reason", "Path",
    )  # fmt: skip
    wanted = (
        "trade_id", "symbol", "side", "entry_ts", "entry_price", "exit_ts", "exit_price",
        "quantity", "bars_held", "commission", "slippage", "net_profit", "return", "mae", "mfe",
        "exit_reason", "sign_differs",
    )  # fmt: skip
    rows = []
    for row in shown.select(wanted).iter_rows():
        (number, symbol, side, entered, entry, exited, exit_price, held, bars, commission,
         slippage, profit, earned, mae, mfe, reason, differs) = row  # fmt: skip
        rows.append((
            str(number), symbol, side, look.when(entered, daily=daily),
            look.number(entry, digits[symbol]), look.when(exited, daily=daily),
            look.number(exit_price, digits[symbol]),
            look.quantity(held), str(bars), look.number((commission or 0) + (slippage or 0)),
            look.number(profit), look.percent(earned), look.percent(mae), look.percent(mfe),
            look.words(reason or ""), "±" if differs else "",
        ))  # fmt: skip
    note = "Times are bar opens in UTC; amounts in " + currency + "."
    if shown.height < trades.height:
        note += (
            f" The first {shown.height:,} of {trades.height:,} trades by exit time;"
            " all are in trades.csv."
        )
    left = frozenset({"Instrument", "Side", "Entry", "Exit", "Exit reason", "Path"})
    return Grid("Trades", columns, tuple(rows), left, note)


def month_grid(months: pl.DataFrame) -> Grid:
    """Return monthly returns by year as text, and the year that they compound to."""
    names = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    by_year: dict[int, dict[int, float | None]] = {}
    for year, month, value in months.select("year", "month", "total_return").iter_rows():
        by_year.setdefault(year, {})[month] = value
    rows = tuple(
        (
            str(year),
            *(_percent_number(found.get(month)) for month in range(1, 13)),
            _percent_number(math.prod(1.0 + (value or 0.0) for value in found.values()) - 1.0),
        )
        for year, found in by_year.items()
    )
    columns = ("Year", *names, "Total")
    return Grid("Monthly returns (%)", columns, rows, frozenset({"Year"}))


def year_grid(years: pl.DataFrame) -> Grid:
    """Return the figures of each year beside buy-and-hold."""
    columns = ("Year", "Return", "Buy and hold", "Difference", "Volatility", "Sharpe",
               "Max. drawdown", "Sessions")  # fmt: skip
    rows = []
    for row in years.iter_rows(named=True):
        earned, held = row["total_return"], row["buy_and_hold_return"]
        gap = None if earned is None or held is None else earned - held
        rows.append((
            str(row["year"]), look.percent(earned), look.percent(held), look.percent(gap),
            look.percent(row["volatility"]), look.number(row["sharpe"]),
            look.percent(negated(row["max_drawdown"])), str(row["n_sessions"]),
        ))  # fmt: skip
    note = "Session-end equity; the drawdown is from the highest equity within the year."
    return Grid("Years", columns, tuple(rows), frozenset({"Year"}), note)


def drawdown_grid(equity: pl.DataFrame, starting_cash: float, *, daily: bool) -> Grid:
    """Return the deepest drawdowns with their dates."""
    ts = equity["ts"].dt.epoch("ns").to_numpy()
    worst = statistics.worst_drawdowns(equity["equity"].to_numpy(), ts, starting_cash, N_DRAWDOWNS)
    labels = equity["session"] if daily else equity["ts"]

    def at(index: int) -> str:
        value: date = labels[index]
        return look.when(value, daily=daily)

    rows = tuple(
        (
            look.percent(-one.depth),
            at(one.i_peak) if one.i_peak >= 0 else "start",
            at(one.i_trough),
            at(one.i_recovery) if one.i_recovery >= 0 else "not yet",
            days(one.days),
        )
        for one in worst
    )
    columns = ("Depth", "Peak", "Trough", "Recovered", "Duration")
    left = frozenset({"Peak", "Trough", "Recovered"})
    return Grid(
        "Worst drawdowns",
        columns,
        rows,
        left,
        "Calendar days from peak to recovery, or to the end.",
    )


def instrument_grid(summary: Summary) -> Grid:
    """Return the key figures of each instrument."""
    columns = ("Instrument", "Final equity", "Return", "Buy and hold", "Sharpe", "Max. drawdown",
               "Exposure", "Trades", "Won", "Profit factor", "Commission", "Slippage")  # fmt: skip
    rows = tuple(
        (
            one.symbol, look.number(one.final_equity, 0), look.percent(one.total_return),
            look.percent(one.buy_and_hold_return), look.number(one.sharpe),
            look.percent(negated(one.max_drawdown)), look.percent(one.exposure, 1),
            f"{one.n_trades:,}", look.percent(one.win_rate, 1), look.number(one.profit_factor),
            look.number(one.total_commission), look.number(one.total_slippage),
        )
        for one in summary.per_instrument
    )  # fmt: skip
    note = f"Each instrument trades its own share of the cash; amounts in {summary.currency}."
    return Grid("Instruments", columns, rows, frozenset({"Instrument"}), note)


def cost_grid(summary: Summary, steps: tuple[tuple[str, float], ...], traded: float) -> Grid:
    """Return costs against what was traded, the trades and the starting cash."""
    columns = ("Item", f"Amount ({summary.currency})", "Of traded notional (bp)", "Per trade",
               "Of starting cash")  # fmt: skip
    rows = []
    for name, amount in (
        *steps,
        ("Net result", summary.final_equity - summary.starting_cash),
    ):
        basis = amount / traded * 1e4 if traded > 0 else None
        each = amount / summary.n_trades if summary.n_trades else None
        share = amount / summary.starting_cash if summary.starting_cash > 0 else None
        rows.append((name, look.number(amount + 0.0), look.number(basis), look.number(each),
                     look.percent(share)))  # fmt: skip
    note = f"Traded notional {look.money(traded, summary.currency, 0)}, bought and sold."
    return Grid("Cost breakdown", columns, tuple(rows), frozenset({"Item"}), note)


def exit_grid(trades: pl.DataFrame, currency: str) -> Grid:
    """Return the trades counted by what ended them."""
    columns = ("Exit reason", "Trades", "Won", "Average return", f"Net profit ({currency})")
    by_reason = (
        trades.group_by("exit_reason")
        .agg(
            pl.len().alias("n"), (pl.col("net_profit") > 0).mean().alias("won"),
            pl.col("return").mean().alias("mean"), pl.col("net_profit").sum().alias("sum"),
        )
        .sort(["n", "exit_reason"], descending=[True, False])
    )  # fmt: skip
    rows = tuple(
        (
            look.words(reason or ""),
            f"{n:,}",
            look.percent(won, 1),
            look.percent(mean),
            look.number(total),
        )
        for reason, n, won, mean, total in by_reason.iter_rows()
    )
    return Grid("How trades ended", columns, rows, frozenset({"Exit reason"}))


def order_grid(result: ResultFiles) -> Grid:
    """Return the orders counted by role, type, end and reason."""
    columns = ("Role", "Type", "Status", "Orders", "Reason")
    orders = result.read(Table.ORDERS, columns=["role", "type", "status", "reason"])
    counted = (
        orders.with_columns(pl.all().fill_null(""))
        .group_by("role", "type", "status", "reason")
        .agg(pl.len().alias("n"))
        .sort("role", "type", "status", "reason")
    )
    rows = tuple(
        (look.words(role), look.words(kind), look.words(status), f"{n:,}", look.words(reason))
        for role, kind, status, reason, n in counted.iter_rows()
    )
    return Grid("Orders", columns, rows, frozenset({"Role", "Type", "Status", "Reason"}))


def _percent_number(value: float | None) -> str:
    return "" if value is None or not np.isfinite(value) else look.number(value * 100.0, 1)
