"""Choosing a plateau and not a peak among parameter sets.

The best of many sets is partly luck, and luck doesn't reach far: a set whose
neighbours do well too is less likely to owe its figure to it. Each set is
scored by its neighbourhood, the sets within one step of it in every
parameter: its score is the lower quartile of theirs, its own included, so that
three quarters of them are at least as good.

What is not there counts against a set. Where a neighbour would lie outside the
grid or was not run, the worst known neighbour counts once more, so that edges
and corners, which have fewer neighbours to disappoint, are not favoured.
Where a neighbour's figure is not defined (it never traded), the worst score of
all sets counts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# Share of a neighbourhood that may be worse than its score.
QUANTILE = 0.25
# From here the sets are so thin in their grid that steps say little; then the
# nearest sets are the neighbours.
GRID_SHARE = 0.5
# Neighbourhoods of more parameters are of the nearest sets, too: 3**7 cells
# would mostly be looked at in vain.
N_PARAMETERS_MAX = 6
_CHUNK_CELLS = 4_000_000


class Pick(StrEnum):
    """Which set is taken for the best."""

    PLATEAU = "plateau"
    PEAK = "peak"


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen set, and the peak beside it.

    Attributes
    ----------
    i_plateau, i_peak : int
        Places of the two sets; -1 when no set has a score.
    scores : float64 array, shape (n_sets,)
        What was given: more is better, NaN where not defined.
    plateau_scores : float64 array, shape (n_sets,)
        Of each set's neighbourhood; NaN for a set without a score of its own.
    n_neighbours : int64 array, shape (n_sets,)
        Sets within the neighbourhood that were run, the set itself included.
    by_steps : bool
        Whether neighbours are those within one step of the grid, or the nearest.
    plateau_neighbours, peak_neighbours : int64 arrays
        Places of the sets around the plateau and around the peak, themselves
        included; empty when no set has a score.
    """

    i_plateau: int
    i_peak: int
    scores: FloatArray
    plateau_scores: FloatArray
    n_neighbours: NDArray[np.int64]
    by_steps: bool
    plateau_neighbours: NDArray[np.int64]
    peak_neighbours: NDArray[np.int64]

    def chosen(self, pick: Pick) -> int:
        """Return the place of the set that was picked."""
        return self.i_plateau if pick is Pick.PLATEAU else self.i_peak


def choose(
    values: Mapping[str, Sequence[float]],
    sets: Sequence[Mapping[str, float]],
    scores: FloatArray,
) -> Choice:
    """Choose a plateau and a peak.

    Parameters
    ----------
    values : mapping
        The values of each varied parameter: what a step is.
    sets : sequence of mappings
        The sets that were run; each value is one of `values`.
    scores : float64 array, shape (n_sets,)
        More is better; NaN where not defined.
    """
    return Neighbourhoods(values, sets).choose(scores)


