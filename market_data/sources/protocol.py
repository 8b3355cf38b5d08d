"""What every source of bars is asked, and what it answers.

A source gives bars as traded, unadjusted, a page at a time. A broker's history
fits in here later as one more module with a class of these methods.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from market_data.action_records import ACTION_RECORD
from market_data.checks import Finding
from market_data.raw import RawBars
from market_data.times import FileTimes


@dataclass(frozen=True, slots=True)
class Offer:
    """What a source has of one timeframe, or of all.

    Attributes
    ----------
    timeframe : str
        Such as ``1m``; ``any`` when the source has whatever it was given.
    days_per_request_max : int
        Longest span of one request, days; 0 for any. The source itself cuts
        a longer one.
    days_back_max : int
        How far back bars reach, days; 0 for as far as there are any.
    """

    timeframe: str
    days_per_request_max: int = 0
    days_back_max: int = 0


@dataclass(frozen=True, slots=True)
class BarsRequest:
    """What is asked of a source.

    Attributes
    ----------
    symbol : str
        As the source writes it.
    timeframe : str
    first, last : date
        Session dates, both included.
    start, end : datetime
        Aware; from the first session's day to the end of the last one's, the
        end excluded, with extended hours.
    known : frozenset of str
        Request and sha256 of answers that are stored already, with a space
        between: a source that can tell without reading the bars leaves
        those answers out.
    scratch : Path or None
        Folder of this machine for what does not fit into memory; the system's
        own for such things if there is none.
    """

    symbol: str
    timeframe: str
    first: date
    last: date
    start: datetime
    end: datetime
    known: frozenset[str] = frozenset()
    scratch: Path | None = None


@dataclass(frozen=True, slots=True)
class FetchedBars:
    """One page of an answer, nothing judged.

    Attributes
    ----------
    raw : RawBars
        Bars as traded, in any order. Daily bars may have midnight UTC, local
        midnight or an instant of the session as their time.
    zone : str
        Of times that state none; empty when they do.
    request : str
        What was asked, without secrets.
    retrieved_at : datetime
        When the answer came, aware.
    sha256 : str
        Of the answer's canonical bytes: of a file its content, of a vendor's
        page its times and numbers as `digest_of` writes them.
    currency : str
        Of the prices; empty when the source does not say.
    notes : tuple of str
        What was done to the source's numbers, one line each.
    findings : tuple of Finding
        Of the source's own, such as columns of a file that mean nothing.
    """

    raw: RawBars
    zone: str
    request: str
    retrieved_at: datetime
    sha256: str
    currency: str = ""
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class FetchedActions:
    """Splits and dividends between two dates.

    Attributes
    ----------
    actions : ACTION_RECORD array
        By ex-date, unadjusted: a dividend is for one share held before the
        ex-date.
    first, last : date
        Ex-dates for which the answer is complete, both included.
    request : str
        What was asked, without secrets.
    notes : tuple of str
        What the answer had beside splits and dividends, one line each.
    """

    actions: NDArray[np.void] = field(default_factory=lambda: np.zeros(0, ACTION_RECORD))
    first: date = date.min
    last: date = date.max
    request: str = ""
    notes: tuple[str, ...] = ()


class Source(Protocol):
    """Somewhere that bars come from.

    Attributes
    ----------
    name : str
        A word such as ``alpaca``; part of provenance and of second series.
    whole_answers : bool
        Whether each page stands for itself, as a file does; the pages of a
        request are one answer otherwise.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def whole_answers(self) -> bool: ...  # noqa: D102

    def offers(self) -> tuple[Offer, ...]:
        """Return what the source has, shortest timeframe first."""
        ...

    def calendar_of(self, symbol: str) -> str:
        """Return the calendar that a symbol trades by, empty when the source can't tell."""
        ...

    def fetch_bars(self, request: BarsRequest) -> Iterator[FetchedBars]:
        """Yield the bars of a request page by page; nothing where there are none.

        Raises
        ------
        DataError
            If the source refuses, or does not answer after all tries.
        """
        ...

    def fetch_actions(self, symbol: str, first: date, last: date) -> FetchedActions:
        """Return the splits and dividends with ex-dates from first to last."""
        ...


class VendorBars(RawBars):
    """Bars of a vendor's answer, whose places are named by their times."""

    __slots__ = ()

    def place(self, i: int) -> str:
        """Return the time of the i-th bar, as messages name it."""
        moment = np.datetime64(int(self.times.ns[i]), "ns").astype("datetime64[s]")
        return f"the bar of {str(moment).replace('T', ' ')}Z"


def vendor_bars(symbol: str, ns: NDArray[np.int64], prices: NDArray[np.float64]) -> VendorBars:
    """Return a vendor's columns as raw bars.

    Parameters
    ----------
    ns : int64 array, shape (n_bars,)
        UTC nanoseconds; midnight UTC where a daily bar has only a date.
    prices : float64 array, shape (5, n_bars)
        Open, high, low, close, volume.
    """
    return VendorBars(
        times=FileTimes(ns, aware=True),
        prices=prices,
        bid=None,
        ask=None,
        halted=None,
        symbol=symbol,
        has_volume=True,
        rows=np.arange(ns.shape[0]),
        place_name="row",
    )


def digest_of(ns: NDArray[np.int64], numbers: NDArray[np.float64]) -> str:
    """Return the sha256 of a page's canonical bytes.

    Parameters
    ----------
    ns : int64 array, shape (n_bars,)
    numbers : float64 array, shape (n, n_bars)
        As the vendor gave them, before anything is done to them.

    Notes
    -----
    The bytes of the answer itself differ from one time to the next where the
    bars do not: keys change places, and today's quote stands beside them.
    """
    digest = hashlib.sha256(b"page 1")
    digest.update(np.ascontiguousarray(ns.astype("<i8")).data)
    digest.update(np.ascontiguousarray(numbers.astype("<f8")).data)
    return digest.hexdigest()


def digest_of_pages(digests: list[str]) -> str:
    """Return the sha256 of an answer: of its page, or of its pages' digests by line."""
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()
