"""Two sources of one instrument, with faults planted in one of them."""

from __future__ import annotations

import dataclasses
import math
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow.parquet as pq
import pytest

from foundation.errors import DataError
from market_data.columns import BarColumns
from market_data.generator import Market, generate_minutes
from market_data.pairs.boundary import detect_day_boundary
from market_data.pairs.comparison import compare_series, write_bar_table
from market_data.pairs.disagreement import Class
from market_data.pairs.matching import SourceSeries
from market_data.pairs.scale import ScaleKind, find_steps
from market_data.pairs.tolerance import corwin_schultz_spread, infer_tick, roll_spread
from market_data.resampling import resample_columns
from market_data.sample_set import load_sample
from market_data.sessions import days_of
from market_data.timeframes import DAY_NS, HOUR_NS, MINUTE_NS

CLASSES_BEYOND = {Class.OUTLIER_A, Class.OUTLIER_B, Class.UNRESOLVED}


@pytest.fixture(scope="module")
def minutes(_calendar_home):
    from market_data.store import Store

    table = Store(_calendar_home).sessions("XNYS", DAY_NS * 12_000, DAY_NS * 19_000)
    made = generate_minutes(date(2019, 1, 2), date(2019, 3, 29), seed=3, sessions=table)
    return dataclasses.replace(made.columns, bid=None, ask=None, halted=None)


@pytest.fixture(scope="module")
def hours(minutes, _calendar_home):
    from market_data.store import Store

    table = Store(_calendar_home).sessions("XNYS", DAY_NS * 12_000, DAY_NS * 19_000)
    long = generate_minutes(
        date(2018, 1, 2), date(2019, 12, 31), seed=5, market=Market(halt_probability=0.0),
        sessions=table,
    )  # fmt: skip
    return resample_columns(long.columns, table, "1m", "30m")


@pytest.fixture(scope="module")
def days(_calendar_home, tmp_path_factory):
    """Return MSFT of the public-domain sample: 3,270 daily bars from 2000 to 2013."""
    from market_data.store import Store

    store = Store(tmp_path_factory.mktemp("sample"))
    load_sample(store)
    return store.read_columns("MSFT", "1d")[0], store.read_actions("MSFT")


def changed(columns, *, prices=None, volume=None, ts=None):
    block = columns.prices.copy()
    if prices is not None:
        block[:4] = prices
    if volume is not None:
        block[4] = volume
    return BarColumns(columns.ts if ts is None else ts, columns.session, block)


def compare(a, b, table, timeframe="1m", **more):
    return compare_series(
        SourceSeries("A", a), SourceSeries("B", b), timeframe=timeframe, sessions=table, **more
    )


def beyond(pair):
    return int(pair.bars.disagreeing.sum())


# Clean pairs.


@pytest.mark.parametrize("kind", ["minutes", "days"])
def test_equal_sources_have_no_shift_no_scale_and_no_disagreement(kind, minutes, days, xnys):
    columns, timeframe = (minutes, "1m") if kind == "minutes" else (days[0], "1d")
    pair = compare(columns, columns, xnys, timeframe)
    assert pair.alignment.offset.distinct == (0,)
    assert pair.alignment.offset.claimed
    assert pair.alignment.scale.kind is ScaleKind.SAME
    assert pair.boundary.earlier == ""
    assert set(pair.bars.worst.tolist()) == {Class.EQUAL}
    assert pair.share_disagreeing == 0.0


def test_prices_rounded_to_another_grid_are_rounding_and_nothing_else(minutes, xnys):
    # A source that writes nickels differs from one in cents by at most 2.5 cents.
    nickels = np.round(minutes.prices[:4] / 0.05) * 0.05
    pair = compare(minutes, changed(minutes, prices=nickels), xnys)
    assert infer_tick(nickels[3]) == 0.05
    assert set(pair.bars.worst.tolist()) == {Class.EQUAL, Class.ROUNDING}
    assert beyond(pair) == 0


