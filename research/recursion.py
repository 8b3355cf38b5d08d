"""The recursive check: how much values and decisions depend on where history begins.

A moving average that remembers all bars has another value when it began later.
The check starts a version on some days of the bars, each time with all history
before them and with 1, 2, 4 … times the warm-up that its expressions declare,
and compares what it saw and decided from that day on. Owns where it starts,
what counts as a difference, and how many bars of warm-up it recommends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from foundation.progress import Progress, silent
from market_data.building import select_bars
from market_data.loading import LoadedBars
from market_data.store import Store
from research.backtest import (
    BacktestRequest,
    SleeveResult,
    capital_shares,
    load_instrument,
    run_instrument,
    weight_names,
)
from research.look_ahead import cuts_affordable, without_end
from research.tracks import bar_name, column_tracks, decision_tracks, first_unlike
from trading.bars import BarFlag, Bars
from trading.expressions.ast import Indicator
from trading.expressions.constants import unique_nodes
from trading.expressions.strategy import (
    CONDITION_FIELDS,
    Bound,
    ResolvedStrategy,
    bind,
    resolve_strategy,
)
from trading.expressions.warmup import strategy_warm_up

MULTIPLES = (1, 2, 4, 8, 16, 32)
# Days on which an instrument is started, at most.
N_STARTS = 6
TOLERANCE = 1e-6
# Kernels that add up from the first bar on. The long tail adds up over its window only.
CUMULATIVE = frozenset(("obv", "ad"))
_N_AFTER_MIN, _N_AFTER_MAX = 250, 2_000
# How far a difference that is called constant may wander, relative to the value's size.
_STEADY = 1e-9
_START_STREAM = 9


@dataclass(frozen=True, slots=True)
class Settling:
    """How one indicator or condition depends on where history begins.

    Attributes
    ----------
    name : str
        Such as ``indicator trend``, or ``term enter_long[0]: close > trend``.
    at_first : tuple of (float or None)
        For each tested multiple the largest relative difference at the first
        decision bar, of all starts; None where the value was unknown though
        all history gives one. Of a condition 1 if it differed there, else 0.
    n_changed : tuple of int
        For each tested multiple, bars from the first decision bar on at which
        the difference was above the tolerance (a condition: was another).
    settled_after : int or None
        Bars after the first decision bar until the difference with the
        declared warm-up stays below the tolerance; None if it does not.
    is_level : bool
        Whether the difference is a constant: a sum that began elsewhere. Such
        a value is compared by its changes.
    """

    name: str
    at_first: tuple[float | None, ...]
    n_changed: tuple[int, ...]
    settled_after: int | None
    is_level: bool = False


@dataclass(frozen=True, slots=True)
class WarmUpTest:
    """What a warm-up of some length brings.

    Attributes
    ----------
    multiple : int
        Of the declared warm-up.
    bars : int
        Own bars of the strategy that this took, the most of all starts.
    n_starts : int
        Starts with enough history to test it.
    largest_difference : float or None
        At the first decision bar, of all indicators that are no levels; None
        if one was unknown.
    largest_of : str
        The indicator that it is of; empty if there is none.
    n_changed_conditions : int
        Bars at which any condition was another than with all history; one
        that asks for the position follows from decisions and doesn't count.
    n_changed_decisions : int
        Bars at which another decision was taken, or another quantity held.
    first_change : str
        The first such bar: instrument, day of the start, bar; empty for none.
    """

    multiple: int
    bars: int
    n_starts: int
    largest_difference: float | None
    largest_of: str
    n_changed_conditions: int
    n_changed_decisions: int
    first_change: str = ""


@dataclass(frozen=True, slots=True)
class RecursionReport:
    """What the check did and found.

    Attributes
    ----------
    declared : dict
        Warm-up by timeframe, as `quarterdeck check` prints it.
    declared_bars : int
        The same in own bars of the strategy.
    tests : tuple of WarmUpTest
    settlings : tuple of Settling
        Those whose value ever differed, the slowest first.
    bars_for_values, bars_for_decisions : int or None
        Own bars of warm-up from which on every value is within the tolerance
        at the first decision bar; from which on no decision changes. None if
        no tested warm-up is enough.
    level_conditions : tuple of str
        Terms of conditions that ask for the level of a sum, and change with it.
    """

    instruments: tuple[str, ...]
    n_starts: int
    n_runs: int
    declared: dict[str, int]
    declared_bars: int
    tests: tuple[WarmUpTest, ...]
    settlings: tuple[Settling, ...]
    bars_for_values: int | None
    bars_for_decisions: int | None
    level_conditions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def recommended_bars(self) -> int | None:
        """Own bars of warm-up to give the version; None if none was found to suffice.

        A value within the tolerance may still be on the other side of a
        threshold, so the longer of both is needed.
        """
        if self.bars_for_decisions is None:
            return None
        return max(self.bars_for_decisions, self.bars_for_values or 0)

    @property
    def passed(self) -> bool:
        """Whether some warm-up makes all decisions those of all history."""
        return self.bars_for_decisions is not None


def check_recursion(
    request: BacktestRequest,
    store: Store,
    *,
    n_starts: int = N_STARTS,
    seed: int = 0,
    progress: Progress = silent,
) -> RecursionReport:
    """Check how much warm-up a version needs.

    Parameters
    ----------
    request : BacktestRequest
        The version and the bars, as for its backtest. Its own start is one of
        the days on which the version is started.
    n_starts : int
        Starts of each instrument, at most.
    seed : int
        Of the choice of days.

    Raises
    ------
    SpecError, DataError
        As `run_backtest` does.
    """
    strategy = resolve_strategy(request.document)
    bound = without_end(bind(strategy, request.values))
    declared = strategy_warm_up(strategy, bound.values)
    symbols = request.symbols or strategy.instruments or ("",)
    loaded = [load_instrument(request, strategy, bound, symbol, store) for symbol in symbols]
    shares = capital_shares(request.document, weight_names(loaded))
    starts = [choose_starts(one, strategy, declared, n_starts, seed) for one in loaded]
    total, done = sum(map(len, starts)), 0
    compared: list[_Comparison] = []
    n_runs = 0
    for one, share, days in zip(loaded, shares, starts, strict=True):
        for start in days:
            found = _compare_start(strategy, bound, one, share * request.cash, declared, start)
            n_runs += 1 + len(found)
            compared += found
            done += 1
            progress(done, total, one.bars.instrument.symbol)
    notes = tuple(
        f"{one.bars.instrument.symbol}: its {one.bars.n_bars:,} bars are too few to compare "
        f"{max(_own_bars(one.bars, one.bars.n_bars - 1, declared, 1), 1):,} bars of warm-up with more"
        for one, days in zip(loaded, starts, strict=True)
        if not days
    )
    own = declared | {strategy.timeframe: declared.get("", 0)}
    own.pop("", None)
    return _report(strategy, compared, loaded, total, n_runs, own, notes)


def history_start(bars: Bars, start: int, declared: dict[str, int], multiple: int) -> int:
    """Return the bar at which history begins that is so many times the declared warm-up.

    Parameters
    ----------
    start : int
        First decision bar.
    declared : dict
        Bars by timeframe; ``""`` is the bars' own.

    Returns
    -------
    int
        The first bar of its session; negative when there are not so many bars.
    """
    begin = start - multiple * max(declared.get("", 0), 1)
    for timeframe, n_bars in declared.items():
        if not timeframe:
            continue
        period = np.unique(bars.periods[timeframe] >> 2, return_inverse=True)[1]
        # Completed ones are seen, so one more, and one for a start in the middle of a period.
        wanted = int(period[start]) - multiple * n_bars - 2
        begin = min(begin, int(np.searchsorted(period, wanted)) if wanted >= 0 else -1)
    if begin < 0:
        return -1
    return int(np.searchsorted(bars.session, bars.session[begin], "left"))


def _own_bars(bars: Bars, start: int, declared: dict[str, int], multiple: int) -> int:
    begin = history_start(bars, start, declared, multiple)
    return start - begin if begin >= 0 else multiple * max(declared.get("", 0), 1)


def choose_starts(
    loaded: LoadedBars,
    strategy: ResolvedStrategy,
    declared: dict[str, int],
    n_starts: int,
    seed: int,
) -> list[int]:
    """Choose the days on which a version is started: its own, and seeded ones.

    Each is the first bar of a session with at least the declared warm-up
    before it, and as much again for the history it is compared with.
    """
    bars, own = loaded.bars, loaded.i_start
    firsts = np.flatnonzero(bars.flags & BarFlag.SESSION_FIRST)
    # A start near the end would leave nothing to compare.
    firsts = firsts[firsts <= bars.n_bars - min(_N_AFTER_MIN, bars.n_bars // 8 + 1)]
    possible = [int(at) for at in firsts if _can_test(bars, int(at), declared, 1)]
    if not possible:
        return []
    n_starts = min(n_starts, cuts_affordable(strategy, bars.n_bars, n_starts))
    random = np.random.default_rng([_START_STREAM, seed])
    # Late ones, which have the history that larger multiples need, and any ones.
    late = possible[len(possible) // 2 :]
    wanted = [own] if own in possible else []
    wanted += [late[k] for k in random.permutation(len(late))[: n_starts // 2]]
    wanted += [possible[k] for k in random.permutation(len(possible))[:n_starts]]
    return sorted(list(dict.fromkeys(wanted))[:n_starts])


def _can_test(bars: Bars, start: int, declared: dict[str, int], multiple: int) -> bool:
    """Tell whether all history is longer than the tested one by the declared warm-up."""
    begin = history_start(bars, start, declared, multiple)
    return begin >= 0 and history_start(bars, begin, declared, 1) >= 0


@dataclass(frozen=True, slots=True)
class _Comparison:
    """One start with one warm-up, laid beside the same start with all history.

    Attributes
    ----------
    differences : dict of float64 arrays, shape (n_after,)
        Relative difference of each indicator by bar, NaN where unknown in the
        one and known in the other; of each condition 1 where it differs.
    """

    symbol: str
    start: str
    multiple: int
    bars: int
    differences: dict[str, NDArray[np.float64]]
    levels: frozenset[str]
    conditions: NDArray[np.bool_]
    decisions: NDArray[np.bool_]
    names: tuple[str, ...]


def _compare_start(
    strategy: ResolvedStrategy,
    bound: Bound,
    loaded: LoadedBars,
    cash: float,
    declared: dict[str, int],
    start: int,
) -> list[_Comparison]:
    """Start a version on one day with all history and with each tested warm-up."""
    bars = loaded.bars
    wanted = 4 * _own_bars(bars, start, declared, 1)
    n_after = min(max(wanted, _N_AFTER_MIN), _N_AFTER_MAX)
    end = bars.n_bars if start == loaded.i_start else min(bars.n_bars, start + n_after)

    def run(begin: int) -> SleeveResult:
        part = select_bars(bars, slice(begin, end))
        return run_instrument(
            strategy, bound, replace(loaded, bars=part, i_start=start - begin), cash
        )

    full = run(0)
    # At an action a sum is rescaled, and so is its level.
    steps = np.ones(end - start - 1, bool)
    ex_bars = bars.actions["i_bar"] - start - 1
    steps[ex_bars[(ex_bars >= 0) & (ex_bars < len(steps))]] = False
    found: list[_Comparison] = []
    for multiple in MULTIPLES:
        if not _can_test(bars, start, declared, multiple):
            break
        begin = history_start(bars, start, declared, multiple)
        if found and found[-1].bars == start - begin:
            continue  # Whole sessions hold several multiples of a short warm-up.
        part = run(begin)
        differences: dict[str, NDArray[np.float64]] = {}
        levels = set()
        conditions = np.zeros(end - start, bool)
        for known, seen in zip(column_tracks(full), column_tracks(part), strict=True):
            one, other = known.values[start:], seen.values[start - begin :]
            if known.words or known.values.dtype.kind != "f":
                unlike = one != other
                differences[known.name] = unlike.astype(np.float64)
                # What asks for the position follows from decisions, and is no cause.
                if known.name.removeprefix("condition ") in full.linked.condition_rows:
                    conditions |= unlike
                continue
            if _is_level(one, other, steps):
                levels.add(known.name)
            differences[known.name] = relative_difference(one, other, known.values)
        found.append(
            _Comparison(
                bars.instrument.symbol,
                bar_name(bars, start),
                multiple,
                start - begin,
                differences,
                frozenset(levels),
                conditions,
                _unlike_decisions(full, part, start, begin),
                tuple(bar_name(bars, i) for i in range(start, end)),
            )
        )
    return found


def _unlike_decisions(
    full: SleeveResult, part: SleeveResult, start: int, begin: int
) -> NDArray[np.bool_]:
    lot = float(full.linked.plan["policy"][0]["lot"])
    unlike: NDArray[np.bool_] = np.zeros(len(full.run.record.lots) - start, bool)
    for known, seen in zip(
        decision_tracks(full.run, lot), decision_tracks(part.run, lot), strict=True
    ):
        if known.name in ("decision", "position"):
            unlike |= known.values[start:] != seen.values[start - begin :]
    return unlike


def relative_difference(
    known: NDArray[np.float64], seen: NDArray[np.float64], column: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the differences relative to the value, or to the column's usual size if that is more.

    An oscillator passes through zero, where every difference would be endless.

    Returns
    -------
    float64 array
        NaN where a value is unknown in `seen` and known in `known`, or the
        other way round; 0 where it is unknown in both.
    """
    sizes = np.abs(column[np.isfinite(column)])
    usual = float(np.median(sizes)) if len(sizes) else 0.0
    scale = np.maximum(np.maximum(np.abs(known), np.abs(seen)), usual)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.abs(known - seen) / scale
    found[known == seen] = 0.0
    found[np.isnan(known) & np.isnan(seen)] = 0.0
    return np.asarray(found, np.float64)


