"""Moves as the checks see them: free of known splits, of one company, over the day's sigma."""

from __future__ import annotations

import numpy as np

from market_data.columns import BarColumns
from market_data.companies import Companies
from market_data.quality.companies import tell_apart
from market_data.quality.moves import in_sigmas, moves_of
from market_data.quality.subject import FloatArray, placed_subject
from market_data.sessions import SessionTable
from market_data.timeframes import parse_timeframe


def returns_in_sigmas(
    columns: BarColumns,
    table: SessionTable,
    timeframe: str,
    actions: np.ndarray | None = None,
    companies: Companies | None = None,
) -> FloatArray:
    """Return the moves from close to close that the check `jump` judges, in day's sigmas.

    Parameters
    ----------
    columns : BarColumns
        In order of time; bars in no session and impossible prices are left out.
    actions : DATED_ACTION array, optional
        Splits that the prices show are taken out of the moves.
    companies : Companies, optional
        By the listings; there is no move from one company to the next.
    """
    with np.errstate(invalid="ignore"):
        prices = columns.prices[:4]
        possible = np.all((prices > 0) & np.isfinite(prices), axis=0)
    kept = columns.select(possible)
    subject = placed_subject(
        kept.ts, kept.prices, symbol="", frame=parse_timeframe(timeframe), table=table,
        actions=actions, companies=companies,
    )  # fmt: skip
    subject = subject.select(subject.i_session >= 0)
    if subject.n_bars == 0:
        return np.zeros(0)
    _, parts = tell_apart(subject)
    return np.concatenate([np.zeros(0), *(in_sigmas(part, moves_of(part))[1:] for part in parts)])
