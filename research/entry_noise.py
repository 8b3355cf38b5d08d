"""Entry noise: the engine run again over the same bars, with entries missed, late, or at other prices.

Missed and late. Of every episode, the bars in a row on which an entry
condition is true, a share is missed altogether and a share is seen some bars
late.

Prices. Bars get a second set of prices, on which entries alone trade: all four
prices of a bar, moved by one normal draw. The engine does the rest, so that
nothing is an estimate: a limit may no longer be reached, stops and targets
stand at their distance from the entry as it became, commission is paid on it,
and later trades are sized by the equity that is left. Exits and marks are at
the bars' own prices. Where a strategy goes long and short, buying opens one
and closes the other: there the moved prices are those of bars on which an
entry may fill, and an exit on the same side in such a bar trades at them, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foundation.errors import SpecError
from foundation.progress import Progress, silent
from research.backtest import Backtest, SleeveResult
from research.monte_carlo_paths import QUANTILES, MonteCarloOptions, Paths, deepest, points_of
from research.windows import add_up
from trading.arrays import Feed
from trading.bars import HIGH, LOW, OPEN
from trading.dtypes import FALSE, MARKET, TRUE
from trading.sleeve import SleeveRun, run_sleeve
from trading.waking import block_ranges_nb

FloatArray = NDArray[np.float64]

_CONDITIONS = ("enter_long", "exit_long", "enter_short", "exit_short")
# A price that is moved stays above this share of the bar's low.
_LEAST_SHARE = 0.1
# Rows of open, high, low and close that a side trades on.
_N_PRICES = 4


def noise_paths(
    backtest: Backtest, options: MonteCarloOptions, progress: Progress = silent
) -> Paths:
    """Run the engine again with spoiled entries.

    Raises
    ------
    SpecError
        If entries shall be missed or late and their condition asks for the
        position, or noise is stated in ticks and an instrument has none.
    """
    cash = [one.cash for one in backtest.sleeves]
    sessions = np.unique(
        np.concatenate([one.loaded.bars.session[one.loaded.i_start :] for one in backtest.sleeves])
    )
    sleeves = [_NoisySleeve(one, options) for one in backtest.sleeves]
    n = options.n_noise
    points = points_of(len(sessions), n)
    growth = np.empty((n, len(points)))
    final, depths = np.empty(n), np.empty(n)
    ruined, n_trades = np.empty(n, bool), np.empty(n, np.int64)
    start = backtest.request.cash
    for k in range(n):
        generator = np.random.default_rng([options.seed, 1, k])
        parts: list[tuple[NDArray[np.int64], FloatArray] | None] = []
        trades = 0
        for one in sleeves:
            run = one.run(generator)
            parts.append(one.at_session_ends(run))
            trades += len(run.trades)
        together = add_up(parts, cash, sessions)[0]
        growth[k] = together[points]
        final[k], n_trades[k] = together[-1], trades
        depths[k] = deepest(np.append(start, together)[None, :])[0]
        ruined[k] = together.min() <= options.ruin * start
        progress(k + 1, n, "entry noise")
    return Paths(
        final, depths, ruined, n_trades, sessions[points], np.quantile(growth, QUANTILES, axis=0)
    )


@dataclass(frozen=True, slots=True)
class _Episodes:
    """The bars in a row on which an entry condition is true: first bars and stops."""

    row: int
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]


def _episodes(sleeve: SleeveResult) -> list[_Episodes]:
    found = []
    for name in ("enter_long", "enter_short"):
        if name not in sleeve.linked.condition_rows:
            if _has(sleeve, name):
                raise SpecError(
                    "asks for the position, which depends on what was entered before; its "
                    "entries can't be missed or late bar by bar",
                    path=name,
                    hint="use --skip 0 --delay 0, or --noise 0",
                )
            continue
        row = sleeve.linked.condition_rows[name]
        is_true = np.concatenate(([False], sleeve.feed.flags[row] == TRUE, [False]))
        edges = np.flatnonzero(is_true[1:] != is_true[:-1])
        found.append(_Episodes(row, edges[::2], edges[1::2]))
    return found


def _has(sleeve: SleeveResult, name: str) -> bool:
    """Tell whether the document states a condition."""
    if name in sleeve.linked.condition_rows:
        return True
    starts = sleeve.linked.plan["starts"][0]
    k = _CONDITIONS.index(name)
    return bool(starts[k + 1] > starts[k])


def spread_of(sleeve: SleeveResult, options: MonteCarloOptions) -> FloatArray:
    """Return the standard deviation of the noise in each bar's prices, in currency.

    Independent errors: their variances add up.

    Returns
    -------
    float64 array, shape (n_bars,)

    Raises
    ------
    SpecError
        If noise is stated in ticks and the instrument has none.
    """
    prices = sleeve.feed.matrix
    tick = sleeve.loaded.bars.instrument.tick
    if options.noise_ticks > 0.0 and not tick > 0.0:
        raise SpecError(
            f"{sleeve.symbol} has no tick to state noise in", path="noise_ticks",
            hint="use --noise-bps or --noise-range",
        )  # fmt: skip
    spread: FloatArray = np.sqrt(
        (options.noise_bps / 1e4 * prices[OPEN]) ** 2
        + (options.noise_ticks * tick) ** 2
        + (options.noise_range * (prices[HIGH] - prices[LOW])) ** 2
    )
    return spread


class _NoisySleeve:
    """One instrument, to be run with spoiled entries again and again."""

    def __init__(self, sleeve: SleeveResult, options: MonteCarloOptions) -> None:
        self._sleeve = sleeve
        self._options = options
        spoils = options.skip + options.delay > 0.0
        self._episodes: Sequence[_Episodes] = _episodes(sleeve) if spoils else ()
        self._spread = spread_of(sleeve, options)
        self._plan = sleeve.linked.plan
        self._feed = sleeve.feed
        if not self._spread.any():
            return
        self._plan = self._plan.copy()
        policy = self._plan["policy"][0]
        # Where bars carry quotes, entries trade on those.
        self._rows = {"buy": int(policy["buy_row"]), "sell": int(policy["sell_row"])}
        n_rows = len(self._feed.matrix)
        self._own: dict[str, int] = {}
        for side, name in (("buy", "enter_long"), ("sell", "enter_short")):
            if _has(sleeve, name):
                self._own[side] = n_rows + _N_PRICES * len(self._own)
                self._plan["policy"][f"{side}_row"] = self._own[side]
        self._two_sided = len(self._own) == 2
        self._feed = self._feed._replace(
            matrix=_with_rows(self._feed.matrix, n_rows, len(self._own)),
            finer=_with_rows(self._feed.finer, n_rows, len(self._own)),
            scan_low=self._feed.scan_low.copy(),
            scan_high=self._feed.scan_high.copy(),
            block_low=self._feed.block_low.copy(),
            block_high=self._feed.block_high.copy(),
        )
        starts = self._feed.finer_start
        self._bar_of_finer: NDArray[np.int64] = np.zeros(0, np.int64)
        if len(starts):
            places = np.arange(self._feed.finer.shape[1])
            at = np.searchsorted(starts, places, "right") - 1
            self._bar_of_finer = np.clip(at, 0, len(starts) - 2)

    def run(self, generator: np.random.Generator) -> SleeveRun:
        """Run the engine over one draw."""
        feed = self._feed
        if self._episodes:
            feed = feed._replace(flags=self._spoiled(generator))
        if self._spread.any():
            self._move(feed, generator)
        return run_sleeve(
            self._plan, feed, self._sleeve.cash, first_bar=self._sleeve.loaded.i_start
        )

    def at_session_ends(self, run: SleeveRun) -> tuple[NDArray[np.int64], FloatArray]:
        """Return session dates, and a run's equity at their ends."""
        first = self._sleeve.loaded.i_start
        session = self._sleeve.loaded.bars.session[first:]
        ends = np.append(np.flatnonzero(np.diff(session)), len(session) - 1)
        return session[ends], run.record.equity[first:][ends]

    def _spoiled(self, generator: np.random.Generator) -> NDArray[np.int8]:
        """Return the conditions with some episodes missed and some late."""
        options = self._options
        flags = self._feed.flags.copy()
        for one in self._episodes:
            drawn = generator.random(len(one.starts))
            for i in np.flatnonzero(drawn < options.skip + options.delay).tolist():
                first, stop = int(one.starts[i]), int(one.stops[i])
                if drawn[i] >= options.skip:
                    stop = min(stop, first + options.delay_bars)
                flags[one.row, first:stop] = FALSE
        return flags

    def _move(self, feed: Feed, generator: np.random.Generator) -> None:
        """Draw the prices on which entries trade into their rows, and widen the bars' ranges."""
        old = self._sleeve.feed
        low, high = old.scan_low.copy(), old.scan_high.copy()
        for side, own in self._own.items():
            row = self._rows[side]
            moved = self._spread * generator.standard_normal(len(self._spread))
            if self._two_sided:
                moved[~self._may_fill(feed, side)] = 0.0
            np.maximum(moved, (_LEAST_SHARE - 1.0) * old.matrix[row + LOW], out=moved)
            feed.matrix[own : own + _N_PRICES] = old.matrix[row : row + _N_PRICES] + moved
            if len(self._bar_of_finer):
                feed.finer[own : own + _N_PRICES] = (
                    old.finer[row : row + _N_PRICES] + moved[self._bar_of_finer]
                )
            low = np.minimum(low, old.scan_low + moved)
            high = np.maximum(high, old.scan_high + moved)
        # What tells a resting engine that nothing trades must know of the moved prices, too.
        feed.scan_low[:], feed.scan_high[:] = low, high
        closes = np.empty_like(feed.block_low), np.empty_like(feed.block_high)
        block_ranges_nb(
            feed.scan_low, feed.scan_high, feed.matrix[3], feed.block_low, feed.block_high, *closes
        )

    def _may_fill(self, feed: Feed, side: str) -> NDArray[np.bool_]:
        """Return the bars in which an entry of a side may fill."""
        policy = self._plan["policy"][0]
        row = self._sleeve.linked.condition_rows.get(
            "enter_long" if side == "buy" else "enter_short"
        )
        limited = float(policy["max_participation"]) > 0.0
        if row is None or policy["entry_type"] != MARKET or limited:
            return np.ones(len(self._spread), bool)  # It may work for any number of bars.
        decided = feed.flags[row] == TRUE
        if policy["same_close"]:
            return decided
        return np.append(False, decided[:-1])


def _with_rows(matrix: FloatArray, n_rows: int, n_sides: int) -> FloatArray:
    """Return a copy with room for sides of prices after row `n_rows`; rows between stay empty."""
    wide = np.zeros((n_rows + _N_PRICES * n_sides, matrix.shape[1]))
    wide[: len(matrix)] = matrix
    return wide
