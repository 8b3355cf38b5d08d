"""Options that several commands share: how they are written and what they mean."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

StrategyFile = Annotated[
    Path, typer.Argument(metavar="STRATEGY", help="A strategy document, YAML or JSON.")
]
Bars = Annotated[
    str,
    typer.Option(
        metavar="FILE_OR_STORE",
        help="A CSV or Parquet file of bars, another data home, or `store`.",
    ),
]
Symbols = Annotated[
    list[str] | None,
    typer.Option("--symbol", metavar="S", help="Instead of the document's instruments; repeat it."),
]
Start = Annotated[
    str, typer.Option(metavar="DATE", help="First session traded, such as 2012-01-31.")
]
End = Annotated[str, typer.Option(metavar="DATE", help="Last session traded.")]
Cash = Annotated[float, typer.Option(help="Starting cash of the whole portfolio.")]
Calendar = Annotated[
    str, typer.Option(metavar="C", help="Of a file of bars: XNYS, 24/7, FX and others.")
]
Timezone = Annotated[str, typer.Option(metavar="Z", help="Of a file's times that state none.")]
NoWarmup = Annotated[
    bool, typer.Option("--no-warmup", help="Use no bars before the start to warm indicators up.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
Out = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Where the result goes; in the data home by default."),
]


def session_date(text: str, option: str) -> date | None:
    """Return the date that an option names, None when it is not given.

    Raises
    ------
    typer.BadParameter
        If it is no ISO date.
    """
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a date such as 2012-01-31", param_hint=option
        ) from None


def named_values(texts: list[str] | None) -> dict[str, str]:
    """Return the parts of each ``name=value`` of ``--set``.

    Raises
    ------
    typer.BadParameter
        If there is no ``=``, or a name comes twice.
    """
    found: dict[str, str] = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        name, value = name.strip().removeprefix("$"), value.strip()
        if not equals or not name or not value:
            raise typer.BadParameter(f"{text!r} is not parameter=value", param_hint="--set")
        if name in found:
            raise typer.BadParameter(f"{name} is set twice", param_hint="--set")
        found[name] = value
    return found


def number(text: str, name: str) -> float:
    """Return the number that a ``--set`` gives to one parameter.

    Raises
    ------
    typer.BadParameter
        If it is none.
    """
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(
            f"{name} must be a number, got {text!r}", param_hint="--set"
        ) from None
