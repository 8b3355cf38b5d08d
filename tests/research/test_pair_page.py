"""The page about two sources: its charts by their data, and itself in a browser without network."""

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

from market_data.calendars import compute_sessions
from market_data.columns import BarColumns
from market_data.pairs.comparison import PairComparison, compare_series
from market_data.pairs.matching import SourceSeries
from research import look, pair_charts
from research.look import Theme
from research.pair_page import (
    N_ROWS_SHOWN,
    bars_frame,
    pair_figures,
    render_pair_page,
    worst_grid,
    write_pair_page,
)
from tests.conftest import missing
from tests.market_data import corrupting

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
LOST, SPIKE, SPLIT = 100, 200, 300


@pytest.fixture(scope="module")
def table():
    return compute_sessions("XNYS", date(2022, 1, 1), date(2025, 1, 31))


@pytest.fixture(scope="module")
def sound(table) -> BarColumns:
    return corrupting.sound_days(table, 1)


@pytest.fixture(scope="module")
def columns(sound) -> BarColumns:
    """Return the same days as they were traded: two for one at the split."""
    prices = sound.prices.copy()
    prices[:4, :SPLIT] *= 2
    prices[4, :SPLIT] /= 2
    return BarColumns(sound.ts, sound.session, prices)


@pytest.fixture(scope="module")
def pair(table, sound, columns) -> PairComparison:
    """Compare raw days with a source that is split-adjusted, has a spike and lacks a day."""
    prices = sound.prices.copy()
    prices[1, SPIKE] *= 1.5
    keep = np.arange(columns.n_bars) != LOST
    other = BarColumns(columns.ts, columns.session, prices).select(keep)
    return compare_series(
        SourceSeries("X@raw", columns), SourceSeries("X@adjusted", other),
        timeframe="1d", sessions=table,
    )  # fmt: skip


@pytest.fixture(scope="module")
def figures(pair):
    return pair_figures(pair)


def test_every_kind_of_finding_has_its_chart(figures):
    assert list(figures) == [
        "differences", "classes", "years", "prices", "ratio", "offset", "missing-b", "volume",
    ]  # fmt: skip


def test_the_bars_of_the_charts_are_those_of_the_comparison(pair, columns):
    frame = bars_frame(pair)
    assert frame.height == columns.n_bars
    lost = frame.row(LOST, named=True)
    assert (lost["both"], lost["raw_b"], lost["class"]) == (False, None, "missing in B")
    spike = frame.row(SPIKE, named=True)
    high = columns.prices[1, SPIKE]
    assert spike["class"] == "outlier in B"
    assert spike["ticks"] == pytest.approx(0.5 * high / pair.tolerance.tick)
    assert spike["relative"] == pytest.approx(0.5 * high / columns.prices[3, SPIKE])
    # B is half of A until the split.
    assert frame["ratio"][SPLIT - 1] == pytest.approx(0.5)
    assert frame["level"][SPLIT - 1] == pytest.approx(0.5)
    assert frame["ratio"][SPLIT] == pytest.approx(1.0)


def test_an_outlier_is_marked_at_its_bar(figures, columns):
    mark = next(one for one in figures["differences"].data if one.name == "outlier in B")
    day = str(columns.session[SPIKE].astype("datetime64[D]"))
    assert [str(at)[:10] for at in mark.x] == [day]
    assert mark.marker.color == pair_charts.CLASS_COLOURS["outlier in B"]
    assert not any(one.name == "outlier in A" for one in figures["differences"].data)


def test_the_split_is_named_where_it_is(figures, columns):
    figure = figures["ratio"]
    day = str(columns.session[SPLIT].astype("datetime64[D]"))
    assert [(str(one.x), one.text) for one in figure.layout.annotations] == [(day, "2 for 1")]
    # From 0.5 to 1: on a linear axis the days before would be a line at the bottom.
    assert figure.layout.yaxis.type == "log"


def test_shares_of_classes_add_up_to_all_bars(figures, columns):
    shares = dict.fromkeys(("open", "high", "low", "close", "volume"), 0.0)
    for trace in figures["classes"].data:
        for field, share in zip(trace.y, trace.x, strict=True):
            shares[field] += share
    assert shares == pytest.approx(dict.fromkeys(shares, 1.0))
    high = next(one for one in figures["classes"].data if one.name == "outlier in B")
    assert (list(high.y), list(high.customdata)) == (["high"], [1])


def test_the_lost_day_is_in_its_week(figures, columns):
    heat = figures["missing-b"].data[0]
    day = columns.session[LOST].astype("datetime64[D]").astype(date)
    week = (day - date(day.year, 1, 1)).days // 7
    cells = np.argwhere(np.isfinite(heat.z.astype(float)))
    assert [(heat.y[row], heat.x[column]) for row, column in cells] == [(str(day.year), week + 1)]
    assert heat.z[cells[0][0], cells[0][1]] == 1


def test_the_found_shift_is_the_lowest_bar_and_green(figures):
    bar = figures["offset"].data[0]
    assert bar.x[int(np.argmin(bar.y))] == "0"
    assert bar.marker.color[list(bar.x).index("0")] == look.GREEN
    assert bar.marker.color.count(look.GREEN) == 1


