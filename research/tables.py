"""Writes a result's tables for people: CSV files and one XLSX workbook.

Owns file and sheet names, number formats and making text harmless: a cell of
text never becomes a formula in a spreadsheet, whatever a symbol or a reason
is called. Bars, decisions and per-bar equity stay Parquet.
"""

from __future__ import annotations

from datetime import date, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.workbook import Workbook
from xlsxwriter.worksheet import Worksheet

from foundation.files import atomic_file
from research.report_content import ReportContent
from research.results import ResultFiles, Table
from research.summary import Figures, InstrumentFigures

CSV_FILES = (
    ("trades.csv", "trades as text"),
    ("orders.csv", "orders as text"),
    ("fills.csv", "fills as text"),
    ("cash_events.csv", "cash events as text"),
    ("equity_by_session.csv", "session-end equity as text"),
    ("years.csv", "figures by year as text"),
    ("months.csv", "figures by month as text"),
)
# Excel's own limit, less the row of names.
N_SHEET_ROWS = 1_048_575

# Characters at the start of a text that spreadsheets take for a formula.
_FORMULA_STARTS = r"^[=+\-@\t\r]"
_PERCENT_FIELDS = frozenset(
    {
        "total_return",
        "cagr",
        "volatility",
        "max_drawdown",
        "exposure",
        "win_rate",
        "average_trade",
        "best_trade",
        "worst_trade",
        "buy_and_hold_return",
        "alpha",
        "probabilistic_sharpe",
        "return",
        "mae",
        "mfe",
        "drawdown",
    }
)
_MONEY_FIELDS = frozenset(
    {
        "starting_cash",
        "final_equity",
        "final_equity_optimistic",
        "lowest_cash",
        "expectancy",
        "total_commission",
        "total_slippage",
        "total_borrow_cost",
        "total_dividends",
        "equity",
        "cash",
        "buy_and_hold",
        "gross_profit",
        "commission",
        "slippage",
        "net_profit",
        "amount",
    }
)
_PRICE_FIELDS = frozenset(
    {"entry_price", "exit_price", "price", "average_price", "limit_price", "stop_price", "rate"}
)
_FORMATS = {
    "percent": "0.00%;[Color 53]-0.00%",
    "money": "#,##0.00;[Color 53]-#,##0.00",
    "price": "#,##0.00######",
    "quantity": "#,##0.########",
    "ratio": "0.000",
    "count": "#,##0",
    "number": "0",
    "date": "yyyy-mm-dd",
    "time": "yyyy-mm-dd hh:mm:ss",
    "text": "@",
}


def result_tables(result: ResultFiles, content: ReportContent) -> dict[str, pl.DataFrame]:
    """Return the tables for people by name: those of the CSV files and the sheets."""
    frames = content.frames
    return {
        "trades": frames.trades,
        "orders": result.read(Table.ORDERS),
        "fills": result.fills(),
        "cash_events": result.read(Table.CASH_EVENTS),
        "equity_by_session": _session_equity(result),
        "years": frames.years.drop("month"),
        "months": frames.months,
    }


def write_csv(result: ResultFiles, content: ReportContent, directory: Path) -> list[Path]:
    """Write the tables as CSV: UTF-8, commas, times as ISO 8601 in UTC.

    A text that a spreadsheet would take for a formula gets an apostrophe in
    front, the spreadsheets' own mark for text.
    """
    written = []
    for name, frame in result_tables(result, content).items():
        path = directory / f"{name}.csv"
        with atomic_file(path) as partial:
            _as_text(frame).write_csv(partial)
        written.append(path)
    return written


