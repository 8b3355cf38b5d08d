"""Putting a backtest on record: its version, that it ran, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import Engine

from market_data.loading import LoadedBars
from research.backtest import ENGINE_VERSION, Backtest
from research.data_impact import bars_used
from research.summary import Figures, Summary
from strategies.data_use import RunKind, record_bars_used
from strategies.runs import RunStart, record_run_failed, record_run_started, record_run_succeeded
from strategies.versions import save_version
from trading.document import canonical
from trading.expressions.strategy import bind


@contextmanager
def recorded_run(
    engine: Engine, backtest: Backtest, directory: Path, *, author: str
) -> Iterator[Callable[[Summary], None]]:
    """Record that a backtest's result is being written, and how that ended.

    Parameters
    ----------
    engine : Engine
    backtest : Backtest
        Finished, in memory.
    directory : Path
        Where its files go.
    author : str
        Of the strategy version, if it isn't stored yet.

    Yields
    ------
    callable
        To be given the summary once the files are there. A block that ends
        without it, by an error, is recorded as failed.
    """
    document = backtest.request.document
    save_version(engine, name=document.name, document=canonical(document), author=author)
    record_run_started(
        engine,
        RunStart(
            run_id=backtest.run_id,
            version_hash=backtest.version,
            data_fingerprint=backtest.fingerprint,
            engine_version=ENGINE_VERSION,
            options=options_of(backtest),
            result_directory=str(directory),
        ),
    )
    used = bars_used(backtest.request, [sleeve.loaded for sleeve in backtest.sleeves])
    record_bars_used(engine, RunKind.BACKTEST, backtest.run_id, used)
    try:
        yield lambda summary: record_run_succeeded(
            engine,
            backtest.run_id,
            key_figures=figures_of(summary),
            is_evidence=backtest.bound.values == bind(backtest.strategy, {}).values,
        )
    except Exception as error:
        record_run_failed(engine, backtest.run_id, error=str(error).split("\n", 1)[0])
        raise


def options_of(backtest: Backtest) -> dict[str, Any]:
    """Return what was asked for, as JSON values."""
    request = backtest.request
    return {
        "symbols": [sleeve.symbol for sleeve in backtest.sleeves],
        "start": None if request.start is None else request.start.isoformat(),
        "end": None if request.end is None else request.end.isoformat(),
        "cash": request.cash,
        "parameters": dict(request.values),
        "warmup": request.warmup,
        "bars": "store" if request.source is None else str(request.source.absolute()),
        "calendar": request.calendar,
        "timezone": request.timezone,
        # What an examination of the same bars asks for: tickers as they were named, and the day
        # after which bars may have come since.
        "asked_symbols": list(request.symbols),
        "last_session": max(_last_session(sleeve.loaded) for sleeve in backtest.sleeves),
    }


def _last_session(loaded: LoadedBars) -> str:
    return str(np.datetime64(int(loaded.bars.session[-1]), "D"))


def figures_of(summary: Summary) -> dict[str, Any]:
    """Return the key figures of a summary, as JSON values."""
    record = msgspec.to_builtins(summary)
    return {name: record[name] for name in Figures.__struct_fields__}
