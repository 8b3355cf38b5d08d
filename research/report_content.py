"""What a report says: a result's figures, tables and notes, as text to lay out.

Owns the words, the number formats and the choice of what is shown; the HTML
page and the PDF lay out the same content. Reads the result directory only,
so that a report can be written anew from stored files at any time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import Any

import numpy as np
import polars as pl

from research import look
from research.results import PORTFOLIO, ResultFiles, Table
from research.summary import Figures, Summary
from trading import statistics

FEW_TRADES = 30
N_DRAWDOWNS = 5
# Below this the Sharpe ratio may well be luck; the usual confidence of a test.
CONFIDENCE = 0.95


class Level(Enum):
    """How much a note matters to who relies on the figures."""

    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence that the reader must know to judge the figures."""

    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class Tile:
    """One of the figures at the top, with what to compare it to."""

    label: str
    value: str
    detail: str
    tone: str = ""  # "gain", "loss" or neither.


@dataclass(frozen=True, slots=True)
class Figure:
    """One key figure: its value, and the convention behind it."""

    label: str
    value: str
    convention: str


@dataclass(frozen=True, slots=True)
class Group:
    """Key figures that belong together."""

    title: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """A table as text; columns named in `left` hold words, the others numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: frozenset[str] = frozenset()
    note: str = ""


@dataclass(frozen=True, slots=True)
class ReportContent:
    """All that a report lays out, apart from the charts."""

    title: str
    description: str
    headline: str
    summary: Summary
    daily: bool
    facts: tuple[tuple[str, str], ...]
    notes: tuple[Note, ...]
    tiles: tuple[Tile, ...]
    groups: tuple[Group, ...]
    years: Grid
    drawdowns: Grid
    instruments: Grid
    costs: Grid
    exits: Grid
    orders: Grid
    assumptions: tuple[tuple[str, str], ...]
    cost_steps: tuple[tuple[str, float], ...]
    frames: Frames = field(repr=False)


@dataclass(frozen=True, slots=True)
class Frames:
    """What the charts draw.

    Attributes
    ----------
    equity : DataFrame
        Portfolio rows, one for each bar.
    months, years : DataFrame
        Figures of each calendar month and year; `trading.statistics.Period`.
    trades : DataFrame
        All trades, by exit time.
    reasons : DataFrame or None
        Bars by reason; None when no decisions were recorded.
    paths : DataFrame or None
        Total return on both paths within bars; None when not computed.
    """

    equity: pl.DataFrame
    months: pl.DataFrame
    years: pl.DataFrame
    trades: pl.DataFrame
    reasons: pl.DataFrame | None
    paths: pl.DataFrame | None


def read_content(result: ResultFiles) -> ReportContent:
    """Compose the content of a report from a result directory.

    Raises
    ------
    DataError
        If a table is missing or damaged.
    """
    summary = result.summary
    frames = _frames(result)
    daily = bool(frames.equity["session"].is_unique().all())
    drawdowns = _drawdown_grid(frames.equity, summary.starting_cash, daily)
    return ReportContent(
        title=summary.strategy,
        description=summary.description,
        headline=_headline(summary),
        summary=summary,
        daily=daily,
        facts=_facts(summary),
        notes=tuple(_notes(summary, frames)),
        tiles=_tiles(summary),
        groups=_groups(summary),
        years=_year_grid(frames.years),
        drawdowns=drawdowns,
        instruments=_instrument_grid(summary),
        costs=_cost_grid(summary, _traded_notional(result)),
        exits=_exit_grid(frames.trades, summary.currency),
        orders=_order_grid(result),
        assumptions=_assumptions(summary),
        cost_steps=_cost_steps(summary),
        frames=frames,
    )


def trade_grid(content: ReportContent, n_rows: int) -> Grid:
    """Return the trades by exit time as text, at most the first `n_rows`."""
    trades = content.frames.trades
    shown = trades.head(n_rows)
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
            str(number), symbol, side, look.when(entered, daily=content.daily),
            look.price(entry), look.when(exited, daily=content.daily), look.price(exit_price),
            look.quantity(held), str(bars), look.number((commission or 0) + (slippage or 0)),
            look.number(profit), look.percent(earned), look.percent(mae), look.percent(mfe),
            look.words(reason or ""), "sign differs" if differs else "",
        ))  # fmt: skip
    note = "Times are bar opens in UTC; amounts in " + content.summary.currency + "."
    if shown.height < trades.height:
        note += (
            f" The first {shown.height:,} of {trades.height:,} trades by exit time;"
            " all are in trades.csv."
        )
    left = frozenset({"Instrument", "Side", "Entry", "Exit", "Exit reason", "Path"})
    return Grid("Trades", columns, tuple(rows), left, note)


def month_grid(months: pl.DataFrame) -> Grid:
    """Return monthly returns by year as text."""
    names = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    by_year: dict[int, dict[int, float]] = {}
    for year, month, value in months.select("year", "month", "total_return").iter_rows():
        by_year.setdefault(year, {})[month] = value
    rows = tuple(
        (str(year), *(_percent_number(found.get(month)) for month in range(1, 13)))
        for year, found in by_year.items()
    )
    return Grid("Monthly returns (%)", ("Year", *names), rows, frozenset({"Year"}))


def _frames(result: ResultFiles) -> Frames:
    summary = result.summary
    equity = result.equity()
    ends = result.session_equity()
    sessions = ends["session"].cast(pl.Int32).cast(pl.Int64).to_numpy()
    values = ends["equity"].to_numpy()
    held = ends["buy_and_hold"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    parts = {
        name: _period_frame(
            compute(
                values, summary.starting_cash, sessions,
                buy_and_hold=held, annualisation=summary.annualisation,
            )
        )
        for name, compute in (("months", statistics.by_month), ("years", statistics.by_year))
    }  # fmt: skip
    reasons = None
    if result.has(Table.DECISIONS):
        reasons = result.reasons()
    return Frames(
        equity=equity,
        trades=result.trades().sort("exit_ts", "symbol", "trade_id"),
        reasons=reasons,
        paths=_paths(summary),
        **parts,
    )


def _period_frame(periods: list[statistics.Period]) -> pl.DataFrame:
    schema: dict[str, Any] = {
        "year": pl.Int64, "month": pl.Int64, "n_sessions": pl.Int64, "total_return": pl.Float64,
        "buy_and_hold_return": pl.Float64, "volatility": pl.Float64, "sharpe": pl.Float64,
        "max_drawdown": pl.Float64,
    }  # fmt: skip
    return pl.DataFrame([period.as_record() for period in periods], schema=schema)


def _paths(summary: Summary) -> pl.DataFrame | None:
    """Return the two-path interval of the portfolio and of each instrument."""
    rows = []
    named: list[tuple[str, Figures]] = [("Portfolio", summary)]
    if len(summary.per_instrument) > 1:
        named += [(one.symbol, one) for one in summary.per_instrument]
    for name, one in named:
        if one.final_equity_optimistic is None or one.starting_cash <= 0:
            continue
        rows.append((
            name, one.final_equity / one.starting_cash - 1.0,
            one.final_equity_optimistic / one.starting_cash - 1.0, one.buy_and_hold_return,
        ))  # fmt: skip
    if not rows:
        return None
    schema = {"name": pl.String, "low": pl.Float64, "high": pl.Float64, "buy_and_hold": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _headline(summary: Summary) -> str:
    return (
        f"{_instrument_list(summary)} · {summary.start} to {summary.end} · "
        f"{_timeframe_words(summary.timeframe)} · "
        f"{look.money(summary.starting_cash, summary.currency, 0)} starting cash"
    )


def _instrument_list(summary: Summary) -> str:
    names = summary.instruments
    return (
        ", ".join(names) if len(names) <= 6 else f"{', '.join(names[:5])} and {len(names) - 5} more"
    )


def _timeframe_words(timeframe: str) -> str:
    known = {"1d": "daily bars", "1w": "weekly bars", "1h": "hourly bars", "1m": "one-minute bars"}
    return known.get(timeframe, f"{timeframe} bars" if timeframe else "bars")


def _facts(summary: Summary) -> tuple[tuple[str, str], ...]:
    """Return the header's lines: what was run, on what."""
    facts = [
        ("Strategy", summary.strategy),
        ("Version", summary.version_hash[:12]),
        ("Instruments", ", ".join(summary.instruments)),
        ("Period", f"{summary.start} to {summary.end} (session dates)"),
        ("Bars", f"{summary.bars:,} {_timeframe_words(summary.timeframe)}"),
        ("Data fingerprint", summary.data_fingerprint[:12]),
        ("Engine", f"Quarterdeck {summary.engine_version}"),
        ("Run", summary.run_id),
        ("Costs assumed", _cost_words(summary.costs)),
        ("Obtained by", "backtest; " + _fill_words(summary)),
    ]
    return tuple((name, value) for name, value in facts if value)


