"""Yahoo's chart API, through yfinance.

Yahoo's prices, volumes and dividends are adjusted for all splits up to now;
they are turned back to what was traded, by the splits that the same API
names. It also writes prices as 32-bit floats: each is given back the decimal
number that was meant.
"""

from __future__ import annotations

import atexit
import json
import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np
from numpy.typing import NDArray

from foundation.clock import Clock, SystemClock
from market_data.action_records import action_records, kind_of
from market_data.sessions import date_of, days_of
from market_data.sources.protocol import (
    BarsRequest,
    FetchedActions,
    FetchedBars,
    Offer,
    digest_of,
    vendor_bars,
)
from market_data.sources.retrying import (
    Retrying,
    VendorRefused,
    VendorUnavailable,
    failure_of_status,
)
from market_data.timeframes import DAY_NS

NAME = "yahoo"
# How long the daily answer serves other requests for its splits.
_FRESH = timedelta(minutes=10)
_CHART = "/v8/finance/chart/"

# Yahoo gives one-minute bars of the last 30 days, a week at a time.
OFFERS = (
    Offer("1m", days_per_request_max=7, days_back_max=29),
    Offer("2m", days_per_request_max=59, days_back_max=59),
    Offer("5m", days_per_request_max=59, days_back_max=59),
    Offer("15m", days_per_request_max=59, days_back_max=59),
    Offer("30m", days_per_request_max=59, days_back_max=59),
    Offer("1h", days_per_request_max=729, days_back_max=729),
    Offer("1d"),
)

_CALENDARS = {
    "L": "XLON", "DE": "XETR", "F": "XFRA", "PA": "XPAR", "AS": "XAMS", "BR": "XBRU",
    "LS": "XLIS", "MI": "XMIL", "MC": "XMAD", "SW": "XSWX", "VI": "XWBO", "CO": "XCSE",
    "ST": "XSTO", "HE": "XHEL", "OL": "XOSL", "WA": "XWAR", "IR": "XDUB", "TO": "XTSE",
    "T": "XTKS", "HK": "XHKG", "KS": "XKRX", "TW": "XTAI", "SS": "XSHG", "AX": "XASX",
    "NZ": "XNZE", "SI": "XSES", "BO": "XBOM", "SA": "BVMF", "MX": "XMEX", "JO": "XJSE",
    "IS": "XIST",
}  # fmt: skip
_US_INDICES = ("^GSPC", "^DJI", "^IXIC", "^NDX", "^RUT", "^VIX", "^NYA")
_COINS_IN = ("-USD", "-EUR", "-GBP", "-USDT")

# Prices of some exchanges are in hundredths of the currency.
_HUNDREDTHS = {"GBp": "GBP", "ZAc": "ZAR", "ILA": "ILS"}

# Half of the distance between 32-bit floats around a number, and again as
# much for the product with a split's ratio.
_FLOAT32_ERROR = 2.0**-23
_DECIMALS_MAX = 8
# Of a price step between two sessions, smaller ones than this split's can't be told from a move.
_SMALLEST_SPLIT = 1.25


class _NothingThereError(Exception):
    """Yahoo knows the symbol and has no bars of the span."""


