"""A part of a result: prices, decisions and reasons between two sessions.

Owns reading only what a range needs, and what a bar's decision rests on. A
range is given by session dates, both included; None leaves an end open.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import polars as pl

from foundation.errors import DataError
from market_data.loading import load_bars
from market_data.store import open_store
from research import look
from research.decision_charts import condition_columns
from research.results import INDICATOR_PREFIX, PORTFOLIO, ResultFiles, Table

N_AROUND = 30
SIDES = ("enter_long", "exit_long", "enter_short", "exit_short")


@dataclass(frozen=True, slots=True)
class Term:
    """One term of a condition at one bar; None is unknown."""

    text: str
    value: bool | None


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition at one bar, with the terms that ``and`` joins in it.

    Attributes
    ----------
    name : str
        One of `SIDES`.
    value : bool or None
        None is unknown: an indicator was warming up or a bar was missing.
    """

    name: str
    value: bool | None
    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class BarExplanation:
    """What was decided at the close of one bar, and what it rests on.

    Attributes
    ----------
    ts : datetime
        Open of the bar, UTC.
    close, position : float
        Price, and quantity held after the bar; negative is short.
    action, reason : str
        What was decided; else why nothing was.
    indicators : tuple of (name, value)
        None while it warms up.
    """

    ts: datetime
    close: float
    position: float
    action: str
    reason: str
    conditions: tuple[Condition, ...]
    indicators: tuple[tuple[str, float | None], ...]


def session_bars(
    result: ResultFiles, symbol: str, start: date | None = None, end: date | None = None
) -> pl.DataFrame:
    """Return ts, session and close of an instrument's bars in a range."""
    frame = result.scan(Table.EQUITY).filter(pl.col("symbol") == symbol)
    if start is not None:
        frame = frame.filter(pl.col("session") >= start)
    if end is not None:
        frame = frame.filter(pl.col("session") <= end)
    return _collected(result, frame.select("ts", "session", pl.col("price").alias("close")))


def decision_range(
    result: ResultFiles,
    symbol: str,
    start: date | None = None,
    end: date | None = None,
    columns: tuple[str, ...] | None = None,
) -> pl.DataFrame:
    """Return an instrument's decision rows in a range, with their session.

    Raises
    ------
    DataError
        If the result has no decisions, or a table is damaged.
    """
    bars = session_bars(result, symbol, start, end)
    frame = result.scan(Table.DECISIONS).filter(pl.col("symbol") == symbol)
    if bars.height:
        frame = frame.filter(pl.col("ts").is_between(bars["ts"][0], bars["ts"][-1]))
    if columns is not None:
        frame = frame.select("ts", *columns)
    rows = _collected(result, frame)
    return rows.join(bars.select("ts", "session"), on="ts", how="inner", maintain_order="left")


def reason_counts(
    result: ResultFiles, symbol: str, start: date | None = None, end: date | None = None
) -> pl.DataFrame:
    """Count the bars of a range by what was decided: the action, else the reason why none was."""
    rows = decision_range(result, symbol, start, end, ("action", "reason"))
    decided = pl.when(pl.col("action").fill_null("") != "").then("action").otherwise("reason")
    return (
        rows.group_by(decided.fill_null("").alias("reason"))
        .agg(pl.len().cast(pl.Int64).alias("n_bars"))
        .sort("reason")
    )


def explain_bar(result: ResultFiles, symbol: str, ts: datetime) -> BarExplanation:
    """Return what an instrument's bar decided, with every value behind it.

    Parameters
    ----------
    ts : datetime
        Open of the bar, UTC.

    Raises
    ------
    DataError
        If there is no such bar, or the result has no decisions.
    """
    frame = result.scan(Table.DECISIONS)
    rows = _collected(result, frame.filter((pl.col("symbol") == symbol) & (pl.col("ts") == ts)))
    if rows.height == 0:
        raise DataError(f"{result.directory} has no bar of {symbol} at {ts:%Y-%m-%d %H:%M} UTC")
    row = rows.row(0, named=True)
    named = condition_columns(rows)
    conditions = tuple(
        Condition(
            side,
            row.get(side),
            tuple(
                Term(_words_of(name), row[name]) for name in named if name.startswith(f"{side}[")
            ),
        )
        for side in SIDES
        if any(name == side or name.startswith(f"{side}[") for name in named)
    )
    return BarExplanation(
        ts=row["ts"],
        close=row["close"],
        position=row["position"],
        action=row["action"] or "",
        reason=row["reason"] or "",
        conditions=conditions,
        indicators=tuple(
            (name.removeprefix(INDICATOR_PREFIX), _known(row[name]))
            for name in rows.columns
            if name.startswith(INDICATOR_PREFIX)
        ),
    )


