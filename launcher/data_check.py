"""`quarterdeck data check`: what is wrong with stored bars, or with a file before its import."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foundation.errors import DataError
from foundation.home import data_home
from foundation.log_file import note
from launcher import options
from launcher.console import print_json, print_table, progress_bar

if TYPE_CHECKING:
    from market_data.quality.checking import Checked
    from market_data.quality.findings import QualityFinding
    from market_data.store import Store

# What a program can tell from the exit code: there are errors in the data.
ERRORS_FOUND = 3
_N_SHOWN = 200
_WORDS = ("info", "warning", "error")


def check(
    what: Annotated[
        str,
        typer.Argument(
            metavar="[SYMBOL|FILE]", help="A stored symbol, or a file; the whole store by default."
        ),
    ] = "",
    timeframe: Annotated[
        str, typer.Argument(metavar="[TIMEFRAME]", help="One series only; of a file, its own.")
    ] = "",
    severity: Annotated[
        str, typer.Option(metavar="S", help="Show findings from here on: info, warning, error.")
    ] = "warning",
    html: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Write a page of charts.")
    ] = None,
    parquet: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Write all findings as a table.")
    ] = None,
    quarantine: Annotated[
        bool,
        typer.Option("--quarantine", help="Keep the wrong bars of errors from being traded on."),
    ] = False,
    symbol: Annotated[
        str, typer.Option(metavar="S", help="Of a file that holds several, or none.")
    ] = "",
    calendar: options.Calendar = "",
    timezone: options.Timezone = "",
    json: options.Json = False,
) -> None:
    """Check bars against their calendar, their neighbours and their own habits.

    Ends with exit code 0 when no finding is an error, with 3 when there are errors.

    Example: [bold]quarterdeck data check AAPL 1d --html aapl.html[/]
    """
    from market_data.quality.findings import SEVERITIES, Severity, at_least, write_findings
    from market_data.store import Store

    if severity not in SEVERITIES:
        raise typer.BadParameter(
            f"must be one of {', '.join(_WORDS)}, got {severity!r}", param_hint="--severity"
        )
    store = Store(data_home())
    path = Path(what).expanduser()
    is_file = bool(what) and store.symbols().count(what) == 0 and path.is_file()
    if is_file and quarantine:
        raise DataError("bars of a file can't be put in quarantine; import it first")
    columns: dict[tuple[str, str], Any] = {}
    with progress_bar("Check") as progress:
        if is_file:
            from market_data.quality.files import check_file

            read = check_file(
                store, path, symbol=symbol, timeframe=timeframe, timezone=timezone,
                calendar=calendar,
            )  # fmt: skip
            checked = [read.checked]
            columns[read.checked.symbol, read.checked.timeframe] = read.columns
        else:
            from market_data.quality.checking import check_store

            checked = check_store(store, symbol=what, timeframe=timeframe, progress=progress)
    findings = [finding for one in checked for finding in one.findings]
    errors = at_least(findings, Severity.ERROR)
    note(series=len(checked), findings=len(findings), errors=len(errors))
    if parquet is not None:
        write_findings(parquet, findings)
    if html is not None:
        _write_page(store, html, checked, columns, title=path.name if is_file else what)
    n_kept_out = _quarantine(store, errors) if quarantine else 0
    _print(checked, at_least(findings, SEVERITIES[severity]), n_kept_out, quarantine, json=json)
    if errors:
        raise typer.Exit(ERRORS_FOUND)


def _write_page(
    store: Store,
    path: Path,
    checked: Sequence[Checked],
    read: dict[tuple[str, str], Any],
    *,
    title: str,
) -> None:
    from research.quality_page import SeriesOnPage, most_concerned, write_quality_page

    drawn = most_concerned(checked)
    series = []
    for one in checked:
        if one not in drawn or one.n_bars == 0:
            series.append(SeriesOnPage(one))
            continue
        columns = read.get((one.symbol, one.timeframe))
        if columns is None:
            columns, _ = store.read_columns(one.symbol, one.timeframe)
        table = store.sessions(one.calendar, one.first_ts, one.last_ts)
        series.append(SeriesOnPage.drawn(one, columns, table))
    write_quality_page(path, series, title=title or "All stored series")


def _quarantine(store: Store, errors: Sequence[QualityFinding]) -> int:
    """Put the bars of findings that name single bars in quarantine; return how many are new."""
    import numpy as np

    from foundation.clock import SystemClock

    at = SystemClock().now()
    wanted: dict[tuple[str, str], list[QualityFinding]] = {}
    for one in errors:
        if one.single:
            wanted.setdefault((one.symbol, one.timeframe), []).append(one)
    n_new = 0
    for (symbol, timeframe), found in wanted.items():
        columns, _ = store.read_columns(symbol, timeframe)
        for one in found:
            inside = (columns.ts >= one.first_ts) & (columns.ts <= one.last_ts)
            if inside.any():
                n_new += store.quarantine(
                    symbol, timeframe, np.unique(columns.ts[inside]),
                    reason=f"{one.check}: {one.evidence}", by="data check", at=at,
                )  # fmt: skip
    return n_new


def _print(
    checked: Sequence[Checked],
    shown: Sequence[QualityFinding],
    n_kept_out: int,
    quarantined: bool,
    *,
    json: bool,
) -> None:
    counts = dict.fromkeys(_WORDS, 0)
    for one in checked:
        for finding in one.findings:
            counts[finding.severity.word] += 1
    n_bars = sum(one.n_bars for one in checked)
    if json:
        print_json(
            {
                "series": len(checked),
                "bars": n_bars,
                **{f"{word}s" if word != "info" else "notes": n for word, n in counts.items()},
                "quarantined": n_kept_out,
                "findings": [_described(finding) for finding in shown],
            }
        )
        return
    if shown:
        names = ["severity", "series", "check", "first", "last", "bars", "evidence"]
        rows = [
            [
                one.severity.word, f"{one.symbol} {one.timeframe}", one.check, _when(one.first_ts),
                _when(one.last_ts), f"{one.n_bars:,}", one.evidence,
            ]
            for one in shown[:_N_SHOWN]
        ]  # fmt: skip
        print_table(names, rows, numbers=("bars",))
        if len(shown) > _N_SHOWN:
            print(f"{len(shown) - _N_SHOWN:,} more; --parquet or --html has them all")
    print(
        f"{len(checked):,} series with {n_bars:,} bars: {counts['error']:,} errors, "
        f"{counts['warning']:,} warnings, {counts['info']:,} notes"
        + (f"; {n_kept_out:,} bars put in quarantine" if quarantined else "")
    )


def _described(finding: QualityFinding) -> dict[str, Any]:
    return {
        "check": finding.check,
        "severity": finding.severity.word,
        "symbol": finding.symbol,
        "timeframe": finding.timeframe,
        "first": _when(finding.first_ts),
        "last": _when(finding.last_ts),
        "bars": finding.n_bars,
        "measure": finding.measure,
        "limit": finding.limit,
        "unit": finding.unit,
        "evidence": finding.evidence,
    }


def _when(ns: int) -> str:
    import numpy as np

    return f"{np.datetime64(int(ns), 'ns').astype('datetime64[s]')}Z"
