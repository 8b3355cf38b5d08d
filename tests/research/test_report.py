"""The report: one page that says what the result says, on its own."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

import msgspec
import polars as pl
import pytest

from foundation.errors import DataError
from research import look
from research.report import overlays_of, write_report
from research.report_content import read_content
from research.results import open_result
from research.summary import NOTE_SAME_CLOSE, Summary, encode_summary, read_summary
from tests.research.made_result import make_result


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "result"))


def page_of(directory: Path) -> str:
    write_report(directory, formats=["html"])
    return (directory / "report.html").read_text(encoding="utf-8")


def data_of(page: str) -> dict:
    found = re.search(
        r'<script id="report-data" type="application/json">(.*?)</script>', page, re.S
    )
    assert found is not None
    data = json.loads(found[1])
    for figure in data["figures"].values():
        for trace in figure["data"]:
            if isinstance(trace.get("x"), int):
                trace["x"] = data["shared"][trace["x"]]
    return data


def without_library(page: str) -> str:
    """Return the page without Plotly's own source, which names sites in its comments."""
    longest = max(re.findall(r"<script>(.*?)</script>", page, re.S), key=len)
    return page.replace(longest, "")


def change_summary(directory: Path, **changes: object) -> None:
    summary = read_summary(directory)
    for name, value in changes.items():
        setattr(summary, name, value)
    (directory / "summary.json").write_bytes(encode_summary(summary))


def notes_of(directory: Path) -> str:
    return "\n".join(note.text for note in read_content(open_result(directory)).notes)


def test_page_needs_nothing_from_outside(copied):
    page = without_library(page_of(copied))
    assert "http:" not in page
    assert "https:" not in page
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=", page)


def test_plotly_is_embedded_once_and_charts_have_fixed_names(copied):
    page = page_of(copied)
    assert page.count("plotly.js v") == 1
    places = re.findall(r'<div class="chart" id="chart-([\w-]+)"', page)
    assert places == [
        "equity", "drawdown", "exposure", "months", "years", "paths", "price-0", "price-1",
        "distribution", "excursion", "costs", "reasons",
    ]  # fmt: skip
    assert set(data_of(page)["figures"]) == set(places)


def test_the_same_result_gives_the_same_page(copied, tmp_path):
    other = Path(shutil.copytree(copied, tmp_path / "elsewhere" / "result"))
    hashes = {hashlib.sha256(page_of(one).encode()).hexdigest() for one in (copied, other)}
    assert len(hashes) == 1


def test_page_lists_every_trade_with_its_profit(copied):
    data = data_of(page_of(copied))
    trades = open_result(copied).trades().sort("exit_ts", "symbol", "trade_id")
    assert len(data["trades"]) == trades.height > 0
    profits = [row[10] for row in data["trades"]]
    assert profits == [look.number(value) for value in trades["net_profit"].to_list()]


def test_page_names_what_the_figures_rest_on(copied):
    page = page_of(copied)
    summary = read_summary(copied)
    for part in (summary.version_hash, summary.data_fingerprint, summary.engine_version,
                 summary.run_id, *summary.instruments, "slippage 1 bp"):  # fmt: skip
        assert part in page


def test_years_table_is_the_summarys(copied):
    content = read_content(open_result(copied))
    shown = [(row[0], row[1]) for row in content.years.rows]
    assert shown == [
        (str(year.year), look.percent(year.total_return)) for year in content.summary.per_year
    ]


def test_costs_lead_from_the_gross_to_the_net_result(copied):
    content = read_content(open_result(copied))
    summary = content.summary
    assert sum(amount for _, amount in content.cost_steps) == pytest.approx(
        summary.final_equity - summary.starting_cash
    )
    steps = dict(content.cost_steps)
    assert steps["Commission"] == -summary.total_commission
    assert steps["Dividends"] == summary.total_dividends


def test_text_from_outside_stays_text(copied):
    evil = '</script><script>alert("x")</script><img src=x onerror=alert(1)>'
    change_summary(copied, strategy=evil, description=evil, notes=[evil], document=evil)
    path = copied / "trades.parquet"
    pl.read_parquet(path).with_columns(exit_reason=pl.lit(evil)).write_parquet(path)
    page = page_of(copied)
    assert evil not in page
    assert "<img" not in page.replace("&lt;img", "")
    assert data_of(page)["trades"][0][14] == evil.replace("_", " ")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"fill": "same_close"}, "No live order can do that"),
        ({"sized_at": "fill"}, "computed from the fill price"),
        ({"costs": {}}, "No commission and no slippage"),
        ({"lowest_cash": -250.0}, "Cash fell to −250.00"),
        ({"n_trades": 3}, "rest on 3 closed trades"),
        ({"n_trades": 1}, "rest on 1 closed trade,"),
        ({"has_volume": False}, "carries no volume"),
        ({"n_open": 3}, "3 positions are open at the end"),
        ({"probabilistic_sharpe": 0.6}, "true Sharpe ratio is above zero is 60.0"),
        ({"annualisation": 10_000}, "yearly figures are extrapolated"),
        ({"notes": ["said by the engine"]}, "said by the engine"),
    ],
)
def test_what_limits_the_figures_is_said(copied, changes, expected):
    assert expected not in notes_of(copied)
    change_summary(copied, **changes)
    assert expected in notes_of(copied)


