"""`quarterdeck versions`: what versions are stored, what was examined of them, side by side."""

from __future__ import annotations

from typing import Annotated

import typer

from launcher import options
from launcher.compare import compare
from launcher.console import print_json, print_table

app = typer.Typer(
    name="versions",
    help="List strategy versions with their evidence, and compare their results.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
app.command("compare")(compare)


@app.command("list")
def list_stored(
    strategy: Annotated[
        str, typer.Option(metavar="NAME", help="Only versions of this strategy.")
    ] = "",
    json: options.Json = False,
) -> None:
    """List the stored versions, latest first, with their stage and what was examined of them.

    Example: [bold]quarterdeck versions list --strategy macd-trend[/]
    """
    from foundation.database import make_engine
    from foundation.migration import migrate
    from foundation.settings import load_settings
    from strategies.evidence import latest_evidence
    from strategies.lifecycle import REQUIRED_EVIDENCE, EvidenceState, Trigger
    from strategies.versions import list_versions

    engine = make_engine(load_settings().database_url)
    try:
        # A home that nothing was recorded in has an empty list, not an error.
        migrate(engine)
        stored = [one.version for one in list_versions(engine, name=strategy or None)]
        held = [latest_evidence(engine, one.version_hash) for one in stored]
    finally:
        engine.dispose()
    if json:
        print_json(
            [
                {
                    "strategy": one.name,
                    "version_hash": one.version_hash,
                    "stage": one.stage.value,
                    "created_at": one.created_at.isoformat(),
                    "author": one.author,
                    "evidence": {
                        kind.value: {
                            "passed": found.passed,
                            "figures": found.figures,
                            "engine_version": found.engine_version,
                            "data_fingerprint": found.data_fingerprint,
                            "result_directory": found.result_directory,
                        }
                        for kind, found in evidence.items()
                    },
                }
                for one, evidence in zip(stored, held, strict=True)
            ]
        )
        return
    if not stored:
        print("no strategy version is stored yet")
        return
    from research.backtest import ENGINE_VERSION

    kinds = REQUIRED_EVIDENCE[Trigger.PAPER_STARTED]
    rows = [
        [
            one.name,
            one.version_hash[:12],
            one.stage.value,
            f"{one.created_at:%Y-%m-%d %H:%M}",
            *(
                (
                    evidence[kind].state(ENGINE_VERSION)
                    if kind in evidence
                    else EvidenceState.MISSING
                ).value
                for kind in kinds
            ),
        ]
        for one, evidence in zip(stored, held, strict=True)
    ]
    names = [kind.value.replace("_", "-") for kind in kinds]
    print_table(["strategy", "version", "stage", "saved (UTC)", *names], rows)
