"""Which namespace credentials mean, as kubectl takes it when none is named."""

from pathlib import Path

from kubernetes_asyncio import config

from bot.clusters.api.credentials import IN_THE_POD, is_pod

DEFAULT = "default"


def current_namespace(kubeconfig: str | None, context: str | None) -> str:
    """Of the context, or of the pod that this runs in where no file is named, or `default`. Credentials that cannot be
    used are told by whoever connects with them.
    """
    try:
        if kubeconfig is None and context is None and is_pod():
            return Path(IN_THE_POD, "namespace").read_text("utf-8").strip() or DEFAULT
        contexts, current = config.list_kube_config_contexts(kubeconfig)
        chosen = next((each for each in contexts if each["name"] == context), current)
        return str((chosen or {})["context"].get("namespace") or DEFAULT)
    except Exception:  # noqa: BLE001 - whatever stands in that file, the client raises as it comes
        return DEFAULT
