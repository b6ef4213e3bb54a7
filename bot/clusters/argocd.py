"""Which of an app's objects Argo CD keeps as Git has them. Pure."""

from bot.clusters.api import Json
from bot.clusters.reading import name

TRACKED = "argocd.argoproj.io/tracking-id"
"""Argo CD writes `<application>:<group>/<kind>:<namespace>/<name>` on what it keeps."""


def keeper(item: Json) -> str:
    """The name of the Application that keeps it; "" for none. ReplicaSets and copies inherit another's annotation."""
    tracked = (item["metadata"].get("annotations") or {}).get(TRACKED, "")
    application, _, rest = tracked.partition(":")
    itself = f"/{item.get('kind', '')}:{item['metadata'].get('namespace', '')}/{name(item)}"
    return str(application) if rest.endswith(itself) else ""
