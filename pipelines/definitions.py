"""All that Dagster loads: assets, jobs, sensors, resources and the policy they share."""

from dagster import Definitions

from assets.backtest import backtest
from assets.bars import bars
from assets.corporate_actions import corporate_actions
from assets.evidence import evidence
from assets.ingestion import ingested_bars
from assets.monte_carlo import monte_carlo
from assets.optimisation import optimisation, walk_forward
from assets.pairs import merged_bars
from assets.quality import data_quality
from assets.report import report
from assets.resampling import resampled_bars
from assets.sweep import sweep
from foundation.settings import load_settings
from pipelines.executors import executor_of
from pipelines.jobs import JOBS
from pipelines.resources import RESOURCES
from pipelines.schedules import SCHEDULES
from pipelines.sensors import requested_backtests, stored_bars
from pipelines.versions import unexamined_versions

definitions = Definitions(
    assets=[
        bars,
        resampled_bars,
        corporate_actions,
        data_quality,
        merged_bars,
        ingested_bars,
        backtest,
        report,
        sweep,
        evidence,
        optimisation,
        walk_forward,
        monte_carlo,
    ],
    jobs=JOBS,
    sensors=[stored_bars, requested_backtests, unexamined_versions],
    schedules=SCHEDULES,
    resources=RESOURCES,
    executor=executor_of(load_settings().executor),
)
