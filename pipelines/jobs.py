"""The jobs that an admin launches, with the options that their launchpads begin with."""

from collections.abc import Mapping, Sequence

from dagster import AssetSelection, Config, RunConfig, define_asset_job
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from assets.evidence import EvidenceOptions
from assets.ingestion import VENDOR_TAG, IngestionConfig
from assets.monte_carlo import MonteCarloConfig
from assets.optimisation import OptimisationConfig, WalkForwardConfig
from assets.options import BacktestOptions, BarsOptions, ReportOptions, SweepOptions
from assets.pairs import MergeOptions
from assets.resampling import ResamplingOptions


def _job(
    name: str,
    assets: Sequence[str],
    options: Mapping[str, Config] | None = None,
    *,
    description: str,
    tags: Mapping[str, str] | None = None,
) -> UnresolvedAssetJobDefinition:
    """Return the job that makes some assets; its launchpad is filled in with options by step."""
    return define_asset_job(
        name,
        selection=AssetSelection.assets(*assets),
        config=RunConfig(ops=dict(options)) if options else None,
        tags=tags,
        description=description,
    )


BACKTEST_DESCRIPTION = """\
Run a strategy over stored bars and write its report.

Choose **Open launchpad** in the menu beside **Materialize all**. Every option is filled in, so
launching works as it stands and tests an example strategy on the sample bars. The panel on the
right of the launchpad says what each option means.

Key figures, equity curve and the result's folder are in the metadata of the two assets; the run
log tells how far it is. Launching the same options again gives the same files.
"""

backtest_job = _job(
    "backtest",
    ["backtest", "report"],
    {"run_backtest": BacktestOptions(), "write_report": ReportOptions()},
    description=BACKTEST_DESCRIPTION,
)

sweep_job = _job(
    "sweep",
    ["sweep"],
    {"run_sweep": SweepOptions()},
    description=(
        "Run many parameter sets of a strategy over the same bars. Choose **Open launchpad** in the "
        "menu beside **Materialize**; the options are filled in with an example. The best sets are in "
        "the metadata of the asset, all of them in `sweep.parquet` in its folder, heat maps with "
        "plateau and peak in `study.html`."
    ),
)

load_bars_job = _job(
    "load_bars",
    ["bars"],
    {"bars": BarsOptions()},
    description=(
        "Load an instrument of the sample set, or import a file of bars, and check what is stored."
    ),
)

ingest_job = _job(
    "ingest",
    ["ingested_bars"],
    {"ingested_bars": IngestionConfig()},
    # Runs that ask one vendor wait for each other; a launch from another source sets its name.
    tags={VENDOR_TAG: IngestionConfig().source},
    description=(
        "Bring a source's bars of an instrument into the store, month by month, with their splits "
        "and dividends. Only what is missing is asked for, and the last days again."
    ),
)

evidence_job = _job(
    "evidence",
    ["evidence"],
    {"examine_version": EvidenceOptions()},
    description=(
        "Examine strategy versions for look-ahead and for how much warm-up they need, before they may "
        "be traded on paper. The sensor `unexamined_versions` does so by itself; to do it again, "
        "choose versions under **Materialize**. They are examined on the bars of their latest "
        "backtest. The outcome is in the asset's checks and on record with the version."
    ),
)

check_job = _job(
    "check",
    ["bars", "corporate_actions", "data_quality"],
    description=(
        "Read the stored bars of an instrument back and check them, with its corporate actions and "
        "its listing: findings as a table and a page."
    ),
)

resample_job = _job(
    "resample",
    ["resampled_bars"],
    {"resampled_bars": ResamplingOptions()},
    description="Make longer bars of an instrument's shortest ones, and store them.",
)

merge_job = _job(
    "merge",
    ["merged_bars"],
    {"merged_bars": MergeOptions()},
    description=(
        "Merge an instrument's stored sources (AAPL@lean, AAPL@yahoo) into one series that says for "
        "each price where it came from, and draw a page of what they disagree on."
    ),
)

optimise_job = _job(
    "optimise",
    ["optimisation"],
    {"run_optimisation": OptimisationConfig()},
    description=(
        "Search for good parameter sets of a strategy. Choose **Open launchpad** in the menu beside "
        "**Materialize**; the options are filled in with an example. The plateau that was chosen, "
        "and what it is worth given all that was tried, are in the metadata of the asset; "
        "`study.html` in its folder shows every trial."
    ),
)

walk_forward_job = _job(
    "walk_forward_analysis",
    ["walk_forward"],
    {"run_walk_forward": WalkForwardConfig()},
    description=(
        "Choose parameter sets on a window, trade the sessions after it, move on. Choose **Open "
        "launchpad** in the menu beside **Materialize**; the options are filled in with an example. "
        "The equity out of sample and a row for each window are in the metadata of the asset, "
        "everything on one page in `study.html` in its folder."
    ),
)

monte_carlo_job = _job(
    "monte_carlo_analysis",
    ["monte_carlo"],
    {"run_monte_carlo": MonteCarloConfig()},
    description=(
        "Vary the latest backtest, or one whose folder is named: its trades in other orders, and "
        "its entries missed, late or at other prices. Choose **Open launchpad** in the menu beside "
        "**Materialize**. What the paths came to is in the metadata of the asset, the charts in "
        "`study.html` in its folder."
    ),
)

JOBS = [
    check_job,
    resample_job,
    merge_job,
    backtest_job,
    sweep_job,
    load_bars_job,
    ingest_job,
    evidence_job,
    optimise_job,
    walk_forward_job,
    monte_carlo_job,
]