def write_workbook(result: ResultFiles, content: ReportContent, path: Path) -> Path:
    """Write all tables as one XLSX workbook, with number formats and fixed heads."""
    with atomic_file(path) as partial:
        options = {"strings_to_formulas": False, "strings_to_urls": False}
        workbook = xlsxwriter.Workbook(str(partial), options)
        # The time of writing would make each file different; the result's end does not.
        workbook.set_properties({
            "title": content.title,
            "subject": content.headline,
            "author": f"Quarterdeck {content.summary.engine_version}",
            "created": _end_of(content),
        })  # fmt: skip
        formats = _Formats(workbook)
        _write_summary(workbook, formats, content)
        _write_frame(workbook, formats, "Instruments", _instruments(content))
        for name, frame in result_tables(result, content).items():
            _write_frame(workbook, formats, name.replace("_", " ").capitalize(), frame)
        workbook.close()
    return path


def csv_bytes(frame: pl.DataFrame) -> bytes:
    """Return one table as CSV, by the rules of `write_csv`."""
    return _as_text(frame).write_csv().encode()


def workbook_bytes(name: str, frame: pl.DataFrame) -> bytes:
    """Return one table as an XLSX workbook of one sheet, formats as in `write_workbook`."""
    buffer = BytesIO()
    options = {"strings_to_formulas": False, "strings_to_urls": False, "in_memory": True}
    workbook = xlsxwriter.Workbook(buffer, options)
    _write_frame(workbook, _Formats(workbook), name, frame)
    workbook.close()
    return buffer.getvalue()


class _Formats:
    """The workbook's cell formats by kind, each made once."""

    def __init__(self, workbook: Workbook) -> None:
        self.head = workbook.add_format(
            {"bold": True, "bottom": 1, "text_wrap": True, "valign": "top", "bg_color": "#EEF1F5"}
        )
        self.title = workbook.add_format({"bold": True, "font_size": 16})
        self.bold = workbook.add_format({"bold": True})
        self.wrapped = workbook.add_format({"text_wrap": True, "valign": "top"})
        self.of_kind: dict[str, Format] = {
            kind: workbook.add_format({"num_format": text, "align": "left"})
            if kind == "text"
            else workbook.add_format({"num_format": text})
            for kind, text in _FORMATS.items()
        }


def _write_summary(workbook: Workbook, formats: _Formats, content: ReportContent) -> None:
    sheet = workbook.add_worksheet("Summary")
    sheet.set_column(0, 0, 30)
    sheet.set_column(1, 1, 26)
    sheet.set_column(2, 2, 60)
    sheet.write_string(0, 0, content.title, formats.title)
    row = 1
    for name, value in content.facts:
        sheet.write_string(row, 0, name)
        sheet.write_string(row, 1, value)
        row += 1
    row += 1
    sheet.write_string(row, 0, f"Key figures, amounts in {content.summary.currency}", formats.bold)
    row += 1
    for name in Figures.__struct_fields__:
        value = getattr(content.summary, name)
        sheet.write_string(row, 0, name.replace("_", " "))
        kind = _kind(name, pl.Int64() if isinstance(value, int) else pl.Float64())
        _write_cell(sheet, row, 1, value, kind, formats)
        row += 1
    row += 1
    for note in content.notes:
        sheet.write_string(row, 0, note.level.value)
        sheet.merge_range(row, 1, row, 2, "", formats.wrapped)
        sheet.write_string(row, 1, note.text, formats.wrapped)
        sheet.set_row(row, 32)
        row += 1


def _write_frame(workbook: Workbook, formats: _Formats, name: str, frame: pl.DataFrame) -> None:
    """Write one sheet: names on top and fixed, a filter, columns as wide as their kind needs."""
    sheet = workbook.add_worksheet(name)
    shown = frame.head(N_SHEET_ROWS)
    for i_column, column in enumerate(shown.columns):
        dtype = shown.schema[column]
        kind = _kind(column, dtype)
        head = column.replace("_", " ") + (" (UTC)" if kind == "time" else "")
        sheet.write_string(0, i_column, head, formats.head)
        sheet.set_column(i_column, i_column, _width(kind, head, shown[column]))
        values = shown[column]
        if kind == "time":
            values = values.dt.replace_time_zone(None)
        for i_row, value in enumerate(values.to_list()):
            _write_cell(sheet, 1 + i_row, i_column, value, kind, formats)
    sheet.freeze_panes(1, 1 if shown.columns[:1] == ["symbol"] else 0)
    if shown.height:
        sheet.autofilter(0, 0, shown.height, len(shown.columns) - 1)
    if shown.height < frame.height:
        left = frame.height - shown.height
        sheet.write_comment(0, 0, f"{left:,} more rows are in the Parquet file")
    sheet.set_landscape()
    sheet.set_paper(9)
    sheet.fit_to_pages(1, 0)
    sheet.repeat_rows(0)


