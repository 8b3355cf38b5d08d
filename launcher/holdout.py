"""`quarterdeck holdout …`: lock a last period, look at it on record, see who looked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from foundation.home import data_home
from launcher import options, study_options
from launcher.console import percent, plain, print_json, print_table, progress_bar

if TYPE_CHECKING:
    from strategies.studies import LockedPeriod

app = typer.Typer(
    name="holdout",
    help="Lock a last period that no choice may see; every look at it is on record.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@app.command()
def lock(
    strategy: options.StrategyFile,
    bars: options.Bars = "store",
    symbol: options.Symbols = None,
    share: Annotated[float, typer.Option(help="Share of all sessions to lock.")] = 0.2,
    first: Annotated[
        str, typer.Option("--from", metavar="DATE", help="Lock from this session on instead.")
    ] = "",
    why: Annotated[str, typer.Option(metavar="TEXT", help="A word on what it is kept for.")] = "",
    by: study_options.By = "",
    calendar: options.Calendar = "",
    timezone: options.Timezone = "",
    json: options.Json = False,
) -> None:
    """Lock the last sessions of a strategy's instruments against sweeps and searches.

    Example: [bold]quarterdeck holdout lock examples/macd_trend.yaml --share 0.2[/]
    """
    first_session = options.session_date(first, "--from")
    from research.holdout import describe_locks, seen_before
    from research.holdout import lock as lock_it

    request, store = study_options.request_of(
        strategy, bars=bars, symbol=symbol, calendar=calendar, timezone=timezone
    )
    with study_options.record() as engine:
        found = lock_it(
            engine, request, store, first_session=first_session, share=share, reason=why, by=by
        )
        n_seen = seen_before(engine, found, store)
    if json:
        print_json({"strategy": found.name, "n_seen_before": n_seen, **describe_locks([found])[0]})
        return
    print(
        f"{found.name} on {', '.join(found.instruments)} ({found.timeframe}): sessions from "
        f"{found.first_session} on are locked."
    )
    if n_seen:
        print(
            f"{n_seen:,} {'backtest or study' if n_seen == 1 else 'backtests and studies'} on record "
            "saw some of them before: what was learned there can't be unlearned."
        )


@app.command("open")
def open_(
    strategy: options.StrategyFile,
    why: Annotated[str, typer.Option(metavar="TEXT", help="Why it is opened; goes on record.")],
    bars: options.Bars = "store",
    out: options.Out = None,
    symbol: options.Symbols = None,
    cash: options.Cash = 100_000.0,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PARAMETER=VALUE", help="Another value; repeat it."),
    ] = None,
    by: study_options.By = "",
    calendar: options.Calendar = "",
    timezone: options.Timezone = "",
    json: options.Json = False,
) -> None:
    """Run a backtest over the locked sessions, and put on record that somebody looked.

    Example: [bold]quarterdeck holdout open examples/macd_trend.yaml --set fast=12 --why "before paper"[/]
    """
    values = {name: options.number(text, name) for name, text in options.named_values(set_).items()}
    from research.holdout import describe_locks, open_period, opened_words
    from research.places import refuse_foreign_directory
    from research.summary import SUMMARY_FILE

    refuse_foreign_directory(out, SUMMARY_FILE)
    request, store = study_options.request_of(
        strategy, bars=bars, symbol=symbol, cash=cash, fixed=values, calendar=calendar,
        timezone=timezone,
    )  # fmt: skip
    with study_options.record() as engine, progress_bar("Backtest") as progress:
        summary, directory, locked = open_period(
            engine, request, store, home=data_home(),
            out=None if out is None else out.expanduser().absolute(),
            reason=why, by=by, progress=progress,
        )  # fmt: skip
    if json:
        import msgspec

        record: dict[str, Any] = msgspec.to_builtins(summary)
        print_json({"directory": str(directory), "lock": describe_locks([locked])[0], **record})
        return
    print_table(
        ["figure", "value"],
        [
            ["total return", percent(summary.total_return)],
            ["Sharpe ratio", plain(summary.sharpe)],
            ["max drawdown", percent(summary.max_drawdown)],
            ["trades", f"{summary.n_trades:,}"],
        ],
        title=f"{summary.strategy}, locked sessions {summary.start} to {summary.end}",
        numbers=("value",),
    )
    print(
        f"The locked period was {opened_words(len(locked.openings))}; each look spends some of it."
    )
    print(f"Result: {directory}")


@app.command()
def show(
    strategy: Annotated[str, typer.Option(metavar="NAME", help="Only of this strategy.")] = "",
    json: options.Json = False,
) -> None:
    """List locked periods and who looked at them.

    Example: [bold]quarterdeck holdout show --strategy macd-trend[/]
    """
    from research.holdout import describe_locks
    from strategies.studies import find_locks

    with study_options.record() as engine:
        found = find_locks(engine, name=strategy or None)
    if json:
        described = describe_locks(found)
        print_json(
            [{"strategy": one.name, **more} for one, more in zip(found, described, strict=True)]
        )
        return
    if not found:
        print("no period is locked")
        return
    _print_locks(found)


def _print_locks(found: list[LockedPeriod]) -> None:
    from research.holdout import opened_words

    rows = [
        [
            one.name,
            ", ".join(one.instruments),
            one.timeframe,
            one.first_session.isoformat(),
            f"{one.locked_at:%Y-%m-%d %H:%M}",
            one.locked_by,
            opened_words(len(one.openings)),
        ]
        for one in found
    ]
    columns = ["strategy", "instruments", "bars", "locked from", "locked (UTC)", "by", "openings"]
    print_table(columns, rows)
    looks = [
        [
            one.name, f"{look.opened_at:%Y-%m-%d %H:%M}", look.opened_by, look.version_hash[:8],
            look.result_id, look.reason,
        ]
        for one in found
        for look in one.openings
    ]  # fmt: skip
    if looks:
        print_table(["strategy", "opened (UTC)", "by", "version", "result", "why"], looks)
