"""The assets `optimisation` and `walk_forward`: tuning, and what tuning really earns."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster import (
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
from assets.sweep import deflated_text
from foundation.errors import SpecError
from foundation.migration import migrate
from foundation.settings import Settings

if TYPE_CHECKING:
    from market_data.store import Store
    from research.backtest import BacktestRequest
    from research.optimisation import Optimisation
    from research.parameter_sets import Values
    from research.study_runs import Written
    from research.walk_forward import WalkForward

Metadata = dict[str, Any]


class StudyOptions(RunOptions):
    """What an optimisation and a walk-forward analysis are told alike."""

    values: dict[str, str] = Field(
        default={},
        description=(
            "Values of parameters, such as {fast: '6:18:2', strength: '15,20'}: low:high:step, "
            "numbers with commas, or one number for all sets. When no parameter is given several, "
            "each goes over the range that the document states."
        ),
    )
    objective: str = Field(
        default="sharpe",
        description="Figure that a set is chosen by, such as sharpe, calmar or total_return.",
    )
    output: str = Field(
        default="",
        description=(
            "Folder for the result files, which replaces one of that name; "
            "<data home>/studies/<strategy>/<study id> when empty."
        ),
    )


class OptimisationConfig(StudyOptions):
    """How an optimisation searches."""

    trials: int = Field(default=200, description="How many trials to run, from 1 to 100,000.")
    batch: int = Field(
        default=20,
        description="Trials that run side by side; the sampler learns between batches.",
    )
    parts: int = Field(
        default=4,
        description="Growing parts of the sessions, after each of which a trial may be ended.",
    )
    pruning: str = Field(
        default="median",
        description="The rule that ends bad trials early: none, median, percentile or hyperband.",
    )
    min_trades: int = Field(
        default=10, description="A set with fewer trades than this can't be chosen."
    )
    robust: bool = Field(
        default=False,
        description="Whether each trial is judged together with its neighbours, which run too.",
    )
    seed: int = Field(default=0, description="The same seed gives the same trials.")


class WalkForwardConfig(StudyOptions):
    """How a walk-forward analysis cuts its windows and chooses."""

    windows: int = Field(default=10, description="How many windows, at least 1.")
    in_sample: int = Field(
        default=0,
        description="Sessions to choose on; four times those out of sample when 0.",
    )
    out_of_sample: int = Field(
        default=0,
        description="Sessions that a choice trades; as many as the windows leave when 0.",
    )
    purge: int = Field(
        default=-1,
        description=(
            "Sessions left out between the two; -1 takes the longest trade of the document's own "
            "values in the first window."
        ),
    )
    anchor: str = Field(
        default="rolling",
        description="rolling windows move on, anchored ones all begin with the first session.",
    )
    choose: str = Field(
        default="plateau",
        description="Which set of a window trades what follows it: plateau or peak.",
    )
    min_trades: int = Field(
        default=5, description="A set with fewer trades in a window can't be chosen."
    )
    random: int = Field(
        default=0,
        description="How many sets to draw instead of running the whole grid; all of them when 0.",
    )
    seed: int = Field(default=0, description="Of the drawing: the same seed draws the same sets.")


OPTIMISATION = AssetSpec(
    "optimisation",
    deps=["bars"],
    group_name="research",
    kinds={"parquet", "optuna"},
    description=(
        "A search for good parameter sets by Optuna, with every trial, the plateau that was chosen, "
        "and what it is worth given all that was tried. In sample: try the choice elsewhere."
    ),
)
WALK_FORWARD = AssetSpec(
    "walk_forward",
    deps=["bars"],
    group_name="research",
    kinds={"parquet"},
    description=(
        "A walk-forward analysis: sets chosen on each window trade the sessions after it. Its "
        "figures out of sample are the ones that tuning did not make."
    ),
)


# Steps have names of their own, because the assets' are the jobs', and Dagster has one list for both.
@multi_asset(name="run_optimisation", specs=[OPTIMISATION])
def optimisation(
    context: AssetExecutionContext,
    config: OptimisationConfig,
    settings: ResourceParam[Settings],
    database: ResourceParam[Engine],
) -> MaterializeResult:
    """Search, put the study on record and write it."""
    use_kernels(settings.home)
    with failing_in_one_line(), logged_step(context, settings.home, "optimisation"):
        migrate(database)
        written = _optimise(context, config, settings, database)
        picture = _picture_of_trials(written)
    about = written.about
    plateau = about["plateau"]
    return MaterializeResult(
        metadata={
            "Why": MetadataValue.md(about["why"]),
            "Choice": MetadataValue.md(_choice_table(about)),
            "Trials": MetadataValue.md(picture),
            "Sets tried": about["n_tried"],
            "Pruned": about["n_pruned"],
            "Sets on record": about["trials"]["n_sets_tried"],
            "Deflated Sharpe of the plateau": deflated_text(plateau),
            **_common(written.about, written.directory),
        }
    )


@multi_asset(name="run_walk_forward", specs=[WALK_FORWARD])
def walk_forward(
    context: AssetExecutionContext,
    config: WalkForwardConfig,
    settings: ResourceParam[Settings],
    database: ResourceParam[Engine],
) -> MaterializeResult:
    """Run the analysis, put it on record and write it."""
    use_kernels(settings.home)
    with failing_in_one_line(), logged_step(context, settings.home, "walk_forward"):
        migrate(database)
        written = _walk(context, config, settings, database)
        picture = _picture_of_chain(written)
    outside = written.about["out_of_sample"]
    return MaterializeResult(
        metadata={
            "Equity out of sample": MetadataValue.md(picture),
            "Windows": MetadataValue.md(_windows_table(written.about)),
            "Out of sample": f"{outside['start']} to {outside['end']}",
            "Total return (%)": _shown(outside["total_return"], 100.0),
            "CAGR (% a year)": _shown(outside["cagr"], 100.0),
            "Sharpe ratio": _shown(outside["sharpe"]),
            "Largest drawdown (%)": _shown(outside["max_drawdown"], 100.0),
            "Trades": int(outside["n_trades"]),
            "Efficiency (%)": _shown(outside["efficiency"], 100.0),
            "Sets on record": written.about["trials"]["n_sets_tried"],
            "Deflated Sharpe": deflated_text(outside),
            **_common(written.about, written.directory),
        }
    )


def _optimise(
    context: AssetExecutionContext,
    config: OptimisationConfig,
    settings: Settings,
    database: Engine,
) -> "Written[Optimisation]":
    from research.optimisation import OptimisationOptions, Pruning
    from research.study_runs import run_optimisation

    options = OptimisationOptions(
        n_trials=config.trials,
        n_batch=config.batch,
        n_parts=config.parts,
        pruning=Pruning(_one_of("pruning", config.pruning, [one.value for one in Pruning])),
        objective=config.objective,
        n_trades_min=config.min_trades,
        robust=config.robust,
        seed=config.seed,
    )
    return _run(context, config, settings, database, run_optimisation, options, "trials")


def _walk(
    context: AssetExecutionContext,
    config: WalkForwardConfig,
    settings: Settings,
    database: Engine,
) -> "Written[WalkForward]":
    from research.plateau import Pick
    from research.study_runs import run_walk_forward
    from research.walk_forward import WalkForwardOptions
    from research.windows import Anchor

    options = WalkForwardOptions(
        n_windows=config.windows,
        n_in=config.in_sample,
        n_out=config.out_of_sample,
        purge=config.purge,
        anchor=Anchor(_one_of("anchor", config.anchor, [one.value for one in Anchor])),
        objective=config.objective,
        n_trades_min=config.min_trades,
        pick=Pick(_one_of("choose", config.choose, [one.value for one in Pick])),
        n_random=config.random,
        seed=config.seed,
    )
    return _run(context, config, settings, database, run_walk_forward, options, "sets")


def _run[Options, Study: (Optimisation, WalkForward)](
    context: AssetExecutionContext,
    config: StudyOptions,
    settings: Settings,
    database: Engine,
    run: "Callable[..., Written[Study]]",
    options: Options,
    unit: str,
) -> "Written[Study]":
    """Run a study as a launchpad's options ask for it, and tag the run with its id."""
    request, values, store = _asked(context, config, settings, database)
    written = run(
        database, request, values, store, options, home=settings.home,
        out=Path(config.output) if config.output else None,
        progress=progress_lines(context.log, unit),
    )  # fmt: skip
    tag_run(context, written.study.study_id)
    return written


