"""`python -m bench`: run benchmarks and print their figures."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from typing import Any

from bench.environments import PeerMissing
from bench.processes import WorkerFailed
from bench.rows import NotValid, Row
from foundation.home import data_home
from foundation.kernel_cache import use_kernel_cache

BENCHMARKS = {
    "sweep": "100,000 minute bars x 200 parameter sets, beside vectorbt and a bare loop",
    "single": "one strategy over 1,000,000 minute bars, beside three peers; then all features on",
    "cold": "the quarterdeck command from its start to summary.json",
    "core_step": "one bar through the core from Python, and the size of a sleeve's state",
    "scaling": "cost against bars, instruments and parameter sets; a thousand instruments",
    "quality": "a million minute bars with quotes through all checks of data quality",
    "ingest": "a CSV of 5,000,000 minute bars into the store, beside a bare DuckDB COPY",
    "query": "a year of minutes of one symbol among 500, from the store and by the catalogue",
    "indicators": "each kernel's speed and values beside TA-Lib",
    "walk_forward": "10 windows x 500 parameter sets x 100,000 bars, beside their sweeps run bare",
}
_EXAMPLES = """examples:
  python -m bench                    every benchmark, as a table
  python -m bench sweep cold         two of them
  python -m bench single --json      one JSON object for each row
  python -m bench --quick            smaller work: to see that it runs, not how fast

exit codes: 0 when every benchmark was valid (whether or not its target was met),
1 when one failed its own check or a peer could not be installed, 2 for wrong arguments
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the named benchmarks and return the exit code."""
    options = _parse(arguments)
    # Workers inherit the folder of warm kernels that the command uses, too.
    use_kernel_cache(data_home())
    rows: list[dict[str, Any]] = []
    failed = False
    for name in options.names or BENCHMARKS:
        print(f"{name}: {BENCHMARKS[name]}", file=sys.stderr)
        try:
            found = importlib.import_module(f"bench.{name}").run(quick=options.quick)
        except (NotValid, WorkerFailed, PeerMissing) as error:
            failed = True
            print(f"{name} FAILED: {error}", file=sys.stderr)
            continue
        new = [row.as_json() if isinstance(row, Row) else dict(row) for row in found]
        rows += new
        if options.json:
            for row in new:
                print(json.dumps(row), flush=True)
    if not options.json:
        print_table(rows)
    return 1 if failed else 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    listing = "\n".join(f"  {name:<12} {what}" for name, what in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=f"Measure the platform beside its peers.\n\nbenchmarks:\n{listing}",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)}; all when not given"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a row, no table")
    parser.add_argument("--quick", action="store_true", help="smaller work, one round")
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in BENCHMARKS:
            parser.error(f"no benchmark {name!r}; there are {', '.join(BENCHMARKS)}")
    return options


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print the rows for a person: figures and targets, then each row's details."""
    from rich.console import Console
    from rich.table import Table

    # A file or a pipe has no width of its own: then the table takes what it needs.
    width = None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", "160"))
    console = Console(width=width)
    table = Table("benchmark", "value", "unit", "ratio", "peer", "target", "met")
    shown = ("name", "value", "unit", "ratio", "peer", "target", "met")
    for row in rows:
        met = {True: "yes", False: "NO", None: ""}[row.get("met")]
        values = [_figure(row.get(key)) for key in shown[:-1]]
        table.add_row(*values, met)
    console.print(table)
    for row in rows:
        details = {key: value for key, value in row.items() if key not in shown}
        if details:
            text = ", ".join(f"{key} {_figure(value)}" for key, value in details.items())
            console.print(f"[bold]{row['name']}[/bold]: {text}", highlight=False)


def _figure(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, list):
        return " ".join(_figure(item) for item in value)
    return str(value)


if __name__ == "__main__":
    sys.exit(main())
