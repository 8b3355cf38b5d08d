"""The asset `evidence`: each strategy version examined for look-ahead and warm-up, on record."""

from pathlib import Path
from typing import TYPE_CHECKING

from dagster import (
    AllPartitionMapping,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetDep,
    AssetExecutionContext,
    AssetSpec,
    DynamicPartitionsDefinition,
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

VERSIONS = DynamicPartitionsDefinition(name="version")
# A version's hash stands behind its name, so that a partition can be read.
N_HASH_DIGITS_NAMED = 12

EVIDENCE = AssetSpec(
    "evidence",
    # A version may trade any instruments.
    deps=[AssetDep("bars", partition_mapping=AllPartitionMapping())],
    partitions_def=VERSIONS,
    group_name="research",
    kinds={"parquet"},
    description=(
        "What was examined of each strategy version before it may be traded on paper: whether "
        "anything it sees or does depends on later bars, and how much history it needs before its "
        "first bar. A partition is a version; the sensor `unexamined_versions` has those examined "
        "that lack it. Kept on record with the version."
    ),
)


def partition_of(name: str, version_hash: str) -> str:
    """Return the partition of a version, such as ``macd-trend@171c4f5c0d6b``."""
    return f"{name}@{version_hash[:N_HASH_DIGITS_NAMED]}"


class EvidenceOptions(RunOptions):
    """Which version to examine, on which bars, and how thoroughly.

    Without a word about bars, instruments, dates and cash, those of the
    version's latest backtest are taken: a promotion needs both on the same.
    """

    strategy: str = Field(
        default="",
        description=(
            "The version is that of the partition, and this stays empty. A run without a partition "
            "takes a path, digits of a stored version's hash or a whole document, as a backtest."
        ),
    )
    symbols: list[str] = Field(
        default=[],
        description=(
            "Instruments, such as [AAPL, MSFT]. With this and bars, start, end and cash as they "
            "stand, those of the version's latest backtest are taken; a version without one is "
            "examined on the document's instruments."
        ),
    )
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
        directory, examination, remark = _run(context, config, settings, database)
    recursion = examination.recursion
    robustness = examination.robustness
    return MaterializeResult(
        metadata={
            "Passed": examination.passed,
            "Counts for a promotion": MetadataValue.text(f"no: {remark}" if remark else "yes"),
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
            "Bars": MetadataValue.text(_bars_words(examination)),
            "Notes": MetadataValue.text(" ".join(_notes(examination)) or "none"),
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
) -> "tuple[Path, Examination, str]":
    """Return the folder, what was found, and why it may count for no promotion."""
    from research.evidence import (
        EVIDENCE_FILE,
        evidence_directory,
        evidence_looks,
        examine,
        record_examination,
        request_like,
        why_not_counted,
        write_examination,
    )
    from research.places import refuse_foreign_directory
    from strategies.runs import latest_own_run
    from trading.document import version_hash

    for name in ("cuts", "starts"):
        if getattr(config, name) < 1:
            raise SpecError(f"must be at least 1, got {getattr(config, name)}", path=name)
    output = Path(config.output) if config.output else None
    refuse_foreign_directory(output, EVIDENCE_FILE)
    document = find_document(_version_asked(context, config), database)
    version = version_hash(document)
    tag_strategy(context, document.name, version)
    latest = latest_own_run(database, version)
    if latest is not None and _names_no_bars(config):
        request, store = request_like(latest, document, settings.home)
        context.log.info(f"on the bars of its latest backtest, run {latest.run_id}")
    else:
        request, store = request_of(config, document, {}, settings.home, context.log)
    examination = examine(
        request,
        store,
        n_cuts=config.cuts,
        n_starts=config.starts,
        seed=config.seed,
        before=evidence_looks(database, store, output, settings.home),
        progress=progress_lines(context.log, "parts"),
    )
    tag_run(context, examination.examination_id)
    directory = evidence_directory(output, settings.home, examination)
    write_examination(examination, directory)
    record_examination(database, examination, directory, author=AUTHOR)
    remark = why_not_counted(examination, latest)
    for note in (*_notes(examination), remark):
        if note:
            context.log.warning(note)
    context.log.info(f"evidence written to {directory}")
    return directory, examination, remark


def _version_asked(context: AssetExecutionContext, config: EvidenceOptions) -> str:
    """Return the text that names the version: the partition's hash, else the option."""
    if not context.has_partition_key:
        return config.strategy
    if config.strategy:
        raise SpecError(
            "must stay empty where a partition names the version; choose another partition",
            path="strategy",
        )
    return context.partition_key.rpartition("@")[2]


def _names_no_bars(config: EvidenceOptions) -> bool:
    """Tell whether all options that choose bars and cash are as they stand."""
    fields = EvidenceOptions.model_fields
    asked = ("bars", "symbols", "start", "end", "cash", "warmup", "calendar", "timezone")
    return all(getattr(config, name) == fields[name].default for name in asked)


def check_results(examination: "Examination") -> list[AssetCheckResult]:
    """Return the two checks with the figures that a failure is understood by."""
    ahead, recursion = examination.look_ahead, examination.recursion
    first = ahead.differences[0].sentence() if ahead.differences else ""
    last = recursion.tests[-1] if recursion.tests else None
    # The page of a check shows the latest of all versions.
    which = partition_of(examination.backtest.strategy.name, examination.backtest.version)
    return [
        AssetCheckResult(
            check_name=NO_LOOK_AHEAD,
            passed=ahead.passed,
            severity=AssetCheckSeverity.ERROR,
            description=first or "; ".join(ahead.notes),
            metadata={
                "Strategy": MetadataValue.text(which),
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
                "Strategy": MetadataValue.text(which),
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


def _bars_words(examination: "Examination") -> str:
    backtest = examination.backtest
    symbols = ", ".join(sleeve.symbol for sleeve in backtest.sleeves)
    return (
        f"{examination.look_ahead.n_bars:,} bars of {backtest.strategy.timeframe}: {symbols}, "
        f"data {backtest.fingerprint[:12]}"
    )


def _notes(examination: "Examination") -> tuple[str, ...]:
    return (*examination.look_ahead.notes, *examination.recursion.notes)


def _percent(fraction: float | None) -> float | MetadataValue:
    return MetadataValue.text("not run") if fraction is None else round(100.0 * fraction, 2)