def _fill_words(summary: Summary) -> str:
    if summary.fill == "same_close":
        return "fills at the deciding bar's own close (same_close)"
    return "decisions at a bar's close fill from the next bar's open"


def _cost_words(costs: dict[str, Any]) -> str:
    """Write the cost settings as text, nested settings in brackets."""
    if not costs:
        return "none"
    parts = []
    for name, value in costs.items():
        if isinstance(value, dict):
            parts.append(f"{look.words(name)} ({_cost_words(value)})")
        else:
            parts.append(f"{look.words(name)} {value}")
    return ", ".join(parts)


def _notes(summary: Summary, frames: Frames) -> list[Note]:
    """Return what limits the figures, warnings first."""
    warnings, notes = [], []
    if summary.fill == "same_close":
        warnings.append(
            "Orders fill at the close that decided them (same_close). No live order can do that:"
            " take the figures for comparison only."
        )
    if summary.sized_at == "fill":
        warnings.append(
            "Quantities are computed from the fill price (sized_at: fill), which a live order"
            " can't know: take the figures for comparison only."
        )
    if not summary.costs:
        warnings.append("No commission and no slippage were assumed.")
    if summary.n_trades == 0:
        warnings.append(
            "The strategy closed no trade. The section on decisions counts the bars by the"
            " reason why nothing was done."
        )
    elif summary.n_trades < FEW_TRADES:
        warnings.append(
            f"The figures rest on {summary.n_trades} closed"
            f" trade{'s' if summary.n_trades > 1 else ''}, fewer than {FEW_TRADES}: chance has a"
            " large part in them."
        )
    confidence = summary.probabilistic_sharpe
    if confidence is not None and confidence < CONFIDENCE and summary.n_trades:
        warnings.append(
            f"The probability that the true Sharpe ratio is above zero is"
            f" {look.percent(confidence, 1)}, below {look.percent(CONFIDENCE, 0)}: the result is"
            " not told apart from luck."
        )
    if summary.lowest_cash is not None and summary.lowest_cash < 0:
        warnings.append(
            f"Cash fell to {look.money(summary.lowest_cash, summary.currency)}: quantities are"
            " decided before the open, and a gap made the fill dearer than planned."
        )
    differs = _count_true(frames.trades, "sign_differs")
    if differs:
        warnings.append(
            f"{differs:,} of {summary.n_trades:,} trades change from profit to loss with the path"
            " assumed within a bar; they are marked in the table of trades."
        )
    if summary.n_open:
        notes.append(
            f"{summary.n_open} position{'s are' if summary.n_open > 1 else ' is'} open at the end,"
            " marked to the last close and not counted as a trade."
        )
    sessions = _n_sessions(frames)
    if 0 < sessions < summary.annualisation:
        notes.append(
            f"The period has {sessions} sessions, less than a year of {summary.annualisation}:"
            " yearly figures are extrapolated."
        )
    if not summary.has_volume:
        notes.append("The data carries no volume: limits on participation in volume are off.")
    if not summary.corporate_actions:
        notes.append(
            "No table of splits and dividends was applied: prices are taken as the data has them."
        )
    notes.extend(summary.notes)
    return [Note(Level.WARNING, text) for text in warnings] + [
        Note(Level.NOTE, text) for text in notes
    ]


