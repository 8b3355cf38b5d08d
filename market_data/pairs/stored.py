"""Pairs and merged series in the store: what is read, and what is written.

Beside the merged bars lies one row for each of them that names the source and
the rule of every price, under ``<home>/merged``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from foundation.errors import DataError
from foundation.files import atomic_file
from market_data.columns import COLUMN_NAMES, INSTANT, PRICE_NAMES, arrow_column, column_values
from market_data.pairs.boundary import detect_day_boundary
from market_data.pairs.comparison import PairComparison, compare_series
from market_data.pairs.day_cut import IntradayBars, detect_day_cuts, end_apart
from market_data.pairs.findings import boundary_sentences
from market_data.pairs.matching import SourceSeries
from market_data.pairs.merging import (
    DEFAULT_RULES,
    RULE_WORDS,
    MergedSeries,
    MergeRules,
    Rule,
    merge_sources,
)
from market_data.provenance import Provenance, quarantine_rows
from market_data.series import Series
from market_data.sessions import SessionTable
from market_data.store import Store, base_symbol
from market_data.timeframes import DAY_NS, HOUR_NS, parse_timeframe

MERGED = "merged"
BY = "merge"


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What came of a merge.

    Attributes
    ----------
    merged : MergedSeries
    series : Series
        As stored.
    changed : int
        Bars whose stored values the merge changed.
    quarantined : int
        Bars that are new in quarantine.
    undecided : int
        Bars that no rule could decide; some may have been released before.
    elsewhere : int
        Stored bars of the instrument that none of the sources has; they stay
        as they are, and have no provenance by bar.
    day_ends : tuple of str
        What is known of sources whose days end at other hours than the first
        one's: closes of one day are then of two moments.
    rules : dict
        Number of prices by rule and source.
    """

    merged: MergedSeries
    series: Series
    changed: int
    quarantined: int
    undecided: int
    elsewhere: int
    day_ends: tuple[str, ...]
    rules: dict[str, dict[str, int]]


def compare_stored(store: Store, a: str, b: str, timeframe: str) -> PairComparison:
    """Compare two stored series of one instrument; bars in quarantine take part.

    Raises
    ------
    DataError
        If one of them isn't stored, they are of two instruments or calendars.
    """
    if base_symbol(a) != base_symbol(b):
        raise DataError(
            f"{a} and {b} are two instruments; a pair is of one, such as AAPL and AAPL@yahoo"
        )
    series, sessions = read_sources(store, (a, b), timeframe)
    return compare_series(
        series[0],
        series[1],
        timeframe=timeframe,
        sessions=sessions,
        actions=store.read_actions(base_symbol(a)),
        within=_bars_within_the_day(store, a, b, series) if timeframe == "1d" else (),
    )


def _bars_within_the_day(
    store: Store, a: str, b: str, daily: Sequence[SourceSeries]
) -> list[IntradayBars]:
    """Read the bars by which days are cut: of either source, of the instrument, of another source."""
    plain = base_symbol(a)
    others = [name for name in store.symbols() if base_symbol(name) == plain]
    first = max(int(one.columns.ts[0]) for one in daily) - 2 * DAY_NS
    last = min(int(one.columns.ts[-1]) for one in daily) + 2 * DAY_NS
    found = []
    for name in dict.fromkeys((a, b, *others)):
        # The longest that cut days by the hour: more bars tell no more.
        frames = [parse_timeframe(stored) for stored in store.timeframes(name)]
        for frame in [one for one in frames if one.length_ns <= HOUR_NS][::-1]:
            series = store.find_series(name, frame.name)
            if (
                series is None
                or series.files[0].first_ns > last
                or series.files[-1].last_ns < first
            ):
                continue
            columns, _ = store.read_columns(
                name, frame.name, first_ns=first, last_ns=last, with_quarantined=True
            )
            found.append(IntradayBars(name, frame.name, frame.length_ns, columns))
            break
    return found


