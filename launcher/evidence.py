"""`quarterdeck evidence`: a version examined for look-ahead, warm-up and robustness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from launcher import options
from launcher.backtesting import CASH, import_numba_alone
from launcher.console import (
    error_line,
    percent,
    print_json,
    print_table,
    progress_bar,
    tell_of_compiling,
)

if TYPE_CHECKING:
    from pathlib import Path

    from research.evidence import Examination

N_TOLD = 5


def evidence(
    strategy: Annotated[
        str,
        typer.Argument(
            metavar="STRATEGY|VERSION", help="A document, or digits of a stored version's hash."
        ),
    ],
    bars: options.Bars = "store",
    out: options.Out = None,
    symbol: options.Symbols = None,
    start: options.Start = "",
    end: options.End = "",
    cash: options.Cash = CASH,
    calendar: options.Calendar = "",
    timezone: options.Timezone = "",
    cuts: Annotated[
        int, typer.Option(min=1, help="Cuts of the look-ahead check, for each instrument.")
    ] = 48,
    starts: Annotated[
        int, typer.Option(min=1, help="Starts of the warm-up check, for each instrument.")
    ] = 6,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of cuts and starts.")] = 0,
    record: Annotated[
        bool, typer.Option("--record/--no-record", help="Keep the evidence in the database.")
    ] = True,
    json: options.Json = False,
) -> None:
    """Check a version for look-ahead and for how much warm-up it needs, and keep the evidence.

    Example: [bold]quarterdeck evidence examples/macd_trend.yaml[/]
    """
    first, last = options.session_date(start, "--start"), options.session_date(end, "--end")
    from foundation.database import make_engine
    from foundation.home import data_home
    from foundation.migration import migrate
    from foundation.settings import load_settings
    from research.documents import find_document
    from research.places import bars_source, refuse_foreign_directory

    home = data_home()
    engine = make_engine(load_settings().database_url)
    try:
        migrate(engine)
        document = find_document(strategy, engine)
        source, store = bars_source(bars, home)
        import_numba_alone()
        from research.backtest import BacktestRequest
        from research.evidence import (
            EVIDENCE_FILE,
            evidence_directory,
            examine,
            record_examination,
            write_examination,
        )

        refuse_foreign_directory(out, EVIDENCE_FILE)
        tell_of_compiling()
        request = BacktestRequest(
            document,
            source=source,
            symbols=tuple(symbol or ()),
            start=first,
            end=last,
            cash=cash,
            calendar=calendar,
            timezone=timezone,
        )
        with progress_bar("Evidence") as progress:
            examination = examine(
                request, store, n_cuts=cuts, n_starts=starts, seed=seed, progress=progress
            )
        directory = evidence_directory(out, home, examination)
        about = write_examination(examination, directory)
        if record:
            record_examination(engine, examination, directory, author="")
    finally:
        engine.dispose()
    if json:
        print_json({"directory": str(directory), **about})
    else:
        _print(examination, about, directory)
    if not examination.passed:
        error_line(_why_failed(examination))
        raise typer.Exit(1)


def _print(examination: Examination, about: dict[str, Any], directory: Path) -> None:
    ahead, recursion = examination.look_ahead, examination.recursion
    robustness = examination.robustness
    print(
        f"{about['strategy']}, version {about['version_hash'][:12]}, on "
        f"{', '.join(about['instruments'])}: {ahead.n_bars:,} bars of {about['timeframe']}"
    )
    warm_up = "none tested is enough"
    if recursion.recommended_bars is not None:
        warm_up = f"give it {recursion.recommended_bars:,} bars of warm-up"
    rows = [
        [
            "look-ahead",
            _word(ahead.passed),
            f"{ahead.n_values:,} values of {ahead.n_runs} runs with a hidden future, "
            f"{ahead.n_cuts} cuts, {ahead.n_reloads} loads: {ahead.n_differences} differ",
        ],
        [
            "warm-up",
            _word(recursion.passed),
            f"{recursion.n_starts} starts, declared {recursion.declared_bars:,} bars: {warm_up}",
        ],
        [
            "robustness",
            _word(robustness.passed),
            f"return {percent(robustness.total_return)}, with doubled costs "
            f"{percent(robustness.doubled_costs_return)}, with entries one bar late "
            f"{percent(robustness.late_entries_return)}",
        ],
    ]
    print_table(["check", "outcome", "what was found"], rows)
    _print_tests(examination)
    for difference in ahead.differences[:N_TOLD]:
        print(f"Look-ahead: {difference.sentence()}")
    for condition in recursion.level_conditions:
        print(f"Asks for the level of a sum, which depends on where history begins: {condition}")
    for note in (*ahead.notes, *recursion.notes, *robustness.notes):
        print(f"Note: {note}")
    print(f"Evidence: {directory}")


def _print_tests(examination: Examination) -> None:
    rows = [
        [
            f"{test.bars:,}",
            f"{test.n_starts:,}",
            "unknown" if test.largest_difference is None else f"{test.largest_difference:.1e}",
            test.largest_of or "–",
            f"{test.n_changed_conditions:,}",
            f"{test.n_changed_decisions:,}",
            test.first_change or "–",
        ]
        for test in examination.recursion.tests
    ]
    if rows:
        columns = [
            "warm-up bars", "starts", "largest difference", "of", "bars with another condition",
            "with another decision", "the first",
        ]  # fmt: skip
        numbers = ("warm-up bars", "starts", "largest difference", columns[4], columns[5])
        print_table(columns, rows, numbers=numbers)


def _word(passed: bool) -> str:
    return "passed" if passed else "failed"


def _why_failed(examination: Examination) -> str:
    ahead, recursion = examination.look_ahead, examination.recursion
    reasons = []
    if ahead.differences:
        reasons.append(f"it looks ahead: {ahead.differences[0].sentence()}")
    elif not ahead.passed:
        reasons.append(ahead.notes[0] if ahead.notes else "no bar could be cut off")
    if not recursion.passed:
        if not recursion.tests:
            reasons.append("there are too few bars to test the warm-up")
        else:
            reasons.append(
                f"even with {recursion.tests[-1].bars:,} bars of warm-up decisions depend on where "
                f"history begins ({recursion.tests[-1].first_change})"
            )
    return "; ".join(reasons)
