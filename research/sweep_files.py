"""The files of a sweep: JSON, Parquet and one page of charts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from foundation.files import atomic_directory
from foundation.log_file import note
from research.arrow_columns import numbers, table_of
from research.backtest import ENGINE_VERSION
from research.figures import CoreFigures
from research.parameter_sets import count_sets
from research.study_page import PAGE_FILE
from research.sweeping import Sweep, best_sets
from trading.document import canonical

SWEEP_FILE = "sweep.json"
ROWS_FILE = "sweep.parquet"


def write_sweep(
    sweep: Sweep,
    directory: Path,
    *,
    choice: Mapping[str, Any] | None = None,
    plateau: NDArray[np.float64] | None = None,
    page: str = "",
) -> dict[str, Any]:
    """Write ``sweep.parquet``, ``sweep.json`` and the page where one is given, all or none.

    Parameters
    ----------
    choice : mapping, optional
        What was chosen and what it is worth, as JSON values; see `research.sweep_choice`.
    plateau : float64 array, shape (n_sets,), optional
        What each set's neighbourhood is worth, a column of its own.
    page : str
        HTML; see `research.sweep_page`.

    Returns
    -------
    dict
        The content of ``sweep.json``.

    Raises
    ------
    DataError
        If the disk is full or the directory can't be written; what was there
        before stays whole.
    """
    about = describe_sweep(sweep)
    if choice is not None:
        about["choice"] = dict(choice)
    with atomic_directory(directory) as partial:
        pq.write_table(
            sweep_table(sweep, plateau),
            partial / ROWS_FILE,
            compression="zstd",
            store_schema=False,
        )
        text = json.dumps(about, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        (partial / SWEEP_FILE).write_text(text, "utf-8")
        if page:
            (partial / PAGE_FILE).write_text(page, "utf-8")
    note(
        strategy=sweep.strategy.name,
        sweep_id=sweep.sweep_id,
        bars=sweep.bars,
        sets=len(sweep.sets),
        directory=str(directory),
    )
    return about


def sweep_table(sweep: Sweep, plateau: NDArray[np.float64] | None = None) -> pa.Table:
    """Return one row for each set: its number, its values, its figures.

    With a choice, what its neighbourhood is worth too. What is not defined is
    null.
    """
    columns: dict[str, pa.Array | NDArray[Any]] = {
        "set": np.arange(1, len(sweep.sets) + 1, dtype=np.int64)
    }
    for name in sweep.values:
        columns[name] = numbers(np.array([one[name] for one in sweep.sets], np.float64))
    records = [one.as_record() for one in sweep.figures]
    for spec in fields(CoreFigures):
        kind = pa.int64() if spec.name.startswith("n_") else pa.float64()
        # A parameter may have a figure's name; the parameter keeps it.
        name = f"figure_{spec.name}" if spec.name in columns else spec.name
        columns[name] = pa.array([record[spec.name] for record in records], kind)
    if plateau is not None:
        around = pa.array([x if np.isfinite(x) else None for x in plateau.tolist()], pa.float64())
        columns.setdefault("plateau", around)
    return table_of(columns)


def describe_sweep(sweep: Sweep) -> dict[str, Any]:
    """Return what ``sweep.json`` says: what was run, on what, and the best set by Sharpe."""
    request = sweep.request
    best = best_sets(sweep, "sharpe", 1)
    return {
        "strategy": sweep.strategy.name,
        "version_hash": sweep.version,
        "data_fingerprint": sweep.fingerprint,
        "engine_version": ENGINE_VERSION,
        "sweep_id": sweep.sweep_id,
        "instruments": list(sweep.instruments),
        "currency": sweep.currency,
        "timeframe": sweep.strategy.timeframe,
        "start": sweep.start,
        "end": sweep.end,
        "bars": sweep.bars,
        "starting_cash": request.cash,
        "annualisation": sweep.annualisation,
        "parameters": list(sweep.values),
        "values": {name: list(found) for name, found in sweep.values.items()},
        "fixed": dict(request.values),
        "n_sets": len(sweep.sets),
        "n_grid": count_sets(sweep.values),
        "n_skipped": len(sweep.skipped),
        "skipped": list(sweep.skipped[:20]),
        "best": None if not best else {**sweep.sets[best[0]], **sweep.figures[best[0]].as_record()},
        "document": canonical(request.document).decode(),
    }
