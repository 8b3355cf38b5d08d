"""The asset checks of `bars` about quality: one for each family of checks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from dagster import AssetCheckResult, AssetCheckSeverity, AssetCheckSpec, MetadataValue

from market_data.quality.checking import FAMILIES, Checked, check_series
from market_data.quality.findings import QualityFinding, Severity
from market_data.store import Series, Store

PAGE = "quality.html"
FINDINGS = "findings.parquet"
_N_EVIDENCE = 5


def family_specs() -> list[AssetCheckSpec]:
    """Return what the checks are called and what they look at."""
    return [
        AssetCheckSpec(
            check_name(family),
            asset="bars",
            description="No " + ", no ".join(checks.values()) + ".",
        )
        for family, checks in FAMILIES.items()
    ]


def check_name(family: str) -> str:
    """Return the name of a family's asset check."""
    return f"quality_{family}"


def check_all(store: Store, stored: list[Series]) -> list[Checked]:
    """Check every series of an instrument."""
    return [check_series(store, series.symbol, series.timeframe) for series in stored]


def family_results(checked: list[Checked], page: Path) -> Iterator[AssetCheckResult]:
    """Return for each family whether all is well, with counts and the first evidence.

    Parameters
    ----------
    page : Path
        Where the asset `data_quality` writes its page of charts.
    """
    for family, checks in FAMILIES.items():
        found = [f for one in checked for f in one.findings if f.check in checks]
        serious = [f for f in found if f.severity >= Severity.WARNING]
        wrong = any(f.severity == Severity.ERROR for f in serious)
        yield AssetCheckResult(
            check_name=check_name(family),
            passed=not serious,
            severity=AssetCheckSeverity.ERROR if wrong else AssetCheckSeverity.WARN,
            description="; ".join(map(_line, serious[:1])) or None,
            metadata={
                **{
                    f"{severity.word.capitalize()} findings": sum(
                        f.severity == severity for f in found
                    )
                    for severity in reversed(Severity)
                },
                **({"First evidence": MetadataValue.md(_list(serious))} if serious else {}),
                "Page of charts": MetadataValue.path(page),
            },
        )


def quality_folder(home: Path, symbol: str) -> Path:
    """Return where the findings and the page of a symbol are."""
    return home / "quality" / quote(symbol, safe="^@")


def _line(finding: QualityFinding) -> str:
    return f"{finding.timeframe} {finding.check}: {finding.evidence}"


def _list(findings: list[QualityFinding]) -> str:
    worst = sorted(findings, key=lambda f: -f.severity)[:_N_EVIDENCE]
    return "\n".join(f"- {one.severity.word}: {_line(one)}" for one in worst)