def test_half_a_tick_between_two_sources_is_rounding(minutes, xnys):
    half = minutes.prices[:4] + 0.005
    pair = compare(minutes, changed(minutes, prices=half), xnys)
    assert set(pair.bars.worst.tolist()) == {Class.ROUNDING}


def test_a_difference_within_the_stored_spread_is_none(minutes, xnys):
    quoted = dataclasses.replace(
        minutes, bid=minutes.prices[:4] - 0.03, ask=minutes.prices[:4] + 0.03
    )
    near = changed(minutes, prices=minutes.prices[:4] + 0.05)
    far = changed(minutes, prices=minutes.prices[:4] + 0.07)
    assert compare(quoted, near, xnys).tolerance.method == "the stored bid and ask"
    assert beyond(compare(quoted, near, xnys)) == 0
    # Quotes are 6 cents wide: 7 are beyond.
    assert beyond(compare(quoted, far, xnys)) == minutes.n_bars


def test_quotes_are_told_with_their_spread_and_where_they_are_crossed(minutes, xnys):
    quoted = dataclasses.replace(
        minutes, bid=minutes.prices[:4] - 0.03, ask=minutes.prices[:4] + 0.03
    )
    quoted.bid[3, :7] = quoted.ask[3, :7] + 0.01
    findings = compare(quoted, minutes, xnys).findings
    assert (
        f"A's bid and ask are usually 0.06 apart; in 7 of {minutes.n_bars:,} bars the bid is above "
        "the ask at open or close." in findings
    )
    assert not any(one.startswith("B's bid") for one in findings)


# Shift of time.


@pytest.mark.parametrize("minutes_late", [1, -1, 60, -300, 780])
def test_planted_shift_is_found_to_the_minute(minutes, xnys, minutes_late):
    late = changed(minutes, ts=minutes.ts + minutes_late * MINUTE_NS)
    pair = compare(minutes, late, xnys)
    assert pair.alignment.offset.distinct == (minutes_late,)
    assert pair.alignment.offset.segments[0].confidence > 0.99
    assert int(pair.bars.both.sum()) == minutes.n_bars
    assert beyond(pair) == 0


def test_a_name_is_written_as_it_is(minutes, xnys):
    late = changed(minutes, ts=minutes.ts + MINUTE_NS)
    pair = compare_series(
        SourceSeries("eurusd_a", minutes), SourceSeries("eurusd_b", late),
        timeframe="1m", sessions=xnys,
    )  # fmt: skip
    assert pair.findings[0].startswith("eurusd_b labels its bars 1m later than eurusd_a")


def test_label_at_the_end_of_the_bar_is_named(minutes, xnys):
    pair = compare(minutes, changed(minutes, ts=minutes.ts + MINUTE_NS), xnys)
    assert "at the end of the bar instead of its open" in pair.findings[0]


