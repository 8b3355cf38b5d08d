"""`quarterdeck requests …`: ask for backtests that Dagster runs, follow and cancel them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foundation.errors import QuarterdeckError, SpecError
from launcher import options
from launcher.console import print_json, print_table
from strategies.requests import (
    N_ATTEMPTS_MAX,
    NewRequest,
    Request,
    RequestStatus,
    Work,
    cancel_request,
    get_request,
    list_requests,
    request_work,
    retry_request,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from trading.document import StrategyDocument

_POLL_S = 0.5
# In a list; `show` has the whole line.
_N_ERROR_SHOWN = 80
# The sensor looks every five seconds; whoever waits much longer may have nothing running.
_PATIENCE_S = 30.0

app = typer.Typer(
    name="requests",
    help="Ask for backtests and sweeps that Dagster runs in its turn; follow and cancel them.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

Number = Annotated[int, typer.Argument(metavar="NUMBER", help="Of the request.")]


@app.callback()
def _requests() -> None:
    """Ask for backtests and sweeps that Dagster runs in its turn; follow and cancel them."""


@app.command()
def add(
    strategy: Annotated[
        str,
        typer.Argument(
            metavar="STRATEGY", help="A strategy document, or the hash of a stored version."
        ),
    ],
    what: Annotated[Work, typer.Option(help="What to run.")] = Work.BACKTEST,
    bars: options.Bars = "store",
    symbol: options.Symbols = None,
    start: options.Start = "",
    end: options.End = "",
    cash: options.Cash = 100_000.0,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PARAMETER=VALUE",
            help="Another value, or a sweep's range such as 5:30:5; repeat it.",
        ),
    ] = None,
    random: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Of a sweep: draw N sets.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the drawing.")] = 0,
    no_warmup: options.NoWarmup = False,
    calendar: options.Calendar = "",
    timezone: options.Timezone = "",
    out: options.Out = None,
    priority: Annotated[
        int, typer.Option(min=-1000, max=1000, help="Higher goes first, then the oldest.")
    ] = 0,
    memory: Annotated[
        str, typer.Option(metavar="SIZE", help="Ceiling of the run, such as 2GiB.")
    ] = "",
    attempts: Annotated[
        int, typer.Option(min=1, help="Tries at most, where trying again may help.")
    ] = N_ATTEMPTS_MAX,
    key: Annotated[
        str, typer.Option(metavar="TEXT", help="Asking again with the same key asks once.")
    ] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end.")] = False,
    json: options.Json = False,
) -> None:
    """Ask for a backtest or a sweep, with the options of that command.

    The document is stored as a version now; editing the file changes nothing any more.

    Example: [bold]quarterdeck requests add examples/macd_trend.yaml --symbol AAPL --priority 5[/]

    Example: [bold]quarterdeck requests add examples/macd_trend.yaml --what sweep --memory 4GiB[/]
    """
    first, last = options.session_date(start, "--start"), options.session_date(end, "--end")
    if first is not None and last is not None and first > last:
        raise typer.BadParameter(f"{start} is after --end {end}", param_hint="--start")
    if not cash > 0.0:
        raise typer.BadParameter(f"must be above 0, got {cash:g}", param_hint="--cash")
    given = options.named_values(set_)
    asked: dict[str, Any] = {
        "bars": _placed(bars),
        "symbols": list(symbol or ()),
        "start": start,
        "end": end,
        "cash": cash,
        "warmup": not no_warmup,
        "calendar": calendar,
        "timezone": timezone,
        "output": "" if out is None else str(out.expanduser().absolute()),
    }
    if what is Work.BACKTEST and random is not None:
        raise typer.BadParameter("only a sweep draws sets", param_hint="--random")
    memory_bytes_max = _size(memory) if memory else None
    from research.documents import find_document

    with _record() as engine:
        document = find_document(strategy, engine)
        if what is Work.BACKTEST:
            asked["parameters"] = {n: options.number(text, n) for n, text in given.items()}
        else:
            asked |= {"values": given, "random": random or 0, "seed": seed}
        _check_values(document, what, given)
        from strategies.versions import save_version
        from trading.document import canonical

        version = save_version(engine, name=document.name, document=canonical(document), author="")
        request = request_work(
            engine,
            NewRequest(
                what=what,
                version_hash=version.version_hash,
                options=asked,
                priority=priority,
                memory_bytes_max=memory_bytes_max,
                attempts_max=attempts,
                idempotency_key=key or None,
            ),
        )
        if wait:
            request = _follow(engine, request)
        _tell(request, json=json)
        if wait:
            _leave(request)


@app.command(name="list")
def list_(
    status: Annotated[
        RequestStatus | None, typer.Option(help="Only requests in this state.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    json: options.Json = False,
) -> None:
    """List requests: those that run, those that wait in their order, then the ended ones.

    Example: [bold]quarterdeck requests list --status queued[/]
    """
    with _record() as engine:
        found = list_requests(engine, status=status, limit=limit)
    if json:
        print_json([_plain(request) for request in found])
        return
    if not found:
        print("no request is on record")
        return
    rows = [
        [
            str(request.request_id),
            request.what.value,
            request.strategy,
            request.version_hash[:8],
            ", ".join(request.options.get("symbols", [])) or "–",
            str(request.priority),
            _state(request),
            f"{request.attempts} of {request.attempts_max}",
            f"{request.requested_at:%Y-%m-%d %H:%M}",
            request.run_id or _shortened(request.error or ""),
        ]
        for request in found
    ]
    columns = ["request", "what", "strategy", "version", "symbols", "priority", "status"]
    print_table(
        [*columns, "attempts", "requested (UTC)", "result or error"],
        rows,
        numbers=("request", "priority"),
    )


@app.command()
def show(
    number: Number,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end.")] = False,
    json: options.Json = False,
) -> None:
    """Show one request.

    Example: [bold]quarterdeck requests show 12 --wait[/]
    """
    with _record() as engine:
        request = get_request(engine, number)
        if wait:
            request = _follow(engine, request)
    _tell(request, json=json)
    if wait:
        _leave(request)


@app.command()
def cancel(number: Number, json: options.Json = False) -> None:
    """Cancel a request: one that waits never starts, one that runs is stopped.

    Example: [bold]quarterdeck requests cancel 12[/]
    """
    with _record() as engine:
        request = cancel_request(engine, number)
    _tell(request, json=json)


@app.command()
def retry(number: Number, json: options.Json = False) -> None:
    """Ask again for a request that failed or was cancelled; one that waits for a try has it now.

    Example: [bold]quarterdeck requests retry 12[/]
    """
    with _record() as engine:
        request = retry_request(engine, number)
    _tell(request, json=json)


@contextmanager
def _record() -> Iterator[Engine]:
    from foundation.database import make_engine
    from foundation.migration import migrate
    from foundation.settings import load_settings

    engine = make_engine(load_settings().database_url)
    try:
        migrate(engine)
        yield engine
    finally:
        engine.dispose()


def _check_values(document: StrategyDocument, what: Work, given: dict[str, str]) -> None:
    """Refuse now what the run would refuse later: unknown parameters and values out of range."""
    if what is Work.BACKTEST:
        from trading.expressions.strategy import bind, resolve_strategy

        values = {name: options.number(text, name) for name, text in given.items()}
        bind(resolve_strategy(document), values)
        return
    from research.parameter_sets import read_values
    from trading.document import check_values

    for name, text in given.items():
        for value in read_values(text):
            check_values(document, {name: value})


def _placed(bars: str) -> str:
    """Return where bars come from in words that hold in another process's folder too."""
    path = Path(bars).expanduser()
    if bars in ("", "store"):
        return "store"
    if not path.exists():
        raise SpecError(f"no file of bars and no data home at {path}", path="--bars")
    return str(path.absolute())


