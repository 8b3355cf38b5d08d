"""Several results side by side: an overview, key figures, what was run differently.

Owns which figures stand beside each other and how documents are told apart;
the figures themselves are the summaries'.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
import yaml

from research import look, report_words
from research.figures import LOWER_IS_BETTER
from research.summary import Figures, Summary

UNSET = "–"
_OVERVIEW = (
    "total_return", "cagr", "buy_and_hold_return", "sharpe", "max_drawdown", "exposure",
    "n_trades", "win_rate", "profit_factor", "final_equity",
)  # fmt: skip
# What of a run, beside its document, makes figures differ.
_RUN_FIELDS = (
    "instruments", "timeframe", "start", "end", "starting_cash", "currency", "parameters",
    "fill", "sized_at", "limit_fill", "intrabar", "close_at_end", "corporate_actions",
    "data_fingerprint", "engine_version",
)  # fmt: skip

# By the label that the report has for it: the figure, and the unit of a difference.
_FIGURES: dict[str, tuple[str, str]] = {
    "Starting cash": ("starting_cash", "money"),
    "Final equity": ("final_equity", "money"),
    "Final equity, favourable path": ("final_equity_optimistic", "money"),
    "Total return": ("total_return", "points"),
    "CAGR": ("cagr", "points"),
    "Buy and hold": ("buy_and_hold_return", "points"),
    "Alpha": ("alpha", "points"),
    "Beta": ("beta", "number"),
    "Volatility": ("volatility", "points"),
    "Sharpe ratio": ("sharpe", "ratio"),
    "Sortino ratio": ("sortino", "ratio"),
    "Calmar ratio": ("calmar", "ratio"),
    "Maximum drawdown": ("max_drawdown", "points"),
    "Its duration": ("max_drawdown_days", "days"),
    "Probabilistic Sharpe": ("probabilistic_sharpe", "points"),
    "Lowest cash": ("lowest_cash", "money"),
    "Trades": ("n_trades", "count"),
    "Won": ("win_rate", "points"),
    "Profit factor": ("profit_factor", "number"),
    "Expectancy": ("expectancy", "money"),
    "Average trade": ("average_trade", "points"),
    "Best trade": ("best_trade", "points"),
    "Worst trade": ("worst_trade", "points"),
    "Exposure": ("exposure", "points"),
    "Turnover": ("turnover", "number"),
    "Orders": ("n_orders", "count"),
    "Fills": ("n_fills", "count"),
    "Commission": ("total_commission", "money"),
    "Slippage": ("total_slippage", "money"),
}
# What one of each key figure is; money is in the result's currency.
UNITS = {
    **dict.fromkeys(
        ("starting_cash", "final_equity", "final_equity_optimistic", "lowest_cash", "expectancy",
         "total_commission", "total_slippage", "total_borrow_cost", "total_dividends"),
        "money",
    ),
    **dict.fromkeys(
        ("total_return", "max_drawdown", "exposure", "win_rate", "average_trade", "best_trade",
         "worst_trade", "buy_and_hold_return"),
        "fraction",
    ),
    **dict.fromkeys(("cagr", "volatility", "alpha"), "fraction a year"),
    **dict.fromkeys(("sharpe", "sortino", "calmar", "profit_factor", "beta"), "ratio"),
    **dict.fromkeys(("n_orders", "n_fills", "n_trades", "n_open"), "count"),
    "max_drawdown_days": "calendar days",
    "turnover": "times the average equity a year",
    "probabilistic_sharpe": "probability",
}  # fmt: skip
# More or less of these is neither better nor worse in itself.
_NEUTRAL = frozenset(
    ("starting_cash", "buy_and_hold_return", "beta", "n_trades", "exposure", "turnover",
     "n_orders", "n_fills", "lowest_cash")
)  # fmt: skip
_LESS_IS_BETTER = LOWER_IS_BETTER | {"max_drawdown_days"}
# What makes two runs unlike in more than their strategy, and what to say of it.
_UNLIKE = {
    "instruments": "The results are of other instruments",
    "timeframe": "The results are of bars of other lengths",
    "start": "The results begin on other days",
    "end": "The results end on other days",
    "starting_cash": "The results began with other amounts of cash",
    "currency": "The results are in other currencies",
    "fill": "Market orders fill at other moments",
    "sized_at": "Quantities are decided at other moments",
    "engine_version": "The results are of other versions of the engine",
}


@dataclass(frozen=True, slots=True)
class ComparedFigure:
    """One key figure of several results, written with its unit.

    Attributes
    ----------
    group, label, convention : str
        As in the report.
    values : tuple of str
        In the order of the results.
    changes : tuple of str
        Against the first result, in points of a percentage where it is one;
        empty for the first itself, where nothing changed in the digits shown,
        where either is not defined, and for a result of other days.
    tones : tuple of str
        Of each change ``gain`` when it is for the better, ``loss`` when it is
        for the worse, else empty.
    """

    group: str
    label: str
    convention: str
    values: tuple[str, ...]
    changes: tuple[str, ...] = ()
    tones: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """A place in which documents or runs differ.

    Attributes
    ----------
    path : str
        Such as ``execution.stop_loss.percent``.
    values : tuple of str
        In the order of the results; `UNSET` where there is nothing.
    """

    path: str
    values: tuple[str, ...]


def overview_frame(results: Sequence[tuple[str, datetime, Summary]]) -> pl.DataFrame:
    """Return one row for each result: what was run, and the figures that matter first.

    Parameters
    ----------
    results : sequence of (run id, time written, summary)
    """
    rows = [
        (
            one.strategy, one.version_hash[:8], one.instruments, one.timeframe, one.start, one.end,
            *(getattr(one, name) for name in _OVERVIEW), one.currency, written, run,
        )
        for run, written, one in results
    ]  # fmt: skip
    schema: dict[str, Any] = {
        "strategy": pl.String, "version": pl.String, "instruments": pl.List(pl.String),
        "timeframe": pl.String, "start": pl.String, "end": pl.String,
    }  # fmt: skip
    schema |= {name: pl.Int64 if name == "n_trades" else pl.Float64 for name in _OVERVIEW}
    schema |= {"currency": pl.String, "written": pl.Datetime("us", "UTC"), "run": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def compare_figures(summaries: Sequence[Summary]) -> list[ComparedFigure]:
    """Return the report's key figures of several results, row by row."""
    grouped = [report_words.groups(summary) for summary in summaries]
    rows = []
    for group in zip(*grouped, strict=True):
        for figures in zip(*(one.figures for one in group), strict=True):
            conventions = list(dict.fromkeys(one.convention for one in figures))
            changes = [_change(figures[0].label, summaries[0], one) for one in summaries]
            rows.append(
                ComparedFigure(
                    group[0].title,
                    figures[0].label,
                    "; ".join(conventions),
                    tuple(one.value for one in figures),
                    tuple(change for change, _ in changes),
                    tuple(tone for _, tone in changes),
                )
            )
    return rows


