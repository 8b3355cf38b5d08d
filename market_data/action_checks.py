"""Checks of corporate actions: against the prices, and of two sources against each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market_data.action_records import known_actions
from market_data.actions import unseen_splits
from market_data.checks import Finding
from market_data.columns import BarColumns

# Ratios that companies split by; their inverses are reverse splits.
_USUAL_RATIOS = (1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 20.0, 25.0, 30.0, 50.0, 100.0)
# The night's own move may hide this much of the ratio, as a logarithm; more where the
# ratio is far beyond what a night brings. Shares that reverse splits are for move a lot.
_MOST_OWN_MOVE = 0.05
_MOST_OWN_MOVE_OF_MANY = 0.16
_MANY = 5.0
# A split is no news: the volume of its day is at most this much more than usual.
_MOST_ON_THE_DAY = 4.0
# A move that the days around it have now and then is no split, however round.
_TIMES_USUAL = 6.0
# Sessions on either side by which the level of the volume is told.
_LEVEL_SESSIONS = 20
_FEWEST_SESSIONS = 5
# Cash of two sources that differs by less is the same: sources round to a cent or
# derive it from prices of six digits.
_CASH_TOLERANCE = 0.006
_CASH_SHARE = 0.005
_RATIO_TOLERANCE = 1e-3
# An ex-date that is off by this many days is the same action on another day.
_MOST_DAYS_OFF = 7


def check_actions(columns: BarColumns, actions: NDArray[np.void]) -> list[Finding]:
    """Report splits that the prices don't show, and prices that show one without an action.

    Parameters
    ----------
    columns : BarColumns
        Raw daily bars, oldest first.
    actions : DATED_ACTION or ACTION_RECORD array
        By ex-date.
    """
    actions = known_actions(actions)
    findings = []
    unseen, n_splits = unseen_splits(columns, actions)
    if unseen and len(unseen) == n_splits:
        text = (
            f"the prices show none of {n_splits} splits, first that of "
            f"{np.datetime64(unseen[0], 'D')}: they are adjusted already, or these are another "
            "instrument's actions"
        )
        findings.append(Finding("prices_adjusted", len(unseen), text))
    elif unseen:
        days = ", ".join(str(np.datetime64(day, "D")) for day in unseen[:5])
        text = f"the prices show {n_splits - len(unseen)} of {n_splits} splits; not that of {days}"
        findings.append(Finding("split_not_in_prices", len(unseen), text))
    likely = likely_splits(columns, actions)
    if likely:
        one = likely[0]
        text = (
            f"{len(likely)} steps of the prices look like a split without an action, first "
            f"{one.describe()}"
        )
        findings.append(Finding("split_without_action", len(likely), text))
    return findings


@dataclass(frozen=True, slots=True)
class LikelySplit:
    """A step of the prices that looks like a split.

    Attributes
    ----------
    day : int
        Session of the first bar after it, days since 1970-01-01.
    ratio : float
        New shares for one old share, the usual one that is nearest.
    price_step, volume_step : float
        First open over last close; median volume after over that before.
    """

    day: int
    ratio: float
    price_step: float
    volume_step: float

    def describe(self) -> str:
        """Return it as words with its evidence."""
        words = f"{self.ratio:g} for 1" if self.ratio >= 1 else f"1 for {1 / self.ratio:g}"
        return (
            f"{words} on {np.datetime64(self.day, 'D')}: prices × {self.price_step:.4g}, volume × "
            f"{self.volume_step:.3g}"
        )


def likely_splits(columns: BarColumns, actions: NDArray[np.void]) -> list[LikelySplit]:
    """Find steps between two bars that a split explains and no known action does.

    Notes
    -----
    The step must be near a usual ratio and far beyond the steps around it. The
    number of shares that are traded must go with it, and not be that of a day
    of news: a price that falls by half on bad news is traded ten times as much.
    """
    if columns.n_bars < 2 * _FEWEST_SESSIONS:
        return []
    open_, close, volume = columns.prices[0], columns.prices[3], columns.prices[4]
    step = np.log(open_[1:] / close[:-1])
    known = set(actions["ex_date"][actions["split_ratio"] != 1.0].tolist())
    ratios = np.array([*(1 / r for r in _USUAL_RATIOS[::-1]), *_USUAL_RATIOS])
    expected = -np.log(ratios)
    many = np.abs(expected) >= np.log(_MANY)
    allowed = np.where(many, _MOST_OWN_MOVE_OF_MANY, _MOST_OWN_MOVE)
    found = []
    for i in np.flatnonzero(np.abs(step) > np.log(_USUAL_RATIOS[0]) - _MOST_OWN_MOVE):
        day = int(columns.session[i + 1])
        if day in known or day == int(columns.session[i]):
            continue
        nearest = int(np.argmin(np.abs(expected - step[i])))
        if abs(expected[nearest] - step[i]) > allowed[nearest]:
            continue
        around = np.abs(
            np.delete(
                step[max(i - _LEVEL_SESSIONS, 0) : i + 1 + _LEVEL_SESSIONS],
                min(i, _LEVEL_SESSIONS),
            )
        )
        if abs(step[i]) < _TIMES_USUAL * max(float(around.mean()), 1e-4):
            continue
        before = volume[max(i + 1 - _LEVEL_SESSIONS, 0) : i + 1]
        after = volume[i + 1 : i + 1 + _LEVEL_SESSIONS]
        if min(before.shape[0], after.shape[0]) < _FEWEST_SESSIONS:
            continue
        if not (np.median(before) > 0 and np.median(after) > 0):
            continue
        change = float(np.median(after) / np.median(before))
        if np.log(change) * np.sign(-step[i]) < 0.0:
            continue
        if volume[i + 1] > _MOST_ON_THE_DAY * max(float(ratios[nearest]), 1.0) * np.median(before):
            continue
        found.append(LikelySplit(day, float(ratios[nearest]), float(np.exp(step[i])), change))
    return found


@dataclass(frozen=True, slots=True)
class ActionDifference:
    """Where two sources of one instrument's actions disagree.

    Attributes
    ----------
    name : str
        ``only_in_first``, ``only_in_second``, ``split_differs``,
        ``dividend_differs`` or ``ex_date_differs``.
    day : int
        Ex-date in the source that has it, the first if both do.
    message : str
    """

    name: str
    day: int
    message: str


def compare_actions(
    first: NDArray[np.void],
    second: NDArray[np.void],
    *,
    since: int | None = None,
    until: int | None = None,
) -> list[ActionDifference]:
    """Compare two sources of actions by ex-date.

    Parameters
    ----------
    first, second : DATED_ACTION or ACTION_RECORD arrays
    since, until : int, optional
        First and last ex-date to look at, days since 1970-01-01; those that
        both sources cover when not given.
    """
    one, other = known_actions(first), known_actions(second)
    if not (one.shape[0] and other.shape[0]):
        return []
    begin = max(one["ex_date"][0], other["ex_date"][0]) if since is None else since
    end = min(one["ex_date"][-1], other["ex_date"][-1]) if until is None else until
    one = one[(one["ex_date"] >= begin) & (one["ex_date"] <= end)]
    other = other[(other["ex_date"] >= begin) & (other["ex_date"] <= end)]
    differences = []
    by_day = {int(row["ex_date"]): row for row in other}
    unmatched = []
    for row in one:
        match = by_day.pop(int(row["ex_date"]), None)
        if match is None:
            unmatched.append(row)
        else:
            differences += _differences(row, match)
    for row in unmatched:
        near = [
            day
            for day, match in by_day.items()
            if abs(day - int(row["ex_date"])) <= _MOST_DAYS_OFF and not _differences(row, match)
        ]
        day = int(row["ex_date"])
        if near:
            del by_day[near[0]]
            text = f"{_words(row)} is on {_day(near[0])} in the second source"
            differences.append(ActionDifference("ex_date_differs", day, text))
        else:
            text = f"{_words(row)} is not in the second source"
            differences.append(ActionDifference("only_in_first", day, text))
    for day, row in by_day.items():
        text = f"{_words(row)} is not in the first source"
        differences.append(ActionDifference("only_in_second", day, text))
    return sorted(differences, key=lambda one: (one.day, one.name))


def _differences(row: np.void, match: np.void) -> list[ActionDifference]:
    day = int(row["ex_date"])
    found = []
    if abs(row["split_ratio"] / match["split_ratio"] - 1) > _RATIO_TOLERANCE:
        text = f"split of {_day(day)}: {row['split_ratio']:.6g} or {match['split_ratio']:.6g}"
        found.append(ActionDifference("split_differs", day, text))
    cash, also = float(row["dividend"]), float(match["dividend"])
    if abs(cash - also) > max(_CASH_TOLERANCE, _CASH_SHARE * max(cash, also)):
        text = f"dividend of {_day(day)}: {cash:.6g} or {also:.6g}"
        found.append(ActionDifference("dividend_differs", day, text))
    return found


def _words(row: np.void) -> str:
    parts = []
    if row["split_ratio"] != 1.0:
        parts.append(f"split of {row['split_ratio']:.6g}")
    if row["dividend"]:
        parts.append(f"dividend of {row['dividend']:.6g}")
    return f"the {' and '.join(parts) or 'action'} on {_day(row['ex_date'])}"


def _day(day: int) -> str:
    return str(np.datetime64(int(day), "D"))
