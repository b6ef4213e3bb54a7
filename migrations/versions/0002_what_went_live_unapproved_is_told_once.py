"""What went live unapproved is told once."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("cards", sa.Column("alarmed", sa.Boolean(), nullable=False, server_default=sa.false()))
