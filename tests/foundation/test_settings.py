"""Settings come from the environment once, and what is wrong is named."""

import subprocess
import sys
from pathlib import Path

import pytest

from foundation.errors import SettingsError
from foundation.home import CHECKOUT, data_home
from foundation.settings import LogFormat, LogLevel, load_settings


def test_without_an_environment_everything_is_in_the_checkout() -> None:
    settings = load_settings()
    assert settings.home == CHECKOUT / ".quarterdeck"
    assert settings.database_url == f"sqlite:///{CHECKOUT}/.quarterdeck/quarterdeck.sqlite"
    assert (settings.log_level, settings.log_format) == (LogLevel.INFO, LogFormat.CONSOLE)


def test_home_of_the_environment_takes_the_database_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUARTERDECK_HOME", str(tmp_path))
    settings = load_settings()
    assert settings.home == tmp_path == data_home()
    assert settings.database_url == f"sqlite:///{tmp_path}/quarterdeck.sqlite"


def test_relative_home_and_tilde_become_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    for stated, meant in {"data": tmp_path / "data", "~/q": Path("/home/someone/q")}.items():
        monkeypatch.setenv("QUARTERDECK_HOME", stated)
        assert load_settings().home == data_home() == meant
        assert load_settings().database_url == f"sqlite:///{meant}/quarterdeck.sqlite"


def test_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "DATABASE_URL", "LOG_LEVEL", "KAFKA_URL"):
        monkeypatch.setenv(f"QUARTERDECK_{name}", "")
    assert load_settings() == load_settings(home=CHECKOUT / ".quarterdeck")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_form_of_a_postgresql_url_uses_psycopg(scheme: str) -> None:
    settings = load_settings(database_url=f"{scheme}://user:secret@host/db")
    assert settings.database_url == "postgresql+psycopg://user:secret@host/db"


def test_password_in_the_database_url_is_not_shown() -> None:
    settings = load_settings(database_url="postgresql://user:hunter2@host/db")
    assert "hunter2" not in repr(settings) + str(settings)


def test_all_wrong_settings_are_named_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARTERDECK_DATABASE_URL", "mysql://user:hunter2@host/db")
    monkeypatch.setenv("QUARTERDECK_LOG_LEVEL", "loud")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    message = str(caught.value)
    assert "QUARTERDECK_DATABASE_URL: must begin with sqlite:/// or postgresql://" in message
    assert "QUARTERDECK_LOG_LEVEL: Input should be 'debug', 'info', 'warning' or 'error'" in message
    assert "hunter2" not in message
    assert "\n" not in message


def test_settings_can_not_be_changed_after_they_were_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().home = Path("/elsewhere")  # type: ignore[misc]


def test_importing_foundation_reads_no_environment_and_starts_no_thread() -> None:
    program = """
import os, threading
class Watched(dict):
    def get(self, key, default=None):
        if key.startswith("QUARTERDECK"):
            raise SystemExit(f"read {key}")
        return default
    __getitem__ = get
original = os.environ
import alembic, numba, prometheus_client, pydantic_settings, sqlalchemy, structlog
os.environ = Watched()
import foundation.clock, foundation.columns, foundation.database, foundation.errors, foundation.files
import foundation.home, foundation.kernel_cache, foundation.migration, foundation.progress
import foundation.settings, foundation.telemetry
os.environ = original
assert threading.active_count() == 1
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