def price_range(
    result: ResultFiles,
    symbol: str,
    start: date | None = None,
    end: date | None = None,
    home: Path | None = None,
) -> pl.DataFrame:
    """Return an instrument's prices and indicators by bar in a range, for `price_charts.price_chart`.

    Parameters
    ----------
    home : Path or None
        Data home whose stored bars give open, high and low. They are taken
        only when every close is that of the result: bars imported anew would
        show trades at prices that they were not made at.
    """
    prices = session_bars(result, symbol, start, end)
    if result.has(Table.DECISIONS) and prices.height:
        names = tuple(c for c in result.columns(Table.DECISIONS) if c.startswith(INDICATOR_PREFIX))
        rows = decision_range(result, symbol, start, end, names)
        used = [name for name in names if rows[name].is_finite().any()]
        prices = prices.join(rows.select("ts", *used), on="ts", how="left", maintain_order="left")
    if home is None or prices.height == 0:
        return prices
    candles = _stored_candles(home, symbol, result.summary.timeframe, prices)
    return prices if candles is None else candles


def _stored_candles(
    home: Path, symbol: str, timeframe: str, prices: pl.DataFrame
) -> pl.DataFrame | None:
    """Return the prices with open, high and low of stored bars; None unless they are the same."""
    try:
        loaded = load_bars(
            open_store(home), symbol, timeframe,
            start=prices["session"][0], end=prices["session"][-1], warmup=0,
        )  # fmt: skip
    except DataError:
        # A result of a file, or of bars that were removed, is drawn by its closes.
        return None
    bars = loaded.bars
    ts = pl.Series(bars.ts // 1000).cast(pl.Datetime("us", "UTC"))
    stored = pl.DataFrame(
        {"ts": ts} | {name: bars.prices[i] for i, name in enumerate(("open", "high", "low"))}
    ).with_columns(pl.Series("__close", bars.prices[3]))
    joined = prices.join(stored, on="ts", how="left", maintain_order="left")
    if not bool((joined["close"] == joined["__close"]).fill_null(value=False).all()):
        return None
    return joined.drop("__close")


def trade_surroundings(
    result: ResultFiles, symbol: str, entered: datetime, left: datetime
) -> tuple[date, date]:
    """Return the first and last session to draw a trade with: as long again on both sides.

    At least `N_AROUND` bars on each side, where there are so many.
    """
    bars = session_bars(result, symbol)
    i_entry = int(bars["ts"].search_sorted(entered, "right")) - 1
    i_exit = int(bars["ts"].search_sorted(left, "right")) - 1
    margin = max(i_exit - i_entry, N_AROUND)
    sessions = bars["session"]
    return sessions[max(i_entry - margin, 0)], sessions[min(i_exit + margin, bars.height - 1)]


def explain_reason(code: str) -> str:
    """Return what a reason or an action in the decision rows means, as a sentence."""
    return _SENTENCES.get(code, f"{look.words(code).capitalize()}." if code else "")


def symbols_of(result: ResultFiles) -> list[str]:
    """Return a result's instruments, in the order of its summary."""
    named = [one.symbol for one in result.summary.per_instrument]
    return [symbol for symbol in named or result.summary.instruments if symbol != PORTFOLIO]


def _words_of(column: str) -> str:
    """Return a term's own text: ``enter_long[0]: rsi < 30`` without its place."""
    return column.split(": ", 1)[-1]


def _known(value: float | None) -> float | None:
    return None if value is None or value != value else float(value)


def _collected(result: ResultFiles, frame: pl.LazyFrame) -> pl.DataFrame:
    try:
        return frame.collect()
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{result.directory} cannot be read: {reason}") from error


_SENTENCES = {
    "": "Nothing was decided, and no reason was recorded.",
    "enter_long": "An entry to the long side was decided.",
    "enter_short": "An entry to the short side was decided.",
    "exit": "The exit of the position was decided.",
    "reverse": "An exit and an entry to the other side were decided.",
    "condition_false": "No entry condition was true.",
    "warming_up": "An entry condition was unknown: an indicator had too few bars behind it.",
    "in_position": "A position was held, and no exit was due.",
    "working_entry": "An entry order was already working.",
    "cooldown": "The pause after the last trade was not over.",
    "exiting": "An exit was already under way.",
    "conflicting_entries": "Entries to both sides were true at once, so neither was taken.",
    "not_shortable": "A short entry was true, but the instrument can't be sold short.",
    "price_unknown": "An entry was true, but its limit or stop price was unknown.",
    "distance_unknown": "An entry was true, but the distance of its stop was unknown.",
    "size_rounds_to_zero": "An entry was true, but its quantity rounds to zero.",
    "daily_loss": "No entry: the day's loss reached its limit.",
    "drawdown_stop": "No entry: the drawdown reached its limit, which stops the strategy.",
    "halted": "The instrument was halted.",
    "outside_session": "The bar lies outside the hours in which entries are allowed.",
    "session_closing": "No entry: the session was about to close.",
    "position_limit": "The entry was refused: the position would be above its limit.",
    "order_quantity_limit": "The entry was refused: its quantity is above the limit of an order.",
    "order_notional_limit": "The entry was refused: its value is above the limit of an order.",
    "price_collar": "The entry was refused: its price is too far from the market.",
    "insolvent": "No entry: equity is used up.",
}
