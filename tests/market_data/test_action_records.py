"""Corporate actions with their kinds and days of announcement, and series adjusted as of a day."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.errors import DataError
from market_data.action_checks import check_actions, compare_actions, likely_splits
from market_data.action_records import (
    ACTION_RECORD,
    KINDS,
    NOT_STATED,
    action_records,
    kind_of,
    known_actions,
)
from market_data.actions import adjusted_as_of, back_factors
from market_data.actions_file import import_actions
from market_data.building import dated_actions
from market_data.catalogue import open_catalogue
from market_data.columns import BarColumns
from market_data.sessions import days_of
from market_data.store import Store

FIRST = date(2024, 1, 1)


def on(n_days: int) -> date:
    """Return the day so many days after the first."""
    return FIRST + timedelta(n_days)


def daily(closes: list[float], volume: float | list[float] = 1000.0) -> BarColumns:
    """Return one bar for each calendar day from the first on, without any range."""
    close = np.array(closes, np.float64)
    session = days_of(FIRST) + np.arange(close.shape[0])
    prices = np.stack([close, close, close, close, np.broadcast_to(volume, close.shape)])
    return BarColumns(session * 86_400_000_000_000, session, prices)


def write(folder: Path, text: str) -> Path:
    path = folder / "actions.csv"
    path.write_text(text)
    return path


# Records in files and in the store.


def test_kinds_and_announcements_of_a_file_are_kept_with_the_actions(tmp_path: Path):
    store = Store(tmp_path / "home")
    text = (
        "ex_date,kind,split_ratio,dividend,announced\n"
        "2024-01-04,reverse split,0.05,,2023-12-01\n"
        "2024-01-08,dividend,,0.25,\n"
        "2024-01-08,special,,3,2024-01-02\n"
        "2024-01-09,spin-off,,1.5,\n"
        "2024-01-10,stock dividend,1.05,,\n"
    )
    assert import_actions(store, write(tmp_path, text), symbol="X") == 5
    records = store.read_action_records("X")
    assert [KINDS[kind] for kind in records["kind"]] == [
        "split",
        "dividend",
        "special_dividend",
        "spin_off",
        "stock_dividend",
    ]
    assert records["announced"].tolist() == [
        days_of(date(2023, 12, 1)),
        NOT_STATED,
        days_of(date(2024, 1, 2)),
        NOT_STATED,
        NOT_STATED,
    ]
    # To the engine the two payments of one day are one.
    assert store.read_actions("X").tolist() == [
        (days_of(date(2024, 1, 4)), 0.05, 0.0),
        (days_of(date(2024, 1, 8)), 1.0, 3.25),
        (days_of(date(2024, 1, 9)), 1.0, 1.5),
        (days_of(date(2024, 1, 10)), 1.05, 0.0),
    ]


def test_plain_actions_are_stored_as_they_were_before(tmp_path: Path):
    store = Store(tmp_path)
    store.write_actions("X", dated_actions([(on(3), 2.0, 0.0)]), "a file")
    table = pq.read_table(tmp_path / "actions" / "X.parquet")
    assert table.column_names == ["ex_date", "split_ratio", "dividend", "source"]
    assert store.read_action_records("X")["announced"].tolist() == [NOT_STATED]


def test_the_catalogue_shows_actions_with_and_without_kinds_together(tmp_path: Path):
    store = Store(tmp_path)
    store.write_actions("X", dated_actions([(on(3), 2.0, 0.0)]), "a file")
    special = action_records([(on(4), 1.0, 3.0, on(1), kind_of("special"))])
    store.write_actions("Y", special, "another file")
    rows = open_catalogue(store).sql("SELECT symbol, dividend, kind FROM actions ORDER BY symbol")
    assert rows.fetchall() == [("X", 0.0, None), ("Y", 3.0, "special_dividend")]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("2024-01-04,rights issue,1.1,", "line 2: rights_issue is not taken as an action: what a"),
        ("2024-01-04,symbol change,,", "line 2: symbol_change is not taken.*belongs in the list"),
        ("2024-01-04,delisting,,5", "line 2: delisting is not taken.*data listings FILE"),
        ("2024-01-04,bonanza,,5", "line 2: kind 'bonanza' is unknown; there are split, stock_"),
        ("2024-01-04,split,,5", "a split must have a split_ratio other than 1 and no dividend"),
        ("2024-01-04,special,2,5", "a special_dividend must have a dividend above 0 and no split"),
        ("2024-01-04,special,,", "a special_dividend must have a dividend above 0"),
        (
            "2024-01-04,special,,5\n2024-01-04,special,,6",
            "line 3 has the ex-date of line 2 and its kind, special_dividend",
        ),
    ],
)
def test_an_action_whose_kind_does_not_fit_is_refused_by_its_line(tmp_path, row, message):
    text = f"ex_date,kind,split_ratio,dividend\n{row}\n"
    with pytest.raises(DataError, match=message):
        import_actions(Store(tmp_path), write(tmp_path, text), symbol="X")


def test_an_announcement_that_is_no_date_is_refused(tmp_path: Path):
    text = "ex_date,dividend,announced\n2024-01-04,1,soon\n"
    with pytest.raises(DataError, match="line 2: announced 'soon' is no date"):
        import_actions(Store(tmp_path), write(tmp_path, text), symbol="X")


# As of a day.


def test_an_action_counts_from_its_ex_date_and_only_once_it_is_announced():
    records = action_records(
        [
            (on(3), 2.0, 0.0, on(1), kind_of("split")),
            (on(5), 1.0, 4.0, on(6), kind_of("special_dividend")),
        ]
    )
    assert known_actions(records, on(2)).shape == (0,)
    assert known_actions(records, on(3))["split_ratio"].tolist() == [2.0]
    assert known_actions(records, on(5))["ex_date"].tolist() == [days_of(on(3))]
    assert known_actions(records, on(6))["dividend"].tolist() == [0.0, 4.0]


def test_series_as_of_three_days_by_hand():
    """Closes 100, 100, 50, 49: 2 for 1 on the third day, 1.00 paid on the fourth.

    As of the second day nothing has happened. As of the third the first two are
    halved. As of the fourth a close of 49 and 1.00 paid are 50, and earlier
    prices are multiplied by 49 / 50.
    """
    columns = daily([100, 100, 50, 49])
    actions = dated_actions([(on(2), 2.0, 0.0), (on(3), 1.0, 1.0)])
    assert adjusted_as_of(columns, actions, on(1)).prices[3].tolist() == [100, 100]
    third = adjusted_as_of(columns, actions, on(2))
    assert third.prices[3].tolist() == [50, 50, 50]
    assert third.prices[4].tolist() == [2000, 2000, 1000]
    fourth = adjusted_as_of(columns, actions, on(3)).prices[3]
    np.testing.assert_allclose(fourth, [49, 49, 49, 49], rtol=1e-15)
    splits = adjusted_as_of(columns, actions, on(3), "splits").prices[3]
    assert splits.tolist() == [50, 50, 50, 49]


@st.composite
def histories(draw) -> tuple[BarColumns, np.ndarray]:
    """Make bars and actions of which some are announced late, and two may share a day."""
    n_bars = draw(st.integers(2, 40))
    closes = draw(st.lists(st.floats(5.0, 500.0), min_size=n_bars, max_size=n_bars))
    rows = []
    for kind, day in draw(
        st.lists(
            st.tuples(st.integers(1, len(KINDS) - 1), st.integers(0, 45)),
            max_size=6,
            unique=True,
        )
    ):
        late = draw(st.one_of(st.none(), st.integers(-30, 10)))
        ratio = draw(st.sampled_from([2.0, 1.5, 0.05, 1.05])) if kind in (1, 2) else 1.0
        cash = 0.0 if kind in (1, 2) else draw(st.floats(0.01, 4.0))
        rows.append((on(day), ratio, cash, None if late is None else on(day + late), kind))
    return daily(closes), action_records(rows)


@given(history=histories(), day=st.integers(0, 39), adjust=st.sampled_from(["splits", "all"]))
@settings(max_examples=200, deadline=None)
def test_later_bars_and_actions_never_change_the_series_as_of_a_day(history, day, adjust):
    columns, records = history
    t = days_of(on(day))
    whole = adjusted_as_of(columns, records, on(day), adjust)
    seen = (records["ex_date"] <= t) & (records["announced"] <= t)
    cut = adjusted_as_of(columns.select(columns.session <= t), records[seen], on(day), adjust)
    assert whole.equals(cut)


@given(history=histories())
@settings(max_examples=200, deadline=None)
def test_as_of_the_last_day_a_series_is_the_one_by_back_factors(history):
    columns, records = history
    last = on(columns.n_bars - 1)
    known = known_actions(records, last)
    factor, volume = back_factors(columns.session, columns.prices[3], known, dividends=True)
    got = adjusted_as_of(columns, records, last)
    np.testing.assert_array_equal(got.prices[3], columns.prices[3] * factor)
    np.testing.assert_array_equal(got.prices[4], columns.prices[4] * volume)


@given(history=histories(), day=st.integers(0, 39))
@settings(max_examples=200, deadline=None)
def test_returns_of_a_series_as_of_a_day_are_total_returns(history, day):
    """CRSP: (close x split ratio + dividend) / close before; the last price is raw."""
    columns, records = history
    got = adjusted_as_of(columns, records, on(day))
    close = columns.prices[3, : got.n_bars]
    total = np.ones(got.n_bars - 1)
    for action in known_actions(records, on(day)):
        i = int(action["ex_date"]) - int(columns.session[0])
        if 1 <= i < got.n_bars:
            total[i - 1] = action["split_ratio"] + action["dividend"] / close[i]
    np.testing.assert_allclose(
        got.prices[3, 1:] / got.prices[3, :-1], total * close[1:] / close[:-1], rtol=1e-12
    )
    if day < columns.n_bars:
        assert got.prices[3, -1] == columns.prices[3, day]


# Checks.


def walk(n_days: int, seed: int = 3) -> np.ndarray:
    """Return closes of a stock that moves by a hundredth a day."""
    return 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, n_days)))


def with_split(ratio: float) -> BarColumns:
    """Return bars of which the second half is after a split that nobody states."""
    close = walk(80)
    close[40:] /= ratio
    volume = np.full(80, 1e6)
    volume[40:] *= ratio
    return daily(close.tolist(), volume.tolist())


@pytest.mark.parametrize("ratio", [2.0, 3.0, 1.5, 7.0, 0.05])
def test_prices_that_show_a_split_without_its_action_are_a_finding(ratio):
    columns = with_split(ratio)
    (found,) = check_actions(columns, dated_actions([]))
    assert found.name == "split_without_action"
    assert str(on(40)) in found.message
    assert [split.ratio for split in likely_splits(columns, dated_actions([]))] == [ratio]
    assert check_actions(columns, dated_actions([(on(40), ratio, 0.0)])) == []


def test_a_split_that_the_prices_do_not_show_is_a_finding():
    columns = daily(walk(80).tolist())
    (found,) = check_actions(columns, dated_actions([(on(40), 2.0, 0.0)]))
    assert (found.name, found.count) == ("prices_adjusted", 1)
    assert "none of 1 splits, first that of 2024-02-10: they are adjusted" in found.message


def test_one_split_of_two_that_the_prices_do_not_show_is_named():
    columns = with_split(2.0)
    actions = dated_actions([(on(20), 3.0, 0.0), (on(40), 2.0, 0.0)])
    (found,) = check_actions(columns, actions)
    assert (found.name, found.count) == ("split_not_in_prices", 1)
    assert "the prices show 1 of 2 splits; not that of 2024-01-21" in found.message


def test_a_fall_by_half_on_bad_news_is_no_split():
    """As Apple on 2000-09-29: the price × 0.53, many times the usual volume on the day."""
    close = walk(80)
    close[40:] *= 0.5
    volume = np.full(80, 1e6)
    volume[40:] *= 2.5
    volume[40] = 16e6
    assert check_actions(daily(close.tolist(), volume.tolist()), dated_actions([])) == []


def test_wild_prices_are_not_taken_for_splits():
    close = 100 * np.exp(np.cumsum(np.random.default_rng(5).normal(0, 0.4, 300)))
    assert check_actions(daily(close.tolist()), dated_actions([])) == []


def test_two_sources_are_compared_action_by_action():
    first = dated_actions(
        [
            (on(1), 1.0, 0.10),
            (on(10), 2.0, 0.0),
            (on(20), 1.0, 0.30),
            (on(30), 1.0, 0.40),
            (on(40), 1.0, 0.50),
            (on(50), 1.0, 0.55),
        ]
    )
    second = dated_actions(
        [
            (on(1), 1.0, 0.104),  # Rounded otherwise.
            (on(10), 3.0, 0.0),
            (on(20), 1.0, 0.20),
            (on(33), 1.0, 0.40),
            (on(45), 1.0, 0.75),
            (on(50), 1.0, 0.55),
        ]
    )
    found = compare_actions(first, second)
    assert [(one.name, one.day - days_of(FIRST)) for one in found] == [
        ("split_differs", 10),
        ("dividend_differs", 20),
        ("ex_date_differs", 30),
        ("only_in_first", 40),
        ("only_in_second", 45),
    ]
    assert found[0].message == "split of 2024-01-11: 2 or 3"
    assert (
        found[2].message
        == "the dividend of 0.4 on 2024-01-31 is on 2024-02-03 in the second source"
    )
    assert compare_actions(first, first) == []


def test_only_the_time_that_both_sources_cover_is_compared():
    long = dated_actions([(on(k), 1.0, 0.1) for k in (0, 10, 20, 30)])
    assert compare_actions(long, long[1:3]) == []
    assert len(compare_actions(long, long[1:3], since=0, until=days_of(on(99)))) == 2


def test_records_of_no_action_are_no_actions():
    assert known_actions(np.zeros(0, ACTION_RECORD)).shape == (0,)
