"""Catalogue of strategies."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# Written out and not imported from the code, which may change while this must not.
int64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
utc_timestamp = sa.Text().with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "strategy",
        sa.Column("strategy_id", int64, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", utc_timestamp, nullable=False),
        sa.CheckConstraint("length(name) > 0", name=op.f("ck_strategy_name_not_empty")),
        sa.PrimaryKeyConstraint("strategy_id", name=op.f("pk_strategy")),
        sa.UniqueConstraint("name", name=op.f("uq_strategy_name")),
        sqlite_strict=True,
    )
    op.create_table(
        "strategy_version",
        sa.Column("version_hash", sa.Text(), nullable=False),
        sa.Column("strategy_id", int64, nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("created_at", utc_timestamp, nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "stage IN ('draft', 'backtested', 'paper', 'live', 'retired')",
            name=op.f("ck_strategy_version_stage_known"),
        ),
        sa.CheckConstraint(
            "length(version_hash) = 64", name=op.f("ck_strategy_version_version_hash_is_sha256")
        ),
        sa.ForeignKeyConstraint(
            ["strategy_id"],
            ["strategy.strategy_id"],
            name=op.f("fk_strategy_version_strategy_id_strategy"),
        ),
        sa.PrimaryKeyConstraint("version_hash", name=op.f("pk_strategy_version")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_strategy_version_strategy_id"), "strategy_version", ["strategy_id"])

    op.create_table(
        "backtest_run",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("version_hash", sa.Text(), nullable=False),
        sa.Column("data_fingerprint", sa.Text(), nullable=False),
        sa.Column("engine_version", sa.Text(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("result_directory", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("key_figures", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("started_at", utc_timestamp, nullable=False),
        sa.Column("finished_at", utc_timestamp, nullable=True),
        sa.CheckConstraint(
            "(status = 'failed') = (error IS NOT NULL)", name=op.f("ck_backtest_run_error_fits")
        ),
        sa.CheckConstraint(
            "(status = 'running') = (finished_at IS NULL)",
            name=op.f("ck_backtest_run_finished_at_fits"),
        ),
        sa.CheckConstraint(
            "status <> 'succeeded' OR key_figures IS NOT NULL",
            name=op.f("ck_backtest_run_key_figures_fit"),
        ),
        sa.CheckConstraint(
            "status IN ('running', 'succeeded', 'failed')",
            name=op.f("ck_backtest_run_status_known"),
        ),
        sa.ForeignKeyConstraint(
            ["version_hash"],
            ["strategy_version.version_hash"],
            name=op.f("fk_backtest_run_version_hash_strategy_version"),
        ),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_backtest_run")),
        sqlite_strict=True,
    )
    op.create_index(
        op.f("ix_backtest_run_version_hash_started_at"),
        "backtest_run",
        ["version_hash", "started_at"],
    )

    op.create_table(
        "stage_change",
        sa.Column("stage_change_id", int64, nullable=False),
        sa.Column("version_hash", sa.Text(), nullable=False),
        sa.Column("from_stage", sa.Text(), nullable=False),
        sa.Column("to_stage", sa.Text(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("changed_at", utc_timestamp, nullable=False),
        sa.CheckConstraint(
            "from_stage IN ('draft', 'backtested', 'paper', 'live', 'retired')",
            name=op.f("ck_stage_change_from_stage_known"),
        ),
        sa.CheckConstraint(
            "to_stage IN ('draft', 'backtested', 'paper', 'live', 'retired')",
            name=op.f("ck_stage_change_to_stage_known"),
        ),
        sa.CheckConstraint(
            "trigger IN ('backtest_succeeded', 'paper_started', 'live_approved', 'demoted', 'retired')",
            name=op.f("ck_stage_change_trigger_known"),
        ),
        sa.CheckConstraint("from_stage <> to_stage", name=op.f("ck_stage_change_stage_moves")),
        sa.ForeignKeyConstraint(
            ["run_id"], ["backtest_run.run_id"], name=op.f("fk_stage_change_run_id_backtest_run")
        ),
        sa.ForeignKeyConstraint(
            ["version_hash"],
            ["strategy_version.version_hash"],
            name=op.f("fk_stage_change_version_hash_strategy_version"),
        ),
        sa.PrimaryKeyConstraint("stage_change_id", name=op.f("pk_stage_change")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_stage_change_version_hash"), "stage_change", ["version_hash"])
