"""Clocks that can be set, errors that carry their facts."""

import pickle
from datetime import UTC, datetime, timedelta, timezone

import pytest

from foundation.clock import FixedClock, SystemClock
from foundation.errors import (
    BrokerError,
    Fatal,
    LedgerError,
    NotPermitted,
    OrderRefused,
    QuarterdeckError,
    Retryable,
    RiskLimitExceeded,
    SpecError,
)


def test_fixed_clock_stands_still_until_it_is_advanced() -> None:
    clock = FixedClock(datetime(2024, 3, 8, 16, 0, tzinfo=timezone(timedelta(hours=-5))))
    assert clock.now() == clock.now() == datetime(2024, 3, 8, 21, 0, tzinfo=UTC)
    assert clock.now().tzinfo is UTC
    clock.advance(timedelta(hours=4))
    assert clock.now() == datetime(2024, 3, 9, 1, 0, tzinfo=UTC)


def test_clock_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="must not go back"):
        FixedClock(datetime(2024, 1, 1, tzinfo=UTC)).advance(timedelta(seconds=-1))


def test_clock_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="must have a time zone"):
        FixedClock(datetime(2024, 1, 1))  # noqa: DTZ001


def test_system_clock_is_aware_and_in_utc() -> None:
    assert SystemClock().now().utcoffset() == timedelta(0)


def test_spec_error_says_place_reason_and_hint() -> None:
    error = SpecError(
        "unknown name 'clsoe'", path="entry.when", column=5, hint="did you mean 'close'?"
    )
    assert str(error) == "entry.when: unknown name 'clsoe' at column 5; did you mean 'close'?"
    assert (error.path, error.column, error.hint) == ("entry.when", 5, "did you mean 'close'?")
    assert str(SpecError("the document is empty")) == "the document is empty"


def test_spec_error_crosses_processes_with_its_fields() -> None:
    error = SpecError("m", path="p", column=0, hint="h")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.message, copy.path, copy.column, copy.hint) == (
        str(error), "m", "p", 0, "h",
    )  # fmt: skip


def test_hierarchy_is_the_one_that_callers_rely_on() -> None:
    assert issubclass(RiskLimitExceeded, OrderRefused)
    assert issubclass(Retryable, BrokerError)
    assert issubclass(Fatal, BrokerError)
    for kind in (SpecError, OrderRefused, BrokerError, LedgerError, NotPermitted):
        assert issubclass(kind, QuarterdeckError)
    assert RiskLimitExceeded("too large", reason="position_limit").reason == "position_limit"
