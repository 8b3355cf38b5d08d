"""Import of splits and dividends from a CSV or Parquet file."""

from __future__ import annotations

import csv
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from foundation.errors import DataError
from market_data.building import dated_actions
from market_data.store import Store

_NAMES = {
    "ex_date": ("ex_date", "exdate", "date"),
    "split_ratio": ("split_ratio", "split"),
    "dividend": ("dividend", "dividends", "cash_dividend"),
    "symbol": ("symbol", "ticker"),
}


def import_actions(store: Store, path: Path | str, *, symbol: str) -> int:
    """Store a symbol's splits and dividends from a file, in the place of those before.

    Parameters
    ----------
    path : path
        CSV or Parquet with a column ``ex_date`` and ``split_ratio`` (new
        shares for one old share), ``dividend`` (cash for one share held
        before the split) or both; with a column ``symbol``, its rows are used.

    Returns
    -------
    int
        Number of actions stored.

    Raises
    ------
    DataError
        If the file can't be read or a row can't be right; nothing is changed.
    """
    path = Path(path)
    actions = read_actions_file(path, symbol)
    if actions.shape[0] == 0:
        raise DataError(f"{path.name}: has no actions of {symbol}")
    store.write_actions(symbol, actions, path.name)
    return int(actions.shape[0])


def actions_beside(path: Path) -> Path | None:
    """Return the file of actions that belongs to a file of bars, if there is one.

    It has the same name with ``_actions`` before the ending: ``AAPL.csv`` and
    ``AAPL_actions.csv``, or ``AAPL_actions.parquet``.
    """
    for suffix in (path.suffix, ".csv", ".parquet"):
        beside = path.with_name(f"{path.stem}_actions{suffix}")
        if beside.exists():
            return beside
    return None


def read_actions_file(path: Path, symbol: str) -> NDArray[np.void]:
    """Read a symbol's splits and dividends; errors are those of `import_actions`.

    Returns
    -------
    DATED_ACTION array
        By ex-date; empty when the file has rows of other symbols only.
    """
    try:
        return dated_actions(_actions(_rows(path), symbol))
    except DataError as error:
        raise DataError(f"{path.name}: {error}") from error


def _rows(path: Path) -> list[dict[str, object]]:
    try:
        if path.suffix in (".parquet", ".pq"):
            with pq.ParquetFile(path) as file:
                rows: list[dict[str, object]] = file.read().to_pylist()
        else:
            with path.open(encoding="utf-8-sig", newline="") as text:
                rows = [dict(row) for row in csv.DictReader(text)]
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise DataError(f"cannot be read: {str(error).splitlines()[0]}") from error
    if not rows:
        raise DataError("the file has no actions")
    return rows


def _actions(rows: list[dict[str, object]], symbol: str) -> list[tuple[date, float, float]]:
    columns = {str(name).strip().lower().replace(" ", "_"): name for name in rows[0]}
    found = {
        meaning: next((columns[alias] for alias in aliases if alias in columns), None)
        for meaning, aliases in _NAMES.items()
    }
    there = ", ".join(map(str, rows[0]))
    if found["ex_date"] is None:
        raise DataError(f"no column for ex_date; there are {there}")
    if found["split_ratio"] is None and found["dividend"] is None:
        raise DataError(f"no column for split_ratio or dividend; there are {there}")
    actions: list[tuple[date, float, float]] = []
    lines: dict[date, int] = {}
    for line, row in enumerate(rows, start=2):
        named = str(row[found["symbol"]]) if found["symbol"] else symbol
        if named != symbol:
            continue
        ex_date = _date(row[found["ex_date"]], line)
        if ex_date in lines:
            raise DataError(f"line {line} has the ex-date of line {lines[ex_date]}")
        lines[ex_date] = line
        split_ratio = _number(row, found["split_ratio"], 1.0, "split_ratio", line)
        dividend = _number(row, found["dividend"], 0.0, "dividend", line)
        if not split_ratio > 0:
            raise DataError(f"line {line}: split_ratio is {split_ratio:g}, it must be above 0")
        if dividend < 0:
            raise DataError(f"line {line}: dividend is {dividend:g}, below 0")
        actions.append((ex_date, split_ratio, dividend))
    return actions


def _date(value: object, line: int) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value).strip()[:10])
    except ValueError as error:
        raise DataError(f"line {line}: ex_date {value!r} is no date as 2024-01-31") from error


def _number(row: dict[str, object], column: object, default: float, name: str, line: int) -> float:
    value = row.get(str(column)) if column is not None else None
    if value is None or value == "":
        return default
    try:
        number = float(str(value))
    except ValueError as error:
        raise DataError(f"line {line}: {name} is {value!r}, which is no number") from error
    if number != number or number in (float("inf"), float("-inf")):
        raise DataError(f"line {line}: {name} is {value!r}, which is no number")
    return number
