"""The look-ahead check passes what is honest, and finds what peeks, with its name and its bar."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

import market_data.loading
import research.backtest
import research.look_ahead
import trading.feeding
import trading.indicators.tail
from market_data.building import DATED_ACTION
from market_data.columns import BarColumns
from market_data.listings import Delisting, Listings, Security, Ticker, write_listings
from market_data.sample_set import load_sample
from market_data.store import Store
from research.backtest import BacktestRequest
from research.hidden_future import StoreUntil, cut, with_noise
from research.look_ahead import Variant, check_look_ahead, choose_cuts, cuts_affordable
from research.tracks import Stage
from tests.research.test_delisted_backtest import hold, put
from tests.trading.making import intraday_bars, random_bars
from trading import dtypes
from trading.document import load_document
from trading.expressions.strategy import resolve_strategy

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
AVERAGES = """
name: averages
timeframe: 1d
instruments: [AAPL]
indicators:
  fast: sma(close, 5)
  slow: ema(close, 20)
  week: ema(close, 3) @ 1w
enter_long: fast > slow and close > week
exit_long: fast < slow
execution:
  size: {equity_fraction: 0.9}
  exit: {trailing_stop: 3 * atr(14)}
"""


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("look-ahead") / "home")
    load_sample(store)
    return store


def check(document: str, store: Store, **options):
    request = BacktestRequest(load_document(document), symbols=options.pop("symbols", ()))
    return check_look_ahead(request, store, **options)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_passes_on_the_sample_bars(path, sample):
    report = check_look_ahead(BacktestRequest(load_document(path)), sample, n_cuts=16)
    assert report.differences == ()
    assert report.passed
    assert report.n_cuts == 16 * len(report.instruments)
    assert report.n_reloads > 0
    # Each cut twice, and the full run of each instrument.
    assert report.n_runs == 2 * report.n_cuts + len(report.instruments)


def test_same_check_gives_the_same_report(sample):
    assert check(AVERAGES, sample, n_cuts=8) == check(AVERAGES, sample, n_cuts=8)


# Planted look-aheads.


def test_an_indicator_of_the_long_tail_that_peeks_one_bar_is_named(sample, monkeypatch):
    honest = trading.indicators.tail.compute_tail

    def peeking(spec, params, window):
        def later(column):
            matrix = column.base
            start = (
                column.__array_interface__["data"][0] - matrix.__array_interface__["data"][0]
            ) // 8
            row, at = divmod(start, matrix.shape[1])
            end = min(at + len(column) + 1, matrix.shape[1])
            return matrix[row, end - len(column) : end]

        return honest(spec, params, {name: later(column) for name, column in window.items()})

    document = AVERAGES.replace("sma(close, 5)", "linearreg(close, 5)")
    assert check(document, sample, n_cuts=6).passed
    monkeypatch.setattr(trading.indicators.tail, "compute_tail", peeking)
    report = check(document, sample, n_cuts=6)
    assert not report.passed
    assert report.differences[0].what == "indicator fast"
    assert report.differences[0].stage is Stage.INDICATOR
    # The bar is the last that the cut left, because it alone has no next one.
    assert report.differences[0].bar == report.differences[0].last_true_bar
    assert {one.what for one in report.differences} >= {"term enter_long[0]: fast > slow"}


def test_a_higher_timeframe_seen_one_bar_early_is_named(sample, monkeypatch):
    honest = trading.feeding.c.read_rows_nb

    def early(source, source_flags, index, reads, matrix, flags):
        index = np.minimum(index + 1, source.shape[1] - 1)
        honest(source, source_flags, index, reads, matrix, flags)

    monkeypatch.setattr(trading.feeding.c, "read_rows_nb", early)
    report = check(AVERAGES, sample, n_cuts=12)
    assert not report.passed
    assert report.differences[0].what == "indicator week"


def test_a_higher_bar_that_is_seen_while_it_is_open_is_named(sample, monkeypatch):
    # As of Monday the week's bar counts as complete, with the prices of its Friday.
    honest = trading.feeding.c.aggregate_nb

    def early(state, codes, source, bars, index):
        n = honest(state, codes, source, bars, index)
        week = np.unique(codes >> 2, return_inverse=True)[1]
        index[:] = np.minimum(week, n - 1)
        return n

    monkeypatch.setattr(trading.feeding.c, "aggregate_nb", early)
    report = check(AVERAGES, sample, n_cuts=12)
    assert report.differences[0].what == "indicator week"


def test_corporate_actions_applied_one_bar_early_by_the_loader_are_found(sample, monkeypatch):
    import market_data.building

    honest = market_data.building.place_actions

    def early(session, actions):
        placed = honest(session, actions)
        placed["i_bar"] -= 1
        return placed

    monkeypatch.setattr(market_data.building, "place_actions", early)
    report = check(AVERAGES, sample, n_cuts=4)
    assert not report.passed
    first = report.differences[0]
    assert (first.variant, first.stage) == (Variant.RELOADED, Stage.BARS)
    assert first.what in ("corporate action split_ratio", "corporate action dividend")
    assert first.bar == first.last_true_bar


def test_adjustment_factors_applied_one_bar_early_by_the_core_are_found(sample, monkeypatch):
    honest = trading.feeding.price_factors

    def early(bars):
        return tuple(np.append(factor[1:], factor[-1]) for factor in honest(bars))

    monkeypatch.setattr(trading.feeding, "price_factors", early)
    report = check(AVERAGES, sample, n_cuts=16)
    assert not report.passed
    assert report.differences[0].what.startswith("indicator ")


def test_adjusted_prices_in_the_place_of_raw_ones_are_found(sample, monkeypatch):
    honest = research.backtest.load_bars

    def adjusted(*arguments, **options):
        return honest(*arguments, **(options | {"adjust": "all"}))

    monkeypatch.setattr(research.backtest, "load_bars", adjusted)
    report = check(AVERAGES, sample, n_cuts=4)
    assert not report.passed
    first = report.differences[0]
    assert (first.variant, first.what, first.i_bar) == (Variant.RELOADED, "stored open", 0)


def store_of_adjusted_prices(sample: Store, folder: Path) -> Store:
    """Store AAPL's bars divided by the splits to come, as many vendors deliver them."""
    store = Store(folder)
    columns, series = sample.read_columns("AAPL", "1d")
    actions = sample.read_actions("AAPL")
    prices = columns.prices.copy()
    for action in actions[actions["split_ratio"] != 1.0]:
        before = columns.session < action["ex_date"]
        prices[:4, before] /= action["split_ratio"]
        prices[4, before] *= action["split_ratio"]
    store.write_instrument(replace(sample.find_instrument("AAPL"), tick=0.0))
    store.write_actions("AAPL", actions[actions["split_ratio"] != 1.0].astype(DATED_ACTION), "test")
    store.write_bars(
        "AAPL", "1d", BarColumns(columns.ts, columns.session, prices),
        calendar=series.calendar, source="adjusted",
    )  # fmt: skip
    return store


