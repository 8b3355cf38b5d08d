"""The jobs that an admin launches, with the options that their launchpads begin with."""

from dagster import AssetSelection, RunConfig, define_asset_job

from assets.evidence import EvidenceOptions
from assets.ingestion import VENDOR_TAG, IngestionConfig
from assets.optimisation import OptimisationConfig, WalkForwardConfig
from assets.options import BacktestOptions, BarsOptions, ReportOptions, SweepOptions
from assets.pairs import MergeOptions
from assets.resampling import ResamplingOptions

BACKTEST_DESCRIPTION = """\
Run a strategy over stored bars and write its report.

Choose **Open launchpad** in the menu beside **Materialize all**. Every option is filled in, so
launching works as it stands and tests an example strategy on the sample bars. The panel on the
right of the launchpad says what each option means.

Key figures, equity curve and the result's folder are in the metadata of the two assets; the run
log tells how far it is. Launching the same options again gives the same files.
"""

backtest_job = define_asset_job(
    "backtest",
    selection=AssetSelection.assets("backtest", "report"),
    config=RunConfig(ops={"run_backtest": BacktestOptions(), "write_report": ReportOptions()}),
    description=BACKTEST_DESCRIPTION,
)

sweep_job = define_asset_job(
    "sweep",
    selection=AssetSelection.assets("sweep"),
    config=RunConfig(ops={"run_sweep": SweepOptions()}),
    description=(
        "Run many parameter sets of a strategy over the same bars. Choose **Open launchpad** in the "
        "menu beside **Materialize**; the options are filled in with an example. The best sets are in "
        "the metadata of the asset, all of them in `sweep.parquet` in its folder."
    ),
)

load_bars_job = define_asset_job(
    "load_bars",
    selection=AssetSelection.assets("bars"),
    config=RunConfig(ops={"bars": BarsOptions()}),
    description=(
        "Load an instrument of the sample set, or import a file of bars, and check what is stored."
    ),
)

ingest_job = define_asset_job(
    "ingest",
    selection=AssetSelection.assets("ingested_bars"),
    config=RunConfig(ops={"ingested_bars": IngestionConfig()}),
    # Runs that ask one vendor wait for each other; a launch from another source sets its name.
    tags={VENDOR_TAG: IngestionConfig().source},
    description=(
        "Bring a source's bars of an instrument into the store, month by month, with their splits "
        "and dividends. Only what is missing is asked for, and the last days again."
    ),
)

evidence_job = define_asset_job(
    "evidence",
    selection=AssetSelection.assets("evidence"),
    config=RunConfig(ops={"examine_version": EvidenceOptions()}),
    description=(
        "Examine strategy versions for look-ahead and for how much warm-up they need, before they may "
        "be traded on paper. The sensor `unexamined_versions` does so by itself; to do it again, "
        "choose versions under **Materialize**. They are examined on the bars of their latest "
        "backtest. The outcome is in the asset's checks and on record with the version."
    ),
)

check_job = define_asset_job(
    "check",
    selection=AssetSelection.assets("bars", "corporate_actions", "data_quality"),
    description=(
        "Read the stored bars of an instrument back and check them, with its corporate actions and "
        "its listing: findings as a table and a page."
    ),
)

resample_job = define_asset_job(
    "resample",
    selection=AssetSelection.assets("resampled_bars"),
    config=RunConfig(ops={"resampled_bars": ResamplingOptions()}),
    description="Make longer bars of an instrument's shortest ones, and store them.",
)

merge_job = define_asset_job(
    "merge",
    selection=AssetSelection.assets("merged_bars"),
    config=RunConfig(ops={"merged_bars": MergeOptions()}),
    description=(
        "Merge an instrument's stored sources (AAPL@lean, AAPL@yahoo) into one series that says for "
        "each price where it came from, and draw a page of what they disagree on."
    ),
)

optimise_job = define_asset_job(
    "optimise",
    selection=AssetSelection.assets("optimisation"),
    config=RunConfig(ops={"run_optimisation": OptimisationConfig()}),
    description=(
        "Search for good parameter sets of a strategy. Choose **Open launchpad** in the menu beside "
        "**Materialize**; the options are filled in with an example. The plateau that was chosen, "
        "and what it is worth given all that was tried, are in the metadata of the asset; "
        "`study.html` in its folder shows every trial."
    ),
)

walk_forward_job = define_asset_job(
    "walk_forward_analysis",
    selection=AssetSelection.assets("walk_forward"),
    config=RunConfig(ops={"run_walk_forward": WalkForwardConfig()}),
    description=(
        "Choose parameter sets on a window, trade the sessions after it, move on. Choose **Open "
        "launchpad** in the menu beside **Materialize**; the options are filled in with an example. "
        "The equity out of sample and a row for each window are in the metadata of the asset, "
        "everything on one page in `study.html` in its folder."
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
]
