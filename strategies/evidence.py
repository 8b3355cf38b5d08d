"""What was examined of a version, and what came of it: the evidence for its promotion.

Owns the table `version_evidence`, whose rows are only ever added, and the step
from stage to stage that rests on it. What is examined and how is the business
of `research`; which evidence a step needs stands in `strategies.lifecycle`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Engine,
    ForeignKey,
    Index,
    Row,
    Table,
    Text,
    insert,
    select,
    update,
)

from foundation.clock import Clock, SystemClock
from foundation.columns import EnumText, Int64, JsonText, UtcTimestamp, is_one_of, metadata
from foundation.database import read_transaction, run_write
from foundation.errors import DataError, NotPermitted
from strategies.lifecycle import (
    LEAST_FIGURES,
    REQUIRED_EVIDENCE,
    EvidenceKind,
    EvidenceState,
    Stage,
    Trigger,
    next_stage,
    require_evidence,
)
from strategies.runs import BacktestRun, latest_own_runs
from strategies.tables import stage_change, strategy_version

version_evidence = Table(
    "version_evidence",
    metadata,
    Column("version_evidence_id", Int64, primary_key=True),
    Column("version_hash", Text, ForeignKey("strategy_version.version_hash"), nullable=False),
    Column("kind", EnumText(EvidenceKind), nullable=False),
    Column("passed", Int64, nullable=False),  # 1 or 0: a STRICT table knows no boolean.
    Column("figures", JsonText, nullable=False),
    Column("data_fingerprint", Text, nullable=False),
    Column("engine_version", Text, nullable=False),
    Column("recorded_at", UtcTimestamp, nullable=False),
    Column("recorded_by", Text, nullable=False),
    Column("result_directory", Text),
    CheckConstraint(is_one_of("kind", EvidenceKind), name="kind_known"),
    CheckConstraint("passed IN (0, 1)", name="passed_is_truth"),
    Index(None, "version_hash", "kind"),
    sqlite_strict=True,
)

# Versions that one query asks for; databases bound the number of values in one.
_N_ASKED = 500

# Which evidence a step from stage to stage rested on.
stage_change_evidence = Table(
    "stage_change_evidence",
    metadata,
    Column("stage_change_id", Int64, ForeignKey("stage_change.stage_change_id"), primary_key=True),
    Column(
        "version_evidence_id",
        Int64,
        ForeignKey("version_evidence.version_evidence_id"),
        primary_key=True,
    ),
    sqlite_strict=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One examination of a version.

    Attributes
    ----------
    version_hash : str
        Of a stored version.
    figures : mapping
        JSON values: what was measured. A deflated Sharpe ratio has at least
        ``n_trials`` and ``deflated_sharpe``.
    data_fingerprint : str
        Of the bars that it was examined on.
    engine_version : str
    recorded_by : str
        Who or what had it examined; empty for the command line.
    result_directory : str or None
        Where its files are, if it has any.
    recorded_at : datetime or None
        UTC; None before it is stored.
    version_evidence_id : int or None
        None before it is stored.
    """

    version_hash: str
    kind: EvidenceKind
    passed: bool
    figures: Mapping[str, Any]
    data_fingerprint: str
    engine_version: str
    recorded_by: str = ""
    result_directory: str | None = None
    recorded_at: datetime | None = None
    version_evidence_id: int | None = None

    def state(self, engine_version: str, data_fingerprint: str | None) -> EvidenceState:
        """Return what it is worth on a version of the engine and on bars, None for any."""
        if engine_version != self.engine_version:
            return EvidenceState.OUTDATED
        if data_fingerprint is not None and data_fingerprint != self.data_fingerprint:
            return EvidenceState.OTHER_BARS
        if not self.passed:
            return EvidenceState.FAILED
        figure, least = LEAST_FIGURES.get(self.kind, ("", 0))
        if least and self.figures.get(figure, 0) < least:
            return EvidenceState.TOO_LITTLE
        return EvidenceState.PASSED


@dataclass(frozen=True, slots=True)
class Standing:
    """What a version's evidence is worth now.

    Attributes
    ----------
    version_hash : str
    stage : Stage
    backtest : BacktestRun or None
        The latest with the version's own parameters, on whose bars evidence
        must be; None if there is none, and then evidence on any counts.
    states : dict of EvidenceState by EvidenceKind
        Kinds that some step requires are always there, as missing if need be.
    evidence : dict of Evidence by EvidenceKind
        What each state is told of: the latest on this engine and these bars,
        else the latest.
    """

    version_hash: str
    stage: Stage
    backtest: BacktestRun | None
    states: dict[EvidenceKind, EvidenceState]
    evidence: dict[EvidenceKind, Evidence]

    def lacks(self, trigger: Trigger) -> list[EvidenceKind]:
        """Return the kinds that a step requires and that have not passed."""
        return [
            kind
            for kind in REQUIRED_EVIDENCE.get(trigger, ())
            if self.states[kind] is not EvidenceState.PASSED
        ]


