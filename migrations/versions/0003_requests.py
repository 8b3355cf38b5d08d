"""Requests for backtests, and which process writes a backtest's result."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

# Written out and not imported from the code, which may change while this must not.
int64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
utc_timestamp = sa.Text().with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    op.add_column("backtest_run", sa.Column("process", sa.Text(), nullable=True))
    op.create_table(
        "backtest_request",
        sa.Column("request_id", int64, nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("version_hash", sa.Text(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("priority", int64, nullable=False),
        sa.Column("memory_bytes_max", int64, nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempts", int64, nullable=False),
        sa.Column("attempts_max", int64, nullable=False),
        sa.Column("next_attempt_at", utc_timestamp, nullable=False),
        sa.Column("dagster_run_id", sa.Text(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("result_directory", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_at", utc_timestamp, nullable=False),
        sa.Column("cancel_requested_at", utc_timestamp, nullable=True),
        sa.Column("started_at", utc_timestamp, nullable=True),
        sa.Column("finished_at", utc_timestamp, nullable=True),
        sa.CheckConstraint(
            "what IN ('backtest', 'sweep')", name=op.f("ck_backtest_request_what_known")
        ),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')",
            name=op.f("ck_backtest_request_status_known"),
        ),
        sa.CheckConstraint(
            "attempts_max >= 1", name=op.f("ck_backtest_request_attempts_max_positive")
        ),
        sa.CheckConstraint(
            "attempts BETWEEN 0 AND attempts_max",
            name=op.f("ck_backtest_request_attempts_in_bounds"),
        ),
        sa.CheckConstraint(
            "memory_bytes_max > 0", name=op.f("ck_backtest_request_memory_positive")
        ),
        sa.CheckConstraint(
            "(status IN ('queued', 'running')) = (finished_at IS NULL)",
            name=op.f("ck_backtest_request_finished_at_fits"),
        ),
        sa.CheckConstraint(
            "status <> 'running' OR started_at IS NOT NULL",
            name=op.f("ck_backtest_request_started_at_fits"),
        ),
        sa.CheckConstraint(
            "status <> 'failed' OR error IS NOT NULL", name=op.f("ck_backtest_request_error_fits")
        ),
        sa.CheckConstraint(
            "status <> 'succeeded' OR run_id IS NOT NULL",
            name=op.f("ck_backtest_request_run_id_fits"),
        ),
        sa.ForeignKeyConstraint(
            ["version_hash"],
            ["strategy_version.version_hash"],
            name=op.f("fk_backtest_request_version_hash_strategy_version"),
        ),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_backtest_request")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_backtest_request_idempotency_key")),
        sqlite_strict=True,
    )
    op.create_index(
        op.f("ix_backtest_request_status_priority"), "backtest_request", ["status", "priority"]
    )