def _n_sessions(frames: Frames) -> int:
    return int(frames.years["n_sessions"].sum())


def _count_true(frame: pl.DataFrame, column: str) -> int:
    return int(frame[column].sum() or 0) if column in frame.columns else 0


def _tiles(summary: Summary) -> tuple[Tile, ...]:
    total = summary.total_return
    return (
        Tile("Total return", look.percent(total), "buy and hold "
             + look.percent(summary.buy_and_hold_return), _tone(total)),
        Tile("Growth a year", look.percent(summary.cagr), "CAGR", _tone(summary.cagr)),
        Tile("Sharpe ratio", look.number(summary.sharpe), "Sortino " + look.number(summary.sortino),
             _tone(summary.sharpe)),
        Tile("Maximum drawdown", look.percent(_negated(summary.max_drawdown)),
             _days(summary.max_drawdown_days) + " to recover or end", ""),
        Tile("Trades", f"{summary.n_trades:,}", look.percent(summary.win_rate, 1) + " won", ""),
        Tile("Profit factor", look.number(summary.profit_factor), "expectancy "
             + look.money(summary.expectancy, summary.currency, 0), ""),
    )  # fmt: skip


def _tone(value: float | None) -> str:
    if value is None or value == 0:
        return ""
    return "gain" if value > 0 else "loss"