def record_evidence(engine: Engine, evidence: Evidence, *, clock: Clock | None = None) -> Evidence:
    """Store the outcome of an examination; earlier ones stay, and the latest counts.

    A study becomes evidence by this call: with its kind, whether it passed, its
    figures and its folder.

    Returns
    -------
    Evidence
        As stored, with its time.

    Raises
    ------
    DataError
        If the version isn't stored.
    """
    now = (clock or SystemClock()).now()
    columns = version_evidence.c

    def work(connection: Connection) -> Evidence:
        _stage(connection, evidence.version_hash)
        number = connection.scalar(
            insert(version_evidence)
            .values(
                version_hash=evidence.version_hash,
                kind=evidence.kind,
                passed=int(evidence.passed),
                figures=dict(evidence.figures),
                data_fingerprint=evidence.data_fingerprint,
                engine_version=evidence.engine_version,
                recorded_at=now,
                recorded_by=evidence.recorded_by,
                result_directory=evidence.result_directory,
            )
            .returning(columns.version_evidence_id)
        )
        row = connection.execute(
            select(version_evidence).where(columns.version_evidence_id == number)
        ).one()
        return _evidence(row)

    return run_write(engine, work)


def list_evidence(engine: Engine, version_hash: str) -> list[Evidence]:
    """Return all that was examined of a version, latest first."""
    with read_transaction(engine) as connection:
        return _list(connection, version_hash)


def latest_evidence(engine: Engine, version_hash: str) -> dict[EvidenceKind, Evidence]:
    """Return the latest evidence of each kind that a version has, whatever it is of."""
    found: dict[EvidenceKind, Evidence] = {}
    for one in list_evidence(engine, version_hash):
        found.setdefault(one.kind, one)
    return found


def evidence_for(
    engine: Engine, version_hash: str, *, engine_version: str, data_fingerprint: str
) -> dict[EvidenceKind, Evidence]:
    """Return of each kind the latest evidence on an engine and bars, else the latest."""
    held = list_evidence(engine, version_hash)
    return _weigh(held, engine_version, data_fingerprint)[1]


def standings(
    engine: Engine, version_hashes: Sequence[str], *, engine_version: str
) -> list[Standing]:
    """Return what the evidence of versions is worth now, in the order asked for.

    Parameters
    ----------
    engine_version : str
        The current one.

    Raises
    ------
    DataError
        If a version isn't stored.
    """
    with read_transaction(engine) as connection:
        return _standings(connection, version_hashes, engine_version)


def versions_without_evidence(engine: Engine, *, engine_version: str) -> list[Standing]:
    """Return versions that were backtested and still lack evidence, those saved last first.

    Lacking is what is missing, of another engine, of other bars than the
    latest backtest, or was tried too little. Evidence that failed counts as there: to examine the same
    again would give the same. Drafts have not come so far, and retired
    versions need none.

    Parameters
    ----------
    engine_version : str
        The current one.
    """
    versions = strategy_version.c
    examined = [Stage.BACKTESTED, Stage.PAPER, Stage.LIVE]
    query = select(versions.version_hash).where(versions.stage.in_(examined))
    query = query.order_by(versions.created_at.desc(), versions.version_hash)
    settled = (EvidenceState.PASSED, EvidenceState.FAILED)
    with read_transaction(engine) as connection:
        found = _standings(connection, list(connection.scalars(query)), engine_version)
    needed = REQUIRED_EVIDENCE[Trigger.PAPER_STARTED]
    return [
        one
        for one in found
        if one.backtest is not None and any(one.states[kind] not in settled for kind in needed)
    ]


