"""The life of a strategy version: its stages, and the evidence that a step needs, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from foundation.errors import NotPermitted


class Stage(StrEnum):
    """How far a version has come."""

    DRAFT = "draft"
    BACKTESTED = "backtested"
    PAPER = "paper"
    LIVE = "live"
    RETIRED = "retired"


class Trigger(StrEnum):
    """What may move a version to another stage."""

    BACKTEST_SUCCEEDED = "backtest_succeeded"
    PAPER_STARTED = "paper_started"
    LIVE_APPROVED = "live_approved"
    DEMOTED = "demoted"  # A limit was breached, or paper or live diverged from the backtest.
    RETIRED = "retired"


class EvidenceKind(StrEnum):
    """What was examined of a version."""

    LOOK_AHEAD = "look_ahead"  # Hiding the future changes nothing before it.
    RECURSION = "recursion"  # Some warm-up makes all decisions those of all history.
    ROBUSTNESS = "robustness"  # Doubled costs, entries one bar late.
    WALK_FORWARD = "walk_forward"
    HOLDOUT = "holdout"
    PLATEAU = "plateau"
    MONTE_CARLO = "monte_carlo"
    DEFLATED_SHARPE = "deflated_sharpe"


class EvidenceState(StrEnum):
    """What a version's evidence of one kind is worth now."""

    PASSED = "passed"
    FAILED = "failed"
    OUTDATED = "outdated"  # Of another version of the engine.
    TOO_LITTLE = "too little"  # Too little was tried.
    OTHER_BARS = "other bars"  # Of other bars than the version's latest backtest.
    MISSING = "missing"


TRANSITIONS: dict[tuple[Stage, Trigger], Stage] = {
    (Stage.DRAFT, Trigger.BACKTEST_SUCCEEDED): Stage.BACKTESTED,
    (Stage.DRAFT, Trigger.RETIRED): Stage.RETIRED,
    # A version is backtested again at any stage, on newer bars; that proves nothing new.
    (Stage.BACKTESTED, Trigger.BACKTEST_SUCCEEDED): Stage.BACKTESTED,
    (Stage.BACKTESTED, Trigger.PAPER_STARTED): Stage.PAPER,
    (Stage.BACKTESTED, Trigger.RETIRED): Stage.RETIRED,
    (Stage.PAPER, Trigger.BACKTEST_SUCCEEDED): Stage.PAPER,
    (Stage.PAPER, Trigger.LIVE_APPROVED): Stage.LIVE,
    (Stage.PAPER, Trigger.DEMOTED): Stage.BACKTESTED,
    (Stage.PAPER, Trigger.RETIRED): Stage.RETIRED,
    (Stage.LIVE, Trigger.BACKTEST_SUCCEEDED): Stage.LIVE,
    (Stage.LIVE, Trigger.DEMOTED): Stage.PAPER,
    (Stage.LIVE, Trigger.RETIRED): Stage.RETIRED,
    # Real world possibility: someone looks at an old strategy once more.
    (Stage.RETIRED, Trigger.BACKTEST_SUCCEEDED): Stage.RETIRED,
}

# What must have passed, on this version of the engine and on the bars of the version's latest
# backtest, before a step is taken.
REQUIRED_EVIDENCE: dict[Trigger, tuple[EvidenceKind, ...]] = {
    Trigger.PAPER_STARTED: (EvidenceKind.LOOK_AHEAD, EvidenceKind.RECURSION),
    # The engine may have changed since paper trading began.
    Trigger.LIVE_APPROVED: (EvidenceKind.LOOK_AHEAD, EvidenceKind.RECURSION),
}
# A figure of evidence that must not be below a number, or too little was tried to say anything.
LEAST_FIGURES: dict[EvidenceKind, tuple[str, int]] = {
    EvidenceKind.LOOK_AHEAD: ("n_cuts", 8),
    EvidenceKind.RECURSION: ("n_starts", 1),
}
_EVIDENCE_WORDS = {
    EvidenceState.FAILED: "failed",
    EvidenceState.OUTDATED: "is of another engine version",
    EvidenceState.TOO_LITTLE: "was tried too little",
    EvidenceState.OTHER_BARS: "is of other bars than the latest backtest",
    EvidenceState.MISSING: "is missing",
}


def next_stage(stage: Stage, trigger: Trigger) -> Stage:
    """Return the stage that follows.

    Raises
    ------
    NotPermitted
        If the table has no such transition.
    """
    try:
        return TRANSITIONS[stage, trigger]
    except KeyError:
        allowed = sorted(key[1].value for key in TRANSITIONS if key[0] is stage)
        raise NotPermitted(
            f"a version in stage {stage} does not take {trigger}; it takes {', '.join(allowed)}"
        ) from None


def require_evidence(trigger: Trigger, held: Mapping[EvidenceKind, EvidenceState]) -> None:
    """Refuse a step whose evidence has not passed.

    Parameters
    ----------
    trigger : Trigger
    held : mapping
        The state of the version's evidence; a kind that isn't there is missing.

    Raises
    ------
    NotPermitted
        Naming each kind that is missing, failed, outdated or of other bars.
    """
    lacks = []
    for kind in REQUIRED_EVIDENCE.get(trigger, ()):
        state = held.get(kind, EvidenceState.MISSING)
        if state is not EvidenceState.PASSED:
            lacks.append(f"{kind} {_EVIDENCE_WORDS[state]}")
    if lacks:
        raise NotPermitted(
            f"{trigger} needs evidence that has passed on this engine and on the bars of the latest "
            f"backtest, but {', '.join(lacks)}; run `quarterdeck evidence` on the version"
        )
