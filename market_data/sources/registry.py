"""Sources by name, made of the settings.

A later one, such as a broker's history by FIX or WebSocket, is one more entry.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundation.clock import Clock, SystemClock
from foundation.errors import DataError
from foundation.settings import Settings
from market_data.sources import alpaca, files, yahoo
from market_data.sources.protocol import Offer, Source
from market_data.sources.retrying import Retrying


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What a source may be told for one ingestion; secrets come from the settings.

    Attributes
    ----------
    path : str
        File, archive or folder, of files.
    glob, symbol_from, pattern, timezone, calendar : str
        As in `FilesSource`; empty for its default.
    feed : str
        Of Alpaca.
    """

    path: str = ""
    glob: str = ""
    symbol_from: str = ""
    pattern: str = ""
    timezone: str = ""
    calendar: str = ""
    feed: str = ""


@dataclass(frozen=True, slots=True)
class Vendor:
    """One entry: how a source is made, and what a person should know of it."""

    name: str
    make: Callable[[Settings, SourceOptions, Clock, Retrying], Source]
    what: str
    needs: str


def _alpaca(settings: Settings, options: SourceOptions, clock: Clock, retrying: Retrying) -> Source:
    return alpaca.AlpacaSource(
        key_id=settings.alpaca_key_id.get_secret_value(),
        secret=settings.alpaca_secret.get_secret_value(),
        feed=options.feed or "iex",
        base_url=settings.alpaca_url,
        clock=clock,
        retrying=retrying,
    )


def _yahoo(settings: Settings, options: SourceOptions, clock: Clock, retrying: Retrying) -> Source:
    return yahoo.YahooSource(base_url=settings.yahoo_url, clock=clock, retrying=retrying)


def _files(settings: Settings, options: SourceOptions, clock: Clock, retrying: Retrying) -> Source:
    if not options.path:
        raise DataError("bars from files need the path of a file, archive or folder")
    return files.FilesSource(
        Path(options.path).expanduser(),
        glob=options.glob or "*",
        symbol_from=options.symbol_from or files.FROM_NAME,
        pattern=options.pattern or files.DEFAULT_PATTERN,
        timezone=options.timezone,
        calendar=options.calendar,
        clock=clock,
    )


VENDORS = (
    Vendor("alpaca", _alpaca, "US stocks, raw, minutes since 2016", "a key id and a secret"),
    Vendor("yahoo", _yahoo, "daily bars of most exchanges, minutes of the last weeks", "nothing"),
    Vendor("files", _files, "CSV and Parquet, also compressed, in folders and archives", "a path"),
)


def make_source(
    name: str,
    settings: Settings,
    options: SourceOptions | None = None,
    *,
    clock: Clock | None = None,
    retrying: Retrying | None = None,
) -> Source:
    """Return a source by name.

    Raises
    ------
    DataError
        If there is no such source, or it lacks what it needs.
    """
    for vendor in VENDORS:
        if vendor.name == name:
            return vendor.make(
                settings, options or SourceOptions(), clock or SystemClock(), retrying or Retrying()
            )
    names = [vendor.name for vendor in VENDORS]
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise DataError(f"unknown source {name!r}; there are {', '.join(names)}{hint}")


def describe_sources() -> list[dict[str, Any]]:
    """Return what a person should know of each source, without asking any."""
    offers = {"alpaca": alpaca.OFFERS, "yahoo": yahoo.OFFERS, "files": (Offer("any"),)}
    return [
        {
            "source": vendor.name,
            "has": vendor.what,
            "needs": vendor.needs,
            "timeframes": [_offer_text(offer) for offer in offers[vendor.name]],
        }
        for vendor in VENDORS
    ]


def _offer_text(offer: Offer) -> str:
    if not offer.days_back_max:
        return offer.timeframe
    return f"{offer.timeframe} ({offer.days_back_max} days back)"
