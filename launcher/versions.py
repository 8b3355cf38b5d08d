"""`quarterdeck versions`: what versions are stored, what was examined of them, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from launcher import options
from launcher.compare import compare
from launcher.console import print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from strategies.evidence import Standing
    from strategies.lifecycle import EvidenceKind, Stage, Trigger
    from strategies.versions import StageChange, StrategyVersion

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
    from research.engine_version import ENGINE_VERSION
    from strategies.evidence import standings
    from strategies.lifecycle import REQUIRED_EVIDENCE, Trigger
    from strategies.versions import list_versions

    engine = make_engine(load_settings().database_url)
    try:
        # A home that nothing was recorded in has an empty list, not an error.
        migrate(engine)
        stored = [one.version for one in list_versions(engine, name=strategy or None)]
        hashes = [one.version_hash for one in stored]
        found = standings(engine, hashes, engine_version=ENGINE_VERSION)
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
                    "evidence": _evidence_of(standing),
                }
                for one, standing in zip(stored, found, strict=True)
            ]
        )
        return
    if not stored:
        print("no strategy version is stored yet")
        return
    kinds = REQUIRED_EVIDENCE[Trigger.PAPER_STARTED]
    rows = [
        [
            one.name,
            one.version_hash[:12],
            one.stage.value,
            f"{one.created_at:%Y-%m-%d %H:%M}",
            *(standing.states[kind].value for kind in kinds),
        ]
        for one, standing in zip(stored, found, strict=True)
    ]
    names = [kind.value.replace("_", "-") for kind in kinds]
    print_table(["strategy", "version", "stage", "saved (UTC)", *names], rows)


@app.command("show")
def show(
    version: Annotated[
        str, typer.Argument(metavar="VERSION|STRATEGY", help="Digits of its hash, or its document.")
    ],
    json: options.Json = False,
) -> None:
    """Show how far a version has come, and what it still lacks for the next step.

    Nothing is moved by this. The command ends with status 1 when evidence for
    paper or live trading is lacking.

    Example: [bold]quarterdeck versions show 171c4f5c[/]
    """
    from foundation.database import make_engine
    from foundation.migration import migrate
    from foundation.settings import load_settings
    from research.documents import find_document
    from research.engine_version import ENGINE_VERSION
    from strategies.evidence import standings
    from strategies.lifecycle import Stage, Trigger
    from strategies.versions import get_version, list_stage_changes
    from trading.document import version_hash

    engine = make_engine(load_settings().database_url)
    try:
        migrate(engine)
        stored = get_version(engine, version_hash(find_document(version, engine)))
        (found,) = standings(engine, [stored.version_hash], engine_version=ENGINE_VERSION)
        changes = list_stage_changes(engine, stored.version_hash)
    finally:
        engine.dispose()
    next_step = {Stage.BACKTESTED: Trigger.PAPER_STARTED, Stage.PAPER: Trigger.LIVE_APPROVED}
    # A draft goes to paper after its backtest, by the same evidence.
    trigger = next_step.get(stored.stage, Trigger.PAPER_STARTED)
    may_step = stored.stage in next_step
    lacks = found.lacks(trigger) if may_step or stored.stage is Stage.DRAFT else []
    if json:
        print_json(
            {
                "strategy": stored.name,
                "version_hash": stored.version_hash,
                "stage": stored.stage.value,
                "backtest": None if found.backtest is None else found.backtest.run_id,
                "evidence": _evidence_of(found),
                "next_step": trigger.value if may_step else None,
                "lacks": [kind.value for kind in lacks],
                "changes": [
                    {
                        "from": one.from_stage.value,
                        "to": one.to_stage.value,
                        "trigger": one.trigger.value,
                        "run_id": one.run_id,
                        "changed_at": one.changed_at.isoformat(),
                    }
                    for one in changes
                ],
            }
        )
    else:
        _print_standing(stored, found, changes)
        print(_next_words(stored.stage, trigger, lacks))
    if lacks or stored.stage is Stage.DRAFT:
        raise typer.Exit(1)


def _print_standing(
    stored: StrategyVersion, found: Standing, changes: Sequence[StageChange]
) -> None:
    print(f"{stored.name}, version {stored.version_hash[:12]}, stage {stored.stage}")
    for one in changes:
        rests = f", by run {one.run_id}" if one.run_id else ""
        print(f"  {one.changed_at:%Y-%m-%d %H:%M} UTC: {one.from_stage} to {one.to_stage}{rests}")
    if found.backtest is not None:
        run = found.backtest
        symbols = ", ".join(run.options.get("symbols", []))
        print(f"Latest backtest: run {run.run_id}, {symbols}, data {run.data_fingerprint[:12]}")
    rows = []
    for kind, state in found.states.items():
        held = found.evidence.get(kind)
        when = "" if held is None or held.recorded_at is None else held.recorded_at
        rows.append(
            [
                kind.value.replace("_", "-"),
                state.value,
                f"{when:%Y-%m-%d %H:%M}" if when else "–",
                "–" if held is None else held.data_fingerprint[:12],
                "–" if held is None else held.engine_version,
                "–" if held is None else held.result_directory or "–",
            ]
        )
    print_table(["evidence", "state", "recorded (UTC)", "data", "engine", "folder"], rows)


def _next_words(stage: Stage, trigger: Trigger, lacks: Sequence[EvidenceKind]) -> str:
    names = " and ".join(kind.value.replace("_", "-") for kind in lacks)
    if stage == "draft":
        return "Next: a backtest with its own parameters; run `quarterdeck backtest` on it"
    if stage not in ("backtested", "paper"):
        return "Next: no step that needs evidence"
    where = "paper" if trigger == "paper_started" else "live"
    if lacks:
        return f"Next: {where} trading; it lacks {names}; run `quarterdeck evidence` on it"
    return f"Next: {where} trading; its evidence is there"


def _evidence_of(standing: Standing) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    for kind, state in standing.states.items():
        held = standing.evidence.get(kind)
        if held is None:
            found[kind.value] = {"state": state.value}
            continue
        found[kind.value] = {
            "state": state.value,
            "passed": held.passed,
            "figures": held.figures,
            "engine_version": held.engine_version,
            "data_fingerprint": held.data_fingerprint,
            "result_directory": held.result_directory,
        }
    return found
