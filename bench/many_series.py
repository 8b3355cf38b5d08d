"""A store of many series for `query`: a few are written, the others are links to their files."""

from __future__ import annotations

import json
import os
from pathlib import Path

from bench.minute_files import CALENDAR, symbol_bars
from market_data.store import Store
from trading.instruments import Instrument

N_WRITTEN = 2


def symbol_name(i: int) -> str:
    """Return the name of the i-th symbol."""
    return f"SYM{i:03}"


def write_store(home: Path, n_symbols: int, n_bars: int) -> Store:
    """Make a store of minute bars.

    Every series has a folder, a list of files and files of its own names, so
    that listing, catalogue and choice of files cost what they cost; only the
    bytes behind the names are shared.
    """
    store = Store(home)
    for i in range(min(N_WRITTEN, n_symbols)):
        store.write_bars(
            symbol_name(i), "1m", symbol_bars(n_bars, seed=i), calendar=CALENDAR, source="bench"
        )
    written = [store.series_folder(symbol_name(i), "1m") for i in range(N_WRITTEN)]
    for i in range(N_WRITTEN, n_symbols):
        source = written[i % N_WRITTEN]
        folder = Path(str(store.series_folder(symbol_name(i), "1m")))
        folder.mkdir()
        fields = json.loads((source / "series.json").read_text())
        for file in fields["files"]:
            os.link(str(source / file["name"]), folder / file["name"])
        fields["symbol"] = symbol_name(i)
        (folder / "series.json").write_text(json.dumps(fields, indent=1, sort_keys=True) + "\n")
    for i in range(n_symbols):
        store.write_instrument(Instrument(symbol_name(i), calendar=CALENDAR))
    return store
