"""Which plans run on kernels of their own, and that those kernels know no more than is true."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.trading.making import random_bars, strategy
from trading import dtypes as d
from trading.document import document_from
from trading.expressions.strategy import bind, resolve_strategy
from trading.planning import policy_record
from trading.specialising import ANY, KNOWN, WITH_TARGET, WITHOUT_TARGET, kind_of

STOP: dict[str, Any] = {"stop_loss": "3%"}


def plans(**execution: Any) -> np.ndarray:
    """Return the plan, without formulas, of a strategy that enters at market."""
    risk = execution.pop("risk", {})
    document = document_from(strategy(**execution) | ({"risk": risk} if risk else {}))
    resolved = resolve_strategy(document)
    plan = np.zeros(1, d.PLAN)
    plan["policy"] = policy_record(
        bind(resolved, {}).policy,
        resolved.prices,
        random_bars(1, 3).instrument,
        intraday=False,
        has_quotes=False,
        optimistic=False,
    )
    return plan


@pytest.mark.parametrize(
    ("execution", "kind"),
    [
        ({}, WITHOUT_TARGET),
        ({"exit": STOP}, WITHOUT_TARGET),
        ({"exit": STOP | {"profit_target": "6%"}}, WITH_TARGET),
        ({"exit": STOP | {"profit_target": 2, "time_stop": 5}, "cooldown_bars": 3}, WITH_TARGET),
        ({"exit": {"profit_target": [{"at": 2, "close": 0.5}]}}, WITH_TARGET),
        ({"exit": {"profit_target": [{"at": 2, "close": 0.5}, {"at": 3, "close": 0.5}]}}, ANY),
        ({"exit": {"trailing_stop": 2}, "risk": {"max_drawdown": 0.2}}, WITHOUT_TARGET),
        ({"exit": {"flat_at_session_close": True}}, ANY),
        ({"pyramiding": 1}, ANY),
        ({"reverse": True}, ANY),
        ({"fill": "same_close"}, ANY),
        ({"max_participation": 0.1}, ANY),
        ({"entry": {"type": "limit", "offset": 1}}, ANY),
    ],
)
def test_a_plan_is_of_a_special_kind_when_it_has_no_rare_feature(execution, kind):
    assert kind_of(plans(**execution)) == kind


@pytest.mark.parametrize("kind", KNOWN)
@pytest.mark.parametrize("field", KNOWN[WITH_TARGET])
def test_a_plan_that_differs_in_any_known_field_is_of_no_special_kind(kind, field):
    plan = np.zeros(2, d.PLAN)
    for name, value in KNOWN[kind].items():
        plan["policy"][name] = value
    assert kind_of(plan) == kind
    plan["policy"][field][1] += 1
    assert kind_of(plan) == ANY