def _size(text: str) -> int:
    from pydantic import ByteSize, TypeAdapter, ValidationError

    try:
        return int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError:
        raise typer.BadParameter(
            f"{text!r} is not a size such as 2GiB", param_hint="--memory"
        ) from None


def _follow(engine: Engine, request: Request) -> Request:
    """Wait until a request has ended; tell on the standard error how far it is."""
    told = ""
    began = time.monotonic()
    hinted = False
    while request.finished_at is None:
        line = f"request {request.request_id} is {_state(request)}"
        if line != told:
            print(line, file=sys.stderr, flush=True)
            told = line
        waits = request.attempts == 0 and request.status is RequestStatus.QUEUED
        if waits and not hinted and time.monotonic() - began > _PATIENCE_S:
            hinted = True
            print("nothing has taken it yet: does `quarterdeck up` run?", file=sys.stderr)
        time.sleep(_POLL_S)
        request = get_request(engine, request.request_id)
    return request


def _leave(request: Request) -> None:
    """Leave with an error for a request that came to nothing."""
    if request.status is not RequestStatus.SUCCEEDED:
        raise QuarterdeckError(
            f"request {request.request_id} is {request.status.value}"
            + (f": {request.error}" if request.error else "")
        )


def _state(request: Request) -> str:
    if request.status is RequestStatus.RUNNING:
        if request.cancel_requested_at is not None:
            return "being stopped"
        return "running" if request.dagster_run_id else "starting"
    if request.status is RequestStatus.QUEUED and request.attempts:
        return f"waiting for try {request.attempts + 1} at {request.next_attempt_at:%H:%M:%S} UTC"
    return request.status.value


