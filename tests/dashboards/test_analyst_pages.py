"""Each page of the analysts' app: with nothing, one, two, quiet and damaged results."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from foundation.home import CHECKOUT
from research.ranges import decision_range, reason_counts
from research.results import Table, open_result
from tests.dashboards.conftest import FIRST, QUIET, SECOND

VIEWS = ("Overview", "Price", "Trades", "Orders and fills", "Why no trade", "Report")


def said(app: AppTest) -> str:
    """Return all words of a page that aren't in tables or charts."""
    parts = [*app.title, *app.subheader, *app.caption, *app.markdown, *app.warning, *app.info]
    return "\n".join(str(part.value) for part in [*parts, *app.error])


def charts_of(app: AppTest) -> list[dict]:
    """Return the charts of a page as Plotly's own JSON."""
    return [json.loads(one.proto.spec) for one in app.get("plotly_chart")]


@pytest.mark.parametrize("page", ["", "compare", "backtest", "sweep"])
def test_empty_home_says_which_command_brings_something(home, open_page, page):
    app = open_page(page)
    assert not app.exception
    command = "quarterdeck sweep" if page == "sweep" else "quarterdeck backtest"
    assert command in said(app)


@pytest.mark.parametrize("page", ["", "compare", "backtest"])
def test_every_page_says_as_of_when_in_utc(put, open_page, page):
    put(FIRST, SECOND)
    app = open_page(page)
    assert not app.exception
    assert any("as of 20" in one.value and one.value.endswith(" UTC") for one in app.caption)


def test_results_lists_key_figures_in_percent(put, open_page, home):
    put(FIRST)
    (table,) = open_page().dataframe
    summary = open_result(home / "results" / "average-cross" / FIRST).summary
    row = table.value.iloc[0]
    assert row["strategy"] == "average-cross"
    assert row["total_return"] == pytest.approx(summary.total_return * 100)
    assert row["max_drawdown"] == pytest.approx(-summary.max_drawdown * 100)
    assert row["n_trades"] == summary.n_trades


def test_filter_in_the_link_is_applied(put, open_page):
    put(FIRST, SECOND, QUIET)
    app = open_page("", strategy="second-cross")
    assert app.dataframe[0].value["strategy"].to_list() == ["second-cross"]
    assert app.multiselect(key="strategy").value == ["second-cross"]
    app.multiselect(key="strategy").set_value([]).run()
    assert len(app.dataframe[0].value) == 3


def test_damaged_result_is_named_and_the_others_stay(put, open_page, home):
    put(FIRST, SECOND)
    (home / "results" / "second-cross" / SECOND / "summary.json").write_text("{not json")
    app = open_page()
    assert not app.exception
    assert app.dataframe[0].value["strategy"].to_list() == ["average-cross"]
    assert "is not a summary" in said(app)
    assert SECOND in said(app)


def test_result_without_its_tables_is_not_offered(put, open_page, home):
    put(FIRST)
    (home / "results" / "average-cross" / FIRST / "equity.parquet").unlink()
    app = open_page()
    assert not app.dataframe
    assert "missing: equity.parquet" in said(app).replace("\\", "")


@pytest.mark.parametrize("view", VIEWS)
def test_damaged_table_is_one_line_not_a_traceback(put, open_page, home, view):
    put(FIRST)
    for table in Table:
        (home / "results" / "average-cross" / FIRST / table.file_name).write_bytes(b"PAR1 no")
    app = open_page("backtest", run=FIRST, view=view)
    assert not app.exception
    assert len(app.error) == 1
    assert "cannot be read" in app.error[0].value


def test_compare_needs_two(put, open_page):
    put(FIRST)
    app = open_page("compare")
    assert not app.exception
    assert "Only one backtest is stored" in said(app)


def test_compare_rebases_both_to_100_and_tells_what_differs(put, open_page):
    put(FIRST, SECOND)
    app = open_page("compare", run=[FIRST, SECOND])
    assert not app.exception
    (chart,) = charts_of(app)
    names = [trace["name"] for trace in chart["data"] if trace["yaxis"] == "y"]
    assert names == ["average-cross", "second-cross"]
    figures = app.dataframe[0].value.set_index("Figure")
    assert figures.loc["Trades", "average-cross"] != figures.loc["Trades", "second-cross"]
    assert figures.loc["Starting cash", "average-cross"].replace("\u202f", " ") == "100,000.00 USD"
    runs, documents = (table.value for table in app.table)
    assert runs.loc["parameters.fast"].to_list() == ["10", "5"]
    assert documents.loc["enter_long"].to_list() == [
        "fast > slow and rising(close, 1)", "fast > slow",
    ]  # fmt: skip
    assert "parameters.slow" not in runs.index


