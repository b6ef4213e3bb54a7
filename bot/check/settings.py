"""What the settings say, before anybody is asked."""

from collections.abc import Iterable

from bot.check.finding import Finding, State, ok
from bot.release.app import App

PART = "settings"


def understood(apps: Iterable[App]) -> list[Finding]:
    """One line for each app, for whoever wants to see what its table was taken for."""
    return [ok(PART, app.name, f"{app.image} → {_place(app)} ({' and '.join(app.native.slots)})") for app in apps]


def faults(lines: str) -> list[Finding]:
    """Of a `SettingsError`: each line says what is wrong as well as what to do."""
    return [Finding(PART, "settings", State.FAIL, line) for line in lines.splitlines()]


def _place(app: App) -> str:
    return "/".join(filter(None, [app.cluster, app.namespace, app.native.service]))
