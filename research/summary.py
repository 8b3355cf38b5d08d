"""The content of summary.json: what a result says of itself.

Owns the names, the units and the bytes of the file. Imported on the way from
a backtest to its summary, so it needs neither polars nor pandas.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec

from foundation.errors import DataError

SUMMARY_FILE = "summary.json"

# Sentences for logs and terminals. The report words these facts itself, at
# more length, and leaves them out of what it takes over from the summary.
NOTE_SAME_CLOSE = "Orders fill at the close of the deciding bar: for comparison only."
NOTE_SIZED_AT_FILL = "Quantities are decided at the fill: for comparison only."
NOTE_NO_VOLUME = "The data has no volume, so the participation limit is off."
NOTE_NEVER_TRADED = "The strategy never traded; the decision rows say why, bar by bar."
STANDING_NOTES = frozenset((NOTE_SAME_CLOSE, NOTE_SIZED_AT_FILL, NOTE_NO_VOLUME, NOTE_NEVER_TRADED))


class Figures(msgspec.Struct, kw_only=True):
    """Key figures, with the units and conventions of `trading.statistics`.

    Returns, drawdowns and rates are fractions; None where a figure is not
    defined, such as a Sharpe ratio without volatility.
    """

    starting_cash: float = 0.0
    final_equity: float = 0.0
    final_equity_optimistic: float | None = None
    lowest_cash: float | None = None
    total_return: float | None = None
    cagr: float | None = None
    volatility: float | None = None
    sharpe: float | None = None
    sortino: float | None = None
    calmar: float | None = None
    max_drawdown: float | None = None
    max_drawdown_days: float | None = None
    exposure: float | None = None
    n_orders: int = 0
    n_fills: int = 0
    n_trades: int = 0
    n_open: int = 0
    win_rate: float | None = None
    profit_factor: float | None = None
    expectancy: float | None = None
    average_trade: float | None = None
    best_trade: float | None = None
    worst_trade: float | None = None
    total_commission: float = 0.0
    total_slippage: float = 0.0
    total_borrow_cost: float = 0.0
    total_dividends: float = 0.0
    turnover: float | None = None
    buy_and_hold_return: float | None = None
    alpha: float | None = None
    beta: float | None = None
    probabilistic_sharpe: float | None = None


class InstrumentFigures(Figures, kw_only=True):
    """Key figures of one sleeve."""

    symbol: str
    bars: int = 0
    start: str = ""
    end: str = ""


class YearFigures(msgspec.Struct, kw_only=True):
    """One calendar year of the portfolio; `trading.statistics.Period`."""

    year: int
    n_sessions: int = 0
    total_return: float | None = None
    buy_and_hold_return: float | None = None
    volatility: float | None = None
    sharpe: float | None = None
    max_drawdown: float | None = None


class Summary(Figures, kw_only=True):
    """A result: what was run, on what, under which assumptions, and what came out.

    Attributes
    ----------
    start, end : str
        First and last session, ISO dates.
    bars : int
        Bars of all instruments from start to end, without warm-up.
    fill : str
        ``next_open`` or ``same_close``.
    sized_at : str
        ``decision`` or ``fill``.
    intrabar : str or None
        Timeframe of the finer bars that decided the path within a bar.
    has_volume : bool
        False when the data carries none, so that participation limits are off.
    costs, risk, parameters : dict
        As resolved from the strategy document and the options.
    price_indicators : list of str or None
        Named indicator outputs in the price's unit, which a chart may draw
        over the price; None when not known.
    document : str
        The strategy document as run, YAML or JSON text.
    """

    strategy: str
    version_hash: str = ""
    data_fingerprint: str = ""
    engine_version: str = ""
    run_id: str = ""
    description: str = ""
    instruments: list[str] = []
    currency: str = "USD"
    timeframe: str = ""
    start: str = ""
    end: str = ""
    bars: int = 0
    annualisation: int = 252
    benchmark: str = ""
    risk_free_rate: float = 0.0
    fill: str = "next_open"
    sized_at: str = "decision"
    limit_fill: str = "through"
    close_at_end: bool = False
    intrabar: str | None = None
    has_volume: bool = True
    max_participation: float | None = None
    corporate_actions: bool = False
    costs: dict[str, Any] = {}
    risk: dict[str, Any] = {}
    parameters: dict[str, Any] = {}
    price_indicators: list[str] | None = None
    document: str = ""
    notes: list[str] = []
    per_instrument: list[InstrumentFigures] = []
    per_year: list[YearFigures] = []


def encode_summary(summary: Summary) -> bytes:
    """Encode a summary as indented JSON with the fields in their own order.

    Raises
    ------
    ValueError
        If a number is not finite: an undefined figure must be None.
    """
    record = msgspec.to_builtins(summary)
    _require_finite(record, "")
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def read_summary(directory: Path) -> Summary:
    """Read the summary of a result directory.

    Raises
    ------
    DataError
        If there is none, or it is not a summary.
    """
    path = Path(directory) / SUMMARY_FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{directory} holds no result: {SUMMARY_FILE} is missing") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    try:
        return msgspec.json.decode(content, type=Summary, strict=False)
    except msgspec.MsgspecError as error:
        raise DataError(f"{path} is not a summary: {error}") from error


def _require_finite(value: Any, place: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"summary figure {place or 'value'} must be finite or None, got {value}")
    if isinstance(value, dict):
        for key, item in value.items():
            _require_finite(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        for i_item, item in enumerate(value):
            _require_finite(item, f"{place}[{i_item}]")
