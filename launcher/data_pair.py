"""`quarterdeck data compare`, `merge`, `quarantine` and `impact`."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foundation.errors import DataError
from foundation.home import data_home
from foundation.log_file import note
from launcher import options
from launcher.console import percent, print_json, print_table, progress_bar, warning_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from market_data.pairs.comparison import PairComparison
    from market_data.store import Store

_N_SHOWN = 10


def compare(
    a: Annotated[
        str, typer.Argument(metavar="A", help="A stored symbol such as AAPL@lean, or a file.")
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="Another source of the instrument.")],
    timeframe: Annotated[
        str, typer.Argument(metavar="[TIMEFRAME]", help="Needed where several are stored.")
    ] = "",
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page of charts.")
    ] = None,
    parquet: Annotated[
        Path | None, typer.Option("--parquet", metavar="FILE", help="Write every bar's judgement.")
    ] = None,
    symbol: Annotated[str, typer.Option(metavar="S", help="Of files that don't tell.")] = "",
    calendar: options.Calendar = "",
    timezone: options.Timezone = "",
    json: options.Json = False,
) -> None:
    """Compare two sources of one instrument: shift, scale and every disagreement.

    Example: [bold]quarterdeck data compare AAPL@lean AAPL@yahoo 1d --html pair.html[/]
    """
    store = _store()
    told = {"symbol": symbol, "calendar": calendar, "timezone": timezone}
    pair = _compare(store, a, b, timeframe, told)
    note(a=a, b=b, timeframe=pair.timeframe, disagreeing=int(pair.bars.disagreeing.sum()))
    if parquet is not None:
        from market_data.pairs.comparison import write_bar_table

        write_bar_table(pair, parquet.expanduser())
    if html is not None:
        from research.pair_page import write_pair_page

        with progress_bar("Page"):
            write_pair_page(html.expanduser(), pair)
    if json:
        print_json(pair.summary())
        return
    _print_pair(pair)
    for path in (html, parquet):
        if path is not None:
            print(f"written: {path}")


def _store() -> Store:
    from market_data.store import open_store

    return open_store(data_home())


def _compare(store: Store, a: str, b: str, timeframe: str, told: dict[str, str]) -> PairComparison:
    from market_data.pairs.files import compare_files
    from market_data.pairs.stored import compare_stored

    paths = [Path(name).expanduser() for name in (a, b)]
    if all(path.is_file() for path in paths):
        return compare_files(store, paths[0], paths[1], timeframe=timeframe, **told)
    for name, path in zip((a, b), paths, strict=True):
        if path.is_file():
            raise DataError(f"{name} is a file; compare two files, or import it as a source first")
    return compare_stored(store, a, b, timeframe or _only_timeframe(store, a, b))


def _only_timeframe(store: Store, a: str, b: str) -> str:
    """Return the timeframe that both are stored in, if there is just one."""
    there = [name for name in store.timeframes(a) if name in store.timeframes(b)]
    if len(there) == 1:
        return there[0]
    for name in (a, b):
        if not store.timeframes(name):
            # Says what there is instead.
            store.read_columns(name, "1d")
    told = f"both have {', '.join(there)}" if there else "they have none in common"
    raise DataError(f"state the timeframe to compare {a} and {b} in; {told}")


def _print_pair(pair: PairComparison) -> None:
    summary = pair.summary()
    print(
        f"A {summary['a']}, B {summary['b']}: {summary['bars_compared']:,} common "
        f"{summary['timeframe']} bars, {summary['first'][:10]} to {summary['last'][:10]}, "
        f"{percent(summary['share_disagreeing'])} beyond tolerance"
    )
    for sentence in summary["findings"]:
        print(f"  {sentence}")
    fields: dict[str, dict[str, int]] = summary["fields"]
    classes = list(dict.fromkeys(name for counts in fields.values() for name in counts))
    rows = [
        [field, *(f"{counts.get(name, 0):,}" for name in classes)]
        for field, counts in fields.items()
    ]
    print_table(["bars by class", *classes], rows, numbers=classes)
    worst = summary["worst"][:_N_SHOWN]
    if worst:
        names = ["bar", "price", "A", "B", "tolerance", "judged"]
        print_table(
            names,
            [
                [row["session"] if pair.timeframe in ("1d", "1w") else row["ts"], row["field"],
                 f"{row['a']:.8g}", f"{row['b']:.8g}", f"{row['tolerance']:.4g}", row["class"]]
                for row in worst
            ],
            numbers=("A", "B", "tolerance"),
        )  # fmt: skip


def merge(
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="The instrument, such as AAPL.")],
    timeframe: Annotated[
        str, typer.Argument(metavar="[TIMEFRAME]", help="Needed where several are stored.")
    ] = "",
    sources: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="S", help="A source, first the one to prefer; repeat it."),
    ] = None,
    highs: Annotated[
        str, typer.Option(help="Of two highs nobody can judge: priority, inner or outer.")
    ] = "priority",
    lows: Annotated[
        str, typer.Option(help="Of two lows nobody can judge: priority, inner or outer.")
    ] = "priority",
    quarantine_moves: Annotated[
        float,
        typer.Option(min=0.0, help="Usual moves of difference that nothing decides; 0 for none."),
    ] = 1.0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace stored bars with other values.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Merge sources into one series, with where each price came from.

    Example: [bold]quarterdeck data merge AAPL --from AAPL@lean --from AAPL@yahoo[/]
    """
    from market_data.pairs.merging import MergeRules, RangeRule
    from market_data.pairs.stored import merge_stored, provenance_place

    names = sources or []
    if len(names) < 2:
        raise typer.BadParameter("name two sources or more", param_hint="--from")
    chosen = {}
    for option, text in (("--highs", highs), ("--lows", lows)):
        if text not in list(RangeRule):
            raise typer.BadParameter(
                f"{text!r} is none of {', '.join(RangeRule)}", param_hint=option
            )
        chosen[option.removeprefix("--")] = RangeRule(text)
    store = _store()
    frame = timeframe or _only_timeframe(store, names[0], names[1])
    rules = MergeRules(**chosen, quarantine_moves=quarantine_moves)
    report = merge_stored(
        store, symbol, names, frame, at=datetime.now(UTC), rules=rules, overwrite=overwrite
    )
    merged = report.merged
    note(symbol=symbol, timeframe=frame, bars=merged.columns.n_bars, changed=report.changed)
    place = provenance_place(store, symbol, frame)
    told: dict[str, Any] = {
        "symbol": symbol,
        "timeframe": frame,
        "sources": list(merged.sources),
        "bars": merged.columns.n_bars,
        "changed": report.changed,
        "undecided": report.undecided,
        "quarantined": report.quarantined,
        "widened": int(merged.widened.sum()),
        "outside_calendar": merged.dropped,
        "in_no_source": report.elsewhere,
        "day_ends": list(report.day_ends),
        "prices_by_rule": report.rules,
        "provenance": str(place),
    }
    if json:
        print_json(told)
        return
    print(
        f"{symbol} {frame}: {told['bars']:,} bars of {', '.join(merged.sources)}; "
        f"{report.changed:,} stored bars changed, {report.quarantined:,} new in quarantine"
    )
    rows = [
        [rule, *(f"{counts.get(name, 0):,}" for name in merged.sources)]
        for rule, counts in report.rules.items()
    ]
    print_table(["prices by rule", *merged.sources], rows, numbers=merged.sources)
    if merged.dropped:
        warning_line(f"{merged.dropped:,} bars are in no session of the calendar and were left out")
    for sentence in report.day_ends:
        warning_line(f"{sentence} Closes of one day are then of two moments.")
    if report.elsewhere:
        warning_line(
            f"{report.elsewhere:,} stored bars of {symbol} are in none of the sources and stay as "
            "they are"
        )
    print(f"source and rule of each price: {place}")


