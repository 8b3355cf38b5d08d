"""Records of the core: every structured dtype and code that kernels share.

All fields are 8 bytes wide, so that a record is a flat run of float64 and int64
that can be copied, hashed and stored as bytes. Quantities are counted in lots
(int64), so that what is held and what covers it compare exactly; multiply by
the policy's `lot` for units. Codes are plain module integers because kernels
compare them; `trading.codes` gives them names for people.
"""

from __future__ import annotations

import numpy as np

# Three-valued logic, chosen so that `and` is min, `or` is max and `not` is 2 - x.
FALSE, UNKNOWN, TRUE = 0, 1, 2

LONG, SHORT = 1, -1

# Order types.
MARKET, LIMIT, STOP, STOP_LIMIT = 0, 1, 2, 3

# Order roles within a bracket.
ENTRY, STOP_LOSS, PROFIT_TARGET, EXIT = 0, 1, 2, 3

# Time in force.
GTC, DAY = 0, 1

# Order states; a free slot holds no order.
FREE, WORKING, PARTIALLY_FILLED, FILLED, CANCELLED, EXPIRED, REFUSED = range(7)

# Size methods.
BY_QUANTITY, BY_NOTIONAL, BY_EQUITY_FRACTION, BY_RISK_FRACTION, BY_VOLATILITY = range(5)

# Which of the two paths of a bar is kept.
LOWER_EQUITY, HIGHER_EQUITY = 0, 1

# Why a decision was not taken, an order ended, or a trade was closed.
(
    NO_REASON,
    CONDITION_FALSE,
    WARMING_UP,
    IN_POSITION,
    WORKING_ENTRY,
    COOLDOWN,
    EXITING,
    CONFLICTING_ENTRIES,
    NOT_SHORTABLE,
    PRICE_UNKNOWN,
    DISTANCE_UNKNOWN,
    SIZE_ROUNDS_TO_ZERO,
    DAILY_LOSS,
    DRAWDOWN_STOP,
    HALTED,
    OUTSIDE_SESSION,
    SESSION_CLOSING,
    POSITION_LIMIT,
    ORDER_QUANTITY_LIMIT,
    ORDER_NOTIONAL_LIMIT,
    PRICE_COLLAR,
    ORDER_RATE,
    STALE_DATA,
    DUPLICATE_ID,
    LIFECYCLE_STAGE,
    EXIT_CONDITION,
    TIME_STOP,
    SESSION_CLOSE,
    REVERSED,
    STOPPED_OUT,
    TRAILED_OUT,
    TARGET_REACHED,
    BRACKET_CLOSED,
    ENTRY_CANCELLED_BY_EXIT,
    CANCEL_AFTER_BARS,
    DAY_ENDED,
    END_OF_DATA,
    INSOLVENT,
    RISK_BREACH,
    DELISTED,
) = range(40)

# What a bar's decision did.
NO_ACTION, ENTER_LONG_ACTION, ENTER_SHORT_ACTION, EXIT_ACTION, REVERSE_ACTION = range(5)

# Bits of `distance_shares`; targets follow.
STOP_SHARE, TRAIL_SHARE, EVEN_AT_SHARE, EVEN_OFFSET_SHARE, FIRST_TARGET_SHARE = 0, 1, 2, 3, 4

# Formulas of a strategy, by fixed place; profit targets follow FIRST_TARGET.
(
    F_ENTER_LONG,
    F_EXIT_LONG,
    F_ENTER_SHORT,
    F_EXIT_SHORT,
    F_PRICE_LONG,
    F_PRICE_SHORT,
    F_LIMIT_LONG,
    F_LIMIT_SHORT,
    F_STEP,
    F_STOP_LOSS,
    F_TRAILING_STOP,
    F_BREAK_EVEN_AT,
    F_BREAK_EVEN_OFFSET,
    F_VOLATILITY,
    FIRST_TARGET,
) = range(15)

# Bounds of a strategy; `trading.planning` refuses what is beyond them by name.
MAX_RUNGS = 16
MAX_TARGETS = 8
MAX_BRACKETS = 16
MAX_ORDERS = 128
MAX_CODE = 256
MAX_LITERALS = 128
MAX_STACK = 64
MAX_SLEEVES = 128  # That run together.