def test_stored_adjusted_prices_fail_a_strategy_that_asks_for_their_level(sample, tmp_path):
    store = store_of_adjusted_prices(sample, tmp_path / "home")
    assert check(AVERAGES, store, n_cuts=4).passed
    level = AVERAGES.replace("close > week", "close > 20")
    report = check(level, store, n_cuts=4)
    assert not report.passed
    first = report.differences[0]
    assert (first.variant, first.what) == (Variant.UNITS, "term enter_long[1]: close > 20")
    assert "adjusted by later splits" in report.notes[0]
    # On raw prices the same condition is honest: the level is what was paid.
    assert check(level, sample, n_cuts=4).passed


def test_a_loader_that_counts_the_splits_still_to_come_is_found(sample, monkeypatch):
    honest = market_data.loading.known_actions

    def rescaled(records, as_of):
        known = honest(records, as_of)
        known["dividend"] /= len(known)
        return known

    assert check(AVERAGES, sample, n_cuts=2).passed
    monkeypatch.setattr(market_data.loading, "known_actions", rescaled)
    report = check(AVERAGES, sample, n_cuts=2)
    assert {one.variant for one in report.differences} == {Variant.RELOADED}
    assert report.differences[0].what == "corporate action dividend"


def test_a_delisting_still_to_come_is_no_look_ahead(tmp_path):
    # A store that ends on the days before the delisting doesn't know of it.
    store = Store(tmp_path / "home")
    end = Delisting(date(2024, 3, 1), "acquired", 12.5)
    put(store, "GONE", "2024-01-02", [10.0 + k % 3 for k in range(42)])
    write_listings(store, Listings((Security("GONE", (Ticker("GONE", None, end.date),), end),)))
    report = check_look_ahead(BacktestRequest(hold("GONE")), store, n_cuts=8)
    assert report.n_reloads >= 8
    assert report.passed, report.differences