def promote(
    engine: Engine,
    version_hash: str,
    trigger: Trigger,
    *,
    engine_version: str,
    clock: Clock | None = None,
) -> Stage:
    """Move a version to another stage, if its evidence lets it, and keep what that was.

    Parameters
    ----------
    trigger : Trigger
        Any but `BACKTEST_SUCCEEDED`, which only a recorded run brings.
    engine_version : str
        The current one, which the evidence must be of.

    Returns
    -------
    Stage
        Where it is now.

    Raises
    ------
    NotPermitted
        If its stage does not take the trigger, or evidence is missing, has
        failed, or is of another engine version or of other bars than the
        version's latest backtest.
    DataError
        If the version isn't stored.
    """
    if trigger is Trigger.BACKTEST_SUCCEEDED:
        raise ValueError("a run that succeeds moves its version itself; record the run")
    now = (clock or SystemClock()).now()

    def work(connection: Connection) -> Stage:
        (standing,) = _standings(connection, [version_hash], engine_version)
        before = standing.stage
        after = next_stage(before, trigger)
        require_evidence(trigger, standing.states)
        rests = REQUIRED_EVIDENCE.get(trigger, ())
        if rests and standing.backtest is None:
            raise NotPermitted(
                f"{trigger} needs a backtest with the version's own parameters on record, but "
                "there is none; run `quarterdeck backtest` on it"
            )
        connection.execute(
            update(strategy_version)
            .where(strategy_version.c.version_hash == version_hash)
            .values(stage=after)
        )
        change = connection.scalar(
            insert(stage_change)
            .values(
                version_hash=version_hash,
                from_stage=before,
                to_stage=after,
                trigger=trigger,
                run_id=standing.backtest.run_id if rests and standing.backtest else None,
                changed_at=now,
            )
            .returning(stage_change.c.stage_change_id)
        )
        rested_on = [
            {
                "stage_change_id": change,
                "version_evidence_id": standing.evidence[kind].version_evidence_id,
            }
            for kind in rests
        ]
        if rested_on:
            connection.execute(insert(stage_change_evidence), rested_on)
        return after

    return run_write(engine, work)


def _stage(connection: Connection, version_hash: str) -> Stage:
    found: Stage | None = connection.scalar(
        select(strategy_version.c.stage).where(strategy_version.c.version_hash == version_hash)
    )
    if found is None:
        raise DataError(f"no strategy version {version_hash!r} is stored; save it first")
    return found


def _standings(
    connection: Connection, version_hashes: Sequence[str], engine_version: str
) -> list[Standing]:
    columns = version_evidence.c
    stages: dict[str, Stage] = {}
    held: dict[str, list[Evidence]] = {}
    backtests: dict[str, BacktestRun] = {}
    for first in range(0, len(version_hashes), _N_ASKED):
        asked = version_hashes[first : first + _N_ASKED]
        versions = select(strategy_version.c.version_hash, strategy_version.c.stage)
        rows = connection.execute(versions.where(strategy_version.c.version_hash.in_(asked)))
        stages |= dict(rows.all())
        query = select(version_evidence).where(columns.version_hash.in_(asked))
        for row in connection.execute(query.order_by(columns.version_evidence_id.desc())):
            held.setdefault(row.version_hash, []).append(_evidence(row))
        backtests |= latest_own_runs(connection, asked)
    for version in version_hashes:
        if version not in stages:
            raise DataError(f"no strategy version {version!r} is stored; save it first")
    return [
        _standing(
            version, stages[version], backtests.get(version), held.get(version, ()), engine_version
        )
        for version in version_hashes
    ]


def _standing(
    version_hash: str,
    stage: Stage,
    backtest: BacktestRun | None,
    held: Sequence[Evidence],
    engine_version: str,
) -> Standing:
    bars = None if backtest is None else backtest.data_fingerprint
    found, evidence = _weigh(held, engine_version, bars)
    required = {kind for kinds in REQUIRED_EVIDENCE.values() for kind in kinds}
    states = dict.fromkeys(sorted(required), EvidenceState.MISSING) | found
    return Standing(version_hash, stage, backtest, states, evidence)


def _weigh(
    held: Sequence[Evidence], engine_version: str, data_fingerprint: str | None
) -> tuple[dict[EvidenceKind, EvidenceState], dict[EvidenceKind, Evidence]]:
    """Tell which evidence of each kind counts, and what it is worth; latest comes first."""
    states: dict[EvidenceKind, EvidenceState] = {}
    evidence: dict[EvidenceKind, Evidence] = {}
    counts = (EvidenceState.PASSED, EvidenceState.FAILED)
    for one in held:
        state = one.state(engine_version, data_fingerprint)
        # What someone examined on other bars meanwhile neither helps nor harms.
        if one.kind not in evidence or (states[one.kind] not in counts and state in counts):
            states[one.kind], evidence[one.kind] = state, one
    return states, evidence


def _list(connection: Connection, version_hash: str) -> list[Evidence]:
    columns = version_evidence.c
    query = (
        select(version_evidence)
        .where(columns.version_hash == version_hash)
        .order_by(columns.version_evidence_id.desc())
    )
    return [_evidence(row) for row in connection.execute(query)]


def _evidence(row: Row[Any]) -> Evidence:
    fields = dict(row._mapping)
    fields["passed"] = bool(fields["passed"])
    return Evidence(**fields)