def _is_level(
    known: NDArray[np.float64], seen: NDArray[np.float64], steps: NDArray[np.bool_]
) -> bool:
    """Tell whether two columns change alike and differ all the same."""
    both = np.isfinite(known) & np.isfinite(seen)
    if np.count_nonzero(both) < 3 or not np.array_equal(np.isnan(known), np.isnan(seen)):
        return False
    size = float(np.max(np.abs(known[both])))
    usable = steps & both[1:] & both[:-1]
    changes = np.abs(np.diff(seen) - np.diff(known))[usable]
    apart = np.abs(seen - known)[both]
    if not len(changes) or not size > 0.0:
        return False
    return float(apart.min()) > TOLERANCE * size and float(changes.max()) <= _STEADY * size


def _report(
    strategy: ResolvedStrategy,
    compared: Sequence[_Comparison],
    loaded: Sequence[LoadedBars],
    n_starts: int,
    n_runs: int,
    declared: dict[str, int],
    notes: tuple[str, ...],
) -> RecursionReport:
    levels = frozenset(name for one in compared for name in one.levels)
    multiples = sorted({one.multiple for one in compared})
    tests = tuple(_warm_up_test(compared, multiple, levels) for multiple in multiples)
    settlings = _settlings(compared, multiples, levels)
    for_values = _smallest(
        (test.bars, test.largest_difference is not None and test.largest_difference < TOLERANCE)
        for test in tests
    )
    for_decisions = _smallest(
        (test.bars, not test.n_changed_decisions and not test.n_changed_conditions)
        for test in tests
    )
    symbols = tuple(one.bars.instrument.symbol for one in loaded)
    unknown = [one.name for one in settlings if one.at_first and one.at_first[0] is None]
    if unknown:
        notes += (
            f"Unknown at the first decision bar with the declared warm-up: {', '.join(unknown)}.",
        )
    return RecursionReport(
        instruments=symbols,
        n_starts=n_starts,
        n_runs=n_runs,
        declared=declared,
        declared_bars=max((one.bars for one in compared if one.multiple == 1), default=0),
        tests=tests,
        settlings=settlings,
        bars_for_values=for_values,
        bars_for_decisions=for_decisions,
        level_conditions=_level_conditions(strategy, settlings, levels),
        notes=notes,
    )