POLICY = np.dtype(
    [
        # The instrument.
        ("lot", "f8"),
        ("tick", "f8"),  # 0: prices are not rounded.
        ("multiplier", "f8"),
        ("shortable", "i8"),
        ("intraday", "i8"),
        ("buy_row", "i8"),  # Matrix row of the open that buys trade on (ask where known).
        ("sell_row", "i8"),
        # Entry.
        ("entry_type", "i8"),
        ("time_in_force", "i8"),
        ("cancel_after_bars", "i8"),  # 0: never.
        ("touch", "i8"),
        ("extended_hours", "i8"),
        ("same_close", "i8"),
        ("n_rungs", "i8"),
        ("n_targets", "i8"),
        ("targets_take_all", "i8"),  # The shares sum to one: the last target takes the rest.
        ("n_brackets", "i8"),
        ("slots_per_bracket", "i8"),  # Rungs, one stop, targets, one market exit.
        ("n_orders", "i8"),  # Slots of all brackets.
        ("pyramiding", "i8"),
        ("reverse", "i8"),
        ("cooldown_bars", "i8"),
        # Size.
        ("size_method", "i8"),
        ("size", "f8"),
        ("cash_buffer", "f8"),
        ("sized_at_fill", "i8"),
        # Exit.
        ("time_stop_bars", "i8"),
        ("flat_at_session_close", "i8"),
        ("close_at_end", "i8"),
        ("moves_stops", "i8"),  # A trailing or a break-even stop.
        ("distance_shares", "i8"),  # Bits of the distances that are shares of the entry.
        ("max_participation", "f8"),  # 0: off.
        ("path_choice", "i8"),
        # Costs.
        ("commission_per_unit", "f8"),
        ("commission_minimum", "f8"),
        ("commission_maximum_fraction", "f8"),  # 0: no cap.
        ("commission_bps", "f8"),
        ("commission_fixed", "f8"),
        ("slippage_bps", "f8"),
        ("slippage_ticks", "f8"),
        ("half_spread", "f8"),  # Currency per unit.
        ("impact_bps", "f8"),
        ("impact_exponent", "f8"),
        ("borrow_rate", "f8"),  # Per year of 365 days.
        # Risk; 0 switches a limit off.
        ("max_position_fraction", "f8"),
        ("max_daily_loss", "f8"),
        ("max_drawdown", "f8"),
        ("max_orders_per_minute", "i8"),
        ("max_order_quantity", "f8"),
        ("max_order_notional", "f8"),
        ("price_collar", "f8"),
    ]
)

HEADER = np.dtype(
    [
        # Progress.
        ("i_bar", "i8"),  # Bars seen so far; the current bar's number while it is processed.
        ("session", "i8"),
        ("n_sessions", "i8"),  # Sessions closed so far.
        # Position and money.
        ("cash", "f8"),
        ("lots", "i8"),  # Signed.
        ("average_entry", "f8"),
        ("entry_bar", "i8"),  # Bar of the fill that opened the trade.
        ("last_exit_bar", "i8"),
        ("last_close", "f8"),
        ("last_equity", "f8"),
        ("previous_session_equity", "f8"),
        ("peak_equity", "f8"),
        ("max_drawdown", "f8"),
        ("lowest_cash", "f8"),
        ("bars_in_position", "i8"),
        ("n_working", "i8"),  # Orders that work.
        ("volume_left", "i8"),  # Lots that may still fill in this bar.
        # Switches.
        ("blocked_session", "i8"),  # No entries in this session (daily loss).
        ("stopped", "i8"),  # Reason code once the sleeve is stopped for good.
        ("order_minute", "i8"),
        ("orders_in_minute", "i8"),
        # The open trade.
        ("trade_side", "i8"),
        ("trade_entry_ts", "i8"),
        ("trade_entry_lots", "f8"),
        ("trade_entry_notional", "f8"),
        ("trade_exit_lots", "f8"),
        ("trade_exit_notional", "f8"),
        ("trade_commission", "f8"),
        ("trade_slippage", "f8"),
        ("trade_cash", "f8"),  # Dividends, borrow cost and split fractions in it.
        ("trade_fills", "i8"),
        ("trade_largest_lots", "i8"),
        ("trade_high", "f8"),
        ("trade_low", "f8"),
        # Totals.
        ("next_sequence", "i8"),  # Of the next order; also the number of orders so far.
        ("n_fills", "i8"),
        ("n_trades", "i8"),
        ("n_wins", "i8"),
        ("n_cash_events", "i8"),
        ("n_ended_orders", "i8"),
        ("gross_wins", "f8"),
        ("gross_losses", "f8"),
        ("best_trade", "f8"),
        ("worst_trade", "f8"),
        ("total_commission", "f8"),
        ("total_slippage", "f8"),
        ("total_borrow_cost", "f8"),
        ("total_dividends", "f8"),
        ("turnover_notional", "f8"),
        # What the next bars must bring for the policy to look at them.
        ("wake_low", "f8"),
        ("wake_high", "f8"),
        ("wake_bar", "i8"),
        ("wake_session", "i8"),
        ("watch_enter_long", "i8"),
        ("watch_enter_short", "i8"),
        ("watch_exit_long", "i8"),
        ("watch_exit_short", "i8"),
        ("idle_reason", "i8"),  # Reason of the bars that are passed over.
    ]
)