def test_a_loader_that_uses_the_bars_after_the_session_is_found(sample, monkeypatch):
    honest = market_data.loading.build_bars

    def centred(instrument, frame, ts, prices, **options):
        smooth = prices.copy()
        smooth[4, :-1] = (prices[4, :-1] + prices[4, 1:]) / 2
        return honest(instrument, frame, ts, smooth, **options)

    monkeypatch.setattr(market_data.loading, "build_bars", centred)
    report = check(AVERAGES, sample, n_cuts=4)
    assert report.differences[0].what == "stored volume"


def standardised(row: np.ndarray) -> np.ndarray:
    """Normalise by the mean and deviation of all history, later bars included."""
    return (row - np.nanmean(row)) / np.nanstd(row)


def ranked(row: np.ndarray) -> np.ndarray:
    """Scale between the lowest and highest of all history."""
    return (row - np.nanmin(row)) / (np.nanmax(row) - np.nanmin(row))


def seeded_by_the_last(row: np.ndarray) -> np.ndarray:
    """Start a decaying memory from the last bar instead of the first: gone after some bars."""
    return row + 1e-6 * row[-1] * 0.5 ** np.arange(len(row))


def centred(row: np.ndarray) -> np.ndarray:
    """Average a bar with the one before and the one after."""
    return np.convolve(np.pad(row, 1, "edge"), np.ones(3) / 3, "valid")


FIRST_OF_FAST, LAST = 4, -1


@pytest.mark.parametrize(
    ("cheat", "i_bar"),
    [
        (standardised, FIRST_OF_FAST),
        (ranked, FIRST_OF_FAST),
        (seeded_by_the_last, FIRST_OF_FAST),
        (centred, LAST),
    ],
)
def test_each_way_of_peeking_is_named_with_its_column_and_bar(sample, monkeypatch, cheat, i_bar):
    link, honest = research.backtest.link_strategy, research.backtest.build_feed
    rows: dict[str, int] = {}

    def linking(*arguments, **options):
        linked = link(*arguments, **options)
        rows.update({one.name: one.row for one in linked.indicators})
        return linked

    def peeking(linker, bars, **options):
        feed = honest(linker, bars, **options)
        feed.matrix[rows["fast"]] = cheat(feed.matrix[rows["fast"]])
        return feed

    monkeypatch.setattr(research.backtest, "link_strategy", linking)
    monkeypatch.setattr(research.backtest, "build_feed", peeking)
    report = check(AVERAGES, sample, n_cuts=6)
    assert not report.passed
    first = report.differences[0]
    assert (first.what, first.stage) == ("indicator fast", Stage.INDICATOR)
    assert not {one.what for one in report.differences} & {"indicator slow", "indicator week"}
    if i_bar == LAST:
        # A centred mean is another only where its next bar is hidden.
        assert first.bar == first.last_true_bar
    else:
        assert first.i_bar == i_bar
    assert f"AAPL: indicator fast at {first.bar} is " in first.sentence()


