"""Corporate actions as their source states them: kind and day of announcement.

What the engine needs of an action are its ex-date, ratio and cash
(`market_data.building.DATED_ACTION`). A source may state more: of which kind it
was, when it became known, and several actions of one day apart. The store keeps
these records; they are put together by ex-date when bars are loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foundation.errors import DataError
from market_data.building import DATED_ACTION
from market_data.columns import arrow_column, column_values
from market_data.sessions import days_of

# Kinds by their place here. A spin-off is counted as the cash value of what one
# share was given; whoever states it says at which price.
KINDS: tuple[str, ...] = (
    "",  # Not stated.
    "split",
    "stock_dividend",
    "dividend",
    "special_dividend",
    "spin_off",
)
RATIO_KINDS = ("split", "stock_dividend")
CASH_KINDS = ("dividend", "special_dividend", "spin_off")

# Names that files use for the same.
ALIASES = {
    "reverse_split": "split",
    "forward_split": "split",
    "stock_split": "split",
    "bonus": "stock_dividend",
    "bonus_issue": "stock_dividend",
    "scrip": "stock_dividend",
    "cash": "dividend",
    "cash_dividend": "dividend",
    "regular_dividend": "dividend",
    "special": "special_dividend",
    "spinoff": "spin_off",
    "demerger": "spin_off",
}
# Kinds that are no ratio and no cash, and what to do instead.
REFUSED_KINDS = {
    "rights": "what a right is worth depends on who uses it; state its traded value as a "
    "special_dividend",
    "rights_issue": "what a right is worth depends on who uses it; state its traded value as a "
    "special_dividend",
    "symbol_change": "it belongs in the listings: quarterdeck data listings FILE",
    "ticker_change": "it belongs in the listings: quarterdeck data listings FILE",
    "delisting": "it belongs in the listings: quarterdeck data listings FILE",
    "merger": "it belongs in the listings: quarterdeck data listings FILE",
    "acquisition": "it belongs in the listings: quarterdeck data listings FILE",
}

# Of an action whose day of announcement no source states: known on its ex-date.
NOT_STATED = np.iinfo(np.int64).min

ACTION_RECORD = np.dtype(
    [
        *DATED_ACTION.descr,
        ("announced", "i8"),  # Days since 1970-01-01, or NOT_STATED.
        ("kind", "i8"),  # Place in KINDS.
    ]
)


def kind_of(name: str) -> int:
    """Return the place of a kind in `KINDS` by its name or an alias.

    Raises
    ------
    DataError
        If the name is unknown, or of a kind that has no place here.
    """
    word = name.strip().lower().replace(" ", "_").replace("-", "_")
    if word in REFUSED_KINDS:
        raise DataError(f"{word} is not taken as an action: {REFUSED_KINDS[word]}")
    word = ALIASES.get(word, word)
    if word not in KINDS:
        raise DataError(
            f"kind {name!r} is unknown; there are {', '.join(KINDS[1:])} (and {', '.join(ALIASES)})"
        )
    return KINDS.index(word)


def action_records(
    rows: Sequence[tuple[date, float, float, date | None, int]],
) -> NDArray[np.void]:
    """Return ACTION_RECORDs of (ex_date, split_ratio, dividend, announced, kind), by ex-date."""
    records = np.zeros(len(rows), ACTION_RECORD)
    ordered = sorted(rows, key=lambda row: (row[0], row[4]))
    for i, (ex_date, split_ratio, dividend, announced, kind) in enumerate(ordered):
        known = NOT_STATED if announced is None else days_of(announced)
        records[i] = (days_of(ex_date), split_ratio, dividend, known, kind)
    return records


def as_records(actions: NDArray[np.void]) -> NDArray[np.void]:
    """Return actions with kind and announcement: not stated, if they are plain ones."""
    if actions.dtype == ACTION_RECORD:
        return actions
    records = np.zeros(actions.shape[0], ACTION_RECORD)
    for name in DATED_ACTION.names or ():
        records[name] = actions[name]
    records["announced"] = NOT_STATED
    return records


def known_actions(records: NDArray[np.void], as_of: date | None = None) -> NDArray[np.void]:
    """Put the records of each ex-date together, as far as they were known.

    Parameters
    ----------
    records : ACTION_RECORD or DATED_ACTION array
        By ex-date.
    as_of : date, optional
        Leave out actions whose ex-date or announcement is later.

    Returns
    -------
    DATED_ACTION array
        One row for each ex-date: ratios multiplied, cash added, both for one
        share held before any of them.
    """
    records = as_records(records)
    if as_of is not None:
        day = days_of(as_of)
        records = records[(records["ex_date"] <= day) & (records["announced"] <= day)]
    days, row = np.unique(records["ex_date"], return_inverse=True)
    actions = np.zeros(days.shape[0], DATED_ACTION)
    actions["ex_date"] = days
    actions["split_ratio"] = 1.0
    np.multiply.at(actions["split_ratio"], row, records["split_ratio"])
    np.add.at(actions["dividend"], row, records["dividend"])
    return actions


def table_of_actions(actions: NDArray[np.void], source: str) -> pa.Table:
    """Return actions as the store writes them; what no row states has no column."""
    records = as_records(actions)
    n_rows = records.shape[0]
    columns = {
        "ex_date": arrow_column(records["ex_date"].astype(np.int32), pa.date32()),
        "split_ratio": arrow_column(records["split_ratio"], pa.float64()),
        "dividend": arrow_column(records["dividend"], pa.float64()),
        "source": pa.array([source] * n_rows, pa.string()),
    }
    if bool((records["kind"] != 0).any()):
        names = [KINDS[kind] or None for kind in records["kind"]]
        columns["kind"] = pa.array(names, pa.string())
    if bool((records["announced"] != NOT_STATED).any()):
        days = [None if day == NOT_STATED else int(day) for day in records["announced"]]
        columns["announced"] = pa.array(days, pa.int32()).cast(pa.date32())
    return pa.table(columns)


def records_of_table(table: pa.Table) -> NDArray[np.void]:
    """Return the records of a stored table; errors are the reader's."""
    records = np.zeros(table.num_rows, ACTION_RECORD)
    records["ex_date"] = column_values(table["ex_date"], "i4")
    records["split_ratio"] = column_values(table["split_ratio"], "f8")
    records["dividend"] = column_values(table["dividend"], "f8")
    records["announced"] = NOT_STATED
    if "announced" in table.column_names:
        none = np.iinfo(np.int32).min
        days = column_values(table["announced"], "i4", none).astype(np.int64)
        records["announced"] = np.where(days == none, NOT_STATED, days)
    if "kind" in table.column_names:
        records["kind"] = [KINDS.index(name or "") for name in table["kind"].to_pylist()]
    return records
