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
from market_data.action_records import (
    CASH_KINDS,
    KINDS,
    RATIO_KINDS,
    action_records,
    kind_of,
    known_actions,
)
from market_data.store import Store

_NAMES = {
    "ex_date": ("ex_date", "exdate", "date"),
    "split_ratio": ("split_ratio", "split"),
    "dividend": ("dividend", "dividends", "cash_dividend"),
    "symbol": ("symbol", "ticker"),
    "kind": ("kind", "type", "action"),
    "announced": ("announced", "announced_on", "announcement_date", "declared", "declaration_date"),
}


def import_actions(store: Store, path: Path | str, *, symbol: str) -> int:
    """Store a symbol's splits and dividends from a file, in the place of those before.

    Parameters
    ----------
    path : path
        CSV or Parquet with a column ``ex_date`` and ``split_ratio`` (new
        shares for one old share), ``dividend`` (cash for one share held
        before the split) or both; with a column ``symbol``, its rows are used.
        A column ``kind`` (a name of `action_records.KINDS`) lets one day have
        several actions, one of each kind, ``announced`` tells when each became
        known.

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
    actions = read_action_records_file(path, symbol)
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
    return known_actions(read_action_records_file(path, symbol))


def read_action_records_file(path: Path, symbol: str) -> NDArray[np.void]:
    """Read a symbol's actions with all that the file states of them.

    Returns
    -------
    ACTION_RECORD array
        By ex-date; errors are those of `import_actions`.
    """
    try:
        return action_records(_actions(_rows(path), symbol))
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


def _actions(
    rows: list[dict[str, object]], symbol: str
) -> list[tuple[date, float, float, date | None, int]]:
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
    actions: list[tuple[date, float, float, date | None, int]] = []
    lines: dict[tuple[date, int], int] = {}
    for line, row in enumerate(rows, start=2):
        named = str(row[found["symbol"]]) if found["symbol"] else symbol
        if named != symbol:
            continue
        ex_date = _date(row[found["ex_date"]], line, "ex_date")
        kind = _kind(row[found["kind"]] if found["kind"] else None, line)
        if (ex_date, kind) in lines:
            what = f" and its kind, {KINDS[kind]}" if kind else ""
            raise DataError(f"line {line} has the ex-date of line {lines[ex_date, kind]}{what}")
        lines[ex_date, kind] = line
        split_ratio = _number(row, found["split_ratio"], 1.0, "split_ratio", line)
        dividend = _number(row, found["dividend"], 0.0, "dividend", line)
        if not split_ratio > 0:
            raise DataError(f"line {line}: split_ratio is {split_ratio:g}, it must be above 0")
        if dividend < 0:
            raise DataError(f"line {line}: dividend is {dividend:g}, below 0")
        _check_kind(KINDS[kind], split_ratio, dividend, line)
        announced = row[found["announced"]] if found["announced"] else None
        known = None if announced in (None, "") else _date(announced, line, "announced")
        actions.append((ex_date, split_ratio, dividend, known, kind))
    return actions


def _kind(value: object, line: int) -> int:
    try:
        return kind_of("" if value is None else str(value))
    except DataError as error:
        raise DataError(f"line {line}: {error}") from error


def _check_kind(kind: str, split_ratio: float, dividend: float, line: int) -> None:
    if kind in RATIO_KINDS and (split_ratio == 1.0 or dividend):
        raise DataError(
            f"line {line}: a {kind} must have a split_ratio other than 1 and no dividend, has "
            f"{split_ratio:g} and {dividend:g}"
        )
    if kind in CASH_KINDS and (split_ratio != 1.0 or not dividend):
        raise DataError(
            f"line {line}: a {kind} must have a dividend above 0 and no split_ratio, has "
            f"{dividend:g} and {split_ratio:g}"
        )


def _date(value: object, line: int, name: str) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value).strip()[:10])
    except ValueError as error:
        raise DataError(f"line {line}: {name} {value!r} is no date as 2024-01-31") from error


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
