"""Which run used which stored bars."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

# Written out and not imported from the code, which may change while this must not.
int64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
utc_timestamp = sa.Text().with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "run_bars",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("asked_timeframe", sa.Text(), nullable=False),
        sa.Column("first_ns", int64, nullable=False),
        sa.Column("last_ns", int64, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("used_at", utc_timestamp, nullable=False),
        sa.CheckConstraint(
            "kind IN ('backtest', 'sweep', 'study')", name=op.f("ck_run_bars_kind_known")
        ),
        sa.CheckConstraint("first_ns <= last_ns", name=op.f("ck_run_bars_span_forward")),
        sa.PrimaryKeyConstraint(
            "kind", "run_id", "symbol", "timeframe", "asked_timeframe", name=op.f("pk_run_bars")
        ),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_run_bars_symbol_timeframe"), "run_bars", ["symbol", "timeframe"])