def test_an_order_that_is_matched_with_the_next_bar_shows_in_orders_and_account(
    sample, monkeypatch
):
    honest = research.backtest.build_feed

    def knowing(linker, bars, **options):
        feed = honest(linker, bars, **options)
        # Indicators are computed; only what orders are matched with knows the next low.
        feed.matrix[2, :-1] = np.minimum(feed.matrix[2, :-1], feed.matrix[2, 1:])
        feed.scan_low[:-1] = np.minimum(feed.scan_low[:-1], feed.scan_low[1:])
        return feed

    monkeypatch.setattr(research.backtest, "build_feed", knowing)
    report = check(AVERAGES, sample, n_cuts=48)
    assert not report.passed
    stages = {one.stage for one in report.differences}
    assert stages & {Stage.ORDER, Stage.ACCOUNT}
    assert Stage.INDICATOR not in stages


def test_a_fill_that_knows_the_future_is_named_though_the_account_does_not_show_it(
    sample, monkeypatch
):
    honest = research.look_ahead.run_instrument

    def knowing(strategy, bound, loaded, cash):
        result = honest(strategy, bound, loaded, cash)
        result.run.fills["slippage"] += loaded.bars.n_bars
        return result

    monkeypatch.setattr(research.look_ahead, "run_instrument", knowing)
    report = check(AVERAGES, sample, n_cuts=6)
    assert {(one.stage, one.what) for one in report.differences} == {(Stage.ORDER, "fill slippage")}


@pytest.mark.parametrize(
    ("part", "field", "what", "stage"),
    [
        ("header", "previous_session_equity", "account previous_session_equity", Stage.ACCOUNT),
        ("orders", "stop_price", "working order 0 stop_price", Stage.ORDER),
    ],
)
def test_a_state_that_knows_the_future_is_named_before_anything_comes_of_it(
    sample, monkeypatch, part, field, what, stage
):
    honest = research.look_ahead.states_at

    def knowing(result, stops, cash, *, favourable):
        states = honest(result, stops, cash, favourable=favourable)
        for state in states:
            place = state[part][0] if part == "header" else state[part][0, 0]
            place[field] += result.feed.matrix.shape[1]
            if part == "orders":
                place["state"] = dtypes.WORKING
        return states

    monkeypatch.setattr(research.look_ahead, "states_at", knowing)
    report = check(AVERAGES, sample, n_cuts=6)
    assert (stage, what) in {(one.stage, one.what) for one in report.differences}
    assert {one.stage for one in report.differences} == {stage}


def test_a_look_ahead_that_only_other_prices_show_is_found_by_the_noise(sample, monkeypatch):
    # With fewer than 100 bars after it the peek gives up, so that cutting shows nothing.
    honest = trading.feeding.build_feed

    def peeking(linker, bars, **options):
        feed = honest(linker, bars, **options)
        for row in range(5, feed.matrix.shape[0]):
            if bars.n_bars > 100:
                feed.matrix[row, :-100] += feed.matrix[3, 100:] > 2.5 * feed.matrix[3, :-100]
        return feed

    monkeypatch.setattr(research.backtest, "build_feed", peeking)
    report = check(AVERAGES, sample, n_cuts=16)
    assert not report.passed
    assert Variant.NOISE in {one.variant for one in report.differences}


def test_a_look_ahead_at_the_next_bars_time_is_found_by_cutting(sample, monkeypatch):
    # Noise leaves the times as they are, so that only a cut hides the next one.
    honest = research.backtest.build_feed

    def peeking(linker, bars, **options):
        feed = honest(linker, bars, **options)
        feed.matrix[5:, :-1] += np.diff(bars.ts) > 2 * 24 * 3_600 * 10**9
        return feed

    monkeypatch.setattr(research.backtest, "build_feed", peeking)
    report = check(AVERAGES, sample, n_cuts=16)
    assert {one.variant for one in report.differences} == {Variant.CUT}


# Where the cuts are, and what they cost.


