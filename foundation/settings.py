"""The platform's settings, read once from the environment.

The composition root (the command, Dagster's definitions, a dashboard's start
page) calls `load_settings` once and passes the result down; nothing reads the
environment at import.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import (
    ByteSize,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from foundation.errors import SettingsError
from foundation.home import data_home
from foundation.memory import MEMORY_BYTES_LEAST

PREFIX = "QUARTERDECK_"


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How a log line looks: for a person or for a program."""

    CONSOLE = "console"
    JSON = "json"


class Executor(StrEnum):
    """Which processes run the steps of a Dagster run."""

    IN_PROCESS = "in_process"  # All in the run's own process: kernels are loaded once.
    MULTIPROCESS = "multiprocess"  # Each in a process of its own, several at once.
    CELERY = "celery"  # Each by a Celery worker; needs the package dagster-celery.
    KUBERNETES = "kubernetes"  # Each in a pod of its own; needs the package dagster-k8s.


class Settings(BaseSettings):
    """All settings; each is read from ``QUARTERDECK_<NAME>``.

    Attributes
    ----------
    home : Path
        The data home: bars, results, compiled kernels, the SQLite file.
        Absolute. ``.quarterdeck`` in the checkout by default.
    database_url : str
        SQLAlchemy URL of the record, ``sqlite:///…`` or
        ``postgresql+psycopg://…``; by default a SQLite file in the home.
        May hold a password, so it isn't shown by ``repr``.
    store_url : str
        Where bars are kept if not in the home, such as ``s3://firm/bars``.
    kafka_url : str
        The bus; empty for the embedded one.
    log_level, log_format
        Of a process that stays, such as `quarterdeck up`.
    executor : Executor
        Of Dagster's runs.
    run_memory_bytes_max : ByteSize or None
        Ceiling for the process of a Dagster run that states none itself, such
        as ``4GiB``; None for no ceiling.
    requests_running_max : int
        How many requested backtests are handed to Dagster at once; the others
        wait in the database, where a higher priority may overtake them.
    schedule_calendar, schedule_timezone : str
        The exchange whose close the nightly schedules follow, such as
        ``XNYS``, and the time zone that their hours are of.
    schedule_source, schedule_timeframe, schedule_symbols : str
        What the nightly ingestion asks for: the vendor, the length of the
        bars, and the instruments with commas between them (all that are
        stored when empty).
    alpaca_key_id, alpaca_secret : SecretStr
        Of an account with Alpaca, for its bars; shown nowhere.
    alpaca_url, yahoo_url : str
        In the place of the vendor's own address, such as that of a proxy:
        https, or http on this machine.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True)

    home: Path = Field(default_factory=data_home)
    database_url: Annotated[str, Field(repr=False)] = ""
    store_url: str = ""
    kafka_url: str = ""
    log_level: LogLevel = LogLevel.INFO
    log_format: LogFormat = LogFormat.CONSOLE
    executor: Executor = Executor.IN_PROCESS
    run_memory_bytes_max: Annotated[ByteSize, Field(ge=MEMORY_BYTES_LEAST)] | None = None
    requests_running_max: Annotated[int, Field(ge=1)] = 4
    schedule_calendar: str = "XNYS"
    schedule_timezone: str = "America/New_York"
    schedule_source: str = "yahoo"
    schedule_timeframe: str = "1d"
    schedule_symbols: str = ""
    alpaca_key_id: SecretStr = SecretStr("")
    alpaca_secret: SecretStr = SecretStr("")
    alpaca_url: str = ""
    yahoo_url: str = ""

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @field_validator("alpaca_url", "yahoo_url")
    @classmethod
    def _no_secret_in_clear(cls, url: str) -> str:
        # Keys travel in headers, which anybody on the way could read.
        parts = urlsplit(url)
        on_this_machine = parts.hostname in ("127.0.0.1", "localhost", "::1")
        if url and not (parts.scheme == "https" or (parts.scheme == "http" and on_this_machine)):
            raise ValueError("must begin with https://, or with http:// on this machine")
        return url

    @field_validator("schedule_timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError(f"must be a time zone such as America/New_York, got {name!r}")
        return name

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, url: str) -> str:
        # Managed PostgreSQL hands out this form, which SQLAlchemy would give to psycopg2.
        for short in ("postgres://", "postgresql://"):
            if url.startswith(short):
                url = "postgresql+psycopg://" + url.removeprefix(short)
        if url and not url.startswith(("sqlite:///", "postgresql+psycopg://")):
            scheme = url.split(":", 1)[0]
            raise ValueError(
                f"must begin with sqlite:/// or postgresql://, got the scheme {scheme!r}"
            )
        return url

    @model_validator(mode="before")
    @classmethod
    def _default_database(cls, values: dict[str, object]) -> dict[str, object]:
        if not values.get("database_url"):
            home = Path(str(values.get("home") or data_home())).expanduser().absolute()
            values["database_url"] = f"sqlite:///{home / 'quarterdeck.sqlite'}"
        return values


def load_settings(**overrides: object) -> Settings:
    """Read and check the settings.

    Parameters
    ----------
    **overrides
        Values that win over the environment, such as ``home=tmp_path``.

    Returns
    -------
    Settings

    Raises
    ------
    SettingsError
        Naming each variable that isn't valid, on one line.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        faults = [
            f"{PREFIX}{'_'.join(str(part) for part in fault['loc']).upper()}: "
            + fault["msg"].removeprefix("Value error, ")
            for fault in error.errors(include_input=False, include_url=False)
        ]
        raise SettingsError("; ".join(faults)) from None
