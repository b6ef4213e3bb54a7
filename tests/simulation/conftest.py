"""The bot's log is switched off while it lives in the simulation: it takes longer than the bot does."""

from collections.abc import Iterator

import pytest
import structlog

from simulation.runs import silence


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    configured, before = structlog.is_configured(), structlog.get_config()
    silence()
    yield
    if configured:
        structlog.configure(**before)
    else:
        structlog.reset_defaults()
