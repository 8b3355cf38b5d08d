"""Which backtests, sweeps and studies used a bar that changed, by how much, and who traded on it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sqlalchemy import Engine

from foundation.errors import DataError
from market_data.building import place_bars
from market_data.columns import PRICE_NAMES, column_values
from market_data.loading import LoadedBars
from market_data.sessions import monday
from market_data.store import Store
from market_data.timeframes import DAY_NS, parse_timeframe
from research.backtest import BacktestRequest
from strategies.data_use import BarChanges, BarsUsed, Impact, RunKind, impact, list_uses
from strategies.runs import BacktestRun, get_run
from strategies.studies import list_studies
from strategies.versions import StrategyVersion, get_version
from trading.document import load_document
from trading.expressions.strategy import Hours

FILLS = "fills.parquet"


@dataclass(frozen=True, slots=True)
class RunImpact:
    """A backtest, sweep or study that used changed bars.

    Attributes
    ----------
    impact : Impact
    strategy : str
        Its name; empty when it is not on record.
    run : BacktestRun or None
        None for a sweep or study.
    largest_ticks : float
        Largest change in ticks of the instrument; NaN without a tick.
    fills_on_changed : int or None
        Fills that lie in a changed bar; None when the result's files are gone.
    """

    impact: Impact
    strategy: str
    run: BacktestRun | None
    largest_ticks: float
    fills_on_changed: int | None


def bars_used(request: BacktestRequest, all_loaded: Iterable[LoadedBars]) -> list[BarsUsed]:
    """Return the stored bars that a run has read, warm-up and finer bars included.

    Bars of a file are not stored, so there are none.
    """
    if request.source is not None:
        return []
    used = []
    for loaded in all_loaded:
        bars = loaded.bars
        if bars.n_bars == 0:
            continue
        if loaded.loaded_at is None:
            raise ValueError("bars of the store carry the time at which they were read")
        spans = [(loaded.stored or bars.timeframe, bars.timeframe, bars)]
        if bars.finer is not None and bars.finer.n_bars:
            finer = bars.finer
            spans.append((loaded.stored_finer or finer.timeframe, finer.timeframe, finer))
        for stored, asked, part in spans:
            first = int(part.ts[0])
            if not parse_timeframe(stored).intraday:
                # A stored day may be labelled by its date, which is before its open.
                first = min(first, int(part.session[0]) * DAY_NS)
            if asked == "1w":
                # Of the last session of the week, whose first days were used too.
                first = min(first, int(monday(part.session[:1])[0]) * DAY_NS)
            last = int(part.close_ts[-1]) - 1
            # Bars of a security lie under each of its tickers.
            used += [
                BarsUsed(name, stored, asked, first, last, loaded.fingerprint, loaded.loaded_at)
                for name in loaded.stored_under or (bars.instrument.symbol,)
            ]
    return used


def changes_of(store: Store, symbol: str, timeframe: str) -> BarChanges:
    """Return what was revised, quarantined or released of a stored series."""
    revisions = store.read_revisions(symbol, timeframe)
    names = np.array(revisions["field"].to_pylist(), dtype=object)
    priced = np.isin(names, PRICE_NAMES)
    old = column_values(revisions["old"], "f8")
    new = column_values(revisions["new"], "f8")
    amount = np.where(priced, np.abs(new - old), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = amount / np.abs(old)
    parts = [
        (
            column_values(revisions["ts"], "i8") * 1000,
            column_values(revisions["revised_at"], "i8") * 1000,
            relative,
            amount,
        )
    ]
    quarantine = store.read_quarantine(symbol, timeframe, in_force=False)
    ts = column_values(quarantine["ts"], "i8") * 1000
    for name in ("quarantined_at", "released_at"):
        moment = column_values(quarantine[name], "i8", missing=-1)
        happened = moment >= 0
        nothing = np.full(int(happened.sum()), np.nan)
        parts.append((ts[happened], moment[happened] * 1000, nothing, nothing))
    joined = [np.concatenate([part[i] for part in parts]) for i in range(4)]
    held_from = column_values(quarantine["quarantined_at"], "i8") * 1000
    released_at = column_values(quarantine["released_at"], "i8", missing=-1)
    held_until = np.where(released_at >= 0, released_at * 1000, np.iinfo(np.int64).max)
    return BarChanges(
        symbol, timeframe, joined[0], joined[1], joined[2], joined[3], ts, held_from, held_until
    )


def impact_list(store: Store, engine: Engine, *, symbol: str = "") -> list[RunImpact]:
    """Return the recorded runs that used bars which have changed since.

    Parameters
    ----------
    symbol : str
        Only of this stored symbol; of all when empty.
    """
    uses = list_uses(engine, symbol=symbol or None)
    series = sorted({(use.bars.symbol, use.bars.timeframe) for use in uses})
    changes = [
        changes_of(store, name, timeframe)
        for name, timeframe in series
        if store.find_series(name, timeframe) is not None
    ]
    found = impact(uses, changes)
    if not found:
        return []
    versions = {one.study_id: one.version_hash for one in list_studies(engine)}
    by_series = {(one.symbol, one.timeframe): one for one in changes}
    weighed = []
    for one in found:
        used = one.use.bars
        run = get_run(engine, one.use.run_id) if one.use.kind is RunKind.BACKTEST else None
        version_hash = versions.get(one.use.run_id, "") if run is None else run.version_hash
        version = get_version(engine, version_hash) if version_hash else None
        if parse_timeframe(used.timeframe).intraday and not _uses_extended_hours(version, used):
            changed = _within_hours(store, by_series[used.symbol, used.timeframe])
            again = impact([one.use], [changed])
            if not again:
                continue
            one = again[0]
        weighed.append(_weighed(store, one, run, "" if version is None else version.name))
    return weighed


def _uses_extended_hours(version: StrategyVersion | None, used: BarsUsed) -> bool:
    """Return whether a strategy takes bars outside the scheduled hours, which days never do."""
    if not parse_timeframe(used.asked_timeframe).intraday:
        return False
    if version is None:
        # Nothing is known of it: it may have used any bar.
        return True
    return load_document(version.document).execution.session == Hours.EXTENDED.value


def _within_hours(store: Store, changed: BarChanges) -> BarChanges:
    """Leave out changes of bars outside the scheduled hours."""
    series = store.find_series(changed.symbol, changed.timeframe)
    if series is None or changed.ts.shape[0] == 0:
        return changed
    order = np.argsort(changed.ts, kind="stable")
    ts = changed.ts[order]
    table = store.sessions(series.calendar, int(ts[0]), int(ts[-1]))
    inside = ~place_bars(table, parse_timeframe(changed.timeframe), ts).outside
    chosen = np.empty(ts.shape[0], np.bool_)
    chosen[order] = inside
    return changed.chosen(chosen)


def _weighed(store: Store, found: Impact, run: BacktestRun | None, strategy: str) -> RunImpact:
    instrument = store.find_instrument(found.use.bars.symbol)
    tick = instrument.tick if instrument is not None else 0.0
    ticks = found.largest_amount / tick if tick > 0 else math.nan
    fills = None if run is None else _fills_on(found, Path(run.result_directory) / FILLS)
    return RunImpact(found, strategy, run, ticks, fills)


def _fills_on(found: Impact, path: Path) -> int | None:
    """Count fills in the asked bars that hold changed ones."""
    if not path.is_file():
        return None
    try:
        table = pq.read_table(path, columns=["symbol", "ts"])
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} is damaged: {str(error).splitlines()[0]}") from error
    own = np.array(table["symbol"].to_pylist(), dtype=object) == found.use.bars.symbol
    filled: NDArray[np.int64] = column_values(table["ts"], "i8")[own] * 1000
    frame = parse_timeframe(found.use.bars.timeframe)
    if frame.intraday:
        # A fill carries the open of its bar or a moment within it.
        asked = parse_timeframe(found.use.bars.asked_timeframe)
        length = max(frame.length_ns, asked.length_ns if asked.intraday else 0)
        start = np.searchsorted(found.ts, filled - frame.length_ns, "right")
        stop = np.searchsorted(found.ts, filled + length - frame.length_ns, "right")
        return int((stop > start).sum())
    # A day's bar may be labelled by its date or by its open.
    days = np.unique(found.ts // DAY_NS)
    return int(np.isin(filled // DAY_NS, days).sum())


def as_json(one: RunImpact) -> dict[str, Any]:
    """Return an impact as JSON values."""
    use = one.impact.use
    return {
        "kind": use.kind.value,
        "run_id": use.run_id,
        "strategy": one.strategy or None,
        "used_at": use.bars.read_at.isoformat(),
        "symbol": use.bars.symbol,
        "timeframe": use.bars.timeframe,
        "asked_timeframe": use.bars.asked_timeframe,
        "changed_bars": one.impact.n_changed,
        "first_changed_bar": _stamp(int(one.impact.ts[0])),
        "last_changed_bar": _stamp(int(one.impact.ts[-1])),
        "largest_change": _finite(one.impact.largest_relative),
        "largest_change_ticks": _finite(one.largest_ticks),
        "last_changed_at": _stamp(one.impact.last_changed_ns),
        "fills_on_changed_bars": one.fills_on_changed,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _stamp(ns: int) -> str:
    return f"{np.datetime64(ns, 'ns').astype('datetime64[s]')}Z"
