"""What a sleeve saw and decided at each bar, under the names its strategy gives.

The checks of a version lay two runs beside each other. Owns what is compared
and how a difference is told; not which runs are compared, nor what follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from research.backtest import SleeveResult
from trading.bars import Bars
from trading.codes import ACTIONS, REASONS
from trading.explaining import formula_of, formula_values
from trading.planning import CONDITIONS
from trading.sleeve import SleeveRun

TRUTHS = ("false", "unknown", "true")
OTHER_PATH = " (favourable path)"


class Stage(IntEnum):
    """From the bars to the account: what comes later rests on what comes before."""

    BARS = 0
    INDICATOR = 1
    TERM = 2
    CONDITION = 3
    DECISION = 4
    ORDER = 5
    ACCOUNT = 6


@dataclass(frozen=True, slots=True)
class Track:
    """One thing that has a value at each bar.

    Attributes
    ----------
    name : str
        As a person finds it in the strategy, such as ``indicator trend``.
    values : array, shape (n_bars,)
        Numbers, or codes where `words` names them.
    """

    stage: Stage
    name: str
    values: NDArray[Any]
    words: tuple[str, ...] = ()

    def word(self, i_bar: int) -> str:
        """Return the value at a bar as text, every digit of it."""
        return value_words(self.values[i_bar], self.words)


def value_words(value: Any, words: Sequence[str] = ()) -> str:
    """Write a value so that two that differ look different."""
    if words:
        return words[int(value)] or "nothing"
    return repr(value.item() if isinstance(value, np.generic) else value)


def bar_name(bars: Bars, i_bar: int) -> str:
    """Name a bar: by its session if it is a day or longer, else by its open in UTC."""
    if bars.timeframe.endswith(("d", "w")):
        return str(np.datetime64(int(bars.session[i_bar]), "D"))
    return str(np.datetime64(int(bars.ts[i_bar]), "ns").astype("datetime64[s]")) + "Z"


def first_unlike(one: NDArray[Any], other: NDArray[Any]) -> int:
    """Return the first place in which two arrays differ in any bit, -1 for none.

    NaN is like NaN; of arrays of unlike lengths the common part is compared.
    """
    n = min(len(one), len(other))
    one, other = np.ascontiguousarray(one[:n]), np.ascontiguousarray(other[:n])
    if one.dtype.kind == "f" and other.dtype.kind == "f":
        unlike = one.view(np.int64) != other.view(np.int64)
        unlike &= ~(np.isnan(one) & np.isnan(other))
    else:
        unlike = one != other
    found = np.flatnonzero(unlike)
    return int(found[0]) if len(found) else -1


def column_tracks(result: SleeveResult) -> list[Track]:
    """Return indicators, terms and conditions of a run, in that order."""
    linked, feed = result.linked, result.feed
    tracks = []
    for indicator in linked.indicators:
        name = f"indicator {indicator.name}"
        if indicator.is_flag:
            tracks.append(Track(Stage.INDICATOR, name, feed.flags[indicator.row], TRUTHS))
        else:
            tracks.append(Track(Stage.INDICATOR, name, feed.matrix[indicator.row]))
    for term in linked.terms:
        if term.formula is None:
            values = feed.flags[term.row]
        else:
            values = _codes(formula_values(linked.plan, term.formula, result.run, feed))
        tracks.append(Track(Stage.TERM, f"term {term.text}", values, TRUTHS))
    starts = linked.plan["starts"][0]
    for k, name in enumerate(CONDITIONS):
        if name in linked.condition_rows:
            values = feed.flags[linked.condition_rows[name]]
        elif starts[k + 1] > starts[k]:
            formula = formula_of(linked.plan, k)
            values = _codes(formula_values(linked.plan, formula, result.run, feed))
        else:
            continue
        tracks.append(Track(Stage.CONDITION, f"condition {name}", values, TRUTHS))
    return tracks


def _codes(values: NDArray[np.float64]) -> NDArray[np.int8]:
    return values.astype(np.int8)


def decision_tracks(run: SleeveRun, lot: float, path: str = "") -> list[Track]:
    """Return what a run decided and held at each bar.

    Parameters
    ----------
    path : str
        Appended to the names, of the run on the other path within bars.
    """
    record = run.record
    return [
        Track(Stage.DECISION, f"decision{path}", record.actions, ACTIONS),
        Track(Stage.DECISION, f"reason{path}", record.reasons, REASONS),
        Track(Stage.ACCOUNT, f"position{path}", record.lots * lot),
        Track(Stage.ACCOUNT, f"cash{path}", record.cash),
        Track(Stage.ACCOUNT, f"equity{path}", record.equity),
    ]
