"""`quarterdeck evidence`: versions examined for look-ahead, warm-up and robustness."""

from __future__ import annotations

from dataclasses import dataclass
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
    warning_line,
)

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from market_data.store import Store
    from research.backtest import BacktestRequest
    from research.evidence import Examination
    from strategies.runs import BacktestRun

N_TOLD = 5


@dataclass(frozen=True, slots=True)
class _Thoroughness:
    """How much is tried, and whether what is found goes on record."""

    cuts: int
    starts: int
    seed: int
    record: bool


@dataclass(frozen=True, slots=True)
class _Found:
    """An examination that is written, and why it may count for nothing."""

    examination: Examination
    about: dict[str, Any]
    directory: Path
    remark: str = ""

    def as_json(self) -> dict[str, Any]:
        return {"directory": str(self.directory), **self.about}


def evidence(
    strategy: Annotated[
        str,
        typer.Argument(
            metavar="STRATEGY|VERSION",
            help="A document, or digits of a stored version's hash; without it, every version that "
            "was backtested and lacks evidence.",
        ),
    ] = "",
    bars: options.Bars = "",
    out: options.Out = None,
    symbol: options.Symbols = None,
    start: options.Start = "",
    end: options.End = "",
    cash: Annotated[
        float | None, typer.Option(help=f"Starting cash of the whole portfolio, {CASH:g}.")
    ] = None,
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
    """Check versions for look-ahead and for how much warm-up they need, and keep the evidence.

    Without options on bars, dates, instruments and cash a version is examined
    on those of its latest backtest, which is what a promotion asks for.

    Example: [bold]quarterdeck evidence examples/macd_trend.yaml[/]

    Example: [bold]quarterdeck evidence[/]
    """
    first, last = options.session_date(start, "--start"), options.session_date(end, "--end")
    asked = bool(bars or symbol or start or end or cash is not None or calendar or timezone)
    if not strategy and (asked or out is not None):
        raise typer.BadParameter(
            "name a version with these options; without one each is examined on the bars of its "
            "latest backtest",
            param_hint="STRATEGY|VERSION",
        )
    how = _Thoroughness(cuts, starts, seed, record)
    from foundation.database import make_engine
    from foundation.home import data_home
    from foundation.migration import migrate
    from foundation.settings import load_settings

    home = data_home()
    engine = make_engine(load_settings().database_url)
    try:
        migrate(engine)
        if not strategy:
            _examine_all(engine, home, how, json=json)
            return
        from research.documents import find_document
        from research.places import bars_source
        from strategies.runs import latest_own_run
        from trading.document import version_hash

        document = find_document(strategy, engine)
        latest = latest_own_run(engine, version_hash(document))
        import_numba_alone()
        from research.backtest import BacktestRequest
        from research.evidence import EVIDENCE_FILE, request_like
        from research.places import refuse_foreign_directory

        refuse_foreign_directory(out, EVIDENCE_FILE)
        if latest is not None and not asked:
            request, store = request_like(latest, document, home)
        else:
            source, store = bars_source(bars, home)
            request = BacktestRequest(
                document,
                source=source,
                symbols=tuple(symbol or ()),
                start=first,
                end=last,
                cash=CASH if cash is None else cash,
                calendar=calendar,
                timezone=timezone,
            )
        found = _examine(request, store, latest, engine, home, how, out=out)
    finally:
        engine.dispose()
    if json:
        print_json(found.as_json())
    else:
        _print(found.examination, found.about, found.directory)
        if latest is not None and not asked:
            print(f"On the bars of its latest backtest: run {latest.run_id}")
    if found.remark:
        warning_line(found.remark)
    if not found.examination.passed:
        error_line(_why_failed(found.examination))
        raise typer.Exit(1)


def _examine(
    request: BacktestRequest,
    store: Store,
    latest: BacktestRun | None,
    engine: Engine,
    home: Path,
    how: _Thoroughness,
    *,
    out: Path | None = None,
) -> _Found:
    from research.evidence import (
        evidence_directory,
        evidence_looks,
        examine,
        record_examination,
        why_not_counted,
        write_examination,
    )

    tell_of_compiling()
    with progress_bar(f"Evidence of {request.document.name}") as progress:
        examination = examine(
            request,
            store,
            n_cuts=how.cuts,
            n_starts=how.starts,
            seed=how.seed,
            before=evidence_looks(engine, store, out, home),
            progress=progress,
        )
    directory = evidence_directory(out, home, examination)
    about = write_examination(examination, directory)
    if how.record:
        record_examination(engine, examination, directory, author="")
    # One that was never backtested is an early look, and needs no warning.
    remark = "" if latest is None else why_not_counted(examination, latest)
    return _Found(examination, about, directory, remark)


def _examine_all(engine: Engine, home: Path, how: _Thoroughness, *, json: bool) -> None:
    """Examine every version that lacks evidence; one that can't be doesn't keep the others."""
    from foundation.errors import QuarterdeckError
    from research.documents import find_document
    from research.engine_version import ENGINE_VERSION
    from strategies.evidence import versions_without_evidence

    lacking = versions_without_evidence(engine, engine_version=ENGINE_VERSION)
    if not lacking:
        print_json([]) if json else print("every backtested version has its evidence")
        return
    import_numba_alone()
    from research.evidence import request_like

    told, rows, wrong = [], [], []
    for one in lacking:
        assert one.backtest is not None, "a version lacks evidence once it was backtested"
        name = f"{one.backtest.name}, version {one.version_hash[:12]}"
        try:
            document = find_document(one.version_hash, engine)
            request, store = request_like(one.backtest, document, home)
            found = _examine(request, store, one.backtest, engine, home, how)
        except QuarterdeckError as error:
            told.append({"version_hash": one.version_hash, "error": str(error)})
            rows.append([one.backtest.name, one.version_hash[:12], "–", "–", "–"])
            wrong.append(f"{name}: {error}")
            continue
        examination = found.examination
        needed = examination.recursion.recommended_bars
        told.append(found.as_json())
        rows.append(
            [
                one.backtest.name,
                one.version_hash[:12],
                _word(examination.look_ahead.passed),
                _word(examination.recursion.passed),
                "none tested is enough" if needed is None else f"{needed:,}",
            ]
        )
        if found.remark:
            wrong.append(f"{name}: {found.remark}")
        elif not examination.passed:
            wrong.append(f"{name}: {_why_failed(examination)}")
    if json:
        print_json(told)
    else:
        columns = ["strategy", "version", "look-ahead", "warm-up", "warm-up to give (bars)"]
        print_table(columns, rows, numbers=columns[-1:])
    for text in wrong:
        error_line(text)
    if wrong:
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
