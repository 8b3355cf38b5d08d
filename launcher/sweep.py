"""`quarterdeck sweep`: many parameter sets of one strategy over the same bars."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foundation.home import data_home
from launcher import options, study_options
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


class SweepChoice(StrEnum):
    """Which set a sweep puts forward."""

    BOTH = "both"
    PLATEAU = "plateau"
    PEAK = "peak"


def sweep(
    strategy: options.StrategyFile,
    bars: options.Bars = "store",
    out: options.Out = None,
    symbol: options.Symbols = None,
    start: options.Start = "",
    end: options.End = "",
    cash: options.Cash = 100_000.0,
    set_: study_options.SetValues = None,
    random: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Draw N sets instead of the whole grid.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the drawing.")] = 0,
    sort: Annotated[str, typer.Option(metavar="FIGURE", help="Best by this figure.")] = "sharpe",
    top: Annotated[int, typer.Option(min=1, help="Print so many of the best sets.")] = 10,
    choose: Annotated[
        SweepChoice,
        typer.Option(help="A plateau, whose neighbours do well too, the peak, or both."),
    ] = SweepChoice.BOTH,
    min_trades: Annotated[
        int, typer.Option(min=0, help="A set with fewer trades can't be chosen.")
    ] = 0,
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
    from research.parameter_sets import declared_values
    from research.study_runs import run_recorded_sweep
    from research.sweep_choice import ChoiceOptions
    from research.sweeping import best_sets, check_figure
    from trading.document import load_document

    check_figure(sort)
    given = {name: study_options.values_of(text, name) for name, text in texts.items()}
    values = {name: found for name, found in given.items() if len(found) > 1}
    if not given:
        values = declared_values(load_document(strategy))
    request, store = study_options.request_of(
        strategy,
        bars=bars,
        symbol=symbol,
        start=first,
        end=last,
        cash=cash,
        fixed={name: found[0] for name, found in given.items() if len(found) == 1},
        warmup=not no_warmup,
        calendar=calendar,
        timezone=timezone,
    )
    tell_of_compiling()
    with study_options.record() as engine, progress_bar("Sweep") as progress:
        written = run_recorded_sweep(
            engine, request, values, store, ChoiceOptions(sort, min_trades),
            n_random=random or 0, seed=seed, home=data_home(), out=out, progress=progress,
        )  # fmt: skip
    finished, directory = written.study, written.directory
    best = best_sets(finished, sort, top)
    if json:
        rows = [{**finished.sets[k], **finished.figures[k].as_record()} for k in best]
        print_json({"directory": str(directory), **written.about, "sort": sort, "top": rows})
        return
    _print_best(finished, best, sort)
    _print_choice(written.about["choice"], choose)
    print(f"Sweep: {directory}")
    print(f"Page: {directory / 'study.html'}")


def _print_best(finished: Sweep, best: list[int], sort: str) -> None:
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


def _print_choice(choice: dict[str, Any], choose: SweepChoice) -> None:
    """Print plateau and peak, why, and what the one that is put forward is worth."""
    wanted = ["plateau", "peak"] if choose is SweepChoice.BOTH else [choose.value]
    found = [(name, choice[name]) for name in wanted if choice[name] is not None]
    if found:
        parameters = list(found[0][1]["values"])
        figures = list(dict.fromkeys([choice["objective"], *_COLUMNS]))
        rows = [
            [name, *(f"{one['values'][k]:g}" for k in parameters)]
            + [_COLUMNS.get(k, plain)(one[k]) for k in figures]
            for name, one in found
        ]
        print_table(["choice", *parameters, *figures], rows, numbers=[*parameters, *figures])
    if "plateau" in wanted:
        print(choice["why"])
    if found:
        study_options.print_verdict(found[0][1], choice["trials"])
    for note in choice["notes"]:
        print(f"Note: {note}")