def _negated(value: float | None) -> float | None:
    return None if value is None else -value


def _days(value: float | None) -> str:
    if value is None:
        return look.UNDEFINED
    return f"{value:,.0f} day{'' if value == 1 else 's'}"


def _groups(summary: Summary) -> tuple[Group, ...]:
    """Return the key figures with their conventions."""
    days = summary.annualisation
    rate = "0" if summary.risk_free_rate == 0 else look.percent(summary.risk_free_rate)
    cash = summary.currency
    against = summary.benchmark or "buy-and-hold of the same instruments"
    returns = (
        Figure("Starting cash", look.money(summary.starting_cash, cash), "divided among instruments by weight"),
        Figure("Final equity", look.money(summary.final_equity, cash), "open positions at the last close"),
        Figure("Final equity, favourable path", look.money(summary.final_equity_optimistic, cash), "upper end of the two-path interval"),
        Figure("Total return", look.percent(summary.total_return), "final equity over starting cash, less one"),
        Figure("CAGR", look.percent(summary.cagr), f"compound growth a year of {days} sessions"),
        Figure("Buy and hold", look.percent(summary.buy_and_hold_return), "same instruments, weights and period"),
        Figure("Alpha", look.percent(summary.alpha), f"Jensen's, a year, against {against}"),
        Figure("Beta", look.number(summary.beta), f"against {against}"),
    )  # fmt: skip
    risk = (
        Figure("Volatility", look.percent(summary.volatility), f"session returns, sample (ddof 1), × √{days}"),
        Figure("Sharpe ratio", look.number(summary.sharpe, 3), f"risk-free rate {rate}, {days} sessions a year"),
        Figure("Sortino ratio", look.number(summary.sortino, 3), "over the deviation of shortfalls only"),
        Figure("Calmar ratio", look.number(summary.calmar, 3), "CAGR over maximum drawdown"),
        Figure("Maximum drawdown", look.percent(_negated(summary.max_drawdown)), "on the equity of every bar"),
        Figure("Its duration", _days(summary.max_drawdown_days), "calendar days from peak to recovery or end"),
        Figure("Probability of skill", look.percent(summary.probabilistic_sharpe, 1), "probabilistic Sharpe ratio above 0, Bailey and López de Prado (2012)"),
        Figure("Lowest cash", look.money(summary.lowest_cash, cash), "below zero is borrowed"),
    )  # fmt: skip
    trades = (
        Figure("Trades", f"{summary.n_trades:,}", "from flat to flat, closed"),
        Figure("Won", look.percent(summary.win_rate, 1), "net profit above zero"),
        Figure("Profit factor", look.number(summary.profit_factor), "profit of winners over loss of losers"),
        Figure("Expectancy", look.money(summary.expectancy, cash), "mean net profit of a trade"),
        Figure("Average trade", look.percent(summary.average_trade), "net profit over entry notional"),
        Figure("Best trade", look.percent(summary.best_trade), "net profit over entry notional"),
        Figure("Worst trade", look.percent(summary.worst_trade), "net profit over entry notional"),
    )  # fmt: skip
    activity = (
        Figure("Exposure", look.percent(summary.exposure, 1), "bars that closed with a position"),
        Figure("Turnover", look.number(summary.turnover), "bought and sold notional a year over mean equity"),
        Figure("Orders", f"{summary.n_orders:,}", "sent, whatever became of them"),
        Figure("Fills", f"{summary.n_fills:,}", "executions"),
        Figure("Commission", look.money(summary.total_commission, cash), "paid on fills"),
        Figure("Slippage", look.money(summary.total_slippage, cash), "in the fill prices"),
    )  # fmt: skip
    return (
        Group("Return", returns),
        Group("Risk", risk),
        Group("Trades", trades),
        Group("Activity and costs", activity),
    )


