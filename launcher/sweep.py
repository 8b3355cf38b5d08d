"""`quarterdeck sweep`: many parameter sets of one strategy over the same bars."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foundation.errors import SpecError
from foundation.home import data_home
from launcher import options
from launcher.console import (
    percent,
    plain,
    print_json,
    print_table,
    progress_bar,
    tell_of_compiling,
)

if TYPE_CHECKING:
    from research.sweeping import Sweep

# What the table shows of each set, and how it is written.
_COLUMNS = {
    "sharpe": plain,
    "total_return": percent,
    "cagr": percent,
    "max_drawdown": percent,
    "n_trades": lambda value: "–" if value is None else f"{value:,.0f}",
    "win_rate": percent,
    "profit_factor": plain,
    "final_equity": lambda value: "–" if value is None else f"{value:,.2f}",
}


def sweep(
    strategy: options.StrategyFile,
    bars: options.Bars = "store",
    out: options.Out = None,
    symbol: options.Symbols = None,
    start: options.Start = "",
    end: options.End = "",
    cash: options.Cash = 100_000.0,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PARAMETER=VALUES",
            help="low:high:step, or values with commas, or one value for all; repeat it. "
            "Without it every parameter goes over the range that the document states.",
        ),
    ] = None,
    random: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Draw N sets instead of the whole grid.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the drawing.")] = 0,
    sort: Annotated[str, typer.Option(metavar="FIGURE", help="Best by this figure.")] = "sharpe",
    top: Annotated[int, typer.Option(min=1, help="Print so many of the best sets.")] = 10,
    no_warmup: options.NoWarmup = False,
    calendar: options.Calendar = "",
    timezone: options.Timezone = "",
    json: options.Json = False,
) -> None:
    """Run many parameter sets; each row equals `backtest --set` with its values.

    Example: [bold]quarterdeck sweep examples/macd_trend.yaml --set fast=6:18:2 --set strength=10,20[/]
    """
    first, last = options.session_date(start, "--start"), options.session_date(end, "--end")
    texts = options.named_values(set_)
    from research.backtest import BacktestRequest
    from research.places import bars_source, refuse_foreign_directory
    from research.sweeping import (
        SWEEP_FILE,
        best_sets,
        check_figure,
        declared_values,
        sweep_backtests,
        write_sweep,
    )
    from trading.document import load_document

    check_figure(sort)
    home = data_home()
    refuse_foreign_directory(out, SWEEP_FILE)
    document = load_document(strategy)
    given = {name: _values(text, name) for name, text in texts.items()}
    values = {name: found for name, found in given.items() if len(found) > 1}
    if not given:
        values = declared_values(document)
    source, store = bars_source(bars, home)
    request = BacktestRequest(
        document,
        source=source,
        symbols=tuple(symbol or ()),
        start=first,
        end=last,
        cash=cash,
        values={name: found[0] for name, found in given.items() if len(found) == 1},
        warmup=not no_warmup,
        calendar=calendar,
        timezone=timezone,
    )
    tell_of_compiling()
    with progress_bar("Sweep") as progress:
        finished = sweep_backtests(
            request, values, store, n_random=random or 0, seed=seed, progress=progress
        )
    directory = home / "sweeps" / finished.strategy.name / finished.sweep_id
    if out is not None:
        directory = out.expanduser().absolute()
    about = write_sweep(finished, directory)
    best = best_sets(finished, sort, top)
    if json:
        rows = [{**finished.sets[k], **finished.figures[k].as_record()} for k in best]
        print_json({"directory": str(directory), **about, "sort": sort, "top": rows})
        return
    _print_best(finished, best, sort, directory)


def _values(text: str, name: str) -> tuple[float, ...]:
    from research.sweeping import read_values

    try:
        return read_values(text)
    except SpecError as error:
        raise typer.BadParameter(f"{name}: {error}", param_hint="--set") from None


def _print_best(finished: Sweep, best: list[int], sort: str, directory: Path) -> None:
    figures = list(dict.fromkeys([sort, *_COLUMNS]))
    rows = []
    for k in best:
        record = finished.figures[k].as_record()
        rows.append(
            [f"{finished.sets[k][name]:g}" for name in finished.values]
            + [_COLUMNS.get(name, plain)(record[name]) for name in figures]
        )
    columns = [*finished.values, *figures]
    title = (
        f"{finished.strategy.name} on {', '.join(finished.instruments)}, {finished.start} to "
        f"{finished.end}: best of {len(finished.sets):,} sets by {sort}"
    )
    print_table(columns, rows, title=title, numbers=columns)
    if finished.skipped:
        print(f"{len(finished.skipped)} sets left out, the first: {finished.skipped[0]}")
    if not best:
        print(f"No set has a {sort}: none of them traded, or it is not defined.")
    print("The best of many sets is partly luck: try it on bars that the sweep has not seen.")
    print(f"Sweep: {directory}")
