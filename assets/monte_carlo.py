"""The asset `monte_carlo`: a backtest's trades in other orders, and its entries spoiled."""

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
from dagster import Config as DagsterConfig
from pydantic import Field
from sqlalchemy import Engine

from assets.report import find_result
from assets.running import (
    failing_in_one_line,
    logged_step,
    progress_lines,
    tag_run,
    tag_strategy,
    use_kernels,
)
from foundation.migration import migrate
from foundation.settings import Settings

if TYPE_CHECKING:
    from research.monte_carlo import MonteCarlo
    from research.study_runs import Written


class MonteCarloConfig(DagsterConfig):
    """Of which result, what is varied, and how much."""

    result: str = Field(
        default="", description="Folder of the backtest's result; the latest one when empty."
    )
    bars: str = Field(
        default="store",
        description=(
            "Where the result's bars are: `store`, the path of a CSV or Parquet file, or the "
            "folder of another data home."
        ),
    )
    orders: int = Field(default=5_000, description="Paths of shuffled and of drawn trades each.")
    noise: int = Field(
        default=200, description="Runs of the engine with spoiled entries; 0 for none."
    )
    skip: float = Field(default=0.1, description="Share of entries missed, 0 to 1.")
    delay: float = Field(default=0.1, description="Share of entries seen late, 0 to 1.")
    delay_bars: int = Field(default=1, description="By how many bars they are late.")
    noise_bps: float = Field(
        default=5.0, description="Spread of the noise in entry prices, in basis points."
    )
    noise_ticks: float = Field(default=0.0, description="The same, in ticks of the instrument.")
    noise_range: float = Field(
        default=0.0, description="The same, as a share of the bar's range from low to high."
    )
    ruin: float = Field(
        default=0.5, description="Ruin is equity at or below this share of the start."
    )
    seed: int = Field(default=0, description="The same seed gives the same paths.")
    calendar: str = Field(default="", description="Trading calendar of a file of bars.")
    timezone: str = Field(default="", description="Time zone of a file whose times state none.")
    output: str = Field(
        default="",
        description=(
            "Folder for the files, which replaces one of that name; "
            "<data home>/studies/<strategy>/<study id> when empty."
        ),
    )


MONTE_CARLO = AssetSpec(
    "monte_carlo",
    deps=["backtest"],
    group_name="research",
    kinds={"parquet"},
    description=(
        "What else might have come of a backtest: its trades in other orders and drawn again, and "
        "the engine run with entries missed, late or at other prices."
    ),
)


# The step has a name of its own, because the asset's could be a job's, and Dagster has one list.
@multi_asset(name="run_monte_carlo", specs=[MONTE_CARLO])
def monte_carlo(
    context: AssetExecutionContext,
    config: MonteCarloConfig,
    settings: ResourceParam[Settings],
    database: ResourceParam[Engine],
) -> MaterializeResult:
    """Vary a result and write what came of it."""
    use_kernels(settings.home)
    with failing_in_one_line(), logged_step(context, settings.home, "monte_carlo"):
        migrate(database)
        written = _run(context, config, settings, database)
    about = written.about
    return MaterializeResult(
        metadata={
            "Paths": MetadataValue.md(paths_table(about)),
            "Total return (%)": round(100.0 * about["as_it_happened"]["total_return"], 2),
            "Trades": about["n_trades"],
            "Backtest": about["run_id"],
            "Page": MetadataValue.path(written.directory / "study.html"),
            "Folder": MetadataValue.path(written.directory),
            "Strategy version": about["version_hash"],
        }
    )


def _run(
    context: AssetExecutionContext,
    config: MonteCarloConfig,
    settings: Settings,
    database: Engine,
) -> "Written[MonteCarlo]":
    from research.monte_carlo_paths import MonteCarloOptions
    from research.places import bars_source
    from research.study_runs import run_monte_carlo

    result = Path(config.result).expanduser() if config.result else find_result(context)
    source, store = bars_source(config.bars, settings.home)
    options = MonteCarloOptions(
        n_orders=config.orders, n_noise=config.noise, skip=config.skip, delay=config.delay,
        delay_bars=config.delay_bars, noise_bps=config.noise_bps, noise_ticks=config.noise_ticks,
        noise_range=config.noise_range, ruin=config.ruin, seed=config.seed,
    )  # fmt: skip
    written = run_monte_carlo(
        database, result, store, options, home=settings.home,
        out=Path(config.output) if config.output else None, source=source,
        calendar=config.calendar, timezone=config.timezone,
        progress=progress_lines(context.log, "paths"),
    )  # fmt: skip
    tag_strategy(context, written.about["strategy"], written.about["version_hash"])
    tag_run(context, written.study.study_id)
    return written


def paths_table(about: dict[str, Any]) -> str:
    """Return what the paths of each kind came to, as a Markdown table."""
    figures = {
        "return_05": "5 % earn less than (%)",
        "return_50": "Median return (%)",
        "return_95": "5 % earn more than (%)",
        "share_of_losses": "That lose (%)",
        "drawdown_95": "1 of 20 falls deeper than (%)",
        "share_ruined": "Ruined (%)",
    }
    lines = [
        f"| paths | number | {' | '.join(figures.values())} |",
        f"|---|{'---:|' * (1 + len(figures))}",
    ]
    for name, found in about["paths"].items():
        cells = [f"{100.0 * found[key]:,.1f}" for key in figures]
        lines.append(f"| {name} | {int(found['n_paths']):,} | {' | '.join(cells)} |")
    return "\n".join(lines)
