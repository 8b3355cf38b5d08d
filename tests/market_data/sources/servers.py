"""Local servers that speak Alpaca's and Yahoo's protocols, with faults on demand.

They answer as the vendors document or were seen to answer; what a test wants
to go wrong is put into `faults`, one entry for each request to come.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import numpy as np

from market_data.sessions import days_of
from market_data.timeframes import DAY_NS, MINUTE_NS, SECOND_NS

KEY_ID, SECRET = "PKTEST0KEY0ID", "s3cr3t-of-the-test-account"


@dataclass
class Answer:
    """What to send in the place of the right answer."""

    status: int = 200
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False  # Send half of the right answer, and its whole length as promised.
    half_json: bool = False  # Send half of the right answer as if it were all.
    wait_s: float = 0.0


@dataclass
class Series:
    """Bars of a vendor as traded: open times, UTC nanoseconds, and five rows of numbers."""

    ns: np.ndarray
    prices: np.ndarray


class VendorServer:
    """What both vendors have in common."""

    def __init__(self):
        self.series: dict[tuple[str, str], Series] = {}
        self.splits: dict[str, list[tuple[str, float, float]]] = {}
        self.dividends: dict[str, list[tuple[str, float]]] = {}
        self.faults: list[Answer | None] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.seen_headers: list[dict[str, str]] = []
        self.url = ""

    def answer(self, path, query, headers) -> tuple[int, dict]:
        raise NotImplementedError

    def counts_as_request(self, path) -> bool:
        return True

    @contextmanager
    def running(self):
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def _handler(vendor):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                parts = urlsplit(self.path)
                query = dict(parse_qsl(parts.query))
                fault = None
                if vendor.counts_as_request(parts.path):
                    vendor.asked.append((parts.path, query))
                    vendor.seen_headers.append(dict(self.headers))
                    fault = vendor.faults.pop(0) if vendor.faults else None
                if fault is not None and fault.body is not None:
                    status, said = 200, fault.body
                else:
                    status, said = vendor.answer(parts.path, query, self.headers)
                body = said if isinstance(said, bytes) else json.dumps(said).encode()
                headers = {}
                if fault is not None:
                    time.sleep(fault.wait_s)
                    status = fault.status if fault.status != 200 else status
                    headers = fault.headers
                try:
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    if fault is not None and fault.half_json:
                        body = body[: len(body) // 2]
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    if fault is not None and fault.cut:
                        self.wfile.write(body[: len(body) // 2])
                        self.close_connection = True
                        return
                    self.wfile.write(body)
                except (BrokenPipeError, ConnectionResetError):
                    pass

            def log_message(self, *_):
                pass

        return Handler


class AlpacaServer(VendorServer):
    """Alpaca's historical bars and corporate actions."""

    def __init__(self, page_bars=1000):
        super().__init__()
        self.page_bars = page_bars
        self.other_actions: dict[str, dict[str, list[dict]]] = {}

    def answer(self, path, query, headers):
        if headers.get("APCA-API-KEY-ID") != KEY_ID or headers.get("APCA-API-SECRET-KEY") != SECRET:
            return 403, {"message": "forbidden."}
        if path == "/v2/stocks/bars":
            return 200, self._bars(query)
        if path == "/v1/corporate-actions":
            return 200, self._actions(query)
        return 404, {"message": "endpoint not found."}

    def _bars(self, query):
        assert query["adjustment"] == "raw"
        symbol, timeframe = query["symbols"], query["timeframe"]
        names = {"1Min": "1m", "5Min": "5m", "30Min": "30m", "1Day": "1d"}
        series = self.series.get((symbol, names[timeframe]))
        if series is None:
            return {"bars": {}, "next_page_token": None}
        start, end = _instant(query["start"]), _instant(query["end"])
        rows = np.flatnonzero((series.ns >= start) & (series.ns <= end))
        begin = int(query.get("page_token", "0"))
        size = min(int(query["limit"]), self.page_bars)
        page = rows[begin : begin + size]
        more = begin + size < rows.shape[0]
        bars = [
            {
                "t": _rfc3339(series.ns[i]),
                **{k: float(series.prices[j, i]) for j, k in enumerate("ohlcv")},
                "n": 10,
                "vw": float(series.prices[3, i]),
            }
            for i in page.tolist()
        ]
        return {
            "bars": {symbol: bars} if bars else {},
            "next_page_token": str(begin + size) if more else None,
        }

    def _actions(self, query):
        symbol, start, end = query["symbols"], query["start"], query["end"]
        found = {}
        for day, new, old in self.splits.get(symbol, []):
            if start <= day <= end:
                kind = "forward_splits" if new > old else "reverse_splits"
                row = {"symbol": symbol, "new_rate": new, "old_rate": old, "ex_date": day}
                found.setdefault(kind, []).append(row | {"process_date": day})
        for day, amount in self.dividends.get(symbol, []):
            if start <= day <= end:
                row = {"symbol": symbol, "rate": amount, "ex_date": day, "special": False}
                found.setdefault("cash_dividends", []).append(row | {"process_date": day})
        return {
            "corporate_actions": found | self.other_actions.get(symbol, {}),
            "next_page_token": None,
        }


