"""`quarterdeck compare`: results side by side, with what they were run with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from launcher import options
from launcher.console import print_json, print_table


def compare(
    results: Annotated[
        list[Path],
        typer.Argument(metavar="RESULT_DIR...", help="Written by backtests, two or more."),
    ],
    json: options.Json = False,
) -> None:
    """Show key figures of results side by side, and what was different between them.

    Example: [bold]quarterdeck compare results/one results/other[/]
    """
    if len(results) < 2:
        raise typer.BadParameter("name two results or more", param_hint="RESULT_DIR...")
    from research.comparison import compare_figures, document_differences, run_differences
    from research.summary import read_summary

    summaries = [read_summary(path.expanduser()) for path in results]
    figures = compare_figures(summaries)
    differences = {
        "run": run_differences(summaries),
        "document": document_differences(summaries),
    }
    names = [path.name or str(path) for path in results]
    if json:
        print_json(
            {
                "results": [str(path) for path in results],
                "figures": [
                    {"group": one.group, "label": one.label, "values": one.values}
                    for one in figures
                ],
                "differences": [
                    {"of": of, "path": one.path, "values": one.values}
                    for of, found in differences.items()
                    for one in found
                ],
            }
        )
        return
    rows = [[one.label, *one.values] for one in figures]
    print_table(["figure", *names], rows, numbers=names)
    changed = [[f"{of}: {d.path}", *d.values] for of, found in differences.items() for d in found]
    print_table(["difference", *names], changed)
