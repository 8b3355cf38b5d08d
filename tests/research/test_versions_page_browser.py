"""The page of versions in a real browser, with the network switched off."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from research.named_results import NamedResult, label_results
from research.results import open_result
from research.versions_page import compare_results, page_figures, write_versions
from tests.conftest import missing
from tests.research.made_result import make_result

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
def written(tmp_path_factory) -> tuple[Path, int]:
    """Return the page of two results, and how many charts it has."""
    folder = tmp_path_factory.mktemp("page")
    results = [open_result(make_result(folder / str(n), n_bars=n)) for n in (760, 400)]
    comparison = compare_results(
        [NamedResult(*one) for one in zip(label_results(results), results, strict=True)]
    )
    path = write_versions(comparison, folder, formats=["html"])[0]
    return path, len(page_figures(comparison))


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 420)])
def test_page_draws_every_chart_without_a_network_and_fits(browser, written, scheme, width):
    path, n_charts = written
    context = browser.new_context(
        offline=True, viewport={"width": width, "height": 900}, color_scheme=scheme
    )
    context.set_default_timeout(120_000)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready=true]")
    assert page.locator("html").get_attribute("data-theme") == scheme
    assert page.locator(".chart .main-svg").count() >= page.locator(".chart").count() == n_charts
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.click("#theme")
    assert page.locator("html").get_attribute("data-theme") != scheme
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    context.close()