def test_local_time_read_as_utc_is_found_piecewise_and_named(hours, xnys):
    zone = ZoneInfo("America/New_York")
    local = np.array(
        [
            ns + round(moment.utcoffset().total_seconds()) * 10**9
            for ns in hours.ts.tolist()
            for moment in [datetime.fromtimestamp(ns // 10**9, zone)]
        ]
    )
    pair = compare(hours, changed(hours, ts=local), xnys, "30m")
    # Winter, summer, winter, summer, winter: five hours behind, or four.
    shifts = [segment.shift * 30 for segment in pair.alignment.offset.segments]
    assert shifts == [-300, -240, -300, -240, -300]
    starts = [
        date(1970, 1, 1) + timedelta(days=int(hours.session[segment.first]))
        for segment in pair.alignment.offset.segments[1:]
    ]
    # The first sessions after the clock changes of 2018 and 2019.
    assert starts == [date(2018, 3, 12), date(2018, 11, 5), date(2019, 3, 11), date(2019, 11, 4)]
    assert "B's times are America/New_York wall time read as UTC" in pair.findings[0]
    assert int(pair.bars.both.sum()) == hours.n_bars
    assert beyond(pair) == 0


@pytest.mark.parametrize("seconds_late", [1, -1, 30, 3601, -301])
def test_planted_shift_is_found_to_the_second(minutes, xnys, seconds_late):
    late = changed(minutes, ts=minutes.ts + seconds_late * 10**9)
    # What only B has is labelled as A would label it.
    lacking = np.arange(minutes.n_bars) % 500 != 250
    pair = compare(minutes.select(lacking), late, xnys)
    assert [one["shift"] for one in pair.summary()["offset"]["segments"]] == [seconds_late]
    assert int(pair.bars.both.sum()) == int(lacking.sum())
    np.testing.assert_array_equal(pair.bars.ts, minutes.ts)
    assert beyond(pair) == 0
    later, by = ("B", "A") if seconds_late > 0 else ("A", "B")
    assert pair.findings[0] == f"{later} labels its bars {abs(seconds_late)}s later than {by}."


def test_odd_stamps_of_a_few_bars_are_no_shift(minutes, xnys):
    odd = minutes.ts.copy()
    odd[::10] += 7 * 10**9
    pair = compare(minutes, changed(minutes, ts=odd), xnys)
    assert pair.findings[0] == "No shift of time."
    assert int(pair.bars.both.sum()) == minutes.n_bars


def test_first_hours_stamped_by_the_open_or_by_the_hour_are_the_same_bars(hours, xnys):
    # Hours of New York from 9:00, of which the first has its last half hour only.
    cell = hours.ts // HOUR_NS
    starts = np.flatnonzero(np.append(True, cell[1:] != cell[:-1]))
    prices = np.stack([hours.prices[field, starts] for field in range(5)])
    by_hour = BarColumns(cell[starts] * HOUR_NS, hours.session[starts], prices)
    by_open = BarColumns(hours.ts[starts], hours.session[starts], prices)
    pair = compare(by_open, by_hour, xnys, "1h")
    assert int((by_open.ts != by_hour.ts).sum()) == np.unique(hours.session).shape[0]
    assert int(pair.bars.both.sum()) == starts.shape[0]
    np.testing.assert_array_equal(pair.bars.ts, by_open.ts)
    assert beyond(pair) == 0


def test_hours_from_the_half_hour_are_not_those_from_the_hour(hours, xnys):
    # 9:30, 10:30 … and 10:00, 11:00 …: no bar of one is a bar of the other.
    half = hours.select(hours.ts % HOUR_NS == 30 * MINUTE_NS)
    full = hours.select(hours.ts % HOUR_NS == 0)
    with pytest.raises(DataError, match=r"no 1h bar of A .* has the time of one of B"):
        compare(half, full, xnys, "1h")


def test_stamps_anywhere_in_a_minute_are_of_that_minute(minutes, xnys):
    # Of the bar's first trade, as some sources write.
    within = np.random.default_rng(12).integers(0, 60, minutes.n_bars) * 10**9
    pair = compare(minutes, changed(minutes, ts=minutes.ts + within), xnys)
    assert pair.findings[0] == "No shift of time."
    assert int(pair.bars.both.sum()) == minutes.n_bars


def test_a_clock_that_is_wrong_in_summer_only_is_named(hours, xnys):
    # Right in winter, as an offset of five hours was put on for good.
    zone = ZoneInfo("America/New_York")
    local = np.array(
        [
            ns + round(moment.utcoffset().total_seconds()) * 10**9 + 5 * HOUR_NS
            for ns in hours.ts.tolist()
            for moment in [datetime.fromtimestamp(ns // 10**9, zone)]
        ]
    )
    pair = compare(hours, changed(hours, ts=local), xnys, "30m")
    assert [one.shift * 30 for one in pair.alignment.offset.segments] == [0, 60, 0, 60, 0]
    assert pair.findings[0].endswith("; B's times are America/New_York wall time +5h read as UTC.")
    other = compare(changed(hours, ts=local), hours, xnys, "30m")
    assert other.findings[0].endswith("; A's times are America/New_York wall time +5h read as UTC.")


@pytest.mark.parametrize("minutes_late", [0, 1, -60])
def test_a_shift_is_found_though_hardly_any_two_bars_are_neighbours(minutes, xnys, minutes_late):
    draw = np.random.default_rng(8)
    late = changed(minutes, ts=minutes.ts + minutes_late * MINUTE_NS)
    one, other = (draw.random(minutes.n_bars) < 0.15 for _ in range(2))
    pair = compare(minutes.select(one), late.select(other), xnys)
    assert pair.alignment.offset.claimed
    assert pair.alignment.offset.distinct == (minutes_late,)
    assert int(pair.bars.both.sum()) == int((one & other).sum())
    assert beyond(pair) == 0


def test_days_labelled_by_the_next_session_are_found(days, xnys):
    columns, _ = days
    row = np.searchsorted(xnys.date, columns.session)
    next_day = BarColumns(xnys.open[row + 1], xnys.date[row + 1], columns.prices)
    pair = compare(columns, next_day, xnys, "1d")
    assert pair.alignment.offset.distinct == (1,)
    assert beyond(pair) == 0


def test_nothing_is_claimed_of_time_when_the_data_cannot_tell(minutes, xnys):
    noise = np.random.default_rng(1).normal(0, 0.001, minutes.n_bars).cumsum()
    other = np.repeat(100 * np.exp(noise)[None], 4, axis=0)
    assert not compare(minutes, changed(minutes, prices=other), xnys).alignment.offset.claimed
    short = slice(0, 12)
    assert not compare(minutes.select(short), minutes.select(short), xnys).alignment.offset.claimed


def test_closes_taken_earlier_in_the_day_are_told_from_bad_closes():
    draw = np.random.default_rng(7)
    n_days = 800
    day = draw.normal(0, 0.01, (n_days, 2)) * [0.9, 0.45]
    log_late = day.sum(axis=1).cumsum()
    log_early = log_late - day[:, 1]
    found = detect_day_boundary(log_early, log_late)
    assert found.earlier == "a"
    # 0.45² of 0.9² + 0.45² is a fifth.
    assert found.share == pytest.approx(0.2, abs=0.06)
    assert detect_day_boundary(log_late, log_early).earlier == "b"
    noisy = log_late + draw.normal(0, 0.0045, n_days)
    assert detect_day_boundary(noisy, log_late).earlier == ""


# Scale.


@pytest.mark.parametrize("factor", [100.0, 0.01, 1.0 / 1.37])
def test_constant_factor_is_found(minutes, xnys, factor):
    pair = compare(minutes, changed(minutes, prices=minutes.prices[:4] * factor), xnys)
    assert pair.alignment.scale.kind is ScaleKind.CONSTANT
    assert pair.alignment.scale.factors[0] == pytest.approx(1 / factor, rel=1e-5)
    assert beyond(pair) == 0


def test_split_adjusted_in_one_is_found_with_its_day_and_the_raw_side(days, xnys):
    columns, actions = days
    # Microsoft split 2 for 1 on 2003-02-18.
    split = days_of(date(2003, 2, 18))
    assert split in actions["ex_date"][actions["split_ratio"] == 2]
    before = columns.session < split
    adjusted = np.where(before, columns.prices[:4] / 2, columns.prices[:4])
    volume = np.where(before, columns.prices[4] * 2, columns.prices[4])
    pair = compare(columns, changed(columns, prices=adjusted, volume=volume), xnys, "1d")
    scale = pair.alignment.scale
    assert (scale.kind, scale.adjusted) == (ScaleKind.SPLITS, "b")
    step = scale.steps[0]
    assert (len(scale.steps), step.split_ratio, step.jumps_in) == (1, 2.0, "a")
    assert int(columns.session[step.row]) == split
    assert scale.factors == pytest.approx((2.0, 1.0))
    assert beyond(pair) == 0
    assert pair.volume.split_adjusted
    assert pair.volume.ratio == pytest.approx(1.0)
    assert any("B is adjusted for splits, A is raw: 2003-02-18 (2 for 1)" in f
               for f in pair.findings)  # fmt: skip


def test_dividend_adjustment_is_told_from_splits(days, xnys):
    columns, actions = days
    after_split = columns.select(columns.session >= days_of(date(2003, 3, 3)))
    paid = actions[(actions["dividend"] > 0) & (actions["ex_date"] > after_split.session[15])]
    factor = np.ones(after_split.n_bars)
    for action in paid:
        i = int(np.searchsorted(after_split.session, action["ex_date"]))
        factor[:i] *= 1 - action["dividend"] / after_split.prices[3, i - 1]
    pair = compare(
        after_split, changed(after_split, prices=after_split.prices[:4] * factor), xnys, "1d",
        actions=actions,
    )  # fmt: skip
    scale = pair.alignment.scale
    assert (scale.kind, scale.adjusted) == (ScaleKind.DIVIDENDS, "b")
    found = set(after_split.session[[step.row for step in scale.steps]].tolist())
    # The last one lies nine bars before the end: too few to tell it from chance.
    assert found == set(paid["ex_date"].tolist()[:-1])
    wrong = pair.bars.session[pair.bars.disagreeing]
    assert wrong.tolist() == after_split.session[-9:].tolist()
    assert wrong[0] == paid["ex_date"][-1]


@pytest.mark.parametrize(("change", "stated"), [(100.0, "100"), (0.001, "0.001")])
def test_another_unit_of_price_from_a_day_on_is_no_split(days, xnys, change, stated):
    columns, _ = days
    prices = columns.prices[:4].copy()
    prices[:, 1500:] *= change
    day = columns.session[1500].astype("datetime64[D]")
    pair = compare(columns, changed(columns, prices=prices), xnys, "1d")
    assert pair.alignment.scale.kind is ScaleKind.UNITS
    assert beyond(pair) == 0
    told = f"From {day} on {{}} counts its price in another unit: it changes by {stated} at once."
    assert told.format("B") in pair.findings
    turned = compare(changed(columns, prices=prices), columns, xnys, "1d")
    assert told.format("A") in turned.findings


@pytest.mark.parametrize("factor", [100.0, 0.01, 10.0])
def test_shift_and_factor_at_once_are_both_found(minutes, xnys, factor):
    moved = changed(minutes, prices=minutes.prices[:4] * factor, ts=minutes.ts - 5 * HOUR_NS)
    pair = compare(minutes, moved, xnys)
    assert pair.alignment.offset.distinct == (-300,)
    assert pair.alignment.scale.kind is ScaleKind.CONSTANT
    assert pair.alignment.scale.factors == pytest.approx((1 / factor,))
    assert beyond(pair) == 0


def test_a_split_and_labels_of_the_next_session_at_once_are_both_found(days, xnys):
    columns, _ = days
    prices, volume = columns.prices[:4].copy(), columns.prices[4].copy()
    prices[:, :1500] /= 2
    volume[:1500] *= 2
    row = np.searchsorted(xnys.date, columns.session)
    moved = changed(columns, prices=prices, volume=volume)
    pair = compare(
        columns, BarColumns(xnys.open[row + 1], xnys.date[row + 1], moved.prices), xnys, "1d"
    )
    assert pair.alignment.offset.distinct == (1,)
    # A goes on evenly and B doubles: as at a reverse split, one new share for two.
    assert [(step.split_ratio, step.jumps_in) for step in pair.alignment.scale.steps] == [
        (0.5, "b")
    ]
    assert beyond(pair) == 0


def test_noise_within_the_spread_of_quotes_is_no_disagreement(minutes, xnys):
    # The middle of quotes: no volume, no bounce, and another provider's quotes are a little off.
    middle = changed(minutes, volume=np.zeros(minutes.n_bars))
    draw = np.random.default_rng(6)
    near = middle.prices[:4] + draw.uniform(-0.04, 0.04, (4, minutes.n_bars))
    near[1], near[2] = near.max(axis=0), near.min(axis=0)
    pair = compare(middle, changed(middle, prices=near), xnys)
    assert pair.tolerance.method == "three robust deviations of the two sources' usual difference"
    assert beyond(pair) / minutes.n_bars < 0.001
    assert pair.alignment.scale.kind is ScaleKind.SAME


def test_a_few_days_of_other_closes_are_no_step(days, xnys):
    columns, _ = days
    prices = columns.prices[:4].copy()
    prices[3, 1000:1010] *= 1.004
    pair = compare(columns, changed(columns, prices=prices), xnys, "1d")
    assert pair.alignment.scale.kind is ScaleKind.SAME
    assert beyond(pair) == 10


def test_ten_days_are_too_few_for_a_new_level_and_forty_are_not():
    ratio = np.random.default_rng(0).choice([0, 0, 0, 1e-4, -1e-4], 3000)
    ratio[1000:1010] = math.log(1.004)
    assert find_steps(ratio)[0].tolist() == []
    ratio[2000:2040] = math.log(1.004)
    assert find_steps(ratio)[0].tolist() == [2000, 2040]


# Disagreements.


def test_spikes_are_outliers_of_the_source_that_has_them(days, xnys):
    columns, _ = days
    a, b = columns.prices[:4].copy(), columns.prices[:4].copy()
    a[2, [500, 900]] *= 0.6
    b[1, [700, 1500, 2500]] *= 1.5
    b[3, 1100] *= 1.4
    b[1, 1100] = b[3, 1100]
    pair = compare(changed(columns, prices=a), changed(columns, prices=b), xnys, "1d")
    rows = pair.bars.row_a
    wrong_a = rows[(pair.bars.classes[:4] == Class.OUTLIER_A).any(axis=0)].tolist()
    wrong_b = rows[(pair.bars.classes[:4] == Class.OUTLIER_B).any(axis=0)].tolist()
    assert wrong_a == [500, 900]
    assert wrong_b == [700, 1100, 1500, 2500]
    assert beyond(pair) == 6
    # B falls back from a high that nobody else saw: 0.6 of A's price is a difference of 40 %.
    assert pair.summary()["worst"][0]["class"].startswith("outlier in")


def test_a_difference_that_both_could_have_is_left_unresolved(days, xnys):
    columns, _ = days
    b = columns.prices[:4].copy()
    b[3, 1200] = 0.5 * (b[1, 1200] + b[2, 1200]) + 0.003
    assert abs(b[3, 1200] - columns.prices[3, 1200]) > 0.05
    pair = compare(columns, changed(columns, prices=b), xnys, "1d")
    assert pair.bars.classes[3, 1200] == Class.UNRESOLVED
    assert beyond(pair) == 1


def test_missing_days_and_shorter_sessions_are_told_apart(minutes, xnys):
    sessions = np.unique(minutes.session)
    whole, short = sessions[20], sessions[30]
    last_hour = (minutes.session == short) & (
        minutes.ts >= minutes.ts[minutes.session == short][-1] - HOUR_NS
    )
    lone = np.flatnonzero(minutes.session == sessions[40])[200]
    keep = (minutes.session != whole) & ~last_hour
    keep[lone] = False
    pair = compare(minutes, minutes.select(keep), xnys)
    classes = pair.bars.classes[0]
    of_session = pair.bars.session
    assert set(classes[of_session == whole].tolist()) == {Class.MISSING_B}
    assert int((classes == Class.SESSION).sum()) == int(last_hour.sum())
    assert int((classes == Class.MISSING_B).sum()) == int((minutes.session == whole).sum()) + 1
    assert beyond(pair) == 0
    assert any("B lacks" in f and "1 whole sessions" in f for f in pair.findings)


@pytest.mark.parametrize("unit", [100.0, 1000.0])
def test_volume_in_another_unit_is_found(days, xnys, unit):
    columns, _ = days
    lots = np.round(columns.prices[4] / unit)
    pair = compare(columns, changed(columns, volume=lots), xnys, "1d")
    assert pair.volume.unit == unit
    assert pair.volume.ratio == pytest.approx(1.0, abs=0.01)
    assert beyond(pair) == 0


def test_bars_long_before_the_other_source_begins_are_named(days, xnys):
    columns, _ = days
    early, late = columns.select(slice(0, 500)), columns.select(slice(1200, None))
    reused = BarColumns(
        np.append(early.ts, late.ts),
        np.append(early.session, late.session),
        np.concatenate([early.prices * 3, late.prices], axis=1),
    )
    pair = compare(reused, late, xnys, "1d")
    assert any("A has 500 bars" in f and "may have belonged to another instrument" in f
               for f in pair.findings)  # fmt: skip
    assert beyond(pair) == 0


def test_ranges_that_are_wider_in_one_source_are_named(days, xnys):
    columns, _ = days
    wide = columns.prices[:4].copy()
    wide[1, ::50] += 0.10
    wide[2, 25::50] -= 0.10
    pair = compare(columns, changed(columns, prices=wide), xnys, "1d")
    n_bars = len(range(0, columns.n_bars, 50)) + len(range(25, columns.n_bars, 50))
    assert beyond(pair) == n_bars
    assert any(f"{n_bars} of these {n_bars} highs and lows reach further in B" in f
               for f in pair.findings)  # fmt: skip


# Estimators, with worked examples.


def test_rolls_spread_is_that_of_prices_bouncing_between_bid_and_ask():
    # A price that stays at 100 and trades at random on either side of 1 %.
    side = np.random.default_rng(2).choice([-1.0, 1.0], 20_000)
    assert roll_spread(100 * np.exp(0.005 * side)) == pytest.approx(0.01, rel=0.05)
    assert math.isnan(roll_spread(np.exp(np.linspace(0, 1, 1000) ** 2)))


def test_corwin_and_schultzs_spread_of_a_quiet_price_is_its_range():
    # Without volatility each range is the spread: β = 2 s², γ = s², so that
    # α = (2 − √2) s / k − s / √k with k = 3 − 2√2, which is s.
    high, low = np.full(100, 101.0), np.full(100, 100.0)
    s = math.log(1.01)
    expected = 2 * (math.exp(s) - 1) / (1 + math.exp(s))
    assert corwin_schultz_spread(high, low) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("tick", [0.01, 0.05, 0.25, 0.00001])
def test_tick_is_inferred_from_prices(tick):
    steps = np.random.default_rng(4).integers(1000, 9000, 500)
    assert infer_tick(steps * tick) == pytest.approx(tick)
    assert infer_tick(np.float64(np.float32(steps * tick))) == pytest.approx(tick)


# The whole.


def test_same_input_gives_the_same_bytes(days, xnys, tmp_path):
    columns, _ = days
    other = changed(columns, prices=np.round(columns.prices[:4] * 1.0003, 4))
    paths = [
        write_bar_table(compare(columns, other, xnys, "1d"), tmp_path / f"{i}.parquet")
        for i in range(2)
    ]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    table = pq.read_table(paths[0])
    assert table.num_rows == columns.n_bars
    assert {"ts", "session", "close_a", "close_b", "close_class", "tolerance", "class"} <= set(
        table.column_names
    )


def test_two_that_never_meet_are_refused(days, xnys):
    columns, _ = days
    with pytest.raises(DataError, match=r"no 1d bar of A .* has the time of one of B"):
        compare(columns.select(slice(0, 50)), columns.select(slice(500, 600)), xnys, "1d")
