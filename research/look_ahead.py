"""The look-ahead check: hiding the future changes nothing before it (rule 1).

A version is run over all its bars, and again over bars whose future is hidden:
read from a store that ends early, cut off, and replaced by noise. Everything
up to the cut must be the same to the bit: the bars, every named indicator,
every term and condition, decisions with their reasons, orders, fills, cash and
the whole state of the sleeve, on both paths within a bar. Owns where the cuts
are and what a difference says; `research.hidden_future` hides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from foundation.progress import Progress, silent
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
from research.hidden_future import StoreUntil, cut, rescaled, with_noise
from research.tracks import (
    OTHER_PATH,
    Stage,
    Track,
    bar_name,
    column_tracks,
    decision_tracks,
    first_unlike,
    value_words,
)
from trading import dtypes as d
from trading.bars import BarFlag, Bars
from trading.engine import run_nb
from trading.expressions.ast import Indicator
from trading.expressions.constants import unique_nodes
from trading.expressions.strategy import (
    Bound,
    ResolvedStrategy,
    bind,
    expressions,
    resolve_strategy,
)
from trading.finer import finer_differ
from trading.indicators.catalogue import find
from trading.indicators.specs import Kind
from trading.sleeve import first_action, new_journal, new_logs, new_record, new_scratch, new_states

# Cuts of one instrument; each is run twice, cut off and with noise.
N_CUTS = 48
N_CUTS_MIN = 8
# Bars that all runs of one instrument may have together; more bars, fewer cuts.
N_BARS_RUN = 30_000_000
# A bar of the long tail costs as much as so many bars of kernels.
_TAIL_WEIGHT = {"TA-Lib": 100, "pandas-ta": 5_000}
N_RELOADS = 12
N_DIFFERENCES_TOLD = 20
_CUT_STREAM = 5
# Powers of two, so that a value without a level keeps every bit of it.
_UNITS = (8.0, 0.125)
_ADJUSTED = "prices_adjusted"


class Variant(StrEnum):
    """How the future was hidden."""

    RELOADED = "reloaded"  # The store ended with the session.
    CUT = "cut"
    NOISE = "noise"
    UNITS = "units"  # Adjusted prices in other units, as another future would have made them.


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that the future changed, at the first bar at which it did.

    Attributes
    ----------
    last_true_bar : str
        Of the bars that the run with a hidden future saw.
    what : str
        Such as ``indicator trend``, ``condition enter_long`` or ``reason``.
    bar : str
        Session date, or the bar's open in UTC.
    with_future, without_future : str
        The two values, in full.
    """

    instrument: str
    variant: Variant
    last_true_bar: str
    stage: Stage
    what: str
    i_bar: int
    bar: str
    with_future: str
    without_future: str

    def sentence(self) -> str:
        """Return the difference as one sentence."""
        hidden = f"the future after {self.last_true_bar} is hidden"
        if self.variant is Variant.UNITS:
            hidden = "adjusted prices are in other units"
        return (
            f"{self.instrument}: {self.what} at {self.bar} is {self.with_future}, "
            f"but {self.without_future} when {hidden} ({self.variant})"
        )


