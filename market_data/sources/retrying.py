"""When a vendor is asked again: which failures pass by themselves, and how long to wait.

The one place for it; the vendors' own libraries are kept from trying again by
themselves, since they neither heed what the vendor asks nor end in time.
"""

from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from foundation.errors import DataError

Answer = TypeVar("Answer")


class VendorUnavailable(DataError):
    """The vendor can't answer now; asking again may work.

    Parameters
    ----------
    retry_after_s : float or None
        What the vendor asks to wait, seconds.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class VendorRefused(DataError):
    """The vendor will give the same answer again: a person has to act."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently a vendor is asked.

    Attributes
    ----------
    tries_max : int
        All requests for one answer.
    first_wait_s, longest_wait_s : float
        Waits double from the first to the longest; the actual one is drawn
        between its half and itself, so that programs that failed together
        do not come back together.
    total_wait_s_max : float
        All waits for one answer.
    seed : int
        Of the draws.
    """

    tries_max: int = 6
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    total_wait_s_max: float = 300.0
    seed: int = 0


@dataclass(slots=True)
class Retrying:
    """Asks again by a policy.

    Parameters
    ----------
    policy : RetryPolicy
    sleep : callable
        Waits so many seconds.
    told : callable
        Given one line before each wait.
    """

    policy: RetryPolicy = field(default_factory=RetryPolicy)
    sleep: Callable[[float], None] = time.sleep
    told: Callable[[str], None] = lambda _line: None

    def call(self, ask: Callable[[], Answer]) -> Answer:
        """Return what `ask` returns, calling it again while it raises `VendorUnavailable`.

        Raises
        ------
        DataError
            The last error, with how often it was tried, once tries or time
            are used up; any other error at once.
        """
        draws = random.Random(self.policy.seed)
        waited = 0.0
        for n_tries in range(1, self.policy.tries_max + 1):
            try:
                return ask()
            except VendorUnavailable as error:
                if n_tries == self.policy.tries_max:
                    raise VendorUnavailable(f"{error}, after {n_tries} tries") from error
                wait = self._wait_s(n_tries, draws, error.retry_after_s)
                if waited + wait > self.policy.total_wait_s_max:
                    raise VendorUnavailable(
                        f"{error}; the next try would be after {waited + wait:.0f} s of waiting, "
                        f"more than {self.policy.total_wait_s_max:.0f} s"
                    ) from error
                self.told(f"{error}; asking again in {wait:.1f} s")
                self.sleep(wait)
                waited += wait
        raise AssertionError("unreachable")

    def _wait_s(self, n_tries: int, draws: random.Random, asked_s: float | None) -> float:
        backoff = min(self.policy.first_wait_s * 2 ** (n_tries - 1), self.policy.longest_wait_s)
        wait = backoff * (0.5 + 0.5 * draws.random())
        # Coming back sooner than asked counts against us.
        return wait if asked_s is None else max(wait, asked_s)


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return how long an answer's headers ask to wait, seconds.

    Parameters
    ----------
    headers : mapping
        ``Retry-After`` in seconds or as a date, else ``X-RateLimit-Reset`` as
        an epoch second; names in any case.
    now : datetime
        Aware.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    asked = lower.get("retry-after", "").strip()
    if asked:
        if asked.isdigit():
            return float(asked)
        try:
            moment = email.utils.parsedate_to_datetime(asked)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max((moment - now).total_seconds(), 0.0)
    reset = lower.get("x-ratelimit-reset", "").strip()
    if reset.isdigit():
        return max(int(reset) - now.timestamp(), 0.0)
    return None


def failure_of_status(
    vendor: str, status: int, said: str, headers: Mapping[str, str], now: datetime
) -> DataError | None:
    """Return the error that an HTTP status means, None where it is an answer.

    Parameters
    ----------
    said : str
        The vendor's own words, without secrets.
    """
    said = " ".join(said.split())[:200]
    tail = f": {said}" if said else ""
    if status < 400:
        return None
    if status == 429:
        return VendorUnavailable(
            f"{vendor} has had too many requests{tail}", retry_after_s=retry_after_s(headers, now)
        )
    if status in (408, 425) or status >= 500:
        return VendorUnavailable(
            f"{vendor} answered {status}{tail}", retry_after_s=retry_after_s(headers, now)
        )
    return VendorRefused(f"{vendor} answered {status}{tail}")
