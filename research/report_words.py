"""A report's sentences and key figures, from the summary.

Owns the wording of headline, notes, conventions and assumptions.
"""

from __future__ import annotations

from typing import Any

from research import look
from research.report_parts import Figure, Group, Level, Note, Tile
from research.summary import STANDING_NOTES, Summary

FEW_TRADES = 30
RAW_PRICES = (
    "Prices are drawn as they were traded: a split shows as a step, and positions, orders and"
    " levels were rescaled with it."
)
# Below this the Sharpe ratio may well be luck; the usual confidence of a test.
CONFIDENCE = 0.95


def headline(summary: Summary) -> str:
    """Return the line under the title: what, when, on which bars."""
    return (
        f"{_instrument_list(summary)} · {summary.start} to {summary.end} · "
        f"{_timeframe_words(summary.timeframe)} · "
        f"{look.money(summary.starting_cash, summary.currency, 0)} starting cash"
    )


def origin(summary: Summary) -> str:
    """Return the line that names what the figures rest on."""
    parts = [
        "Same-close fills: for comparison only" if summary.fill == "same_close"
        else "Fills from the next bar's open",
        f"costs: {_cost_words(summary.costs)}",
        f"version {summary.version_hash[:12]}",
        f"data {summary.data_fingerprint[:12]}",
        f"engine {summary.engine_version}",
        f"run {summary.run_id}",
    ]  # fmt: skip
    return " · ".join(parts)


def _instrument_list(summary: Summary) -> str:
    names = summary.instruments
    return (
        ", ".join(names) if len(names) <= 6 else f"{', '.join(names[:5])} and {len(names) - 5} more"
    )


def _timeframe_words(timeframe: str) -> str:
    if not timeframe:
        return "bars"
    unit = {"m": "minute", "h": "hour", "d": "day", "w": "week"}.get(timeframe[-1], "")
    one = {"1m": "one-minute", "1h": "hourly", "1d": "daily", "1w": "weekly"}
    return f"{one.get(timeframe, f'{timeframe[:-1]}-{unit}' if unit else timeframe)} bars"


