"""What `quarterdeck backtest` does, once its options are read.

Imports nothing but what the figures need until summary.json is written: no
typer, no data frames, no database.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from foundation.errors import QuarterdeckError
from foundation.home import data_home, record_url
from launcher.console import (
    percent,
    plain,
    print_json,
    print_table,
    progress_bar,
    tell_of_compiling,
)

if TYPE_CHECKING:
    from market_data.store import Store
    from research.backtest import Backtest, BacktestRequest, ReadyBacktest
    from research.summary import Summary

CASH = 100_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestOptions:
    """The options of one call, checked for their form alone."""

    strategy: Path
    bars: str = "store"
    out: Path | None = None
    symbols: tuple[str, ...] = ()
    start: date | None = None
    end: date | None = None
    cash: float = CASH
    values: Mapping[str, float] = field(default_factory=dict)
    warmup: bool = True
    calendar: str = ""
    timezone: str = ""
    report: bool = True
    record: bool = True
    json: bool = False


def perform(options: BacktestOptions) -> None:
    """Run a backtest, write its result, record it, report on it.

    Raises
    ------
    QuarterdeckError
        With one line for the person who typed the command.
    """
    from research.places import bars_source, refuse_foreign_directory, result_directory
    from research.summary import SUMMARY_FILE
    from trading.document import load_document

    home = data_home()
    refuse_foreign_directory(options.out, SUMMARY_FILE)
    source, store = bars_source(options.bars, home)
    # Checked before the engine is loaded, so that a mistake is told at once.
    document = load_document(options.strategy)
    import_numba_alone()
    from research.backtest import BacktestRequest, run_backtest
    from research.writing import write_result

    tell_of_compiling()
    request = BacktestRequest(
        document,
        source=source,
        symbols=options.symbols,
        start=options.start,
        end=options.end,
        cash=options.cash,
        values=options.values,
        warmup=options.warmup,
        calendar=options.calendar,
        timezone=options.timezone,
    )
    with (
        _looks_on_record(request, store, options.out) as before,
        progress_bar("Backtest") as progress,
    ):
        finished = run_backtest(request, store, before=before, progress=progress)
        directory = result_directory(options.out, home, finished.strategy.name, finished.run_id)
        summary = write_result(finished, directory)
    # The figures are there; from here on imports may take their time.
    if options.record:
        _record(finished, summary, directory)
    if options.report:
        from research.report import write_report

        with progress_bar("Report") as progress:
            write_report(directory, progress=progress)
    if options.json:
        import msgspec

        print_json({"directory": str(directory), **msgspec.to_builtins(summary)})
    else:
        _print_summary(summary, directory, with_report=options.report)


def import_numba_alone() -> None:
    """Import numba so that it does not look for SciPy, cffi and extensions.

    It does so when the first kernel is loaded, only to know whether linear
    algebra, C functions and other packages' types can be compiled, and this
    costs a fifth of a small backtest. No kernel of ours uses any; SciPy and
    cffi can be imported afterwards as ever.
    """
    names = [name for name in ("scipy", "cffi") if name not in sys.modules]
    if "numba" in sys.modules:
        return
    # What numba finds here is what it finds where they are not installed.
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]
    try:
        import numba
        import numba.core.typing.cffi_utils
        import numba.np.arraymath  # noqa: F401
        from numba.core import entrypoints

        # As after its search through the metadata of all installed packages.
        entrypoints._already_initialized = True
    finally:
        for name in names:
            del sys.modules[name]


def _record(finished: Backtest, summary: Summary, directory: Path) -> None:
    """Store version and run; the files are whole whatever happens here."""
    from foundation.database import make_engine
    from foundation.migration import migrate
    from foundation.settings import load_settings
    from research.recording import recorded_run

    try:
        engine = make_engine(load_settings().database_url)
        try:
            migrate(engine)
            with recorded_run(engine, finished, directory, author="") as succeeded:
                succeeded(summary)
        finally:
            engine.dispose()
    except QuarterdeckError as error:
        raise type(error)(
            f"the result is in {directory}, but could not be recorded: {error}"
            " (--no-record leaves the database out)"
        ) from error


@contextmanager
def _looks_on_record(
    request: BacktestRequest, store: Store, out: Path | None
) -> Iterator[Callable[[ReadyBacktest], None] | None]:
    """Give what puts a look at locked sessions on record before they are traded, if any may be.

    So it is with `--no-record` too: every look counts.
    """
    from strategies.lock_glance import may_be_locked

    if not may_be_locked(record_url(), request.document.name):
        yield None
        return
    from foundation.database import make_engine
    from foundation.migration import migrate
    from foundation.settings import load_settings
    from research.holdout import looks_recorder
    from research.places import result_directory

    home, name = data_home(), request.document.name
    engine = make_engine(load_settings().database_url)
    try:
        migrate(engine)
        yield looks_recorder(
            engine, store, lambda ready: result_directory(out, home, name, ready.run_id)
        )
    finally:
        engine.dispose()


def _print_summary(summary: Summary, directory: Path, *, with_report: bool) -> None:
    money = summary.currency
    rows = [
        ["final equity", f"{summary.final_equity:,.2f} {money}"],
        ["total return", percent(summary.total_return)],
        ["buy and hold", percent(summary.buy_and_hold_return)],
        ["yearly return", percent(summary.cagr)],
        ["volatility", percent(summary.volatility)],
        ["Sharpe ratio", plain(summary.sharpe)],
        ["max drawdown", percent(summary.max_drawdown)],
        ["exposure", percent(summary.exposure)],
        ["trades", f"{summary.n_trades:,}"],
        ["win rate", percent(summary.win_rate)],
        ["profit factor", plain(summary.profit_factor)],
        ["commission", f"{summary.total_commission:,.2f} {money}"],
    ]
    title = (
        f"{summary.strategy} on {', '.join(summary.instruments)}, {summary.start} to "
        f"{summary.end}, {summary.bars:,} bars of {summary.timeframe}"
    )
    print_table(["figure", "value"], rows, title=title, numbers=("value",))
    if summary.n_trades == 0:
        print(_why_no_trade(summary, directory))
    for note in summary.notes:
        print(f"Note: {note}")
    print(f"Result: {directory}")
    if with_report:
        print(f"Report: {directory / 'report.html'}")


def _why_no_trade(summary: Summary, directory: Path) -> str:
    """Name the reasons for which entries were not taken, the most frequent first."""
    from collections import Counter

    import pyarrow.parquet as pq

    if summary.n_open:
        return "No trade is complete: the position is open at the end."
    table = pq.read_table(directory / "decisions.parquet", columns=["reason"])
    counts = Counter(reason for reason in table["reason"].to_pylist() if reason)
    reasons = ", ".join(f"{name} {n:,}" for name, n in counts.most_common())
    return f"No trade. Bars by the reason why not: {reasons or 'none recorded'}."
