"""What the settings say, before anybody is asked."""

from collections.abc import Iterable

from bot.check.finding import Finding, State, ok
from bot.release.app import App, Argo

PART = "settings"


def understood(apps: Iterable[App]) -> list[Finding]:
    """One line for each app, for whoever wants to see what its table was taken for."""
    return [ok(PART, app.name, f"{app.image or 'the repository of what is live'} → {_place(app)}") for app in apps]


def faults(lines: str) -> list[Finding]:
    """Of a `SettingsError`: each line says what is wrong as well as what to do."""
    return [Finding(PART, "settings", State.FAIL, line) for line in lines.splitlines()]


def _place(app: App) -> str:
    place = "/".join(filter(None, [app.cluster, app.namespace]))
    if isinstance(app.target, Argo):
        return f"Rollout {place}/{app.target.rollout}"
    return f"{place}/{app.native.service} ({' and '.join(app.native.slots)})"
