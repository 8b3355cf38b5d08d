"""Results by the names that people give: a folder, a run, a version, a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine

from foundation.errors import DataError
from research.documents import find_document, is_hash
from research.results import ResultFiles, open_result
from research.summary import SUMMARY_FILE, Summary
from strategies.evidence import Evidence, evidence_for
from strategies.lifecycle import EvidenceKind
from strategies.runs import BacktestRun, get_run, list_runs
from strategies.tables import RunStatus
from strategies.versions import get_version
from trading.document import version_hash


@dataclass(frozen=True, slots=True)
class NamedResult:
    """A result, a short name that tells it from the others, and its version's evidence.

    Of each kind of evidence it is the latest on the result's engine and bars,
    else the latest there is.
    """

    label: str
    result: ResultFiles
    evidence: Mapping[EvidenceKind, Evidence] = field(default_factory=dict)


def find_results(names: Sequence[str], engine: Engine) -> list[NamedResult]:
    """Return the results that texts name.

    Parameters
    ----------
    names : sequence of str
        Each the folder of a result, the id of a recorded run, digits of a
        version's hash, or the path of a document. Of a version its latest
        backtest with its own parameters counts, else its latest one.
    engine : Engine
        The record.

    Raises
    ------
    DataError
        If a name is none of these, or its result is not there any more.
    """
    results = [open_result(_find_directory(name, engine)) for name in names]
    labels = label_results(results)
    return [
        NamedResult(label, result, _evidence_of(result.summary, engine))
        for label, result in zip(labels, results, strict=True)
    ]


def _evidence_of(summary: Summary, engine: Engine) -> dict[EvidenceKind, Evidence]:
    return evidence_for(
        engine,
        summary.version_hash,
        engine_version=summary.engine_version,
        data_fingerprint=summary.data_fingerprint,
    )


def label_results(results: Sequence[ResultFiles]) -> list[str]:
    """Return short names: strategy and version, with the run where those are the same."""
    summaries = [one.summary for one in results]
    labels = [f"{one.strategy} {one.version_hash[:8]}".strip() for one in summaries]
    if len(set(labels)) < len(labels):
        labels = [
            label if labels.count(label) == 1 else f"{label} run {one.run_id[:6]}"
            for label, one in zip(labels, summaries, strict=True)
        ]
    # Real world possibility: the same result is named twice.
    seen: dict[str, int] = {}
    for k, label in enumerate(labels):
        seen[label] = seen.get(label, 0) + 1
        if seen[label] > 1:
            labels[k] = f"{label} ({seen[label]})"
    return labels


def _find_directory(name: str, engine: Engine) -> Path:
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if is_hash(name):
        try:
            return _directory_of(get_run(engine, name.lower()))
        except DataError as error:
            if "no backtest run" not in str(error):
                raise
    if folder.is_file():
        version = version_hash(find_document(name, engine))
    elif is_hash(name):
        version = get_version(engine, name.lower()).version_hash
    else:
        raise DataError(
            f"{name!r} is no folder of a result, no recorded run, no version and no document"
        )
    runs = list_runs(engine, version_hash=version, status=RunStatus.SUCCEEDED)
    own = [run for run in runs if not run.options.get("parameters")]
    for run in own or runs:
        if (Path(run.result_directory) / SUMMARY_FILE).is_file():
            return Path(run.result_directory)
    what = "its results are gone" if runs else "it was never backtested"
    raise DataError(f"version {version[:12]} has nothing to compare: {what}; backtest it")


def _directory_of(run: BacktestRun) -> Path:
    directory = Path(run.result_directory)
    if not (directory / SUMMARY_FILE).is_file():
        raise DataError(f"the result of run {run.run_id} is not at {directory} any more")
    return directory
