"""Portfolio: cash, position, the open trade and the marks of one sleeve."""

from __future__ import annotations

import numpy as np

from trading.compiling import inlined_kernel, inner_kernel
from trading.dtypes import BORROW_EVENT, MAX_CASH_EVENTS, MAX_FILLS, MAX_TRADES

DAYS_A_YEAR = 365.0
ALMOST_ONE = 1.0 - 1e-15

# A sleeve that has seen no bar yet is in no session.
NO_SESSION = -(1 << 40)


@inlined_kernel
def book_fill_nb(policy, header, journal, order, lots, price, commission, slip, ts):
    """Book a fill: cash, position, average entry, the open trade, the fill log.

    Parameters
    ----------
    slip : float
        Slippage of the whole fill in units times price, without the multiplier.
    """
    side = order.side
    if header.lots == 0:
        header.trade_side = side
        header.trade_entry_ts = ts
        header.entry_bar = header.i_bar
        header.trade_entry_lots = 0.0
        header.trade_entry_notional = 0.0
        header.trade_exit_lots = 0.0
        header.trade_exit_notional = 0.0
        header.trade_commission = 0.0
        header.trade_slippage = 0.0
        header.trade_cash = 0.0
        header.trade_fills = 0
        header.trade_largest_lots = 0
        header.trade_high = price
        header.trade_low = price
        header.average_entry = 0.0
    value = lots * policy.lot * price * policy.multiplier
    header.cash -= side * value + commission
    header.lowest_cash = min(header.lowest_cash, header.cash)
    if side == header.trade_side:
        held = abs(header.lots)
        header.average_entry = (header.average_entry * held + price * lots) / (held + lots)
        header.trade_entry_lots += lots
        header.trade_entry_notional += lots * price
    else:
        header.trade_exit_lots += lots
        header.trade_exit_notional += lots * price
    header.lots += side * lots
    header.trade_largest_lots = max(header.trade_largest_lots, abs(header.lots))
    slippage = slip * policy.multiplier
    header.trade_commission += commission
    header.trade_slippage += slippage
    header.trade_fills += 1
    header.trade_high = max(header.trade_high, price)
    header.trade_low = min(header.trade_low, price)
    header.n_fills += 1
    header.total_commission += commission
    header.total_slippage += slippage
    header.turnover_notional += value
    if journal.keeps == 1:
        if journal.n_fills >= MAX_FILLS:
            journal.overflowed = 1
            journal.n_fills = 0
        row = journal.fills[journal.n_fills]
        journal.n_fills += 1
        row.ts = ts
        row.i_bar = header.i_bar
        row.sequence = order.sequence
        row.role = order.role
        row.side = side
        row.lots = lots
        row.price = price
        row.commission = commission
        row.slippage = slippage
        row.lots_after = header.lots


@inlined_kernel
def close_trade_nb(policy, header, journal, ts, reason):
    """Close the trade: it runs from flat to flat (rule 13)."""
    gross = header.trade_side * (header.trade_exit_notional - header.trade_entry_notional)
    net = gross * policy.lot * policy.multiplier - header.trade_commission + header.trade_cash
    header.n_trades += 1
    if net > 0.0:
        header.n_wins += 1
        header.gross_wins += net
    else:
        header.gross_losses -= net
    header.best_trade = max(header.best_trade, net)
    header.worst_trade = min(header.worst_trade, net)
    header.last_exit_bar = header.i_bar
    header.average_entry = np.nan
    if journal.keeps == 1:
        if journal.n_trades >= MAX_TRADES:
            journal.overflowed = 1
            journal.n_trades = 0
        row = journal.trades[journal.n_trades]
        journal.n_trades += 1
        row.side = header.trade_side
        row.entry_ts = header.trade_entry_ts
        row.exit_ts = ts
        row.entry_bar = header.entry_bar
        row.exit_bar = header.i_bar
        row.entry_lots = header.trade_entry_lots
        row.entry_notional = header.trade_entry_notional
        row.exit_lots = header.trade_exit_lots
        row.exit_notional = header.trade_exit_notional
        row.largest_lots = header.trade_largest_lots
        row.n_fills = header.trade_fills
        row.commission = header.trade_commission
        row.slippage = header.trade_slippage
        row.cash = header.trade_cash
        row.net_profit = net
        row.high = header.trade_high
        row.low = header.trade_low
        row.reason = reason


