"""The life of a version: draft, backtested, paper, live, retired."""

import pytest

from foundation.errors import NotPermitted
from strategies.lifecycle import TRANSITIONS, Stage, Trigger, next_stage


def test_way_up_goes_through_every_stage() -> None:
    stage = Stage.DRAFT
    for trigger, expected in (
        (Trigger.BACKTEST_SUCCEEDED, Stage.BACKTESTED),
        (Trigger.PAPER_STARTED, Stage.PAPER),
        (Trigger.LIVE_APPROVED, Stage.LIVE),
        (Trigger.RETIRED, Stage.RETIRED),
    ):
        stage = next_stage(stage, trigger)
        assert stage is expected


@pytest.mark.parametrize(
    ("stage", "trigger"),
    [
        (Stage.DRAFT, Trigger.PAPER_STARTED),
        (Stage.DRAFT, Trigger.LIVE_APPROVED),
        (Stage.BACKTESTED, Trigger.LIVE_APPROVED),
        (Stage.RETIRED, Trigger.PAPER_STARTED),
        (Stage.RETIRED, Trigger.LIVE_APPROVED),
    ],
)
def test_no_stage_is_skipped_and_nothing_comes_back_from_retirement(
    stage: Stage, trigger: Trigger
) -> None:
    with pytest.raises(NotPermitted, match=f"stage {stage} does not take {trigger}"):
        next_stage(stage, trigger)


def test_only_an_approval_leads_to_live() -> None:
    ways = {
        (before, trigger) for (before, trigger), after in TRANSITIONS.items() if after is Stage.LIVE
    }
    assert ways == {(Stage.PAPER, Trigger.LIVE_APPROVED), (Stage.LIVE, Trigger.BACKTEST_SUCCEEDED)}
