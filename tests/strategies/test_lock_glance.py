"""Whether anything may be locked, told without SQLAlchemy: no is certain, yes asks further."""

from __future__ import annotations

import subprocess
import sys
from datetime import date

import pytest

from foundation.database import make_engine
from foundation.home import record_url
from foundation.migration import migrate
from strategies.lock_glance import may_be_locked
from strategies.studies import lock_period
from strategies.versions import save_version


def test_a_locked_strategy_is_told_from_others(tmp_path):
    url = f"sqlite:///{tmp_path / 'record.sqlite'}"
    assert not may_be_locked(url, "trend")
    engine = make_engine(url)
    migrate(engine)
    assert not may_be_locked(url, "trend")
    save_version(engine, name="trend", document=b"name: trend", author="")
    lock_period(
        engine, name="trend", instruments=["AAPL"], timeframe="1d",
        first_session=date(2020, 1, 2), by="ada", reason="",
    )  # fmt: skip
    engine.dispose()
    assert may_be_locked(url, "trend")
    assert not may_be_locked(url, "other")


@pytest.mark.parametrize("content", [b"", b"no database at all, but a text of some length" * 40])
def test_what_can_not_be_read_may_hold_a_lock(tmp_path, content):
    path = tmp_path / "record.sqlite"
    path.write_bytes(content)
    # An empty file is a database without tables, so without locks.
    assert may_be_locked(f"sqlite:///{path}", "trend") is bool(content)


def test_another_server_is_asked_properly():
    assert may_be_locked("postgresql+psycopg://host/record", "trend")


def test_record_is_in_the_data_home_unless_stated(tmp_path):
    own = {"QUARTERDECK_HOME": str(tmp_path)}
    assert record_url(own) == f"sqlite:///{tmp_path}/quarterdeck.sqlite"
    assert record_url(own | {"QUARTERDECK_DATABASE_URL": "sqlite:////x"}) == "sqlite:////x"


def test_asking_loads_no_sqlalchemy(tmp_path):
    code = (
        "import sys; from strategies.lock_glance import may_be_locked;"
        f"may_be_locked('sqlite:///{tmp_path}/none', 'x');"
        "sys.exit('sqlalchemy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