def read_sources(
    store: Store, names: Sequence[str], timeframe: str
) -> tuple[list[SourceSeries], SessionTable]:
    """Read stored series with a table of sessions that covers all of them.

    Raises
    ------
    DataError
        If one isn't stored, or their calendars differ.
    """
    found: list[SourceSeries] = []
    calendars: dict[str, str] = {}
    for name in names:
        columns, series = store.read_columns(name, timeframe, with_quarantined=True)
        calendars[series.calendar] = name
        found.append(SourceSeries(name, columns))
    if len(calendars) > 1:
        told = " and ".join(f"{name} has {calendar}" for calendar, name in calendars.items())
        raise DataError(f"sources of one instrument need one calendar, but {told}")
    first = min(int(one.columns.ts[0]) for one in found)
    last = max(int(one.columns.ts[-1]) for one in found)
    # A shift may move bars by as much as a few days.
    sessions = store.sessions(next(iter(calendars)), first - 7 * DAY_NS, last + 7 * DAY_NS)
    return found, sessions


def merge_stored(
    store: Store,
    symbol: str,
    names: Sequence[str],
    timeframe: str,
    *,
    at: datetime,
    rules: MergeRules = DEFAULT_RULES,
    overwrite: bool = False,
) -> MergeReport:
    """Merge stored sources and store the result under the plain symbol.

    Parameters
    ----------
    symbol : str
        The instrument, such as ``AAPL``.
    names : sequence of str
        Stored sources in order of priority, such as ``AAPL@lean``.
    at : datetime
        Time of the merge, aware.
    overwrite : bool
        Let merged bars replace stored ones that have other values; what
        changes is kept as a revision.

    Raises
    ------
    DataError
        If a source isn't one of the instrument's, or stored bars would change
        without `overwrite`.

    Notes
    -----
    The same sources and rules give the same bytes. A bar that a person has
    released stays released as long as its values are the same.
    """
    for name in names:
        if base_symbol(name) != symbol or name == symbol:
            raise DataError(
                f"{name} can't be merged into {symbol}: a source is stored as {symbol}@name"
            )
    sources, sessions = read_sources(store, names, timeframe)
    merged = merge_sources(sources, timeframe=timeframe, sessions=sessions, rules=rules)
    digest = hashlib.sha256("".join(s.columns.digest() for s in sources).encode()).hexdigest()
    asked = {"sources": list(names), "rules": asdict(rules)}
    before = store.find_series(symbol, timeframe)
    revised = 0 if before is None else store.read_revisions(symbol, timeframe).num_rows
    bad = merged.columns.ts[merged.quarantined(rules)]
    reason = quarantine_reason(merged.sources, rules)
    n_new = 0

    def keep_from_trading(held: pa.Table, revisions: pa.Table) -> pa.Table:
        nonlocal n_new
        ts = bad[~np.isin(bad, _in_force_or_released(held, revisions))]
        n_new = int(ts.shape[0])
        return quarantine_rows(ts, reason=reason, by=BY, at=store.clock.now())

    # Bars and quarantine change in one step: were the one there before the
    # other, a merge that is killed between them would leave bars that nobody
    # should trade on to be traded on.
    series = store.write_bars(
        symbol,
        timeframe,
        merged.columns,
        calendar=sessions.calendar,
        source=f"merged of {', '.join(names)}",
        overwrite=overwrite,
        provenance=Provenance(BY, json.dumps(asked, sort_keys=True), at, digest),
        quarantine=keep_from_trading,
    )
    write_bar_provenance(store, symbol, timeframe, merged, rules)
    changes = store.read_revisions(symbol, timeframe).slice(revised)
    changed = np.unique(column_values(changes["ts"], "i8")).shape[0]
    return MergeReport(
        merged,
        series,
        int(changed),
        n_new,
        int(bad.shape[0]),
        series.rows - merged.columns.n_bars,
        _day_ends(store, sources, merged) if timeframe == "1d" else (),
        count_rules(merged),
    )


