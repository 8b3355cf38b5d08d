"""What an option of the launchpad names: a document, bars, a date."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from logging import Logger
from pathlib import Path
from typing import TYPE_CHECKING

from assets.running import progress_lines
from foundation.errors import SpecError
from market_data.store import Store
from research.documents import find_document

if TYPE_CHECKING:
    from assets.options import RunOptions
    from research.backtest import BacktestRequest
    from trading.document import StrategyDocument

__all__ = ["find_document", "request_of"]


def request_of(
    config: RunOptions,
    document: StrategyDocument,
    values: Mapping[str, float],
    home: Path,
    log: Logger,
) -> tuple[BacktestRequest, Store]:
    """Return the request that a launchpad's options make, and the store it reads.

    A store that is empty gets the sample set first, so that a first click on
    an empty data home works.

    Raises
    ------
    SpecError
        If a date can't be read.
    DataError
        If there are no such bars.
    """
    from research.backtest import BacktestRequest
    from research.places import bars_source

    source, store = bars_source(config.bars, home)
    request = BacktestRequest(
        document=document,
        source=source,
        symbols=tuple(config.symbols),
        start=_date(config.start, "start"),
        end=_date(config.end, "end"),
        cash=config.cash,
        values=values,
        warmup=config.warmup,
        calendar=config.calendar,
        timezone=config.timezone,
    )
    if source is None and not store.symbols():
        from market_data.sample_set import load_sample

        log.info("the store is empty, so the sample set is loaded first")
        load_sample(store, progress_lines(log, "series"))
    return request, store


def _date(text: str, name: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise SpecError(f"must be a date such as 2008-01-31, got {text!r}", path=name) from None
