"""The wall clock as something passed in, so that a test can set the time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time of day; the core never asks one, its time is the events'."""

    def now(self) -> datetime:
        """Return the time as an aware datetime in UTC."""
        ...


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the machine's time in UTC."""
        return datetime.now(UTC)


@dataclass(slots=True)
class FixedClock:
    """A clock that stands still until told otherwise.

    Parameters
    ----------
    time : datetime
        Aware; stored in UTC.
    """

    time: datetime

    def __post_init__(self) -> None:
        if self.time.tzinfo is None:
            raise ValueError(f"a clock's time must have a time zone, got {self.time.isoformat()}")
        self.time = self.time.astimezone(UTC)

    def now(self) -> datetime:
        """Return the time that was set."""
        return self.time

    def advance(self, by: timedelta) -> None:
        """Move the time forward; a negative step raises ValueError."""
        if by < timedelta(0):
            raise ValueError(f"a clock must not go back, got {by}")
        self.time += by
