"""Several results side by side: an overview, key figures, what was run differently.

Owns which figures stand beside each other and how documents are told apart;
the figures themselves are the summaries'.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
import yaml

from research import report_words
from research.summary import Summary

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


@dataclass(frozen=True, slots=True)
class ComparedFigure:
    """One key figure of several results, written with its unit.

    Attributes
    ----------
    group, label, convention : str
        As in the report.
    values : tuple of str
        In the order of the results.
    """

    group: str
    label: str
    convention: str
    values: tuple[str, ...]


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
            rows.append(
                ComparedFigure(
                    group[0].title,
                    figures[0].label,
                    "; ".join(conventions),
                    tuple(one.value for one in figures),
                )
            )
    return rows


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
