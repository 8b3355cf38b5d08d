"""Alpaca's historical bars and corporate actions, through its own client.

Bars are asked for raw, one page of at most 10,000 at a time. The client's own
tries are off: it waits three seconds whatever the server asks for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from foundation.clock import Clock, SystemClock
from foundation.errors import DataError
from market_data.action_records import action_records, kind_of
from market_data.columns import column_values
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

Answer = TypeVar("Answer")

NAME = "alpaca"
PAGE_BARS_MAX = 10_000
# Without a subscription, consolidated trades of the last quarter of an hour are refused.
SIP_DELAY = timedelta(minutes=16)

# Hours are Alpaca's own clock hours: the one from 09:00 would mix trades from
# before New York's open with those after it.
_TIMEFRAMES = ("1m", "5m", "15m", "30m", "1d")
OFFERS = tuple(Offer(timeframe) for timeframe in _TIMEFRAMES)
_KEYS = ("o", "h", "l", "c", "v")


@dataclass(slots=True)
class AlpacaSource:
    """Bars of US stocks from Alpaca.

    Parameters
    ----------
    key_id, secret : str
        Of an account with market data; sent in headers, written nowhere.
    feed : str
        ``iex`` for one exchange's trades, which need no subscription, or
        ``sip`` for all exchanges'.
    base_url : str
        In the place of Alpaca's own.
    timeout_s : float
        For the connection, and for each wait for bytes.
    """

    key_id: str = field(repr=False)
    secret: str = field(repr=False)
    feed: str = "iex"
    base_url: str = ""
    timeout_s: float = 30.0
    clock: Clock = field(default_factory=SystemClock)
    retrying: Retrying = field(default_factory=Retrying)
    _client: Any = field(default=None, repr=False, init=False)

    @property
    def name(self) -> str:
        """Return ``alpaca``."""
        return NAME

    @property
    def whole_answers(self) -> bool:
        """Return False: pages of one request belong together."""
        return False

    def offers(self) -> tuple[Offer, ...]:
        """Return the timeframes; requests may have any length."""
        return OFFERS

    def calendar_of(self, symbol: str) -> str:
        """Return New York's calendar, which all US stocks follow."""
        return "XNYS"

    def fetch_bars(self, request: BarsRequest) -> Iterator[FetchedBars]:
        """Yield pages of raw bars, oldest first; errors are those of `Source`."""
        from alpaca.data.enums import Adjustment, DataFeed
        from alpaca.data.requests import StockBarsRequest

        end = request.end - timedelta(seconds=1)
        if self.feed == "sip":
            end = min(end, self.clock.now() - SIP_DELAY)
        if end < request.start:
            return
        asked = StockBarsRequest(
            symbol_or_symbols=request.symbol,
            timeframe=_alpaca_timeframe(request.timeframe),
            start=request.start,
            end=end,
            adjustment=Adjustment.RAW,
            feed=DataFeed(self.feed),
        ).to_request_fields()
        # The client's request leaves the timeframe an object of its own.
        asked["timeframe"] = str(asked["timeframe"])
        asked |= {"adjustment": "raw", "feed": self.feed}
        told = f"GET /v2/stocks/bars {_query(asked)}"
        asked["limit"] = PAGE_BARS_MAX
        token: str | None = None
        seen: set[str] = set()
        while True:
            if token is not None:
                asked["page_token"] = token
            answer = self._ask(
                request.symbol, lambda: self._bars_client().get("/stocks/bars", asked), "bars"
            )
            rows = self._rows_of(answer, request.symbol)
            if rows:
                yield self._page(request.symbol, rows, told)
            token = answer.get("next_page_token")
            if not token:
                return
            if token in seen:
                raise VendorRefused(f"{NAME} goes round in circles: it gave one page token twice")
            seen.add(token)

    def fetch_actions(self, symbol: str, first: date, last: date) -> FetchedActions:
        """Return splits and dividends; what else happened is a note."""
        from alpaca.data.requests import CorporateActionsRequest

        asked = CorporateActionsRequest(symbols=[symbol], start=first, end=last, limit=None)
        told = f"GET /v1/corporate-actions symbols={symbol} start={first} end={last}"
        client = self._make_client("CorporateActionsClient")
        answer = self._ask(symbol, lambda: client.get_corporate_actions(asked))
        try:
            rows, notes = _actions_of(answer)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise VendorRefused(
                f"{NAME} has corporate actions of {symbol} that can't be read: {error!r}"
            ) from error
        return FetchedActions(action_records(rows), first, last, told, notes)

    def _rows_of(self, answer: dict[str, Any], symbol: str) -> list[dict[str, Any]]:
        bars = answer.get("bars") or {}
        rows = bars.get(symbol) if isinstance(bars, dict) else None
        if rows is None and bars:
            raise VendorRefused(f"{NAME} answered with bars of {', '.join(bars)}, not of {symbol}")
        return list(rows or ())

    def _page(self, symbol: str, rows: list[dict[str, Any]], told: str) -> FetchedBars:
        try:
            text = pa.chunked_array([pa.array([row["t"] for row in rows], pa.string())])
            ns = column_values(text.cast(pa.timestamp("ns", "UTC")), "i8")
            prices = np.array([[row[key] for row in rows] for key in _KEYS], np.float64)
        except (KeyError, TypeError, ValueError, pa.ArrowException) as error:
            raise VendorRefused(
                f"{NAME} has bars of {symbol} that can't be read: {error}"
            ) from error
        digest = digest_of(ns, prices)
        return FetchedBars(
            raw=vendor_bars(symbol, ns, prices),
            zone="",
            request=told,
            retrieved_at=self.clock.now(),
            sha256=digest,
            currency="USD",
        )

    def _ask(self, symbol: str, ask: Callable[[], Answer], key: str = "") -> Answer:
        """Return an answer of the client, which must have the key; its failures as ours."""
        import requests
        from alpaca.common.exceptions import APIError

        def once() -> Answer:
            try:
                answer = ask()
            except APIError as error:
                raise self._failure(error) from None
            except requests.exceptions.Timeout:
                raise VendorUnavailable(
                    f"{NAME} did not answer within {self.timeout_s:g} s"
                ) from None
            except requests.exceptions.JSONDecodeError:
                raise VendorUnavailable(f"{NAME} sent an answer that is cut off") from None
            except (
                requests.exceptions.InvalidURL,
                requests.exceptions.MissingSchema,
                requests.exceptions.InvalidSchema,
            ) as error:
                raise VendorRefused(f"{NAME}'s address is not one: {error}") from None
            except requests.exceptions.RequestException as error:
                raise VendorUnavailable(
                    f"{NAME} can't be reached: {self._without_secrets(type(error).__name__)}"
                ) from None
            except ValueError as error:
                # The client's word for an answer without its usual keys.
                raise VendorUnavailable(f"{NAME} sent no bars: {error}") from None
            if not isinstance(answer, dict):
                raise VendorUnavailable(f"{NAME} sent an empty answer")
            if key and key not in answer:
                raise VendorUnavailable(f"{NAME} sent an answer without {key}")
            return answer

        try:
            return self.retrying.call(once)
        except VendorRefused as error:
            raise VendorRefused(f"{symbol}: {error}") from None
        except VendorUnavailable as error:
            raise VendorUnavailable(f"{symbol}: {error}") from None

    def _failure(self, error: Any) -> DataError:
        status = error.status_code or 0
        said = self._without_secrets(_message_of(str(error)))
        if status in (401, 403) and "subscription" not in said:
            return VendorRefused(
                f"{NAME} does not accept the key ({status}{': ' + said if said else ''}); set "
                "QUARTERDECK_ALPACA_KEY_ID and QUARTERDECK_ALPACA_SECRET"
            )
        headers = {} if error.response is None else error.response.headers
        found = failure_of_status(NAME, status, said, headers, self.clock.now())
        return found or VendorUnavailable(f"{NAME} sent no answer: {said}")

    def _without_secrets(self, text: str) -> str:
        for secret in (self.key_id, self.secret):
            text = text.replace(secret, "…") if secret else text
        return text

    def _bars_client(self) -> Any:
        if self._client is None:
            self._client = self._make_client("StockHistoricalDataClient")
        return self._client

    def _make_client(self, kind: str) -> Any:
        if not self.key_id or not self.secret:
            raise VendorRefused(
                f"{NAME} needs a key: set QUARTERDECK_ALPACA_KEY_ID and QUARTERDECK_ALPACA_SECRET"
            )
        from alpaca.data import historical
        from alpaca.data.historical.corporate_actions import CorporateActionsClient

        kinds = {
            "StockHistoricalDataClient": historical.StockHistoricalDataClient,
            "CorporateActionsClient": CorporateActionsClient,
        }
        client = kinds[kind](
            api_key=self.key_id,
            secret_key=self.secret,
            raw_data=True,
            url_override=self.base_url.rstrip("/") or None,
        )
        _tame(client, self.timeout_s)
        return client