def _asked(
    context: AssetExecutionContext, config: StudyOptions, settings: Settings, database: Engine
) -> "tuple[BacktestRequest, Values, Store]":
    """Return what a launchpad's options ask for."""
    from research.parameter_sets import declared_values, read_values
    from trading.document import version_hash

    document = find_document(config.strategy, database)
    tag_strategy(context, document.name, version_hash(document))
    given = {}
    for name, text in config.values.items():
        try:
            given[name] = read_values(text)
        except SpecError as error:
            raise SpecError(error.message, path=f"values.{name}") from None
    varied = {name: found for name, found in given.items() if len(found) > 1}
    fixed = {name: found[0] for name, found in given.items() if len(found) == 1}
    if not varied:
        declared = declared_values(document)
        varied = {name: found for name, found in declared.items() if name not in fixed}
    request, store = request_of(config, document, fixed, settings.home, context.log)
    return request, varied, store


def _one_of(name: str, value: str, known: list[str]) -> str:
    if value not in known:
        raise SpecError(f"must be one of {', '.join(known)}, got {value!r}", path=name)
    return value


# Metadata.


def _common(about: Metadata, directory: Path) -> Metadata:
    return {
        "Notes": MetadataValue.md("\n\n".join(about["notes"])),
        "Sessions": f"{about['start']} to {about['end']}",
        "Page": MetadataValue.path(directory / "study.html"),
        "Folder": MetadataValue.path(directory),
        "Strategy version": about["version_hash"],
    }


