"""How Alembic reaches the database: with the address that the caller's configuration names."""

from alembic import context
from sqlalchemy import create_engine

from bot.store.tables import metadata

url = context.config.get_main_option("sqlalchemy.url")
if url is None:
    message = "sqlalchemy.url is not set: use `greenlight migrate`"
    raise SystemExit(message)
engine = create_engine(url)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