def _tame(client: Any, timeout_s: float) -> None:
    """Keep a client from trying again by itself, and from waiting for ever."""
    from requests.adapters import HTTPAdapter

    class TimedAdapter(HTTPAdapter):
        def send(self, request: Any, **more: Any) -> Any:  # type: ignore[override]
            more["timeout"] = more.get("timeout") or timeout_s
            return super().send(request, **more)

    # The client has no public setting for either.
    client._retry = 0
    for scheme in ("http://", "https://"):
        client._session.mount(scheme, TimedAdapter())


def _alpaca_timeframe(name: str) -> Any:
    from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

    if name == "1d":
        return TimeFrame(1, TimeFrameUnit.Day)
    found = re.fullmatch(r"(\d+)m", name)
    if found is None or name not in _TIMEFRAMES:
        raise VendorRefused(f"{NAME} has {', '.join(_TIMEFRAMES)} bars, not {name}")
    return TimeFrame(int(found[1]), TimeFrameUnit.Minute)


def _query(asked: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={asked[name]}" for name in sorted(asked))


def _message_of(body: str) -> str:
    import json

    try:
        said = json.loads(body)
    except ValueError:
        return body
    return str(said.get("message", body)) if isinstance(said, dict) else body


def _actions_of(
    answer: Mapping[str, list[dict[str, Any]]],
) -> tuple[list[tuple[date, float, float, date | None, int]], tuple[str, ...]]:
    """Return splits and cash dividends as `action_records` takes them, the rest as notes."""
    found: list[tuple[date, float, float, date | None, int]] = []
    notes: list[str] = []
    for kind, rows in answer.items():
        for row in rows or ():
            if kind in ("forward_splits", "reverse_splits"):
                ratio = float(row["new_rate"]) / float(row["old_rate"])
                found.append((_ex_date(row), ratio, 0.0, None, kind_of("split")))
            elif kind == "stock_dividends":
                # New shares for each one held come on top of it.
                ratio = 1.0 + float(row["rate"])
                found.append((_ex_date(row), ratio, 0.0, None, kind_of("stock_dividend")))
            elif kind == "cash_dividends":
                name = "special_dividend" if row.get("special") else "dividend"
                found.append((_ex_date(row), 1.0, float(row["rate"]), None, kind_of(name)))
            else:
                when = row.get("ex_date") or row.get("effective_date") or row.get("process_date")
                what = kind.removesuffix("s").replace("_", " ")
                notes.append(f"{what} of {when} is neither a split nor a cash dividend: left out")
    return found, tuple(notes)


def _ex_date(row: dict[str, Any]) -> date:
    return date.fromisoformat(row["ex_date"])