def quarantine(
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="As it is stored.")],
    timeframe: Annotated[str, typer.Argument(metavar="TIMEFRAME", help="Such as 1d or 1m.")],
    add: Annotated[
        list[str] | None,
        typer.Option("--add", metavar="WHEN", help="A bar or a day to put in; repeat it."),
    ] = None,
    release: Annotated[
        list[str] | None,
        typer.Option("--release", metavar="WHEN", help="A bar, a day or `all` to let out."),
    ] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why bars are put in.")] = "",
    json: options.Json = False,
) -> None:
    """Show the bars nobody should trade on, put bars in or let them out.

    Example: [bold]quarterdeck data quarantine AAPL 1d --release 2013-04-23[/]
    """
    import numpy as np

    store = _store()
    who, now = getpass.getuser(), datetime.now(UTC)
    if add and not reason.strip():
        raise typer.BadParameter("say why, with --reason", param_hint="--add")
    done = {"added": 0, "released": 0}
    if add:
        columns, _ = store.read_columns(symbol, timeframe, with_quarantined=True)
        chosen = np.concatenate([_bars_at(columns.ts, columns.session, text) for text in add])
        done["added"] = store.quarantine(symbol, timeframe, chosen, reason=reason, by=who, at=now)
    if release:
        done["released"] = _release(store, symbol, timeframe, release, who, now)
    table = store.read_quarantine(symbol, timeframe, in_force=True)
    rows = [
        {
            "ts": row["ts"].strftime("%Y-%m-%dT%H:%MZ"),
            "reason": row["reason"],
            "by": row["quarantined_by"],
            "at": row["quarantined_at"].strftime("%Y-%m-%dT%H:%MZ"),
        }
        for row in sorted(table.to_pylist(), key=lambda row: row["ts"])
    ]
    if json:
        print_json({"symbol": symbol, "timeframe": timeframe, **done, "bars": rows})
        return
    for what, count in done.items():
        if count:
            print(f"{count:,} bars {what}")
    if not rows:
        print(f"no {timeframe} bar of {symbol} is in quarantine")
        return
    print(f"{len(rows):,} {timeframe} bars of {symbol} in quarantine")
    print_table(["ts", "reason", "by", "at"], [list(row.values()) for row in rows])


