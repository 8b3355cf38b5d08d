"""What the research commands share: their options, their request, the record they write to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foundation.errors import SpecError
from foundation.home import data_home
from launcher import options
from launcher.console import percent, plain, print_table

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from market_data.store import Store
    from research.backtest import BacktestRequest

SetValues = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PARAMETER=VALUES",
        help="low:high:step, or values with commas, or one value for all; repeat it. "
        "Without it every parameter goes over the range that the document states.",
    ),
]
Objective = Annotated[
    str, typer.Option("--by", metavar="FIGURE", help="What a set is chosen by, such as calmar.")
]
By = Annotated[str, typer.Option("--as", metavar="NAME", help="Who does it; you by default.")]


@contextmanager
def record() -> Iterator[Engine]:
    """Open the database, which is made when it isn't there."""
    from foundation.database import make_engine
    from foundation.migration import migrate
    from foundation.settings import load_settings

    engine = make_engine(load_settings().database_url)
    try:
        migrate(engine)
        yield engine
    finally:
        engine.dispose()


def request_of(
    strategy: Path,
    *,
    bars: str,
    symbol: list[str] | None,
    start: date | None = None,
    end: date | None = None,
    cash: float = 100_000.0,
    fixed: dict[str, float] | None = None,
    warmup: bool = True,
    calendar: str = "",
    timezone: str = "",
) -> tuple[BacktestRequest, Store]:
    """Return the request that a command's options make, and the store it reads."""
    from research.backtest import BacktestRequest
    from research.places import bars_source
    from trading.document import load_document

    document = load_document(strategy)
    source, store = bars_source(bars, data_home())
    return (
        BacktestRequest(
            document,
            source=source,
            symbols=tuple(symbol or ()),
            start=start,
            end=end,
            cash=cash,
            values=fixed or {},
            warmup=warmup,
            calendar=calendar,
            timezone=timezone,
        ),
        store,
    )


def read_sets(
    texts: list[str] | None, strategy: Path
) -> tuple[dict[str, tuple[float, ...]], dict[str, float]]:
    """Return what ``--set`` lets vary, all declared ranges by default, and what it fixes."""
    from research.parameter_sets import declared_values
    from trading.document import load_document

    given = {name: values_of(text, name) for name, text in options.named_values(texts).items()}
    varied = {name: found for name, found in given.items() if len(found) > 1}
    fixed = {name: found[0] for name, found in given.items() if len(found) == 1}
    if not varied:
        declared = declared_values(load_document(strategy))
        # A parameter that is given one value keeps it; the others go over their ranges.
        varied = {name: found for name, found in declared.items() if name not in fixed}
    return varied, fixed


def values_of(text: str, name: str) -> tuple[float, ...]:
    """Return the values that one ``--set`` gives to a parameter.

    Raises
    ------
    typer.BadParameter
        If the text means none.
    """
    from research.parameter_sets import read_values

    try:
        return read_values(text)
    except SpecError as error:
        raise typer.BadParameter(f"{name}: {error}", param_hint="--set") from None


def print_verdict(judged: dict[str, Any], trials: dict[str, Any]) -> None:
    """Print what a Sharpe ratio is worth given all that was tried."""
    rows = [
        ["Sharpe ratio", plain(judged["sharpe"])],
        ["Sharpe ratio of luck", plain(judged["luck_sharpe"])],
        ["probabilistic Sharpe", percent(judged["probabilistic_sharpe"])],
        ["deflated Sharpe", percent(judged["deflated_sharpe"])],
        ["sets on record", f"{trials['n_sets_tried']:,}"],
        ["studies on record", f"{trials['n_studies']:,}"],
    ]
    print_table(["what it is worth", "value"], rows, numbers=("value",))
