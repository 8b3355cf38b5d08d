"""`quarterdeck compare`: versions and results side by side, as text, page and table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from launcher import options
from launcher.console import print_json, print_table, warning_line

if TYPE_CHECKING:
    from research.named_results import NamedResult


def compare(
    results: Annotated[
        list[str],
        typer.Argument(
            metavar="RESULT|VERSION...",
            help="Folders of results, ids of runs, versions' hashes or documents, two or more.",
        ),
    ],
    html: Annotated[bool, typer.Option("--html", help="Write a page of charts.")] = False,
    parquet: Annotated[
        bool, typer.Option("--parquet", help="Write a row for each result and figure.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where page and table go; the working directory."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Lay results of versions side by side, with what was different between them.

    Results of other days than the first get no differences. A page of more
    than eight draws the first eight and lists them all.

    Example: [bold]quarterdeck compare results/one results/other --html[/]
    """
    if len(results) < 2:
        raise typer.BadParameter("name two results or more", param_hint="RESULT|VERSION...")
    named = _find(results)
    from research.comparison import (
        compare_figures,
        document_differences,
        run_differences,
        unlike_runs,
    )

    summaries = [one.result.summary for one in named]
    written = _write(named, out, html=html, parquet=parquet) if html or parquet else []
    figures = compare_figures(summaries)
    differences = {
        "run": run_differences(summaries),
        "document": document_differences(summaries),
    }
    unlike = unlike_runs(summaries)
    if json:
        print_json(
            {
                "results": [str(one.result.directory) for one in named],
                "labels": [one.label for one in named],
                "unlike": unlike,
                "figures": [
                    {
                        "group": one.group,
                        "label": one.label,
                        "values": one.values,
                        "changes": one.changes,
                    }
                    for one in figures
                ],
                "differences": [
                    {"of": of, "path": one.path, "values": one.values}
                    for of, found in differences.items()
                    for one in found
                ],
                "evidence": [_evidence_of(one) for one in named],
                "files": [str(path) for path in written],
            }
        )
        return
    labels = [one.label for one in named]
    print_table(
        ["figure", *labels],
        [
            [
                one.label,
                *(
                    f"{value} ({change})" if change else value
                    for value, change in zip(one.values, one.changes, strict=True)
                ),
            ]
            for one in figures
        ],
        numbers=labels,
    )
    changed = [[f"{of}: {d.path}", *d.values] for of, found in differences.items() for d in found]
    print_table(["difference", *labels], changed)
    for text in unlike:
        warning_line(text)
    for path in written:
        print(path)


def _find(names: list[str]) -> list[NamedResult]:
    from foundation.database import make_engine
    from foundation.migration import migrate
    from foundation.settings import load_settings
    from research.named_results import find_results

    engine = make_engine(load_settings().database_url)
    try:
        migrate(engine)
        return find_results(names, engine)
    finally:
        engine.dispose()


def _write(named: list[NamedResult], out: Path | None, *, html: bool, parquet: bool) -> list[Path]:
    from research.versions_page import compare_results, write_versions

    formats = [name for name, wanted in (("html", html), ("parquet", parquet)) if wanted]
    folder = (out or Path()).expanduser().absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return write_versions(compare_results(named), folder, formats=formats)


def _evidence_of(one: NamedResult) -> dict[str, dict[str, object]]:
    return {
        kind.value: {
            "passed": held.passed,
            "engine_version": held.engine_version,
            "data_fingerprint": held.data_fingerprint,
            "recorded_at": None if held.recorded_at is None else held.recorded_at.isoformat(),
        }
        for kind, held in one.evidence.items()
    }
