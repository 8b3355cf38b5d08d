"""The life of a strategy version, as one table."""

from __future__ import annotations

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
