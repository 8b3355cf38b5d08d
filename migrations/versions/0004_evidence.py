"""Evidence of versions, and which of it a step from stage to stage rested on."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

# Written out and not imported from the code, which may change while this must not.
int64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
utc_timestamp = sa.Text().with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "version_evidence",
        sa.Column("version_evidence_id", int64, nullable=False),
        sa.Column("version_hash", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("passed", int64, nullable=False),
        sa.Column("figures", sa.Text(), nullable=False),
        sa.Column("data_fingerprint", sa.Text(), nullable=False),
        sa.Column("engine_version", sa.Text(), nullable=False),
        sa.Column("recorded_at", utc_timestamp, nullable=False),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.Column("result_directory", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('look_ahead', 'recursion', 'robustness', 'walk_forward', 'holdout', "
            "'plateau', 'monte_carlo', 'deflated_sharpe')",
            name=op.f("ck_version_evidence_kind_known"),
        ),
        sa.CheckConstraint("passed IN (0, 1)", name=op.f("ck_version_evidence_passed_is_truth")),
        sa.ForeignKeyConstraint(
            ["version_hash"],
            ["strategy_version.version_hash"],
            name=op.f("fk_version_evidence_version_hash_strategy_version"),
        ),
        sa.PrimaryKeyConstraint("version_evidence_id", name=op.f("pk_version_evidence")),
        sqlite_strict=True,
    )
    op.create_index(
        op.f("ix_version_evidence_version_hash_kind"), "version_evidence", ["version_hash", "kind"]
    )

    op.create_table(
        "stage_change_evidence",
        sa.Column("stage_change_id", int64, nullable=False),
        sa.Column("version_evidence_id", int64, nullable=False),
        sa.ForeignKeyConstraint(
            ["stage_change_id"],
            ["stage_change.stage_change_id"],
            name=op.f("fk_stage_change_evidence_stage_change_id_stage_change"),
        ),
        sa.ForeignKeyConstraint(
            ["version_evidence_id"],
            ["version_evidence.version_evidence_id"],
            name=op.f("fk_stage_change_evidence_version_evidence_id_version_evidence"),
        ),
        sa.PrimaryKeyConstraint(
            "stage_change_id", "version_evidence_id", name=op.f("pk_stage_change_evidence")
        ),
        sqlite_strict=True,
    )
