"""The engine: one bar through the sleeve, and the loop over bars.

`process_bar_nb` is the reducer that backtest, paper and live share. `run_nb`
calls it for stored bars and passes over those where nothing can happen
(`trading/waking.py`); a run that looks at every bar gives the same bits.
"""

from __future__ import annotations

from trading.addresses import address_nb, float_at_nb, word_at_nb
from trading.brackets import bracket_of_nb, free_bracket_if_done_nb, request_exit_nb
from trading.compiling import inlined_kernel, inner_kernel, kernel
from trading.corporate_actions import apply_actions_nb, delist_nb
from trading.decisions import HALTED_BIT, decide_nb, exit_all_nb
from trading.dtypes import (
    CANCEL_AFTER_BARS,
    DAY,
    DAY_ENDED,
    END_OF_DATA,
    ENTRY,
    FREE,
    SESSION_CLOSE,
)
from trading.fills import (
    NO_LIMIT_ON_VOLUME,
    fill_market_orders_nb,
    match_bar_nb,
    note_range_nb,
    set_volume_nb,
)
from trading.formulas import set_column_nb
from trading.orders import EXPIRE, end_order_nb
from trading.portfolio import close_session_nb, mark_nb, roll_session_nb
from trading.specialising import (
    ANY,
    WITH_TARGET,
    WITHOUT_TARGET,
    journal_as_nb,
    kind_nb,
    plan_as_nb,
)
from trading.waking import pass_over_nb, set_wake_nb

SESSION_LAST_BIT = 2
NEVER = 1 << 62


@inlined_kernel
def load_bar_nb(policy, bar, prices, i, ts, close_ts, session, bar_flags):
    """Fill the bar record from column i of a price matrix."""
    bar.ts = ts
    bar.close_ts = close_ts
    bar.session = session
    bar.flags = bar_flags
    bar.close = prices[3, i]
    bar.volume = prices[4, i]
    for k in range(4):
        bar.buy[k] = prices[policy.buy_row + k, i]
    if policy.sell_row == policy.buy_row:
        for k in range(4):
            bar.sell[k] = bar.buy[k]
    else:
        for k in range(4):
            bar.sell[k] = prices[policy.sell_row + k, i]


@inner_kernel
def expire_day_orders_nb(plan, state, journal, session_ended, now):
    """Expire day orders whose session is over; note the session of new ones."""
    policy = plan.policy
    header = state.header
    for i_order in range(policy.n_orders):
        order = state.orders[i_order]
        if order.state == FREE or order.time_in_force != DAY:
            continue
        if order.session == -1:
            order.session = header.session
        if session_ended or order.session != header.session:
            end_order_nb(policy, state, journal, i_order, EXPIRE, DAY_ENDED, now)
            free_bracket_if_done_nb(policy, state, journal, bracket_of_nb(policy, i_order), now)


@inner_kernel
def expire_by_bars_nb(plan, state, journal, now):
    """Cancel entries that have worked for `cancel_after_bars`, which is set."""
    policy = plan.policy
    header = state.header
    for i_order in range(policy.n_orders):
        order = state.orders[i_order]
        if order.state == FREE or order.role != ENTRY:
            continue
        if header.i_bar - order.created_bar >= policy.cancel_after_bars:
            end_order_nb(policy, state, journal, i_order, EXPIRE, CANCEL_AFTER_BARS, now)
            free_bracket_if_done_nb(policy, state, journal, bracket_of_nb(policy, i_order), now)


@inlined_kernel
def load_fed_bar_nb(policy, bar, feed, i):
    """Fill the bar record with bar i of a feed."""
    load_bar_nb(
        policy, bar, feed.matrix, i, feed.ts[i], feed.close_ts[i], feed.session[i],
        feed.bar_flags[i],
    )  # fmt: skip


@inlined_kernel
def set_finer_nb(scratch, finer, finer_ts):
    """Let bars be matched by finer ones: prices by row, and their times."""
    scratch.finer_prices = address_nb(finer)
    scratch.finer_stride = finer.strides[0]
    scratch.finer_ts = address_nb(finer_ts)


@inlined_kernel
def load_finer_nb(policy, scratch, bar, k):
    """Fill the record of a finer bar with column k of those that `set_finer_nb` chose."""
    part = scratch.finer
    stride = scratch.finer_stride
    prices = scratch.finer_prices + 8 * k
    part.ts = word_at_nb(scratch.finer_ts + 8 * k)
    part.close_ts = 0
    part.session = bar.session
    part.flags = bar.flags
    part.close = float_at_nb(prices + 3 * stride)
    part.volume = float_at_nb(prices + 4 * stride)
    for row in range(4):
        part.buy[row] = float_at_nb(prices + (policy.buy_row + row) * stride)
        part.sell[row] = float_at_nb(prices + (policy.sell_row + row) * stride)


@inlined_kernel
def match_nb(plan, state, journal, scratch, bar, first, last):
    """Match the working orders with a bar, by its finer bars where there are any."""
    if last > first:
        for k in range(first, last):
            load_finer_nb(plan.policy, scratch, bar, k)
            match_bar_nb(plan, state, journal, scratch, scratch.finer)
        return
    match_bar_nb(plan, state, journal, scratch, bar)


