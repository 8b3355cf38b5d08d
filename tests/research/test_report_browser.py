"""The page in a real browser, with the network switched off."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from research.report import write_report
from research.results import open_result
from tests.conftest import missing

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


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
def reported(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = Path(shutil.copytree(made, tmp_path_factory.mktemp("reported") / "result"))
    write_report(directory, formats=["html"])
    return directory


@pytest.fixture(scope="module")
def page(browser: Browser, reported: Path) -> Iterator[Page]:
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(120_000)
    opened = context.new_page()
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto((reported / "report.html").as_uri())
    opened.wait_for_selector("html[data-ready=true]")
    yield opened
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    context.close()


def test_every_chart_is_drawn(page):
    places = page.locator(".chart").count()
    assert places == 12
    assert page.locator(".chart .main-svg").count() >= places


def test_nothing_is_wider_than_the_window(page):
    for width in (1280, 800, 390):
        page.set_viewport_size({"width": width, "height": 900})
        # The charts follow the window a moment later.
        page.wait_for_timeout(400)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_trades_are_searched_sorted_and_paged(page, reported):
    trades = open_result(reported).trades()
    rows = page.locator("#trade-table tbody tr")
    assert rows.count() == min(trades.height, 50)

    page.fill("#trade-search", "brvo")
    assert rows.count() == min((trades["symbol"] == "BRVO").sum(), 50)
    page.fill("#trade-search", "no such thing")
    assert "No trade matches" in rows.first.inner_text()

    page.fill("#trade-search", "")
    page.locator("#trade-table th", has_text="Net profit").click()
    best = f"{trades['net_profit'].max():,.2f}"
    assert rows.first.locator("td").nth(10).inner_text() == best
    page.locator("#trade-table th", has_text="Net profit").click()
    worst = f"{trades['net_profit'].min():,.2f}".replace("-", "−")
    assert rows.first.locator("td").nth(10).inner_text() == worst


def test_dark_mode_changes_page_and_charts(page):
    assert page.locator("#theme").inner_text() == "Dark"
    ground = "getComputedStyle(document.body).backgroundColor"
    text = "document.getElementById('chart-equity')._fullLayout.font.color"
    light = page.evaluate(ground), page.evaluate(text)
    page.click("#theme")
    assert page.locator("#theme").inner_text() == "Light"
    dark = page.evaluate(ground), page.evaluate(text)
    assert light == ("rgb(255, 255, 255)", "#1c2430")
    assert dark == ("rgb(18, 22, 28)", "#e6eaf0")
    page.click("#theme")


def test_print_is_light_whatever_the_screen(browser, reported):
    context = browser.new_context(offline=True, color_scheme="dark")
    context.set_default_timeout(120_000)
    opened = context.new_page()
    opened.goto((reported / "report.html").as_uri())
    opened.wait_for_selector("html[data-ready=true]")
    theme = "document.documentElement.dataset.theme"
    assert opened.evaluate(theme) == "dark"
    opened.evaluate(
        "window.addEventListener('beforeprint', () => { window.printed ="
        " document.documentElement.dataset.theme; })"
    )
    opened.pdf()
    assert opened.evaluate("window.printed") == "light"
    assert opened.evaluate(theme) == "dark"
    context.close()
