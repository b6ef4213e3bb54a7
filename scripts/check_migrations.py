"""Fails when the migrations do not make the tables that `bot/store/tables.py` describes: `make check` runs it."""  # noqa: INP001 - a script

import asyncio
import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.util import CommandError

from bot.store import migrate
from bot.store.engine import alembic_config

with tempfile.TemporaryDirectory() as directory:
    url = f"sqlite+aiosqlite:///{Path(directory)}/new.db"
    asyncio.run(migrate(url))
    try:
        command.check(alembic_config(url))
    except CommandError as difference:
        sys.exit(f"{difference}\nAdd a migration: CONTRIBUTING.md says how.")
