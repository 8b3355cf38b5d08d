"""Two sources of one instrument compared: what differs, where, how much and why.

`compare_series` does the work and `PairComparison` holds it. The same input
gives the same bytes, in the summary as in the table by bar.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from foundation.errors import DataError
from foundation.files import atomic_file
from market_data.columns import COLUMN_NAMES, INSTANT, PRICE_NAMES, arrow_column
from market_data.pairs.alignment import Alignment, align, sessions_of
from market_data.pairs.boundary import DayBoundary, detect_day_boundary
from market_data.pairs.day_cut import DayCut, IntradayBars, detect_day_cuts
from market_data.pairs.disagreement import (
    DISAGREEING,
    WORDS,
    Class,
    Classes,
    VolumeScale,
    classify_missing,
    classify_prices,
    classify_volume,
    detect_volume_scale,
    scaled_volume,
)
from market_data.pairs.findings import describe
from market_data.pairs.matching import FloatArray, Int64Array, SourceSeries
from market_data.pairs.tolerance import Tolerance, estimate_tolerance
from market_data.sessions import SessionTable
from market_data.timeframes import HOUR_NS, Timeframe, parse_timeframe

N_WORST = 50

DayCuts = tuple[DayCut | None, DayCut | None]


@dataclass(frozen=True, slots=True)
class PairBars:
    """All bars of both sources where they overlap, in order of time.

    Attributes
    ----------
    ts, session : int64 arrays, shape (n_bars,)
        As the first source labels them.
    row_a, row_b : int64 arrays, shape (n_bars,)
        Rows of the sources, -1 where a source has no bar.
    a, b : float64 arrays, shape (5, n_bars)
        Open, high, low, close, volume; the second's in the first one's money
        and volume. NaN where there is no bar.
    rounding, spread : float64 arrays, shape (n_bars,)
        What may be between two prices; NaN where there is one bar only.
    classes : int8 array, shape (5, n_bars)
        `Class` of each field.
    """

    ts: Int64Array
    session: Int64Array
    row_a: Int64Array
    row_b: Int64Array
    a: FloatArray
    b: FloatArray
    rounding: FloatArray
    spread: FloatArray
    classes: Classes

    @property
    def both(self) -> NDArray[np.bool_]:
        """Whether both sources have the bar."""
        return (self.row_a >= 0) & (self.row_b >= 0)

    @property
    def worst(self) -> Classes:
        """The class of each bar: that of its worst field."""
        return self.classes.max(axis=0)

    @property
    def disagreeing(self) -> NDArray[np.bool_]:
        """Whether a price of the bar is beyond tolerance."""
        return np.asarray(np.isin(self.classes[:4], DISAGREEING).any(axis=0))


@dataclass(frozen=True, slots=True)
class PairComparison:
    """What came of a comparison."""

    a: SourceSeries
    b: SourceSeries
    timeframe: str
    calendar: str
    alignment: Alignment
    tolerance: Tolerance
    volume: VolumeScale
    boundary: DayBoundary
    cuts: DayCuts
    bars: PairBars
    findings: tuple[str, ...]

    @property
    def share_disagreeing(self) -> float:
        """Share of the bars that both have of which a price is beyond tolerance."""
        n_both = int(self.bars.both.sum())
        return float(self.bars.disagreeing.sum()) / n_both if n_both else 0.0

    def summary(self) -> dict[str, Any]:
        """Return the comparison as JSON values."""
        return summary_of(self)


def compare_series(
    a: SourceSeries,
    b: SourceSeries,
    *,
    timeframe: str,
    sessions: SessionTable,
    actions: NDArray[np.void] | None = None,
    read: tuple[str, ...] = (),
    within: Sequence[IntradayBars] = (),
) -> PairComparison:
    """Compare two sources of one instrument.

    Parameters
    ----------
    a, b : SourceSeries
        The second is shown as the first one labels and counts it.
    timeframe : str
        Of both.
    sessions : SessionTable
        Of the instrument's calendar; must cover the bars.
    actions : DATED_ACTION array, optional
        Known splits and dividends, by which steps of scale are explained.
    read : tuple of str
        What was found as they were read, in sentences; comes after what the
        comparison finds.
    within : sequence of IntradayBars
        Bars within the day of either source, by which to tell at which hours
        daily bars are cut.

    Raises
    ------
    DataError
        If a series has no bars, or no bar of one is a bar of the other.
    """
    frame = parse_timeframe(timeframe)
    found = align(a, b, frame, sessions)
    i_a, i_b = found.matched.i_a, found.matched.i_b
    if i_a.shape[0] == 0:
        raise DataError(
            f"no {timeframe} bar of {a.name} ({_span(a)}) has the time of one of {b.name} "
            f"({_span(b)})"
        )
    factor = found.factor_b[i_b]
    tolerance = estimate_tolerance(
        a.columns.select(i_a), b.columns.select(i_b), factor, tick_a=a.tick, tick_b=b.tick
    )
    volume = detect_volume_scale(a.columns.prices[4, i_a], b.columns.prices[4, i_b], factor)
    boundary = DayBoundary("", 0.0, 0.0)
    cuts: DayCuts = (None, None)
    if frame.name == "1d":
        cuts = detect_day_cuts(a.columns, b.columns, within)
    if not frame.intraday:
        boundary = detect_day_boundary(
            np.log(a.columns.prices[3, i_a]), np.log(b.columns.prices[3, i_b] * factor)
        )
    bars = _bars_of(a, b, found, tolerance, volume, frame, sessions)
    findings = describe(
        a, b, found, tolerance, volume, boundary, cuts, bars, frame=frame, sessions=sessions,
        actions=actions,
    )  # fmt: skip
    return PairComparison(
        a, b, timeframe, sessions.calendar, found, tolerance, volume, boundary, cuts,
        bars, (*findings, *read),
    )  # fmt: skip


def _span(series: SourceSeries) -> str:
    first, last = (np.datetime64(int(ns), "ns").astype("datetime64[D]")
                   for ns in (series.columns.ts[0], series.columns.ts[-1]))  # fmt: skip
    return f"{first} to {last}"


def _bars_of(
    a: SourceSeries,
    b: SourceSeries,
    found: Alignment,
    tolerance: Tolerance,
    volume: VolumeScale,
    frame: Timeframe,
    sessions: SessionTable,
) -> PairBars:
    """Put all bars between the first and the last common one side by side."""
    matched, grid = found.matched, found.grid
    first, last = _overlap(found)
    alone_a = matched.only_a[_within(grid.a[matched.only_a], first, last)]
    alone_b = matched.only_b[_within(grid.b[matched.only_b], first, last)]
    nothing_a, nothing_b = (np.full(x.shape[0], -1) for x in (alone_b, alone_a))
    row_a = np.concatenate([matched.i_a, alone_a, nothing_a])
    row_b = np.concatenate([matched.i_b, nothing_b, alone_b])
    at = np.concatenate([grid.a[matched.i_a], grid.a[alone_a], grid.b[alone_b]])
    order = np.argsort(at, kind="stable")
    row_a, row_b = row_a[order], row_b[order]
    has_a, has_b = row_a >= 0, row_b >= 0
    ts = np.where(has_a, a.columns.ts[row_a], found.ts_b[row_b])
    stated = np.where(has_a, a.columns.session[row_a], b.columns.session[row_b])
    session, scheduled = sessions_of(frame, sessions, ts, stated)
    values_a = np.where(has_a, a.columns.prices[:, row_a], np.nan)
    values_b = np.where(has_b, b.columns.prices[:, row_b], np.nan)
    factor = found.factor_b[row_b]
    values_b[:4] *= factor
    values_b[4] = scaled_volume(values_b[4], factor, volume)
    both = np.flatnonzero(has_a & has_b)
    rounding, spread = (np.full(ts.shape[0], np.nan) for _ in range(2))
    rounding[both], spread[both] = tolerance.rounding, tolerance.spread
    missing = classify_missing(session, has_a, has_b, intraday=frame.intraday, scheduled=scheduled)
    classes = np.repeat(missing[np.newaxis], 5, axis=0)
    classes[:4, both] = classify_prices(
        values_a[:4, both], values_b[:4, both], tolerance.rounding, tolerance.spread
    )
    classes[4, both] = classify_volume(values_a[4, both], values_b[4, both], volume)
    if not frame.intraday:
        _mark_half_days(classes, session, sessions)
    return PairBars(ts, session, row_a, row_b, values_a, values_b, rounding, spread, classes)


def _overlap(found: Alignment) -> tuple[int, int]:
    """Return the first and last position that lie within both sources."""
    return (
        max(int(found.grid.a[0]), int(found.grid.b.min())),
        min(int(found.grid.a[-1]), int(found.grid.b.max())),
    )


def _within(positions: Int64Array, first: int, last: int) -> NDArray[np.bool_]:
    return (positions >= first) & (positions <= last)


def _mark_half_days(classes: Classes, session: Int64Array, table: SessionTable) -> None:
    """Call unresolved closes of half days another session, in place.

    A source that goes on after an early close has another last price.
    """
    row = np.minimum(np.searchsorted(table.date, session), table.date.shape[0] - 1)
    length = (table.close - table.open)[row]
    short = (length < np.median(table.close - table.open)) & (table.date[row] == session)
    closes = classes[3]
    closes[short & (closes == Class.UNRESOLVED)] = Class.SESSION


def summary_of(pair: PairComparison) -> dict[str, Any]:
    """Return a comparison as JSON values: figures, findings and the worst bars."""
    bars, scale, offset = pair.bars, pair.alignment.scale, pair.alignment.offset
    grid = pair.alignment.grid
    seconds = grid.unit_ns / 1e9 if grid.unit_ns else None
    return {
        "a": pair.a.name,
        "b": pair.b.name,
        "timeframe": pair.timeframe,
        "calendar": pair.calendar,
        "first": _stamp(bars.ts[0]),
        "last": _stamp(bars.ts[-1]),
        "bars_a": pair.a.columns.n_bars,
        "bars_b": pair.b.columns.n_bars,
        "bars_compared": int(bars.both.sum()),
        "bars_disagreeing": int(bars.disagreeing.sum()),
        "share_disagreeing": pair.share_disagreeing,
        "classes": _counts(bars.worst),
        "fields": {name: _counts(bars.classes[i]) for i, name in enumerate(COLUMN_NAMES)},
        "offset": {
            "claimed": offset.claimed,
            "wrong_clock": pair.alignment.wrong_clock,
            "segments": [
                {
                    "from": _stamp(pair.a.columns.ts[segment.first]),
                    "shift": segment.shift
                    if seconds is None
                    else segment.shift * seconds + grid.rest_ns / 1e9,
                    "unit": "sessions" if seconds is None else "seconds",
                    "confidence": segment.confidence,
                    "bars": segment.n_bars,
                }
                for segment in offset.segments
            ],
        },
        "scale": {
            "kind": scale.kind.value,
            "adjusted": scale.adjusted,
            "confidence": scale.confidence,
            "factors": list(scale.factors),
            "steps": [
                {
                    "session": _day(pair.a.columns.session[pair.alignment.matched.i_a[step.row]]),
                    "ratio": step.ratio,
                    "split_ratio": step.split_ratio,
                    "confidence": step.confidence,
                }
                for step in scale.steps
            ],
        },
        "tolerance": {
            "tick": pair.tolerance.tick,
            "spread": float(np.median(pair.tolerance.spread)),
            "method": pair.tolerance.method,
        },
        "volume": {
            "unit": pair.volume.unit,
            "split_adjusted": pair.volume.split_adjusted,
            "ratio": pair.volume.ratio if np.isfinite(pair.volume.ratio) else None,
        },
        "day_boundary": {
            "earlier": pair.boundary.earlier,
            "share_of_variance": pair.boundary.share,
            "confidence": pair.boundary.confidence,
            "hours": {side: _cut(cut) for side, cut in zip("ab", pair.cuts, strict=True)},
        },
        "findings": list(pair.findings),
        "worst": worst_rows(pair, N_WORST),
    }


def _cut(cut: DayCut | None) -> dict[str, Any] | None:
    if cut is None:
        return None
    hours = [(cut.clock, cut.after_ns), *cut.also]
    return {
        "hours_after_midnight": cut.after_ns / HOUR_NS,
        "clock": cut.clock,
        "fitting": {clock: after_ns / HOUR_NS for clock, after_ns in hours},
        "by": cut.by,
        "days": cut.n_days,
        "confidence": cut.confidence,
    }


def _counts(classes: Classes) -> dict[str, int]:
    counts = np.bincount(classes, minlength=len(Class))
    return {WORDS[Class(i)]: int(n) for i, n in enumerate(counts) if n}


def _stamp(ns: int) -> str:
    return f"{np.datetime64(int(ns), 'ns').astype('datetime64[s]')}Z"


def _day(days: int) -> str:
    return str(np.datetime64(int(days), "D"))


def distances(bars: PairBars) -> FloatArray:
    """Return the differences of prices in tolerances, NaN where there is one bar only."""
    return np.abs(bars.b[:4] - bars.a[:4]) / bars.spread


def worst_rows(pair: PairComparison, n_rows: int) -> list[dict[str, Any]]:
    """Return the fields that disagree most against their tolerance, largest first."""
    bars = pair.bars
    distance = np.where(np.isin(bars.classes[:4], DISAGREEING), distances(bars), 0.0)
    order = np.argsort(-distance.ravel(), kind="stable")[:n_rows]
    rows = []
    for place in order.tolist():
        field, i = divmod(place, distance.shape[1])
        if distance[field, i] == 0.0:
            break
        rows.append(
            {
                "ts": _stamp(bars.ts[i]),
                "session": _day(bars.session[i]),
                "field": PRICE_NAMES[field],
                "a": float(bars.a[field, i]),
                "b": float(bars.b[field, i]),
                "difference": float(bars.b[field, i] - bars.a[field, i]),
                "tolerance": float(bars.spread[i]),
                "class": WORDS[Class(int(bars.classes[field, i]))],
            }
        )
    return rows


def bar_table(pair: PairComparison) -> pa.Table:
    """Return every bar of both sources with what its fields are.

    Columns: ts, session, each field as ``open_a``, ``open_b`` (in the first
    one's money) and ``open_class``, the tolerance, and the bar's class.
    """
    bars = pair.bars
    columns: dict[str, pa.Array] = {
        "ts": arrow_column(bars.ts // 1000, INSTANT),
        "session": arrow_column(bars.session.astype(np.int32), pa.date32()),
    }
    for i, name in enumerate(COLUMN_NAMES):
        for side, values, rows in (("a", bars.a, bars.row_a), ("b", bars.b, bars.row_b)):
            columns[f"{name}_{side}"] = pa.array(values[i], mask=rows < 0)
        columns[f"{name}_class"] = class_column(bars.classes[i])
    columns["tolerance"] = pa.array(bars.spread, mask=~bars.both)
    columns["class"] = class_column(bars.worst)
    metadata: Mapping[str, str] = {
        "a": pair.a.name,
        "b": pair.b.name,
        "timeframe": pair.timeframe,
        "tolerance": pair.tolerance.method,
    }
    return pa.table(columns).replace_schema_metadata(dict(metadata))


def class_column(classes: Classes) -> pa.Array:
    """Return classes as words, each word stored once."""
    words = pa.array([WORDS[one] for one in Class], pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(classes), words)


def write_bar_table(pair: PairComparison, path: Path) -> Path:
    """Write the table by bar as Parquet; the same comparison gives the same bytes."""
    with atomic_file(path) as partial:
        pq.write_table(bar_table(pair), partial, compression="zstd")
    return path
