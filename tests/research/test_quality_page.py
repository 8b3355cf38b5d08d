"""The page about data quality: its charts by their data, and itself in a browser without network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from market_data.building import dated_actions
from market_data.calendars import compute_sessions
from market_data.columns import BarColumns
from market_data.quality.checking import Checked
from market_data.quality.limits import LIMITS
from market_data.quality.returns import returns_in_sigmas
from research import data_charts, look
from research.look import Theme
from research.quality_page import (
    SeriesOnPage,
    findings_frame,
    most_concerned,
    page_figures,
    render_quality_page,
    write_quality_page,
)
from tests.conftest import missing
from tests.market_data import corrupting

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


@pytest.fixture(scope="module")
def table():
    return compute_sessions("XNYS", date(2022, 1, 1), date(2025, 1, 31))


@pytest.fixture(scope="module")
def series(table) -> list[SeriesOnPage]:
    """Return four checked series: one sound, three with a defect each."""
    made = []
    for i, (symbol, plant) in enumerate((
        ("SOUND", None), ("SPIKED", corrupting.misprint), ("HOLES", corrupting.drop_session),
        ("PENCE", corrupting.change_unit),
    )):  # fmt: skip
        columns = corrupting.sound_days(table, i)
        if plant is not None:
            columns = plant(columns, table, np.random.default_rng([i, 1])).columns
        found = corrupting.found_in(columns, table, "1d")
        checked = Checked(
            symbol, "1d", "XNYS", columns.n_bars, int(columns.ts[0]), int(columns.ts[-1]),
            tuple(replace(one, symbol=symbol) for one in found),
        )  # fmt: skip
        made.append(SeriesOnPage.drawn(checked, columns, table))
    return made


def test_the_overview_counts_findings_by_series_and_check_with_the_worst_colour(series):
    findings = findings_frame([f for one in series for f in one.checked.findings])
    figure = data_charts.overview_chart(findings, [one.name for one in series])
    grid = figure.data[0]
    assert list(grid.y) == ["SPIKED 1d", "HOLES 1d", "PENCE 1d"]
    column = list(grid.x).index("wrong unit")
    assert grid.text[2][column] == "1"
    assert grid.z[2][column] == 3
    assert figure.layout.title.subtitle.text.startswith("1 of 4 series without any finding")


def test_an_overview_of_nothing_says_so():
    figure = data_charts.overview_chart(findings_frame([]), ["A 1d"])
    assert figure.layout.annotations[0].text == "Nothing was found"


def test_coverage_is_the_share_of_what_is_scheduled():
    frame = pl.DataFrame(
        {"year": [2023, 2023, 2024], "month": [1, 12, 2], "there": [10, 20, 0],
         "scheduled": [20, 20, 21]}
    )  # fmt: skip
    figure = data_charts.coverage_chart(frame, name="X 1d")
    assert figure.data[0].z[0][0] == 50.0
    assert figure.data[0].z[0][11] == 100.0
    assert figure.data[0].z[1][1] == 0.0
    assert np.isnan(figure.data[0].z[1][0])
    assert figure.layout.title.subtitle.text == "30 of 61 scheduled; % by month"


def test_findings_are_marked_at_their_bars_and_misprints_do_not_flatten_the_price(series):
    spiked = series[3]
    findings = findings_frame(spiked.checked.findings)
    prices = pl.DataFrame({"ts": spiked.columns.ts, "close": spiked.columns.prices[3]})
    prices = prices.with_columns(pl.from_epoch("ts", "ns").dt.replace_time_zone("UTC"))
    figure = data_charts.findings_chart(prices, findings, name="PENCE 1d")
    marks = next(trace for trace in figure.data if trace.name == "Error")
    assert list(marks.x) == [f"{findings['first_ts'][0]:%Y-%m-%d %H:%M}"]
    assert "wrong unit" in marks.text[0]
    assert marks.marker.color == data_charts.SEVERITY_COLOURS["error"]


def test_moves_beyond_the_limit_are_counted_and_drawn_apart():
    steps = np.append(np.random.default_rng(1).standard_normal(999), [25.0, -30.0])
    figure = data_charts.return_chart(steps, 16.0, name="X 1d")
    assert figure.layout.title.subtitle.text.startswith("1,001 moves, 2 beyond 16")
    beyond = next(trace for trace in figure.data if trace.name == "Beyond")
    assert sum(beyond.y) == 2


def test_moves_over_known_splits_are_within_the_limit(table):
    # 4 for 1 is 139 % in logarithms, far beyond 16 sigmas of 1 to 3 %.
    columns = corrupting.sound_days(table, 4)
    split = columns.prices.copy()
    split[:4, 100:] /= 4.0
    split[4, 100:] *= 4.0
    columns = replace(columns, prices=split, bid=None, ask=None)
    on = date.fromordinal(int(columns.session[100]) + 719_163)
    bare = returns_in_sigmas(columns, table, "1d")
    assert np.flatnonzero(np.abs(bare) > LIMITS.jump).tolist() == [99]
    known = returns_in_sigmas(columns, table, "1d", dated_actions([(on, 4.0, 0.0)]))
    assert known.shape == (columns.n_bars - 1,)
    assert np.abs(known).max() < LIMITS.jump
    checked = Checked("X", "1d", "XNYS", columns.n_bars, int(columns.ts[0]), int(columns.ts[-1]),
                      (), dated_actions([(on, 4.0, 0.0)]))  # fmt: skip
    page = SeriesOnPage.drawn(checked, columns, table)
    figure = page_figures([page], [])["moves-0"]
    assert ", 0 beyond 16" in figure.layout.title.subtitle.text


def test_there_is_no_move_from_one_company_to_the_next(table):
    days = corrupting.sound_days(table, 1)
    later = days.select(slice(250, None))
    later = replace(later, prices=later.prices * np.array([[0.3]] * 4 + [[40.0]]))
    both = BarColumns.from_tables(
        [replace(one, bid=None, ask=None, halted=None).to_table()
         for one in (days.select(slice(0, 150)), later)]
    )  # fmt: skip
    moves = returns_in_sigmas(both, table, "1d")
    assert moves.shape == (both.n_bars - 2,)
    assert np.abs(moves).max() < LIMITS.jump


def test_impossible_prices_and_bars_in_no_session_make_no_moves(table):
    days = corrupting.sound_days(table, 1)
    prices = days.prices.copy()
    prices[3, 50], prices[2, 60], prices[0, 70] = 0.0, np.nan, -1.0
    assert returns_in_sigmas(replace(days, prices=prices), table, "1d").shape == (days.n_bars - 4,)
    nothing = replace(days, prices=np.full_like(prices, np.nan))
    assert returns_in_sigmas(nothing, table, "1d").shape == (0,)


def test_charts_take_the_look_of_the_theme():
    light = data_charts.return_chart(np.zeros(5) + 0.1, 16.0)
    dark = data_charts.return_chart(np.zeros(5) + 0.1, 16.0, theme=Theme.DARK)
    assert light.layout.template.layout.font.color == look.GROUNDS[Theme.LIGHT].text
    assert dark.layout.template.layout.font.color == look.GROUNDS[Theme.DARK].text


def test_the_series_with_the_worst_findings_are_drawn(series):
    chosen = most_concerned([one.checked for one in series], 2)
    assert [one.symbol for one in chosen] == ["SPIKED", "PENCE"]


def test_the_same_findings_give_the_same_bytes(series):
    one, other = (render_quality_page(series, title="Test") for _ in range(2))
    assert one == other


def test_text_of_a_finding_can_not_end_the_script(series):
    evil = replace(series[1].checked.findings[0], evidence="</script><script>alert(1)</script>")
    page = render_quality_page(
        [SeriesOnPage(replace(series[1].checked, findings=(evil,)))], title="<b>x</b>"
    )
    assert "alert(1)</script>" not in page
    assert "<b>x</b>" not in page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        missing("Chromium", "apt-get install chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module", params=["light", "dark"])
def page(request, browser, series, tmp_path_factory) -> Iterator[Page]:
    path = tmp_path_factory.mktemp("page") / "quality.html"
    write_quality_page(path, series, title="Four series")
    context = browser.new_context(
        offline=True, viewport={"width": 1280, "height": 900}, color_scheme=request.param
    )
    context.set_default_timeout(120_000)
    opened = context.new_page()
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    asked: list[str] = []
    opened.on("request", lambda made: asked.append(made.url))
    opened.goto(path.as_uri())
    opened.wait_for_selector("html[data-ready=true]")
    yield opened
    if "SCREENSHOTS" in os.environ:
        folder = Path(os.environ["SCREENSHOTS"])
        opened.screenshot(path=folder / f"quality-{request.param}.png", full_page=True)
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    context.close()


def test_every_chart_is_drawn_and_nothing_is_wider_than_the_page(page):
    # The overview, and price, coverage and moves of each of four series.
    assert page.locator(".chart").count() == 13
    assert page.locator(".chart .main-svg").count() >= 13
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_table_is_filtered_by_severity_check_and_words(page):
    rows = page.locator("#finding-table tbody tr")
    assert rows.count() == 3
    page.select_option("#severity", "error")
    assert rows.count() == 2
    page.select_option("#check", "wrong unit")
    assert rows.count() == 1
    assert "PENCE 1d" in rows.first.inner_text()
    page.select_option("#check", "")
    page.fill("#search", "spiked")
    assert rows.count() == 1
    page.fill("#search", "nothing like it")
    assert page.locator("#finding-table tbody").inner_text() == "No finding matches."
    page.fill("#search", "")
    page.select_option("#severity", "")


def test_the_button_changes_the_theme(page):
    before = page.evaluate("document.documentElement.dataset.theme")
    page.click("#theme")
    assert page.evaluate("document.documentElement.dataset.theme") != before
    page.click("#theme")