def test_a_shift_that_changes_has_a_chart_in_time(table):
    # Six hours of each session, in the second half of them an hour late in B.
    hour = 3_600 * 10**9
    rows = table.between(19_724, 20_080)
    ts = np.concatenate([opened + np.arange(6) * hour for opened in rows.open.tolist()])
    session = np.repeat(rows.date, 6)
    close = 100 * np.exp(np.random.default_rng(2).normal(0, 0.003, (ts.shape[0])).cumsum())
    prices = np.stack([close] * 4 + [np.full(ts.shape[0], 100.0)])
    late = np.where(np.arange(ts.shape[0]) < 6 * (rows.date.shape[0] // 2), 0, hour)
    pair = compare_series(
        SourceSeries("A", BarColumns(ts, session, prices)),
        SourceSeries("B", BarColumns(ts + late, session, prices)),
        timeframe="1h", sessions=table,
    )  # fmt: skip
    figure = pair_figures(pair)["shifts"]
    assert list(figure.data[0].y) == [0.0, 1.0, 1.0]
    assert "Shift of time over time" in render_pair_page(pair)


def test_a_pair_without_volume_has_no_chart_of_it(table, columns):
    prices = columns.prices.copy()
    prices[4] = 0
    silent = BarColumns(columns.ts, columns.session, prices)
    pair = compare_series(
        SourceSeries("A", silent), SourceSeries("B", silent), timeframe="1d", sessions=table
    )
    figures = pair_figures(pair)
    assert "volume" not in figures
    assert not any(name.startswith("missing") for name in figures)
    assert 'href="#volume"' not in render_pair_page(pair)


def test_the_table_names_the_worst_prices_first(pair, columns):
    grid = worst_grid(pair)
    day = str(columns.session[SPIKE].astype("datetime64[D]"))
    assert grid.rows[0][:2] == (day, "high")
    assert grid.rows[0][-1] == "outlier in B"
    assert grid.rows[0][5] == look.percent(0.5, 3)
    assert len(grid.rows) == 1


def test_a_long_table_says_how_many_rows_are_left_out(table, columns):
    prices = columns.prices.copy()
    prices[1] += 2.0
    pair = compare_series(
        SourceSeries("A", columns),
        SourceSeries("B", BarColumns(columns.ts, columns.session, prices)),
        timeframe="1d", sessions=table,
    )  # fmt: skip
    grid = worst_grid(pair)
    n_all = int(pair.bars.disagreeing.sum())
    if n_all > N_ROWS_SHOWN:
        assert f"The first {N_ROWS_SHOWN} of {n_all:,}" in grid.note
    assert len(grid.rows) == min(n_all, N_ROWS_SHOWN)


def test_charts_take_the_look_of_the_theme():
    weeks = pl.DataFrame({"year": [2020], "week": [3], "bars": [2]})
    light = pair_charts.missing_chart(weeks, name="X")
    dark = pair_charts.missing_chart(weeks, name="X", theme=Theme.DARK)
    assert light.layout.template.layout.font.color == look.GROUNDS[Theme.LIGHT].text
    assert dark.layout.template.layout.font.color == look.GROUNDS[Theme.DARK].text


def test_the_same_comparison_gives_the_same_bytes(pair):
    assert render_pair_page(pair) == render_pair_page(pair)


def test_a_name_can_not_end_the_script(pair):
    evil = replace(
        pair, a=replace(pair.a, name="</script><script>alert(1)</script>"),
        findings=("<b>bold</b>",),
    )  # fmt: skip
    page = render_pair_page(evil)
    assert "alert(1)</script>" not in page
    assert "<b>bold</b>" not in page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        missing("Chromium", "apt-get install chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def written(pair, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "pair.html"
    write_pair_page(path, pair)
    return path


def open_page(browser: Browser, path: Path, scheme: str, width: int) -> tuple[Page, list[str]]:
    context = browser.new_context(
        offline=True, viewport={"width": width, "height": 900}, color_scheme=scheme
    )
    context.set_default_timeout(120_000)
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request",
        lambda made: (
            None if made.url.startswith(("file:", "data:", "blob:")) else wrong.append(made.url)
        ),
    )
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready=true]")
    return page, wrong


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 420)])
def test_page_draws_every_chart_without_a_network_and_fits(
    browser, written, figures, scheme, width
):
    page, wrong = open_page(browser, written, scheme, width)
    assert page.locator("html").get_attribute("data-theme") == scheme
    assert page.locator(".chart").count() == len(figures)
    assert page.locator(".chart .main-svg").count() >= len(figures)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = page.locator("#found").inner_text()
    assert "X@adjusted is adjusted for splits, X@raw is raw" in found
    assert "X@adjusted lacks 1 bars" in found
    assert page.locator("#bars tbody tr").count() == 1
    # Every section that the head of the page leads to is there.
    targets = page.eval_on_selector_all("nav a", "links => links.map(a => a.getAttribute('href'))")
    assert [page.locator(target).count() for target in targets] == [1] * len(targets)
    page.click("#theme")
    assert page.locator("html").get_attribute("data-theme") != scheme
    if "SCREENSHOTS" in os.environ:
        folder = Path(os.environ["SCREENSHOTS"])
        page.screenshot(path=folder / f"pair-{scheme}-{width}.png", full_page=True)
    assert wrong == []
    page.context.close()