@inner_kernel
def fill_at_close_nb(plan, state, journal, bar):
    """Fill market orders at the close of the deciding bar."""
    fill_market_orders_nb(plan, state, journal, bar.buy[3], bar.sell[3], bar.close_ts, bar.volume)


@inner_kernel
def leave_at_close_nb(plan, state, journal, bar, reason):
    """Leave all brackets at this bar's close."""
    policy = plan.policy
    for b in range(policy.n_brackets):
        if state.brackets[b].side != 0:
            request_exit_nb(policy, state, b, reason, bar.close_ts)
    fill_at_close_nb(plan, state, journal, bar)


@inner_kernel
def process_bar_nb(plan, state, journal, scratch, bar, actions, first, last):
    """Take one bar through the sleeve: fills, marks, decision.

    Its columns are those that `set_column_nb` chose, its finer bars those of
    `set_finer_nb`.

    Parameters
    ----------
    bar : BAR record
        Its number in the run is `header.i_bar`, which this function moves on.
    actions : ACTION array
        Corporate actions from `journal.next_action` on.
    first, last : int
        First finer bar, and that after the last; none when they are equal.

    Returns
    -------
    (int, int)
        Action and reason codes of the decision.
    """
    policy = plan.policy
    header = state.header
    if bar.session != header.session:
        roll_session_nb(policy, header, journal, bar.session, bar.ts)
    if actions.shape[0] > 0:
        apply_actions_nb(plan, state, journal, actions, bar.ts)
    set_volume_nb(policy, header, bar.volume)
    has_day_orders = policy.time_in_force == DAY  # Only entries; exits work until they fill.
    if has_day_orders:
        expire_day_orders_nb(plan, state, journal, False, bar.ts)
    if bar.flags & HALTED_BIT:
        note_range_nb(header, bar)
    elif header.n_working > 0 or header.lots != 0:
        match_nb(plan, state, journal, scratch, bar, first, last)
    if policy.cancel_after_bars > 0:
        expire_by_bars_nb(plan, state, journal, bar.close_ts)
    if has_day_orders and bar.flags & SESSION_LAST_BIT:
        expire_day_orders_nb(plan, state, journal, True, bar.close_ts)
    if policy.flat_at_session_close == 1 and policy.intraday == 0 and header.lots != 0:
        leave_at_close_nb(plan, state, journal, bar, SESSION_CLOSE)
    if actions.shape[0] > 0:
        delist_nb(plan, state, journal, actions, bar.close_ts)
    equity = mark_nb(policy, header, bar.close)
    action, reason = decide_nb(plan, state, journal, bar, equity, scratch)
    if policy.same_close == 1 and header.n_working > 0:
        fill_at_close_nb(plan, state, journal, bar)
        mark_nb(policy, header, bar.close)
    if header.lots != 0:
        header.bars_in_position += 1
    header.volume_left = 0  # Of this bar only, and none of a sleeve's memory.
    header.i_bar += 1
    next_action_bar = NEVER
    if journal.next_action < actions.shape[0]:
        next_action_bar = actions[journal.next_action].i_bar
    set_wake_nb(plan, state, next_action_bar)
    return action, reason


@inlined_kernel
def keep_journal_nb(journal, logs, cursor):
    """Move the journal's rows to the logs; the cursor says how far those are filled."""
    for k in range(journal.n_fills):
        logs.fills[cursor[0] + k] = journal.fills[k]
    for k in range(journal.n_orders):
        logs.orders[cursor[1] + k] = journal.orders[k]
    for k in range(journal.n_trades):
        logs.trades[cursor[2] + k] = journal.trades[k]
    for k in range(journal.n_cash_events):
        logs.cash_events[cursor[3] + k] = journal.cash_events[k]
    cursor[0] += journal.n_fills
    cursor[1] += journal.n_orders
    cursor[2] += journal.n_trades
    cursor[3] += journal.n_cash_events
    journal.n_fills = 0
    journal.n_orders = 0
    journal.n_trades = 0
    journal.n_cash_events = 0


@inlined_kernel
def has_room_nb(journal, logs, cursor):
    """Tell whether the logs have room for the journal's rows."""
    return (
        cursor[0] + journal.n_fills <= logs.fills.shape[0]
        and cursor[1] + journal.n_orders <= logs.orders.shape[0]
        and cursor[2] + journal.n_trades <= logs.trades.shape[0]
        and cursor[3] + journal.n_cash_events <= logs.cash_events.shape[0]
    )


