"""The asset `corporate_actions`: an instrument's splits, dividends and listing, and whether they fit."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    Config,
    MaterializeResult,
    MetadataValue,
    ResourceParam,
    asset,
)
from pydantic import Field

from assets.bars import CONTENT, SYMBOLS, bars
from assets.running import failing_in_one_line, use_kernels
from foundation.errors import DataError
from foundation.settings import Settings
from market_data.checks import Finding
from market_data.listings import Security
from market_data.store import Store

if TYPE_CHECKING:
    from market_data.stored_actions import StoredActions

ACTIONS_FIT_PRICES = "actions_fit_prices"
LISTING_FITS_BARS = "listing_fits_bars"
SOURCES_AGREE = "sources_agree_on_actions"
_N_SHOWN = 20

_DESCRIPTIONS = {
    ACTIONS_FIT_PRICES: (
        "The prices show every split, show none without an action, and no dividend is above the "
        "price; ex-dates are sessions."
    ),
    LISTING_FITS_BARS: (
        "The bars are of days on which the listings name an owner of the ticker, reach its "
        "delisting, and are one company's."
    ),
    SOURCES_AGREE: "The sources of an instrument state the same actions for the days they share.",
}


class ActionsOptions(Config):
    """Files to bring actions and listings from; without any, what is stored is checked."""

    actions: str = Field(
        default="",
        description=(
            "CSV or Parquet of splits and dividends (ex_date, split_ratio, dividend) that replaces "
            "the stored ones of the instrument."
        ),
    )
    listings: str = Field(
        default="",
        description=(
            "CSV of tickers with their dates and of delistings; replaces the stored securities of "
            "the same ids."
        ),
    )


@asset(
    partitions_def=SYMBOLS,
    # A vendor's months and files of bars bring actions along.
    deps=[bars],
    group_name="market_data",
    kinds={"parquet"},
    check_specs=[
        AssetCheckSpec(name, asset="corporate_actions", description=text)
        for name, text in _DESCRIPTIONS.items()
    ],
)
def corporate_actions(
    context: AssetExecutionContext,
    config: ActionsOptions,
    settings: ResourceParam[Settings],
    store: ResourceParam[Store],
) -> MaterializeResult:
    """Splits, dividends, tickers and the end of an instrument, held to its bars.

    Bringing the same files again changes nothing.
    """
    use_kernels(settings.home)
    from market_data.listings import read_listings
    from market_data.stored_actions import (
        check_against_listings,
        check_against_prices,
        check_sources,
        owners_of,
        stored_actions,
    )

    symbol = context.partition_key
    with failing_in_one_line():
        _bring(config, store, symbol)
        listings = read_listings(store)
        owners = owners_of(listings, symbol)
        every = [stored_actions(store, listings, symbol, owner) for owner in owners]
        found = {
            ACTIONS_FIT_PRICES: [f for one in every for f in check_against_prices(one)],
            LISTING_FITS_BARS: [
                f for one in every for f in check_against_listings(store, listings, one)
            ],
            SOURCES_AGREE: check_sources(store, symbol),
        }
    for name, findings in found.items():
        for finding in findings:
            context.log.info(f"{name}: {finding.name}: {finding.message}")
    return MaterializeResult(metadata=_metadata(every), check_results=list(_results(found)))


def _bring(config: ActionsOptions, store: Store, symbol: str) -> None:
    """Import the files that are named."""
    from market_data.actions_file import import_actions
    from market_data.listings import import_listings

    for name, text in (("actions", config.actions), ("listings", config.listings)):
        if text and not Path(text).expanduser().is_file():
            raise DataError(f"no file of {name} at {text}")
    if config.listings:
        import_listings(store, Path(config.listings).expanduser())
    if config.actions:
        import_actions(store, Path(config.actions).expanduser(), symbol=symbol)


def _results(found: dict[str, list[Finding]]) -> Iterator[AssetCheckResult]:
    from market_data.quality.findings import Severity
    from market_data.stored_actions import severity_of

    for name, findings in found.items():
        serious = [one for one in findings if severity_of(one) > Severity.INFO]
        serious.sort(key=severity_of, reverse=True)
        wrong = any(severity_of(one) == Severity.ERROR for one in serious)
        yield AssetCheckResult(
            check_name=name,
            passed=not serious,
            severity=AssetCheckSeverity.ERROR if wrong else AssetCheckSeverity.WARN,
            description=_line(serious[0]) if serious else None,
            metadata={
                "Findings": len(serious),
                "Notes": len(findings) - len(serious),
                **({"Evidence": MetadataValue.md(_list(findings[:_N_SHOWN]))} if findings else {}),
            },
        )


def _metadata(every: "Sequence[StoredActions]") -> dict[str, Any]:
    from market_data.action_records import KINDS, NOT_STATED
    from market_data.sessions import date_of

    latest = every[-1]
    records = latest.records
    rows = [
        f"| {date_of(int(one['ex_date']))} | {KINDS[one['kind']]} | {one['split_ratio']:.10g} | "
        f"{one['dividend']:.10g} | "
        f"{'' if one['announced'] == NOT_STATED else date_of(int(one['announced']))} |"
        for one in records[::-1][:_N_SHOWN]
    ]
    head = "| Ex-date | Kind | Split ratio | Dividend | Announced |\n|---|---|---:|---:|---|\n"
    known = [one.security for one in every if one.security is not None]
    return {
        "dagster/partition_row_count": int(records.shape[0]),
        "Splits": int((records["split_ratio"] != 1.0).sum()),
        "Dividends": int((records["dividend"] > 0.0).sum()),
        "Latest actions": MetadataValue.md(head + "\n".join(rows) if rows else "none stored"),
        "Listing": MetadataValue.md("\n".join(map(_described, known)) or "none stored"),
        CONTENT: hashlib.sha256(records.tobytes() + repr(known).encode()).hexdigest()[:12],
    }


def _described(security: Security) -> str:
    end = f"; {security.delisting}" if security.delisting else ""
    return f"- {security.id}: {', '.join(map(str, security.tickers))}{end}"


def _line(finding: Finding) -> str:
    return f"{finding.name}: {finding.message}"


def _list(findings: Sequence[Finding]) -> str:
    from market_data.stored_actions import severity_of

    return "\n".join(f"- {severity_of(one).word}: {_line(one)}" for one in findings)