def _release(
    store: Store, symbol: str, timeframe: str, texts: list[str], who: str, now: datetime
) -> int:
    import numpy as np

    columns, _ = store.read_columns(symbol, timeframe, with_quarantined=True)
    kept = store.read_quarantine(symbol, timeframe, in_force=True)["ts"].cast("int64")
    inside = np.isin(columns.ts, np.asarray(kept.to_pylist(), np.int64) * 1000)
    ts, session = columns.ts[inside], columns.session[inside]
    chosen = ts if "all" in texts else np.concatenate([_bars_at(ts, session, t) for t in texts])
    return store.release(symbol, timeframe, chosen, by=who, at=now)


def _bars_at(ts: NDArray[np.int64], session: NDArray[np.int64], text: str) -> NDArray[np.int64]:
    """Return the bars that a time or a session date names."""
    import numpy as np

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither a date such as 2013-04-23 nor a time in UTC"
        ) from None
    if len(text) == len("2013-04-23"):
        found = ts[session == moment.date().toordinal() - 719_163]
    else:
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        found = ts[ts == round(aware.timestamp()) * 1_000_000_000]
    if found.shape[0] == 0:
        raise DataError(f"no such bar at {text}")
    return np.asarray(found)


def impact(
    symbol: Annotated[
        str, typer.Argument(metavar="[SYMBOL]", help="Only of this stored symbol.")
    ] = "",
    json: options.Json = False,
) -> None:
    """List the recorded backtests that used a bar which has changed since.

    Example: [bold]quarterdeck data impact AAPL[/]
    """
    from foundation.database import make_engine
    from foundation.migration import migrate
    from foundation.settings import load_settings
    from research.data_impact import as_json, impact_list

    engine = make_engine(load_settings().database_url)
    try:
        # A home that nothing was recorded in has an empty list, not an error.
        migrate(engine)
        found = [as_json(one) for one in impact_list(_store(), engine, symbol=symbol)]
    finally:
        engine.dispose()
    if json:
        print_json(found)
        return
    if not found:
        print("no recorded run used a bar that has changed since")
        return
    rows = [
        [
            one["kind"], one["run_id"], one["strategy"] or "", one["symbol"],
            one["timeframe"] if one["timeframe"] == one["asked_timeframe"]
            else f"{one['asked_timeframe']} of {one['timeframe']}",
            f"{one['changed_bars']:,}",
            "quarantine" if one["largest_change"] is None else percent(one["largest_change"]),
            "" if one["largest_change_ticks"] is None else f"{one['largest_change_ticks']:,.0f}",
            "?" if one["fills_on_changed_bars"] is None else f"{one['fills_on_changed_bars']:,}",
            one["last_changed_at"],
        ]
        for one in found
    ]  # fmt: skip
    names = ["kind", "run", "strategy", "symbol", "timeframe", "changed bars", "largest change", "ticks",
             "fills on them", "changed at"]  # fmt: skip
    print_table(names, rows, numbers=("changed bars", "largest change", "ticks", "fills on them"))