def _day_ends(
    store: Store, sources: Sequence[SourceSeries], merged: MergedSeries
) -> tuple[str, ...]:
    """Say which sources' days end at other hours than the first one's."""
    first, said = sources[0], []
    for other, found in zip(sources[1:], merged.alignments, strict=True):
        i_a, i_b = found.matched.i_a, found.matched.i_b
        pair = (first, other)
        cuts = detect_day_cuts(
            first.columns,
            other.columns,
            _bars_within_the_day(store, first.name, other.name, pair),
        )
        boundary = detect_day_boundary(
            np.log(first.columns.prices[3, i_a]),
            np.log(other.columns.prices[3, i_b] * found.factor_b[i_b]),
        )
        if boundary.earlier or end_apart(cuts):
            said += boundary_sentences(boundary, cuts, (first.name, other.name))
    return tuple(said)


def _in_force_or_released(held: pa.Table, revisions: pa.Table) -> NDArray[np.int64]:
    """Return the bars that a merge leaves as they are: in quarantine, or released by a person.

    Who released a bar has seen it as it was then: if its values have changed
    since, the bar is judged anew.
    """
    ts = column_values(held["ts"], "i8") * 1000
    by_merge = np.array([who == BY for who in held["quarantined_by"].to_pylist()], np.bool_)
    released_at = column_values(held["released_at"], "i8", missing=-1)
    changed_at = dict(
        zip(
            (column_values(revisions["ts"], "i8") * 1000).tolist(),
            column_values(revisions["revised_at"], "i8").tolist(),
            strict=True,
        )
    )
    # Revisions are kept in the order in which they came: the last one stays.
    last_change = np.array([changed_at.get(int(one), -1) for one in ts], np.int64)
    stays = by_merge & (released_at > last_change)
    return ts[(released_at < 0) | stays]


def quarantine_reason(sources: Sequence[str], rules: MergeRules) -> str:
    """Return why a merge puts bars into quarantine."""
    return (
        f"{' and '.join(sources)} differ by {rules.quarantine_moves:g} usual moves or more, "
        "and nothing tells which is right"
    )


def count_rules(merged: MergedSeries) -> dict[str, dict[str, int]]:
    """Return how many prices each rule took of each source."""
    counts: dict[str, dict[str, int]] = {}
    for rule in Rule:
        if not bool(np.any(merged.rule == rule)):
            continue
        taken = np.bincount(merged.source[:4][merged.rule == rule], minlength=len(merged.sources))
        counts[RULE_WORDS[rule]] = {
            name: int(n) for name, n in zip(merged.sources, taken, strict=True) if n
        }
    return counts


def bar_provenance(merged: MergedSeries, rules: MergeRules) -> pa.Table:
    """Return one row for each merged bar: source and rule of every price."""
    names = pa.array(merged.sources, pa.string())
    words = pa.array([RULE_WORDS[rule] for rule in Rule], pa.string())
    columns: dict[str, pa.Array] = {
        "ts": arrow_column(merged.columns.ts // 1000, INSTANT),
        "session": arrow_column(merged.columns.session.astype(np.int32), pa.date32()),
        "sources": pa.array(merged.n_sources.astype(np.int8)),
    }
    for i, name in enumerate(COLUMN_NAMES):
        columns[f"{name}_source"] = pa.DictionaryArray.from_arrays(
            pa.array(merged.source[i]), names
        )
        if name in PRICE_NAMES:
            columns[f"{name}_rule"] = pa.DictionaryArray.from_arrays(
                pa.array(merged.rule[i]), words
            )
    columns["widened"] = pa.array(merged.widened)
    columns["undecided_moves"] = pa.array(merged.unresolved)
    columns["quarantined"] = pa.array(merged.quarantined(rules))
    return pa.table(columns).replace_schema_metadata({"sources": ", ".join(merged.sources)})


def provenance_place(store: Store, symbol: str, timeframe: str) -> Any:
    """Return where the provenance of each merged bar lies."""
    folder = store.series_folder(symbol, timeframe)
    return store.home / MERGED / folder.parent.name / folder.name / "bars.parquet"


def write_bar_provenance(
    store: Store, symbol: str, timeframe: str, merged: MergedSeries, rules: MergeRules
) -> Path:
    """Write the provenance of each merged bar, in the place of the one before."""
    path: Path = provenance_place(store, symbol, timeframe)
    with atomic_file(path) as partial:
        pq.write_table(bar_provenance(merged, rules), partial, compression="zstd")
    return path