def _year_grid(years: pl.DataFrame) -> Grid:
    columns = ("Year", "Return", "Buy and hold", "Difference", "Volatility", "Sharpe",
               "Max. drawdown", "Sessions")  # fmt: skip
    rows = []
    for row in years.iter_rows(named=True):
        earned, held = row["total_return"], row["buy_and_hold_return"]
        gap = None if earned is None or held is None else earned - held
        rows.append((
            str(row["year"]), look.percent(earned), look.percent(held), look.percent(gap),
            look.percent(row["volatility"]), look.number(row["sharpe"]),
            look.percent(_negated(row["max_drawdown"])), str(row["n_sessions"]),
        ))  # fmt: skip
    note = "Session-end equity; the drawdown is from the highest equity within the year."
    return Grid("Years", columns, tuple(rows), frozenset({"Year"}), note)


def _drawdown_grid(equity: pl.DataFrame, starting_cash: float, daily: bool) -> Grid:
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
            _days(one.days),
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


def _instrument_grid(summary: Summary) -> Grid:
    columns = ("Instrument", "Final equity", "Return", "Buy and hold", "Sharpe", "Max. drawdown",
               "Exposure", "Trades", "Won", "Profit factor", "Commission", "Slippage")  # fmt: skip
    rows = tuple(
        (
            one.symbol, look.number(one.final_equity, 0), look.percent(one.total_return),
            look.percent(one.buy_and_hold_return), look.number(one.sharpe),
            look.percent(_negated(one.max_drawdown)), look.percent(one.exposure, 1),
            f"{one.n_trades:,}", look.percent(one.win_rate, 1), look.number(one.profit_factor),
            look.number(one.total_commission), look.number(one.total_slippage),
        )
        for one in summary.per_instrument
    )  # fmt: skip
    note = f"Each instrument trades its own share of the cash; amounts in {summary.currency}."
    return Grid("Instruments", columns, rows, frozenset({"Instrument"}), note)


def _traded_notional(result: ResultFiles) -> float:
    fills = result.read(Table.FILLS, columns=["quantity", "price"])
    return float((fills["quantity"].abs() * fills["price"]).sum() or 0.0)


