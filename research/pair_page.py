"""A page of charts about two sources of one instrument, in one file that needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from markupsafe import Markup

from foundation.files import write_text
from market_data.columns import COLUMN_NAMES
from market_data.pairs.comparison import PairComparison, worst_rows
from market_data.pairs.disagreement import DISAGREEING, WORDS, Class
from market_data.pairs.matching import Grid as PairGrid
from market_data.pairs.matching import Int64Array
from market_data.timeframes import HOUR_NS, name_of_length, parse_timeframe
from research import look, pair_charts
from research.look import Theme
from research.page import chart_place, figure_json, script_json
from research.report import font_css, read_template, templates
from research.report_parts import Grid, Tile
from research.study_page import Section

if TYPE_CHECKING:
    import plotly.graph_objects as go

N_ROWS_SHOWN = 200
_SHORT_SPAN_DAYS = 800
_N_STEPS_NAMED = 8


def write_pair_page(path: Path, pair: PairComparison) -> None:
    """Write the page, whole or not at all."""
    write_text(path, render_pair_page(pair))


def render_pair_page(pair: PairComparison) -> str:
    """Return the page as HTML; the same comparison gives the same bytes."""
    import plotly.offline

    figures = pair_figures(pair)
    shared: dict[tuple[str, ...], int] = {}
    contents = {name: figure_json(figure, shared) for name, figure in figures.items()}
    times = list(shared)
    # The page of studies knows no shared times: they are put back.
    for content in contents.values():
        for trace in content["data"]:
            if isinstance(trace.get("x"), int):
                trace["x"] = list(times[trace["x"]])
    title = f"{pair.a.name} and {pair.b.name}"
    data = {
        "file": title,
        "templates": {theme.value: look.template(theme).to_plotly_json() for theme in Theme},
        "figures": contents,
    }
    return (
        templates()
        .get_template("pair.html.j2")
        .render(
            title=title,
            headline=_headline(pair),
            tiles=_tiles(pair),
            findings=pair.findings,
            sections=_sections(pair, figures),
            a=pair.a.name,
            b=pair.b.name,
            chart=lambda name: chart_place(name, figures),
            css=Markup(font_css() + read_template("report.css")),
            js=Markup(read_template("page.js")),
            plotly=Markup(plotly.offline.get_plotlyjs()),
            data=script_json(data),
        )
    )


def pair_figures(pair: PairComparison) -> dict[str, go.Figure]:
    """Return the page's charts by name, in the order of the page."""
    names = (pair.a.name, pair.b.name)
    every = bars_frame(pair)
    both = every.filter(pl.col("both"))
    in_ticks = pair.tolerance.tick > 0
    figures = {
        "differences": pair_charts.difference_chart(
            both.select(
                "ts",
                "session",
                pl.col("ticks" if in_ticks else "relative").alias("difference"),
                pl.col("tolerance_ticks" if in_ticks else "tolerance_relative").alias("tolerance"),
                "class",
            ),
            in_ticks=in_ticks,
        ),
        "classes": pair_charts.class_chart(_class_counts(pair)),
        "years": pair_charts.year_chart(_period_counts(both)),
        "prices": pair_charts.price_chart(every, names),
        "ratio": pair_charts.ratio_chart(both, _named_steps(pair)),
        "offset": _offset_figure(pair),
    }
    if len(pair.alignment.offset.segments) > 1:
        figures["shifts"] = _shift_figure(pair)
    for kind, name in ((Class.MISSING_A, names[0]), (Class.MISSING_B, names[1])):
        weeks = _missing_weeks(pair, kind)
        if weeks.height:
            figures[f"missing-{kind.name[-1].lower()}"] = pair_charts.missing_chart(
                weeks, name=name
            )
    if pair.volume.claimed:
        traded = both.filter((pl.col("volume_a") > 0) & (pl.col("volume_b") > 0)).select(
            "ts", "session", (pl.col("volume_b") / pl.col("volume_a")).alias("ratio")
        )
        figures["volume"] = pair_charts.volume_chart(traded, pair.volume.ratio)
    return figures


