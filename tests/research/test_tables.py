"""Tables for people: the numbers of the result, and nothing that runs."""

from __future__ import annotations

import hashlib
import shutil
from datetime import datetime
from pathlib import Path

import openpyxl
import polars as pl
import pytest

from research.report import write_report
from research.results import open_result

EVIL = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", '=HYPERLINK("http://x")']


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "result"))


def test_csv_holds_the_trades_that_the_result_holds(copied):
    written = write_report(copied, formats=["csv"])
    assert [path.name for path in written] == [
        "trades.csv", "orders.csv", "fills.csv", "cash_events.csv", "equity_by_session.csv",
        "years.csv", "months.csv",
    ]  # fmt: skip
    read = pl.read_csv(copied / "trades.csv")
    trades = open_result(copied).trades().sort("exit_ts", "symbol", "trade_id")
    assert read["net_profit"].to_list() == trades["net_profit"].to_list()
    assert read["entry_ts"][0] == trades["entry_ts"][0].strftime("%Y-%m-%dT%H:%M:%SZ")


def test_workbook_holds_numbers_as_numbers_and_times_as_times(copied):
    write_report(copied, formats=["xlsx"])
    book = openpyxl.load_workbook(copied / "report.xlsx")
    assert book.sheetnames == [
        "Summary", "Instruments", "Trades", "Orders", "Fills", "Cash events",
        "Equity by session", "Years", "Months",
    ]  # fmt: skip
    sheet = book["Trades"]
    trades = open_result(copied).trades().sort("exit_ts", "symbol", "trade_id")
    names = [cell.value for cell in sheet[1]]
    row = dict(zip(names, [cell.value for cell in sheet[2]], strict=True))
    assert row["net profit"] == trades["net_profit"][0]
    assert row["entry ts (UTC)"] == trades["entry_ts"][0].replace(tzinfo=None)
    assert sheet.max_row == trades.height + 1
    assert sheet.freeze_panes == "B2"
    assert sheet.cell(2, names.index("return") + 1).number_format.startswith("0.00%")


def test_workbook_summary_shows_the_key_figures(copied):
    write_report(copied, formats=["xlsx"])
    sheet = openpyxl.load_workbook(copied / "report.xlsx")["Summary"]
    shown = {row[0].value: row[1].value for row in sheet.iter_rows(max_col=2)}
    summary = open_result(copied).summary
    assert shown["final equity"] == pytest.approx(summary.final_equity, rel=1e-14)
    assert shown["sharpe"] == pytest.approx(summary.sharpe, rel=1e-14)
    assert shown["n trades"] == summary.n_trades


def test_no_text_becomes_a_formula(copied):
    path = copied / "trades.parquet"
    trades = pl.read_parquet(path)
    evil = [EVIL[i % len(EVIL)] for i in range(trades.height)]
    trades.with_columns(exit_reason=pl.Series(evil)).write_parquet(path)
    write_report(copied, formats=["xlsx", "csv"])

    sheet = openpyxl.load_workbook(copied / "report.xlsx")["Trades"]
    column = [cell.value for cell in sheet[1]].index("exit reason") + 1
    cells = [sheet.cell(row, column) for row in range(2, sheet.max_row + 1)]
    assert {cell.data_type for cell in cells} == {"s"}
    assert {cell.value for cell in cells} == set(EVIL)

    written = pl.read_csv(copied / "trades.csv")["exit_reason"]
    assert set(written) == {f"'{text}" for text in EVIL}
    # Negative numbers stay numbers.
    assert pl.read_csv(copied / "trades.csv")["mae"].min() < 0


def test_the_same_result_gives_the_same_bytes(copied, tmp_path):
    hashes = []
    for name in ("one", "other"):
        directory = Path(shutil.copytree(copied, tmp_path / name))
        written = write_report(directory, formats=["xlsx", "csv"])
        hashes.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in written])
    assert hashes[0] == hashes[1]


def test_workbook_says_when_the_result_ends_and_not_when_it_was_written(copied):
    write_report(copied, formats=["xlsx"])
    created = openpyxl.load_workbook(copied / "report.xlsx").properties.created
    assert created == datetime.fromisoformat(open_result(copied).summary.end)