def _change(label: str, first: Summary, other: Summary) -> tuple[str, str]:
    """Return how a figure differs from that of the first result, and whether for the better."""
    name, unit = _FIGURES[label]
    before, after = getattr(first, name), getattr(other, name)
    if other is first or not look.is_number(before) or not look.is_number(after):
        return "", ""
    if not same_days(first, other):
        return "", ""
    if unit == "money" and first.currency != other.currency:
        return "", ""
    # A drawdown is written as the fall that it is.
    change = float(after - before) * (-1.0 if name == "max_drawdown" else 1.0)
    better = change if name not in _LESS_IS_BETTER or name == "max_drawdown" else -change
    tone = "" if name in _NEUTRAL else "gain" if better > 0 else "loss"
    digits = {"ratio": 3, "count": 0, "days": 0}.get(unit, 2)
    text = look.number(change * 100.0 if unit == "points" else change, digits)
    if not text.strip("0.,"):
        return "", ""  # No change that the digits shown could tell.
    return f"+{text}" if change > 0 else text, tone


def same_days(first: Summary, other: Summary) -> bool:
    """Tell whether two results begin and end on the same days."""
    return (first.start, first.end) == (other.start, other.end)


def unlike_runs(summaries: Sequence[Summary]) -> list[str]:
    """Return why the results are not only those of other versions, a sentence each.

    A difference between figures may then come from what the sentence names
    and say nothing about the strategies.
    """
    found = []
    for name, sentence in _UNLIKE.items():
        values = [_worded(getattr(one, name)) for one in summaries]
        if len(set(values)) > 1:
            mark = "; " if any(", " in value for value in values) else ", "
            found.append(f"{sentence}: {mark.join(dict.fromkeys(values))}.")
    alike = all(
        getattr(one, name) == getattr(summaries[0], name)
        for one in summaries
        for name in ("instruments", "timeframe", "start", "end")
    )
    prints = dict.fromkeys(one.data_fingerprint[:12] for one in summaries)
    if alike and len(prints) > 1:
        found.append(
            "The bars of the same instruments and days have other content: data "
            f"{', '.join(prints)}. They were revised in between, or come from another source."
        )
    return found


