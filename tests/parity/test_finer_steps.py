"""Bars that are stepped with their finer bars, against the run over all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from foundation.errors import DataError
from market_data.store import Store
from market_data.timeframes import HOUR_NS
from tests.parity.comparing import assert_steps_equal_the_run
from tests.parity.material import EXAMPLES, documents, made_bars_with_finer, sample_bars
from tests.trading.making import BUY, daily_bars, intraday_bars, link, long_only
from trading.bars import Bars
from trading.document import load_document
from trading.finer import FinerBars, finer_bars
from trading.sleeve import run_sleeve
from trading.stepping import CLOSE_TS, TS, SteppedSleeve

FLAT = (100, 100, 100, 100)


@given(document=documents(), bars=made_bars_with_finer())
@settings(max_examples=25, deadline=None)
def test_any_strategy_stepped_with_finer_bars_gives_the_same_bits(document, bars):
    assert_steps_equal_the_run(document, bars)


@given(document=documents(), bars=made_bars_with_finer())
@settings(max_examples=15, deadline=None)
def test_a_run_with_finer_bars_that_looks_at_every_bar_gives_the_same_bits(document, bars):
    linked = link(document, bars)
    quick = run_sleeve(linked.plan, linked.feed, 100_000.0)
    slow = run_sleeve(linked.plan, linked.feed, 100_000.0, every_bar=True)
    assert quick.state.tobytes() == slow.state.tobytes()
    assert quick.fills.tobytes() == slow.fills.tobytes()
    assert quick.trades.tobytes() == slow.trades.tobytes()


def test_minutes_decide_a_fill_of_the_stepped_opening_range_breakout(sample_store: Store):
    """Without them the same bars end otherwise: the steps are not equal by having none."""
    path = next(path for path in EXAMPLES if path.stem == "opening_range_breakout")
    document = load_document(path)
    bars = sample_bars(sample_store, document)
    alone = replace(bars, finer=None, finer_start=None)
    linked = link(document, bars)
    fills = []
    for with_or_without in (bars, alone):
        sleeve = SteppedSleeve(linked.linker, linked.plan, 100_000.0)
        fills.append(b"".join(fills_of(sleeve, with_or_without)))
    assert fills[0] != fills[1]


def fills_of(sleeve: SteppedSleeve, bars: Bars) -> Iterator[bytes]:
    """Step through bars, yielding each one's rows of fills."""
    for _ in sleeve.step_bars(bars):
        yield sleeve.journal["fills"][0, : sleeve.journal["n_fills"][0]].tobytes()


def test_range_of_a_trade_is_of_the_finer_bars_on_idle_bars_too():
    """The day says 80 to 120, its hours 99 to 102: nothing trades there, but it is noted."""
    days = [(*FLAT, BUY), FLAT, (100, 120, 80, 100), FLAT]
    hours = [[FLAT], [FLAT], [(100, 102, 100, 100), (100, 100, 99, 100)], [FLAT]]
    bars = daily_bars(days, finer=intraday_bars(hours, "1h", session_bars=0))
    whole = assert_steps_equal_the_run(long_only(intrabar="1h"), bars)
    assert (whole.header["trade_low"], whole.header["trade_high"]) == (99, 102)


def test_finer_bars_of_one_bar_are_not_those_of_the_next():
    """A bar that comes without any runs on its own two paths, as its like in the run does."""
    hours = [[FLAT], [FLAT], [None], [FLAT, (100, 107, 94, 100)]]
    rows = [(*FLAT, BUY), FLAT, (100, 107, 96, 100), (100, 107, 94, 100)]
    bars = daily_bars(rows, finer=intraday_bars(hours, "1h", session_bars=0))
    exits = {"stop_loss": 5, "profit_target": 8}
    assert_steps_equal_the_run(long_only(exit=exits, intrabar="1h"), bars)


def a_sleeve_before_its_second_bar() -> tuple[SteppedSleeve, FinerBars]:
    """Return a sleeve that is to take a bar from 9:30 to 16:00 with two hours, and the hours."""
    rows = [(100, 101, 99, 100), (100, 103, 98, 101)]
    hours = [[FLAT], [(100, 103, 99, 102), (102, 102, 98, 101)]]
    finer = intraday_bars(hours, "1h", session_bars=0)
    bars = daily_bars(rows, finer=finer)
    linked = link(long_only(intrabar="1h"), replace(bars, finer=None, finer_start=None))
    sleeve = SteppedSleeve(linked.linker, linked.plan, 1000.0)
    next(sleeve.step_bars(replace(bars, finer=None, finer_start=None)))
    sleeve.integers[TS], sleeve.integers[CLOSE_TS] = bars.ts[1], bars.close_ts[1]
    given_hours = finer_bars(bars, 1)
    assert given_hours is not None
    return sleeve, given_hours