def facts(summary: Summary) -> tuple[tuple[str, str], ...]:
    """Return the header's lines: what was run, on what."""
    facts = [
        ("Strategy", summary.strategy),
        ("Version", summary.version_hash[:12]),
        ("Instruments", ", ".join(summary.instruments)),
        ("Period", f"{summary.start} to {summary.end} (session dates)"),
        ("Bars", f"{summary.bars:,} {_timeframe_words(summary.timeframe)}"),
        ("Data fingerprint", summary.data_fingerprint[:12]),
        ("Engine version", summary.engine_version),
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
    """Write settings as text, nested ones in brackets, with the unit after the number."""
    if not costs:
        return "none"
    parts = []
    for name, value in costs.items():
        if isinstance(value, dict):
            parts.append(f"{look.words(name)} ({_cost_words(value)})")
        elif name.endswith("_bps"):
            parts.append(f"{look.words(name.removesuffix('_bps'))} {_setting(value)} bp")
        else:
            parts.append(f"{look.words(name)} {_setting(value)}")
    return ", ".join(parts)


def _setting(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def notes(summary: Summary, *, n_sessions: int, n_differing: int) -> tuple[Note, ...]:
    """Return what limits the figures, warnings first."""
    warnings: list[str] = []
    remarks: list[str] = []
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
    if n_differing:
        warnings.append(
            f"{n_differing:,} of {summary.n_trades:,} trades"
            f" end{'s' if n_differing == 1 else ''} in profit on one path within a bar and in loss"
            " on the other, marked ± in the table of trades."
        )
    if summary.n_open:
        remarks.append(
            f"{summary.n_open} position{'s are' if summary.n_open > 1 else ' is'} open at the end,"
            " marked to the last close and not counted as a trade."
        )
    if 0 < n_sessions < summary.annualisation:
        remarks.append(
            f"The period has {n_sessions} session{'s' if n_sessions > 1 else ''}, less than a year of"
            f" {summary.annualisation}:"
            " yearly figures are extrapolated."
        )
    if not summary.has_volume:
        remarks.append("The data carries no volume: limits on participation in volume are off.")
    if not summary.corporate_actions:
        remarks.append(
            "No table of splits and dividends was applied: prices are taken as the data has them."
        )
    remarks.extend(text for text in summary.notes if text not in STANDING_NOTES)
    return tuple(Note(Level.WARNING, text) for text in warnings) + tuple(
        Note(Level.NOTE, text) for text in remarks
    )


def tiles(summary: Summary) -> tuple[Tile, ...]:
    """Return the figures at the top."""
    total = summary.total_return
    return (
        Tile("Total return", look.percent(total), "buy and hold "
             + look.percent(summary.buy_and_hold_return), _tone(total)),
        Tile("Growth a year", look.percent(summary.cagr), "CAGR", _tone(summary.cagr)),
        Tile("Sharpe ratio", look.number(summary.sharpe), "Sortino " + look.number(summary.sortino),
             _tone(summary.sharpe)),
        Tile("Max. drawdown", look.percent(negated(summary.max_drawdown)),
             "lasting " + days(summary.max_drawdown_days), ""),
        Tile("Trades", f"{summary.n_trades:,}", look.percent(summary.win_rate, 1) + " won", ""),
        Tile("Profit factor", look.number(summary.profit_factor), "expectancy "
             + look.money(summary.expectancy, summary.currency, 0), ""),
    )  # fmt: skip


def _tone(value: float | None) -> str:
    if value is None or value == 0:
        return ""
    return "gain" if value > 0 else "loss"


def negated(value: float | None) -> float | None:
    """Return a drawdown as the fall that it is."""
    return None if value is None else -value


def days(value: float | None) -> str:
    """Write a number of days."""
    if value is None:
        return look.UNDEFINED
    return f"{value:,.0f} day{'' if value == 1 else 's'}"


def groups(summary: Summary) -> tuple[Group, ...]:
    """Return the key figures with their conventions."""
    per_year = summary.annualisation
    rate = "0" if summary.risk_free_rate == 0 else look.percent(summary.risk_free_rate)
    cash = summary.currency
    against = summary.benchmark or "buy-and-hold of the same instruments"
    returns = (
        Figure(
            "Starting cash",
            look.money(summary.starting_cash, cash),
            "divided among instruments by weight",
        ),
        Figure(
            "Final equity",
            look.money(summary.final_equity, cash),
            "open positions at the last close",
        ),
        Figure(
            "Final equity, favourable path",
            look.money(summary.final_equity_optimistic, cash),
            "upper end of the two-path interval",
        ),
        Figure(
            "Total return",
            look.percent(summary.total_return),
            "final equity over starting cash, less one",
        ),
        Figure(
            "CAGR", look.percent(summary.cagr), f"compound growth a year of {per_year} sessions"
        ),
        Figure(
            "Buy and hold",
            look.percent(summary.buy_and_hold_return),
            "same instruments, weights and period",
        ),
        Figure("Alpha", look.percent(summary.alpha), f"Jensen's, a year, against {against}"),
        Figure("Beta", look.number(summary.beta), f"against {against}"),
    )
    risk = (
        Figure(
            "Volatility",
            look.percent(summary.volatility),
            f"session returns, sample (ddof 1), × √{per_year}",
        ),
        Figure(
            "Sharpe ratio",
            look.number(summary.sharpe, 3),
            f"risk-free rate {rate}, {per_year} sessions a year",
        ),
        Figure(
            "Sortino ratio",
            look.number(summary.sortino, 3),
            "over the deviation of shortfalls only",
        ),
        Figure("Calmar ratio", look.number(summary.calmar, 3), "CAGR over maximum drawdown"),
        Figure(
            "Maximum drawdown",
            look.percent(negated(summary.max_drawdown)),
            "on the equity of every bar",
        ),
        Figure(
            "Its duration",
            days(summary.max_drawdown_days),
            "calendar days from peak to recovery or end",
        ),
        Figure(
            "Probabilistic Sharpe",
            look.percent(summary.probabilistic_sharpe, 1),
            "probability that the true ratio is above 0; Bailey and López de Prado (2012)",
        ),
        Figure(
            "Lowest cash",
            look.money(summary.lowest_cash, cash),
            "of all instruments together, at bar closes; below zero is borrowed"
            if len(summary.instruments) > 1
            else "below zero is borrowed",
        ),
    )
    trades = (
        Figure("Trades", f"{summary.n_trades:,}", "from flat to flat, closed"),
        Figure("Won", look.percent(summary.win_rate, 1), "net profit above zero"),
        Figure(
            "Profit factor",
            look.number(summary.profit_factor),
            "profit of winners over loss of losers",
        ),
        Figure("Expectancy", look.money(summary.expectancy, cash), "mean net profit of a trade"),
        Figure(
            "Average trade", look.percent(summary.average_trade), "net profit over entry notional"
        ),
        Figure("Best trade", look.percent(summary.best_trade), "net profit over entry notional"),
        Figure("Worst trade", look.percent(summary.worst_trade), "net profit over entry notional"),
    )
    activity = (
        Figure("Exposure", look.percent(summary.exposure, 1), "bars that closed with a position"),
        Figure(
            "Turnover",
            look.number(summary.turnover),
            "bought and sold notional a year over mean equity",
        ),
        Figure("Orders", f"{summary.n_orders:,}", "sent, whatever became of them"),
        Figure("Fills", f"{summary.n_fills:,}", "executions"),
        Figure("Commission", look.money(summary.total_commission, cash), "paid on fills"),
        Figure("Slippage", look.money(summary.total_slippage, cash), "in the fill prices"),
    )
    return (
        Group("Return", returns),
        Group("Risk", risk),
        Group("Trades", trades),
        Group("Activity and costs", activity),
    )


def assumptions(summary: Summary) -> tuple[tuple[str, str], ...]:
    """Return how the result was obtained, in sentences."""
    limits = "through the limit" if summary.limit_fill == "through" else "to the limit"
    quantity = "Decided with the order, from the deciding close."
    if summary.sized_at == "fill":
        quantity = "Computed from the fill price (sized_at: fill)."
    volume = "Participation is limited to a share of the bar's volume where the strategy says so."
    if not summary.has_volume:
        volume = "Not in the data: participation limits are off."
    actions = "None applied."
    if summary.corporate_actions:
        actions = "Applied on the ex-date; prices, fills and cash are raw."
    end = "Open positions are marked to the last close and not counted as trades."
    if summary.close_at_end:
        end = "Open positions are sold at the last close, with costs."
    parameters = ", ".join(f"{name} = {value:g}" for name, value in summary.parameters.items())
    return (
        ("Decisions", "At the close of a bar, from data up to and including that bar."),
        ("Market orders", _sentence(_fill_words(summary))),
        ("Limit orders", f"Fill when a bar trades {limits}."),
        ("Stop orders", "Fill at the stop, or at the open when the bar opens beyond it."),
        ("Path within a bar", _path_words(summary)),
        ("Quantity", quantity),
        ("Costs", _sentence(_cost_words(summary.costs))),
        ("Volume", volume),
        ("Splits and dividends", actions),
        ("End of the data", end),
        ("Capital", "Starting cash is divided among the instruments, without rebalancing."),
        ("Parameters", parameters or "None."),
        ("Limits", _sentence(_cost_words(summary.risk))),
    )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _path_words(summary: Summary) -> str:
    if summary.intrabar:
        return f"Decided by stored {summary.intrabar} bars; where there are none, by the two paths."
    return (
        "Unknown: each bar runs along open, low, high, close and open, high, low, close, and the"
        " one with the lower closing equity is kept. A second run keeps the higher."
    )


def cost_steps(summary: Summary) -> tuple[tuple[str, float], ...]:
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
