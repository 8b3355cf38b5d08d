"""Reads a result directory: the summary, and the tables when they are asked for.

Owns the names of a result's files and reading them back. Does not own writing
them, nor the figures in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import polars as pl
from polars import selectors

from foundation.errors import DataError
from research.summary import Summary, read_summary

PORTFOLIO = "PORTFOLIO"
INDICATOR_PREFIX = "indicator: "


class Table(Enum):
    """The Parquet tables of a result."""

    TRADES = "trades"
    ORDERS = "orders"
    FILLS = "fills"
    CASH_EVENTS = "cash_events"
    EQUITY = "equity"
    DECISIONS = "decisions"

    @property
    def file_name(self) -> str:
        """Name of the table's file in the result directory."""
        return f"{self.value}.parquet"


@dataclass(frozen=True, slots=True)
class ResultFiles:
    """A result directory whose summary is read and whose tables are not yet.

    Attributes
    ----------
    directory : Path
        Where the files are.
    summary : Summary
        The content of summary.json.
    """

    directory: Path
    summary: Summary

    def scan(self, table: Table) -> pl.LazyFrame:
        """Return a table as a lazy frame: only the columns and rows asked for are read.

        Raises
        ------
        DataError
            If the file is missing.
        """
        path = self.directory / table.file_name
        if not path.is_file():
            raise DataError(f"{self.directory} is not a whole result: {path.name} is missing")
        # Codes are stored by dictionary; as plain text they join, sort and export alike.
        return pl.scan_parquet(path).with_columns(
            selectors.by_dtype(pl.Categorical, pl.Enum).cast(pl.String)
        )

    def has(self, table: Table) -> bool:
        """Return whether a table was written: a sweep's results may have no decisions."""
        return (self.directory / table.file_name).is_file()

    def columns(self, table: Table) -> list[str]:
        """Return the names of a table's columns without reading its rows."""
        return self._checked(table, lambda frame: frame.collect_schema().names())

    def read(self, table: Table, *, columns: list[str] | None = None) -> pl.DataFrame:
        """Read a whole table, or some columns of it.

        Raises
        ------
        DataError
            If the file is missing or damaged.
        """
        return self._checked(
            table, lambda frame: (frame if columns is None else frame.select(columns)).collect()
        )

    def equity(self, symbol: str = PORTFOLIO) -> pl.DataFrame:
        """Read the equity rows of one sleeve, or of the portfolio."""
        return self._checked(
            Table.EQUITY, lambda frame: frame.filter(pl.col("symbol") == symbol).collect()
        )

    def session_equity(self, symbol: str = PORTFOLIO) -> pl.DataFrame:
        """Read the last equity row of each session of one sleeve, or of the portfolio."""
        return self._checked(
            Table.EQUITY,
            lambda frame: (
                frame.filter(pl.col("symbol") == symbol)
                .filter(
                    pl.col("session") != pl.col("session").shift(-1).fill_null(pl.date(1, 1, 1))
                )
                .collect()
            ),
        )

    def trades(self, symbol: str | None = None) -> pl.DataFrame:
        """Read the trades of one instrument, or of all."""
        return self._of_symbol(Table.TRADES, symbol)

    def fills(self, symbol: str | None = None) -> pl.DataFrame:
        """Read the fills of one instrument, or of all."""
        return self._of_symbol(Table.FILLS, symbol)

    def decisions(self, symbol: str | None = None) -> pl.DataFrame:
        """Read the decision rows of one instrument, or of all."""
        return self._of_symbol(Table.DECISIONS, symbol)

    def reasons(self) -> pl.DataFrame:
        """Count the bars by what was decided: the action, else the reason why none was."""
        decided = pl.when(pl.col("action").fill_null("") != "").then("action").otherwise("reason")
        return self._checked(
            Table.DECISIONS,
            lambda frame: (
                frame.group_by(decided.fill_null("").alias("reason"))
                .agg(pl.len().cast(pl.Int64).alias("n_bars"))
                .sort("reason")
                .collect()
            ),
        )

    def indicators(self) -> list[str]:
        """Return the names of the indicator outputs in the decision rows."""
        return [
            name.removeprefix(INDICATOR_PREFIX)
            for name in self.columns(Table.DECISIONS)
            if name.startswith(INDICATOR_PREFIX)
        ]

    def _of_symbol(self, table: Table, symbol: str | None) -> pl.DataFrame:
        if symbol is None:
            return self.read(table)
        return self._checked(
            table, lambda frame: frame.filter(pl.col("symbol") == symbol).collect()
        )

    def _checked(self, table: Table, read):  # type: ignore[no-untyped-def]
        frame = self.scan(table)
        try:
            return read(frame)
        except pl.exceptions.PolarsError as error:
            reason = str(error).splitlines()[0]
            raise DataError(
                f"{self.directory / table.file_name} cannot be read: {reason}"
            ) from error


def open_result(directory: Path) -> ResultFiles:
    """Open a result directory; only its summary is read now.

    Raises
    ------
    DataError
        If the directory holds no result, or its summary is damaged.
    """
    directory = Path(directory)
    return ResultFiles(directory, read_summary(directory))