@dataclass(slots=True)
class YahooSource:
    """Bars of whatever Yahoo has a chart of.

    Parameters
    ----------
    base_url : str
        In the place of all of Yahoo's own hosts.
    timeout_s : float
        For each request.
    """

    base_url: str = ""
    timeout_s: float = 30.0
    clock: Clock = field(default_factory=SystemClock)
    retrying: Retrying = field(default_factory=Retrying)
    # The latest daily answer, of which symbol, from and at which time: its splits
    # serve the requests that follow.
    _daily: tuple[str, date, datetime, _Answer] | None = field(default=None, repr=False, init=False)
    _session: Any = field(default=None, repr=False, init=False)

    @property
    def name(self) -> str:
        """Return ``yahoo``."""
        return NAME

    @property
    def whole_answers(self) -> bool:
        """Return False: pages of one request belong together."""
        return False

    def offers(self) -> tuple[Offer, ...]:
        """Return the timeframes with Yahoo's limits."""
        return OFFERS

    def calendar_of(self, symbol: str) -> str:
        """Return the calendar by Yahoo's way to write symbols, such as ``VOD.L``."""
        if symbol.endswith("=X"):
            return "FX"
        if symbol.endswith(_COINS_IN):
            return "24/7"
        if symbol.startswith("^"):
            return "XNYS" if symbol in _US_INDICES else ""
        stem, dot, suffix = symbol.rpartition(".")
        if dot and stem:
            return _CALENDARS.get(suffix, "")
        return "" if "=" in symbol else "XNYS"

    def fetch_bars(self, request: BarsRequest) -> Iterator[FetchedBars]:
        """Yield pages of bars, turned back to raw; errors are those of `Source`."""
        offer = next((one for one in OFFERS if one.timeframe == request.timeframe), None)
        if offer is None:
            there = ", ".join(one.timeframe for one in OFFERS)
            raise VendorRefused(f"{NAME} has {there} bars, not {request.timeframe}")
        splits = self._daily_answer(request.symbol, request.first)
        if request.timeframe == "1d":
            page = self._page(request, splits, splits, request.first, request.last)
            if page is not None:
                yield page
            return
        span = timedelta(days=offer.days_per_request_max)
        start = request.start
        while start < request.end:
            end = min(start + span, request.end)
            answer = self._ask(request.symbol, request.timeframe, start, end)
            page = self._page(request, answer, splits, start.date(), end.date())
            if page is not None:
                yield page
            start = end

    def fetch_actions(self, symbol: str, first: date, last: date) -> FetchedActions:
        """Return splits and dividends, dividends turned back to what one share was paid."""
        self._daily = None
        answer = self._daily_answer(symbol, first)
        chosen = (answer.events["ex_date"] >= days_of(first)) & (
            answer.events["ex_date"] <= days_of(last)
        )
        actions = answer.events[chosen].copy()
        factors = split_factors(actions["ex_date"], answer.events)
        scale = _scale_of(answer.currency)
        actions["dividend"] = as_decimals(actions["dividend"] * factors / scale)
        told = f"chart of {symbol} interval=1d events=div,splits from {first} to {last}"
        return FetchedActions(actions, first, last, told)

    def _daily_answer(self, symbol: str, first: date) -> _Answer:
        """Return daily bars from a date to now, with every split that adjusted them."""
        now = self.clock.now()
        if self._daily is not None:
            of, since, asked_at, kept = self._daily
            if of == symbol and since <= first and now - asked_at < _FRESH:
                return kept
        start = datetime(first.year, first.month, first.day, tzinfo=UTC) - timedelta(days=1)
        answer = self._ask(symbol, "1d", start, now + timedelta(days=1))
        self._daily = (symbol, first, now, answer)
        return answer

    def _page(
        self, request: BarsRequest, answer: _Answer, splits: _Answer, first: date, last: date
    ) -> FetchedBars | None:
        ns, sessions, numbers = answer.ns, answer.sessions, answer.numbers
        if request.timeframe == "1d":
            inside = (sessions >= days_of(first)) & (sessions <= days_of(last))
            ns, sessions, numbers = ns[inside], sessions[inside], numbers[:, inside]
        there = ~np.isnan(numbers[:4]).all(axis=0)
        n_empty = int((~there).sum())
        ns, sessions, numbers = ns[there], sessions[there], numbers[:, there]
        if ns.shape[0] == 0:
            return None
        _check_adjusted(request.symbol, sessions, numbers, splits.events)
        factors = split_factors(sessions, splits.events)
        scale = _scale_of(answer.currency)
        prices = np.empty_like(numbers)
        prices[:4] = as_decimals(numbers[:4] * factors / scale)
        prices[4] = np.round(numbers[4] / factors)
        notes = []
        n_undone = int((factors != 1.0).sum())
        if n_undone:
            notes.append(f"{n_undone} bars turned back from split-adjusted prices")
        if scale != 1.0:
            notes.append(f"prices in {answer.currency} turned to {_HUNDREDTHS[answer.currency]}")
        if n_empty:
            notes.append(f"{n_empty} bars without prices left out")
        days = f"from {date_of(int(sessions[0]))} to {date_of(int(sessions[-1]))}"
        return FetchedBars(
            raw=vendor_bars(request.symbol, ns, prices),
            zone="",
            request=f"chart of {request.symbol} interval={request.timeframe} {days}",
            retrieved_at=self.clock.now(),
            sha256=digest_of(ns, numbers),
            currency=_HUNDREDTHS.get(answer.currency, answer.currency),
            notes=tuple(notes),
        )

    def _ask(self, symbol: str, interval: str, start: datetime, end: datetime) -> _Answer:
        def once() -> _Answer:
            return self._ask_once(symbol, interval, start, end)

        try:
            return self.retrying.call(once)
        except _NothingThereError:
            return _no_bars()
        except VendorRefused as error:
            raise VendorRefused(f"{symbol}: {error}") from None
        except VendorUnavailable as error:
            raise VendorUnavailable(f"{symbol}: {error}") from None

    def _ask_once(self, symbol: str, interval: str, start: datetime, end: datetime) -> _Answer:
        _prepare()
        import yfinance
        from curl_cffi.requests.exceptions import RequestException, Timeout
        from yfinance.exceptions import YFException, YFPricesMissingError, YFRateLimitError

        if self._session is None:
            self._session = _make_session(self.base_url, self.clock)
        # It would give an old answer again, even one that says that the server is down.
        yfinance.data.YfData.cache_get.cache_clear()
        try:
            ticker = yfinance.Ticker(symbol, session=self._session)
            with warnings.catch_warnings():
                # It calls pandas in ways that pandas is about to drop.
                warnings.simplefilter("ignore", DeprecationWarning)
                warnings.simplefilter("ignore", FutureWarning)
                found = ticker.history(
                    start=start,
                    end=end,
                    interval=interval,
                    auto_adjust=False,
                    actions=True,
                    keepna=True,
                    timeout=self.timeout_s,
                )
            currency = str(ticker.history_metadata.get("currency") or "")
        except Timeout:
            raise VendorUnavailable(f"{NAME} did not answer within {self.timeout_s:g} s") from None
        except RequestException as error:
            raise VendorUnavailable(f"{NAME} can't be reached: {type(error).__name__}") from None
        except YFRateLimitError:
            raise VendorUnavailable(f"{NAME} has had too many requests") from None
        except YFPricesMissingError as error:
            if error.yahoo_reason:
                raise VendorRefused(f"{NAME} says: {error.yahoo_reason}") from None
            raise _NothingThereError from None
        except YFException as error:
            raise VendorRefused(f"{NAME}: {error}") from None
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            # yfinance takes for granted what an answer holds.
            raise VendorUnavailable(
                f"{NAME} sent an answer without what a chart has ({type(error).__name__}: {error})"
            ) from error
        return _answer_of(found, interval, currency)


