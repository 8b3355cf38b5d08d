"""An analyst's way through the app, in a real browser against a real server."""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from openpyxl import load_workbook
from playwright.sync_api import Browser, Page, expect

from foundation.home import CHECKOUT
from research.results import open_result
from tests.browser.conftest import unused_port
from tests.research.made_result import make_result

FIRST, SECOND = "0123456789ab", "123456789abc"
# The machine may be busy with other tests.
PATIENCE_MS = 240_000


@pytest.fixture(scope="module")
def two_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("analyst-home") / "results"
    make_result(results / "average-cross" / FIRST, n_bars=500, run_id=FIRST)
    make_result(
        results / "second-cross" / SECOND, n_bars=500, seed=11, symbols=("ALFA",),
        name="second-cross", run_id=SECOND,
    )  # fmt: skip
    return results


@pytest.fixture(scope="module")
def app_url(two_results: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start the app as `quarterdeck up` does, on a port of its own."""
    port = unused_port()
    log = tmp_path_factory.mktemp("analyst-log") / "streamlit.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "dashboards.serve",
             "--server.port", str(port), "--server.address", "127.0.0.1"],
            cwd=CHECKOUT, stdout=output, stderr=subprocess.STDOUT,
            env=os.environ | {"QUARTERDECK_HOME": str(two_results.parent)},
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_up(url, server, log)
        yield url
    finally:
        server.terminate()
        try:
            server.wait(timeout=60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_until_up(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(1800):
        if server.poll() is not None:
            pytest.fail(f"the app ended at once:\n{log.read_text()}")
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"the app did not answer:\n{log.read_text()}")


def settled(page: Page) -> None:
    """Wait until the server has nothing left to say."""
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for(
        timeout=PATIENCE_MS
    )
    expect(page.locator("[data-stale=true]")).to_have_count(0, timeout=PATIENCE_MS)


def picture(page: Page, path: Path) -> None:
    """Save the whole page, which Streamlit scrolls within itself."""
    before = page.viewport_size
    assert before is not None
    height = page.get_by_test_id("stMainBlockContainer").evaluate("one => one.scrollHeight")
    page.set_viewport_size({"width": before["width"], "height": min(height + 80, 5000)})
    page.wait_for_timeout(500)
    page.screenshot(path=path, timeout=PATIENCE_MS)
    page.set_viewport_size(before)


def tick_row(page: Page, number: int) -> None:
    """Tick a row of the page's first table, which is drawn on a canvas."""
    table = page.get_by_test_id("stDataFrame").first
    table.wait_for(timeout=PATIENCE_MS)
    page.wait_for_timeout(500)
    table.click(position={"x": 16, "y": 18 + 35 * (number + 1)})
    settled(page)


def test_analyst_compares_two_backtests_and_looks_into_one(
    app_url, browser_page, screenshots, two_results
):
    page = browser_page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(app_url)
    expect(page.get_by_role("heading", name="Results")).to_be_visible(timeout=PATIENCE_MS)
    settled(page)
    tick_row(page, 0)
    expect(page.get_by_role("button", name="Open backtest")).to_be_enabled(timeout=PATIENCE_MS)
    tick_row(page, 1)
    expect(page.get_by_role("button", name="Compare 2")).to_be_enabled(timeout=PATIENCE_MS)
    picture(page, screenshots / "analyst-1-results.png")
    expect(page).to_have_url(re.compile("pick=.*pick="), timeout=PATIENCE_MS)

    page.get_by_role("button", name="Compare 2").click()
    expect(page.get_by_role("heading", name="Compare")).to_be_visible(timeout=PATIENCE_MS)
    page.locator(".js-plotly-plot .main-svg").first.wait_for(timeout=PATIENCE_MS)
    settled(page)
    expect(page).to_have_url(re.compile("run=.*run="), timeout=PATIENCE_MS)
    assert sorted(re.findall(r"run=(\w+)", page.url)) == [FIRST, SECOND]
    legend = page.locator(".legendtext")
    expect(legend).to_have_count(2, timeout=PATIENCE_MS)
    expect(page.get_by_text("Differences of the strategy documents")).to_be_visible()
    picture(page, screenshots / "analyst-2-compare.png")

    page.get_by_role("link", name="Open average-cross").click()
    expect(page.get_by_role("tab", name="Overview")).to_be_visible(timeout=PATIENCE_MS)
    settled(page)
    expect(page).to_have_url(re.compile(f"run={FIRST}"), timeout=PATIENCE_MS)
    picture(page, screenshots / "analyst-3-backtest.png")

    page.get_by_role("tab", name="Trades").click()
    button = page.get_by_role("button", name="Trades (CSV)")
    button.wait_for(timeout=PATIENCE_MS)
    settled(page)
    with page.expect_download(timeout=PATIENCE_MS) as started:
        button.click()
    text = Path(started.value.path()).read_text("utf-8")
    trades = open_result(two_results / "average-cross" / FIRST).trades()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == trades.height
    assert sum(float(row["net_profit"]) for row in rows) == pytest.approx(
        trades["net_profit"].sum()
    )
    tick_row(page, 0)
    page.locator(".js-plotly-plot .main-svg").first.wait_for(timeout=PATIENCE_MS)
    picture(page, screenshots / "analyst-4-trade.png")

    page.get_by_role("tab", name="Why no trade").click()
    page.get_by_text("What was decided, and why not").wait_for(timeout=PATIENCE_MS)
    settled(page)
    page.get_by_role("button", name="Previous").click()
    expect(page.get_by_text("Value at the close")).to_be_visible(timeout=PATIENCE_MS)
    expect(page).to_have_url(re.compile("view=Why.*bar="), timeout=PATIENCE_MS)
    settled(page)
    picture(page, screenshots / "analyst-5-why.png")

    link = page.url
    shown = page.get_by_text(re.compile(r"^ALFA, session")).inner_text()
    page.goto("about:blank")
    page.goto(link)
    expect(page.get_by_text(shown)).to_be_visible(timeout=PATIENCE_MS)

    elsewhere = [url for url in asked if not url.startswith((app_url, "data:", "blob:"))]
    assert elsewhere == []


def downloaded(page: Page, name: str, folder: Path) -> Path:
    """Click a download button and return the file under the name that the reader gets."""
    button = page.get_by_role("button", name=name, exact=True)
    button.wait_for(timeout=PATIENCE_MS)
    settled(page)
    with page.expect_download(timeout=PATIENCE_MS) as started:
        button.click()
    path = folder / started.value.suggested_filename
    started.value.save_as(path)
    return path


def test_tables_of_a_backtest_are_downloaded_as_a_workbook(
    app_url, browser_page, two_results, tmp_path
):
    page = browser_page
    page.goto(f"{app_url}/backtest?run={FIRST}&view=Trades")
    path = downloaded(page, "Trades (XLSX)", tmp_path)
    assert path.name == "average-cross-trades.xlsx"
    (sheet,) = load_workbook(path, read_only=True).worksheets
    head, *rows = sheet.iter_rows(values_only=True)
    trades = open_result(two_results / "average-cross" / FIRST).trades()
    assert len(rows) == trades.height > 0
    profit = next(i for i, name in enumerate(head) if str(name).startswith("net profit"))
    assert sum(row[profit] for row in rows) == pytest.approx(trades["net_profit"].sum())

    # What the reader filtered is what is downloaded.
    page.get_by_role("combobox", name="Side").click()
    page.get_by_role("option", name="long").click()
    page.keyboard.press("Escape")
    page.get_by_role("combobox", name="Instrument").click()
    page.get_by_role("option", name="ALFA").click()
    page.keyboard.press("Escape")
    settled(page)
    path = downloaded(page, "Trades (XLSX)", tmp_path)
    (sheet,) = load_workbook(path, read_only=True).worksheets
    alfa = trades.filter((pl.col("symbol") == "ALFA") & (pl.col("side") == "long"))
    assert sheet.max_row == 1 + alfa.height < 1 + trades.height


def test_report_is_written_from_its_tab_and_opens_without_the_app(
    app_url, browser_page, screenshots, two_results, tmp_path
):
    page = browser_page
    directory = two_results / "second-cross" / SECOND
    assert not (directory / "report.html").exists()
    page.goto(f"{app_url}/backtest?run={SECOND}")
    expect(page.get_by_role("tab", name="Overview")).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_role("tab", name="Report").click()
    expect(
        page.get_by_text("Not written yet: report.html, report.pdf, report.xlsx.")
    ).to_be_visible(timeout=PATIENCE_MS)
    settled(page)
    picture(page, screenshots / "analyst-6-before-report.png")
    page.get_by_role("button", name="Write the report").click()
    expect(page.get_by_role("button", name="Report (PDF)")).to_be_visible(timeout=PATIENCE_MS)
    settled(page)
    expect(page.get_by_text("Not written yet")).to_have_count(0)
    picture(page, screenshots / "analyst-7-report.png")

    report = downloaded(page, "Report (HTML)", tmp_path)
    assert report.name == f"second-cross-{SECOND}-report.html"
    assert report.read_bytes() == (directory / "report.html").read_bytes()
    assert downloaded(page, "Report (PDF)", tmp_path).read_bytes().startswith(b"%PDF-")
    book = load_workbook(downloaded(page, "Tables (XLSX)", tmp_path), read_only=True)
    trades = open_result(directory).trades()
    assert book["Trades"].max_row == 1 + trades.height

    opened = browser_page.context.new_page()
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(report.as_uri())
    opened.locator(".js-plotly-plot .main-svg").first.wait_for(timeout=PATIENCE_MS)
    expect(opened.get_by_role("heading", name="second-cross").first).to_be_visible()
    opened.screenshot(path=screenshots / "analyst-8-opened-report.png")
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_and_charts_follow_the_readers_theme(app_url, browser: Browser, screenshots, scheme):
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    page.goto(f"{app_url}/backtest?run={FIRST}")
    page.locator(".js-plotly-plot .main-svg").first.wait_for(timeout=PATIENCE_MS)
    settled(page)
    page.wait_for_timeout(500)
    picture(page, screenshots / f"analyst-{scheme}.png")
    text = page.evaluate("document.querySelector('.js-plotly-plot')._fullLayout.font.color")
    ground = page.evaluate(
        "getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"
    )
    assert (text, ground) == {
        "light": ("#1c2430", "rgb(255, 255, 255)"), "dark": ("#e6eaf0", "rgb(18, 22, 28)"),
    }[scheme]  # fmt: skip
    context.close()


def test_narrow_window_needs_no_sideways_scrolling(app_url, browser: Browser, screenshots):
    context = browser.new_context(viewport={"width": 420, "height": 900})
    page = context.new_page()
    for path in ("", f"/compare?run={FIRST}&run={SECOND}", f"/backtest?run={FIRST}&view=Trades"):
        page.goto(app_url + path)
        page.get_by_test_id("stDataFrame").first.wait_for(timeout=PATIENCE_MS)
        settled(page)
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    picture(page, screenshots / "analyst-narrow.png")
    context.close()