def _worded(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else _written(value)


def document_diff(first: Summary, other: Summary) -> list[str]:
    """Return the canonical documents' differences line by line, as `diff -u` shows them.

    Returns
    -------
    list of str
        Lines that begin with a space, ``+``, ``-`` or ``@``; empty when the
        documents say the same.
    """
    before, after = (_plain_text(one.document).splitlines() for one in (first, other))
    # The first two lines name files.
    return list(difflib.unified_diff(before, after, n=3, lineterm=""))[2:]


def _plain_text(document: str) -> str:
    """Return a document as YAML with sorted keys, so that equal ones read equal."""
    decoded = _decoded(document)
    if not isinstance(decoded, (dict, list)):
        return document
    text: str = yaml.safe_dump(decoded, sort_keys=True, allow_unicode=True, width=100)
    return text


def tidy_figures(summary: Summary) -> list[tuple[str, float | None]]:
    """Return all key figures of a result as numbers, by the names of summary.json."""
    found: list[tuple[str, float | None]] = []
    for name in Figures.__struct_fields__:
        value = getattr(summary, name)
        found.append((name, float(value) if look.is_number(value) else None))
    return found


def run_differences(summaries: Sequence[Summary]) -> list[Difference]:
    """Return what differs between runs apart from the strategy document."""
    records = []
    for one in summaries:
        fields = {name: getattr(one, name) for name in _RUN_FIELDS}
        fields["data_fingerprint"] = one.data_fingerprint[:12]
        records.append(_flattened(fields))
    return _differences(records)


def document_differences(summaries: Sequence[Summary]) -> list[Difference]:
    """Return the places in which the strategy documents differ."""
    return _differences([_flattened(_decoded(one.document)) for one in summaries])


def _differences(records: list[dict[str, str]]) -> list[Difference]:
    paths = dict.fromkeys(path for record in records for path in record)
    rows = [Difference(path, tuple(one.get(path, UNSET) for one in records)) for path in paths]
    return [row for row in rows if len(set(row.values)) > 1]


def _decoded(document: str) -> Any:
    """Return a document as plain values; text that is none counts as one value."""
    try:
        return json.loads(document)
    except ValueError:
        pass
    try:
        return yaml.safe_load(document)
    except yaml.YAMLError:
        return document


def _flattened(value: Any, path: str = "") -> dict[str, str]:
    """Return each leaf by its path; a list of plain values is one leaf."""
    if isinstance(value, dict) and value:
        found: dict[str, str] = {}
        for name, item in value.items():
            found |= _flattened(item, f"{path}.{name}" if path else str(name))
        return found
    if isinstance(value, (list, tuple)) and any(isinstance(one, (dict, list)) for one in value):
        found = {}
        for i_item, item in enumerate(value):
            found |= _flattened(item, f"{path}[{i_item}]")
        return found
    if value is None:
        return {}
    if isinstance(value, (list, tuple)):
        return {path: ", ".join(_written(one) for one in value)}
    return {path: _written(value)}


def _written(value: Any) -> str:
    """Return a plain value as text: 40 and 40.0 are one number, whoever wrote them."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
