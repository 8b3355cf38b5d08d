"""The app on what the engine itself writes, over the repository's sample bars."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from foundation.home import CHECKOUT
from market_data.sample_set import load_sample
from market_data.store import Store
from research.backtest import BacktestRequest, run_backtest
from research.ranges import explain_bar, price_range
from research.results import Table, open_result
from research.writing import write_result
from trading.document import load_document


@pytest.fixture(scope="module")
def sample_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data home with the sample bars and one backtest of the first example."""
    home = tmp_path_factory.mktemp("sample-home")
    store = Store(home)
    load_sample(store)
    document = load_document(CHECKOUT / "examples" / "macd_trend.yaml")
    backtest = run_backtest(
        BacktestRequest(document, symbols=("AAPL",), start=date(2010, 1, 1)), store
    )
    write_result(backtest, home / "results" / document.name / backtest.run_id)
    return home


@pytest.mark.parametrize(
    "view", ["Overview", "Price", "Trades", "Orders and fills", "Why no trade", "Report"]
)
def test_every_view_opens(sample_home, monkeypatch, open_page, view):
    monkeypatch.setenv("QUARTERDECK_HOME", str(sample_home))
    app = open_page("backtest", view=view)
    assert not app.exception
    assert not app.error
    if view == "Price":
        kinds = [t["type"] for t in json.loads(app.get("plotly_chart")[0].proto.spec)["data"]]
        assert "candlestick" in kinds


def test_candles_are_left_out_when_stored_bars_are_others(sample_home, tmp_path):
    (directory,) = (sample_home / "results").glob("*/*")
    result = open_result(directory)
    assert "open" in price_range(result, "AAPL", None, None, sample_home).columns
    assert "open" not in price_range(result, "AAPL", None, None, tmp_path).columns


def test_a_bars_values_are_those_of_its_decision_row(sample_home):
    (directory,) = (sample_home / "results").glob("*/*")
    result = open_result(directory)
    rows = result.read(Table.DECISIONS)
    row = rows.row(400, named=True)
    bar = explain_bar(result, "AAPL", row["ts"])
    assert (bar.close, bar.position) == (row["close"], row["position"])
    for condition in bar.conditions:
        assert condition.value == row[condition.name]
        for i_term, term in enumerate(condition.terms):
            assert term.value == row[f"{condition.name}[{i_term}]: {term.text}"]
    assert dict(bar.indicators) == {
        name.removeprefix("indicator: "): row[name]
        for name in rows.columns
        if name.startswith("indicator: ")
    }
