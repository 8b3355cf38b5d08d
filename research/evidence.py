"""A version's evidence: look-ahead, warm-up and robustness, as files and on record.

Owns what is examined together, the files ``evidence.json`` and
``warm_up.parquet``, and how reports become rows of `strategies.evidence`.
Same inputs give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Engine

from foundation.clock import Clock
from foundation.files import atomic_directory
from foundation.log_file import note
from foundation.progress import Progress, silent
from market_data.store import Store
from research.backtest import (
    ENGINE_VERSION,
    Backtest,
    BacktestRequest,
    ReadyBacktest,
    run_backtest,
)
from research.holdout import looks_recorder
from research.look_ahead import N_CUTS, LookAheadReport, check_look_ahead
from research.places import bars_source
from research.recursion import N_STARTS, RecursionReport, check_recursion
from research.robustness import RobustnessReport, check_robustness
from strategies.evidence import Evidence, record_evidence
from strategies.lifecycle import EvidenceKind
from strategies.runs import BacktestRun
from strategies.versions import save_version
from trading.document import StrategyDocument, canonical

EVIDENCE_FILE = "evidence.json"
WARM_UP_FILE = "warm_up.parquet"


@dataclass(frozen=True, slots=True)
class Examination:
    """What was examined of a version, and what came of it, in memory.

    Attributes
    ----------
    examination_id : str
        The same for the same version, data, options and engine.
    """

    backtest: Backtest
    examination_id: str
    n_cuts: int
    n_starts: int
    seed: int
    look_ahead: LookAheadReport
    recursion: RecursionReport
    robustness: RobustnessReport

    @property
    def passed(self) -> bool:
        """Whether the checks have passed that a promotion asks for."""
        return self.look_ahead.passed and self.recursion.passed


def examine(
    request: BacktestRequest,
    store: Store,
    *,
    n_cuts: int = N_CUTS,
    n_starts: int = N_STARTS,
    seed: int = 0,
    before: Callable[[ReadyBacktest], None] | None = None,
    progress: Progress = silent,
) -> Examination:
    """Run all checks on a version.

    Parameters
    ----------
    request : BacktestRequest
        The version and the bars, as for its backtest.
    n_cuts, n_starts : int
        Cuts of the look-ahead check and starts of the recursive one, of each
        instrument and at most.
    seed : int
        Of the choice of both.
    before : callable, optional
        As for `run_backtest`: what puts a look at locked sessions on record.

    Raises
    ------
    SpecError, DataError
        As `run_backtest` does.
    """
    backtest = run_backtest(request, store, before=before)
    ahead = check_look_ahead(
        request, store, n_cuts=n_cuts, seed=seed, progress=_part(progress, 0, "look-ahead")
    )
    recursion = check_recursion(
        request, store, n_starts=n_starts, seed=seed, progress=_part(progress, 1, "warm-up")
    )
    robustness = check_robustness(backtest, progress=_part(progress, 2, "robustness"))
    options = (backtest.run_id, str(n_cuts), str(n_starts), str(seed), ENGINE_VERSION)
    number = hashlib.sha256("|".join(options).encode()).hexdigest()[:12]
    return Examination(backtest, number, n_cuts, n_starts, seed, ahead, recursion, robustness)


def request_like(
    run: BacktestRun, document: StrategyDocument, home: Path
) -> tuple[BacktestRequest, Store]:
    """Return the request that examines a version on the bars of one of its backtests.

    Bars that came after that backtest are left out, so that its data
    fingerprint and that of the examination are the same.

    Parameters
    ----------
    run : BacktestRun
        With the version's own parameters.
    document : StrategyDocument
        Of the version.
    home : Path
        The data home.

    Raises
    ------
    DataError
        If its file of bars is not there any more.
    """
    options = run.options
    source, store = bars_source(str(options.get("bars", "")), home)
    end = options.get("end") or options.get("last_session")
    request = BacktestRequest(
        document,
        source=source,
        symbols=tuple(options.get("asked_symbols", options.get("symbols", ()))),
        start=_day(options.get("start")),
        end=_day(end),
        cash=float(options.get("cash", 100_000.0)),
        warmup=bool(options.get("warmup", True)),
        calendar=str(options.get("calendar", "")),
        timezone=str(options.get("timezone", "")),
    )
    return request, store


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def why_not_counted(examination: Examination, run: BacktestRun | None) -> str:
    """Return why an examination is no evidence for a promotion, empty where it is.

    Parameters
    ----------
    run : BacktestRun or None
        The version's latest with its own parameters.
    """
    if run is None:
        return "the version was not backtested yet; a promotion needs both on the same bars"
    if run.data_fingerprint == examination.backtest.fingerprint:
        return ""
    return (
        f"these are other bars than those of its latest backtest, run {run.run_id}; a promotion "
        "needs both on the same, so backtest it again or examine it on that run's bars"
    )


def _part(progress: Progress, i_part: int, what: str) -> Progress:
    """Let one of three checks report as a third of the whole, in hundredths."""

    def report(done: int, total: int, label: str = "") -> None:
        share = done / total if total else 1.0
        progress(round(100 * (i_part + share)), 300, f"{what} {label}".strip())

    return report


def evidence_directory(out: Path | None, home: Path, examination: Examination) -> Path:
    """Return where the files go, the default when none is named."""
    if out is None:
        name = examination.backtest.strategy.name
        return home / "evidence" / name / examination.examination_id
    return out.expanduser().absolute()


def evidence_looks(
    engine: Engine, store: Store, out: Path | None, home: Path
) -> Callable[[ReadyBacktest], None]:
    """Return what `examine` shall call first: an examination may look at locked sessions, too."""
    return looks_recorder(
        engine,
        store,
        lambda ready: out or home / "evidence" / ready.strategy.name,
        reason="evidence over the locked sessions",
    )


def describe(examination: Examination) -> dict[str, Any]:
    """Return the content of ``evidence.json``: JSON values, None where a figure isn't defined."""
    backtest = examination.backtest
    checks = {
        kind.value: {"passed": passed, **figures}
        for kind, (passed, figures) in figures_of(examination).items()
    }
    return {
        "strategy": backtest.strategy.name,
        "version_hash": backtest.version,
        "examination_id": examination.examination_id,
        "data_fingerprint": backtest.fingerprint,
        "engine_version": ENGINE_VERSION,
        "instruments": [sleeve.symbol for sleeve in backtest.sleeves],
        "timeframe": backtest.strategy.timeframe,
        "n_cuts_most": examination.n_cuts,
        "n_starts_most": examination.n_starts,
        "seed": examination.seed,
        "passed": examination.passed,
        "checks": checks,
        "differences": [
            _finite(asdict(one) | {"stage": one.stage.name.lower(), "sentence": one.sentence()})
            for one in examination.look_ahead.differences
        ],
        "warm_up": {
            "tests": [_finite(asdict(one)) for one in examination.recursion.tests],
            "settlings": [_finite(asdict(one)) for one in examination.recursion.settlings],
        },
    }


