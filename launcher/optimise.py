"""`quarterdeck optimise`, `walk-forward` and `monte-carlo`: tuning, and what it is worth."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

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


class PruningChoice(StrEnum):
    """As `research.optimisation.Pruning`, which would import the engine for a help text."""

    NONE = "none"
    MEDIAN = "median"
    PERCENTILE = "percentile"
    HYPERBAND = "hyperband"


class AnchorChoice(StrEnum):
    """As `research.windows.Anchor`."""

    ROLLING = "rolling"
    ANCHORED = "anchored"


class PickChoice(StrEnum):
    """As `research.plateau.Pick`."""

    PLATEAU = "plateau"
    PEAK = "peak"


def optimise(
    strategy: options.StrategyFile,
    bars: options.Bars = "store",
    out: options.Out = None,
    symbol: options.Symbols = None,
    start: options.Start = "",
    end: options.End = "",
    cash: options.Cash = 100_000.0,
    set_: study_options.SetValues = None,
    by: study_options.Objective = "sharpe",
    trials: Annotated[int, typer.Option(min=1, help="How many trials to run.")] = 200,
    batch: Annotated[int, typer.Option(min=1, help="Trials that run side by side.")] = 20,
    parts: Annotated[
        int, typer.Option(min=1, help="Growing parts of the sessions; after each a trial may end.")
    ] = 4,
    prune: Annotated[
        PruningChoice, typer.Option(help="The rule that ends bad trials early.")
    ] = PruningChoice.MEDIAN,
    min_trades: Annotated[
        int, typer.Option(min=0, help="A set with fewer trades can't be chosen.")
    ] = 10,
    robust: Annotated[
        bool, typer.Option("--robust", help="Judge each trial by its neighbours, too.")
    ] = False,
    seed: Annotated[int, typer.Option(help="The same seed gives the same trials.")] = 0,
    no_warmup: options.NoWarmup = False,
    calendar: options.Calendar = "",
    timezone: options.Timezone = "",
    json: options.Json = False,
) -> None:
    """Search for good parameter sets, and choose a plateau among them.

    Example: [bold]quarterdeck optimise examples/macd_trend.yaml --trials 300 --by calmar[/]
    """
    first, last = options.session_date(start, "--start"), options.session_date(end, "--end")
    from research.optimisation import OptimisationOptions, Pruning
    from research.study_runs import run_optimisation

    values, fixed = study_options.read_sets(set_, strategy)
    request, store = study_options.request_of(
        strategy, bars=bars, symbol=symbol, start=first, end=last, cash=cash, fixed=fixed,
        warmup=not no_warmup, calendar=calendar, timezone=timezone,
    )  # fmt: skip
    chosen = OptimisationOptions(
        n_trials=trials, n_batch=batch, n_parts=parts, pruning=Pruning(prune.value),
        objective=by, n_trades_min=min_trades, robust=robust, seed=seed,
    )  # fmt: skip
    tell_of_compiling()
    with study_options.record() as engine, progress_bar("Optimisation") as progress:
        written = run_optimisation(
            engine, request, values, store, chosen, home=data_home(), out=out, progress=progress
        )
    if json:
        print_json({"directory": str(written.directory), **written.about})
        return
    _print_optimisation(written.about, written.directory)


def _print_optimisation(about: dict[str, Any], directory: Path) -> None:
    title = (
        f"{about['strategy']} on {', '.join(about['instruments'])}, {about['start']} to "
        f"{about['end']}: {about['n_tried']:,} sets tried of {about['n_grid']:,}, "
        f"{about['n_pruned']:,} pruned"
    )
    rows = [_set_row(name, about[name], about) for name in ("plateau", "peak") if about[name]]
    print_table(["choice", *_columns(about)], rows, title=title, numbers=_columns(about))
    print(about["why"])
    if about["plateau"] is not None:
        study_options.print_verdict(about["plateau"], about["trials"])
    _print_end(about, directory)


def _columns(about: dict[str, Any]) -> list[str]:
    objective = about["options"]["objective"]
    names = [objective, "sharpe", "total_return", "max_drawdown", "n_trades"]
    return [*about["parameters"], *dict.fromkeys(names)]


def _set_row(name: str, found: dict[str, Any], about: dict[str, Any]) -> list[str]:
    cells = [name]
    for column in _columns(about):
        if column in found["values"]:
            cells.append(f"{found['values'][column]:g}")
        elif column in ("total_return", "max_drawdown", "cagr", "volatility"):
            cells.append(percent(found[column]))
        elif column.startswith("n_"):
            cells.append(f"{int(found[column]):,}")
        else:
            cells.append(plain(found[column]))
    return cells


def _print_end(about: dict[str, Any], directory: Path) -> None:
    for note in about["notes"]:
        print(f"Note: {note}")
    print(f"Study: {directory}")
    print(f"Page: {directory / 'study.html'}")


def walk_forward(
    strategy: options.StrategyFile,
    bars: options.Bars = "store",
    out: options.Out = None,
    symbol: options.Symbols = None,
    start: options.Start = "",
    end: options.End = "",
    cash: options.Cash = 100_000.0,
    set_: study_options.SetValues = None,
    windows: Annotated[int, typer.Option(min=1, help="How many windows.")] = 10,
    in_sample: Annotated[
        int, typer.Option(min=0, help="Sessions to choose on; four times the others by default.")
    ] = 0,
    out_of_sample: Annotated[
        int, typer.Option(min=0, help="Sessions that a choice trades; by the windows by default.")
    ] = 0,
    purge: Annotated[
        int,
        typer.Option(
            min=-1,
            help="Sessions left out between the two; -1 takes the longest trade of the "
            "document's own values in the first window.",
        ),
    ] = -1,
    anchor: Annotated[
        AnchorChoice,
        typer.Option(help="Windows move on, or all begin with the first session."),
    ] = AnchorChoice.ROLLING,
    choose: Annotated[
        PickChoice, typer.Option(help="Which set of a window trades what follows it.")
    ] = PickChoice.PLATEAU,
    by: study_options.Objective = "sharpe",
    min_trades: Annotated[
        int, typer.Option(min=0, help="A set with fewer trades in a window can't be chosen.")
    ] = 5,
    random: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Draw N sets instead of the whole grid.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the drawing.")] = 0,
    no_warmup: options.NoWarmup = False,
    calendar: options.Calendar = "",
    timezone: options.Timezone = "",
    json: options.Json = False,
) -> None:
    """Choose on a window, trade the sessions after it, move on: what tuning really earns.

    Example: [bold]quarterdeck walk-forward examples/macd_trend.yaml --windows 8 --anchor anchored[/]
    """
    first, last = options.session_date(start, "--start"), options.session_date(end, "--end")
    from research.plateau import Pick
    from research.study_runs import run_walk_forward
    from research.walk_forward import WalkForwardOptions
    from research.windows import Anchor

    values, fixed = study_options.read_sets(set_, strategy)
    request, store = study_options.request_of(
        strategy, bars=bars, symbol=symbol, start=first, end=last, cash=cash, fixed=fixed,
        warmup=not no_warmup, calendar=calendar, timezone=timezone,
    )  # fmt: skip
    chosen = WalkForwardOptions(
        n_windows=windows, n_in=in_sample, n_out=out_of_sample, purge=purge,
        anchor=Anchor(anchor.value), objective=by, n_trades_min=min_trades,
        pick=Pick(choose.value), n_random=random or 0, seed=seed,
    )  # fmt: skip
    tell_of_compiling()
    with study_options.record() as engine, progress_bar("Walk-forward") as progress:
        written = run_walk_forward(
            engine, request, values, store, chosen, home=data_home(), out=out, progress=progress
        )
    if json:
        print_json({"directory": str(written.directory), **written.about})
        return
    _print_walk_forward(written.about, written.directory)


def _print_walk_forward(about: dict[str, Any], directory: Path) -> None:
    outside = about["out_of_sample"]
    rows = []
    for one in about["windows"]:
        chosen, inside, after = (
            one["chosen"],
            one["figures_in_sample"],
            one["figures_out_of_sample"],
        )
        rows.append(
            [
                str(one["window"]),
                " to ".join(one["out_of_sample"]),
                *("–" if chosen is None else f"{chosen[name]:g}" for name in about["parameters"]),
                "–" if inside is None else plain(inside["sharpe"]),
                plain(after["sharpe"]),
                percent(after["total_return"]),
                f"{int(after['n_trades']):,}",
            ]
        )
    numbers = [*about["parameters"], "Sharpe in", "Sharpe out", "return out", "trades"]
    title = (
        f"{about['strategy']} on {', '.join(about['instruments'])}: {about['n_sets']:,} sets in "
        f"each of {len(rows)} {about['options']['anchor']} windows"
    )
    print_table(["window", "out of sample", *numbers], rows, title=title, numbers=numbers)
    print(
        f"Out of sample, {outside['start']} to {outside['end']}: return "
        f"{percent(outside['total_return'])}, {percent(outside['cagr'])} a year, largest drawdown "
        f"{percent(outside['max_drawdown'])}, {int(outside['n_trades']):,} trades, efficiency "
        f"{percent(outside['efficiency'])}."
    )
    study_options.print_verdict(outside, about["trials"])
    _print_end(about, directory)


def monte_carlo(
    result: Annotated[Path, typer.Argument(metavar="RESULT_DIR", help="Written by a backtest.")],
    bars: options.Bars = "store",
    out: options.Out = None,
    orders: Annotated[int, typer.Option(min=1, help="Paths of trades in another order.")] = 5_000,
    noise: Annotated[int, typer.Option(min=0, help="Runs with spoiled entries; 0 for none.")] = 200,
    skip: Annotated[float, typer.Option(help="Share of entries missed.")] = 0.1,
    delay: Annotated[float, typer.Option(help="Share of entries seen late.")] = 0.1,
    delay_bars: Annotated[int, typer.Option(min=1, help="By how many bars.")] = 1,
    noise_bps: Annotated[
        float, typer.Option(help="Spread of the noise in entry prices, basis points.")
    ] = 5.0,
    noise_ticks: Annotated[float, typer.Option(help="The same, in ticks.")] = 0.0,
    noise_range: Annotated[
        float, typer.Option(help="The same, as a share of the bar's range.")
    ] = 0.0,
    ruin: Annotated[float, typer.Option(help="Ruin is this share of the start.")] = 0.5,
    seed: Annotated[int, typer.Option(help="The same seed gives the same paths.")] = 0,
    calendar: options.Calendar = "",
    timezone: options.Timezone = "",
    json: options.Json = False,
) -> None:
    """Vary the order of a result's trades and its entries, to see how much was luck of the draw.

    Example: [bold]quarterdeck monte-carlo results/macd-trend --noise 300 --skip 0.2[/]
    """
    from research.monte_carlo_paths import MonteCarloOptions
    from research.places import bars_source
    from research.study_runs import run_monte_carlo

    home = data_home()
    source, store = bars_source(bars, home)
    chosen = MonteCarloOptions(
        n_orders=orders, n_noise=noise, skip=skip, delay=delay, delay_bars=delay_bars,
        noise_bps=noise_bps, noise_ticks=noise_ticks, noise_range=noise_range, ruin=ruin, seed=seed,
    )  # fmt: skip
    if noise:
        tell_of_compiling()
    with study_options.record() as engine, progress_bar("Monte Carlo") as progress:
        written = run_monte_carlo(
            engine, result.expanduser(), store, chosen, home=home, out=out, source=source,
            calendar=calendar, timezone=timezone, progress=progress,
        )  # fmt: skip
    about, directory = written.about, written.directory
    if json:
        print_json({"directory": str(directory), **about})
        return
    rows = [
        [
            name,
            f"{int(found['n_paths']):,}",
            *(percent(found[key]) for key in _PATH_FIGURES),
        ]
        for name, found in about["paths"].items()
    ]
    heads = ["paths", "return 5 %", "median", "95 %", "lose", "drawdown 95 %", "ruined"]
    print_table(
        ["kind", *heads], rows, numbers=heads,
        title=f"{about['strategy']}: {about['n_trades']:,} trades, return "
        f"{percent(about['as_it_happened']['total_return'])}",
    )  # fmt: skip
    print(f"Study: {directory}")
    print(f"Page: {directory / 'study.html'}")


_PATH_FIGURES = (
    "return_05", "return_50", "return_95", "share_of_losses", "drawdown_95", "share_ruined",
)  # fmt: skip
