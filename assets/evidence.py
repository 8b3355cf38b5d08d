"""The asset `evidence`: a strategy version examined for look-ahead and warm-up, on record."""

from pathlib import Path
from typing import TYPE_CHECKING

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetSpec,
    MaterializeResult,
    MetadataValue,
    ResourceParam,
    multi_asset,
)
from pydantic import Field
from sqlalchemy import Engine

from assets.inputs import find_document, request_of
from assets.options import RunOptions
from assets.running import (
    failing_in_one_line,
    logged_step,
    progress_lines,
    tag_run,
    tag_strategy,
    use_kernels,
)
from foundation.errors import SpecError
from foundation.migration import migrate
from foundation.settings import Settings

if TYPE_CHECKING:
    from research.evidence import Examination

AUTHOR = "dagster"
NO_LOOK_AHEAD, WARM_UP_SUFFICES = "no_look_ahead", "warm_up_suffices"

EVIDENCE = AssetSpec(
    "evidence",
    deps=["bars"],
    group_name="research",
    kinds={"parquet"},
    description=(
        "What was examined of a strategy version before it may be traded on paper: whether "
        "anything it sees or does depends on later bars, and how much history it needs before its "
        "first bar. Kept on record with the version."
    ),
)


class EvidenceOptions(RunOptions):
    """Which version to examine, on which bars, and how thoroughly."""

    cuts: int = Field(
        default=48,
        description=(
            "Bars after which the data is cut to look for look-ahead, for each instrument; fewer "
            "where the bars are very many."
        ),
    )
    starts: int = Field(
        default=6,
        description="Days on which the version is started to test its warm-up, for each instrument.",
    )
    seed: int = Field(default=0, description="Of the choice of cuts and starts.")


# The step has a name of its own, because `evidence` is the job's, and Dagster has one list for both.
@multi_asset(
    name="examine_version",
    specs=[EVIDENCE],
    check_specs=[
        AssetCheckSpec(
            NO_LOOK_AHEAD,
            asset=EVIDENCE.key,
            description="Hiding the bars after a cut changes nothing up to it.",
        ),
        AssetCheckSpec(
            WARM_UP_SUFFICES,
            asset=EVIDENCE.key,
            description="Some warm-up makes all decisions those of all history.",
        ),
    ],
)
def evidence(
    context: AssetExecutionContext,
    config: EvidenceOptions,
    settings: ResourceParam[Settings],
    database: ResourceParam[Engine],
) -> MaterializeResult:
    """Examine the version, write what was found, put it on record."""
    use_kernels(settings.home)
    with failing_in_one_line(), logged_step(context, settings.home, "evidence"):
        migrate(database)
        directory, examination = _run(context, config, settings, database)
    recursion = examination.recursion
    robustness = examination.robustness
    return MaterializeResult(
        metadata={
            "Passed": examination.passed,
            "Cuts": examination.look_ahead.n_cuts,
            "Warm-up to give (bars)": (
                MetadataValue.text("none tested is enough")
                if recursion.recommended_bars is None
                else recursion.recommended_bars
            ),
            "Total return (%)": round(100.0 * robustness.total_return, 2),
            "With doubled costs (%)": _percent(robustness.doubled_costs_return),
            "With entries one bar late (%)": _percent(robustness.late_entries_return),
            "Warm-up": MetadataValue.md(warm_up_table(examination)),
            "Strategy version": MetadataValue.text(examination.backtest.version),
            "Folder": MetadataValue.path(directory),
        },
        check_results=check_results(examination),
    )


def _run(
    context: AssetExecutionContext,
    config: EvidenceOptions,
    settings: Settings,
    database: Engine,
) -> "tuple[Path, Examination]":
    from research.evidence import (
        EVIDENCE_FILE,
        evidence_directory,
        examine,
        record_examination,
        write_examination,
    )
    from research.places import refuse_foreign_directory
    from trading.document import version_hash

    for name in ("cuts", "starts"):
        if getattr(config, name) < 1:
            raise SpecError(f"must be at least 1, got {getattr(config, name)}", path=name)
    output = Path(config.output) if config.output else None
    refuse_foreign_directory(output, EVIDENCE_FILE)
    document = find_document(config.strategy, database)
    tag_strategy(context, document.name, version_hash(document))
    request, store = request_of(config, document, {}, settings.home, context.log)
    examination = examine(
        request,
        store,
        n_cuts=config.cuts,
        n_starts=config.starts,
        seed=config.seed,
        progress=progress_lines(context.log, "parts"),
    )
    tag_run(context, examination.examination_id)
    directory = evidence_directory(output, settings.home, examination)
    write_examination(examination, directory)
    record_examination(database, examination, directory, author=AUTHOR)
    for note in (*examination.look_ahead.notes, *examination.recursion.notes):
        context.log.warning(note)
    context.log.info(f"evidence written to {directory}")
    return directory, examination


def check_results(examination: "Examination") -> list[AssetCheckResult]:
    """Return the two checks with the figures that a failure is understood by."""
    ahead, recursion = examination.look_ahead, examination.recursion
    first = ahead.differences[0].sentence() if ahead.differences else ""
    last = recursion.tests[-1] if recursion.tests else None
    return [
        AssetCheckResult(
            check_name=NO_LOOK_AHEAD,
            passed=ahead.passed,
            severity=AssetCheckSeverity.ERROR,
            description=first or "; ".join(ahead.notes),
            metadata={
                "Cuts": ahead.n_cuts,
                "Runs with a hidden future": ahead.n_runs,
                "Values compared": ahead.n_values,
                "Differences": ahead.n_differences,
            },
        ),
        AssetCheckResult(
            check_name=WARM_UP_SUFFICES,
            passed=recursion.passed,
            severity=AssetCheckSeverity.ERROR,
            description=last.first_change if last and not recursion.passed else "",
            metadata={
                "Starts": recursion.n_starts,
                "Declared warm-up (bars)": recursion.declared_bars,
                "Longest tested (bars)": last.bars if last else 0,
                "Conditions on a level": MetadataValue.text(
                    "; ".join(recursion.level_conditions) or "none"
                ),
            },
        ),
    ]


def warm_up_table(examination: "Examination") -> str:
    """Return the tested warm-ups as a Markdown table."""
    tests = examination.recursion.tests
    if not tests:
        return "There are too few bars to test the warm-up."
    lines = [
        "| Warm-up (bars) | Starts | Largest difference | Of | Changed conditions | Changed decisions |",
        "|---:|---:|---:|:---|---:|---:|",
    ]
    for test in tests:
        largest = test.largest_difference
        cells = (
            f"{test.bars:,}", f"{test.n_starts:,}",
            "unknown" if largest is None else f"{largest:.1e}", test.largest_of or "–",
            f"{test.n_changed_conditions:,}", f"{test.n_changed_decisions:,}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _percent(fraction: float | None) -> float | MetadataValue:
    return MetadataValue.text("not run") if fraction is None else round(100.0 * fraction, 2)