BRACKET = np.dtype(
    [
        ("side", "i8"),  # 0: the bracket is free.
        ("entered_lots", "i8"),
        ("held_lots", "i8"),
        ("average_entry", "f8"),
        ("exit_started", "i8"),
        ("stop_distance", "f8"),  # NaN: none.
        ("trail_distance", "f8"),
        ("break_even_at", "f8"),
        ("break_even_offset", "f8"),
        ("break_even_done", "i8"),
        ("extreme", "f8"),  # Best price reached after the entry, while a stop trails.
        ("volatility", "f8"),  # Per year at the decision, of a volatility target.
    ]
)

ORDER = np.dtype(
    [
        ("state", "i8"),
        ("sequence", "i8"),
        ("role", "i8"),
        ("type", "i8"),
        ("side", "i8"),
        ("time_in_force", "i8"),
        ("lots", "i8"),
        ("leaves_lots", "i8"),
        ("filled_lots", "i8"),
        ("filled_notional", "f8"),  # Price times lots.
        ("limit_price", "f8"),
        ("stop_price", "f8"),
        ("distance", "f8"),  # Of a target from the average entry.
        ("triggered", "i8"),
        ("trailed", "i8"),  # The stop price came from the trailing stop.
        ("created_bar", "i8"),
        (
            "created_ts",
            "i8",
        ),  # Close of the deciding bar, or open of the bar that filled the entry.
        ("session", "i8"),  # First session in which it works; -1 before.
        ("commission", "f8"),
        ("n_replaced", "i8"),
        ("reason", "i8"),
    ]
)

ORDER_LOG = np.dtype(
    [
        ("bracket", "i8"),
        ("slot", "i8"),
        ("ended_ts", "i8"),
        ("state", "i8"),
        ("sequence", "i8"),
        ("role", "i8"),
        ("type", "i8"),
        ("side", "i8"),
        ("time_in_force", "i8"),
        ("lots", "i8"),
        ("filled_lots", "i8"),
        ("filled_notional", "f8"),
        ("limit_price", "f8"),
        ("stop_price", "f8"),
        ("created_ts", "i8"),
        ("commission", "f8"),
        ("n_replaced", "i8"),
        ("reason", "i8"),
    ]
)

FILL = np.dtype(
    [
        ("ts", "i8"),
        ("i_bar", "i8"),
        ("sequence", "i8"),
        ("role", "i8"),
        ("side", "i8"),
        ("lots", "i8"),
        ("price", "f8"),
        ("commission", "f8"),
        ("slippage", "f8"),
        ("lots_after", "i8"),
    ]
)

