"""An app on two Deployments: with Services and Ingresses, and no release label."""

from sandbox.apps.app import NAMESPACE, DemoApp, Json, described, pod_template, service

NAME = "mochi"
LIVE, IDLE = "mochiapp-blue", "mochiapp-green"
ACTIVE, PREVIEW = "mochiapp", "mochiapp-preview"
PRODUCTION_HOST, PREVIEW_HOST = "mochi.localhost", "preview.mochi.localhost"
REPLICAS = 3
SCRIPTS = "mochi-k6"
LOAD = """\
import { check } from 'k6';
import http from 'k6/http';

export const options = {
  vus: 2,
  duration: '5s',
  thresholds: { http_req_duration: ['p(95)<300'], http_req_failed: ['rate<0.01'] },
};

export default function () {
  check(http.get(__ENV.PREVIEW_URL), { 'it answers': (r) => r.status === 200 });
}
"""
GATES = f"""\
[[apps.{NAME}.gates]]
name    = "load"
kind    = "k6"
script  = {{ configmap = "{SCRIPTS}", key = "load.js" }}
image   = "grafana/k6:1.4.0"
timeout = "2m"
"""


def _guards(production: str) -> str:
    return f"""\
[[apps.{NAME}.guards]]
name     = "public"
kind     = "http"
url      = "{production}"
every    = "1s"
failures = 3
"""


def _manifests(repository: str) -> list[Json]:
    """Blue is live, green has no pods. The active Service selects on `app` alone, which green's pods would match too: a
    first release has to adopt that without downtime.
    """
    image = f"{repository}:{MOCHI.live}"
    return [
        _deployment(LIVE, "blue", image, REPLICAS),
        _deployment(IDLE, "green", image, 0),
        service(NAME, ACTIVE, {"app": NAME}),
        service(NAME, PREVIEW, {"app": NAME, "color": "green"}),
        _ingress(ACTIVE, PRODUCTION_HOST),
        _ingress(PREVIEW, PREVIEW_HOST),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": SCRIPTS, "namespace": NAMESPACE},
            "data": {"load.js": LOAD},
        },
    ]


def _table(repository: str) -> str:
    return f"""\
namespace   = "{NAMESPACE}"
image       = "{repository}"
service     = "{ACTIVE}"
preview     = "{PREVIEW}"
slots       = ["{LIVE}", "{IDLE}"]
"""


MOCHI = DemoApp(NAME, "Deployments", "blue", "green", ACTIVE, PREVIEW, _manifests, _table, gates=GATES, guards=_guards)


def _deployment(name: str, color: str, image: str, replicas: int) -> Json:
    labels = {"app": NAME, "color": color}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": pod_template(labels, image)}
    return described("apps/v1", "Deployment", NAME, name, spec)


def _ingress(service: str, host: str) -> Json:
    backend = {"service": {"name": service, "port": {"name": "http"}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    rules = [{"host": host, "http": {"paths": paths}}]
    return described("networking.k8s.io/v1", "Ingress", NAME, service, {"rules": rules})
