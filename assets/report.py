"""The asset `report`: a result as pages and tables for people."""

from pathlib import Path

from dagster import (
    AssetExecutionContext,
    AssetSpec,
    DagsterEventType,
    MaterializeResult,
    MetadataValue,
    ResourceParam,
    multi_asset,
)

from assets.backtest import BACKTEST
from assets.options import ReportOptions
from assets.running import failing_in_one_line, logged_step, progress_lines, use_kernels
from foundation.errors import DataError, SpecError
from foundation.settings import Settings

FOLDER = "Folder"


REPORT = AssetSpec(
    "report",
    deps=[BACKTEST],
    group_name="research",
    kinds={"plotly"},
    description="The result as a page for the browser, a PDF, and its tables as XLSX and CSV.",
)


# Named so that the launchpad, which sorts steps by name, shows it after `run_backtest`.
@multi_asset(name="write_report", specs=[REPORT])
def report(
    context: AssetExecutionContext, config: ReportOptions, settings: ResourceParam[Settings]
) -> MaterializeResult:
    """Write the report of a backtest beside its result."""
    use_kernels(settings.home)
    from research.report import FORMATS, write_report

    with failing_in_one_line(), logged_step(context, settings.home, "report"):
        for name in config.formats:
            if name not in FORMATS:
                raise SpecError(
                    f"must be any of {', '.join(FORMATS)}, got {name!r}", path="formats"
                )
        directory = Path(config.result) if config.result else find_result(context)
        written = write_report(
            directory,
            formats=config.formats,
            progress=progress_lines(context.log, "formats"),
        )
    context.log.info(f"report written to {directory}")
    size = sum(path.stat().st_size for path in written)
    return MaterializeResult(
        metadata={
            **{_label(path): MetadataValue.path(path) for path in written},
            "Size (MB)": round(size / 1e6, 2),
            FOLDER: MetadataValue.path(directory),
        }
    )


def _label(path: Path) -> str:
    names = {".html": "Report", ".pdf": "Report as PDF", ".xlsx": "Tables as XLSX"}
    return names.get(path.suffix, f"Table {path.stem}")


def find_result(context: AssetExecutionContext) -> Path:
    """Return the folder of the backtest of this run, or else of the latest one.

    Raises
    ------
    DataError
        If no backtest was ever materialized.
    """
    records = context.instance.get_records_for_run(
        context.run.run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION
    ).records
    own = [
        record.asset_materialization
        for record in records
        if record.asset_materialization and record.asset_materialization.asset_key == BACKTEST.key
    ]
    if own:
        found = own[-1]
    else:
        event = context.instance.get_latest_materialization_event(BACKTEST.key)
        found = event.asset_materialization if event else None
    if found is None:
        raise DataError("there is no backtest yet to report on; run the job `backtest` first")
    return Path(str(found.metadata[FOLDER].value))
