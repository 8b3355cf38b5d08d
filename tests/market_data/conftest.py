"""Stores that know their calendar already, so that tests don't wait for it."""

from __future__ import annotations

import shutil
from datetime import date

import numpy as np
import pytest

from market_data.sessions import days_of
from market_data.store import Store
from market_data.timeframes import DAY_NS


@pytest.fixture(scope="session")
def _calendar_home(tmp_path_factory):
    home = tmp_path_factory.mktemp("calendars")
    store = Store(home)
    first, last = days_of(date(2000, 1, 3)) * DAY_NS, days_of(date(2026, 12, 1)) * DAY_NS
    for calendar in ("XNYS", "FX"):
        store.sessions(calendar, first, last)
    return home


@pytest.fixture
def store(_calendar_home, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(_calendar_home / "sessions", home / "sessions")
    return Store(home)


@pytest.fixture(scope="session")
def xnys(_calendar_home):
    return Store(_calendar_home).sessions("XNYS", DAY_NS * 12_000, DAY_NS * 19_000)


@pytest.fixture(scope="session")
def fx(_calendar_home):
    return Store(_calendar_home).sessions("FX", DAY_NS * 12_000, DAY_NS * 19_000)


@pytest.fixture
def ns():
    """Return a function from UTC text to nanoseconds."""

    def convert(text):
        return int(np.datetime64(text, "ns").astype(np.int64))

    return convert
