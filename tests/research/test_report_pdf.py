"""The PDF: pages that show the result, drawn without a browser or a network."""

from __future__ import annotations

import base64
import re
import shutil
from pathlib import Path

import pypdfium2
import pytest

from research import vector_charts
from research.pdf import render_page
from research.report import write_report
from research.report_content import read_content
from research.results import open_result
from tests.research.made_result import make_result


def text_of(path: Path) -> str:
    document = pypdfium2.PdfDocument(path)
    return "\n".join(page.get_textpage().get_text_bounded() for page in document)


@pytest.fixture(scope="module")
def printed(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = Path(shutil.copytree(made, tmp_path_factory.mktemp("printed") / "result"))
    write_report(directory, formats=["pdf"])
    return directory


def test_pdf_shows_figures_and_every_trade(printed):
    text = text_of(printed / "report.pdf")
    content = read_content(open_result(printed))
    assert content.title in text
    for tile in content.tiles:
        assert "".join(tile.value.split()) in "".join(text.split())
    for _, profit in content.frames.trades.select("symbol", "net_profit").rows():
        assert f"{abs(profit):,.2f}" in text


def test_pdf_pages_are_numbered_and_name_the_run(printed):
    document = pypdfium2.PdfDocument(printed / "report.pdf")
    for i_page, page in enumerate(document):
        text = page.get_textpage().get_text_bounded()
        assert f"Page {i_page + 1} of {len(document)}" in text
        assert "run 0123456789ab" in text


def test_the_same_result_gives_the_same_pdf(printed, tmp_path):
    other = Path(shutil.copytree(printed, tmp_path / "other"))
    write_report(other, formats=["pdf"])
    assert (other / "report.pdf").read_bytes() == (printed / "report.pdf").read_bytes()


def test_pdf_of_a_strategy_that_never_trades(tmp_path):
    directory = make_result(tmp_path / "idle", n_bars=5, trades=False, symbols=("IDLE",))
    write_report(directory, formats=["pdf"])
    assert "The strategy closed no trade" in text_of(directory / "report.pdf")


def test_charts_in_the_pdf_are_vectors_without_text_of_a_system_font(printed):
    result = open_result(printed)
    page = render_page(result, read_content(result))
    drawings = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert len(drawings) == 9
    for drawing in drawings:
        svg = base64.b64decode(drawing).decode()
        assert "<text" not in svg
        assert "<image" not in svg
        assert "<dc:date>" not in svg


def test_drawing_twice_gives_the_same_bytes(made):
    equity = open_result(made).equity()
    one = vector_charts.equity_svg(equity, currency="USD")
    assert one == vector_charts.equity_svg(equity, currency="USD")