@dataclass(frozen=True, slots=True)
class LookAheadReport:
    """What the check did and found.

    Attributes
    ----------
    n_cuts, n_reloads, n_runs : int
        Of all instruments together.
    n_values : int
        Values that were compared.
    cuts : mapping
        Number of cuts by the kind of bar they are at; a bar may be of several.
    differences : tuple of Difference
        At most `N_DIFFERENCES_TOLD`, the first bar first and there what is
        nearest to the bars: the cause stands before what follows from it.
    n_differences : int
        Of all names and instruments.
    notes : tuple of str
        What a reader must know of the check's reach on these data.
    """

    instruments: tuple[str, ...]
    n_bars: int
    n_cuts: int
    n_reloads: int
    n_runs: int
    n_values: int
    cuts: Mapping[str, int]
    differences: tuple[Difference, ...]
    n_differences: int
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether bars were cut, and nothing differed."""
        return self.n_cuts > 0 and not self.n_differences


def check_look_ahead(
    request: BacktestRequest,
    store: Store,
    *,
    n_cuts: int = N_CUTS,
    seed: int = 0,
    progress: Progress = silent,
) -> LookAheadReport:
    """Check that a version decides the same whatever comes later.

    Parameters
    ----------
    request : BacktestRequest
        The version and the bars, as for its backtest.
    n_cuts : int
        Cuts of each instrument, at most; `cuts_affordable` bounds them.
    seed : int
        Of the choice of cuts and of the noise.

    Raises
    ------
    SpecError, DataError
        As `run_backtest` does.
    """
    strategy = resolve_strategy(request.document)
    bound = without_end(bind(strategy, request.values))
    symbols = request.symbols or strategy.instruments or ("",)
    loaded = [load_instrument(request, strategy, bound, symbol, store) for symbol in symbols]
    shares = capital_shares(request.document, weight_names(loaded))
    checks = [
        _InstrumentCheck(strategy, bound, one, share * request.cash, n_cuts, seed)
        for one, share in zip(loaded, shares, strict=True)
    ]
    reloads = [_reload_sessions(check, seed, from_store=request.source is None) for check in checks]
    total = sum(len(check.cuts) for check in checks) + sum(map(len, reloads))
    done = 0
    for check, sessions in zip(checks, reloads, strict=True):
        for session in sessions:
            check.compare_reloaded(request, store, session)
            done += 1
            progress(done, total, check.symbol)
        for n_bars in check.cuts:
            check.compare_cut(n_bars)
            done += 1
            progress(done, total, check.symbol)
        if check.is_adjusted:
            check.compare_units()
    return _report(checks, reloads, request)


def without_end(bound: Bound) -> Bound:
    """Return a parameter set that doesn't sell at the end of the data.

    The end is where the check cuts: a sale there is asked for, and no look-ahead.
    """
    return replace(bound, policy=replace(bound.policy, close_at_end=False))


def cuts_affordable(strategy: ResolvedStrategy, n_bars: int, n_cuts: int) -> int:
    """Return how many cuts of an instrument are run, by what a run over its bars costs."""
    weight = 1
    for name in tail_indicators(strategy):
        spec = find(name)
        assert spec is not None, f"{name} was found when the strategy was resolved"
        weight += _TAIL_WEIGHT[spec.oracle.split()[0]]
    # Cuts are spread over the bars, so that a run has half of them, and each is run twice.
    return max(min(n_cuts, N_BARS_RUN // max(n_bars * weight, 1)), min(n_cuts, N_CUTS_MIN))


def tail_indicators(strategy: ResolvedStrategy) -> list[str]:
    """Return the names of the long-tail indicators that a strategy asks for."""
    return sorted(
        {
            part.name
            for node in expressions(strategy)
            for part in unique_nodes(node)
            if isinstance(part, Indicator)
            and (spec := find(part.name)) is not None
            and spec.kind is Kind.TAIL
        }
    )


def choose_cuts(
    bars: Bars, first: int, actions: NDArray[np.int8], n_cuts: int, seed: int
) -> dict[int, tuple[str, ...]]:
    """Choose after how many bars to cut, and say of which kind the last bar left is.

    Parameters
    ----------
    first : int
        First traded bar: at least this one is left.
    actions : int8 array, shape (n_bars,)
        Decisions of the full run, 0 for none.
    """
    last = bars.n_bars - 2
    if last < first:
        return {}
    random = np.random.default_rng([_CUT_STREAM, seed])
    ends = np.flatnonzero(bars.flags & BarFlag.SESSION_LAST)
    decided = np.flatnonzero(actions)
    ex_dates = bars.actions["i_bar"].astype(np.int64)
    # The bar itself and those beside it, where an index that is one off shows.
    candidates: dict[str, NDArray[np.int64]] = {
        "first bars": np.arange(first, first + 3),
        "last bars": np.arange(last, last - 3, -1),
        "corporate actions": np.concatenate([ex_dates - 1, ex_dates]),
        "decisions": np.concatenate([decided, decided + 1]),
    }
    for name, codes in bars.periods.items():
        period_ends = np.flatnonzero(codes & 2)
        candidates[f"{name} ends"] = np.concatenate([period_ends, period_ends - 1])
    if len(ends) < bars.n_bars:
        candidates["session ends"] = np.concatenate([ends, ends + 1])
    candidates["random bars"] = random.integers(first, last + 1, n_cuts)
    chosen: dict[int, None] = {}
    queues: list[Iterator[int]] = []
    for name, found in candidates.items():
        found = np.unique(found[(found >= first) & (found <= last)])
        order = found if name in ("first bars", "last bars") else random.permutation(found)
        queues.append(iter(order.tolist()))
    while queues and len(chosen) < n_cuts:
        for queue in list(queues):
            at = next((x for x in queue if x not in chosen), None)
            if at is None:
                queues.remove(queue)
            elif len(chosen) < n_cuts:
                chosen[at] = None
    kinds = {name: set(found.tolist()) for name, found in candidates.items()}
    return {
        at + 1: tuple(name for name, found in kinds.items() if at in found) for at in sorted(chosen)
    }


class _InstrumentCheck:
    """The check of one instrument: its full run, and what cuts of it must agree with."""

    def __init__(
        self,
        strategy: ResolvedStrategy,
        bound: Bound,
        loaded: LoadedBars,
        cash: float,
        n_cuts: int,
        seed: int,
    ) -> None:
        bars = loaded.bars
        self.symbol = bars.instrument.symbol
        self.loaded = loaded
        self.n_runs = 0
        self.n_values = 0
        self.found: dict[str, Difference] = {}
        self._strategy, self._bound, self._cash, self._seed = strategy, bound, cash, seed
        self._full = self._run(bars, cash)
        n_most = cuts_affordable(strategy, bars.n_bars, n_cuts)
        decided = self._full.run.record.actions
        self.cuts = choose_cuts(bars, loaded.i_start, decided, n_most, seed)
        self._tracks = self._tracks_of(self._full)
        # Of each path within bars, the state after each cut.
        self._states: dict[str, dict[int, NDArray[np.void]]] = {}
        for path in ("", OTHER_PATH):
            states = states_at(self._full, list(self.cuts), cash, favourable=bool(path))
            self._states[path] = dict(zip(self.cuts, states, strict=True))

    @property
    def is_adjusted(self) -> bool:
        """Whether the prices are back-adjusted by what happened after them."""
        return any(finding.name == _ADJUSTED for finding in self.loaded.findings)

    def _run(self, bars: Bars, cash: float) -> SleeveResult:
        self.n_runs += 1
        return run_instrument(self._strategy, self._bound, replace(self.loaded, bars=bars), cash)

    def _tracks_of(self, result: SleeveResult) -> list[Track]:
        lot = float(result.linked.plan["policy"][0]["lot"])
        return [
            *column_tracks(result),
            *decision_tracks(result.run, lot),
            *decision_tracks(result.optimistic, lot, OTHER_PATH),
        ]

    def compare_cut(self, n_bars: int) -> None:
        """Compare the runs over the first bars alone, and over them with noise behind."""
        bars = self.loaded.bars
        for variant, hidden in (
            (Variant.CUT, cut(bars, n_bars)),
            (Variant.NOISE, with_noise(bars, n_bars, self._seed)),
        ):
            result = self._run(hidden, self._cash)
            self._compare_tracks(variant, n_bars, self._tracks_of(result))
            for path in ("", OTHER_PATH):
                state = states_at(result, [n_bars], self._cash, favourable=bool(path))[0]
                expected = self._states[path][n_bars]
                self._compare_logs(variant, n_bars, result, expected, path)
                self._compare_states(variant, n_bars, expected, state, path)

    def _compare_tracks(self, variant: Variant, n_bars: int, tracks: Sequence[Track]) -> None:
        for known, seen in zip(self._tracks, tracks, strict=True):
            self.n_values += n_bars
            at = first_unlike(known.values[:n_bars], seen.values[:n_bars])
            if at >= 0:
                self._note(
                    variant, n_bars, known.stage, known.name, at, known.word(at), seen.word(at)
                )

    def _compare_logs(
        self,
        variant: Variant,
        n_bars: int,
        result: SleeveResult,
        expected: NDArray[np.void],
        path: str,
    ) -> None:
        """Compare fills, ended orders, trades and cash events up to the cut."""
        header = expected["header"][0]
        full, part = ((r.optimistic if path else r.run) for r in (self._full, result))
        for what, count, known, seen in (
            ("fill", "n_fills", full.fills, part.fills),
            ("ended order", "n_ended_orders", full.order_log, part.order_log),
            ("trade", "n_trades", full.trades, part.trades),
            ("cash event", "n_cash_events", full.cash_events, part.cash_events),
        ):
            n_rows = min(int(header[count]), len(known))
            for name in known.dtype.names or ():
                self.n_values += n_rows
                if len(seen) < n_rows:
                    at = len(seen)
                else:
                    at = first_unlike(known[name][:n_rows], seen[name][:n_rows])
                if at < 0:
                    continue
                row = known[at]
                told = value_words(seen[name][at]) if at < len(seen) else "missing"
                self._note(
                    variant, n_bars, Stage.ORDER, f"{what} {name}{path}",
                    self._bar_of(row, n_bars), value_words(row[name]), told,
                )  # fmt: skip

    def _bar_of(self, row: np.void, n_bars: int) -> int:
        """Return the bar of a row of a log, which has its number or a time."""
        names = row.dtype.names or ()
        for name in ("i_bar", "exit_bar"):
            if name in names:
                return int(row[name])
        ts = int(row["ts" if "ts" in names else "ended_ts"])
        at = int(np.searchsorted(self.loaded.bars.ts, ts, "right")) - 1
        return min(max(at, 0), n_bars - 1)

    def _compare_states(
        self,
        variant: Variant,
        n_bars: int,
        expected: NDArray[np.void],
        seen: NDArray[np.void],
        path: str,
    ) -> None:
        """Compare what the sleeve holds in memory after the cut: orders, brackets, account."""
        policy = self._full.linked.plan["policy"][0]
        working = expected["orders"][0, : policy["n_orders"]]["state"] != d.FREE
        working |= seen["orders"][0, : policy["n_orders"]]["state"] != d.FREE
        parts = (
            (Stage.ORDER, "working order", "orders", np.flatnonzero(working).tolist()),
            (Stage.ORDER, "bracket", "brackets", list(range(int(policy["n_brackets"])))),
            (Stage.ACCOUNT, "account", "header", [-1]),
        )
        for stage, what, part, places in parts:
            for place in places:
                known = expected[part][0] if place < 0 else expected[part][0, place]
                other = seen[part][0] if place < 0 else seen[part][0, place]
                for name in known.dtype.names or ():
                    # When the sleeve wakes next is asked of the future on purpose: never too late.
                    if name.startswith("wake_"):
                        continue
                    self.n_values += 1
                    if first_unlike(np.atleast_1d(known[name]), np.atleast_1d(other[name])) < 0:
                        continue
                    number = "" if place < 0 else f" {place}"
                    self._note(
                        variant, n_bars, stage, f"{what}{number} {name}{path}", n_bars - 1,
                        value_words(known[name]), value_words(other[name]),
                    )  # fmt: skip

    def compare_reloaded(self, request: BacktestRequest, store: Store, session: int) -> None:
        """Compare the bars with those of a store that ends with a session."""
        bars = self.loaded.bars
        n_bars = int(np.searchsorted(bars.session, session, "right"))
        # Of listings, which have no bars to leave out, the loader is asked what held on that day:
        # a delisting still to come is none.
        request = replace(request, end=date(1970, 1, 1) + timedelta(days=session))
        try:
            seen = load_instrument(
                request, self._strategy, self._bound, self.symbol, StoreUntil(store, session)
            )
        except DataError as error:
            self._note(
                Variant.RELOADED, n_bars, Stage.BARS, "loading", n_bars - 1, "possible", str(error)
            )
            return
        if seen.i_start != self.loaded.i_start:
            self._note(
                Variant.RELOADED, n_bars, Stage.BARS, "first traded bar", n_bars - 1,
                str(self.loaded.i_start), str(seen.i_start),
            )  # fmt: skip
        n_same = min(n_bars, seen.bars.n_bars)
        known_rows, seen_rows = _rows_of_bars(cut(bars, n_same)), _rows_of_bars(seen.bars)
        if seen.bars.n_bars != n_bars:
            self._note(
                Variant.RELOADED, n_bars, Stage.BARS, "number of bars", n_same - 1,
                str(n_bars), str(seen.bars.n_bars),
            )  # fmt: skip
        for name in known_rows:
            self.n_values += n_same
            at = first_unlike(known_rows[name], seen_rows[name])
            if at >= 0:
                self._note(
                    Variant.RELOADED, n_bars, Stage.BARS, name, at,
                    value_words(known_rows[name][at]), value_words(seen_rows[name][at]),
                )  # fmt: skip
        if bars.instrument != seen.bars.instrument:
            self._note(
                Variant.RELOADED, n_bars, Stage.BARS, "instrument", n_bars - 1,
                str(bars.instrument), str(seen.bars.instrument),
            )  # fmt: skip

    def compare_units(self) -> None:
        """Compare the decisions on adjusted prices with those in other units.

        A split still to come would divide all prices so far. What then changes
        depends on the level of the prices, which holds what came later.
        """
        bars = self.loaded.bars
        asked = (Stage.TERM, Stage.CONDITION, Stage.DECISION)
        for factor in _UNITS:
            # Cash in the same unit as the prices, so that quantities stay the same.
            priced = self._run(rescaled(bars, price=factor), self._cash * factor)
            traded = self._run(rescaled(bars, volume=factor), self._cash)
            for result, stages in ((priced, asked), (traded, asked[:2])):
                for known, seen in zip(self._tracks, self._tracks_of(result), strict=True):
                    if known.stage not in stages or known.name.startswith("reason"):
                        continue
                    self.n_values += bars.n_bars
                    at = first_unlike(known.values, seen.values)
                    if at >= 0:
                        self._note(
                            Variant.UNITS, bars.n_bars, known.stage, known.name, at,
                            known.word(at), seen.word(at),
                        )  # fmt: skip

    def _note(
        self,
        variant: Variant,
        n_bars: int,
        stage: Stage,
        what: str,
        i_bar: int,
        with_future: str,
        without_future: str,
    ) -> None:
        """Keep a difference, of each thing the one at the first bar."""
        known = self.found.get(what)
        if known is not None and known.i_bar <= i_bar:
            return
        bars = self.loaded.bars
        self.found[what] = Difference(
            self.symbol, variant, bar_name(bars, n_bars - 1), stage, what, i_bar,
            bar_name(bars, i_bar), with_future, without_future,
        )  # fmt: skip


def states_at(
    result: SleeveResult, stops: Sequence[int], cash: float, *, favourable: bool
) -> list[NDArray[np.void]]:
    """Run a sleeve once more and return copies of its state after some numbers of bars.

    Parameters
    ----------
    stops : sequence of int
        Numbers of bars, increasing.
    favourable : bool
        Whether on the path that keeps the higher equity.
    """
    plan, feed, first = result.linked.plan, result.feed, result.loaded.i_start
    if favourable:
        plan = plan.copy()
        plan["policy"]["path_choice"] = d.HIGHER_EQUITY
    n_bars = feed.matrix.shape[1]
    n_sessions = 1 + int(np.count_nonzero(np.diff(feed.session[first:])))
    state, journal = new_states(plan, cash, first), new_journal(keeps=False)
    logs, record = new_logs(1), new_record(0, n_sessions)
    scratch = new_scratch(first_action(feed, first))
    every_bar = finer_differ(plan, feed)
    found, start = [], first
    for stop in stops:
        run_nb(plan, state, journal, scratch, feed, logs, record, start, stop, n_bars, every_bar)
        found.append(state.copy())
        start = stop
    return found


def _rows_of_bars(bars: Bars) -> dict[str, NDArray[Any]]:
    """Return all that bars consist of, by a name that tells which."""
    rows: dict[str, NDArray[Any]] = {
        "bar time": bars.ts,
        "bar close time": bars.close_ts,
        "session": bars.session,
        "bar flags": bars.flags,
    }
    for k, name in enumerate(("open", "high", "low", "close", "volume")):
        rows[f"stored {name}"] = bars.prices[k]
    for k, name in enumerate(("hour", "minute", "weekday", "session_bar")):
        rows[name] = bars.facts[k]
    for name, codes in bars.periods.items():
        rows[f"{name} period"] = codes
    for side, prices in (("bid", bars.bid), ("ask", bars.ask)):
        if prices is not None:
            for k, name in enumerate(("open", "high", "low", "close")):
                rows[f"{side} {name}"] = prices[k]
    # By bar, so that an action that is known too early shows at its bar.
    for name, nothing in (("split_ratio", 1.0), ("dividend", 0.0)):
        by_bar = np.full(bars.n_bars, nothing)
        by_bar[bars.actions["i_bar"]] = bars.actions[name]
        rows[f"corporate action {name}"] = by_bar
    if bars.finer is not None and bars.finer_start is not None:
        rows["number of finer bars"] = np.diff(bars.finer_start)
        # The first finer bar of each bar stands for those that the sums tell apart.
        sums = np.concatenate([[0.0], np.cumsum(bars.finer.prices.sum(axis=0))])
        rows["sum of finer bars"] = sums[bars.finer_start[1:]]
    return rows


def _reload_sessions(check: _InstrumentCheck, seed: int, *, from_store: bool) -> list[int]:
    """Choose the sessions with which a store ends: before and on ex-dates first."""
    if not from_store or check.is_adjusted:
        return []
    bars, first = check.loaded.bars, check.loaded.i_start
    random = np.random.default_rng([_CUT_STREAM, seed, 1])
    ex_dates = bars.actions["i_bar"].astype(np.int64)
    asked = random.permutation(np.concatenate([ex_dates - 1, ex_dates]))
    others = random.integers(first, bars.n_bars, N_RELOADS)
    edges = np.array([first, bars.n_bars - 2])
    wanted = np.concatenate([edges, asked[: N_RELOADS // 2], others])
    wanted = wanted[(wanted >= first) & (wanted < bars.n_bars - 1)]
    sessions = dict.fromkeys(bars.session[wanted].tolist())
    # The last session whole is the full run itself.
    sessions.pop(int(bars.session[-1]), None)
    return sorted(list(sessions)[:N_RELOADS])


def _report(
    checks: Sequence[_InstrumentCheck], reloads: Sequence[Sequence[int]], request: BacktestRequest
) -> LookAheadReport:
    kinds: dict[str, int] = {}
    for check in checks:
        for names in check.cuts.values():
            for name in names:
                kinds[name] = kinds.get(name, 0) + 1
    found = [one for check in checks for one in check.found.values()]
    # The earliest bar of each instrument, and there what comes nearest to the bars.
    found.sort(key=lambda one: (one.stage is not Stage.BARS, one.i_bar, one.stage, one.instrument))
    notes = []
    if request.source is not None:
        notes.append(
            "The bars are a file's: they were not read again from a store that ends early."
        )
    for check in checks:
        if check.is_adjusted:
            notes.append(
                f"{check.symbol}: the stored prices are adjusted by later splits or dividends; it "
                "was checked that no decision depends on their level. Quantities, commissions by "
                "share and the fills' prices do."
            )
        if not check.cuts:
            notes.append(f"{check.symbol}: there are too few traded bars to cut.")
    return LookAheadReport(
        instruments=tuple(check.symbol for check in checks),
        n_bars=sum(check.loaded.bars.n_bars for check in checks),
        n_cuts=sum(len(check.cuts) for check in checks),
        n_reloads=sum(map(len, reloads)),
        n_runs=sum(check.n_runs for check in checks),
        n_values=sum(check.n_values for check in checks),
        cuts=kinds,
        differences=tuple(found[:N_DIFFERENCES_TOLD]),
        n_differences=len(found),
        notes=tuple(notes),
    )
