"""What data is held to: every threshold of every check, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass

from market_data.timeframes import MINUTE_NS


@dataclass(frozen=True, slots=True)
class Limits:
    """Thresholds of the checks.

    A *scale* is the usual range of a bar of this instrument at this time of
    day, in the volatility of its week; a *day's sigma* is the robust standard
    deviation of daily returns, the largest of the months around.

    Attributes
    ----------
    most_findings : int
        Rows for one check of one series: a person reads hundreds, and the rest
        is counted in one row more.
    chance : float
        Runs (of missing bars, of the same close) are reported when so few or
        fewer are expected in the whole series by the instrument's own habit.
        One series in a thousand may then raise a false alarm by chance.
    trimmed : float
        Share of the worst stretches left out when a habit is measured, so that
        a defect in a tenth of the data does not pass for a habit.
    quiet_minute : float
        Chance that a minute of a liquid instrument has no trade; about that of
        a large US stock at midday. A bar of n minutes has its n-th power.
    halt_ns : int
        Missing bars of no more than this time may be a halt that is not
        flagged: pauses by limit up-limit down last 5 minutes and may be
        extended by 5 (LULD plan of 2012); with what trades slowly afterwards 20.
    long_gap : int
        Sessions in a row; no exchange stayed closed for a month since 1914.
    long_gap_every : int
        Holes of that length that come no oftener than once in so many sessions, a
        year, are no habit of the instrument.
    grid_share : float
        A time step that fewer bars than this share keep is no grid of theirs.
    shift_ns : int
        Shifts are looked for from half an hour: no zone differs by less than 15
        minutes, and opens are late by minutes on every exchange.
    shift_blocks : int
        So many days (or currency weeks: two) in a row must be shifted alike.
    shift_score : float
        Log of how much better the shifted hours explain open and close volume.
    ohlc : float
        Relative excess of open or close over high or low that rounding explains:
        adjusted prices of vendors are rounded to seven digits.
    spike : float
        Scales by which a bar must stand out from both neighbours: minutes of
        news and the crash of 2010-05-06 reach 4 in daily bars, thin after-hours
        trading 8; what trades at once back at its old price by more is a misprint.
    spike_day : float
        And by this share of a day's sigma: wicks of thin hours are smaller.
    spike_error : float
        Twice the limit: no trader's doing in any real series that was looked at.
    spike_bars : int
        Misprints in a row that are told from a market: what is back after more
        bars may be one that turned round.
    spike_least : float
        A misprint of less than 0.3 % harms nobody, and is a few ticks of a
        cheap share.
    jump : float
        Day's sigmas without return. Apple lost 52 % on 2000-09-29, 14 sigmas;
        AIG 61 % on 2008-09-15.
    calm : float
        Turnover of a session over its median that counts as usual. News that moves
        a price by many sigmas multiplies turnover (by 9 at Apple in 2000).
    jump_loud : float
        Day's sigmas that are a finding whatever the turnover.
    split_least : float
        Smallest split looked for, 5 for 4; smaller ones can't be told from news.
    split_near : float
        Relative distance to n:m that a night's move explains, at most.
    unit_near : float
        Distance to a whole power of ten, in powers of ten (0.06 is 15 %).
    habit_times : float
        So many times the run that chance explains: quiet hours come in clusters,
        and chance counts each bar by itself.
    stale_least : int
        Runs of one close shorter than this are no finding, however unusual.
    repeated_least : int
        Equal bars (with a range and with volume) in a row after the first. Two
        equal minutes occur by chance in cheap shares; two equal days do not.
    volume_times : float
        Times its median for the time of day; quarterly expiries and index
        changes reach 50 in the closing minute.
    volume_sigmas : float
        And so many robust sigmas of its logarithm, for instruments whose volume
        varies by powers of ten anyway.
    volume_unit_sigmas : float
        A level of volume must change by so many robust sigmas of its changes from
        block to block, for instruments whose volume is nothing today and all the
        world's tomorrow.
    volume_usual : float
        Share of bars that must have volume before its absence says anything.
    whole_share : float
        Share of whole volumes from which lots are taken to be whole.
    quote_away : float
        Distance of a close from its quotes, in usual spreads of its time of day
        plus ranges of the bar: closes and quotes are not of the same instant.
    quote_least : float
        And at least this share of the price.
    spread_times : float
        Times the usual spread; after halts it is 4, at the open 4.
    """

    most_findings: int = 200
    chance: float = 1e-3
    trimmed: float = 0.1
    quiet_minute: float = 0.002
    halt_ns: int = 20 * MINUTE_NS
    long_gap: int = 21
    long_gap_every: int = 252
    grid_share: float = 0.02
    shift_ns: int = 25 * MINUTE_NS
    shift_blocks: int = 3
    shift_score: float = 2.0
    ohlc: float = 1e-6
    spike: float = 8.0
    spike_day: float = 0.25
    spike_error: float = 16.0
    spike_bars: int = 3
    spike_least: float = 0.003
    jump: float = 16.0
    calm: float = 3.0
    jump_loud: float = 40.0
    split_least: float = 1.25
    split_near: float = 0.06
    unit_near: float = 0.06
    habit_times: float = 2.0
    stale_least: int = 7
    repeated_least: int = 3
    volume_times: float = 100.0
    volume_sigmas: float = 8.0
    volume_unit_sigmas: float = 6.0
    volume_usual: float = 0.95
    whole_share: float = 0.99
    quote_away: float = 10.0
    quote_least: float = 0.003
    spread_times: float = 50.0


LIMITS = Limits()
