"""Which namespace a kubeconfig means, as kubectl takes it when none is named."""

from kubernetes_asyncio import config

DEFAULT = "default"


def current_namespace(kubeconfig: str | None, context: str | None) -> str:
    """Of the context, or `default`. Credentials that cannot be used are told by whoever connects with them."""
    try:
        contexts, current = config.list_kube_config_contexts(kubeconfig)
        chosen = next((each for each in contexts if each["name"] == context), current)
        return str((chosen or {})["context"].get("namespace") or DEFAULT)
    except Exception:  # noqa: BLE001 - whatever stands in that file, the client raises as it comes
        return DEFAULT
