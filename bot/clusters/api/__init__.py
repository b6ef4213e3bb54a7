"""The only door to an API server: raw JSON, a deadline on every call, errors as sentences, renewed credentials."""

from bot.clusters.api.client import Api, Hello, KubeApi, Listing, Patch, Patience, http_date, parsed
from bot.clusters.api.kinds import (
    AUTOSCALER,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    GATEWAY,
    HTTP_ROUTE,
    INGRESS,
    POD,
    REVIEW,
    SERVICE,
    Json,
    Kind,
    as_yaml,
    rule,
)

__all__ = [
    "AUTOSCALER",
    "DEPLOYMENT",
    "ENDPOINT_SLICE",
    "GATEWAY",
    "HTTP_ROUTE",
    "INGRESS",
    "POD",
    "REVIEW",
    "SERVICE",
    "Api",
    "Hello",
    "Json",
    "Kind",
    "KubeApi",
    "Listing",
    "Patch",
    "Patience",
    "as_yaml",
    "http_date",
    "parsed",
    "rule",
]