@inlined_kernel
def run_bars_nb(plan, state, journal, scratch, feed, logs, record, row, start, stop, every_bar):
    """Run one sleeve over the bars start to stop; see `run_nb`."""
    header = state.header
    set_finer_nb(scratch, feed.finer, feed.finer_ts)
    session_stop = 0
    keeps = record.equity.shape[0] > 0
    i = start
    while i < stop:
        if journal.keeps == 1:
            if not has_room_nb(journal, logs, logs.cursor):
                return i
            keep_journal_nb(journal, logs, logs.cursor)
        if not every_bar:
            i, session_stop = pass_over_nb(
                plan, state, journal, feed, record, row, i, stop, session_stop
            )
            if i >= stop:
                break
        bar = scratch.bar
        load_fed_bar_nb(plan.policy, bar, feed, i)
        if bar.session != header.session:
            close_session_nb(header, record, row)
        first = 0
        last = 0
        if feed.finer_start.shape[0] > 0:
            first = feed.finer_start[i]
            last = feed.finer_start[i + 1]
        set_column_nb(scratch, feed.matrix, feed.flags, i)
        action, reason = process_bar_nb(
            plan, state, journal, scratch, bar, feed.actions, first, last
        )
        if keeps:
            record.equity[i] = header.last_equity
            record.cash[i] = header.cash
            record.lots[i] = header.lots
            record.reasons[i] = reason
            record.actions[i] = action
        i += 1
    return stop


@inlined_kernel
def run_sleeves_nb(
    kind, plans, states, journals, scratches, feed, logs, record, start, stop, stretch, every_bar
):
    """Run sleeves over the bars start to stop; see `run_nb`.

    All sleeves go over one stretch of bars before any goes on to the next, so
    that the bars of a stretch come from the processor's cache.
    """
    journal = journals[0]
    scratch = scratches[0]
    n_sleeves = plans.shape[0]
    next_actions = scratch.next_actions
    i = start
    while i < stop:
        end = min(i + stretch, stop)
        for k in range(n_sleeves):
            plan = plan_as_nb(kind, plans[k])
            written = journal_as_nb(kind, journal)
            journal.next_action = next_actions[k]
            reached = run_bars_nb(
                plan, states[k], written, scratch, feed, logs, record, k, i, end, every_bar
            )
            next_actions[k] = journal.next_action
            if reached < end:
                return reached
        i = end
    return stop


@kernel
def run_nb(plans, states, journals, scratches, feed, logs, record, start, stop, stretch, every_bar):
    """Run sleeves over the bars start to stop.

    Parameters
    ----------
    plans, states : PLAN and STATE arrays, shape (n_sleeves,), at most MAX_SLEEVES
    journals, scratches : JOURNAL and SCRATCH arrays, shape (1,)
        Only a single sleeve may keep its journal's rows. The scratch's
        `next_actions` say how far each has come with the corporate actions.
    record : Record
        Values per session in row k for sleeve k; values per bar of a single one.
    stretch : int
        Bars of a stretch, > 0.
    every_bar : bool
        Process each bar even where nothing can happen; the result is the same.

    Returns
    -------
    int
        `stop`, or the bar to go on from once the logs have more room: the rows
        of the bar before it still wait in the journal.
    """
    return run_sleeves_nb(
        kind_nb(ANY), plans, states, journals, scratches, feed, logs, record, start, stop, stretch,
        every_bar,
    )  # fmt: skip


@kernel
def run_without_target_nb(
    plans, states, journals, scratches, feed, logs, record, start, stop, stretch, every_bar
):
    """Run sleeves whose plans are of the kind WITHOUT_TARGET and keep no rows; see `run_nb`."""
    return run_sleeves_nb(
        kind_nb(WITHOUT_TARGET), plans, states, journals, scratches, feed, logs, record, start,
        stop, stretch, every_bar,
    )  # fmt: skip


@kernel
def run_with_target_nb(
    plans, states, journals, scratches, feed, logs, record, start, stop, stretch, every_bar
):
    """Run sleeves whose plans are of the kind WITH_TARGET and keep no rows; see `run_nb`."""
    return run_sleeves_nb(
        kind_nb(WITH_TARGET), plans, states, journals, scratches, feed, logs, record, start, stop,
        stretch, every_bar,
    )  # fmt: skip


# The kernel of each kind of plan, for sleeves that keep no rows.
RUN_KIND = {ANY: run_nb, WITHOUT_TARGET: run_without_target_nb, WITH_TARGET: run_with_target_nb}


@inlined_kernel
def finish_one_nb(plan, state, journal, scratch, feed, record, row, last):
    """End the run of one sleeve; see `finish_nb`."""
    policy = plan.policy
    header = state.header
    if policy.close_at_end == 1 and header.lots != 0:
        header.i_bar -= 1
        bar = scratch.bar
        load_fed_bar_nb(policy, bar, feed, last)
        exit_all_nb(plan, state, journal, END_OF_DATA, bar.close_ts)
        header.volume_left = NO_LIMIT_ON_VOLUME
        fill_at_close_nb(plan, state, journal, bar)
        mark_nb(policy, header, bar.close)
        if record.equity.shape[0] > 0:
            record.equity[last] = header.last_equity
            record.cash[last] = header.cash
            record.lots[last] = header.lots
        header.i_bar += 1
    close_session_nb(header, record, row)
    header.n_sessions += 1


@kernel
def finish_nb(plans, states, journals, scratches, feed, record, last):
    """End runs: close at the end where asked, and count the last session.

    Parameters
    ----------
    last : int
        Column of the last bar.
    """
    for row in range(plans.shape[0]):
        finish_one_nb(plans[row], states[row], journals[0], scratches[0], feed, record, row, last)