def test_unknown_run_in_a_link_is_said_and_another_shown(put, open_page):
    put(FIRST)
    app = open_page("backtest", run="ffffffffffff")
    assert not app.exception
    assert "ffffffffffff" in app.warning[0].value
    assert app.query_params["run"] == FIRST


def test_link_can_not_name_a_path(put, open_page, home):
    put(FIRST)
    app = open_page("backtest", run=f"../../results/average-cross/{FIRST}")
    assert app.query_params["run"] == FIRST


@pytest.mark.parametrize("run_id", [FIRST, QUIET])
@pytest.mark.parametrize("view", VIEWS)
def test_every_view_opens_with_and_without_trades(put, open_page, run_id, view):
    put(run_id)
    app = open_page("backtest", run=run_id, view=view)
    assert not app.exception
    assert not app.error


def test_no_trade_leads_to_the_reasons(put, open_page):
    put(QUIET)
    app = open_page("backtest", run=QUIET, view="Trades")
    assert "No trade was closed" in said(app)
    assert "Why no trade" in said(app)


def test_trades_table_has_every_trade_and_filters(put, open_page, home):
    put(FIRST)
    app = open_page("backtest", run=FIRST, view="Trades")
    trades = open_result(home / "results" / "average-cross" / FIRST).trades()
    table = app.dataframe[0].value
    assert len(table) == trades.height
    assert table["net_profit"].sum() == pytest.approx(trades["net_profit"].sum())
    app.multiselect(key="-symbol").set_value(["BRVO"]).run()
    assert set(app.dataframe[0].value["symbol"]) == {"BRVO"}


def test_price_range_in_the_link_limits_what_is_drawn(put, open_page):
    put(FIRST)
    app = open_page(
        "backtest", run=FIRST, view="Price", symbol="BRVO", range=["2005-03-01", "2005-03-31"]
    )
    assert not app.exception
    (chart,) = charts_of(app)
    close = next(trace for trace in chart["data"] if trace["name"] == "Close")
    assert close["x"][0] == "2005-03-01"
    assert close["x"][-1] == "2005-03-31"
    assert "BRVO" in chart["layout"]["title"]["text"]


def test_reasons_of_the_range_add_up_to_its_bars(put, open_page, home):
    put(FIRST)
    result = open_result(home / "results" / "average-cross" / FIRST)
    start, end = date(2005, 3, 1), date(2005, 6, 30)
    counts = reason_counts(result, "ALFA", start, end)
    rows = decision_range(result, "ALFA", start, end)
    assert counts["n_bars"].sum() == rows.height
    assert rows["session"].min() == start
    assert rows["session"].max() == end
    app = open_page(
        "backtest", run=FIRST, view="Why no trade", symbol="ALFA",
        range=["2005-03-01", "2005-06-30"],
    )  # fmt: skip
    bars = charts_of(app)[0]["data"][0]
    assert bars["type"] == "bar"
    assert f"{rows.height:,} bars" in charts_of(app)[0]["layout"]["title"]["subtitle"]["text"]


def test_chosen_bar_shows_each_terms_value_and_reason(put, open_page, home):
    put(FIRST)
    result = open_result(home / "results" / "average-cross" / FIRST)
    rows = result.decisions("ALFA").filter(
        (pl.col("reason") == "condition_false") & pl.col("enter_long").not_()
    )
    row = rows.row(5, named=True)
    app = open_page(
        "backtest", run=FIRST, view="Why no trade", symbol="ALFA",
        bar=f"{row['ts']:%Y-%m-%dT%H:%M:%SZ}",
    )  # fmt: skip
    text = said(app)
    assert f"{row['ts']:%Y-%m-%d %H:%M} UTC" in text.replace("\\", "")
    assert "No entry condition was true." in text
    words = {True: "true", False: "false", None: "unknown"}
    (table,) = [one.value for one in app.markdown if one.value.startswith("| Condition")]
    terms = [name for name in row if name.startswith("enter_long[")]
    assert len(terms) == 2
    for name in terms:
        (line,) = [x for x in table.splitlines() if f"`{name.split(': ')[1]}`" in x]
        assert line.rstrip(" |").endswith(words[row[name]])
    (values,) = [one.value for one in app.markdown if one.value.startswith("| Indicator")]
    indicators = [name for name in row if name.startswith("indicator: ")]
    assert len(values.splitlines()) == 2 + len(indicators)


def test_next_steps_to_the_next_bar_with_the_reason(put, open_page, home):
    put(FIRST)
    result = open_result(home / "results" / "average-cross" / FIRST)
    rows = result.decisions("ALFA")
    entries = rows.filter(pl.col("action") == "enter_long")["ts"]
    app = open_page(
        "backtest", run=FIRST, view="Why no trade", symbol="ALFA",
        bar=f"{rows['ts'][0]:%Y-%m-%dT%H:%M:%SZ}",
    )  # fmt: skip
    app.selectbox(key="step").set_value("enter_long").run()
    for expected in (entries[0], entries[1]):
        (button,) = [one for one in app.button if one.label == "Next"]
        button.click().run()
        assert app.query_params["bar"] == f"{expected:%Y-%m-%dT%H:%M:%SZ}"
    assert "An entry to the long side was decided." in said(app)


