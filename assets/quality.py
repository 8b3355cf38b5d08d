"""The asset `data_quality`: what is wrong with an instrument's bars, as a table and a page."""

from dagster import AssetExecutionContext, MaterializeResult, MetadataValue, ResourceParam, asset

from assets.bars import SYMBOLS, bars, stored_series
from assets.corporate_actions import corporate_actions
from assets.quality_checks import FINDINGS, PAGE, check_all, quality_folder
from assets.running import failing_in_one_line, use_kernels
from foundation.errors import DataError
from foundation.settings import Settings
from market_data.quality.findings import Severity, write_findings
from market_data.store import Store


@asset(
    partitions_def=SYMBOLS,
    # Splits and listings tell which moves and gaps are none of the data's doing.
    deps=[bars, corporate_actions],
    group_name="market_data",
    kinds={"parquet", "plotly"},
)
def data_quality(
    context: AssetExecutionContext,
    settings: ResourceParam[Settings],
    store: ResourceParam[Store],
) -> MaterializeResult:
    """Findings of an instrument's stored bars, as Parquet and as a page of charts."""
    use_kernels(settings.home)
    from research.quality_page import SeriesOnPage, write_quality_page

    symbol = context.partition_key
    with failing_in_one_line():
        stored = stored_series(store, symbol)
        if not stored:
            raise DataError(f"no bars of {symbol} are stored; materialize `bars` first")
        checked = check_all(store, stored)
        folder = quality_folder(settings.home, symbol)
        findings = [finding for one in checked for finding in one.findings]
        write_findings(folder / FINDINGS, findings)
        drawn = []
        for one in checked:
            columns, _ = store.read_columns(one.symbol, one.timeframe)
            table = store.sessions(one.calendar, one.first_ts, one.last_ts)
            drawn.append(SeriesOnPage.drawn(one, columns, table))
        write_quality_page(folder / PAGE, drawn, title=symbol)
    counts = {
        f"{severity.word.capitalize()} findings": sum(f.severity == severity for f in findings)
        for severity in reversed(Severity)
    }
    for finding in findings:
        if finding.severity >= Severity.WARNING:
            context.log.warning(f"{finding.timeframe} {finding.check}: {finding.evidence}")
    return MaterializeResult(
        metadata={
            **counts,
            "Bars": sum(one.n_bars for one in checked),
            "Page of charts": MetadataValue.path(folder / PAGE),
            "Findings": MetadataValue.path(folder / FINDINGS),
        }
    )
