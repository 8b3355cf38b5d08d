"""What the command prints: error lines, JSON, tables, progress.

Answers go to the standard output, everything about the way there to the
standard error. Rich is imported when something is drawn with it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from foundation.progress import Progress, silent

if TYPE_CHECKING:
    from rich.console import Console

# Work that ends sooner shows no bar, and pays no import for one.
_DELAY_S = 0.7
# Wide enough that a table in a pipe or file breaks no line.
_PIPE_WIDTH = 5_000


def error_line(message: str) -> None:
    """Print an error as one line on the standard error."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)


def warning_line(message: str) -> None:
    """Print a warning as one line on the standard error."""
    print(f"warning: {' '.join(message.split())}", file=sys.stderr)


def tell_of_compiling() -> None:
    """Say why the first run takes so long, where no kernel was compiled yet."""
    if not os.path.isdir(os.environ.get("NUMBA_CACHE_DIR", "")):
        print(
            "Compiling the trading kernels, one to three minutes the first time ...",
            file=sys.stderr,
            flush=True,
        )


def print_json(value: Any) -> None:
    """Print a value as indented JSON on the standard output."""
    import msgspec

    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def output() -> Console:
    """Return a console on the standard output; a pipe gets lines as wide as they are."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PIPE_WIDTH)
    return console


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str = "",
    numbers: Sequence[str] = (),
) -> None:
    """Print a table; the columns named in `numbers` are aligned to the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    # Rich would break a title to the width of a narrow table.
    if title:
        print(title)
    table = Table(box=box.SIMPLE_HEAD)
    for name in columns:
        right = name in numbers
        table.add_column(
            Text(name), justify="right" if right else "left", no_wrap=right, overflow="fold"
        )
    for row in rows:
        # As Text, because a name in brackets would be taken for markup.
        table.add_row(*[Text(cell) for cell in row])
    output().print(table)


def percent(value: float | None) -> str:
    """Write a fraction as a percentage; a dash where it is not defined."""
    return "–" if value is None else f"{100 * value:,.2f} %"


def plain(value: float | None) -> str:
    """Write a number with two digits; a dash where it is not defined."""
    return "–" if value is None else f"{value:,.2f}"


@contextmanager
def progress_bar(what: str) -> Iterator[Progress]:
    """Draw a bar on the standard error while work goes on, on a terminal only."""
    if not sys.stderr.isatty():
        yield silent
        return
    bar = _LazyBar(what)
    try:
        yield bar
    finally:
        bar.stop()


class _LazyBar:
    """A bar that appears once the work turns out to be long."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.began = time.monotonic()
        self._update: Callable[[int, int, str], None] | None = None
        self._stop: Callable[[], None] | None = None

    def __call__(self, done: int, total: int, label: str = "") -> None:
        if self._update is None:
            if time.monotonic() - self.began < _DELAY_S:
                return
            self._start()
        assert self._update is not None
        self._update(done, total, label)

    def stop(self) -> None:
        if self._stop is not None:
            self._stop()

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[label]}", style="dim"),
            console=Console(stderr=True),
            transient=True,
        )
        task = bars.add_task(self.what, total=None, label="")
        bars.start()

        def update(done: int, total: int, label: str) -> None:
            bars.update(task, completed=done, total=total or None, label=label)

        self._update, self._stop = update, bars.stop