def make_sweep(home: Path) -> pl.DataFrame:
    rows = pl.DataFrame(
        [
            {"length": float(a), "level": float(b), "sharpe": a * 0.1 - b * 0.01,
             "max_drawdown": b / 100, "n_trades": a + b}
            for a in (5, 10, 14) for b in (20, 30)
        ]
    )  # fmt: skip
    folder = home / "sweeps" / "average-cross" / "abcdefabcdef"
    folder.mkdir(parents=True)
    rows.write_parquet(folder / "sweep.parquet")
    about = {"strategy": "average-cross", "version_hash": "9b", "parameters": ["length", "level"],
             "currency": "USD"}  # fmt: skip
    (folder / "sweep.json").write_text(json.dumps(about))
    return rows


def test_sweep_draws_two_parameters_and_ranks_the_sets(home, open_page):
    make_sweep(home)
    app = open_page("sweep")
    assert not app.exception
    (chart,) = charts_of(app)
    heat = chart["data"][0]
    assert heat["type"] == "heatmap"
    assert heat["x"] == ["5", "10", "14"]
    assert heat["y"] == ["20", "30"]
    best = app.dataframe[0].value.iloc[0]
    assert (best["length"], best["level"]) == (14, 20)


def test_sweep_marks_the_plateau_and_the_peak_and_says_why(home, open_page):
    make_sweep(home)
    path = home / "sweeps" / "average-cross" / "abcdefabcdef" / "sweep.json"
    about = json.loads(path.read_text()) | {
        "choice": {
            "objective": "sharpe",
            "why": "length 10, level 20: three quarters of the sets around it do well.",
            "plateau": {"values": {"length": 10.0, "level": 20.0}},
            "peak": {"values": {"length": 14.0, "level": 20.0}},
        }
    }
    path.write_text(json.dumps(about))
    app = open_page("sweep")
    assert not app.exception
    (chart,) = charts_of(app)
    marks = {one["name"]: (one["x"], one["y"]) for one in chart["data"][1:]}
    assert marks == {"Plateau": (["10"], ["20"]), "Peak": (["14"], ["20"])}
    assert "three quarters of the sets around it do well" in said(app)
    # The length explains nearly all of the Sharpe ratio, so it goes across; it may be changed.
    assert app.selectbox(key="x").value == "length"


def test_parameter_that_tells_most_is_drawn_across(home, open_page):
    rows = make_sweep(home)
    folder = home / "sweeps" / "average-cross" / "abcdefabcdef"
    rows.with_columns(sharpe=pl.col("level") * 1.0).write_parquet(folder / "sweep.parquet")
    about = json.loads((folder / "sweep.json").read_text())
    about["choice"] = {"objective": "sharpe", "why": "", "plateau": None, "peak": None}
    (folder / "sweep.json").write_text(json.dumps(about))
    app = open_page("sweep")
    assert not app.exception
    assert app.selectbox(key="x").value == "level"


def test_sweep_ranks_a_drawdown_from_the_smallest(home, open_page):
    make_sweep(home)
    app = open_page("sweep", figure="Max. drawdown")
    assert app.selectbox(key="figure").value == "max_drawdown"
    assert app.dataframe[0].value.iloc[0]["level"] == 20


def test_damaged_sweep_is_said(home, open_page):
    make_sweep(home)
    folder = home / "sweeps" / "average-cross" / "abcdefabcdef"
    (folder / "sweep.parquet").write_bytes(b"PAR1 no")
    app = open_page("sweep")
    assert not app.exception
    assert "cannot be read" in app.error[0].value
    (folder / "sweep.json").write_text("{")
    app = open_page("sweep")
    assert not app.exception
    assert "holds no whole sweep" in app.warning[0].value


def test_app_needs_neither_numba_nor_dagster():
    code = (
        "import sys, dashboards.overview_view, dashboards.price_view, dashboards.trades_view,"
        " dashboards.why_view, dashboards.report_view, research.comparison, research.figures;"
        " print(sorted({'numba', 'dagster'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_server_has_imported_what_pages_need_before_somebody_waits():
    code = (
        "import sys; from importlib import import_module; import dashboards.serve as serve;"
        " import streamlit.web.cli;"
        " [import_module(name) for name in serve.NEEDED_BY_PAGES]; before = set(sys.modules);"
        " import dashboards.overview_view, dashboards.price_view, dashboards.trades_view,"
        " dashboards.why_view, dashboards.report_view, research.comparison, research.figures;"
        " late = {name.split('.')[0] for name in set(sys.modules) - before};"
        " print(sorted(late - {'dashboards', 'streamlit'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