def _cost_steps(summary: Summary) -> tuple[tuple[str, float], ...]:
    """Return how the net result comes about: prices first, then what was paid and received."""
    net = summary.final_equity - summary.starting_cash
    paid = [
        ("Slippage", -summary.total_slippage),
        ("Commission", -summary.total_commission),
        ("Borrow cost", -abs(summary.total_borrow_cost)),
        ("Dividends", summary.total_dividends),
    ]
    shown = [
        (name, amount) for name, amount in paid if amount or name in {"Slippage", "Commission"}
    ]
    return (("Prices, before costs", net - sum(amount for _, amount in paid)), *shown)


def _cost_grid(summary: Summary, traded: float) -> Grid:
    columns = ("Item", f"Amount ({summary.currency})", "Of traded notional (bp)", "Per trade",
               "Of starting cash")  # fmt: skip
    rows = []
    for name, amount in (
        *_cost_steps(summary),
        ("Net result", summary.final_equity - summary.starting_cash),
    ):
        basis = amount / traded * 1e4 if traded > 0 else None
        each = amount / summary.n_trades if summary.n_trades else None
        share = amount / summary.starting_cash if summary.starting_cash > 0 else None
        rows.append((name, look.number(amount + 0.0), look.number(basis), look.number(each),
                     look.percent(share)))  # fmt: skip
    note = f"Traded notional {look.money(traded, summary.currency, 0)}, bought and sold."
    return Grid("Cost breakdown", columns, tuple(rows), frozenset({"Item"}), note)


def _exit_grid(trades: pl.DataFrame, currency: str) -> Grid:
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


def _order_grid(result: ResultFiles) -> Grid:
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


def _assumptions(summary: Summary) -> tuple[tuple[str, str], ...]:
    """Return how the result was obtained, in sentences."""
    lines = [
        ("Decisions", "At the close of a bar, from data up to and including that bar."),
        ("Market orders", _fill_words(summary)[0].upper() + _fill_words(summary)[1:] + "."),
        ("Limit orders", "Fill when a bar trades through the limit." if summary.limit_fill == "through"
         else "Fill when a bar touches the limit."),
        ("Stop orders", "Fill at the stop, or at the open when the bar opens beyond it."),
        ("Path within a bar", _path_words(summary)),
        ("Quantity", "Decided with the order, from the deciding close." if summary.sized_at == "decision"
         else "Computed from the fill price (sized_at: fill)."),
        ("Costs", _cost_words(summary.costs)[0].upper() + _cost_words(summary.costs)[1:] + "."),
        ("Volume", "Participation is limited to a share of the bar's volume where the strategy says so."
         if summary.has_volume else "Not in the data: participation limits are off."),
        ("Splits and dividends", "Applied on the ex-date; prices, fills and cash are raw."
         if summary.corporate_actions else "None applied."),
        ("End of the data", "Open positions are sold at the last close, with costs." if summary.close_at_end
         else "Open positions are marked to the last close and not counted as trades."),
        ("Capital", "Starting cash is divided among the instruments, without rebalancing."),
        ("Parameters", ", ".join(f"{name} = {value}" for name, value in summary.parameters.items())
         or "none"),
        ("Limits", _cost_words(summary.risk) if summary.risk else "none"),
    ]  # fmt: skip
    return tuple(lines)


def _path_words(summary: Summary) -> str:
    if summary.intrabar:
        return f"Decided by stored {summary.intrabar} bars; where there are none, by the two paths."
    return (
        "Unknown: each bar runs along open, low, high, close and open, high, low, close, and the"
        " one with the lower closing equity is kept. A second run keeps the higher."
    )


def _percent_number(value: float | None) -> str:
    return "" if value is None or not np.isfinite(value) else look.number(value * 100.0, 1)


__all__ = [
    "PORTFOLIO",
    "Frames",
    "Grid",
    "ReportContent",
    "month_grid",
    "read_content",
    "trade_grid",
]