def test_cuts_are_at_the_bars_where_an_index_may_be_one_off(sample):
    bars = random_bars(3, 300, periods=["1w"])
    actions = np.zeros(300, np.int8)
    actions[[50, 90]] = 1
    cuts = choose_cuts(bars, 20, actions, 24, 0)
    assert len(cuts) == 24
    assert min(cuts) == 21
    assert max(cuts) == 299
    kinds = {name for names in cuts.values() for name in names}
    assert kinds == {"first bars", "last bars", "decisions", "1w ends", "random bars"}
    for n_bars, names in cuts.items():
        if "1w ends" in names:
            code = bars.periods["1w"]
            assert code[n_bars - 1] & 2 or code[n_bars] & 2
    assert choose_cuts(bars, 20, actions, 24, 0) == cuts
    assert choose_cuts(bars, 20, actions, 24, 1) != cuts


def test_intraday_cuts_are_at_ends_of_sessions_too():
    bars = intraday_bars([[(100, 101, 99, 100, 5)] * 6] * 8, "1h")
    cuts = choose_cuts(bars, 0, np.zeros(bars.n_bars, np.int8), 12, 0)
    assert any("session ends" in names for names in cuts.values())


def test_one_traded_bar_can_not_be_cut_and_does_not_pass(sample):
    request = BacktestRequest(load_document(AVERAGES), start=np.datetime64("2012-12-31").item())
    last = sample.find_series("AAPL", "1d").last.date()
    report = check_look_ahead(replace(request, start=last), sample, n_cuts=4)
    assert report.n_cuts == 0
    assert not report.passed
    assert "too few traded bars" in report.notes[0]


def test_long_series_and_dear_indicators_get_fewer_cuts_but_some():
    plain = resolve_strategy(load_document(AVERAGES))
    tail = resolve_strategy(load_document(AVERAGES.replace("sma(close, 5)", "alma(close, 9)")))
    assert cuts_affordable(plain, 3_000, 48) == 48
    assert cuts_affordable(plain, 1_000_000, 48) == 30
    assert cuts_affordable(tail, 3_000, 48) == 8
    assert cuts_affordable(plain, 10**9, 4) == 4


# Hiding the future.


def test_noise_leaves_the_past_and_the_schedule_and_changes_all_prices():
    bars = random_bars(
        5, 120, volume=1000, periods=["1w"], actions=[(40, 2.0, 0.0), (100, 1.0, 1.0)]
    )
    noisy = with_noise(bars, 60, 0)
    assert noisy.n_bars == bars.n_bars
    assert np.array_equal(noisy.prices[:, :60], bars.prices[:, :60])
    assert not np.any(noisy.prices[:4, 60:] == bars.prices[:4, 60:])
    assert np.array_equal(noisy.ts, bars.ts)
    assert np.array_equal(noisy.periods["1w"], bars.periods["1w"])
    assert noisy.actions["i_bar"].tolist() == [40, 60, 61]
    # The bars are bars all the same: the core takes them.
    o, h, low, close = noisy.prices[:4]
    assert np.all((low > 0) & (low <= np.minimum(o, close)) & (h >= np.maximum(o, close)))


def test_store_that_ends_with_a_session_knows_nothing_of_later_ones(sample):
    actions = sample.read_actions("AAPL")
    ex_date = int(actions["ex_date"][-1])
    until = StoreUntil(sample, ex_date - 1)
    assert until.read_actions("AAPL")["ex_date"].tolist() == actions["ex_date"][:-1].tolist()
    # What the loader asks for.
    assert len(until.read_action_records("AAPL")) == len(actions) - 1
    columns, _ = until.read_columns("AAPL", "1d")
    assert 0 < columns.n_bars < sample.read_columns("AAPL", "1d")[0].n_bars
    assert int(columns.session[-1]) < ex_date
    assert len(StoreUntil(sample, ex_date).read_actions("AAPL")) == len(actions)


def test_cut_bars_know_no_later_action():
    bars = random_bars(5, 120, actions=[(40, 2.0, 0.0), (100, 1.0, 1.0)])
    assert cut(bars, 100).actions["i_bar"].tolist() == [40]
    assert cut(bars, 101).actions["i_bar"].tolist() == [40, 100]
