"""All that Dagster loads: assets, jobs, sensors, resources and the policy they share."""

from dagster import Definitions, in_process_executor

from assets.backtest import backtest
from assets.bars import bars
from assets.report import report
from assets.sweep import sweep
from pipelines.jobs import JOBS
from pipelines.resources import RESOURCES
from pipelines.sensors import stored_bars

definitions = Definitions(
    assets=[bars, backtest, report, sweep],
    jobs=JOBS,
    sensors=[stored_bars],
    resources=RESOURCES,
    # One process per run: the compiled kernels are loaded once, and use all cores themselves.
    executor=in_process_executor,
)
