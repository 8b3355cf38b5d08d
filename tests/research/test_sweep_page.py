"""The page of a sweep: heat maps with plateau and peak, neighbours, what each parameter tells."""

from __future__ import annotations

import numpy as np
import pytest

from research.backtest import BacktestRequest
from research.plateau import choose, telling
from research.plateau_charts import plateau_chart
from research.study_runs import run_recorded_sweep
from research.sweep_choice import ChoiceOptions
from research.sweep_page import sweep_page
from strategies.studies import find_locks
from tests.research.study_bars import TREND, noise_store
from trading.document import load_document

VALUES = {"fast": (3.0, 4.0, 5.0, 6.0, 7.0), "slow": (20.0, 25.0, 30.0, 35.0)}


def grid(**values):
    names = list(values)
    cells = np.array(np.meshgrid(*values.values(), indexing="ij")).reshape(len(names), -1).T
    return [dict(zip(names, row.tolist(), strict=True)) for row in cells]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return noise_store(tmp_path_factory.mktemp("noise"), 600, 2)


def swept(engine, store, home):
    request = BacktestRequest(load_document(TREND))
    return run_recorded_sweep(engine, request, VALUES, store, ChoiceOptions(), home=home)


def test_sweep_writes_a_page_that_names_and_marks_plateau_and_peak(engine, store, tmp_path):
    written = swept(engine, store, tmp_path)
    assert sorted(path.name for path in written.directory.iterdir()) == [
        "study.html", "sweep.json", "sweep.parquet",
    ]  # fmt: skip
    page = (written.directory / "study.html").read_text()
    choice = written.about["choice"]
    assert choice["why"] in page
    assert choice["plateau"]["values"] != choice["peak"]["values"]
    for text in ('"name":"Plateau"', '"name":"Peak"', "The plateau and the sets around it"):
        assert text in page
    assert "http://" not in page.split("<script>")[0]


def test_neighbours_on_the_page_are_the_sets_within_one_step(engine, store, tmp_path):
    written = swept(engine, store, tmp_path)
    study, about = written.study, written.about["choice"]
    choice = choose(study.values, study.sets, np.array([one.sharpe for one in study.figures]))
    from research.study_record import alone
    from research.sweep_choice import sweep_trials

    page = sweep_page(study, choice, ChoiceOptions(), alone(sweep_trials(study)), about)
    grids = {one.title: one for one in page.sections[0].grids}
    rows = grids["The peak and the sets around it"].rows
    peak = about["peak"]["values"]
    near = {
        (f"{one['fast']:g}", f"{one['slow']:g}")
        for one in study.sets
        if abs(one["fast"] - peak["fast"]) <= 1.0 and abs(one["slow"] - peak["slow"]) <= 5.0
    }
    assert {row[1:3] for row in rows} == near
    assert rows[0][:3] == ("itself", f"{peak['fast']:g}", f"{peak['slow']:g}")
    assert [row[0] for row in rows[1:]] == sorted(row[0] for row in rows[1:])


def test_same_sweep_writes_the_same_page(engine, store, tmp_path):
    first = swept(engine, store, tmp_path)
    before = (first.directory / "study.html").read_bytes()
    assert (swept(engine, store, tmp_path).directory / "study.html").read_bytes() == before
    assert find_locks(engine) == []


def test_parameters_that_tell_most_are_drawn():
    # Of eight sets the figure is 4 b + c: b explains 16 / 17 of the variance, c 1 / 17, a nothing.
    values = {"a": (1.0, 2.0), "b": (1.0, 2.0), "c": (1.0, 2.0), "d": (5.0,)}
    sets = [{**one, "d": 5.0} for one in grid(a=(1, 2), b=(1, 2), c=(1, 2))]
    shown = np.array([4.0 * one["b"] + one["c"] for one in sets])
    found = telling(values, sets, shown)
    # By hand: the squares add up to 34, those between the groups to 32, 2 and 0; no rest is left.
    assert list(found) == ["b", "c", "a"]
    assert list(found.values()) == pytest.approx([32 / 34, 2 / 34, 0.0])
    figure = plateau_chart(values, sets, shown, objective="sharpe", i_plateau=7, i_peak=6)
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("b", "c")


def test_what_chance_explains_is_taken_off():
    # 2, 4, 3, 3: between the groups of a 0, of b 0 + 4 x 0.5 ** 2 = 1, so that of 2 the rest is 1
    # with one degree of freedom, which is what one group more explains by chance.
    sets = grid(a=(1, 2), b=(1, 2))
    found = telling({"a": (1, 2), "b": (1, 2)}, sets, np.array([2.0, 4.0, 3.0, 3.0]))
    assert found == {"a": 0.0, "b": 0.0}


def test_sets_without_the_figure_do_not_count_for_what_a_parameter_tells():
    sets = grid(a=(1, 2, 3), b=(1, 2))
    shown = np.array([float(one["a"]) for one in sets])
    shown[0] = np.nan
    found = telling({"a": (1, 2, 3), "b": (1, 2)}, sets, shown)
    assert found["a"] == pytest.approx(1.0)
    assert telling({"a": (1, 2, 3)}, sets, np.full(6, np.nan)) == {"a": 0.0}


def test_peak_outside_the_drawn_plane_is_marked_and_says_where_it_is():
    values = {"a": (1.0, 2.0), "b": (1.0, 2.0), "c": (1.0, 2.0)}
    sets = grid(**values)
    shown = np.array([4.0 * one["b"] + 2.0 * one["c"] + 0.1 * one["a"] for one in sets])
    place = {tuple(one.values()): i for i, one in enumerate(sets)}
    figure = plateau_chart(
        values, sets, shown, objective="sharpe",
        i_plateau=place[(1.0, 1.0, 2.0)], i_peak=place[(2.0, 2.0, 2.0)],
    )  # fmt: skip
    marks = {one.name: (one.x[0], one.y[0]) for one in figure.data if one.type == "scatter"}
    assert marks == {"Plateau": ("1", "2"), "Peak, at a 2": ("2", "2")}
