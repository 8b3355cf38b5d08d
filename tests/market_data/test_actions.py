"""Corporate actions from adjusted closes, against dates known from the companies."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from foundation.errors import DataError
from market_data.actions import adjust_prices, back_factors, derive_actions
from market_data.building import dated_actions
from market_data.columns import BarColumns
from market_data.sample_set import (
    SAMPLE_SYMBOLS,
    derive_sample_actions,
    read_sample,
    read_sample_actions,
)
from market_data.sessions import date_of


def _closes(symbol):
    bars = read_sample()
    rows = bars.filter(pc.equal(bars["symbol"], symbol))
    session = rows["ts"].cast(pa.date32()).cast(pa.int32()).to_numpy().astype(np.int64)
    return session, rows["close"].to_numpy(), rows["adjusted_close"].to_numpy()


def _splits(symbol):
    actions = read_sample_actions(symbol)
    splits = actions[actions["split_ratio"] != 1]
    return {
        str(np.datetime64(int(day), "D")): float(ratio)
        for day, ratio in zip(splits["ex_date"], splits["split_ratio"], strict=True)
    }


@pytest.mark.parametrize("symbol", SAMPLE_SYMBOLS)
def test_closes_adjusted_by_the_derived_table_equal_the_adjusted_closes(symbol):
    session, close, adjusted = _closes(symbol)
    factor, _ = back_factors(session, close, read_sample_actions(symbol), dividends=True)
    ours = close * factor
    # WIKI adjusted up to a later date, so that the levels differ by one factor.
    np.testing.assert_allclose(ours / ours[-1], adjusted / adjusted[-1], rtol=1e-9)


def test_the_committed_table_is_the_one_derived_from_the_bars():
    table = derive_sample_actions()
    for symbol in SAMPLE_SYMBOLS:
        rows = table.filter(pc.equal(table["symbol"], symbol))
        stored = read_sample_actions(symbol)
        assert rows["ex_date"].cast(pa.int32()).to_pylist() == stored["ex_date"].tolist()
        assert rows["split_ratio"].to_pylist() == stored["split_ratio"].tolist()
        assert rows["dividend"].to_pylist() == stored["dividend"].tolist()


def test_splits_fall_on_the_days_the_companies_split():
    assert _splits("AAPL") == {"2000-06-21": 2.0, "2005-02-28": 2.0}
    assert _splits("MSFT") == {"2003-02-18": 2.0}
    assert _splits("GOOG") == {}
    assert _splits("FB") == {}


def test_dividends_are_the_ones_the_companies_declared():
    msft = {
        str(np.datetime64(int(row["ex_date"]), "D")): float(row["dividend"])
        for row in read_sample_actions("MSFT")
    }
    # Microsoft's first dividend, the special one of 3 dollars with the regular 8 cents, the last.
    assert msft["2003-02-19"] == 0.08
    assert msft["2004-11-15"] == 3.08
    assert msft["2013-02-19"] == 0.23
    aapl = read_sample_actions("AAPL")
    assert aapl["dividend"][aapl["dividend"] > 0].tolist() == [2.65, 2.65, 2.65]


def test_split_and_dividend_of_one_day_come_apart():
    # One share at 100 becomes three at 32 with 1.50 paid: (32 * 3 + 1.5) / 100 = 0.975.
    actions = derive_actions(np.array([10, 11]), np.array([100.0, 32.0]), np.array([100.0, 97.5]))
    assert actions.tolist() == [(11, 3.0, 1.5)]


def test_reverse_split_is_found():
    actions = derive_actions(np.array([1, 2]), np.array([1.0, 10.0]), np.array([10.0, 10.0]))
    assert actions["split_ratio"].tolist() == [0.1]
    assert actions["dividend"].tolist() == [0.0]


def test_a_fall_that_no_action_explains_is_refused():
    with pytest.raises(DataError, match="no split or dividend explains"):
        derive_actions(np.array([1, 2]), np.array([10.0, 10.0]), np.array([10.0, 9.9]))


def test_back_adjusted_volume_follows_splits_only():
    session, close = np.array([1, 2, 3]), np.array([100.0, 50.0, 49.0])
    from datetime import date

    actions = dated_actions([(date(1970, 1, 3), 2.0, 0.0), (date(1970, 1, 4), 1.0, 1.0)])
    price, volume = back_factors(session, close, actions, dividends=True)
    # Before the split 1/2; before the dividend also 49 / (49 + 1).
    np.testing.assert_allclose(price, [0.5 * 0.98, 0.98, 1.0], rtol=1e-15)
    assert volume.tolist() == [2.0, 1.0, 1.0]


def test_a_dividend_of_a_splits_day_is_brought_into_the_money_of_the_new_shares():
    """2 for 1 and 1.00 on the third day, for one old share: 0.50 for each of the two new ones."""
    close = np.array([100.0, 100.0, 49.5, 49.5])
    session = 19_724 + np.arange(4)
    bars = BarColumns(session * 86_400 * 10**9, session, np.stack([close] * 4 + [close]))
    two_for_one, day_before = date_of(int(session[2])), date_of(int(session[1]))
    for rows in (
        [(two_for_one, 2.0, 1.0)],
        [(day_before, 1.0, 1.0), (two_for_one, 2.0, 0.0)],
    ):
        actions = dated_actions(rows)
        prices, _, _, left = adjust_prices(bars, actions, "splits")
        assert prices[3].tolist() == [50.0, 50.0, 49.5, 49.5]
        assert left["dividend"].tolist() == [0.5]
        assert left["split_ratio"].tolist() == [1.0]
    # After the split the money is that of the shares already.
    actions = dated_actions(
        [(date_of(int(session[1])), 2.0, 0.0), (date_of(int(session[3])), 1.0, 1.0)]
    )
    assert adjust_prices(bars, actions, "splits")[3]["dividend"].tolist() == [1.0]