def bars_frame(pair: PairComparison) -> pl.DataFrame:
    """Return the bars as the charts take them."""
    bars = pair.bars
    both = bars.both
    distance = np.abs(bars.b[:4] - bars.a[:4])
    level = np.where(both, bars.a[3], np.nan)
    largest = np.where(both, np.nan_to_num(distance).max(axis=0), np.nan)
    factor = pair.alignment.factor_b[bars.row_b]
    raw_a = np.where(bars.row_a >= 0, pair.a.columns.prices[3, bars.row_a], np.nan)
    raw_b = np.where(bars.row_b >= 0, pair.b.columns.prices[3, bars.row_b], np.nan)
    tick = pair.tolerance.tick or np.nan
    # A chart of prices shows what prices are, whatever the volume is.
    classes = bars.classes[:4].max(axis=0)
    return pl.DataFrame(
        {
            "ts": bars.ts,
            "session": bars.session.astype(np.int32),
            "both": both,
            "raw_a": raw_a,
            "raw_b": raw_b,
            "ratio": raw_b / raw_a,
            "level": 1.0 / factor,
            "relative": largest / level,
            "ticks": largest / tick,
            "tolerance_relative": bars.spread / level,
            "tolerance_ticks": bars.spread / tick,
            "volume_a": bars.a[4],
            "volume_b": bars.b[4],
            "class": [WORDS[Class(int(one))] for one in classes],
        }
    ).with_columns(
        pl.from_epoch("ts", time_unit="ns").dt.replace_time_zone("UTC"),
        pl.col("session").cast(pl.Date),
        pl.col("raw_a", "raw_b").fill_nan(None),
    )


def _class_counts(pair: PairComparison) -> pl.DataFrame:
    rows = [
        (field, WORDS[kind], int(n))
        for i, field in enumerate(COLUMN_NAMES)
        for kind, n in zip(
            Class, np.bincount(pair.bars.classes[i], minlength=len(Class)), strict=True
        )
        if n
    ]
    return pl.DataFrame(rows, schema=["field", "class", "bars"], orient="row")


def _period_counts(both: pl.DataFrame) -> pl.DataFrame:
    """Count classes by year, or by month or day when the bars span little."""
    first, last = both["session"].min(), both["session"].max()
    days = (last - first).days  # type: ignore[operator, union-attr]
    form = "%Y" if days > _SHORT_SPAN_DAYS else "%Y-%m" if days > 60 else "%Y-%m-%d"
    named = both.with_columns(pl.col("session").dt.strftime(form).alias("period"))
    total = named.group_by("period").agg(pl.len().alias("all"))
    return (
        named.group_by("period", "class")
        .agg(pl.len().alias("bars"))
        .join(total, on="period")
        .with_columns((pl.col("bars") / pl.col("all")).alias("share"))
        .sort("period", "class")
    )


def _named_steps(pair: PairComparison) -> list[tuple[str, str]]:
    steps = pair.alignment.scale.steps
    session = pair.a.columns.session[pair.alignment.matched.i_a]
    named = []
    for step in steps:
        words = ""
        if step.split_ratio:
            words = f"{step.split_ratio:.4g} for 1"
        elif len(steps) <= _N_STEPS_NAMED:
            words = f"{step.ratio - 1.0:+.2%}"
        named.append((_day(session[step.row]), words))
    return named


def _offset_figure(pair: PairComparison) -> go.Figure:
    offset, grid = pair.alignment.offset, pair.alignment.grid
    known = np.isfinite(offset.losses)
    words = [_shift_words(int(shift), grid) for shift in offset.shifts[known]]
    found = [_shift_words(shift, grid) for shift in offset.distinct]
    if not offset.claimed:
        note = "the data can't tell"
    else:
        note = f"found: {', '.join(found)}, with confidence {_confidence(pair)}"
    return pair_charts.offset_chart(words, offset.losses[known].tolist(), found, note=note)


def _confidence(pair: PairComparison) -> str:
    least = min(segment.confidence for segment in pair.alignment.offset.segments)
    return "above 99.99 %" if least > 0.9999 else look.percent(least)


def _shift_words(shift: int, grid: PairGrid) -> str:
    if grid.unit_ns == 0:
        return f"{shift:+d}" if shift else "0"
    shift_ns = shift * grid.unit_ns + grid.rest_ns
    if shift_ns == 0:
        return "0"
    return f"{'+' if shift_ns > 0 else '−'}{name_of_length(abs(shift_ns))}"


def _shift_figure(pair: PairComparison) -> go.Figure:
    segments = pair.alignment.offset.segments
    ts, grid = pair.a.columns.ts, pair.alignment.grid
    starts = [_moment(ts[segment.first]) for segment in segments]
    unit, scale = ("hours", grid.unit_ns / HOUR_NS) if grid.unit_ns else ("sessions", 1.0)
    shifts = [segment.shift * scale + grid.rest_ns / HOUR_NS for segment in segments]
    return pair_charts.shift_chart([*starts, _moment(ts[-1])], [*shifts, shifts[-1]], unit=unit)


def _missing_weeks(pair: PairComparison, kind: Class) -> pl.DataFrame:
    days: Int64Array = pair.bars.session[pair.bars.classes[0] == kind]
    dates = days.astype("datetime64[D]")
    years = dates.astype("datetime64[Y]")
    return (
        pl.DataFrame(
            {
                "year": years.astype(np.int64) + 1970,
                "week": (dates - years.astype("datetime64[D]")).astype(np.int64) // 7,
            }
        )
        .group_by("year", "week")
        .agg(pl.len().alias("bars"))
        .sort("year", "week")
    )