@inner_kernel
def book_cash_nb(header, journal, kind, amount, lots, rate, ts):
    """Book a cash event that belongs to the open trade and log it."""
    header.trade_cash += amount
    move_cash_nb(header, journal, kind, amount, lots, rate, ts)


@inner_kernel
def move_cash_nb(header, journal, kind, amount, lots, rate, ts):
    """Book a cash event and log it, without counting it in the open trade's cash."""
    header.cash += amount
    header.lowest_cash = min(header.lowest_cash, header.cash)
    header.n_cash_events += 1
    if journal.keeps == 1:
        if journal.n_cash_events >= MAX_CASH_EVENTS:
            journal.overflowed = 1
            journal.n_cash_events = 0
        row = journal.cash_events[journal.n_cash_events]
        journal.n_cash_events += 1
        row.ts = ts
        row.kind = kind
        row.amount = amount
        row.lots = lots
        row.rate = rate


@inlined_kernel
def deepen_nb(peak, deepest, equity):
    """Bring peak equity and the deepest drawdown up to date.

    The product tells whether there is anything to divide: a division for each
    bar would take longer than all the rest of passing over it. It lets a few
    through that are not deeper, and none that is, so that the result is that of
    the lowest equity in whatever order lower ones came.
    """
    if equity > peak:
        return equity, deepest
    fall = peak - equity
    if fall >= deepest * peak * ALMOST_ONE:
        return peak, max(deepest, fall / peak)
    return peak, deepest


@inlined_kernel
def value_nb(policy, header, close):
    """Value the sleeve at a close."""
    equity = header.cash + header.lots * policy.lot * policy.multiplier * close
    header.last_close = close
    header.last_equity = equity
    return equity


@inlined_kernel
def mark_nb(policy, header, close):
    """Mark the sleeve to a close: equity, peak and drawdown."""
    equity = value_nb(policy, header, close)
    peak, deepest = deepen_nb(header.peak_equity, header.max_drawdown, equity)
    header.peak_equity = peak
    header.max_drawdown = deepest
    return equity


@inner_kernel
def accrue_borrow_nb(policy, header, journal, days, ts):
    """Charge a short position's borrow cost for the days since the last session."""
    if header.lots >= 0 or policy.borrow_rate <= 0.0:
        return
    value = -header.lots * policy.lot * policy.multiplier * header.last_close
    amount = -value * policy.borrow_rate * days / DAYS_A_YEAR
    header.total_borrow_cost -= amount
    book_cash_nb(header, journal, BORROW_EVENT, amount, header.lots, policy.borrow_rate, ts)


@inlined_kernel
def close_session_nb(header, record, row):
    """Write down equity and cash of the session that ended, in the sleeve's row."""
    k = header.n_sessions
    if header.session != NO_SESSION and k < record.session_equity.shape[1]:
        record.session_equity[row, k] = header.last_equity
        if k < record.session_cash.shape[1]:
            record.session_cash[row, k] = header.cash
        record.session_date[k] = header.session


@inner_kernel
def roll_session_nb(policy, header, journal, session, ts):
    """Close the session that ended, if any, and begin the next one.

    The caller has written the ended session's equity down.
    """
    if header.session != NO_SESSION:
        header.n_sessions += 1
        accrue_borrow_nb(policy, header, journal, session - header.session, ts)
        header.previous_session_equity = header.last_equity
    header.session = session
