"""Which app a person means: by name, or by the channel."""

from collections.abc import Callable, Iterable, Mapping

from discord import app_commands

from bot.release.app import App
from bot.release.errors import Refused
from cogs import words
from cogs.limits import CHOICE, CHOICES
from cogs.text import code, listed


def meant(apps: Mapping[str, App], name: str | None, channel: int) -> App:
    """Raises `Refused` with the names to choose from."""
    if name:
        found = apps.get(name.strip().lower())
        if found is None:
            raise Refused(words.unknown_app(code(name, 60), _names(apps.values())))
        return found
    here = [app for app in apps.values() if app.channel == channel]
    if len(here) == 1:
        return here[0]
    if here:
        raise Refused(words.which_app(_names(here)))
    if len(apps) == 1:
        return next(iter(apps.values()))
    raise Refused(words.no_app_here(_names(apps.values())))


def choices(
    apps: Mapping[str, App], typed: str, allowed: Callable[[App], bool] = lambda _: True
) -> list[app_commands.Choice[str]]:
    """For autocomplete: those whose name begins as typed stand first."""
    wanted = typed.strip().lower()
    found = [name for name, app in apps.items() if wanted in name and allowed(app)]
    found.sort(key=lambda name: not name.startswith(wanted))
    return [app_commands.Choice(name=name, value=name) for name in found[:CHOICES] if len(name) <= CHOICE]


def _names(apps: Iterable[App]) -> str:
    return listed([code(app.name, 40) for app in apps], "and", 10)