class Neighbourhoods:
    """Who is whose neighbour, found once for any number of choices over the same sets."""

    def __init__(
        self, values: Mapping[str, Sequence[float]], sets: Sequence[Mapping[str, float]]
    ) -> None:
        ordered = {name: sorted(set(found)) for name, found in values.items()}
        self._sizes = [len(found) for found in ordered.values()]
        places = {name: {x: i for i, x in enumerate(found)} for name, found in ordered.items()}
        self._places = np.array(
            [[places[name][one[name]] for name in ordered] for one in sets], np.int64
        ).reshape(len(sets), len(ordered))
        n_varied = sum(size > 1 for size in self._sizes)
        n_cells = math.prod(self._sizes)
        self.by_steps = n_varied <= N_PARAMETERS_MAX and len(sets) >= GRID_SHARE * n_cells
        self._neighbours, self._present = self._in_grid() if self.by_steps else self._nearest()

    def _in_grid(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return for each set the places of the sets around it, and which of them are there."""
        sizes = np.array(self._sizes, np.int64)
        # One cell of margin on each side, so that a step over the edge finds an empty cell.
        strides = np.ones(len(sizes), np.int64)
        for k in range(len(sizes) - 2, -1, -1):
            strides[k] = strides[k + 1] * (sizes[k + 1] + 2)
        cells = np.full(int(np.prod(sizes + 2)), -1, np.int64)
        at = ((self._places + 1) * strides).sum(axis=1)
        cells[at] = np.arange(len(at))
        steps = [(-1, 0, 1) if size > 1 else (0,) for size in self._sizes]
        offsets = np.array([np.dot(one, strides) for one in itertools.product(*steps)], np.int64)
        found = np.empty((len(at), len(offsets)), np.int64)
        rows = max(1, _CHUNK_CELLS // len(offsets))
        for first in range(0, len(at), rows):
            part = slice(first, first + rows)
            found[part] = cells[at[part, None] + offsets[None, :]]
        return found, found >= 0

    def _nearest(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return for each set the nearest sets, itself included, as shares of each range."""
        n_sets = len(self._places)
        widths = np.maximum(np.array(self._sizes, np.float64) - 1.0, 1.0)
        scaled = self._places / widths
        n_varied = sum(size > 1 for size in self._sizes)
        n_nearest = min(n_sets, 2 * n_varied + 3)
        found = np.empty((n_sets, n_nearest), np.int64)
        rows = max(1, _CHUNK_CELLS // max(n_sets, 1))
        for first in range(0, n_sets, rows):
            part = scaled[first : first + rows]
            distance = np.zeros((len(part), n_sets))
            for k in range(scaled.shape[1]):
                distance += (part[:, k, None] - scaled[None, :, k]) ** 2
            # Stable, so that equal distances are broken by the order of the sets.
            found[first : first + rows] = np.argsort(distance, axis=1, kind="stable")[:, :n_nearest]
        return found, np.ones(found.shape, bool)

    def choose(self, scores: FloatArray) -> Choice:
        """Choose a plateau and a peak by scores; see `choose`."""
        scores = np.where(np.isfinite(scores), scores, np.nan).astype(np.float64)
        plateau = self._plateau_scores(scores)
        i_plateau, i_peak = _best(plateau, scores), _best(scores, plateau)
        return Choice(
            i_plateau, i_peak, scores, plateau, self._present.sum(axis=1), self.by_steps,
            self._around(i_plateau), self._around(i_peak),
        )  # fmt: skip

    def _around(self, place: int) -> NDArray[np.int64]:
        if place < 0:
            return np.zeros(0, np.int64)
        return np.sort(self._neighbours[place][self._present[place]])

    def _plateau_scores(self, scores: FloatArray) -> FloatArray:
        defined = np.isfinite(scores)
        if not defined.any():
            return np.full(len(scores), math.nan)
        worst_of_all = float(scores[defined].min())
        filled = np.where(defined, scores, worst_of_all)
        n_around = self._neighbours.shape[1]
        rank = int(QUANTILE * (n_around - 1))
        result = np.empty(len(scores))
        rows = max(1, _CHUNK_CELLS // n_around)
        for first in range(0, len(scores), rows):
            part = slice(first, first + rows)
            around = np.where(self._present[part], filled[self._neighbours[part]], np.inf)
            worst = around.min(axis=1, keepdims=True)
            around = np.where(self._present[part], around, worst)
            result[part] = np.partition(around, rank, axis=1)[:, rank]
        result[~defined] = math.nan
        return result


def _best(first: FloatArray, then: FloatArray) -> int:
    """Return the place of the highest value, equal ones by the other array, then the first."""
    if not np.isfinite(first).any():
        return -1
    top = np.flatnonzero(first == np.nanmax(first))
    return int(top[np.argmax(then[top])])


def telling(
    values: Mapping[str, Sequence[float]],
    sets: Sequence[Mapping[str, float]],
    shown: FloatArray,
) -> dict[str, float]:
    """Tell how much of a figure's variance each parameter explains by itself, most first.

    Epsilon squared of an analysis of variance by all parameters without
    interactions: the share that a parameter's groups explain, less what as many
    groups explain of the rest by chance. Exact on a whole grid; where sets are
    scattered, what parameters share is counted for each of them. Kelley (1935),
    An Unbiased Correlation Ratio Measure, PNAS 21 (9).

    Parameters
    ----------
    values : mapping
        The values of each parameter; those with a single one are left out.
    shown : float64 array, shape (n_sets,)
        NaN where the figure is not defined: such sets don't count.

    Returns
    -------
    dict of parameter to float
        0 to 1; equal ones by their number of values, then as given.
    """
    known = np.isfinite(shown)
    y = shown[known]
    varied = [name for name, own in values.items() if len(set(own)) > 1]
    between, n_groups = {}, {}
    for name in varied:
        x = np.array([one[name] for one in sets], np.float64)[known]
        _, group = np.unique(x, return_inverse=True)
        n = np.bincount(group)
        means = np.bincount(group, y) / n
        between[name] = float((n * (means - y.mean()) ** 2).sum()) if len(y) else 0.0
        n_groups[name] = len(n)
    total = float(((y - y.mean()) ** 2).sum()) if len(y) else 0.0
    n_free = len(y) - 1 - sum(n - 1 for n in n_groups.values())
    rest = max(total - sum(between.values()), 0.0) / n_free if n_free > 0 else 0.0
    found = {
        name: max(between[name] - (n_groups[name] - 1) * rest, 0.0) / total if total > 0.0 else 0.0
        for name in varied
    }
    return dict(sorted(found.items(), key=lambda item: (-item[1], -len(set(values[item[0]])))))


def explain(
    choice: Choice, sets: Sequence[Mapping[str, float]], objective: str, sign: float = 1.0
) -> str:
    """Say in a sentence or two why the plateau was chosen, and what the peak is.

    Parameters
    ----------
    sign : float
        -1 where less of the figure is better, since scores are turned then.
    """
    if choice.i_plateau < 0:
        return f"No set has a {objective} to choose by."
    i, j = choice.i_plateau, choice.i_peak
    side = "at least" if sign > 0 else "at most"
    around = "within one step" if choice.by_steps else "nearest"
    text = (
        f"{words(sets[i])}: three quarters of the {int(choice.n_neighbours[i])} sets {around} "
        f"(itself included) have a {objective} of {side} "
        f"{sign * choice.plateau_scores[i]:.4g}; its own is {sign * choice.scores[i]:.4g}."
    )
    if i == j:
        return text + " It is the peak, too."
    return text + (
        f" The peak is {words(sets[j])} with {sign * choice.scores[j]:.4g}, "
        f"but {sign * choice.plateau_scores[j]:.4g} around it."
    )


def words(values: Mapping[str, float]) -> str:
    """Write a set as ``length 14, oversold 30``."""
    return ", ".join(f"{name} {value:g}" for name, value in values.items())