def _shown(value: float | None, factor: float = 1.0) -> float | str:
    return "–" if value is None else round(factor * value, 2)


def _choice_table(about: Metadata) -> str:
    figures = ("sharpe", "total_return", "max_drawdown", "n_trades")
    heads = ("Sharpe ratio", "Total return (%)", "Largest drawdown (%)", "Trades")
    lines = [
        f"| choice | {' | '.join([*about['parameters'], *heads])} |",
        f"|---|{'---:|' * (len(about['parameters']) + len(heads))}",
    ]
    for name in ("plateau", "peak"):
        found = about[name]
        if found is not None:
            cells = [f"{found['values'][one]:g}" for one in about["parameters"]]
            factors = (1.0, 100.0, 100.0, 1.0)
            cells += [
                str(_shown(found[figure], factor))
                for figure, factor in zip(figures, factors, strict=True)
            ]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _windows_table(about: Metadata) -> str:
    heads = ["out of sample", *about["parameters"], "Sharpe in", "Sharpe out", "Return out (%)"]
    lines = [f"| window | {' | '.join(heads)} |", f"|---:|---|{'---:|' * (len(heads) - 1)}"]
    for one in about["windows"]:
        chosen, inside, outside = (
            one["chosen"], one["figures_in_sample"], one["figures_out_of_sample"],
        )  # fmt: skip
        cells = [" to ".join(one["out_of_sample"])]
        cells += ["–" if chosen is None else f"{chosen[k]:g}" for k in about["parameters"]]
        cells.append("–" if inside is None else str(_shown(inside["sharpe"])))
        cells += [str(_shown(outside["sharpe"])), str(_shown(outside["total_return"], 100.0))]
        lines.append(f"| {one['window']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _picture_of_chain(written: "Written[WalkForward]") -> str:
    from assets.study_pictures import chain_picture

    return chain_picture(written.study)


def _picture_of_trials(written: "Written[Optimisation]") -> str:
    from assets.study_pictures import trials_picture

    return trials_picture(written.study)
