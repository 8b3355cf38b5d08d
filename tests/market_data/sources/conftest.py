"""Vendors on this machine, and sources that speak to them without waiting."""

from __future__ import annotations

import pytest

from foundation.clock import FixedClock
from market_data.sources.alpaca import AlpacaSource
from market_data.sources.retrying import Retrying
from market_data.sources.yahoo import YahooSource
from tests.market_data.sources.making import moment
from tests.market_data.sources.servers import KEY_ID, SECRET, AlpacaServer, YahooServer


@pytest.fixture
def clock():
    return FixedClock(moment("2024-03-20T23:00"))


@pytest.fixture
def waits():
    """Collect the seconds that sources would have waited."""
    return []


@pytest.fixture
def alpaca_server():
    with AlpacaServer().running() as server:
        yield server


@pytest.fixture
def yahoo_server():
    with YahooServer().running() as server:
        yield server


@pytest.fixture
def alpaca(alpaca_server, clock, waits):
    return AlpacaSource(
        KEY_ID,
        SECRET,
        base_url=alpaca_server.url,
        # A busy machine may take its time.
        timeout_s=30.0,
        clock=clock,
        retrying=Retrying(sleep=waits.append),
    )


@pytest.fixture
def yahoo(yahoo_server, clock, waits):
    return YahooSource(
        base_url=yahoo_server.url,
        # A busy machine may take its time.
        timeout_s=30.0,
        clock=clock,
        retrying=Retrying(sleep=waits.append),
    )