class YahooServer(VendorServer):
    """Yahoo's chart API with its cookie and crumb, prices adjusted for splits as 32-bit floats."""

    zone = "America/New_York"
    currency = "USD"

    def counts_as_request(self, path):
        return path.startswith("/v8/")

    def answer(self, path, query, headers):
        if path == "/v1/test/getcrumb":
            return 200, b"crumb.of.test"
        if not path.startswith("/v8/finance/chart/"):
            return 404, {}
        symbol = path.rsplit("/", 1)[1]
        known = {name for name, _ in self.series}
        if symbol not in known:
            return 404, _chart_error("Not Found", "No data found, symbol may be delisted")
        interval = query["interval"]
        series = self.series.get((symbol, interval))
        if series is None:
            series = Series(np.zeros(0, np.int64), np.zeros((5, 0)))
        if "range" in query:
            return 200, self._chart(symbol, interval, series, np.zeros(0, np.int64), (0, 0))
        start, end = int(query["period1"]), int(query["period2"])
        seconds = series.ns // SECOND_NS
        rows = np.flatnonzero((seconds >= start) & (seconds < end))
        return 200, self._chart(symbol, interval, series, rows, (start, end))

    def _chart(self, symbol, interval, series, rows, span):
        days = series.ns[rows] // DAY_NS
        factors = np.ones(rows.shape[0])
        for day, new, old in self.splits.get(symbol, []):
            factors[days < days_of(datetime.fromisoformat(day).date())] *= new / old
        prices = np.float32(series.prices[:, rows] / factors).astype(float)
        volume = np.round(series.prices[4, rows] * factors)
        intraday = interval[-1] in "mh"
        quote = {}
        indicators = {"quote": [quote]}
        if rows.shape[0]:
            for i, name in enumerate(("open", "high", "low", "close")):
                quote[name] = [None if np.isnan(p) else float(p) for p in prices[i]]
            quote["volume"] = [None if np.isnan(v) else int(v) for v in volume]
            if not intraday:
                indicators["adjclose"] = [{"adjclose": quote["close"]}]
        meta = {
            "currency": self.currency,
            "symbol": symbol,
            "exchangeName": "NMS",
            "instrumentType": "EQUITY",
            "firstTradeDate": 345479400,
            "regularMarketTime": 1700000000,
            "gmtoffset": -18000,
            "timezone": "EST",
            "exchangeTimezoneName": self.zone,
            "priceHint": 2,
            "dataGranularity": interval,
            "validRanges": ["1d", "5d", "1mo", "max"],
        }
        if intraday:
            meta["tradingPeriods"] = self._trading_periods(series, rows)
        result = {"meta": meta, "indicators": indicators}
        if rows.shape[0]:
            result["timestamp"] = (series.ns[rows] // SECOND_NS).tolist()
            result["events"] = self._events(symbol, span)
        return {"chart": {"result": [result], "error": None}}

    def _trading_periods(self, series, rows):
        days = np.unique(series.ns[rows] // DAY_NS)
        found = []
        for day in days:
            inside = rows[series.ns[rows] // DAY_NS == day]
            first, last = series.ns[inside[0]], series.ns[inside[-1]] + MINUTE_NS
            period = {"start": int(first // SECOND_NS), "end": int(last // SECOND_NS)}
            found.append([period | {"timezone": "EST", "gmtoffset": -18000}])
        return found

    def _events(self, symbol, span):
        def at(day):
            # Yahoo dates an event by the session's open.
            return days_of(datetime.fromisoformat(day).date()) * 86_400 + 14 * 3600 + 1800

        events = {}
        for day, new, old in self.splits.get(symbol, []):
            if span[0] <= at(day) < span[1]:
                row = {"date": at(day), "numerator": new, "denominator": old}
                events.setdefault("splits", {})[str(at(day))] = row
        for day, amount in self.dividends.get(symbol, []):
            if span[0] <= at(day) < span[1]:
                later = np.prod([n / o for d, n, o in self.splits.get(symbol, []) if d > day])
                row = {"date": at(day), "amount": amount / float(later)}
                events.setdefault("dividends", {})[str(at(day))] = row
        return events


def _chart_error(code, description):
    return {"chart": {"result": None, "error": {"code": code, "description": description}}}


def _instant(text):
    return int(datetime.fromisoformat(text).astimezone(UTC).timestamp()) * SECOND_NS


def _rfc3339(ns):
    return datetime.fromtimestamp(int(ns) // SECOND_NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
