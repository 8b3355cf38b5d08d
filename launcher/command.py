"""The `quarterdeck` command: how it is called, and how an error leaves it.

Exit codes: 0 done, 1 an error of data or document in one line on the standard
error, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import gc
import os
import sys

from foundation.errors import QuarterdeckError
from foundation.home import data_home
from foundation.kernel_cache import use_kernel_cache
from foundation.log_file import logged_work
from launcher.console import error_line


def main() -> None:
    """Run the command and leave with its exit code."""
    home = data_home()
    # Before any command imports numba.
    use_kernel_cache(home)
    arguments = sys.argv[1:]
    name = next((word for word in arguments if not word.startswith("-")), "quarterdeck")
    with logged_work(home, name, logger="launcher", arguments=arguments):
        _run_and_leave(arguments)


def _run_and_leave(arguments: list[str]) -> None:
    try:
        try:
            _run(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
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
    sys.exit(0)


def _run(arguments: list[str]) -> None:
    if arguments[:1] == ["backtest"]:
        # Imports make objects that stay: to search them for garbage takes a tenth of the time.
        gc.set_threshold(1_000_000)
        from launcher.backtesting import perform
        from launcher.quick import read_backtest

        options = read_backtest(arguments)
        if options is not None:
            perform(options)
            return
    from launcher.commands import app

    app(arguments, prog_name="quarterdeck")


if __name__ == "__main__":
    main()
