"""What an option of the launchpad names: a document, bars, a date."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from logging import Logger
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from assets.running import progress_lines
from foundation.errors import SpecError
from foundation.home import CHECKOUT
from market_data.store import Store

if TYPE_CHECKING:
    from assets.options import RunOptions
    from research.backtest import BacktestRequest
    from trading.document import StrategyDocument

HASH_DIGITS = frozenset("0123456789abcdef")
N_HASH_DIGITS_MIN, N_HASH_DIGITS = 6, 64


def find_document(strategy: str, database: Engine) -> StrategyDocument:
    """Return the document that a launchpad's text names or is.

    Parameters
    ----------
    strategy : str
        Text of a document, digits of a stored version's hash, or a path;
        relative ones are looked for in the working directory, then in the
        checkout.
    database : Engine
        The record, with its stored versions.

    Raises
    ------
    SpecError, DataError
        If it is none of these, or not a valid document.
    """
    from strategies.versions import get_version
    from trading.document import load_document

    text = strategy.strip()
    if not text:
        raise SpecError("a path, a version's hash or a document is needed", path="strategy")
    if "\n" in text or text.startswith("{"):
        return load_document(strategy.encode())
    path = next((p for p in (Path(text), CHECKOUT / text) if p.is_file()), None)
    if path is not None:
        return load_document(path)
    digits = text.lower()
    if N_HASH_DIGITS_MIN <= len(digits) <= N_HASH_DIGITS and HASH_DIGITS.issuperset(digits):
        return load_document(get_version(database, digits).document.encode())
    raise SpecError(f"no file {text!r}, and no digits of a version's hash", path="strategy")


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