@dataclass(frozen=True, slots=True)
class _Answer:
    """A chart as yfinance gives it, still adjusted for splits.

    Attributes
    ----------
    ns, sessions : int64 arrays, shape (n_bars,)
        Open times, midnight UTC of the date for daily bars; local dates.
    numbers : float64 array, shape (5, n_bars)
    events : ACTION_RECORD array
        Splits, and dividends adjusted for the splits after them.
    """

    ns: NDArray[np.int64]
    sessions: NDArray[np.int64]
    numbers: NDArray[np.float64]
    events: NDArray[np.void]
    currency: str


def _no_bars() -> _Answer:
    nothing = np.zeros(0, np.int64)
    return _Answer(nothing, nothing, np.zeros((5, 0)), action_records([]), "")


def _answer_of(found: Any, interval: str, currency: str) -> _Answer:
    if found.empty:
        return _no_bars()
    instants = found.index.tz_convert("UTC").tz_localize(None)
    ns = instants.to_numpy().astype("datetime64[ns]").astype(np.int64)
    local = found.index.tz_localize(None).to_numpy().astype("datetime64[D]").astype(np.int64)
    if interval == "1d":
        ns = local * DAY_NS
    names = ("Open", "High", "Low", "Close", "Volume")
    numbers = np.array([found[name].to_numpy(np.float64) for name in names])
    splits = found["Stock Splits"].to_numpy(np.float64)
    dividends = found["Dividends"].to_numpy(np.float64)
    split, dividend = kind_of("split"), kind_of("dividend")
    days = [date_of(int(day)) for day in local]
    events: list[tuple[date, float, float, date | None, int]] = [
        *((days[i], splits[i], 0.0, None, split) for i in np.flatnonzero(splits > 0)),
        *((days[i], 1.0, dividends[i], None, dividend) for i in np.flatnonzero(dividends > 0)),
    ]
    return _Answer(ns, local, numbers, action_records(events), currency)


