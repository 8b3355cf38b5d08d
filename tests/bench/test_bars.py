"""The benchmarks' bars are possible bars, and the same every time."""

import numpy as np

from bench.bars import minute_bars


def test_high_and_low_enclose_open_and_close():
    opens, highs, lows, closes, volume = minute_bars(20_000)
    assert (highs >= np.maximum(opens, closes)).all()
    assert (lows <= np.minimum(opens, closes)).all()
    assert (lows > 0).all()
    assert (volume >= 1).all()


def test_longer_series_begins_with_the_same_bars():
    np.testing.assert_array_equal(minute_bars(5_000), minute_bars(7_000)[:, :5_000])


def test_another_seed_gives_other_bars():
    assert not np.array_equal(minute_bars(100), minute_bars(100, seed=1))
