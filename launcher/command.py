"""The `quarterdeck` command: its parts, and how an error leaves it.

Exit codes: 0 done, 1 an error of data or document in one line on the standard
error, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import sys

import typer

from foundation.errors import QuarterdeckError
from foundation.home import data_home
from foundation.kernel_cache import use_kernel_cache
from launcher import backtest, catalogue, compare, data, runs, starting, sweep
from launcher.console import error_line

app = typer.Typer(
    name="quarterdeck",
    help="Backtest strategies on real bars and read the result in a report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _function, _panel in (
    ("up", starting.up, "Start"),
    ("import", data.import_bars, "Data"),
    ("bars", data.bars, "Data"),
    ("indicators", catalogue.indicators, "Strategies"),
    ("schema", catalogue.schema, "Strategies"),
    ("check", catalogue.check, "Strategies"),
    ("backtest", backtest.backtest, "Research"),
    ("sweep", sweep.sweep, "Research"),
    ("report", backtest.report, "Research"),
    ("compare", compare.compare, "Research"),
    ("runs", runs.runs, "Research"),
    ("version", runs.version, "Start"),
):
    app.command(_name, rich_help_panel=_panel)(_function)


@app.callback()
def _quarterdeck() -> None:
    """Backtest strategies on real bars and read the result in a report."""


def main() -> None:
    """Run the command and leave with its exit code."""
    # Before any command imports numba.
    use_kernel_cache(data_home())
    try:
        app()
    except QuarterdeckError as error:
        error_line(str(error))
        sys.exit(1)
    except OSError as error:
        # A file named by the user that can't be read or written is no defect.
        if error.filename is None:
            raise
        error_line(f"{error.filename}: {error.strerror}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
