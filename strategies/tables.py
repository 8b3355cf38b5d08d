"""The catalogue's tables; `migrations` makes them, a test holds both equal."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Table, Text

from foundation.columns import EnumText, Int64, JsonText, UtcTimestamp, is_one_of, metadata
from strategies.lifecycle import Stage, Trigger


class RunStatus(StrEnum):
    """What became of a backtest."""

    # Or its process was killed: `close_dead_runs` tells, and the next start of it takes over.
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


strategy = Table(
    "strategy",
    metadata,
    Column("strategy_id", Int64, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("created_at", UtcTimestamp, nullable=False),
    CheckConstraint("length(name) > 0", name="name_not_empty"),
    sqlite_strict=True,
)

strategy_version = Table(
    "strategy_version",
    metadata,
    # The SHA-256 of `document`, so a version can't change without being another one.
    Column("version_hash", Text, primary_key=True),
    Column("strategy_id", Int64, ForeignKey("strategy.strategy_id"), nullable=False),
    Column("document", Text, nullable=False),
    Column("stage", EnumText(Stage), nullable=False),
    Column("created_at", UtcTimestamp, nullable=False),
    Column("author", Text, nullable=False),
    CheckConstraint("length(version_hash) = 64", name="version_hash_is_sha256"),
    CheckConstraint(is_one_of("stage", Stage), name="stage_known"),
    Index(None, "strategy_id"),
    sqlite_strict=True,
)

backtest_run = Table(
    "backtest_run",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("version_hash", Text, ForeignKey("strategy_version.version_hash"), nullable=False),
    Column("data_fingerprint", Text, nullable=False),
    Column("engine_version", Text, nullable=False),
    Column("options", JsonText, nullable=False),
    Column("result_directory", Text, nullable=False),
    Column("status", EnumText(RunStatus), nullable=False),
    Column("key_figures", JsonText),
    Column("error", Text),
    Column("started_at", UtcTimestamp, nullable=False),
    Column("finished_at", UtcTimestamp),
    # Which process writes the result, as `foundation.processes` names it: one that was killed
    # can't say so itself.
    Column("process", Text),
    CheckConstraint(is_one_of("status", RunStatus), name="status_known"),
    CheckConstraint("(status = 'running') = (finished_at IS NULL)", name="finished_at_fits"),
    CheckConstraint("status <> 'succeeded' OR key_figures IS NOT NULL", name="key_figures_fit"),
    CheckConstraint("(status = 'failed') = (error IS NOT NULL)", name="error_fits"),
    Index(None, "version_hash", "started_at"),
    sqlite_strict=True,
)

stage_change = Table(
    "stage_change",
    metadata,
    Column("stage_change_id", Int64, primary_key=True),
    Column("version_hash", Text, ForeignKey("strategy_version.version_hash"), nullable=False),
    Column("from_stage", EnumText(Stage), nullable=False),
    Column("to_stage", EnumText(Stage), nullable=False),
    Column("trigger", EnumText(Trigger), nullable=False),
    # The backtest that brought the step, or on whose bars its evidence is.
    Column("run_id", Text, ForeignKey("backtest_run.run_id")),
    Column("changed_at", UtcTimestamp, nullable=False),
    CheckConstraint("from_stage <> to_stage", name="stage_moves"),
    CheckConstraint(is_one_of("from_stage", Stage), name="from_stage_known"),
    CheckConstraint(is_one_of("to_stage", Stage), name="to_stage_known"),
    CheckConstraint(is_one_of("trigger", Trigger), name="trigger_known"),
    Index(None, "version_hash"),
    sqlite_strict=True,
)