TRADE = np.dtype(
    [
        ("side", "i8"),
        ("entry_ts", "i8"),
        ("exit_ts", "i8"),
        ("entry_bar", "i8"),
        ("exit_bar", "i8"),
        ("entry_lots", "f8"),  # A split may leave a fraction.
        ("entry_notional", "f8"),  # Price times lots, without lot size and multiplier.
        ("exit_lots", "f8"),
        ("exit_notional", "f8"),
        ("largest_lots", "i8"),
        ("n_fills", "i8"),
        ("commission", "f8"),
        ("slippage", "f8"),
        ("cash", "f8"),
        ("net_profit", "f8"),
        ("high", "f8"),
        ("low", "f8"),
        ("reason", "i8"),
    ]
)

DIVIDEND_EVENT, BORROW_EVENT, SPLIT_FRACTION_EVENT, DELISTING_EVENT = 0, 1, 2, 3

CASH_EVENT = np.dtype(
    [
        ("ts", "i8"),
        ("kind", "i8"),
        ("amount", "f8"),
        ("lots", "i8"),
        ("rate", "f8"),
    ]
)

STATE = np.dtype(
    [
        ("header", HEADER),
        ("brackets", BRACKET, (MAX_BRACKETS,)),
        ("orders", ORDER, (MAX_ORDERS,)),
    ]
)

PLAN = np.dtype(
    [
        ("policy", POLICY),
        # Weights of the rungs, then shares of the profit targets.
        ("constants", "f8", (MAX_RUNGS + MAX_TARGETS,)),
        # Postfix instructions (operation, operand) of all formulas; formula f is
        # code[starts[f]:starts[f + 1]], empty when absent.
        ("code", "i8", (MAX_CODE, 2)),
        ("literals", "f8", (MAX_LITERALS,)),
        ("starts", "i8", (FIRST_TARGET + MAX_TARGETS + 1,)),
        # Rows of the flags of enter_long, exit_long, enter_short, exit_short; -1
        # when the condition is a formula or absent.
        ("conditions", "i8", (4,)),
    ]
)

# One bar as the policy and the fills see it. Rows: open, high, low, close.
BAR = np.dtype(
    [
        ("ts", "i8"),
        ("close_ts", "i8"),
        ("session", "i8"),
        ("flags", "i8"),
        ("close", "f8"),
        ("volume", "f8"),
        ("buy", "f8", (4,)),  # What buys trade on: the ask where it is known.
        ("sell", "f8", (4,)),
    ]
)

MAX_FILLS = 1024
MAX_ENDED_ORDERS = 1024
MAX_TRADES = 512
MAX_CASH_EVENTS = 64

# What happened in one bar. `keeps` 0 counts and writes nothing.
JOURNAL = np.dtype(
    [
        ("keeps", "i8"),
        ("n_fills", "i8"),
        ("n_orders", "i8"),
        ("n_trades", "i8"),
        ("n_cash_events", "i8"),
        ("overflowed", "i8"),
        ("next_action", "i8"),  # How far the corporate actions are applied.
        ("fills", FILL, (MAX_FILLS,)),
        ("orders", ORDER_LOG, (MAX_ENDED_ORDERS,)),
        ("trades", TRADE, (MAX_TRADES,)),
        ("cash_events", CASH_EVENT, (MAX_CASH_EVENTS,)),
    ]
)

# The state before a bar whose two paths differ; the formulas' stack, and where
# they read; the distances of an entry's profit targets; how far each of the
# sleeves that run together has come with the corporate actions; the current bar
# and the current finer one.
SCRATCH = np.dtype(
    [
        ("state", STATE),
        ("n_fills", "i8"),
        ("n_orders", "i8"),
        ("n_trades", "i8"),
        ("n_cash_events", "i8"),
        ("stack", "f8", (MAX_STACK + 1,)),
        ("column", "i8"),  # Address of the bar's column of the matrix, bytes between rows.
        ("column_stride", "i8"),
        ("flags", "i8"),
        ("flags_stride", "i8"),
        ("finer_prices", "i8"),  # The same of finer bars, and the address of their times.
        ("finer_stride", "i8"),
        ("finer_ts", "i8"),
        ("distances", "f8", (MAX_TARGETS,)),
        ("next_actions", "i8", (MAX_SLEEVES,)),
        ("bar", BAR),
        ("finer", BAR),
    ]
)
