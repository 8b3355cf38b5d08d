"""Timeframes by name: how long a bar is, and which name is the longer one."""

from __future__ import annotations

import re
from dataclasses import dataclass

from foundation.errors import DataError

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS

_UNIT_NS = {"s": SECOND_NS, "m": MINUTE_NS, "h": HOUR_NS}
_INTRADAY = re.compile(r"([1-9]\d{0,4})([smh])")


@dataclass(frozen=True, slots=True)
class Timeframe:
    """A parsed timeframe.

    Attributes
    ----------
    name : str
        As written: ``1m``, ``5m``, ``1h``, ``1d``, ``1w`` and their like.
    length_ns : int
        Nominal length in nanoseconds; a session's last bar, a day and a week
        are as long as the calendar makes them.
    intraday : bool
        Whether bars are anchored at the session's open.
    """

    name: str
    length_ns: int
    intraday: bool


def parse_timeframe(name: str) -> Timeframe:
    """Return the timeframe of that name.

    Raises
    ------
    DataError
        If the name is none of a number with ``s``, ``m`` or ``h`` shorter than
        a day, ``1d`` or ``1w``.
    """
    if name == "1d":
        return Timeframe(name, DAY_NS, intraday=False)
    if name == "1w":
        return Timeframe(name, 7 * DAY_NS, intraday=False)
    match = _INTRADAY.fullmatch(name)
    if match:
        length_ns = int(match[1]) * _UNIT_NS[match[2]]
        if length_ns < DAY_NS:
            return Timeframe(name, length_ns, intraday=True)
    raise DataError(
        f"unknown timeframe {name!r}; use a number with s, m or h (1m, 5m, 15m, 1h), 1d or 1w"
    )


def name_of_length(length_ns: int) -> str:
    """Return the name of a nominal length: 300 seconds are ``5m``."""
    if length_ns == 7 * DAY_NS:
        return "1w"
    for unit, unit_ns in (("d", DAY_NS), ("h", HOUR_NS), ("m", MINUTE_NS), ("s", SECOND_NS)):
        if length_ns % unit_ns == 0:
            return f"{length_ns // unit_ns}{unit}"
    return f"{length_ns / SECOND_NS:g}s"