def with_price(finer: FinerBars, row: int, i: int, price: float) -> FinerBars:
    prices = finer.prices.copy()
    prices[row, i] = price
    return replace(finer, prices=prices)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda finer: replace(finer, ts=finer.ts - 24 * HOUR_NS),
            r"must open within their bar, from 2024-01-02T14:30:00Z to before "
            r"2024-01-02T21:00:00Z, but finer bar 0 opens at 2024-01-01T14:30:00Z",
        ),
        (
            lambda finer: replace(finer, ts=finer.ts + np.array([0, 6 * HOUR_NS])),
            "but finer bar 1 opens at 2024-01-02T21:30:00Z",
        ),
        (
            lambda finer: replace(finer, ts=finer.ts + np.array([0, 5 * HOUR_NS + HOUR_NS // 2])),
            "but finer bar 1 opens at 2024-01-02T21:00:00Z",
        ),
        (
            lambda finer: replace(finer, ts=finer.ts[::-1].copy()),
            "must be in time order without duplicates, but finer bar 1 .2024-01-02T14:30:00Z.",
        ),
        (
            lambda finer: replace(finer, ts=finer.ts[[0, 0]]),
            "must be in time order without duplicates, but finer bar 1",
        ),
        (lambda finer: with_price(finer, 1, 0, np.nan), "finer bar 0 .* has open 100, high nan"),
        (lambda finer: with_price(finer, 2, 1, 0.0), "finer bar 1 .* low 0"),
        (lambda finer: with_price(finer, 1, 1, 101.5), "finer bar 1 .* high 101.5"),
        (lambda finer: with_price(finer, 4, 0, np.nan), "finer bar 0 .* volume nan"),
        (lambda finer: with_price(finer, 0, 1, np.nan), "finer bar 1 .* open nan"),
        (lambda finer: with_price(finer, 2, 0, np.nan), "finer bar 0 .* low nan"),
        (lambda finer: with_price(finer, 3, 0, np.nan), "finer bar 0 .* close nan"),
        (lambda finer: with_price(finer, 1, 0, np.inf), "finer bar 0 .* high inf"),
        (
            lambda finer: replace(finer, prices=finer.prices[:, :1]),
            r"2 finer bars must have prices of shape \(5, 2\), got \(5, 1\)",
        ),
    ],
)
def test_finer_bars_that_are_not_of_the_bar_are_refused_and_the_bar_is_not_taken(change, message):
    sleeve, hours = a_sleeve_before_its_second_bar()
    before = sleeve.state_bytes
    with pytest.raises(DataError, match=message) as refused:
        sleeve.take(change(hours))
    assert "\n" not in str(refused.value)
    assert sleeve.state_bytes == before
    sleeve.take(hours)
    assert sleeve.header["i_bar"] == 2


def test_finer_bars_without_quotes_are_refused_where_the_bars_have_them():
    quotes = [FLAT]
    bars = daily_bars([FLAT], bid=quotes, ask=quotes)
    linked = link(long_only(), bars)
    sleeve = SteppedSleeve(linked.linker, linked.plan, 1000.0)
    hour = FinerBars(bars.ts, bars.prices)
    sleeve.integers[TS], sleeve.integers[CLOSE_TS] = bars.ts[0], bars.close_ts[0]
    with pytest.raises(DataError, match="must carry bid and ask"):
        sleeve.take(hour)


@pytest.mark.parametrize("side", ["bid", "ask"])
def test_finer_quotes_are_checked_as_prices_are(side):
    sheet = np.array([[100.0], [101.0], [99.0], [100.0]])
    bars = daily_bars([(100, 101, 99, 100)], bid=sheet.T, ask=sheet.T)
    linked = link(long_only(), bars)
    sleeve = SteppedSleeve(linked.linker, linked.plan, 1000.0)
    sleeve.integers[TS], sleeve.integers[CLOSE_TS] = bars.ts[0], bars.close_ts[0]
    hour = FinerBars(bars.ts, bars.prices, sheet, sheet)
    wrong = sheet.copy()
    wrong[1] = 99.5
    with pytest.raises(DataError, match=r"finer bar 0 .* high 99.5, low 99, close 100$"):
        sleeve.take(replace(hour, **{side: wrong}))
    sleeve.take(hour)


def test_the_run_refuses_finer_bars_that_the_step_refuses():
    hours = intraday_bars([[FLAT], [FLAT]], "1h", session_bars=0)
    hours.prices[1, 1] = np.nan
    bars = daily_bars([FLAT, FLAT], finer=hours)
    with pytest.raises(DataError, match=r"TEST: finer bar 1 .* high nan"):
        link(long_only(intrabar="1h"), bars)
