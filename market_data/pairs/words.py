"""What the shift between two sources means, in words that a person can act on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np

from market_data.pairs.matching import Grid, Int64Array
from market_data.pairs.offset import Offset, Segment
from market_data.timeframes import SECOND_NS, name_of_length

# Clocks that data comes by. Where two fit, the first is named.
_ZONES = ("America/New_York", "Europe/London", "Europe/Athens", "Asia/Tokyo", "Australia/Sydney")
_PROBES = 200
_FITTING = 0.95


def describe_offset(
    offset: Offset, grid: Grid, ts_a: Int64Array, names: tuple[str, str], *, i_first: int = 0
) -> str:
    """Return the shifts in one line.

    Parameters
    ----------
    ts_a : int64 array, shape (n_bars,)
        The first series' times.
    names : tuple of str
        Of both series.
    i_first : int
        First of them that both have.
    """
    a, b = names
    if not offset.claimed:
        return "the data can't tell whether the times are shifted; taken as they are"
    if offset.distinct == (0,) and grid.rest_ns == 0:
        return "no shift of time"
    if len(offset.distinct) == 1:
        return _constant(offset.segments[0], grid, a, b)
    parts = [
        f"{_amount(segment.shift, grid)} from {_day(ts_a[max(segment.first, i_first)])}"
        for segment in offset.segments
    ]
    text = f"labels of {b} less those of {a}: {', '.join(parts)}"
    if grid.rest_ns:
        text += f", and {_signed(grid.rest_ns)} throughout"
    zone = _zone_of(offset, grid, ts_a)
    return f"{text}; {zone.format(a=a, b=b)}" if zone else text


def _constant(segment: Segment, grid: Grid, a: str, b: str) -> str:
    shift_ns = segment.shift * grid.unit_ns + grid.rest_ns
    late, early = (b, a) if (shift_ns or segment.shift) > 0 else (a, b)
    amount = name_of_length(abs(shift_ns)) if grid.unit_ns else _amount(abs(segment.shift), grid)
    text = f"{late} labels its bars {amount} later than {early}"
    if abs(segment.shift) == grid.step and grid.rest_ns == 0:
        what = "bar" if grid.unit_ns else "session"
        text += f", which is one {what}: at the end of the bar instead of its open"
    return text


def _amount(shift: int, grid: Grid) -> str:
    if grid.unit_ns == 0:
        return f"{shift} session{'' if abs(shift) == 1 else 's'}"
    if shift == 0:
        return "none"
    sign = "-" if shift < 0 else ""
    return sign + name_of_length(abs(shift) * grid.unit_ns)


def _day(ns: int) -> str:
    return str(np.datetime64(int(ns), "ns").astype("datetime64[D]"))


def _zone_of(offset: Offset, grid: Grid, ts_a: Int64Array) -> str:
    """Name the clock that the changing shifts follow, if they follow one."""
    if grid.unit_ns == 0:
        return ""
    # A clock that is right in winter has no shift then; one that was mended
    # has none any more.
    shifted = [segment for segment in offset.segments if segment.shift != 0]
    for segments in (offset.segments, tuple(shifted)):
        text = _zone_of_segments(segments, grid, ts_a)
        if text:
            ended = segments[-1] is not offset.segments[-1]
            return f"{text} until {_day(ts_a[segments[-1].stop - 1])}" if ended else text
    return ""


def _zone_of_segments(segments: Sequence[Segment], grid: Grid, ts_a: Int64Array) -> str:
    if len({segment.shift for segment in segments}) < 2:
        return ""
    probes = np.concatenate(
        [np.linspace(s.first, s.stop - 1, _PROBES).astype(np.int64) for s in segments]
    )
    shifts = np.repeat([segment.shift * grid.unit_ns for segment in segments], _PROBES)
    for zone_name in _ZONES:
        zone = ZoneInfo(zone_name)
        clock = np.array([_utc_offset(int(ts_a[i]), zone) for i in probes])
        for sign, late in ((-1, "{a}"), (1, "{b}")):
            rest = shifts - sign * clock
            values, counts = np.unique(rest, return_counts=True)
            if counts.max() < _FITTING * rest.shape[0]:
                continue
            constant = int(values[np.argmax(counts)])
            more = f" {_signed(constant * sign)}" if constant else ""
            return f"{late}'s times are {zone_name} wall time{more} read as UTC"
    return ""


def _signed(ns: int) -> str:
    return f"{'-' if ns < 0 else '+'}{name_of_length(abs(ns))}"


def _utc_offset(ns: int, zone: ZoneInfo) -> int:
    moment = datetime.fromtimestamp(ns // SECOND_NS, UTC).astimezone(zone)
    offset = moment.utcoffset()
    assert offset is not None
    return int(offset.total_seconds()) * SECOND_NS