def _write_cell(
    sheet: Worksheet, row: int, column: int, value: Any, kind: str, formats: _Formats
) -> None:
    chosen = formats.of_kind[kind]
    if value is None or (isinstance(value, float) and value != value):
        sheet.write_blank(row, column, None, chosen)
    elif isinstance(value, bool):
        sheet.write_boolean(row, column, value)
    elif isinstance(value, (datetime, date)):
        sheet.write_datetime(row, column, value, chosen)
    elif isinstance(value, (int, float)):
        sheet.write_number(row, column, value, chosen)
    else:
        sheet.write_string(row, column, str(value), chosen)


def _kind(column: str, dtype: pl.DataType) -> str:
    """Return the kind of a column: its number format and width follow from it."""
    if dtype == pl.Date:
        return "date"
    if isinstance(dtype, pl.Datetime):
        return "time"
    if dtype == pl.String or dtype == pl.Boolean:
        return "text"
    if column in _PERCENT_FIELDS:
        return "percent"
    if column in _MONEY_FIELDS:
        return "money"
    if column in _PRICE_FIELDS:
        return "price"
    if column in {"year", "month"}:
        return "number"
    if dtype.is_integer():
        return "count"
    return "quantity" if "quantity" in column or "position" in column else "ratio"


def _width(kind: str, head: str, values: pl.Series) -> float:
    least = {"time": 19, "date": 11, "money": 14, "price": 12, "percent": 10}.get(kind, 8)
    if kind == "text" and values.dtype == pl.String and values.len():
        least = max(least, min(int(values.str.len_chars().max() or 0) + 1, 40))  # type: ignore[arg-type]
    return float(max(least, max(len(word) for word in head.split(" ")) + 3))


def _as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame whose times and texts are safe and plain in any reader."""
    columns = []
    for name, dtype in frame.schema.items():
        if dtype == pl.String:
            # An apostrophe already there is doubled, so that reading back is exact.
            found = pl.col(name).str.contains(_FORMULA_STARTS)
            columns.append(
                pl.when(found).then(pl.lit("'") + pl.col(name)).otherwise(name).alias(name)
            )
        elif isinstance(dtype, pl.Datetime):
            columns.append(pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ"))
        elif dtype.is_float():
            columns.append(pl.col(name).fill_nan(None))
        else:
            columns.append(pl.col(name))
    return frame.select(columns)


def _session_equity(result: ResultFiles) -> pl.DataFrame:
    symbols = [one.symbol for one in result.summary.per_instrument]
    frames = [result.session_equity()]
    if len(symbols) > 1:
        frames += [result.session_equity(symbol) for symbol in symbols]
    return pl.concat(frames)


def _instruments(content: ReportContent) -> pl.DataFrame:
    names = ("symbol", "start", "end", "bars", *Figures.__struct_fields__)
    rows = [[getattr(one, name) for name in names] for one in content.summary.per_instrument]
    hints = {name: _hint(InstrumentFigures.__annotations__.get(name, "")) for name in names[:4]}
    hints |= {name: _hint(Figures.__annotations__[name]) for name in names[4:]}
    return pl.DataFrame(rows, schema=hints, orient="row")


def _hint(annotation: str) -> Any:
    kinds = {"str": pl.String, "int": pl.Int64}
    return kinds.get(str(annotation), pl.Float64)


def _end_of(content: ReportContent) -> datetime:
    try:
        return datetime.fromisoformat(content.summary.end[:10])
    except ValueError:
        return datetime(2000, 1, 1)  # noqa: DTZ001 - a workbook's times have no zone