def _shortened(text: str) -> str:
    return text if len(text) <= _N_ERROR_SHOWN else f"{text[: _N_ERROR_SHOWN - 1]}…"


def _tell(request: Request, *, json: bool) -> None:
    if json:
        print_json(_plain(request))
        return
    size = request.memory_bytes_max
    rows = [
        ["request", str(request.request_id)],
        ["status", _state(request)],
        [
            "what",
            f"{request.what.value} of {request.strategy}, version {request.version_hash[:12]}",
        ],
        ["options", "; ".join(_said(request.options))],
        ["priority", str(request.priority)],
        ["memory ceiling", "that of the settings" if size is None else f"{size / 2**20:,.0f} MiB"],
        ["attempts", f"{request.attempts} of {request.attempts_max}"],
        ["requested", f"{request.requested_at:%Y-%m-%d %H:%M:%S} UTC"],
    ]
    if request.dagster_run_id:
        rows.append(["Dagster run", request.dagster_run_id])
    if request.error:
        rows.append(["error", request.error])
    if request.result_directory:
        rows.append(["result", request.result_directory])
    print_table(["", ""], rows)


def _said(asked: Mapping[str, Any]) -> Iterator[str]:
    """Yield options as people write them; those that were left alone are passed over."""
    for name, value in asked.items():
        if isinstance(value, bool):
            if not value:
                yield f"no {name}"
        elif isinstance(value, dict):
            yield from (f"{one}={_number(of)}" for one, of in value.items())
        elif isinstance(value, list):
            if value:
                yield f"{name} {', '.join(value)}"
        elif value not in ("", 0):
            yield f"{name} {_number(value)}"


def _number(value: Any) -> str:
    return f"{value:,.10g}" if isinstance(value, float) else str(value)


def _plain(request: Request) -> dict[str, Any]:
    """Return a request as JSON values; times in ISO form, UTC."""
    from dataclasses import fields

    found: dict[str, Any] = {}
    for field in fields(request):
        value = getattr(request, field.name)
        found[field.name] = value.isoformat() if hasattr(value, "isoformat") else value
    return found
