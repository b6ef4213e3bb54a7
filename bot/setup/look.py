"""Reads what `init` wants to know of a namespace, with the rights of whoever runs it. Writes nothing."""

import asyncio

from bot.clusters.api import (
    AUTOSCALER,
    DEPLOYMENT,
    GATEWAY,
    HTTP_ROUTE,
    INGRESS,
    POD,
    ROLLOUT,
    SERVICE,
    Api,
    Json,
    Kind,
)
from bot.clusters.errors import Forbidden, Missing
from bot.setup.manifests import Account
from bot.setup.objects import Autoscaler, Budget, Deployment, Objects, Pod, Rollout, Service, seen

BUDGET = Kind("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets")
SERVICE_ACCOUNT = Kind("ServiceAccount", "v1", "serviceaccounts")


async def look(api: Api, namespace: str) -> Objects:
    """Raises `ClusterError` when Services, Deployments or pods cannot be read."""
    services, deployments, pods = await asyncio.gather(
        *(api.list(kind, namespace) for kind in (SERVICE, DEPLOYMENT, POD))
    )
    optional = (AUTOSCALER, BUDGET, INGRESS, HTTP_ROUTE, GATEWAY, ROLLOUT)
    found = dict(
        zip(optional, await asyncio.gather(*(_optional(api, kind, namespace) for kind in optional)), strict=True)
    )
    read_services, strange_services = seen(Service, services.items)
    read_deployments, strange_deployments = seen(Deployment, deployments.items)
    read_pods, strange_pods = seen(Pod, pods.items)
    read_rollouts, strange_rollouts = seen(Rollout, found[ROLLOUT] or ())
    unread = [kind.plural for kind, items in found.items() if items is None]
    return Objects(
        services=read_services,
        deployments=read_deployments,
        rollouts=read_rollouts,
        pods=read_pods,
        autoscalers=seen(Autoscaler, found[AUTOSCALER] or ())[0],
        budgets=seen(Budget, found[BUDGET] or ())[0],
        ingresses=tuple(found[INGRESS] or ()),
        routes=tuple(found[HTTP_ROUTE] or ()),
        gateways=tuple(found[GATEWAY] or ()),
        strange=(
            *strange_services,
            *strange_deployments,
            *strange_rollouts,
            *strange_pods,
            *([f"You may not list {', '.join(unread)} here, so nothing is said about them."] if unread else ()),
        ),
    )


async def account(api: Api, namespace: str, name: str) -> Account:
    """The ServiceAccount, and whether it is there already; who may not look is told to make it."""
    try:
        await api.get(SERVICE_ACCOUNT, namespace, name)
    except (Forbidden, Missing):
        return Account(namespace, name)
    return Account(namespace, name, exists=True)


async def _optional(api: Api, kind: Kind, namespace: str) -> list[Json] | None:
    """None when it may not be read; nothing where the kind is not served."""
    try:
        return (await api.list(kind, namespace)).items
    except Missing:
        return []
    except Forbidden:
        return None
