"""The bars of one symbol of a file, judged in order of time, stretch by stretch.

Nothing is stored here: what passes is handed on while the next stretch is
judged, and what is wrong with the series as a whole is raised at its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError
from foundation.progress import Progress
from market_data import checks
from market_data.actions_file import actions_beside, read_actions_file
from market_data.calendars import default_daily_calendar
from market_data.checks import Finding, Findings, GapCheck, MoveCheck
from market_data.columns import BarColumns
from market_data.import_reports import ImportOptions
from market_data.listings import read_listings
from market_data.placing import Placer, QuoteJoiner
from market_data.raw import RawBars
from market_data.reading import BarFile
from market_data.reused_tickers import (
    ReuseCheck,
    ReusedTicker,
    companies_of_reused,
    refuse_reuse,
    reuse_finding,
    says_nothing_of,
    take_stored,
)
from market_data.rows_by_symbol import Stretch, SymbolRows
from market_data.securities import companies_of
from market_data.store import Store
from market_data.timeframes import DAY_NS, Timeframe, parse_timeframe
from market_data.times import localise
from trading.instruments import Instrument

# Steps of an import that are told to whoever waits: reading, checking, placing, storing.
N_STEPS = 4


class JudgedFile(Protocol):
    """A file whose rows were read.

    Attributes
    ----------
    store : Store
        Gives what is known of the symbol, and the calendars' sessions.
    path : Path
        Splits and dividends lie beside it.
    bars : BarFile
    rows : SymbolRows
    options : ImportOptions
    calendars : Lock
        Held while a calendar's table may be written.
    """

    store: Store
    path: Path
    bars: BarFile
    rows: SymbolRows
    options: ImportOptions
    calendars: Lock


class Judge:
    """Judges the bars of one symbol of a file.

    Parameters
    ----------
    opened : JudgedFile
    symbol : str
        As the file writes it.
    instrument : Instrument
        What is known of it; without a calendar, daily bars get one.
    progress : Progress
    joins_stored : bool
        The bars are to join those that are stored of the symbol: a ticker
        that several companies had is then refused, or said to be split.

    Attributes
    ----------
    instrument : Instrument
        With its calendar.
    frame : Timeframe
    sessions : SessionTable
    actions : DATED_ACTION array
        From the file beside it, else those stored.
    findings : Findings
        Whole when `bars` has come to its end; so are the next.
    n_bars, first_ns, last_ns : int
    reused : list of ReusedTicker
        Where another company begins, once `bars` has come to its end.
    first_session : int
        Of the series with what is stored, if any is reused.
    """

    def __init__(
        self,
        opened: JudgedFile,
        symbol: str,
        instrument: Instrument,
        progress: Progress,
        *,
        joins_stored: bool,
    ) -> None:
        progress(1, N_STEPS, "checking bars")
        self._rows, self._options, self._symbol = opened.rows, opened.options, symbol
        self._store = opened.store
        self._joins_stored = joins_stored
        self._aware = opened.bars.times.aware
        self._stretches = opened.rows.stretches(symbol)
        self._file_findings = file_findings(opened.bars)
        self.frame = self._timeframe()
        if not self.frame.intraday:
            self._stretches = [None]
        first_ns, last_ns = opened.rows.span(symbol)
        if not self._aware and self.frame.intraday:
            if not self._options.timezone:
                raise DataError(
                    "times state no time zone; name it "
                    "(--timezone UTC, --timezone America/New_York)"
                )
            # No zone is further from UTC.
            first_ns, last_ns = first_ns - DAY_NS, last_ns + DAY_NS
        if not instrument.calendar:
            instrument = replace(instrument, calendar=self._daily_calendar())
        self.instrument = instrument
        progress(2, N_STEPS, f"placing bars in the sessions of {instrument.calendar}")
        with opened.calendars:
            self.sessions = opened.store.sessions(
                instrument.calendar, first_ns, last_ns, refresh=self._options.refresh
            )
        self.actions = opened.store.read_actions(instrument.symbol)
        beside = actions_beside(opened.path)
        if beside is not None:
            self.actions = read_actions_file(beside, instrument.symbol)
        self._forget()

    def _forget(self) -> None:
        self.findings = Findings()
        self.findings.add_all(self._file_findings)
        self.n_bars = 0
        self.first_ns, self.last_ns = 0, 0
        self.reused: list[ReusedTicker] = []
        self.first_session = 0

    def _timeframe(self) -> Timeframe:
        stated = self._options.timeframe
        frame = parse_timeframe(stated) if stated else None
        if frame is not None and frame.intraday:
            return frame
        distances = checks.Distances()
        for stretch in self._stretches:
            distances.take(self._rows.load_times(self._symbol, stretch))
        inferred = checks.timeframe_of(distances.usual)
        if frame is None:
            if not inferred:
                raise DataError("the distances between bars tell no timeframe; state it")
            return parse_timeframe(inferred)
        if inferred and inferred != frame.name and self._rows.n_rows(self._symbol) > 3:
            raise DataError(f"most bars are {inferred} apart where {frame.name} is stated")
        return frame

    def _daily_calendar(self) -> str:
        if self.frame.intraday:
            raise DataError(
                f"{self.frame.name} bars need a calendar, such as XNYS, 24/7 or FX; state one"
            )
        return default_daily_calendar(self._rows.load_times(self._symbol, None) // DAY_NS)

    def bars(self) -> Iterator[BarColumns]:
        """Check the bars and return them in order of time, stretch by stretch.

        Raises
        ------
        DataError
            If they fail a check; at the latest after the last stretch, when
            the series is judged as a whole.
        """
        # Where others write the series at the same time, it is judged again.
        self._forget()
        findings, options = self.findings, self._options
        placer = Placer(
            self.sessions,
            self.frame,
            findings,
            drop_unscheduled=options.drop_unscheduled,
            keep_unscheduled=options.keep_unscheduled,
        )
        quotes = None if options.quotes is None else QuoteJoiner(options.quotes)
        gaps, moves = GapCheck(self.sessions, self.frame), MoveCheck(self.actions)
        reuse = ReuseCheck()
        n_back = self._rows.n_back(self._symbol)
        for stretch in self._stretches:
            raw = self._rows.load(self._symbol, stretch)
            times, n_turns = self._utc(raw)
            n_back -= n_turns
            if not self.frame.intraday:
                n_back = int(np.count_nonzero(times[1:] < times[:-1]))
            findings.add_all(checks.check_prices(raw.prices, raw.place, repair=options.repair))
            self._check_volume(raw, stretch)
            columns, outside = placer.place(raw, times)
            if not columns.n_bars:
                continue
            if quotes is not None:
                columns = quotes.join(columns)
            findings.add_all(checks.check_quotes(columns))
            gaps.take(columns.session, outside)
            moves.take(columns)
            reuse.take(columns)
            if not self.n_bars:
                self.first_ns = int(columns.ts[0])
            self.n_bars += columns.n_bars
            self.last_ns = int(columns.ts[-1])
            yield columns
        placer.finish(n_back, self._rows.n_rows(self._symbol))
        if quotes is not None:
            quotes.finish(findings)
        reused = self._check_reuse(reuse)
        listed = companies_of(read_listings(self._store), self.instrument.symbol)
        companies = listed or companies_of_reused(reused)
        findings.add_all(gaps.finish(companies))
        findings.add_all(moves.finish(companies))

    def _check_reuse(self, reuse: ReuseCheck) -> list[ReusedTicker]:
        """Refuse bars of several companies under one ticker, unless the listings tell."""
        symbol = self.instrument.symbol
        if not says_nothing_of(self._store, symbol):
            return []
        if self._joins_stored:
            take_stored(reuse, self._store, symbol, self.frame.name)
        reused = reuse.find(self.sessions, self.actions)
        if not reused:
            return []
        if self._joins_stored and not self._options.split_listing:
            refuse_reuse(symbol, reused)
        self.findings.add_all([reuse_finding(symbol, reused)])
        if self._joins_stored:
            self.reused, self.first_session = reused, reuse.first_session
        return reused

    def _check_volume(self, raw: RawBars, stretch: Stretch | None) -> None:
        found = checks.check_volume(raw.prices[4], raw.place, has_volume=raw.has_volume)
        if raw.has_volume or stretch in (None, self._stretches[0]):
            self.findings.add_all(found)

    def _utc(self, raw: RawBars) -> tuple[NDArray[np.int64], int]:
        """Return UTC times, where dates stay midnight, and how often clocks turn them back."""
        times = raw.times
        if times.aware:
            return times.ns, 0
        if not self.frame.intraday:
            # A daily bar's clock time without a zone says no more than its date.
            return times.ns - times.ns % DAY_NS, 0
        ns, n_ambiguous, n_turns = localise(times, self._options.timezone, raw.place)
        if n_ambiguous:
            text = "{n} times occur twice as clocks go back, taken as the first"
            self.findings.add("ambiguous_times", n_ambiguous, text)
        return ns, n_turns


def file_findings(bars: BarFile) -> list[Finding]:
    """Return what is to be known of a file as a whole, once all of it was read."""
    findings = []
    ignored = bars.layout.ignored
    if ignored:
        text = f"columns with no meaning here: {', '.join(ignored)}"
        findings.append(Finding("columns_ignored", len(ignored), text))
    if not bars.whole_last_line:
        text = "the last line has no end: the file may be cut off"
        findings.append(Finding("no_final_newline", 1, text))
    if bars.layout.prices_are_mid:
        text = "no traded prices in the file: prices are the middle of bid and ask"
        findings.append(Finding("prices_are_mid", 1, text))
    return findings
