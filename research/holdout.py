"""The locked last period: bars that no choice may see, and a record of every look at them.

A period is locked for a strategy's name and instruments. From then on studies
end before it. Looking is allowed, for that is what it is kept for,
but every look is on record, and each one makes the next worth less.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Engine

from foundation.clock import Clock
from foundation.errors import DataError, SpecError
from foundation.progress import Progress, silent
from market_data.listings import read_listings
from market_data.store import Store, base_symbol
from market_data.timeframes import DAY_NS
from research.backtest import BacktestRequest, ReadyBacktest, load_instrument, run_backtest
from research.summary import Summary
from research.writing import write_result
from strategies.data_use import list_uses
from strategies.runs import list_runs
from strategies.studies import (
    LockedPeriod,
    find_locks,
    list_studies,
    lock_period,
    record_opening,
)
from strategies.versions import save_version
from trading.document import canonical
from trading.expressions.strategy import bind, resolve_strategy

SHARE = 0.2
# More runs of one strategy than anybody makes.
N_RUNS_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class Guarded:
    """A request that keeps out of locked periods.

    Attributes
    ----------
    request : BacktestRequest
        Ends before the first locked session.
    locks : tuple of LockedPeriod
        What is locked of its strategy and instruments.
    note : str
        What was cut off, for whoever asked; empty when nothing was.
    """

    request: BacktestRequest
    locks: tuple[LockedPeriod, ...] = ()
    note: str = ""


def instruments_of(request: BacktestRequest) -> tuple[str, ...]:
    """Return the instruments of a request, sorted, without the source of their bars."""
    named = request.symbols or tuple(request.document.instruments)
    return tuple(sorted({base_symbol(symbol) for symbol in named}))


def names_of(symbols: Iterable[str], store: Store) -> frozenset[str]:
    """Return all names of instruments: a security goes by its id and by every ticker that it had."""
    listings = read_listings(store)
    found = {base_symbol(symbol) for symbol in symbols}
    for symbol in tuple(found):
        own = listings.find(symbol)
        for security in {own, *(one for _, one in listings.owners(symbol))} - {None}:
            assert security is not None
            found |= {security.id, *(ticker.name for ticker in security.tickers)}
    return frozenset(found)


def locks_of(engine: Engine, request: BacktestRequest, store: Store) -> list[LockedPeriod]:
    """Return what is locked of a request's strategy and instruments, whatever the timeframe.

    The same sessions by other bars are the same sessions, and an instrument
    under another ticker the same instrument.
    """
    locks = find_locks(engine, name=request.document.name)
    if not locks:
        return []
    names = names_of(instruments_of(request), store)
    return [one for one in locks if names & names_of(one.instruments, store)]


def guard(engine: Engine, request: BacktestRequest, store: Store) -> Guarded:
    """Cut a request that is to choose something to what is not locked.

    Raises
    ------
    DataError
        If it asks for locked sessions by its start or end: whoever writes a
        date down must not get another without being told.
    """
    locks = tuple(locks_of(engine, request, store))
    if not locks:
        return Guarded(request)
    first = min(one.first_session for one in locks)
    last = first - timedelta(days=1)
    for name, asked in (("start", request.start), ("end", request.end)):
        if asked is not None and asked >= first:
            raise DataError(
                f"sessions of {request.document.name} from {first} on are locked, and {name} is "
                f"{asked}; end by {last}, or look once with `quarterdeck holdout open`"
            )
    if request.end is not None:
        return Guarded(request, locks)
    return Guarded(
        replace(request, end=last), locks, f"sessions from {first} on are locked and were left out"
    )


def require_unlocked(
    engine: Engine, request: BacktestRequest, store: Store, last_session: date
) -> None:
    """Refuse a study that saw sessions which were locked while it ran.

    Raises
    ------
    DataError
        Naming the lock.
    """
    for one in locks_of(engine, request, store):
        if one.first_session <= last_session:
            raise DataError(
                f"sessions of {one.name} from {one.first_session} on were locked while this ran, "
                f"and it saw those up to {last_session}; run it again"
            )


def lock(
    engine: Engine,
    request: BacktestRequest,
    store: Store,
    *,
    first_session: date | None = None,
    share: float = SHARE,
    reason: str = "",
    by: str = "",
    clock: Clock | None = None,
) -> LockedPeriod:
    """Lock the last period of a request's bars.

    Parameters
    ----------
    first_session : date, optional
        From which session on; by the share of sessions when not given.
    share : float
        Of all sessions stored, above 0 and below 1.
    by : str
        Who locks; the user of the operating system when empty.

    Raises
    ------
    SpecError
        If the share is none.
    DataError
        If nothing is left on either side, or another period is locked.
    """
    if not 0.0 < share < 1.0:
        raise SpecError(f"must be above 0 and below 1, got {share:g}", path="share")
    instruments = instruments_of(request)
    sessions = _sessions(request, store)
    at = len(sessions) - floor(share * len(sessions))
    if first_session is not None:
        at = int(np.searchsorted(sessions, np.datetime64(first_session, "D").astype(np.int64)))
    if not 0 < at < len(sessions):
        raise DataError(
            f"a lock must leave sessions on both sides; there are {len(sessions):,}, from "
            f"{_day(sessions[0])} to {_day(sessions[-1])}"
        )
    document = request.document
    save_version(engine, name=document.name, document=canonical(document), author=by or _user())
    return lock_period(
        engine,
        name=document.name,
        instruments=instruments,
        timeframe=document.timeframe,
        first_session=first_session or date.fromisoformat(_day(sessions[at])),
        by=by or _user(),
        reason=reason,
        clock=clock,
    )


def _sessions(request: BacktestRequest, store: Store) -> np.ndarray:
    strategy = resolve_strategy(request.document)
    bound = bind(strategy, request.values)
    whole = replace(request, start=None, end=None)
    symbols = request.symbols or strategy.instruments
    if not symbols and request.source is None:
        raise SpecError("no instrument is named by the document or the command", path="instruments")
    loaded = [load_instrument(whole, strategy, bound, one, store) for one in symbols or ("",)]
    return np.unique(np.concatenate([one.bars.session for one in loaded]))


def open_period(
    engine: Engine,
    request: BacktestRequest,
    store: Store,
    *,
    home: Path,
    out: Path | None = None,
    reason: str,
    by: str = "",
    clock: Clock | None = None,
    progress: Progress = silent,
) -> tuple[Summary, Path, LockedPeriod]:
    """Run a backtest over the locked period alone, on record before the first bar is traded.

    Returns
    -------
    (Summary, Path, LockedPeriod)
        The result, its folder, and the lock with this opening.

    Raises
    ------
    DataError
        If nothing is locked, or no reason is given.
    """
    if not reason.strip():
        raise DataError("a reason is required for opening a locked period")
    locks = locks_of(engine, request, store)
    if not locks:
        raise DataError(
            f"nothing of {request.document.name} on {', '.join(instruments_of(request))} is locked"
        )
    locked = min(locks, key=lambda one: one.first_session)
    asked = replace(request, start=locked.first_session, end=None)
    name = request.document.name

    def directory_of(ready: ReadyBacktest) -> Path:
        return out or home / "results" / name / ready.run_id

    finished = run_backtest(
        asked,
        store,
        before=looks_recorder(engine, store, directory_of, by=by, reason=reason, clock=clock),
        progress=progress,
    )
    directory = out or home / "results" / name / finished.run_id
    summary = write_result(finished, directory)
    again = next(
        one
        for one in locks_of(engine, request, store)
        if one.locked_period_id == locked.locked_period_id
    )
    return summary, directory, again


def looks_recorder(
    engine: Engine,
    store: Store,
    directory_of: Callable[[ReadyBacktest], Path],
    *,
    by: str = "",
    reason: str = "a backtest over the locked sessions",
    clock: Clock | None = None,
) -> Callable[[ReadyBacktest], None]:
    """Return what `run_backtest` shall call before it trades: looks go on record first.

    Parameters
    ----------
    directory_of : callable
        Tells where the result will be.
    """

    def record(ready: ReadyBacktest) -> None:
        record_looks(engine, ready, store, directory_of(ready), by=by, reason=reason, clock=clock)

    return record


def record_looks(
    engine: Engine,
    ready: ReadyBacktest,
    store: Store,
    directory: Path,
    *,
    result_id: str = "",
    by: str = "",
    reason: str = "a backtest over the locked sessions",
    clock: Clock | None = None,
) -> list[LockedPeriod]:
    """Put a run that trades in a locked period on record as an opening, and its version with it.

    Parameters
    ----------
    result_id : str
        Of what comes of it; the backtest's own when empty.

    Returns
    -------
    list of LockedPeriod
        Those that it looks at.
    """
    last = max(int(one.bars.session[-1]) for one in ready.loaded)
    seen = [
        one
        for one in locks_of(engine, ready.request, store)
        if one.first_session.isoformat() <= _day(last)
    ]
    if seen:
        document = ready.request.document
        save_version(engine, name=document.name, document=canonical(document), author=by or _user())
    for locked in seen:
        record_opening(
            engine,
            locked,
            version_hash=ready.version,
            result_id=result_id or ready.run_id,
            result_directory=str(directory),
            by=by or _user(),
            reason=reason,
            clock=clock,
        )
    return seen


def seen_before(engine: Engine, locked: LockedPeriod, store: Store) -> int:
    """Return how many backtests and studies of the strategy saw a locked period before it was locked.

    By the record: each one less that the period is worth.
    """
    names = names_of(locked.instruments, store)
    first_ns = (locked.first_session - date(1970, 1, 1)).days * DAY_NS
    own = {run.run_id for run in list_runs(engine, name=locked.name, limit=N_RUNS_MAX)}
    own |= {study.study_id for study in list_studies(engine, name=locked.name)}
    return len(
        {
            use.run_id
            for use in list_uses(engine)
            if use.run_id in own
            and base_symbol(use.bars.symbol) in names
            and use.bars.last_ns >= first_ns
            and use.bars.read_at < locked.locked_at
        }
    )


def describe_locks(locks: Sequence[LockedPeriod]) -> list[dict[str, Any]]:
    """Return what a study's result says of the locked periods of its data."""
    return [
        {
            "instruments": list(one.instruments),
            "timeframe": one.timeframe,
            "first_session": one.first_session.isoformat(),
            "locked_at": one.locked_at.isoformat(),
            "locked_by": one.locked_by,
            "reason": one.reason,
            "n_openings": len(one.openings),
            "openings": [
                {
                    "opened_at": look.opened_at.isoformat(),
                    "opened_by": look.opened_by,
                    "reason": look.reason,
                    "version_hash": look.version_hash,
                    "result_id": look.result_id,
                    "result_directory": look.result_directory,
                }
                for look in one.openings
            ],
        }
        for one in locks
    ]


def opened_words(n_openings: int) -> str:
    """Write how often a locked period was opened."""
    if n_openings == 0:
        return "never opened"
    return f"opened {'once' if n_openings == 1 else f'{n_openings} times'}"


def _day(days: Any) -> str:
    return str(np.datetime64(int(days), "D"))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""  # A container may run under a number that no user has.
