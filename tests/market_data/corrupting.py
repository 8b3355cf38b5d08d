"""A seeded corruptor: sound bars, one planted defect, and what must be found where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np

from market_data.columns import BarColumns
from market_data.generator import Market, generate_minutes
from market_data.quality.checking import check_columns
from market_data.quality.findings import QualityFinding, Severity, at_least
from market_data.resampling import resample_columns
from market_data.sessions import SessionTable
from market_data.timeframes import DAY_NS, HOUR_NS

FIRST, LAST = date(2023, 1, 3), date(2023, 4, 28)
DAILY_LAST = date(2024, 6, 28)


@dataclass(frozen=True)
class Planted:
    """Corrupted columns, and the times that the finding must cover."""

    columns: BarColumns
    check: str
    times: np.ndarray  # int64 ns, of the planted bars as the data states them
    also: tuple[str, ...] = field(default=())  # checks that describe the same defect truly


def sound_minutes(table: SessionTable, seed: int, last: date = LAST) -> BarColumns:
    """Return three months of minutes with halts, quiet minutes and a change of clocks."""
    market = Market(volatility=(0.01, 0.02, 0.03)[seed % 3], price=(20.0, 100.0, 400.0)[seed % 3])
    return generate_minutes(FIRST, last, seed=seed, market=market, sessions=table).columns


def sound_days(table: SessionTable, seed: int) -> BarColumns:
    """Return eighteen months of days, made of minutes."""
    market = Market(volatility=(0.01, 0.02, 0.03)[seed % 3])
    minutes = generate_minutes(FIRST, DAILY_LAST, seed=seed, market=market, sessions=table).columns
    return resample_columns(minutes, table, "1m", "1d")


def found_in(
    columns: BarColumns, table: SessionTable, timeframe: str, least: Severity = Severity.WARNING
) -> list[QualityFinding]:
    """Return the findings of a severity and above."""
    found = check_columns(
        columns.ts, columns.prices, symbol="SIM", timeframe=timeframe, sessions=table,
        session=columns.session, bid=columns.bid, ask=columns.ask, halted=columns.halted,
        tick=0.01, lot=1.0,
    )  # fmt: skip
    return at_least(found, least)


def covers(found: list[QualityFinding], planted: Planted) -> bool:
    """Return whether findings of the planted check cover every planted time."""
    own = [one for one in found if one.check == planted.check]
    inside = np.zeros(planted.times.shape[0], bool)
    for one in own:
        inside |= (planted.times >= one.first_ts) & (planted.times <= one.last_ts)
    return bool(inside.all()) and bool(own)


def others(found: list[QualityFinding], planted: Planted) -> list[QualityFinding]:
    """Return the findings that are false: of another check, or at another place."""
    first, last = int(planted.times.min()), int(planted.times.max())
    return [
        one
        for one in found
        if one.check not in (planted.check, *planted.also)
        or one.last_ts < first - DAY_NS
        or one.first_ts > last + DAY_NS
    ]


def _copy(columns: BarColumns) -> BarColumns:
    return BarColumns(
        columns.ts.copy(), columns.session.copy(), columns.prices.copy(),
        None if columns.bid is None else columns.bid.copy(),
        None if columns.ask is None else columns.ask.copy(),
        None if columns.halted is None else columns.halted.copy(),
    )  # fmt: skip


def _inner_bar(columns: BarColumns, draw: np.random.Generator) -> int:
    return (
        int(draw.integers(500, columns.n_bars - 500))
        if columns.n_bars > 2000
        else int(draw.integers(30, columns.n_bars - 30))
    )


def _sessions(columns: BarColumns) -> np.ndarray:
    return np.unique(columns.session)


def drop_session(columns, table, draw):
    """Leave out one session, or two in a row."""
    days = _sessions(columns)
    i = int(draw.integers(5, days.shape[0] - 6))
    gone = days[i : i + int(draw.integers(1, 3))]
    row = np.searchsorted(table.date, gone)
    kept = columns.select(~np.isin(columns.session, gone))
    return Planted(kept, "missing_sessions", table.open[row])


def drop_bars(columns, table, draw):
    """Leave out 24 to 60 minutes within a session."""
    days = _sessions(columns)
    day = days[int(draw.integers(3, days.shape[0] - 3))]
    at = np.flatnonzero(columns.session == day)
    start = int(draw.integers(5, at.shape[0] - 95))
    gone = at[start : start + int(draw.integers(24, 61))]
    keep = np.ones(columns.n_bars, bool)
    keep[gone] = False
    return Planted(columns.select(keep), "missing_bars", columns.ts[gone])


def thin_out(columns, table, draw):
    """Leave out a third of a session's bars, here and there."""
    days = _sessions(columns)
    day = days[int(draw.integers(3, days.shape[0] - 3))]
    at = np.flatnonzero(columns.session == day)[5:-5]
    gone = draw.choice(at, at.shape[0] // 3, replace=False)
    keep = np.ones(columns.n_bars, bool)
    keep[gone] = False
    return Planted(columns.select(keep), "thin_session", columns.ts[gone], ("missing_bars",))


def repeat_rows(columns, table, draw):
    """Repeat some bars as they are."""
    at = np.unique(draw.integers(10, columns.n_bars - 10, 5))
    order = np.sort(np.concatenate((np.arange(columns.n_bars), at)))
    return Planted(columns.select(order), "duplicate_bars", columns.ts[at])


def contradict_rows(columns, table, draw):
    """Add a second bar of the same time with other prices."""
    at = np.unique(draw.integers(10, columns.n_bars - 10, 3))
    order = np.sort(np.concatenate((np.arange(columns.n_bars), at)))
    both = columns.select(order)
    second = np.flatnonzero(np.append(False, np.diff(order) == 0))
    both.prices[:4, second] = np.round(both.prices[:4, second] * 1.004, 2)
    return Planted(both, "duplicate_bars", columns.ts[at])


def disorder(columns, table, draw):
    """Let a high fall below the close, or a low rise above the open."""
    bars, i = _copy(columns), _inner_bar(columns, draw)
    if draw.random() < 0.5:
        bars.prices[1, i] = bars.prices[2, i] * 0.999
    else:
        bars.prices[2, i] = bars.prices[1, i] * 1.001
    return Planted(bars, "ohlc_order", bars.ts[[i]])


def misprint(columns, table, draw):
    """Set one price of a minute 1.8 to 5 % out of line (of a day 45 to 70 %)."""
    bars, i = _copy(columns), _inner_bar(columns, draw)
    daily = bool(np.median(np.diff(columns.ts)) > 20 * HOUR_NS)
    size = draw.uniform(0.45, 0.7) if daily else draw.uniform(0.018, 0.05)
    if draw.random() < 0.5:
        bars.prices[1, i] = np.round(bars.prices[1, i] * (1 + size), 2)
        if draw.random() < 0.5:
            bars.prices[3, i] = bars.prices[1, i]
    else:
        bars.prices[2, i] = np.round(bars.prices[2, i] * (1 - size), 2)
        if draw.random() < 0.5:
            bars.prices[0, i] = bars.prices[2, i]
    return Planted(bars, "spike", bars.ts[[i]])


def misprints_in_a_row(columns, table, draw):
    """Set two or three bars 4 to 9 % out of line (days 45 to 70 %): all prices, closes or wicks."""
    bars, i = _copy(columns), _inner_bar(columns, draw)
    daily = bool(np.median(np.diff(columns.ts)) > 20 * HOUR_NS)
    n = int(draw.integers(2, 4))
    while not daily and bars.session[i - 1] != bars.session[i + n]:
        i += 1
    at = np.arange(i, i + n)
    size = 1 + (draw.uniform(0.45, 0.7) if daily else draw.uniform(0.04, 0.09))
    kind = draw.integers(3)
    if kind == 0:
        bars.prices[:4, at] = np.round(bars.prices[:4, at] * size, 2)
    elif kind == 1:
        bars.prices[3, at] = np.round(bars.prices[3, at] * size, 2)
        bars.prices[1, at] = np.maximum(bars.prices[1, at], bars.prices[3, at])
    else:
        bars.prices[2, at] = np.round(bars.prices[2, at].min() / size, 2)
    return Planted(bars, "spike", bars.ts[at])


def change_volume_unit(columns, table, draw):
    """Write the volume of a week or more in hundreds or thousands, or times as much."""
    bars = _copy(columns)
    days = _sessions(columns)
    first = int(draw.integers(10, days.shape[0] // 2))
    chosen = days[first : first + int(draw.integers(6, 20))]
    at = np.isin(bars.session, chosen)
    bars.prices[4, at] *= draw.choice([0.001, 0.01, 100.0, 1000.0])
    return Planted(bars, "wrong_volume_unit", bars.ts[at])


def change_volume_unit_for_good(columns, table, draw):
    """Write the volume in hundreds or thousands, or times as much, from a day on."""
    bars = _copy(columns)
    days = _sessions(columns)
    at = bars.session >= days[int(days.shape[0] * draw.uniform(0.6, 0.9))]
    bars.prices[4, at] *= draw.choice([0.001, 0.01, 100.0, 1000.0])
    return Planted(bars, "wrong_volume_unit", bars.ts[at])


def level_change(columns, table, draw):
    """Move all prices from one session on by 63 %, as a splice of two series does."""
    bars = _copy(columns)
    days = _sessions(columns)
    i = int(np.searchsorted(columns.session, days[days.shape[0] // 2 + int(draw.integers(-5, 6))]))
    for block in (bars.prices[:4], bars.bid, bars.ask):
        if block is not None:
            block[:, i:] *= 0.37
    return Planted(bars, "jump", bars.ts[[i]])


def freeze(columns, table, draw):
    """Repeat one close for 30 to 70 minutes, or 10 to 20 days, while volume goes on."""
    bars, i = _copy(columns), _inner_bar(columns, draw)
    n = int(draw.integers(30, 71) if columns.n_bars > 2000 else draw.integers(10, 21))
    at = np.arange(i, i + n)
    bars.prices[:4, at] = bars.prices[3, i - 1]
    for side in (bars.bid, bars.ask):
        if side is not None:
            side[:, at] = side[3, i - 1][..., np.newaxis]
    return Planted(bars, "stale_price", bars.ts[at])


def copy_bars(columns, table, draw):
    """Repeat a whole bar, volume and all, in the next three to eight."""
    bars, i = _copy(columns), _inner_bar(columns, draw)
    while bars.prices[1, i] == bars.prices[2, i]:
        i += 1
    at = np.arange(i + 1, i + 1 + int(draw.integers(3, 8)))
    for block in (bars.prices, bars.bid, bars.ask):
        if block is not None:
            block[:, at] = block[:, [i]]
    return Planted(bars, "repeated_bars", bars.ts[at])


def lose_price(columns, table, draw):
    """Set one price to NaN."""
    bars, i = _copy(columns), _inner_bar(columns, draw)
    bars.prices[int(draw.integers(4)), i] = np.nan
    return Planted(bars, "missing_price", bars.ts[[i]])


def zero_price(columns, table, draw):
    """Set one price to zero or below."""
    bars, i = _copy(columns), _inner_bar(columns, draw)
    bars.prices[int(draw.integers(4)), i] = draw.choice([0.0, -1.0, -50.0])
    return Planted(bars, "nonpositive_price", bars.ts[[i]])


def change_unit(columns, table, draw):
    """Write one to 300 bars in hundredths (or hundreds), prices alone."""
    bars, i = _copy(columns), _inner_bar(columns, draw)
    at = np.arange(i, i + int(draw.choice([1, 2, 20, 300 if columns.n_bars > 2000 else 25])))
    bars.prices[:4, at] *= draw.choice([100.0, 0.01, 1000.0])
    return Planted(bars, "wrong_unit", bars.ts[at])


def hide_split(columns, table, draw):
    """Split the shares in the data and say so nowhere."""
    bars = _copy(columns)
    days = _sessions(columns)
    i = int(np.searchsorted(columns.session, days[days.shape[0] // 2 + int(draw.integers(-9, 10))]))
    ratio = float(draw.choice([2.0, 3.0, 4.0, 7.0, 0.1, 0.05]))
    for block in (bars.prices[:4], bars.bid, bars.ask):
        if block is not None:
            block[:, i:] /= ratio
    bars.prices[4, i:] = np.round(bars.prices[4, i:] * ratio)
    return Planted(bars, "unadjusted_split", bars.ts[[i]])


def shift_clock(columns, table, draw):
    """Move the bars of two or more weeks by an hour or a zone."""
    days = _sessions(columns)
    first = int(draw.integers(2, days.shape[0] - 20))
    chosen = days[first : first + int(draw.integers(8, 18))]
    at = np.isin(columns.session, chosen)
    ts = columns.ts + at * np.int64(draw.choice([-5, -1, 1, 5])) * HOUR_NS
    return Planted(replace(columns, ts=ts), "time_shift", ts[at])


def shift_dates(columns, table, draw):
    """Date some months of daily bars a day early, as a wrong zone does."""
    first = int(draw.integers(20, 100))
    at = np.zeros(columns.n_bars, bool)
    at[first : first + int(draw.integers(60, 200))] = True
    # Whole weeks, from Monday on.
    dates = columns.session
    monday = dates - (dates + 3) % 7
    at &= (monday > dates[first]) & (monday < dates[np.flatnonzero(at)[-1]] - 7)
    ts = (dates - at) * DAY_NS
    return Planted(BarColumns(ts, dates, columns.prices), "time_shift", ts[at])


def negative_volume(columns, table, draw):
    """Turn the sign of a bar's volume."""
    bars, i = _copy(columns), _inner_bar(columns, draw)
    bars.prices[4, i] *= -1
    return Planted(bars, "negative_volume", bars.ts[[i]])


def lose_volume(columns, table, draw):
    """Set volume to nothing in moving bars."""
    bars, i = _copy(columns), _inner_bar(columns, draw)
    at = np.arange(i, i + 12)
    at = at[bars.prices[1, at] > bars.prices[2, at]]
    bars.prices[4, at] = 0.0
    return Planted(bars, "volume_without_trades", bars.ts[at])


def inflate_volume(columns, table, draw):
    """Multiply one bar's volume by 700."""
    bars, i = _copy(columns), _inner_bar(columns, draw)
    bars.prices[4, i] *= 700
    return Planted(bars, "volume_spike", bars.ts[[i]])


def break_lots(columns, table, draw):
    """Give one bar half a share."""
    bars, i = _copy(columns), _inner_bar(columns, draw)
    bars.prices[4, i] += 0.5
    return Planted(bars, "fractional_volume", bars.ts[[i]])


def cross_quotes(columns, table, draw):
    """Exchange bid and ask of a bar."""
    bars, i = _copy(columns), _inner_bar(columns, draw)
    bid = bars.bid[:, i].copy()
    bars.bid[:, i], bars.ask[:, i] = bars.ask[:, i], bid
    return Planted(bars, "crossed_quotes", bars.ts[[i]])


def lose_side(columns, table, draw):
    """Leave out the bid or the ask of a bar: as NaN or as zero."""
    bars, i = _copy(columns), _inner_bar(columns, draw)
    side = bars.bid if draw.random() < 0.5 else bars.ask
    side[:, i] = draw.choice([np.nan, 0.0])
    return Planted(bars, "one_sided_quotes", bars.ts[[i]])


def move_quotes(columns, table, draw):
    """Set the quotes of a bar 2.5 to 6 % away from its trades."""
    bars, i = _copy(columns), _inner_bar(columns, draw)
    factor = 1 + draw.uniform(0.025, 0.06) * draw.choice([-1, 1])
    bars.bid[:, i] *= factor
    bars.ask[:, i] *= factor
    return Planted(bars, "quotes_away", bars.ts[[i]])


def widen_quotes(columns, table, draw):
    """Set the ask of a bar 3 to 8 % higher."""
    bars, i = _copy(columns), _inner_bar(columns, draw)
    bars.ask[:, i] *= 1 + draw.uniform(0.03, 0.08)
    return Planted(bars, "wide_quotes", bars.ts[[i]])


def mislabel(columns, table, draw):
    """Label the bars of one session with the day after."""
    bars = _copy(columns)
    day = _sessions(columns)[int(draw.integers(3, 60))]
    at = columns.session == day
    bars.session[at] += 1
    return Planted(bars, "session_label", bars.ts[at])


def leave_grid(columns, table, draw):
    """Let a bar begin 20 seconds late."""
    bars, i = _copy(columns), _inner_bar(columns, draw)
    bars.ts[i] += 20 * 10**9
    return Planted(bars, "off_grid", bars.ts[[i]])


def trade_on_sunday(columns, table, draw):
    """Add bars on a day without a session."""
    days = _sessions(columns)
    friday = days[(days + 3) % 7 == 4][int(draw.integers(2, 8))]
    some = columns.select(columns.session == friday)
    ts = some.ts + 2 * DAY_NS
    extra = BarColumns(ts, some.session + 2, some.prices, some.bid, some.ask)
    if extra.n_bars > 30:
        extra = extra.select(slice(0, 30))
    both = BarColumns.from_tables([columns.to_table(), extra.to_table()])
    order = np.argsort(both.ts, kind="stable")
    return Planted(both.select(order), "no_session", extra.ts)


def shuffle(columns, table, draw):
    """Move one bar to a wrong place of the file."""
    order = np.arange(columns.n_bars)
    i = _inner_bar(columns, draw)
    order = np.insert(np.delete(order, i), i + 10, i)
    return Planted(columns.select(order), "out_of_order", columns.ts[[i]])


Corruption = Callable[[BarColumns, SessionTable, np.random.Generator], Planted]
MINUTE_DEFECTS: tuple[Corruption, ...] = (
    shuffle, repeat_rows, contradict_rows, trade_on_sunday, mislabel, leave_grid, drop_session,
    drop_bars, thin_out, shift_clock, lose_price, zero_price, disorder, change_unit, misprint,
    level_change, hide_split, freeze, copy_bars, negative_volume, lose_volume, inflate_volume,
    break_lots, misprints_in_a_row, change_volume_unit, change_volume_unit_for_good, cross_quotes,
    lose_side, move_quotes, widen_quotes,
)  # fmt: skip
DAILY_DEFECTS: tuple[Corruption, ...] = (
    shuffle, repeat_rows, contradict_rows, trade_on_sunday, drop_session, shift_dates, lose_price,
    zero_price, disorder, change_unit, misprint, hide_split, freeze, copy_bars, negative_volume,
    lose_volume, inflate_volume, break_lots, misprints_in_a_row, change_volume_unit,
    change_volume_unit_for_good,
)  # fmt: skip
