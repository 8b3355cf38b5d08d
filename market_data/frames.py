"""Bars as Polars frames, read lazily from a folder or from an object store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foundation.errors import DataError
from foundation.objects import ObjectPath
from market_data.store import Store

if TYPE_CHECKING:
    import polars as pl


def scan_bars(store: Store, symbol: str, timeframe: str) -> pl.LazyFrame:
    """Return the bars of a series, of which only what is asked for will be read.

    Parameters
    ----------
    symbol, timeframe : str
        Of a stored series.

    Returns
    -------
    polars.LazyFrame
        Oldest first: ts (open time, UTC), session, open, high, low, close,
        volume, and bid_* and ask_* where there are some; without the bars in
        quarantine.

    Raises
    ------
    DataError
        If the series is not stored.
    """
    import polars as pl

    series = store.find_series(symbol, timeframe)
    if series is None or not series.files:
        raise DataError(f"no {timeframe} bars of {symbol} are stored")
    folder = store.series_folder(symbol, timeframe)
    options = storage_options(store.home) if isinstance(store.home, ObjectPath) else None
    parts = [str(folder / file.name) for file in series.files]
    # A later month may have quotes that an earlier one lacks.
    frame = pl.concat(
        # The folder's name holds the symbol, in the form of a URL.
        [
            pl.scan_parquet(p, storage_options=options, glob=False, hive_partitioning=False)
            for p in parts
        ],
        how="diagonal",
    )
    bad = store.read_quarantine(symbol, timeframe)["ts"].to_pylist()
    return frame.filter(~pl.col("ts").is_in(bad)) if bad else frame


def storage_options(place: ObjectPath) -> dict[str, Any]:
    """Return what Polars needs to read a bucket, from where boto3 has it."""
    return {f"aws_{name}": value for name, value in place.access().items()} | {
        "aws_allow_http": "true"
    }