def split_factors(sessions: NDArray[np.int64], actions: NDArray[np.void]) -> NDArray[np.float64]:
    """Return the product of the ratios of all splits after each session.

    Parameters
    ----------
    sessions : int64 array, shape (n,)
        Days since 1970-01-01.
    actions : DATED_ACTION or ACTION_RECORD array
    """
    factors = np.ones(sessions.shape[0])
    for action in actions[actions["split_ratio"] != 1.0]:
        factors[sessions < action["ex_date"]] *= action["split_ratio"]
    return factors


def as_decimals(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each number with the fewest decimals that a 32-bit float can't tell from it.

    135.97999572753906 was 135.98 before it was written as such a float.
    """
    found = values.copy()
    open_ = np.isfinite(values)
    for n_decimals in range(_DECIMALS_MAX + 1):
        rounded = np.round(values, n_decimals)
        near = open_ & (np.abs(rounded - values) <= _FLOAT32_ERROR * np.abs(values))
        found[near] = rounded[near]
        open_ &= ~near
    return found


def _check_adjusted(
    symbol: str,
    sessions: NDArray[np.int64],
    numbers: NDArray[np.float64],
    events: NDArray[np.void],
) -> None:
    """Refuse prices that show a split which Yahoo should have taken out of them."""
    ratio = events["split_ratio"]
    large = events[(ratio >= _SMALLEST_SPLIT) | (ratio <= 1 / _SMALLEST_SPLIT)]
    for split in large:
        i_bar = int(np.searchsorted(sessions, split["ex_date"], "left"))
        if not 0 < i_bar < sessions.shape[0]:
            continue
        step = float(np.log(numbers[0, i_bar] / numbers[3, i_bar - 1]))
        if abs(step + float(np.log(split["split_ratio"]))) < abs(step):
            raise VendorRefused(
                f"{symbol}: {NAME} names the split of {date_of(int(split['ex_date']))} but has not "
                "adjusted the prices for it yet; they would be turned back twice"
            )


def _scale_of(currency: str) -> float:
    return 100.0 if currency in _HUNDREDTHS else 1.0


@cache
def _prepare() -> None:
    """Set up yfinance once: errors are raised, nothing is kept in the user's folders."""
    import yfinance
    from yfinance.config import YfConfig

    YfConfig.debug.hide_exceptions = False
    # Its own lines about cookies would stand among the command's errors.
    logging.getLogger("yfinance").addHandler(logging.NullHandler())
    folder = tempfile.mkdtemp(prefix="quarterdeck-yahoo-")
    yfinance.set_tz_cache_location(folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


def _make_session(base_url: str, clock: Clock) -> Any:
    """Return a session for yfinance that says what went wrong with a chart."""
    from curl_cffi import requests

    class ChartSession(requests.Session):
        def request(self, method: Any, url: str, **more: Any) -> Any:  # type: ignore[override]
            parts = urlsplit(url)
            if base_url:
                base = urlsplit(base_url)
                url = urlunsplit((base.scheme, base.netloc, *parts[2:]))
            answer: Any = super().request(method, url, **more)
            if parts.path.startswith(_CHART):
                _check_chart(answer.status_code, answer.content, dict(answer.headers), clock)
            return answer

    return ChartSession(impersonate="chrome")


def _check_chart(status: int, content: bytes, headers: dict[str, str], clock: Clock) -> None:
    """Raise what a chart's status means, but for those that another cookie may mend."""
    if status in (401, 403):
        return
    try:
        said = json.loads(content)
    except ValueError:
        if status < 400:
            raise VendorUnavailable(f"{NAME} sent an answer that is cut off") from None
        said = {}
    chart = said.get("chart") if isinstance(said, dict) else None
    fault = (chart or {}).get("error") or {}
    description = str(fault.get("description") or "")
    if status == 400 and "Data doesn't exist" in description:
        raise _NothingThereError
    failure = failure_of_status(NAME, status, description, headers, clock.now())
    if failure is not None:
        raise failure
    # yfinance would take an answer without a chart for a span without bars.
    result = (chart or {}).get("result")
    if not isinstance(result, list) or not result or "meta" not in (result[0] or {}):
        raise VendorUnavailable(f"{NAME} sent an answer without a chart")
