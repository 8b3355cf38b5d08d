"""Names, for people and files, of the codes that kernels use."""

from __future__ import annotations

from trading import dtypes as d

REASONS: tuple[str, ...] = (
    "",
    "condition_false",
    "warming_up",
    "in_position",
    "working_entry",
    "cooldown",
    "exiting",
    "conflicting_entries",
    "not_shortable",
    "price_unknown",
    "distance_unknown",
    "size_rounds_to_zero",
    "daily_loss",
    "drawdown_stop",
    "halted",
    "outside_session",
    "session_closing",
    "position_limit",
    "order_quantity_limit",
    "order_notional_limit",
    "price_collar",
    "order_rate",
    "stale_data",
    "duplicate_id",
    "lifecycle_stage",
    "exit_condition",
    "time_stop",
    "session_close",
    "reversed",
    "stop_loss",
    "trailing_stop",
    "profit_target",
    "bracket_closed",
    "cancelled_by_exit",
    "cancel_after_bars",
    "day_ended",
    "end_of_data",
    "insolvent",
    "risk_breach",
    "delisted",
)
ACTIONS: tuple[str, ...] = ("", "enter_long", "enter_short", "exit", "reverse")
ROLES: tuple[str, ...] = ("entry", "stop_loss", "profit_target", "exit")
ORDER_TYPES: tuple[str, ...] = ("market", "limit", "stop", "stop_limit")
ORDER_STATES: tuple[str, ...] = (
    "free",
    "working",
    "partially_filled",
    "filled",
    "cancelled",
    "expired",
    "refused",
)
TIMES_IN_FORCE: tuple[str, ...] = ("gtc", "day")
CASH_EVENTS: tuple[str, ...] = ("dividend", "borrow_cost", "split_fraction", "delisting")

assert len(REASONS) == d.DELISTED + 1