def figures_of(examination: Examination) -> dict[EvidenceKind, tuple[bool, dict[str, Any]]]:
    """Return for each kind of evidence whether it passed, and its figures as JSON values."""
    ahead, recursion = examination.look_ahead, examination.recursion
    robustness = examination.robustness
    return {
        EvidenceKind.LOOK_AHEAD: (
            ahead.passed,
            {
                "n_bars": ahead.n_bars,
                "n_cuts": ahead.n_cuts,
                "n_reloads": ahead.n_reloads,
                "n_runs": ahead.n_runs,
                "n_values": ahead.n_values,
                "cuts": dict(ahead.cuts),
                "n_differences": ahead.n_differences,
                "first_difference": ahead.differences[0].sentence() if ahead.differences else "",
                "notes": list(ahead.notes),
            },
        ),
        EvidenceKind.RECURSION: (
            recursion.passed,
            {
                "n_starts": recursion.n_starts,
                "n_runs": recursion.n_runs,
                "declared": dict(recursion.declared),
                "declared_bars": recursion.declared_bars,
                "bars_for_values": recursion.bars_for_values,
                "bars_for_decisions": recursion.bars_for_decisions,
                "recommended_bars": recursion.recommended_bars,
                "longest_tested_bars": max((one.bars for one in recursion.tests), default=0),
                "level_conditions": list(recursion.level_conditions),
                "notes": list(recursion.notes),
            },
        ),
        EvidenceKind.ROBUSTNESS: (robustness.passed, _finite(asdict(robustness))),
    }


def _finite(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record as JSON values, None in the place of what is no number."""

    def clean(value: Any) -> Any:
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        if isinstance(value, (list, tuple)):
            return [clean(one) for one in value]
        return value

    return {name: clean(value) for name, value in record.items()}


def write_examination(examination: Examination, directory: Path) -> dict[str, Any]:
    """Write ``evidence.json`` and ``warm_up.parquet``, both or none.

    Returns
    -------
    dict
        The content of ``evidence.json``.

    Raises
    ------
    DataError
        If the disk is full or the directory can't be written; what was there
        before stays whole.
    """
    about = describe(examination)
    with atomic_directory(directory) as partial:
        text = json.dumps(about, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        (partial / EVIDENCE_FILE).write_text(text, "utf-8")
        pq.write_table(
            warm_up_table(examination.recursion),
            partial / WARM_UP_FILE,
            compression="zstd",
            store_schema=False,
        )
    note(
        strategy=about["strategy"],
        examination_id=examination.examination_id,
        passed=examination.passed,
        directory=str(directory),
    )
    return about


def warm_up_table(report: RecursionReport) -> pa.Table:
    """Return one row for each thing that depends on the history and each tested warm-up."""
    rows = [
        {
            "name": settling.name,
            "multiple": test.multiple,
            "bars": test.bars,
            "n_starts": test.n_starts,
            "difference_at_first_bar": settling.at_first[k],
            "bars_that_differ": settling.n_changed[k],
            "settled_after_bars": settling.settled_after,
            "is_level": settling.is_level,
        }
        for settling in report.settlings
        for k, test in enumerate(report.tests)
    ]
    schema = pa.schema(
        [
            ("name", pa.string()),
            ("multiple", pa.int64()),
            ("bars", pa.int64()),
            ("n_starts", pa.int64()),
            ("difference_at_first_bar", pa.float64()),
            ("bars_that_differ", pa.int64()),
            ("settled_after_bars", pa.int64()),
            ("is_level", pa.bool_()),
        ]
    )
    return pa.Table.from_pylist(rows, schema=schema)


def record_examination(
    engine: Engine,
    examination: Examination,
    directory: Path,
    *,
    author: str,
    clock: Clock | None = None,
) -> list[Evidence]:
    """Put an examination on record, one row for each kind, with its version.

    Raises
    ------
    DataError
        If the version is stored under another name.
    """
    backtest = examination.backtest
    document = backtest.request.document
    save_version(
        engine, name=document.name, document=canonical(document), author=author, clock=clock
    )
    return [
        record_evidence(
            engine,
            Evidence(
                version_hash=backtest.version,
                kind=kind,
                passed=passed,
                figures=figures,
                data_fingerprint=backtest.fingerprint,
                engine_version=ENGINE_VERSION,
                recorded_by=author,
                result_directory=str(directory),
            ),
            clock=clock,
        )
        for kind, (passed, figures) in figures_of(examination).items()
    ]
