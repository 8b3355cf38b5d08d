"""The asset `sweep`: many parameter sets of one strategy over the same bars."""

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
from sqlalchemy import Engine

from assets.inputs import find_document, request_of
from assets.options import SweepOptions
from assets.requests import take_request
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
    from research.study_runs import Written
    from research.sweeping import Sweep

# Figures that the table of the best sets shows, with what a fraction is multiplied by.
SHOWN = {
    "sharpe": ("Sharpe ratio", 1.0),
    "total_return": ("Total return (%)", 100.0),
    "cagr": ("CAGR (% a year)", 100.0),
    "max_drawdown": ("Largest drawdown (%)", 100.0),
    "n_trades": ("Trades", 1.0),
    "win_rate": ("Winning trades (%)", 100.0),
    "profit_factor": ("Profit factor", 1.0),
}

SWEEP = AssetSpec(
    "sweep",
    deps=["bars"],
    group_name="research",
    kinds={"parquet"},
    description=(
        "Many parameter sets of a strategy over the same bars, a row of figures for each. Each row "
        "is what a backtest with its values gives."
    ),
)


# The step has a name of its own, because `sweep` is the job's, and Dagster has one list for both.
@multi_asset(name="run_sweep", specs=[SWEEP])
def sweep(
    context: AssetExecutionContext,
    config: SweepOptions,
    settings: ResourceParam[Settings],
    database: ResourceParam[Engine],
) -> MaterializeResult:
    """Run the sweep and write its rows."""
    use_kernels(settings.home)
    with failing_in_one_line(), logged_step(context, settings.home, "sweep"):
        migrate(database)
        take_request(context, database)
        written, best = _run(context, config, settings, database)
    finished, choice = written.study, written.about["choice"]
    return MaterializeResult(
        metadata={
            "Sets": len(finished.sets),
            "Sets left out": len(finished.skipped),
            f"Best by {config.sort}": MetadataValue.md(best_table(finished, best, config.sort)),
            "Plateau": MetadataValue.md(choice["why"]),
            "Sets on record": choice["trials"]["n_sets_tried"],
            "Deflated Sharpe of the plateau": deflated_text(choice["plateau"]),
            "Note": MetadataValue.md(
                "\n\n".join(
                    [
                        "The best of many sets is partly luck: try it on bars that the sweep has "
                        "not seen.",
                        *choice["notes"],
                    ]
                )
            ),
            "Sessions": f"{finished.start} to {finished.end}",
            "Page": MetadataValue.path(written.directory / "study.html"),
            "Folder": MetadataValue.path(written.directory),
            "Strategy version": finished.version,
        }
    )


def _run(
    context: AssetExecutionContext, config: SweepOptions, settings: Settings, database: Engine
) -> "tuple[Written[Sweep], list[int]]":
    from research.parameter_sets import declared_values
    from research.study_runs import run_recorded_sweep
    from research.sweep_choice import ChoiceOptions
    from research.sweeping import best_sets, check_figure
    from trading.document import version_hash

    check_figure(config.sort)
    document = find_document(config.strategy, database)
    tag_strategy(context, document.name, version_hash(document))
    given = {name: _values(name, text) for name, text in config.values.items()}
    varied = {name: found for name, found in given.items() if len(found) > 1}
    fixed = {name: found[0] for name, found in given.items() if len(found) == 1}
    request, store = request_of(config, document, fixed, settings.home, context.log)
    written = run_recorded_sweep(
        database,
        request,
        varied if given else declared_values(document),
        store,
        ChoiceOptions(config.sort),
        n_random=config.random,
        seed=config.seed,
        home=settings.home,
        out=Path(config.output) if config.output else None,
        progress=progress_lines(context.log, "parts"),
    )
    finished, directory = written.study, written.directory
    tag_run(context, finished.sweep_id)
    context.log.info(f"{len(finished.sets)} sets written to {directory}")
    return written, best_sets(finished, config.sort, config.top)


def _values(name: str, text: str) -> tuple[float, ...]:
    from research.parameter_sets import read_values

    try:
        return read_values(text)
    except SpecError as error:
        raise SpecError(error.message, path=f"values.{name}") from None


def best_table(finished: "Sweep", best: list[int], sort: str) -> str:
    """Return the best sets as a Markdown table: their values, then their figures."""
    if not best:
        return f"No set has a {sort}: none of them traded, or it is not defined."
    figures = {sort: SHOWN.get(sort, (sort, 1.0)), **SHOWN}
    heads = [*finished.values, *(title for title, _ in figures.values())]
    lines = [f"| {' | '.join(heads)} |", f"|{'---:|' * len(heads)}"]
    for k in best:
        record = finished.figures[k].as_record()
        cells = [f"{finished.sets[k][name]:g}" for name in finished.values]
        cells += [_cell(record[name], factor) for name, (_, factor) in figures.items()]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def deflated_text(judged: dict[str, Any] | None) -> str:
    """Write a deflated Sharpe ratio; a dash where nothing was chosen or it is not defined."""
    value = None if judged is None else judged["deflated_sharpe"]
    return "–" if value is None else f"{100 * value:,.1f} %"


def _cell(value: Any, factor: float) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{factor * value:,.2f}"