def _smallest(tests: Iterable[tuple[int, bool]]) -> int | None:
    """Return the fewest bars from which on every longer warm-up is enough, too."""
    found = None
    for bars, enough in tests:
        if not enough:
            found = None
        elif found is None:
            found = bars
    return found


def _warm_up_test(
    compared: Sequence[_Comparison], multiple: int, levels: frozenset[str]
) -> WarmUpTest:
    those = [one for one in compared if one.multiple == multiple]
    largest: float | None = 0.0
    largest_of, first_change = "", ""
    for one in those:
        for name, values in one.differences.items():
            if not name.startswith("indicator ") or name in levels:
                continue
            value = float(values[0])
            if np.isnan(value):
                largest, largest_of = None, name
            elif largest is not None and value > largest:
                largest, largest_of = value, name
        at = first_unlike(one.decisions | one.conditions, np.zeros(len(one.decisions), bool))
        if at >= 0 and not first_change:
            first_change = f"{one.symbol} started {one.start}: {one.names[at]}"
    return WarmUpTest(
        multiple,
        max(one.bars for one in those),
        len(those),
        largest,
        largest_of.removeprefix("indicator "),
        sum(int(np.count_nonzero(one.conditions)) for one in those),
        sum(int(np.count_nonzero(one.decisions)) for one in those),
        first_change,
    )


