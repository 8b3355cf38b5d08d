"""The sample set that comes with the platform, and its way into a store."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from foundation.progress import Progress, silent
from market_data.actions import derive_actions
from market_data.building import DATED_ACTION, place_bars
from market_data.columns import COLUMN_NAMES, BarColumns, arrow_column, column_values
from market_data.generator import SIM, generate_minutes
from market_data.series import Series
from market_data.sessions import SessionTable, days_of
from market_data.store import Store
from market_data.timeframes import DAY_NS, parse_timeframe
from trading.instruments import Instrument

SAMPLE = Path(__file__).resolve().parent / "sample"
SAMPLE_SYMBOLS = ("AAPL", "MSFT", "GOOG", "FB")
SAMPLE_SOURCE = "Quandl WIKI, public domain"
SIM_FIRST, SIM_LAST = date(2024, 1, 2), date(2024, 3, 28)
SIM_SEED = 12
SIM_SOURCE = f"generated from seed {SIM_SEED}"
ACTIONS_SOURCE = "derived from the adjusted closes of Quandl WIKI"


def read_sample() -> pa.Table:
    """Return the WIKI bars: symbol, ts, open, high, low, close, volume, adjusted_close."""
    with pq.ParquetFile(SAMPLE / "wiki_daily.parquet") as file:
        return file.read()


def read_sample_actions(symbol: str) -> NDArray[np.void]:
    """Return the splits and dividends of a sample symbol by ex-date."""
    with pq.ParquetFile(SAMPLE / "wiki_daily_actions.parquet") as file:
        table = file.read()
    table = table.filter(pc.equal(table["symbol"], symbol))
    actions = np.zeros(table.num_rows, DATED_ACTION)
    actions["ex_date"] = column_values(table["ex_date"], "i4")
    actions["split_ratio"] = column_values(table["split_ratio"], "f8")
    actions["dividend"] = column_values(table["dividend"], "f8")
    return actions


def derive_sample_actions() -> pa.Table:
    """Derive the table of splits and dividends from the sample's adjusted closes.

    ``python -m market_data.sample_set`` writes it beside the bars.
    """
    bars = read_sample()
    parts = []
    for symbol in SAMPLE_SYMBOLS:
        rows = bars.filter(pc.equal(bars["symbol"], symbol))
        session = column_values(rows["ts"], "i8") // (DAY_NS // 1000)
        actions = derive_actions(
            session, *(column_values(rows[name], "f8") for name in ("close", "adjusted_close"))
        )
        parts.append(
            pa.table(
                {
                    "symbol": pa.array([symbol] * actions.shape[0], pa.string()),
                    "ex_date": arrow_column(actions["ex_date"].astype(np.int32), pa.date32()),
                    "split_ratio": arrow_column(actions["split_ratio"], pa.float64()),
                    "dividend": arrow_column(actions["dividend"], pa.float64()),
                }
            )
        )
    return pa.concat_tables(parts)


def load_sample(store: Store, progress: Progress = silent) -> list[Series]:
    """Load the sample set into a store; doing it again changes nothing.

    Parameters
    ----------
    progress : Progress
        Told of each series.

    Returns
    -------
    list of Series
        The stored series: daily bars of real stocks, minute bars of SIM.
    """
    n_series = len(SAMPLE_SYMBOLS) + 1
    bars = read_sample()
    # One table for all of it, so that the calendar is asked once.
    first_ns = int(column_values(bars["ts"], "i8").min()) * 1000
    sessions = store.sessions("XNYS", first_ns, days_of(SIM_LAST) * DAY_NS)
    loaded = []
    for done, symbol in enumerate(SAMPLE_SYMBOLS):
        progress(done, n_series, f"{symbol} 1d")
        stored = store.find_series(symbol, "1d")
        if stored is not None and stored.sources == (SAMPLE_SOURCE,):
            loaded.append(stored)
            continue
        rows = bars.filter(pc.equal(bars["symbol"], symbol))
        ts = column_values(rows["ts"], "i8") * 1000
        placement = place_bars(sessions, parse_timeframe("1d"), ts)
        columns = BarColumns(
            sessions.open[placement.i_session],
            sessions.date[placement.i_session],
            np.stack([column_values(rows[name], "f8") for name in COLUMN_NAMES]),
        )
        store.write_instrument(Instrument(symbol, tick=0.01, calendar="XNYS"))
        store.write_actions(symbol, read_sample_actions(symbol), ACTIONS_SOURCE)
        loaded.append(
            store.write_bars(symbol, "1d", columns, calendar="XNYS", source=SAMPLE_SOURCE)
        )
    progress(n_series - 1, n_series, "SIM 1m")
    loaded.append(_load_simulated(store, sessions))
    progress(n_series, n_series, "sample set")
    return loaded


def _load_simulated(store: Store, sessions: SessionTable) -> Series:
    stored = store.find_series(SIM.symbol, "1m")
    if stored is not None and stored.sources == (SIM_SOURCE,):
        return stored
    made = generate_minutes(SIM_FIRST, SIM_LAST, seed=SIM_SEED, sessions=sessions)
    store.write_instrument(SIM)
    return store.write_bars(
        SIM.symbol, "1m", made.columns, calendar=SIM.calendar, source=SIM_SOURCE
    )


def main() -> None:
    """Write the derived table of actions beside the sample's bars."""
    pq.write_table(
        derive_sample_actions(),
        SAMPLE / "wiki_daily_actions.parquet",
        compression="zstd",
        version="2.6",
    )


if __name__ == "__main__":
    main()
