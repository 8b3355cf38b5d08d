"""The long tail through the linker, as a strategy meets it."""

from __future__ import annotations

import numpy as np
import talib

from tests.trading.making import link, long_only, random_bars
from trading.bars import CLOSE, VOLUME


def columns_of(linked):
    """Return the rows of the first long-tail indicator in the feed."""
    external = linked.linker.base.externals[0]
    first = external.output
    return linked.feed.matrix[first : first + len(external.spec.outputs)]


def test_a_tail_indicator_reaches_the_feed_after_its_window():
    bars = random_bars(1, 200)
    linked = link(long_only(enter_long="close > kama(close, 5, window=60)"), bars)
    kama = columns_of(linked)[0]
    assert np.isnan(kama[:59]).all()
    close = bars.prices[CLOSE]
    for i in (59, 120, 199):
        assert kama[i] == talib.KAMA(close[i - 59 : i + 1].copy(), 5)[-1]


def test_two_series_reach_the_long_tail_in_their_order():
    bars = random_bars(2, 150, volume=1000.0)
    linked = link(long_only(enter_long="beta(close, volume, 5) > 0.5"), bars)
    beta = columns_of(linked)[0]
    window = slice(150 - 125, 150)  # 5 * 5 + 100 bars.
    close, volume = (bars.prices[row][window].copy() for row in (CLOSE, VOLUME))
    assert beta[-1] == talib.BETA(close, volume, 5)[-1]
    assert beta[-1] != talib.BETA(volume, close, 5)[-1]
