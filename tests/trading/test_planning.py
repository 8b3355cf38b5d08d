"""What the core can't hold is refused with the place in the document and what to do."""

from __future__ import annotations

from typing import Any

import pytest

from foundation.errors import SpecError
from tests.trading.making import daily_bars, link, long_only, strategy
from trading import columns
from trading.document import document_from
from trading.expressions.document_checks import STAGES_MAX
from trading.expressions.strategy import resolve_strategy

BARS = daily_bars([(100, 101, 99, 100)] * 3)
LONG_PRICE = "close" + "".join(f" - high[{k}]" for k in range(1, 40))
LONG_CONDITION = " or ".join(f"bars_in_trade > {k}" for k in range(20))


def refusal(document: dict[str, Any]) -> SpecError:
    with pytest.raises(SpecError) as caught:
        link(document, BARS)
    assert "\n" not in str(caught.value)
    return caught.value


def entry(**fields: Any) -> dict[str, Any]:
    return {"entry": fields}


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (long_only(exit_long=LONG_CONDITION), "exit_long"),
        (long_only(enter_long=LONG_CONDITION), "enter_long"),
        (long_only(**entry(type="limit", price=LONG_PRICE)), "execution.entry.price"),
        (long_only(**entry(type="limit", offset=LONG_PRICE)), "execution.entry.offset"),
        (
            strategy(**entry(type="stop", price="close", price_short=LONG_PRICE)),
            "execution.entry.price_short",
        ),
        (
            long_only(**entry(type="stop_limit", price="close", limit=LONG_PRICE)),
            "execution.entry.limit",
        ),
        (
            strategy(
                **entry(
                    type="stop_limit",
                    price="close",
                    price_short="close",
                    limit="close",
                    limit_short=LONG_PRICE,
                )
            ),
            "execution.entry.limit_short",
        ),
        (
            long_only(**entry(type="stop_limit", price="close", limit_offset=LONG_PRICE)),
            "execution.entry.limit_offset",
        ),
        (
            long_only(
                entry={"type": "limit", "price": 99}, orders={"count": 2, "step": LONG_PRICE}
            ),
            "execution.orders.step",
        ),
        (long_only(exit={"stop_loss": LONG_PRICE}), "execution.exit.stop_loss"),
        (long_only(exit={"trailing_stop": LONG_PRICE}), "execution.exit.trailing_stop"),
        (long_only(exit={"break_even": {"at": LONG_PRICE}}), "execution.exit.break_even.at"),
        (
            long_only(exit={"break_even": {"at": 1, "offset": LONG_PRICE}}),
            "execution.exit.break_even.offset",
        ),
        (long_only(exit={"profit_target": LONG_PRICE}), "execution.exit.profit_target"),
        (
            long_only(
                exit={"profit_target": [{"at": 1, "close": 0.5}, {"at": LONG_PRICE, "close": 0.5}]}
            ),
            "execution.exit.profit_target[1].at",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_expression_of_too_many_parts_is_refused_at_its_place(document, path):
    error = refusal(document)
    assert error.path == path
    assert "at most 64" in error.message
    assert "shorten it" in error.hint


def test_too_many_parts_in_all_expressions_name_the_longest():
    some = "close" + "".join(f" - high[{k}]" for k in range(1, 31))
    document = strategy(
        **entry(type="limit", price=some, price_short=some),
        exit={"stop_loss": some, "trailing_stop": f"{some} - low", "profit_target": some},
    )
    error = refusal(document)
    assert error.path == "execution.exit.trailing_stop"
    assert "at most 256" in error.message


LADDER = {"entry": {"type": "limit", "price": 99}, "orders": {"count": 16, "step": 1}}
TARGETS = {"profit_target": [{"at": k, "close": 0.125} for k in range(1, 9)]}


@pytest.mark.parametrize(
    ("given", "path", "most", "possible"),
    [
        # 16 rungs, 8 targets, a stop and an exit are 26 orders, which fit 4 times in 128.
        ({**LADDER, "exit": TARGETS, "pyramiding": 4}, "execution.orders.count", 128, 3),
        # 11 orders fit 11 times.
        ({"exit": TARGETS, "pyramiding": 11}, "execution.pyramiding", 128, 10),
        ({"exit": TARGETS, "pyramiding": 10, "reverse": True}, "execution.pyramiding", 128, 9),
        ({"pyramiding": 16}, "execution.pyramiding", 15, 15),
        ({"pyramiding": 15, "reverse": True}, "execution.pyramiding", 14, 14),
    ],
)
def test_too_many_orders_name_what_multiplies_them_and_what_fits(given, path, most, possible):
    document = long_only(**given) if "orders" in given else strategy(**given)
    error = refusal(document)
    assert error.path == path
    assert f"at most {most} " in error.message
    assert error.hint.endswith(f"such as pyramiding: {possible}")
    document["execution"]["pyramiding"] = possible
    link(document, BARS)


@pytest.mark.parametrize(
    ("shared", "own", "path"), [(9, 0, "setup"), (5, 4, "setup_long"), (8, 0, ""), (4, 4, "")]
)
def test_too_many_stages_of_a_setup_are_refused_at_their_place(shared, own, path):
    stage = {"when": "close > open", "within": 3}
    document = long_only(setup=[stage] * shared, setup_long=[stage] * own)
    if not path:
        link(document, BARS)
        return
    with pytest.raises(SpecError) as caught:
        resolve_strategy(document_from(document))
    assert caught.value.path == path
    assert "at most 8 stages" in caught.value.message


def test_a_setup_has_no_more_stages_than_the_core_combines():
    assert STAGES_MAX == columns.MAX_INPUTS
