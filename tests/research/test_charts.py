"""Charts: what is drawn equals the data, and odd data draws too."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from research import chart_parts, charts, decision_charts, look, plateau_charts, price_charts
from research.look import Theme
from research.thinning import kept_rows, thin, thin_candles


def equity_rows(n: int, *, minutes: bool = False) -> pl.DataFrame:
    step = timedelta(minutes=1) if minutes else timedelta(days=1)
    first = datetime(2010, 1, 4, 14, 30, tzinfo=UTC)
    times = pl.datetime_range(first, first + (n - 1) * step, step, time_unit="us", eager=True)
    values = 100_000.0 + 50.0 * np.sin(np.arange(n) / 7.0) + np.arange(n)
    peak = np.maximum.accumulate(values)
    return pl.DataFrame(
        {
            "ts": times,
            "session": times.dt.date(),
            "equity": values,
            "cash": values * 0.25,
            "drawdown": 1.0 - values / peak,
            "buy_and_hold": values * 1.1,
        }
    )


def trade_rows(**columns: list) -> pl.DataFrame:
    n = len(next(iter(columns.values())))
    first = datetime(2010, 1, 6, 14, 30, tzinfo=UTC)
    base = {
        "symbol": ["ALFA"] * n,
        "trade_id": list(range(1, n + 1)),
        "side": ["long"] * n,
        "entry_ts": [first + timedelta(days=2 * i) for i in range(n)],
        "exit_ts": [first + timedelta(days=2 * i + 1) for i in range(n)],
        "entry_price": [100.0] * n,
        "exit_price": [101.0] * n,
        "quantity": [10.0] * n,
        "net_profit": [5.0] * n,
        "return": [0.01] * n,
        "mae": [-0.01] * n,
        "exit_reason": ["exit"] * n,
    }
    return pl.DataFrame(base | columns)


def trace(figure, name):
    return next(one for one in figure.data if one.name == name)


# Thinning.


@pytest.mark.parametrize("n", [1, 7, 4_000, 4_001, 65_537, 1_000_000])
def test_thinned_series_keeps_ends_and_extremes(n):
    values = np.random.default_rng(n).normal(size=n).cumsum()
    kept = kept_rows(values, 4_000)
    assert len(kept) <= 4_010
    assert (np.diff(kept) > 0).all()
    assert (kept[0], kept[-1]) == (0, n - 1)
    assert values[kept].max() == values.max()
    assert values[kept].min() == values.min()


def test_thinning_keeps_a_single_spike_anywhere():
    for place in (0, 12_345, 49_999):
        values = np.zeros(50_000)
        values[place] = 1.0
        assert place in kept_rows(values, 1_000)


def test_thinning_is_not_misled_by_missing_values():
    values = np.full(10_000, np.nan)
    values[7_777] = 3.0
    values[8_888] = -3.0
    kept = kept_rows(values, 500)
    assert {7_777, 8_888} <= set(kept.tolist())


def test_short_series_are_drawn_whole():
    frame = equity_rows(100)
    assert thin(frame, "equity", 100).equals(frame)


def test_joined_candles_keep_open_high_low_close_and_volume():
    frame = pl.DataFrame(
        {
            "ts": [1, 2, 3, 4, 5],
            "open": [10.0, 11.0, 12.0, 13.0, 14.0],
            "high": [15.0, 19.0, 13.0, 14.0, 16.0],
            "low": [9.0, 10.0, 3.0, 12.0, 13.0],
            "close": [11.0, 12.0, 13.0, 13.5, 15.0],
            "volume": [1.0, 2.0, 3.0, 4.0, 5.0],
        }
    )
    joined, n_joined = thin_candles(frame, 3)
    assert n_joined == 2
    assert joined.rows() == [
        (1, 10.0, 19.0, 9.0, 12.0, 3.0),
        (3, 12.0, 14.0, 3.0, 13.5, 7.0),
        (5, 14.0, 16.0, 13.0, 15.0, 5.0),
    ]


# Figures.


def test_equity_chart_draws_the_given_equity_by_session_date():
    frame = equity_rows(50)
    figure = charts.equity_chart(frame, currency="EUR")
    drawn = trace(figure, "Strategy")
    assert list(drawn.x) == [str(day) for day in frame["session"].to_list()]
    assert list(drawn.y) == frame["equity"].to_list()
    assert figure.layout.yaxis.title.text == "Equity (EUR)"
    assert figure.layout.xaxis.title.text == "Session date"


def test_intraday_axes_state_utc_and_never_depend_on_the_readers_zone():
    figure = charts.equity_chart(equity_rows(50, minutes=True))
    assert trace(figure, "Strategy").x[1] == "2010-01-04 14:31"
    assert "UTC" in figure.layout.xaxis.title.text


def test_a_chart_of_a_million_bars_is_thinned_and_says_so():
    frame = equity_rows(1_000_000, minutes=True)
    figure = charts.equity_chart(frame)
    assert len(trace(figure, "Strategy").x) <= 4_010
    assert max(trace(figure, "Strategy").y) == frame["equity"].max()
    assert "of 1,000,000 bars" in figure.layout.title.subtitle.text


def test_drawdown_is_drawn_downward():
    frame = equity_rows(60)
    drawn = trace(charts.drawdown_chart(frame), "Strategy").y
    assert list(drawn) == (-frame["drawdown"]).to_list()


def test_exposure_is_what_is_not_cash():
    drawn = charts.exposure_chart(equity_rows(40)).data[0].y
    assert list(drawn) == pytest.approx([0.75] * 40)


def test_price_chart_marks_trades_on_their_bars_and_separates_scales():
    frame = equity_rows(30).with_columns(
        pl.lit(100.0).alias("close"),
        pl.lit(101.0).alias("indicator: average"),
        pl.lit(30.0).alias("indicator: stoch.k"),
        pl.lit(40.0).alias("indicator: stoch.d"),
    )
    trades = trade_rows(net_profit=[5.0, -4.0], **{"return": [0.01, -0.02]})
    figure = price_charts.price_chart(
        frame, trades, symbol="ALFA",
        indicators=["indicator: average", "indicator: stoch.k", "indicator: stoch.d"],
    )  # fmt: skip
    assert list(trace(figure, "Long entry").x) == ["2010-01-06", "2010-01-08"]
    assert list(trace(figure, "Exit").x) == ["2010-01-07", "2010-01-09"]
    assert trace(figure, "average").yaxis == "y"
    assert trace(figure, "stoch.k").yaxis == trace(figure, "stoch.d").yaxis == "y2"


def test_a_short_entry_points_down_and_is_named():
    frame = equity_rows(30).with_columns(pl.lit(100.0).alias("close"))
    figure = price_charts.price_chart(frame, trade_rows(side=["short"]))
    assert trace(figure, "Short entry").marker.symbol == "triangle-down"
    assert "Long entry" not in {one.name for one in figure.data}


def test_candles_are_drawn_when_the_bars_have_them():
    frame = equity_rows(30).with_columns(
        open=pl.lit(99.0), high=pl.lit(102.0), low=pl.lit(98.0), close=pl.lit(100.0)
    )
    figure = price_charts.price_chart(frame)
    assert figure.data[0].type == "candlestick"


def test_an_indicator_in_the_range_of_prices_is_an_overlay():
    frame = pl.DataFrame({"close": [100.0] * 10, "near": [90.0] * 10, "far": [50.0] * 10})
    assert price_charts.is_overlay(frame, "near")
    assert not price_charts.is_overlay(frame, "far")


def test_monthly_returns_stand_in_their_cells_and_compound_to_the_year():
    months = pl.DataFrame(
        {
            "year": [2010, 2010, 2011],
            "month": [11, 12, 1],
            "total_return": [0.10, -0.05, 0.02],
        }
    )
    heat = charts.monthly_returns_chart(months).data[0]
    assert list(heat.y) == ["2011", "2010"]
    assert heat.z[1][10] == pytest.approx(0.10)
    assert heat.text[1][10] == "10.0"
    assert heat.text[1][12] == "<b>4.5</b>"  # 1.10 x 0.95 = 1.045
    assert heat.text[0][5] == ""


def test_trade_distribution_counts_every_trade_and_splits_at_zero():
    values = np.random.default_rng(3).normal(0.001, 0.02, 500)
    bars = charts.trade_distribution_chart(trade_rows(**{"return": values.tolist()})).data[0]
    assert sum(bars.y) == 500
    losses = sum(n for x, n in zip(bars.x, bars.y, strict=True) if x < 0)
    assert losses == (values < 0).sum()


@pytest.mark.parametrize("values", [[0.0], [0.01], [-0.3] * 40, [0.0, 1e-9], [5.0, -0.001, 0.0]])
def test_histogram_edges_contain_all_values_and_zero(values):
    edges = chart_parts.histogram_edges(np.array(values))
    assert np.histogram(values, edges)[0].sum() == len(values)
    assert np.abs(edges).min() < 1e-12


def test_cost_chart_ends_with_the_sum():
    chart = charts.cost_chart([("Prices", 900.0), ("Commission", -120.0)]).data[0]
    assert list(chart.y) == [900.0, -120.0, 780.0]
    assert chart.x[-1] == "Net result"


def test_two_path_chart_draws_both_ends_of_each_row():
    rows = pl.DataFrame(
        {"name": ["Portfolio", "ALFA"], "low": [0.1, 0.2], "high": [0.15, 0.2]}
    )  # fmt: skip
    figure = charts.two_path_chart(rows)
    assert list(trace(figure, "Unfavourable path (reported)").x) == [0.1, 0.2]
    assert list(trace(figure, "Favourable path").x) == [0.15, 0.2]


def test_comparison_starts_every_result_at_100():
    one, other = equity_rows(40), equity_rows(30).with_columns(pl.col("equity") * 3)
    figure = charts.comparison_chart({"one": one, "other": other})
    assert [line.y[0] for line in figure.data if line.yaxis == "y"] == [100.0, 100.0]


def test_sweep_heat_map_puts_each_set_in_its_cell():
    sweep = pl.DataFrame({"fast": [5, 5, 10, 10], "slow": [20, 40, 20, 40],
                          "sharpe": [0.1, 0.2, 0.3, None]})  # fmt: skip
    heat = plateau_charts.sweep_chart(sweep, value="sharpe", x="fast", y="slow").data[0]
    assert (list(heat.x), list(heat.y)) == (["5", "10"], ["20", "40"])
    assert [row[0] for row in heat.z] == [0.1, 0.2]
    assert heat.z[0][1] == 0.3
    assert np.isnan(heat.z[1][1])


def test_sweep_marks_sets_in_their_cells_and_joins_marks_of_one_set():
    sweep = pl.DataFrame({"fast": [5, 5, 10, 10], "slow": [20, 40, 20, 40],
                          "sharpe": [0.1, 0.2, 0.3, None]})  # fmt: skip
    marks = {"Plateau": {"fast": 5.0, "slow": 40.0}, "Peak": {"fast": 10.0, "slow": 20.0}}
    heat, *found = plateau_charts.sweep_chart(
        sweep, value="sharpe", x="fast", y="slow", marks=marks
    ).data
    assert {one.name: (one.x[0], one.y[0]) for one in found} == {
        "Plateau": ("5", "40"), "Peak": ("10", "20"),
    }  # fmt: skip
    # A number stands beside its mark, and nothing where the figure is not defined.
    assert [cell.strip() for row in heat.text for cell in row] == ["0.10", "0.30", "0.20", ""]
    assert heat.text[0][0] == "0.10"
    assert heat.text[0][1] != "0.30"
    same = {"Plateau": marks["Peak"], "Peak": marks["Peak"]}
    drawn = plateau_charts.sweep_chart(sweep, value="sharpe", x="slow", marks=same).data
    assert [(one.name, one.x[0]) for one in drawn[1:]] == [("Plateau and peak", 20.0)]


def test_sweep_over_one_parameter_is_a_line_of_medians():
    sweep = pl.DataFrame({"fast": [5, 5, 5, 10], "other": [1, 2, 3, 1],
                          "total_return": [0.1, 0.9, 0.2, 0.4]})  # fmt: skip
    line = plateau_charts.sweep_chart(sweep, value="total_return", x="fast").data[0]
    assert (list(line.x), list(line.y)) == ([5, 10], [0.2, 0.4])


def test_decision_strip_tells_true_false_and_unknown_apart():
    n = 5
    frame = equity_rows(n).with_columns(
        pl.Series("close", [10.0] * n),
        pl.Series("enter_long", [None, False, True, True, False], dtype=pl.Boolean),
        pl.Series("enter_long[0]: close > 1", [True] * n),
        pl.Series("enter_long[1]: rsi < 30", [None, False, True, True, False], dtype=pl.Boolean),
        pl.Series("exit_long", [False] * n),
        pl.Series("exit_long[0]: rsi > 70", [False] * n),
        pl.Series("action", ["", "", "enter_long", "", "exit"]),
        pl.Series("reason", ["warming_up", "condition_false", "", "in_position", "exit_condition"]),
    )
    figure = decision_charts.decision_strip_chart(frame)
    heat = next(one for one in figure.data if one.type == "heatmap")
    # A side with a single term is that term: it is not drawn twice.
    assert list(heat.y) == [
        "enter_long",
        "enter_long[0]: close > 1",
        "enter_long[1]: rsi < 30",
        "exit_long",
    ]
    assert list(heat.text[0]) == ["unknown", "false", "true", "true", "false"]
    assert trace(figure, "Entry decided").x == ("2010-01-06",)
    assert trace(figure, "Close").text[0] == "warming up"


def test_decision_strip_draws_the_last_bars_and_says_so():
    frame = equity_rows(50).with_columns(
        close=pl.lit(1.0), enter_long=pl.lit(False), action=pl.lit(""), reason=pl.lit("halted")
    )
    figure = decision_charts.decision_strip_chart(frame, n_bars=20)
    assert len(trace(figure, "Close").x) == 20
    assert "the last 20 of 50 bars" in figure.layout.title.subtitle.text


def test_decision_strip_sets_bar_beside_bar_and_marks_the_chosen_one():
    rows = equity_rows(1_640, minutes=True)
    # Two sessions of 250 minutes: the night between them must not stretch the cells.
    frame = pl.concat([rows[:250], rows[-250:]]).with_columns(
        close=pl.lit(1.0), enter_long=pl.lit(False), action=pl.lit(""), reason=pl.lit("halted")
    )
    assert chart_parts.closed_times(frame)
    figure = decision_charts.decision_strip_chart(frame, n_bars=200, i_marked=350)
    for axis in (figure.layout.xaxis, figure.layout.xaxis2):
        assert axis.type == "category"
        assert not axis.rangebreaks
    chosen = f"{frame['ts'][350]:%Y-%m-%d %H:%M}"
    assert [line.x0 for line in figure.layout.shapes] == [chosen, chosen]
    assert trace(figure, "Close").x[50] == chosen
    # A marked bar that is not drawn gets no line.
    assert not decision_charts.decision_strip_chart(frame, n_bars=100, i_marked=350).layout.shapes


def test_closed_markets_are_left_out_of_intraday_axes():
    friday = datetime(2010, 1, 8, 20, 58, tzinfo=UTC)
    monday = datetime(2010, 1, 11, 14, 30, tzinfo=UTC)
    times = [friday, friday + timedelta(minutes=1), monday, monday + timedelta(minutes=1)]
    frame = pl.DataFrame(
        {"ts": times, "session": [time.date() for time in times]},
        schema_overrides={"ts": pl.Datetime("us", "UTC")},
    )
    away = monday - (friday + timedelta(minutes=2))
    assert chart_parts.closed_times(frame) == [
        {"values": ["2010-01-08 21:00:00"], "dvalue": int(away.total_seconds() * 1000)}
    ]


def test_daily_and_round_the_clock_bars_leave_nothing_out():
    assert chart_parts.closed_times(equity_rows(100)) == []
    assert chart_parts.closed_times(equity_rows(5_000, minutes=True)) == []


EMPTY_EQUITY = equity_rows(1).clear()
EMPTY_TRADES = trade_rows(side=["long"]).clear()


@pytest.mark.parametrize("n", [0, 1, 2])
def test_charts_of_almost_nothing_are_drawn(n):
    frame = equity_rows(3)[:n].with_columns(
        close=pl.lit(1.0), enter_long=pl.lit(None, pl.Boolean), action=pl.lit(""),
        reason=pl.lit("warming_up"),
    )  # fmt: skip
    trades = trade_rows(side=["long"] * 2)[:n]
    charts.equity_chart(frame)
    charts.drawdown_chart(frame)
    charts.exposure_chart(frame)
    decision_charts.decision_strip_chart(frame)
    charts.trade_distribution_chart(trades)
    charts.excursion_chart(trades)
    charts.comparison_chart({"one": frame})
    if n:
        price_charts.price_chart(frame, trades)


@pytest.mark.parametrize("theme", list(Theme))
def test_every_colour_can_be_told_from_the_ground(theme):
    ground = {"light": "#ffffff", "dark": "#12161c"}[theme.value]
    for colour in look.SERIES:
        assert contrast(colour, ground) >= 3.0, colour


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of WCAG 2."""
    lights = []
    for colour in (one, other):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def test_the_same_frame_gives_the_same_figure():
    frame = equity_rows(300)
    assert charts.equity_chart(frame).to_json() == charts.equity_chart(frame).to_json()


# Words for numbers.


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (look.percent(0.12345), "12.35 %"),
        (look.percent(-0.00001), "0.00 %"),
        (look.percent(-0.5, 0), "−50 %"),
        (look.percent(None), "–"),
        (look.percent(float("nan")), "–"),
        (look.percent(float("inf")), "–"),
        (look.money(-1234567.891, "USD"), "−1,234,567.89 USD"),
        (look.number(0.00001234, look.price_digits(0.00002)), "0.00001234"),
        (look.number(1.371245, look.price_digits(1.37)), "1.37125"),
        (look.number(18.9447, look.price_digits(25.0)), "18.94"),
        (look.quantity(1500.0), "1,500"),
        (look.quantity(0.25), "0.25"),
        (look.number(1.5e300), "1.5e+300"),
        (look.trimmed(1250.5), "1,250.5"),
        (look.when(date(2010, 1, 4), daily=True), "2010-01-04"),
        (look.when(datetime(2010, 1, 4, 14, 30, tzinfo=UTC), daily=False), "2010-01-04 14:30"),
    ],
)
def test_numbers_are_written_for_people(written, expected):
    assert written.replace("\u202f", " ") == expected
