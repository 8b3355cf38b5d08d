"""A plateau is chosen and not a peak; what isn't there counts against a set."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from research.plateau import Pick, choose, explain


def grid(n_x: int, n_y: int) -> tuple[dict[str, tuple[float, ...]], list[dict[str, float]]]:
    values = {"x": tuple(float(i) for i in range(n_x)), "y": tuple(float(i) for i in range(n_y))}
    return values, [{"x": x, "y": y} for x, y in itertools.product(*values.values())]


def test_lonely_peak_is_passed_over_for_a_broad_plateau():
    values, sets = grid(9, 9)
    scores = np.zeros((9, 9))
    scores[1, 1] = 5.0
    scores[5:8, 5:8] = 2.0
    found = choose(values, sets, scores.ravel())
    assert sets[found.i_peak] == {"x": 1.0, "y": 1.0}
    assert sets[found.i_plateau] == {"x": 6.0, "y": 6.0}
    assert found.chosen(Pick.PLATEAU) == found.i_plateau
    assert found.chosen(Pick.PEAK) == found.i_peak


def test_score_is_the_lower_quartile_of_the_sets_within_one_step():
    values, sets = grid(3, 3)
    found = choose(values, sets, np.arange(9, dtype=float))
    # Nine values 0 to 8 around the middle: a quarter of the way is the third lowest.
    assert found.plateau_scores[4] == 2.0
    # The corner knows 0, 1, 3 and 4; its five missing neighbours count as 0.
    assert found.plateau_scores[0] == 0.0
    assert found.n_neighbours.tolist() == [4, 6, 4, 6, 9, 6, 4, 6, 4]


def test_corner_is_not_favoured_for_having_few_neighbours():
    values, sets = grid(7, 7)
    scores = np.full((7, 7), 1.0)
    # A corner whose four are all good but one, and a middle with the same share of bad ones.
    scores[:2, :2] = 3.0
    scores[0, 1] = 0.5
    scores[3:6, 3:6] = 3.0
    scores[3, 3] = scores[3, 4] = 0.5
    found = choose(values, sets, scores.ravel())
    assert sets[found.i_plateau] == {"x": 4.0, "y": 4.0}
    assert found.plateau_scores[0] == 0.5


def test_undefined_neighbours_count_as_the_worst_of_all():
    values, sets = grid(5, 1)
    scores = np.array([1.0, math.nan, 9.0, math.nan, 1.5])
    found = choose(values, sets, scores)
    assert found.plateau_scores[2] == 1.0
    assert sets[found.i_peak] == {"x": 2.0, "y": 0.0}
    assert math.isnan(found.plateau_scores[1])


def test_nothing_is_chosen_where_nothing_is_defined():
    values, sets = grid(2, 2)
    found = choose(values, sets, np.full(4, math.nan))
    assert (found.i_plateau, found.i_peak) == (-1, -1)
    assert "No set has a sharpe" in explain(found, sets, "sharpe")


def test_scattered_sets_are_judged_by_the_nearest_ones():
    values = {name: tuple(float(i) for i in range(100)) for name in ("x", "y")}
    around = [(50, 50), (51, 50), (49, 50), (50, 51), (50, 49), (52, 51), (48, 49)]
    lonely = [(10, 10), (12, 80), (85, 15), (30, 5), (90, 90), (5, 60), (70, 95)]
    sets = [{"x": float(x), "y": float(y)} for x, y in around + lonely]
    scores = np.array([2.0] * 7 + [5.0] + [0.0] * 6)
    found = choose(values, sets, scores)
    assert not found.by_steps
    assert sets[found.i_peak] == {"x": 10.0, "y": 10.0}
    assert scores[found.i_plateau] == 2.0


def test_words_say_why_and_name_the_peak_beside_it():
    values, sets = grid(9, 9)
    scores = np.zeros((9, 9))
    scores[1, 1], scores[5:8, 5:8] = 5.0, 2.0
    text = explain(choose(values, sets, scores.ravel()), sets, "sharpe")
    assert text == (
        "x 6, y 6: three quarters of the 9 sets within one step (itself included) have a sharpe of "
        "at least 2; its own is 2. The peak is x 1, y 1 with 5, but 0 around it."
    )


@given(
    st.integers(1, 6), st.integers(1, 6), st.randoms(use_true_random=False),
)  # fmt: skip
def test_plateau_never_scores_above_the_best_of_its_neighbours(n_x, n_y, random):
    values, sets = grid(n_x, n_y)
    scores = np.array([random.choice([math.nan, random.uniform(-3, 3)]) for _ in sets])
    found = choose(values, sets, scores)
    for i, one in enumerate(sets):
        beside = [
            scores[j]
            for j, other in enumerate(sets)
            if all(abs(other[k] - one[k]) <= 1 for k in one) and math.isfinite(scores[j])
        ]
        if math.isfinite(scores[i]):
            assert found.plateau_scores[i] <= max(beside)
            assert found.plateau_scores[i] >= np.nanmin(scores)
        else:
            assert math.isnan(found.plateau_scores[i])


@pytest.mark.parametrize("n", [1, 2])
def test_a_grid_of_one_or_two_sets_has_a_choice(n):
    values, sets = grid(n, 1)
    found = choose(values, sets, np.arange(n, dtype=float))
    assert found.i_peak == n - 1
    assert found.i_plateau in range(n)