def _headline(pair: PairComparison) -> str:
    return (
        f"{int(pair.bars.both.sum()):,} common {pair.timeframe} bars from "
        f"{_day(pair.bars.session[0])} to {_day(pair.bars.session[-1])}, calendar {pair.calendar}"
    )


def _tiles(pair: PairComparison) -> tuple[Tile, ...]:
    bars = pair.bars
    classes = bars.classes[:4]
    n_beyond = int(bars.disagreeing.sum())
    outliers = [int((classes == kind).any(axis=0).sum())
                for kind in (Class.OUTLIER_A, Class.OUTLIER_B)]  # fmt: skip
    n_alone = int((~bars.both).sum())
    offset, grid = pair.alignment.offset, pair.alignment.grid
    shifts = " / ".join(_shift_words(shift, grid) for shift in offset.distinct)
    return (
        Tile("Beyond tolerance", look.percent(pair.share_disagreeing, 1), f"{n_beyond:,} bars",
             "loss" if n_beyond else ""),
        Tile("Outliers", f"{outliers[0]:,} / {outliers[1]:,}", "bars of A / bars of B"),
        Tile("In one only", f"{n_alone:,}", "bars where both overlap"),
        Tile("Shift of time", shifts if offset.claimed else look.UNDEFINED,
             "B's label less A's" if offset.claimed else "the data can't tell"),
        Tile("Steps of scale", f"{len(pair.alignment.scale.steps):,}",
             pair.alignment.scale.kind.value),
        Tile("Tolerance", look.trimmed(float(np.median(bars.spread[bars.both]))),
             f"tick {pair.tolerance.tick:g}"),
    )  # fmt: skip


def _sections(pair: PairComparison, figures: dict[str, go.Figure]) -> list[Section]:
    missing = tuple(name for name in figures if name.startswith("missing-"))
    sections = [
        Section(anchor="found", title="Found"),
        Section(
            anchor="differences",
            title="Differences",
            charts=("differences", "classes", "years"),
            texts=(
                f"Tolerance: {pair.tolerance.method}, and at least a tick. An outlier sticks out "
                "from its own source's neighbouring prices and the other source's value does not; "
                "unresolved is what nothing in the bars decides.",
            ),
        ),
        Section(anchor="scale", title="Money", charts=("prices", "ratio")),
        Section(
            anchor="time",
            title="Time",
            charts=("offset", *(("shifts",) if "shifts" in figures else ())),
            texts=(
                "Returns from bar to bar are compared at each shift: 0 is equal, about 0.65 is "
                "nothing in common. Over all bars together; the shift is found stretch by stretch.",
            ),
        ),
    ]
    if missing:
        sections.append(Section(anchor="missing", title="Missing", charts=missing))
    if "volume" in figures:
        sections.append(Section(anchor="volume", title="Volume", charts=("volume",)))
    sections.append(
        Section(anchor="bars", title="Bars beyond tolerance", grids=(worst_grid(pair),))
    )
    return sections


def worst_grid(pair: PairComparison) -> Grid:
    """Return the prices that disagree most against their tolerance, as text."""
    daily = not parse_timeframe(pair.timeframe).intraday
    digits = look.price_digits(float(np.nanmedian(pair.bars.a[3])))
    rows = tuple(
        (
            row["session"] if daily else row["ts"][:16].replace("T", " "),
            row["field"],
            look.number(row["a"], digits),
            look.number(row["b"], digits),
            look.number(row["difference"], digits),
            look.percent(row["difference"] / row["a"], 3),
            f"{abs(row['difference']) / row['tolerance']:,.1f}",
            row["class"],
        )
        for row in worst_rows(pair, N_ROWS_SHOWN)
    )
    n_all = int(np.isin(pair.bars.classes[:4], DISAGREEING).sum())
    note = "Largest first, in tolerances. "
    if n_all > len(rows):
        note += f"The first {len(rows):,} of {n_all:,}; the table by bar (Parquet) has all."
    return Grid(
        "",
        ("Session" if daily else "Bar (UTC)", "Price", "A", "B", "B − A", "B / A − 1",
         "Tolerances", "Judged"),
        rows,
        frozenset(("Session", "Bar (UTC)", "Price", "Judged")),
        note,
    )  # fmt: skip


def _day(days: int) -> str:
    return str(np.datetime64(int(days), "D"))


def _moment(ns: int) -> str:
    return str(np.datetime64(int(ns), "ns").astype("datetime64[m]")).replace("T", " ")
