"""Ingestion: fill the store from a source, ask only for what is missing, keep revisions.

A series is asked for by partitions: the months of intraday bars, daily bars as
a whole. What a source answered is checked like an import, stored with its
provenance, and the days are then noted as answered. A killed ingestion goes on
with the days that are not; the last days are always asked for again, since
vendors revise them.
"""

from __future__ import annotations

from collections.abc import Sequence

from foundation.clock import Clock, SystemClock
from foundation.errors import DataError, QuarterdeckError
from foundation.progress import Progress, silent
from market_data.sources.by_answer import ingest_answers
from market_data.sources.by_partition import ingest_partitions
from market_data.sources.keeping import (
    Run,
    merge_actions,
)
from market_data.sources.protocol import (
    Offer,
    Source,
)
from market_data.sources.reports import (
    EMPTY,
    FAILED,
    STORED,
    UNCHANGED,
    IngestionOptions,
    IngestionReport,
    PartitionReport,
    SymbolReport,
)
from market_data.sources.retrying import VendorUnavailable
from market_data.store import SOURCE_MARK, Store
from market_data.timeframes import parse_timeframe

__all__ = [
    "EMPTY",
    "FAILED",
    "STORED",
    "UNCHANGED",
    "IngestionOptions",
    "IngestionReport",
    "PartitionReport",
    "SymbolReport",
    "ingest",
    "merge_actions",
]

# After so many symbols in a row without an answer the vendor itself is down.
_MOST_UNANSWERED = 2


def ingest(
    store: Store,
    source: Source,
    symbols: Sequence[str],
    timeframe: str,
    options: IngestionOptions | None = None,
    *,
    clock: Clock | None = None,
    progress: Progress = silent,
) -> IngestionReport:
    """Bring a source's bars of some symbols into the store, or up to date.

    Parameters
    ----------
    symbols : sequence of str
        As the source writes them.
    timeframe : str
    options : IngestionOptions, optional
    clock : Clock, optional
        Tells which bars are over.
    progress : Progress
        Told of each partition.

    Returns
    -------
    IngestionReport
        Failures are in it: one bad symbol or partition does not stop the
        others.

    Raises
    ------
    DataError
        If the source has no such timeframe, or a symbol can't be one.
    """
    options = options or IngestionOptions()
    frame = parse_timeframe(timeframe)
    offer = _offer(source, timeframe)
    for symbol in symbols:
        _check_symbol(symbol)
    reports: list[SymbolReport] = []
    n_unanswered = 0
    for i_symbol, symbol in enumerate(dict.fromkeys(symbols)):
        stored_as = f"{symbol}{SOURCE_MARK}{source.name}" if options.as_source else symbol
        if n_unanswered >= _MOST_UNANSWERED:
            reports.append(
                SymbolReport(symbol, stored_as, error=f"not asked: {source.name} is down")
            )
            continue
        run = Run(
            store,
            source,
            options,
            frame,
            clock or SystemClock(),
            _within(progress, i_symbol, len(symbols), symbol),
            symbol,
            stored_as,
        )
        try:
            if source.whole_answers:
                ingest_answers(run)
            else:
                ingest_partitions(run, offer)
            n_unanswered = 0
            reports.append(run.report())
        except VendorUnavailable as error:
            n_unanswered += 1
            reports.append(run.report(str(error)))
        except QuarterdeckError as error:
            n_unanswered = 0
            reports.append(run.report(str(error)))
    return IngestionReport(source.name, timeframe, tuple(reports))


def _check_symbol(symbol: str) -> None:
    """Refuse what would be something else in a request or a file name."""
    wrong = [letter for letter in symbol if letter in "@/?#%&,\\" or letter.isspace()]
    if not symbol or wrong:
        held = f"holds {wrong[0]!r}" if wrong else "is empty"
        raise DataError(
            f"a symbol must be one word as the source writes it, without @ / ? # % &; {symbol!r} {held}"
        )


def _offer(source: Source, timeframe: str) -> Offer:
    offers = source.offers()
    for offer in offers:
        if offer.timeframe in (timeframe, "any"):
            return offer
    there = ", ".join(offer.timeframe for offer in offers)
    raise DataError(f"{source.name} has {there} bars, not {timeframe}")


def _within(progress: Progress, i_symbol: int, n_symbols: int, symbol: str) -> Progress:
    """Return the progress of one symbol as a part of all."""
    steps = 1000

    def report(done: int, total: int, label: str = "") -> None:
        share = steps * done // total if total else 0
        progress(i_symbol * steps + share, n_symbols * steps, f"{symbol} {label}".strip())

    return report
