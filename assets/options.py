"""What an admin may choose in Dagster's launchpad, with the defaults that are filled in.

The options of the backtest are those of `quarterdeck backtest`, by the same
names. Each field's description is what the launchpad shows beside it.
"""

from __future__ import annotations

from dagster import Config
from pydantic import Field

DEFAULT_STRATEGY = "examples/rsi_stochastic_reversal.yaml"


class RunOptions(Config):
    """What a backtest and a sweep are told alike."""

    strategy: str = Field(
        default=DEFAULT_STRATEGY,
        description=(
            "The strategy to test: the path of a document (such as "
            f"{DEFAULT_STRATEGY}), the hash of a stored version (its first 6 to 64 digits), or "
            "a whole document, as YAML text after `strategy: |`."
        ),
    )
    bars: str = Field(
        default="store",
        description=(
            "Where the bars come from: `store`, the path of a CSV or Parquet file, which is "
            "checked like an import but not stored, or the folder of another data home."
        ),
    )
    symbols: list[str] = Field(
        default=[],
        description="Instruments to trade, such as [AAPL, MSFT]; the document's own when empty.",
    )
    start: str = Field(
        default="",
        description=(
            "First session traded, YYYY-MM-DD; the first one stored when empty. Bars before it "
            "only warm indicators up."
        ),
    )
    end: str = Field(
        default="",
        description="Last session traded, YYYY-MM-DD, included; the last one stored when empty.",
    )
    cash: float = Field(
        default=100_000.0,
        description=(
            "Starting cash of the whole portfolio, in the instruments' currency (USD for the "
            "sample set); must be above 0."
        ),
    )
    warmup: bool = Field(
        default=True,
        description="Whether bars before `start` warm indicators up, without being traded.",
    )
    calendar: str = Field(
        default="",
        description="Trading calendar of a file of bars, such as XNYS; of no use with the store.",
    )
    timezone: str = Field(
        default="",
        description=(
            "Time zone of a file whose times state none, such as America/New_York; of no use "
            "with the store."
        ),
    )
    output: str = Field(
        default="",
        description=(
            "Folder for the result files, which replaces one of that name; "
            "<data home>/results/<strategy>/<run id> when empty (sweeps/… for a sweep)."
        ),
    )


class BacktestOptions(RunOptions):
    """Which strategy to test, on which bars, with how much cash."""

    parameters: dict[str, float] = Field(
        default={},
        description=(
            "Values of the document's parameters that differ from its defaults, such as "
            "{rsi_length: 10}; each in its own unit (lengths in bars)."
        ),
    )


class SweepOptions(RunOptions):
    """Which parameter sets of a strategy to run, and which of them to show."""

    values: dict[str, str] = Field(
        default={},
        description=(
            "Values of parameters, such as {rsi_length: '5:30:5', oversold: '30,35,40'}: "
            "low:high:step, numbers with commas, or one number for all sets. When empty, every "
            "parameter goes over the range that the document states."
        ),
    )
    random: int = Field(
        default=0,
        description="How many sets to draw instead of running the whole grid; all of them when 0.",
    )
    seed: int = Field(default=0, description="Of the drawing: the same seed draws the same sets.")
    sort: str = Field(
        default="sharpe",
        description="Figure by which the best sets are shown, such as sharpe or total_return.",
    )
    top: int = Field(default=10, description="How many of the best sets are shown.")


class ReportOptions(Config):
    """Which files the report is written as, and of which result."""

    formats: list[str] = Field(
        default=["html", "pdf", "xlsx", "csv"],
        description="Files to write beside the result: any of html, pdf, xlsx and csv (tables).",
    )
    result: str = Field(
        default="",
        description=(
            "Folder of the result to report on; the backtest of this same run when empty, or "
            "else the latest one."
        ),
    )


class BarsOptions(Config):
    """How the bars of an instrument come into the store."""

    file: str = Field(
        default="",
        description=(
            "Path of a CSV or Parquet file to import under the partition's symbol. When empty, "
            "an instrument of the sample set is loaded from the repository, and any other "
            "must be stored already."
        ),
    )
    timeframe: str = Field(
        default="",
        description="Length of the file's bars, such as 1d or 1m; taken from their times when empty.",
    )
    timezone: str = Field(
        default="",
        description="Time zone of the file's times where they state none, such as America/New_York.",
    )
    calendar: str = Field(
        default="",
        description="Trading calendar, such as XNYS; needed for bars within the day.",
    )
    repair: bool = Field(
        default=False,
        description="Widen bars whose high and low do not hold open and close, instead of refusing.",
    )
    drop_unscheduled: bool = Field(
        default=False, description="Leave out bars that are in no session of the calendar."
    )
    overwrite: bool = Field(
        default=False, description="Let the file's bars replace stored ones of the same time."
    )