def _settlings(
    compared: Sequence[_Comparison], multiples: Sequence[int], levels: frozenset[str]
) -> tuple[Settling, ...]:
    names = dict.fromkeys(name for one in compared for name in one.differences)
    found = []
    for name in names:
        at_first: list[float | None] = []
        n_changed = []
        settled: int | None = 0
        for multiple in multiples:
            columns = [one.differences[name] for one in compared if one.multiple == multiple]
            firsts = [float(column[0]) for column in columns]
            at_first.append(None if any(map(np.isnan, firsts)) else max(firsts))
            # NaN is no number below the tolerance.
            apart = [~(column < TOLERANCE) for column in columns]
            n_changed.append(sum(int(np.count_nonzero(one)) for one in apart))
            if multiple == multiples[0]:
                for one in apart:
                    last = np.flatnonzero(one)
                    after = 0 if not len(last) else int(last[-1]) + 1
                    if after == len(one):
                        settled = None
                    elif settled is not None:
                        settled = max(settled, after)
        if any(n_changed):
            is_level = name in levels
            found.append(Settling(name, tuple(at_first), tuple(n_changed), settled, is_level))
    found.sort(key=lambda one: (one.settled_after is not None, -(one.settled_after or 0), one.name))
    return tuple(found)


def _level_conditions(
    strategy: ResolvedStrategy, settlings: Sequence[Settling], levels: frozenset[str]
) -> tuple[str, ...]:
    """Return the terms that contain a sum and are others even after the longest warm-up."""
    changed = {one.name for one in settlings if one.n_changed[-1]}
    sums = CUMULATIVE | {
        part.name
        for output in strategy.indicators
        if f"indicator {output.name}" in levels
        for part in unique_nodes(output.node)
        if isinstance(part, Indicator)
    }
    found = []
    for name in CONDITION_FIELDS:
        condition = getattr(strategy, name)
        for k, term in enumerate(() if condition is None else condition.terms):
            text = f"{name}[{k}]: {term.text}"
            asks = any(isinstance(x, Indicator) and x.name in sums for x in unique_nodes(term.node))
            if asks and f"term {text}" in changed:
                found.append(text)
    return tuple(found)