def test_a_fact_that_the_report_words_itself_is_not_said_twice(copied):
    change_summary(copied, fill="same_close", notes=[NOTE_SAME_CLOSE, "another"])
    texts = [note.text for note in read_content(open_result(copied)).notes]
    assert len([text for text in texts if "for comparison only" in text]) == 1
    assert "another" in texts


def test_only_what_has_the_unit_and_the_size_of_the_price_is_drawn_over_it():
    prices = pl.DataFrame(
        {
            "close": [50.0] * 9,
            "indicator: average": [48.0] * 9,
            "indicator: range": [1.5] * 9,
            "indicator: rsi": [55.0] * 9,
        }
    )
    assert overlays_of(prices, ["average", "range"]) == ["indicator: average"]
    assert overlays_of(prices, None) == ["indicator: average", "indicator: rsi"]


def test_trades_whose_sign_differs_by_path_are_counted_and_marked(copied):
    trades = open_result(copied).trades()
    n_differing = int(trades["sign_differs"].sum())
    assert n_differing > 0
    assert f"{n_differing} of {trades.height} trades end in profit on one path" in notes_of(copied)
    rows = data_of(page_of(copied))["trades"]
    assert [row[15] for row in rows].count("±") == n_differing


def test_an_interval_without_width_is_said_and_not_drawn(copied):
    summary = read_summary(copied)
    change_summary(
        copied,
        final_equity_optimistic=summary.final_equity,
        per_instrument=[
            msgspec.structs.replace(one, final_equity_optimistic=one.final_equity)
            for one in summary.per_instrument
        ],
    )
    page = page_of(copied)
    assert "chart-paths" not in page
    assert "Both orders of a bar&#39;s high and low" in page.replace("'s high", "&#39;s high")


def test_a_strategy_that_never_trades_has_a_report(tmp_path):
    directory = make_result(tmp_path / "idle", n_bars=60, trades=False, symbols=("IDLE",))
    page = page_of(directory)
    assert "The strategy closed no trade" in page
    assert data_of(page)["trades"] == []


def test_a_result_of_one_bar_has_a_report(tmp_path):
    directory = make_result(tmp_path / "one", n_bars=1, symbols=("ONE",))
    assert "1 session, less than a year" in page_of(directory)


def test_minute_bars_are_dated_to_the_minute(tmp_path):
    directory = make_result(tmp_path / "minutes", n_bars=800, timeframe="1m", symbols=("MINI",))
    data = data_of(page_of(directory))
    assert data["figures"]["equity"]["data"][0]["x"][1] == "2005-01-03 14:31"
    assert re.fullmatch(r"2005-01-\d\d \d\d:\d\d", data["trades"][0][3])


def test_a_result_without_decisions_has_a_report(copied):
    (copied / "decisions.parquet").unlink()
    page = page_of(copied)
    assert "decisions.parquet" not in page
    assert "chart-reasons" not in page
    assert data_of(page)["figures"]["price-0"]["data"][0]["name"] == "Close"


def test_many_instruments_draw_the_most_traded_and_say_so(tmp_path):
    symbols = tuple(f"S{i:02d}" for i in range(11))
    directory = make_result(tmp_path / "many", n_bars=120, symbols=symbols)
    page = page_of(directory)
    assert page.count('id="chart-price-') == 8
    assert "Prices of the 8 instruments with most trades are drawn; 3 are left out." in page


def test_a_directory_without_a_result_gets_no_report(tmp_path):
    with pytest.raises(DataError, match="holds no result"):
        write_report(tmp_path, formats=["html"])
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_format_is_named(copied):
    with pytest.raises(ValueError, match="unknown report format 'docx'; formats are html"):
        write_report(copied, formats=["html", "docx"])
    assert not (copied / "report.html").exists()


def test_progress_counts_the_formats(copied):
    told: list[tuple[int, int, str]] = []
    write_report(copied, formats=["html", "csv"], progress=lambda *step: told.append(step))
    assert [(done, total) for done, total, _ in told] == [(0, 2), (1, 2), (2, 2)]


def test_summary_needs_only_a_name_to_be_laid_out(copied):
    summary = Summary(strategy="bare", starting_cash=100_000.0, final_equity=100_000.0)
    (copied / "summary.json").write_bytes(encode_summary(summary))
    assert "bare" in page_of(copied)
