"""Studies with the number of their trials, locked periods and who opened them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

# Written out and not imported from the code, which may change while this must not.
int64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
float64: sa.types.TypeEngine[float] = sa.Double().with_variant(sa.REAL(), "sqlite")
utc_timestamp = sa.Text().with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "study",
        sa.Column("study_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("version_hash", sa.Text(), nullable=False),
        sa.Column("instruments", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("data_fingerprint", sa.Text(), nullable=False),
        sa.Column("engine_version", sa.Text(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("seed", int64, nullable=False),
        sa.Column("n_sets", int64, nullable=False),
        sa.Column("n_with_sharpe", int64, nullable=False),
        sa.Column("n_effective", float64, nullable=False),
        sa.Column("sharpe_mean", float64, nullable=True),
        sa.Column("sharpe_variance", float64, nullable=True),
        sa.Column("result_directory", sa.Text(), nullable=False),
        sa.Column("recorded_at", utc_timestamp, nullable=False),
        sa.CheckConstraint(
            "kind IN ('sweep', 'optimisation', 'walk_forward')", name=op.f("ck_study_kind_known")
        ),
        sa.CheckConstraint("n_sets > 0", name=op.f("ck_study_n_sets_positive")),
        sa.CheckConstraint(
            "n_with_sharpe BETWEEN 0 AND n_sets", name=op.f("ck_study_n_with_sharpe_fits")
        ),
        sa.ForeignKeyConstraint(
            ["version_hash"],
            ["strategy_version.version_hash"],
            name=op.f("fk_study_version_hash_strategy_version"),
        ),
        sa.PrimaryKeyConstraint("study_id", name=op.f("pk_study")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_study_version_hash"), "study", ["version_hash"])

    op.create_table(
        "locked_period",
        sa.Column("locked_period_id", int64, nullable=False),
        sa.Column("strategy_id", int64, nullable=False),
        sa.Column("instruments", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("first_session", sa.Text(), nullable=False),
        sa.Column("locked_at", utc_timestamp, nullable=False),
        sa.Column("locked_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "length(first_session) = 10", name=op.f("ck_locked_period_first_session_is_date")
        ),
        sa.ForeignKeyConstraint(
            ["strategy_id"],
            ["strategy.strategy_id"],
            name=op.f("fk_locked_period_strategy_id_strategy"),
        ),
        sa.PrimaryKeyConstraint("locked_period_id", name=op.f("pk_locked_period")),
        sa.UniqueConstraint(
            "strategy_id",
            "instruments",
            "timeframe",
            name=op.f("uq_locked_period_strategy_id_instruments_timeframe"),
        ),
        sqlite_strict=True,
    )

    op.create_table(
        "locked_period_opening",
        sa.Column("opening_id", int64, nullable=False),
        sa.Column("locked_period_id", int64, nullable=False),
        sa.Column("version_hash", sa.Text(), nullable=False),
        sa.Column("result_id", sa.Text(), nullable=False),
        sa.Column("result_directory", sa.Text(), nullable=False),
        sa.Column("opened_at", utc_timestamp, nullable=False),
        sa.Column("opened_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "length(reason) > 0", name=op.f("ck_locked_period_opening_reason_given")
        ),
        sa.ForeignKeyConstraint(
            ["locked_period_id"],
            ["locked_period.locked_period_id"],
            name=op.f("fk_locked_period_opening_locked_period_id_locked_period"),
        ),
        sa.ForeignKeyConstraint(
            ["version_hash"],
            ["strategy_version.version_hash"],
            name=op.f("fk_locked_period_opening_version_hash_strategy_version"),
        ),
        sa.PrimaryKeyConstraint("opening_id", name=op.f("pk_locked_period_opening")),
        sqlite_strict=True,
    )
    op.create_index(
        op.f("ix_locked_period_opening_locked_period_id"),
        "locked_period_opening",
        ["locked_period_id"],
    )
