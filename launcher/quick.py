"""The command line of a backtest, read without typer.

Typer brings pydantic along, and both together take about as long to import as
a backtest of daily bars takes. What is not plain here (help, a mistake, an
abbreviation) is left to typer, which knows what to say; a test holds the two
to the same options.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from launcher.backtesting import BacktestOptions

COMMAND = "backtest"
# Options with a value, and those that may be repeated.
WITH_VALUE = frozenset(
    ("--bars", "--out", "--start", "--end", "--cash", "--calendar", "--timezone")
)
REPEATED = frozenset(("--symbol", "--set"))
FLAGS = {
    "--no-warmup": ("warmup", False),
    "--report": ("report", True),
    "--no-report": ("report", False),
    "--record": ("record", True),
    "--no-record": ("record", False),
    "--json": ("json", True),
}


def read_backtest(arguments: Sequence[str]) -> BacktestOptions | None:
    """Return the options of ``backtest ...``, or None where typer must look.

    Parameters
    ----------
    arguments : sequence of str
        What follows the program's name.
    """
    if not arguments or arguments[0] != COMMAND:
        return None
    words: list[str] = []
    given: dict[str, str] = {}
    repeated: dict[str, list[str]] = {name: [] for name in REPEATED}
    flags: dict[str, bool] = {}
    rest = iter(arguments[1:])
    for word in rest:
        name, equals, value = word.partition("=")
        if not word.startswith("-"):
            words.append(word)
        elif word in FLAGS:
            field, on = FLAGS[word]
            flags[field] = on
        elif name in WITH_VALUE or name in REPEATED:
            found = value if equals else next(rest, None)
            if found is None:
                return None
            if name in REPEATED:
                repeated[name].append(found)
            else:
                given[name] = found
        else:
            return None
    if len(words) != 1:
        return None
    try:
        return _options(words[0], given, repeated, flags)
    except ValueError:
        return None


def _options(
    strategy: str,
    given: dict[str, str],
    repeated: dict[str, list[str]],
    flags: dict[str, bool],
) -> BacktestOptions:
    """Return the options; a value that is none raises ValueError."""
    known: dict[str, object] = {name[2:]: text for name, text in given.items()}
    for name in ("start", "end"):
        if known.get(name):
            known[name] = date.fromisoformat(str(known[name]))
        else:
            known.pop(name, None)
    if "cash" in known:
        known["cash"] = float(str(known["cash"]))
    if "out" in known:
        known["out"] = Path(str(known["out"]))
    values: dict[str, float] = {}
    for text in repeated["--set"]:
        name, equals, number = text.partition("=")
        name = name.strip().removeprefix("$")
        if not equals or not name or name in values:
            raise ValueError(text)
        values[name] = float(number)
    return BacktestOptions(
        strategy=Path(strategy),
        symbols=tuple(repeated["--symbol"]),
        values=values,
        **known,  # type: ignore[arg-type]
        **flags,  # type: ignore[arg-type]
    )
