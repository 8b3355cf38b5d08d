"""Findings: one row for each thing that is wrong, and their Parquet form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from foundation.files import atomic_file
from market_data.columns import INSTANT, arrow_column


class Severity(IntEnum):
    """How much a finding matters to whoever trades on the bars."""

    INFO = 0  # Worth knowing; nothing to do.
    WARNING = 1  # A person should look before relying on these bars.
    ERROR = 2  # The bars are wrong: results made of them mislead.

    @property
    def word(self) -> str:
        """The severity in lower case."""
        return self.name.lower()


SEVERITIES = {severity.word: severity for severity in Severity}


@dataclass(frozen=True, slots=True)
class QualityFinding:
    """One thing that is wrong, with what a person needs to judge it.

    Attributes
    ----------
    check : str
        Stable name, such as ``duplicate_bars``.
    severity : Severity
    symbol, timeframe : str
    first_ts, last_ts : int
        Open times of the first and last bar concerned, UTC nanoseconds; of
        missing bars, when they should have opened.
    session : int
        Session date of the first bar, days since 1970-01-01.
    n_bars : int
        Bars concerned; sessions where sessions are counted.
    measure, limit : float
        How bad it is, and what it was held to, both in `unit`.
    unit : str
        Such as ``scales`` or ``bars``.
    evidence : str
        One line with the numbers.
    single : bool
        The bars from first to last are the wrong ones, each by itself, so that
        they can be put in quarantine.
    """

    check: str
    severity: Severity
    symbol: str
    timeframe: str
    first_ts: int
    last_ts: int
    session: int
    n_bars: int
    measure: float
    limit: float
    unit: str
    evidence: str
    single: bool = False


def ordered(findings: Iterable[QualityFinding]) -> list[QualityFinding]:
    """Return findings by symbol, timeframe, time and check."""
    return sorted(
        findings,
        key=lambda f: (f.symbol, f.timeframe, f.first_ts, f.check, f.last_ts, f.evidence),
    )


def at_least(findings: Iterable[QualityFinding], severity: Severity) -> list[QualityFinding]:
    """Return the findings of a severity and above."""
    return [one for one in findings if one.severity >= severity]


def findings_table(findings: Iterable[QualityFinding]) -> pa.Table:
    """Return findings as a table, in the order of `ordered`; the same findings, the same bytes."""
    rows = ordered(findings)

    def column(name: str, dtype: str, kind: pa.DataType) -> pa.Array:
        return arrow_column(np.array([getattr(one, name) for one in rows], dtype), kind)

    def text(values: list[str]) -> pa.Array:
        return pa.array(values, pa.string())

    return pa.table(
        {
            "check": text([one.check for one in rows]),
            "severity": text([one.severity.word for one in rows]),
            "symbol": text([one.symbol for one in rows]),
            "timeframe": text([one.timeframe for one in rows]),
            "first_ts": arrow_column(_micros([one.first_ts for one in rows]), INSTANT),
            "last_ts": arrow_column(_micros([one.last_ts for one in rows]), INSTANT),
            "session": column("session", "i4", pa.date32()),
            "n_bars": column("n_bars", "i8", pa.int64()),
            "measure": column("measure", "f8", pa.float64()),
            "limit": column("limit", "f8", pa.float64()),
            "unit": text([one.unit for one in rows]),
            "evidence": text([one.evidence for one in rows]),
            "single": pa.array([one.single for one in rows], pa.bool_()),
        }
    )


def _micros(ns: list[int]) -> np.ndarray:
    return np.array(ns, np.int64) // 1000


def write_findings(path: Path, findings: Iterable[QualityFinding]) -> None:
    """Write findings as Parquet, whole or not at all."""
    table = findings_table(findings)
    with atomic_file(path) as partial:
        pq.write_table(table, partial, compression="zstd")
